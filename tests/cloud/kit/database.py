"""Connections to a test's database."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import asyncpg

from cardmint_cloud.adapters.postgres.connection import Pool, PostgresConnection


@contextlib.asynccontextmanager
async def connected(address: str) -> AsyncIterator[PostgresConnection]:
    """Give a connection whose commands take a minute at most; it is cut when the context ends."""
    connection = await asyncpg.connect(address, command_timeout=60)
    try:
        yield connection
    finally:
        connection.terminate()


@contextlib.asynccontextmanager
async def pooled(address: str, *, most: int, tenant: str = "") -> AsyncIterator[Pool]:
    """Give a pool whose commands take a minute at most; with `tenant` its connections are that's.

    It ends after 10 s even when a failed test still holds a connection.
    """
    pool = await asyncpg.create_pool(
        address,
        min_size=1,
        max_size=most,
        command_timeout=60,
        server_settings={"cardmint.tenant": tenant} if tenant else {},
    )
    try:
        yield pool
    finally:
        try:
            await asyncio.wait_for(pool.close(), 10)
        except TimeoutError:
            pool.terminate()

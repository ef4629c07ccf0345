"""Connections of SQLAlchemy that read as one tenant."""

import contextlib
from collections.abc import AsyncIterator

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from cardmint_cloud.adapters.postgres.connection import SETTINGS, reach_setting

_SET_TENANT = text(SETTINGS.format(":tenant", ":reach"))


@contextlib.asynccontextmanager
async def reading(engine: AsyncEngine, tenant: str) -> AsyncIterator[AsyncConnection]:
    """Give a connection in a transaction that sees the rows of `tenant` alone.

    Nothing that is written on it lasts. `engine.connect()` alone sees no row of any tenant.
    """
    async with engine.connect() as connection:
        await set_tenant(connection, tenant)
        yield connection


async def set_tenant(connection: AsyncConnection, tenant: str) -> None:
    """Name the tenant of the transaction that the connection is in, and its reach."""
    await connection.execute(_SET_TENANT, {"tenant": tenant, "reach": reach_setting()})

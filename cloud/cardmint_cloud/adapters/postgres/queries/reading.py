"""Connections of SQLAlchemy that read as one tenant."""

import contextlib
from collections.abc import AsyncIterator

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

_SET_TENANT = text("SELECT set_config('cardmint.tenant', :tenant, true)")


@contextlib.asynccontextmanager
async def reading(engine: AsyncEngine, tenant: str) -> AsyncIterator[AsyncConnection]:
    """Give a connection in a transaction that sees the rows of `tenant` alone.

    Nothing that is written on it lasts. `engine.connect()` alone sees no row of any tenant.
    """
    async with engine.connect() as connection:
        await set_tenant(connection, tenant)
        yield connection


async def set_tenant(connection: AsyncConnection, tenant: str) -> None:
    """Name the tenant of the transaction that the connection is in."""
    await connection.execute(_SET_TENANT, {"tenant": tenant})

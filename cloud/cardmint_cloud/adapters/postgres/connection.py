"""Types of asyncpg's pool and connections, and the one query that they lack."""

from typing import TYPE_CHECKING

import asyncpg

if TYPE_CHECKING:  # asyncpg's classes are generic in its stubs only.
    from asyncpg.pool import PoolConnectionProxy

    Pool = asyncpg.Pool[asyncpg.Record]
    PostgresConnection = asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]
    Executor = Pool | PostgresConnection
else:
    Pool, PostgresConnection, Executor = asyncpg.Pool, asyncpg.Connection, object


async def fetch_one(executor: Executor, query: str, *values: object) -> asyncpg.Record:
    """Return the row of a query that always has one.

    Raises:
        LookupError: it has none.
    """
    row = await executor.fetchrow(query, *values)
    if row is None:
        message = f"no row: {query.strip()[:100]}"
        raise LookupError(message)
    return row

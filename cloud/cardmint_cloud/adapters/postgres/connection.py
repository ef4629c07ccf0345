"""Types of asyncpg's pool and connections, and the transaction of one tenant."""

import contextlib
from collections.abc import AsyncIterator, Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol

import asyncpg

from cardmint_cloud.adapters.postgres.address import DatabaseAddress
from cardmint_cloud.domain.reach import Reach
from cardmint_cloud.errors import StopService

if TYPE_CHECKING:  # asyncpg's classes are generic in its stubs only.
    from asyncpg.pool import PoolConnectionProxy

    Pool = asyncpg.Pool[asyncpg.Record]
    PostgresConnection = asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]
else:
    Pool, PostgresConnection = asyncpg.Pool, asyncpg.Connection


_REACH: ContextVar[Reach | None] = ContextVar("reach", default=None)
SETTINGS = "SELECT set_config('cardmint.tenant', {}, true), set_config('cardmint.reach', {}, true)"
"""The statement that says whose rows a transaction sees, and how far it reaches."""

_SETTINGS = SETTINGS.format("$1", "$2")


@contextlib.contextmanager
def limited_to(reach: Reach | None) -> Iterator[None]:
    """Limit what transactions see that begin within the context; None is the whole tenant.

    It belongs to whoever asks and not to a statement: what a request calls cannot forget it.
    """
    before = _REACH.set(reach)
    try:
        yield
    finally:
        _REACH.reset(before)


def reach_in_force() -> Reach | None:
    """Return how far transactions that begin now reach; None for the whole tenant."""
    return _REACH.get()


def reach_setting() -> str:
    """Return the reach in force as `SETTINGS` takes it."""
    reach = _REACH.get()
    return reach.setting if reach else ""


async def see_all(connection: PostgresConnection) -> None:
    """Let the rest of a transaction see the whole tenant, after it was checked what may change."""
    if _REACH.get() is not None:
        await connection.execute("SELECT set_config('cardmint.reach', '', true)")


class Executor(Protocol):
    """What runs single statements: a pool, a connection, or one tenant's database."""

    async def fetch(self, query: str, /, *values: Any) -> list[asyncpg.Record]:
        """Return the rows of a statement."""
        ...

    async def fetchrow(self, query: str, /, *values: Any) -> asyncpg.Record | None:
        """Return the first row of a statement; None for none."""
        ...

    async def fetchval(self, query: str, /, *values: Any) -> Any:
        """Return the first value of a statement; None for none."""
        ...

    async def execute(self, query: str, /, *values: Any) -> str:
        """Run a statement and return its status."""
        ...


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


@contextlib.asynccontextmanager
async def owner_connection(address: str) -> AsyncIterator[PostgresConnection]:
    """Give a connection of the tables' owner, who sees the rows of all tenants.

    Raises:
        StopService: the address is another user's.
    """
    connection = await asyncpg.connect(**DatabaseAddress.read(address, "database_owner").asyncpg)
    try:
        if not await connection.fetchval("SELECT cardmint_owner()"):
            user = await connection.fetchval("SELECT current_user")
            raise StopService(
                f"database: the user {user} does not own the tables, as this command needs; name"
                " the one who does in `database_owner`"
            )
        await connection.execute("SELECT set_config('cardmint.tenant', '*', false)")
        yield connection
    finally:
        connection.terminate()


@contextlib.asynccontextmanager
async def tenant_transaction(
    source: Pool | PostgresConnection, tenant: str
) -> AsyncIterator[PostgresConnection]:
    """Give a connection in a transaction that sees and writes the rows of `tenant` alone.

    The setting ends with the transaction: no connection of a pool keeps a tenant. A statement
    outside of such a transaction sees no row of any tenant (`row_security`).
    """
    async with contextlib.AsyncExitStack() as stack:
        connection: PostgresConnection
        if isinstance(source, asyncpg.pool.Pool):
            connection = await stack.enter_async_context(source.acquire())
        else:
            connection = source
        await stack.enter_async_context(connection.transaction())
        await set_tenant(connection, tenant)
        yield connection


async def set_tenant(connection: PostgresConnection, tenant: str) -> None:
    """Name the tenant of the transaction that the connection is in, and its reach."""
    await connection.execute(_SETTINGS, tenant, reach_setting())


class TenantDatabase:
    """One tenant's database, for single statements: each is a transaction of its own."""

    def __init__(self, pool: Pool, tenant: str) -> None:
        self._pool, self._tenant = pool, tenant

    def transaction(self) -> contextlib.AbstractAsyncContextManager[PostgresConnection]:
        """Give a connection in a transaction of the tenant."""
        return tenant_transaction(self._pool, self._tenant)

    async def fetch(self, query: str, *values: object) -> list[asyncpg.Record]:
        """Return the rows of a statement."""
        async with self.transaction() as connection:
            return await connection.fetch(query, *values)

    async def fetchrow(self, query: str, *values: object) -> asyncpg.Record | None:
        """Return the first row of a statement; None for none."""
        async with self.transaction() as connection:
            return await connection.fetchrow(query, *values)

    async def fetchval(self, query: str, *values: object) -> Any:
        """Return the first value of a statement; None for none."""
        async with self.transaction() as connection:
            return await connection.fetchval(query, *values)

    async def execute(self, query: str, *values: object) -> str:
        """Run a statement and return its status."""
        async with self.transaction() as connection:
            return await connection.execute(query, *values)

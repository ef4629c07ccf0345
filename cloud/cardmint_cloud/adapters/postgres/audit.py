"""The audit log: statements for asyncpg. Entries are added, and never changed."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

from cardmint_cloud.adapters.postgres.connection import Executor, PostgresConnection
from cardmint_cloud.domain.audit_chain import ChainEntry

_HEAD = """
SELECT number, hash FROM audit_entries WHERE tenant = $1 ORDER BY number DESC LIMIT 1"""
_ADD = "INSERT INTO audit_entries (tenant, number, at, entry, hash) VALUES ($1, $2, $3, $4, $5)"
_READ = """
SELECT number, at, entry, hash FROM audit_entries WHERE tenant = $1 AND number > $2
 ORDER BY number LIMIT $3"""
_LATEST = """
SELECT number, at, entry FROM audit_entries WHERE tenant = $1 AND number < $2
 ORDER BY number DESC LIMIT $3"""
_PIECE = 1000


async def lock(connection: PostgresConnection, tenant: str) -> None:
    """Let nobody else add to this tenant's log until the transaction ends."""
    await connection.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended('audit/' || $1, 0))", tenant
    )


async def head(executor: Executor, tenant: str) -> tuple[int, bytes] | None:
    """Return number and hash of a tenant's last entry; None before the first."""
    row = await executor.fetchrow(_HEAD, tenant)
    return (row["number"], bytes(row["hash"])) if row else None


async def add(
    connection: PostgresConnection,
    tenant: str,
    entry: ChainEntry,
    at: datetime,
) -> None:
    """Add an entry."""
    await connection.execute(_ADD, tenant, entry.number, at, entry.entry, entry.hash)


async def read_all(connection: PostgresConnection, tenant: str) -> AsyncIterator[ChainEntry]:
    """Yield a tenant's entries, the first one first."""
    after = 0
    while found := await connection.fetch(_READ, tenant, after, _PIECE):
        for row in found:
            yield ChainEntry(
                number=row["number"], entry=row["entry"], hash=bytes(row["hash"]), at=row["at"]
            )
        after = found[-1]["number"]


async def latest(executor: Executor, tenant: str, before: int, limit: int) -> list[Any]:
    """Return the entries below a number, the last one first."""
    return await executor.fetch(_LATEST, tenant, before, limit)

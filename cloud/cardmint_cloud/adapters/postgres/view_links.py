"""Read-only links to lists of cards: statements for asyncpg."""

from datetime import datetime
from typing import Any
from uuid import UUID

from cardmint_cloud.adapters.postgres.connection import Executor

_ADD = """
INSERT INTO view_links (tenant, link, digest, account, name, query, made_at, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"""
_LIST = """
SELECT l.link, l.name, l.query, l.made_at, l.expires_at, l.used_at, a.name AS maker
  FROM view_links l JOIN accounts a USING (tenant, account)
 WHERE l.tenant = $1 AND l.expires_at > $2 ORDER BY l.made_at DESC, l.name, l.link"""
_OPEN = """
UPDATE view_links SET used_at = $3
 WHERE tenant = $1 AND digest = $2 AND expires_at > $3 RETURNING name, query, expires_at"""


async def add(
    executor: Executor,
    tenant: str,
    link: UUID,
    digest: bytes,
    *,
    account: UUID,
    name: str,
    query: str,
    now: datetime,
    expires_at: datetime,
) -> None:
    """Add a link."""
    values = (link, digest, account, name, query, now, expires_at)
    await executor.execute(_ADD, tenant, *values)


async def list_all(executor: Executor, tenant: str, now: datetime) -> list[Any]:
    """Return the links that are still good, the last one first, without their digests."""
    return await executor.fetch(_LIST, tenant, now)


async def open_link(executor: Executor, tenant: str, digest: bytes, now: datetime) -> Any:
    """Return a link's name, query and end, and note that it was used; None if it is not good."""
    return await executor.fetchrow(_OPEN, tenant, digest, now)


async def remove(executor: Executor, tenant: str, link: UUID) -> bool:
    """Remove a link; False where there is none such."""
    statement = "DELETE FROM view_links WHERE tenant = $1 AND link = $2"
    return await executor.execute(statement, tenant, link) == "DELETE 1"


async def remove_expired(executor: Executor, tenant: str, now: datetime) -> None:
    """Remove the links that have expired."""
    await executor.execute(
        "DELETE FROM view_links WHERE tenant = $1 AND expires_at <= $2", tenant, now
    )

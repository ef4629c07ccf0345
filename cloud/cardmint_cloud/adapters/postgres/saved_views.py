"""Queries that people keep under a name: statements for asyncpg."""

from datetime import datetime
from typing import Any

from cardmint_cloud.adapters.postgres.connection import Executor

_ADD = """
INSERT INTO saved_views (tenant, name, query, made_at)
SELECT $1, $2, $3, $4 WHERE (SELECT count(*) FROM saved_views WHERE tenant = $1) < $5
ON CONFLICT DO NOTHING"""
_LIST = "SELECT name, query FROM saved_views WHERE tenant = $1 ORDER BY lower(name), name"
_HAS = "SELECT EXISTS (SELECT FROM saved_views WHERE tenant = $1 AND name = $2)"
_REMOVE = "DELETE FROM saved_views WHERE tenant = $1 AND name = $2"


async def add(
    executor: Executor, tenant: str, name: str, query: str, *, now: datetime, most: int
) -> bool:
    """Keep a query; False where its name is taken, or where there are `most` already."""
    values = (tenant, name, query, now, most)
    return await executor.execute(_ADD, *values) == "INSERT 0 1"


async def list_all(executor: Executor, tenant: str) -> list[Any]:
    """Return all kept queries, by name."""
    return await executor.fetch(_LIST, tenant)


async def is_taken(executor: Executor, tenant: str, name: str) -> bool:
    """Return whether a query has this name."""
    return bool(await executor.fetchval(_HAS, tenant, name))


async def remove(executor: Executor, tenant: str, name: str) -> bool:
    """Remove a query; False where there is none such."""
    return await executor.execute(_REMOVE, tenant, name) == "DELETE 1"

"""Identities at another provider, and whose account they sign in to: statements for asyncpg."""

from datetime import datetime
from typing import Any
from uuid import UUID

from cardmint_cloud.adapters.postgres.connection import Executor

_FIND = """
SELECT a.account, a.password, a.disabled FROM account_identities i
  JOIN accounts a USING (tenant, account) WHERE i.tenant = $1 AND i.identity = $2"""
_ADD = """
INSERT INTO account_identities (tenant, identity, account, made_at) VALUES ($1, $2, $3, $4)
ON CONFLICT DO NOTHING"""


async def account_of(executor: Executor, tenant: str, identity: bytes) -> Any:
    """Return the account that an identity signs in to."""
    return await executor.fetchrow(_FIND, tenant, identity)


async def made_at(executor: Executor, tenant: str, account: UUID) -> datetime | None:
    """Return since when an account has an identity; None where it has none."""
    statement = "SELECT made_at FROM account_identities WHERE tenant = $1 AND account = $2"
    found: datetime | None = await executor.fetchval(statement, tenant, account)
    return found


async def add(
    executor: Executor, tenant: str, identity: bytes, account: UUID, now: datetime
) -> bool:
    """Connect an identity with an account; False where either has another already."""
    return await executor.execute(_ADD, tenant, identity, account, now) == "INSERT 0 1"


async def remove(executor: Executor, tenant: str, account: UUID) -> bool:
    """Remove an account's identity; False where it has none."""
    statement = "DELETE FROM account_identities WHERE tenant = $1 AND account = $2"
    return await executor.execute(statement, tenant, account) == "DELETE 1"

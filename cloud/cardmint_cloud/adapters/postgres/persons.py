"""What is kept of a person: statements for asyncpg."""

from typing import Any
from uuid import UUID

from cardmint_cloud.adapters.postgres.connection import Executor

_ACCOUNT = """
SELECT account, name, role, disabled, made_at FROM accounts WHERE tenant = $1 AND account = $2"""
_LISTS = {
    "sessions": "SELECT address, agent, began_at, seen_at FROM account_sessions",
    "identities": "SELECT encode(identity, 'hex') AS identity, made_at FROM account_identities",
    "factors": "SELECT kind, name, made_at, used_at FROM account_factors",
    "read_only_links": "SELECT name, query, made_at, expires_at, used_at FROM view_links",
}
_RENAME = """
UPDATE accounts SET name = $3, folded = $3, password = '', disabled = true
 WHERE tenant = $1 AND account = $2"""


async def everything(executor: Executor, tenant: str, account: UUID) -> dict[str, Any]:
    """Return the rows of a person, without secrets and hashes."""
    row = await executor.fetchrow(_ACCOUNT, tenant, account)
    lists = {
        name: [
            dict(one)
            for one in await executor.fetch(
                f"{query} WHERE tenant = $1 AND account = $2", tenant, account
            )
        ]
        for name, query in _LISTS.items()
    }
    return {"account": dict(row) if row else {}, **lists}


async def role_of(executor: Executor, tenant: str, account: UUID) -> str | None:
    """Return an account's role, if it is not disabled."""
    statement = "SELECT role FROM accounts WHERE tenant = $1 AND account = $2 AND NOT disabled"
    found: str | None = await executor.fetchval(statement, tenant, account)
    return found


async def remove_links(executor: Executor, tenant: str, account: UUID) -> None:
    """Remove a person's read-only links, links that recover the account, and identities."""
    for table in ("view_links", "account_links", "account_identities"):
        await executor.execute(
            f"DELETE FROM {table} WHERE tenant = $1 AND account = $2",  # noqa: S608 - our names
            tenant,
            account,
        )


async def rename(executor: Executor, tenant: str, account: UUID, name: str) -> None:
    """Give an account another name, and no password that matches; it is disabled."""
    await executor.execute(_RENAME, tenant, account, name)


async def count_events(executor: Executor, tenant: str, stream: UUID) -> int:
    """Return how many events a stream has."""
    statement = "SELECT sequence FROM watermarks WHERE tenant = $1 AND stream = $2"
    return int(await executor.fetchval(statement, tenant, stream) or 0)

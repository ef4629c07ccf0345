"""What is kept of a person: statements for asyncpg."""

from typing import Any
from uuid import UUID, uuid4

import msgspec

from cardmint_cloud.adapters.postgres.connection import Executor, PostgresConnection, fetch_one

_ACCOUNT = """
SELECT account, name, role, disabled, made_at FROM accounts WHERE tenant = $1 AND account = $2"""
_LISTS = {
    "identities": "SELECT encode(identity, 'hex') AS identity, made_at FROM account_identities",
    "factors": "SELECT kind, name, made_at, used_at FROM account_factors",
    "read_only_links": "SELECT name, query, made_at, expires_at, used_at FROM view_links",
}
_RENAME_EVENTS = """
UPDATE events SET stream = $3, bootid = $3, source = $4, data = replace(data, $5, $6)
 WHERE tenant = $1 AND stream = $2"""
_RENAME_STREAM = """
UPDATE watermarks SET stream = $3, source = $4, digest = NULL WHERE tenant = $1 AND stream = $2"""
_RENAME_ELSEWHERE = (
    # A station may be called as the person: what the person answered is in the person's stream.
    """
UPDATE reviews r SET answered_by = $4 WHERE tenant = $1 AND answered_by = $3
   AND EXISTS (SELECT FROM events e
                WHERE e.tenant = $1 AND e.stream = $2 AND e.subject = r.item)""",
    """
UPDATE held_quotes SET judged_by = $4
 WHERE tenant = $1 AND judged_by = $3 AND $2::uuid IS NOT NULL""",
    """
UPDATE review_leases SET holder = $4
 WHERE tenant = $1 AND holder = $3 AND $2::uuid IS NOT NULL""",
)
"""What is folded from the log or short-lived, and says who."""

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


async def name_of(executor: Executor, tenant: str, account: UUID) -> str:
    """Return an account's name."""
    row = await fetch_one(
        executor, "SELECT name FROM accounts WHERE tenant = $1 AND account = $2", tenant, account
    )
    return str(row["name"])


async def remove_links(executor: Executor, tenant: str, account: UUID) -> None:
    """Remove a person's read-only links and identities."""
    for table in ("view_links", "account_identities"):
        await executor.execute(
            f"DELETE FROM {table} WHERE tenant = $1 AND account = $2",  # noqa: S608 - our names
            tenant,
            account,
        )


async def rename(executor: Executor, tenant: str, account: UUID, name: str) -> None:
    """Give an account another name, and no password that matches; it is disabled."""
    await executor.execute(_RENAME, tenant, account, name)


async def count_events(executor: Executor, tenant: str, stream: UUID) -> int:
    """Return how many events a stream has, those in files of retired months among them."""
    statement = "SELECT sequence FROM watermarks WHERE tenant = $1 AND stream = $2"
    return int(await executor.fetchval(statement, tenant, stream) or 0)


async def count_present(executor: Executor, tenant: str, stream: UUID) -> int:
    """Return how many events of a stream are in the database."""
    statement = "SELECT count(*) FROM events WHERE tenant = $1 AND stream = $2"
    return int(await executor.fetchval(statement, tenant, stream) or 0)


async def take_name_out(
    owner: PostgresConnection,
    tenant: str,
    stream: UUID,
    *,
    name: str,
    source: str,
    reference: str,
) -> None:
    """Put a person's reference in place of the name, in the log and in what is folded from it.

    `stream` is the one that was numbered by the name; it becomes a random one, `source` the new
    source of its events. Nothing else of the events changes, nor their order.
    """
    fresh = uuid4()
    before, after = (msgspec.json.encode({"by": by}).decode()[1:-1] for by in (name, reference))
    await owner.execute(_RENAME_EVENTS, tenant, stream, fresh, source, before, after)
    # Without a digest: nobody else has this stream's, and no more events come to it.
    await owner.execute(_RENAME_STREAM, tenant, stream, fresh, source)
    for statement in _RENAME_ELSEWHERE:
        await owner.execute(statement, tenant, fresh, name, reference)

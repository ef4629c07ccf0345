"""Accounts, sessions, one-time links and tokens: statements for asyncpg. Each names its tenant."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from cardmint_cloud.adapters.postgres.connection import Executor

_BY_NAME = """
SELECT account, name, role, password, disabled FROM accounts WHERE tenant = $1 AND folded = $2"""
_HAS_FACTORS = """
       EXISTS (SELECT FROM account_factors f WHERE f.tenant = a.tenant AND f.account = a.account
                  AND f.confirmed)"""
_BY_SESSION = f"""
SELECT a.account, a.name, a.role, s.began_at, s.seen_at, s.stage, s.proved_at,
       a.stations, a.lots, {_HAS_FACTORS} AS factors
  FROM account_sessions s JOIN accounts a USING (tenant, account)
 WHERE s.tenant = $1 AND s.digest = $2 AND NOT a.disabled"""  # noqa: S608 - our fragment
_ADD = """
INSERT INTO accounts (tenant, account, name, folded, role, password, made_at, stations, lots)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING"""
_BEGIN = f"""
INSERT INTO account_sessions
       (tenant, digest, account, address, agent, personal, began_at, seen_at, stage, proved_at)
SELECT $1, $2, account, '', '', $4, $5, $5, s.stage,
       CASE s.stage WHEN 'whole' THEN $5::timestamptz END
  FROM accounts a CROSS JOIN LATERAL (
       SELECT CASE WHEN {_HAS_FACTORS} THEN 'second' ELSE 'whole' END AS stage) s
 WHERE a.tenant = $1 AND a.account = $3 AND a.password = $6 AND NOT a.disabled FOR SHARE OF a
RETURNING stage"""  # noqa: S608 - our fragment
_RENEW = """
UPDATE account_sessions SET digest = $3, stage = 'whole', proved_at = $4, seen_at = $4,
       began_at = CASE stage WHEN 'second' THEN $4 ELSE began_at END, challenge = NULL
 WHERE tenant = $1 AND digest = $2 RETURNING address, agent, personal"""
_RECOVERY_LINK = """
SELECT l.account, a.name FROM account_links l JOIN accounts a USING (tenant, account)
 WHERE l.tenant = $1 AND l.digest = $2 AND l.expires_at > $3 AND NOT a.disabled"""
_TAKE_RECOVERY_LINK = """
DELETE FROM account_links
 WHERE tenant = $1 AND digest = $2 AND expires_at > $3 AND account IS NOT NULL
RETURNING account, drops_factors"""
_ADD_RECOVERY_LINK = """
INSERT INTO account_links (tenant, digest, role, expires_at, account, drops_factors, made_by)
SELECT $1, $2, role, $4, account, $5, $6 FROM accounts WHERE tenant = $1 AND account = $3"""
_LIST_LINKS = """
SELECT l.digest, l.role, l.expires_at, l.drops_factors, l.stations, l.lots, a.name, m.name AS maker
  FROM account_links l LEFT JOIN accounts a USING (tenant, account)
  LEFT JOIN accounts m ON m.tenant = l.tenant AND m.account = l.made_by
 WHERE l.tenant = $1 AND l.expires_at > $2 ORDER BY l.expires_at, l.digest"""
_LIST = f"""
SELECT a.account, a.name, a.role, a.disabled, a.made_at, a.stations, a.lots,
       max(s.seen_at) AS seen_at,
       {_HAS_FACTORS} AS factors
  FROM accounts a LEFT JOIN account_sessions s USING (tenant, account)
 WHERE a.tenant = $1 GROUP BY a.tenant, a.account ORDER BY a.name"""  # noqa: S608 - our fragment
_SESSIONS = """
SELECT digest, address, agent, personal, began_at, seen_at FROM account_sessions
 WHERE tenant = $1 AND account = $2 AND stage = 'whole' ORDER BY seen_at DESC"""
_LAST_ADMIN = """
SELECT count(*) FROM accounts
 WHERE tenant = $1 AND role = 'admin' AND NOT disabled AND account <> $2"""
_TAKE_LINK = """
DELETE FROM account_links
 WHERE tenant = $1 AND digest = $2 AND expires_at > $3 AND account IS NULL
RETURNING role, stations, lots"""


async def account_named(executor: Executor, tenant: str, folded: str) -> Any:
    """Return an account by its folded name; None if there is none."""
    return await executor.fetchrow(_BY_NAME, tenant, folded)


async def account_of_session(executor: Executor, tenant: str, digest: bytes) -> Any:
    """Return a session's account, if it is not disabled, with the session's times."""
    return await executor.fetchrow(_BY_SESSION, tenant, digest)


async def add_account(
    executor: Executor,
    tenant: str,
    account: UUID,
    *,
    name: str,
    folded: str,
    role: str,
    password: str,
    now: datetime,
    stations: Sequence[str] = (),
    lots: Sequence[str] = (),
) -> bool:
    """Add an account; False where another one has the name."""
    values = (name, folded, role, password, now, list(stations), list(lots))
    done = await executor.execute(_ADD, tenant, account, *values)
    return done == "INSERT 0 1"


async def begin_session(
    executor: Executor,
    tenant: str,
    digest: bytes,
    account: UUID,
    *,
    password: str,
    personal: bytes,
    now: datetime,
) -> str | None:
    """Begin a session and return its stage: `second` where a second factor must follow.

    `personal` is where it comes from, sealed. None where the account is disabled or its password's
    hash is another.
    """
    found: str | None = await executor.fetchval(
        _BEGIN, tenant, digest, account, personal, now, password
    )
    return found


async def renew_session(
    executor: Executor, tenant: str, digest: bytes, renewed: bytes, now: datetime
) -> Any:
    """Give a session another digest, as one that proved itself; None where it has ended."""
    return await executor.fetchrow(_RENEW, tenant, digest, renewed, now)


async def touch_session(executor: Executor, tenant: str, digest: bytes, now: datetime) -> None:
    """Note that a session was used."""
    statement = "UPDATE account_sessions SET seen_at = $3 WHERE tenant = $1 AND digest = $2"
    await executor.execute(statement, tenant, digest, now)


async def end_session(executor: Executor, tenant: str, account: UUID, digest: bytes) -> None:
    """End one session of an account."""
    statement = "DELETE FROM account_sessions WHERE tenant = $1 AND account = $2 AND digest = $3"
    await executor.execute(statement, tenant, account, digest)


async def end_sessions(
    executor: Executor, tenant: str, account: UUID, keep: bytes | None = None
) -> None:
    """End all sessions of an account but one."""
    statement = (
        "DELETE FROM account_sessions WHERE tenant = $1 AND account = $2"
        " AND digest IS DISTINCT FROM $3"
    )
    await executor.execute(statement, tenant, account, keep)


async def end_old_sessions(
    executor: Executor, tenant: str, *, seen_before: datetime, begun_before: datetime
) -> None:
    """Delete the sessions that have expired."""
    statement = "DELETE FROM account_sessions WHERE tenant = $1 AND (seen_at < $2 OR began_at < $3)"
    await executor.execute(statement, tenant, seen_before, begun_before)


async def list_accounts(executor: Executor, tenant: str) -> list[Any]:
    """Return all accounts by name, each with the time when it was last used."""
    return await executor.fetch(_LIST, tenant)


async def list_names(executor: Executor, tenant: str) -> list[tuple[UUID, str]]:
    """Return the names of all accounts."""
    statement = "SELECT account, name FROM accounts WHERE tenant = $1"
    return [(row["account"], row["name"]) for row in await executor.fetch(statement, tenant)]


async def list_sessions(executor: Executor, tenant: str, account: UUID) -> list[Any]:
    """Return an account's sessions, the last used first."""
    return await executor.fetch(_SESSIONS, tenant, account)


async def password_of(executor: Executor, tenant: str, account: UUID) -> str | None:
    """Return the hash of an account's password."""
    statement = "SELECT password FROM accounts WHERE tenant = $1 AND account = $2"
    found: str | None = await executor.fetchval(statement, tenant, account)
    return found


async def set_password(executor: Executor, tenant: str, account: UUID, password: str) -> None:
    """Set the hash of an account's password."""
    statement = "UPDATE accounts SET password = $3 WHERE tenant = $1 AND account = $2"
    await executor.execute(statement, tenant, account, password)


async def find_account(executor: Executor, tenant: str, account: UUID) -> Any:
    """Return an account's role, and whether it is disabled; None if there is none."""
    statement = "SELECT role, disabled FROM accounts WHERE tenant = $1 AND account = $2"
    return await executor.fetchrow(statement, tenant, account)


async def change_account(
    executor: Executor,
    tenant: str,
    account: UUID,
    *,
    role: str,
    disabled: bool,
    stations: Sequence[str],
    lots: Sequence[str],
) -> None:
    """Set an account's role, whether it is disabled, and its reach."""
    statement = (
        "UPDATE accounts SET role = $3, disabled = $4, stations = $5, lots = $6"
        " WHERE tenant = $1 AND account = $2"
    )
    await executor.execute(statement, tenant, account, role, disabled, list(stations), list(lots))


async def other_admins(executor: Executor, tenant: str, account: UUID) -> int:
    """Return the number of admins besides an account, who are not disabled."""
    return int(await executor.fetchval(_LAST_ADMIN, tenant, account))


async def lock_accounts(executor: Executor, tenant: str) -> None:
    """Let nobody else change this tenant's accounts until the transaction ends."""
    await executor.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended('accounts/' || $1, 0))", tenant
    )


async def count_accounts(executor: Executor, tenant: str) -> int:
    """Return the number of accounts."""
    return int(await executor.fetchval("SELECT count(*) FROM accounts WHERE tenant = $1", tenant))


async def add_link(
    executor: Executor,
    tenant: str,
    digest: bytes,
    role: str,
    expires_at: datetime,
    *,
    stations: Sequence[str],
    lots: Sequence[str],
    made_by: UUID | None,
) -> None:
    """Add a one-time link of an account; `made_by` is None for the machine."""
    statement = (
        "INSERT INTO account_links (tenant, digest, role, expires_at, stations, lots, made_by)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7)"
    )
    await executor.execute(
        statement, tenant, digest, role, expires_at, list(stations), list(lots), made_by
    )


async def list_links(executor: Executor, tenant: str, now: datetime) -> list[Any]:
    """Return the one-time links that are good, with whom they are for and who made them."""
    return await executor.fetch(_LIST_LINKS, tenant, now)


async def remove_link(executor: Executor, tenant: str, digest: bytes) -> bool:
    """Remove a one-time link; False where there is none."""
    statement = "DELETE FROM account_links WHERE tenant = $1 AND digest = $2"
    return await executor.execute(statement, tenant, digest) == "DELETE 1"


async def link_role(executor: Executor, tenant: str, digest: bytes, now: datetime) -> str | None:
    """Return the role of a link that is still good; None if it is not."""
    statement = (
        "SELECT role FROM account_links"
        " WHERE tenant = $1 AND digest = $2 AND expires_at > $3 AND account IS NULL"
    )
    found: str | None = await executor.fetchval(statement, tenant, digest, now)
    return found


async def take_link(executor: Executor, tenant: str, digest: bytes, now: datetime) -> Any:
    """Use a link up, and return its role and reach; None if it is not good any more."""
    return await executor.fetchrow(_TAKE_LINK, tenant, digest, now)


async def add_recovery_link(
    executor: Executor,
    tenant: str,
    digest: bytes,
    account: UUID,
    *,
    expires_at: datetime,
    drops_factors: bool,
    made_by: UUID | None,
) -> bool:
    """Add a link that recovers an account; False where there is no such account."""
    done = await executor.execute(
        _ADD_RECOVERY_LINK, tenant, digest, account, expires_at, drops_factors, made_by
    )
    return done == "INSERT 0 1"


async def remove_recovery_links(executor: Executor, tenant: str, account: UUID) -> None:
    """Remove all links that recover an account."""
    statement = "DELETE FROM account_links WHERE tenant = $1 AND account = $2"
    await executor.execute(statement, tenant, account)


async def remove_links_made_by(executor: Executor, tenant: str, account: UUID) -> None:
    """Remove the one-time links that somebody made."""
    statement = "DELETE FROM account_links WHERE tenant = $1 AND made_by = $2"
    await executor.execute(statement, tenant, account)


async def recovery_link(executor: Executor, tenant: str, digest: bytes, now: datetime) -> Any:
    """Return account and name of a recovery link that is still good; None if it is not."""
    return await executor.fetchrow(_RECOVERY_LINK, tenant, digest, now)


async def take_recovery_link(executor: Executor, tenant: str, digest: bytes, now: datetime) -> Any:
    """Use a recovery link up; None if it is not good any more."""
    return await executor.fetchrow(_TAKE_RECOVERY_LINK, tenant, digest, now)


async def set_token(
    executor: Executor,
    tenant: str,
    digest: bytes,
    *,
    name: str,
    scope: str,
    now: datetime,
    expires_at: datetime | None,
    origins: Sequence[str],
    per_minute: int | None,
    stations: Sequence[str],
    lots: Sequence[str],
) -> None:
    """Add a token, in place of an earlier one of the same name."""
    statement = (
        "INSERT INTO access_tokens"
        " (tenant, digest, name, scope, made_at, expires_at, origins, per_minute, stations, lots)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (tenant, name) DO UPDATE"
        " SET digest = excluded.digest, scope = excluded.scope, made_at = excluded.made_at,"
        " expires_at = excluded.expires_at, origins = excluded.origins,"
        " per_minute = excluded.per_minute, stations = excluded.stations, lots = excluded.lots,"
        " used_at = NULL"
    )
    reach = (list(stations), list(lots))
    values = (name, scope, now, expires_at, list(origins), per_minute, *reach)
    await executor.execute(statement, tenant, digest, *values)


async def has_token_for(executor: Executor, tenant: str, origin: str) -> bool:
    """Return whether pages of an origin may use any token."""
    statement = "SELECT EXISTS (SELECT FROM access_tokens WHERE tenant = $1 AND $2 = ANY(origins))"
    return bool(await executor.fetchval(statement, tenant, origin))


async def token_of(executor: Executor, tenant: str, digest: bytes) -> Any:
    """Return a token's name, scope, times, origins and pace; None if there is none."""
    statement = (
        "SELECT name, scope, used_at, expires_at, origins, per_minute, stations, lots"
        " FROM access_tokens WHERE tenant = $1 AND digest = $2"
    )
    return await executor.fetchrow(statement, tenant, digest)


async def touch_token(executor: Executor, tenant: str, digest: bytes, now: datetime) -> None:
    """Note that a token was used."""
    statement = "UPDATE access_tokens SET used_at = $3 WHERE tenant = $1 AND digest = $2"
    await executor.execute(statement, tenant, digest, now)


async def list_tokens(executor: Executor, tenant: str) -> list[Any]:
    """Return all tokens by name, without their digests."""
    statement = (
        "SELECT name, scope, made_at, used_at, expires_at, origins, per_minute, stations, lots"
        " FROM access_tokens WHERE tenant = $1 ORDER BY name"
    )
    return await executor.fetch(statement, tenant)


async def remove_token(executor: Executor, tenant: str, name: str) -> bool:
    """Remove a token; False where there is none of that name."""
    statement = "DELETE FROM access_tokens WHERE tenant = $1 AND name = $2"
    return await executor.execute(statement, tenant, name) == "DELETE 1"

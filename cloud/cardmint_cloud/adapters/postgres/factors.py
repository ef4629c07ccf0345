"""Second factors and recovery codes: statements for asyncpg. Each names its tenant."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from cardmint_cloud.adapters.postgres.connection import Executor, PostgresConnection

_LIST = """
SELECT factor, kind, name, secret, credential, counter, confirmed, made_at, used_at
  FROM account_factors WHERE tenant = $1 AND account = $2 ORDER BY made_at, factor"""
_ADD = """
INSERT INTO account_factors
    (tenant, factor, account, kind, name, secret, credential, counter, confirmed, made_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING"""
_USE = """
UPDATE account_factors SET counter = $4, used_at = $5, confirmed = true
 WHERE tenant = $1 AND factor = $2 AND counter = $3"""
_OF_CREDENTIAL = """
SELECT f.factor, f.account, f.secret, f.counter, a.password
  FROM account_factors f JOIN accounts a USING (tenant, account)
 WHERE f.tenant = $1 AND f.credential = $2 AND f.confirmed AND NOT a.disabled"""
_TAKE_CHALLENGE = """
WITH old AS (SELECT digest, challenge FROM account_sessions
              WHERE tenant = $1 AND digest = $2 FOR UPDATE)
UPDATE account_sessions s SET challenge = NULL FROM old
 WHERE s.tenant = $1 AND s.digest = old.digest RETURNING old.challenge"""


async def list_factors(executor: Executor, tenant: str, account: UUID) -> list[Any]:
    """Return an account's factors, also one whose setting up was begun."""
    return await executor.fetch(_LIST, tenant, account)


async def add_factor(
    executor: Executor,
    tenant: str,
    account: UUID,
    factor: UUID,
    *,
    kind: str,
    name: str,
    secret: bytes,
    now: datetime,
    credential: bytes | None = None,
    counter: int = 0,
    confirmed: bool = False,
) -> bool:
    """Add a factor; False where its credential is known."""
    done = await executor.execute(
        _ADD, tenant, factor, account, kind, name, secret, credential, counter, confirmed, now
    )
    return done == "INSERT 0 1"


async def use_factor(
    executor: Executor, tenant: str, factor: UUID, *, before: int, after: int, now: datetime
) -> bool:
    """Note that a factor was used, from one counter to the next; False if it was just before."""
    done = await executor.execute(_USE, tenant, factor, before, after, now)
    return done == "UPDATE 1"


async def remove_factor(executor: Executor, tenant: str, account: UUID, factor: UUID) -> str | None:
    """Remove a factor of an account, and return its kind; None where there is none."""
    statement = (
        "DELETE FROM account_factors WHERE tenant = $1 AND account = $2 AND factor = $3"
        " RETURNING kind"
    )
    found: str | None = await executor.fetchval(statement, tenant, account, factor)
    return found


async def remove_unconfirmed(executor: Executor, tenant: str, account: UUID) -> None:
    """Remove a factor whose setting up was begun and not finished."""
    await executor.execute(
        "DELETE FROM account_factors WHERE tenant = $1 AND account = $2 AND NOT confirmed",
        tenant,
        account,
    )


async def remove_all(executor: Executor, tenant: str, account: UUID) -> None:
    """Remove all factors and recovery codes of an account."""
    for table in ("account_factors", "recovery_codes"):
        await executor.execute(
            f"DELETE FROM {table} WHERE tenant = $1 AND account = $2",  # noqa: S608 - two names
            tenant,
            account,
        )


async def set_recovery_codes(
    connection: PostgresConnection, tenant: str, account: UUID, digests: Sequence[bytes]
) -> None:
    """Put new recovery codes in place of earlier ones."""
    await connection.execute(
        "DELETE FROM recovery_codes WHERE tenant = $1 AND account = $2", tenant, account
    )
    await connection.execute(
        "INSERT INTO recovery_codes (tenant, account, digest) SELECT $1, $2, unnest($3::bytea[])",
        tenant,
        account,
        list(digests),
    )


async def take_recovery_code(executor: Executor, tenant: str, account: UUID, digest: bytes) -> bool:
    """Use a recovery code up; False where there is none such."""
    statement = "DELETE FROM recovery_codes WHERE tenant = $1 AND account = $2 AND digest = $3"
    return await executor.execute(statement, tenant, account, digest) == "DELETE 1"


async def count_recovery_codes(executor: Executor, tenant: str, account: UUID) -> int:
    """Return how many recovery codes are left."""
    statement = "SELECT count(*) FROM recovery_codes WHERE tenant = $1 AND account = $2"
    return int(await executor.fetchval(statement, tenant, account))


async def set_challenge(executor: Executor, tenant: str, session: bytes, challenge: bytes) -> None:
    """Keep the challenge that a session's passkey is to sign."""
    await executor.execute(
        "UPDATE account_sessions SET challenge = $3 WHERE tenant = $1 AND digest = $2",
        tenant,
        session,
        challenge,
    )


async def take_challenge(executor: Executor, tenant: str, session: bytes) -> bytes | None:
    """Use a session's challenge up, and return it; None where there is none."""
    found = await executor.fetchval(_TAKE_CHALLENGE, tenant, session)
    return bytes(found) if found is not None else None


async def add_passkey_challenge(
    connection: PostgresConnection,
    tenant: str,
    challenge: bytes,
    *,
    now: datetime,
    expires_at: datetime,
) -> None:
    """Keep a challenge for whoever signs in by a passkey; old ones go."""
    await connection.execute(
        "DELETE FROM passkey_challenges WHERE tenant = $1 AND expires_at < $2", tenant, now
    )
    await connection.execute(
        "INSERT INTO passkey_challenges (tenant, challenge, expires_at) VALUES ($1, $2, $3)",
        tenant,
        challenge,
        expires_at,
    )


async def take_passkey_challenge(
    executor: Executor, tenant: str, challenge: bytes, now: datetime
) -> bool:
    """Use a challenge up; False where it was not given out, was used, or is too old."""
    statement = (
        "DELETE FROM passkey_challenges WHERE tenant = $1 AND challenge = $2 AND expires_at > $3"
    )
    return await executor.execute(statement, tenant, challenge, now) == "DELETE 1"


async def passkey_of(executor: Executor, tenant: str, credential: bytes) -> Any:
    """Return a passkey with its account, unless that is disabled; None if there is none."""
    return await executor.fetchrow(_OF_CREDENTIAL, tenant, credential)

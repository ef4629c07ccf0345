"""Webhooks, their secrets and deliveries: statements for asyncpg."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from cardmint_cloud.adapters.postgres.connection import Executor

KEPT = 200
"""Deliveries of a webhook that are kept."""

LEASE = timedelta(minutes=2)
"""Time for which one dashboard sends for a webhook."""

_ADD = """
INSERT INTO webhooks (tenant, webhook, url, kinds, made_at, next, due_at)
SELECT $1, $2, $3, $4, $5, numbered + 1, $5 FROM feeds WHERE tenant = $1"""
_LIST = "SELECT * FROM webhooks WHERE tenant = $1 ORDER BY made_at, webhook"
_FIND = "SELECT * FROM webhooks WHERE tenant = $1 AND webhook = $2"
_REMOVE = "DELETE FROM webhooks WHERE tenant = $1 AND webhook = $2 RETURNING webhook"
_PLACE = """
UPDATE webhooks SET next = $3, failures = 0, failed_at = NULL, off = '', due_at = $4,
       leased_until = NULL
 WHERE tenant = $1 AND webhook = $2"""
_TAKE = """
UPDATE webhooks SET leased_until = $3
 WHERE tenant = $1 AND webhook = (
       SELECT w.webhook FROM webhooks w JOIN feeds f USING (tenant)
        WHERE w.tenant = $1 AND w.off = '' AND w.due_at <= $2 AND w.next <= f.numbered
          AND (w.leased_until IS NULL OR w.leased_until <= $2)
        ORDER BY w.due_at, w.webhook LIMIT 1 FOR UPDATE OF w SKIP LOCKED)
RETURNING *"""
_GIVE_BACK = """
UPDATE webhooks SET leased_until = NULL
 WHERE tenant = $1 AND webhook = $2 AND leased_until = $3"""
_MOVE = """
UPDATE webhooks SET next = $4, due_at = $5, failures = $6, failed_at = $7, off = $8
 WHERE tenant = $1 AND webhook = $2 AND leased_until = $3 AND next = $9 RETURNING webhook"""
_ADD_KEY = """
INSERT INTO webhook_secrets (tenant, webhook, secret, master, wrapped, made_at)
VALUES ($1, $2, $3, $4, $5, $6)"""
_END_KEYS = """
UPDATE webhook_secrets SET ends_at = $3 WHERE tenant = $1 AND webhook = $2 AND ends_at IS NULL"""
_FORGET_KEYS = "DELETE FROM webhook_secrets WHERE tenant = $1 AND webhook = $2 AND ends_at <= $3"
_SECRETS = """
SELECT secret, master, wrapped FROM webhook_secrets
 WHERE tenant = $1 AND webhook = $2 AND (ends_at IS NULL OR ends_at > $3)
 ORDER BY made_at DESC, secret"""
_LIST_SECRETS = """
SELECT secret, master, wrapped FROM webhook_secrets WHERE tenant = $1 AND master <> $2
   FOR UPDATE"""
_SET_KEY = """
UPDATE webhook_secrets SET master = $3, wrapped = $4 WHERE tenant = $1 AND secret = $2"""
_MASTERS = "SELECT DISTINCT master FROM webhook_secrets WHERE tenant = $1 ORDER BY 1"
_DELIVERED = """
WITH there AS (SELECT FROM webhooks WHERE tenant = $1 AND webhook = $2 FOR KEY SHARE)
INSERT INTO webhook_deliveries (tenant, webhook, number, type, sent_at, milliseconds, status,
                                answer)
SELECT $1, $2, $3, $4, $5, $6, $7, $8 FROM there"""
_FORGET = """
DELETE FROM webhook_deliveries WHERE tenant = $1 AND webhook = $2 AND id <= (
       SELECT id FROM webhook_deliveries WHERE tenant = $1 AND webhook = $2
        ORDER BY id DESC OFFSET $3 LIMIT 1)"""
_DELIVERIES = """
SELECT number, type, sent_at, milliseconds, status, answer FROM webhook_deliveries
 WHERE tenant = $1 AND webhook = $2 ORDER BY id DESC"""


class Place(NamedTuple):
    """Where a webhook is: its next event, failed attempts to send it, when it is due, why off."""

    next: int
    due_at: datetime
    failures: int = 0
    failed_at: datetime | None = None
    off: str = ""


async def add(
    executor: Executor,
    tenant: str,
    webhook: UUID,
    *,
    url: str,
    kinds: Sequence[str],
    now: datetime,
) -> None:
    """Add a webhook that begins after the newest event of the tenant's feed, which is open."""
    await executor.execute(_ADD, tenant, webhook, url, list(kinds), now)


async def list_all(executor: Executor, tenant: str) -> list[Any]:
    """Return a tenant's webhooks, the oldest first."""
    return await executor.fetch(_LIST, tenant)


async def find(executor: Executor, tenant: str, webhook: UUID) -> Any:
    """Return a webhook; None for none."""
    return await executor.fetchrow(_FIND, tenant, webhook)


async def remove(executor: Executor, tenant: str, webhook: UUID) -> bool:
    """Remove a webhook, its secrets and deliveries; return whether there was one."""
    return bool(await executor.fetch(_REMOVE, tenant, webhook))


async def set_next(
    executor: Executor, tenant: str, webhook: UUID, number: int, now: datetime
) -> None:
    """Let a webhook go on with an event, at once, also where it was off."""
    await executor.execute(_PLACE, tenant, webhook, number, now)


async def take_due(executor: Executor, tenant: str, now: datetime) -> Any:
    """Lease a webhook that has something to send; None for none."""
    return await executor.fetchrow(_TAKE, tenant, now, now + LEASE)


async def give_back(executor: Executor, tenant: str, leased: Any) -> None:
    """End a lease."""
    await executor.execute(_GIVE_BACK, tenant, leased["webhook"], leased["leased_until"])


async def move(executor: Executor, tenant: str, leased: Any, place: Place) -> bool:
    """Record where a leased webhook is; False where the lease ended or somebody moved it."""
    key = (leased["webhook"], leased["leased_until"])
    return bool(await executor.fetch(_MOVE, tenant, *key, *place, leased["next"]))


async def add_secret(
    executor: Executor,
    tenant: str,
    webhook: UUID,
    secret: UUID,
    *,
    master: str,
    wrapped: bytes,
    now: datetime,
) -> None:
    """Add a webhook's secret, wrapped by a master key."""
    await executor.execute(_ADD_KEY, tenant, webhook, secret, master, wrapped, now)


async def end_secrets(
    executor: Executor, tenant: str, webhook: UUID, *, now: datetime, ends_at: datetime
) -> None:
    """Let the secrets of a webhook end at a moment, and forget those that have ended."""
    await executor.execute(_FORGET_KEYS, tenant, webhook, now)
    await executor.execute(_END_KEYS, tenant, webhook, ends_at)


async def secrets_of(executor: Executor, tenant: str, webhook: UUID, now: datetime) -> list[Any]:
    """Return the secrets of a webhook that are good, the newest first."""
    return await executor.fetch(_SECRETS, tenant, webhook, now)


async def list_secrets(executor: Executor, tenant: str, *, but: str) -> list[Any]:
    """Return all secrets that another master key than `but` wraps, locked."""
    return await executor.fetch(_LIST_SECRETS, tenant, but)


async def wrap_again(
    executor: Executor, tenant: str, secret: UUID, *, master: str, wrapped: bytes
) -> None:
    """Store a secret as another master key wraps it."""
    await executor.execute(_SET_KEY, tenant, secret, master, wrapped)


async def masters(executor: Executor, tenant: str) -> list[str]:
    """Return the names of the master keys that wrap any secret."""
    return [row["master"] for row in await executor.fetch(_MASTERS, tenant)]


async def add_delivery(
    executor: Executor,
    tenant: str,
    webhook: UUID,
    number: int,
    *,
    kind: str,
    now: datetime,
    milliseconds: int,
    status: int,
    answer: str,
) -> None:
    """Record an attempt of a webhook that may be gone, and forget those before the last `KEPT`."""
    text = answer.replace("\x00", "\N{REPLACEMENT CHARACTER}")
    values = (number, kind, now, milliseconds, status, text)
    await executor.execute(_DELIVERED, tenant, webhook, *values)
    await executor.execute(_FORGET, tenant, webhook, KEPT)


async def deliveries(executor: Executor, tenant: str, webhook: UUID) -> list[Any]:
    """Return a webhook's last attempts, the newest first."""
    return await executor.fetch(_DELIVERIES, tenant, webhook)

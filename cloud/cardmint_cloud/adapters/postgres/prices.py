"""Prices in Postgres: which cards are due to be asked about, and what was answered."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from cardmint_cloud.adapters.postgres.log import Connection, notify
from cardmint_cloud.domain.quotes import Quote

_CLAIM = """
UPDATE price_checks p SET due_at = $2
  FROM (SELECT tenant, card_id FROM price_checks WHERE due_at <= $1
         ORDER BY due_at, tenant, card_id LIMIT $3 FOR UPDATE SKIP LOCKED) AS due
 WHERE p.tenant = due.tenant AND p.card_id = due.card_id
RETURNING p.tenant, p.card_id, p.attempts"""
_HISTORY = """
INSERT INTO quotes (tenant, card_id, finish, edition, source, basis, minor, currency, as_of, fetched_at)
SELECT $1, $2, n.finish, n.edition, n.source, n.basis, n.minor, n.currency, n.as_of, $11::timestamptz
  FROM unnest($3::text[], $4::text[], $5::text[], $6::text[], $7::bigint[], $8::text[], $9::timestamptz[],
              $10::boolean[]) AS n (finish, edition, source, basis, minor, currency, as_of, lowest) LEFT JOIN LATERAL (
       SELECT * FROM quotes q
        WHERE q.tenant = $1 AND q.card_id = $2 AND q.finish = n.finish AND q.edition = n.edition
        ORDER BY q.fetched_at DESC, q.id DESC LIMIT 1) AS last ON true
 WHERE (last.minor, last.currency, last.source, last.basis) IS DISTINCT FROM
       (n.minor, n.currency, n.source, n.basis)
RETURNING id"""
_CURRENT = """
INSERT INTO current_quotes (tenant, card_id, finish, edition, source, basis, minor, currency, as_of, lowest, fetched_at)
SELECT $1, $2, n.*, $11::timestamptz
  FROM unnest($3::text[], $4::text[], $5::text[], $6::text[], $7::bigint[], $8::text[], $9::timestamptz[],
              $10::boolean[]) AS n (finish, edition, source, basis, minor, currency, as_of, lowest)
ON CONFLICT (tenant, card_id, finish, edition) DO UPDATE
   SET source = excluded.source, basis = excluded.basis, minor = excluded.minor, currency = excluded.currency,
       as_of = excluded.as_of, fetched_at = excluded.fetched_at, lowest = excluded.lowest"""
_SCHEDULE = """
UPDATE price_checks SET due_at = $3, attempts = $4, error = $5 WHERE tenant = $1 AND card_id = $2"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """A card whose price is due. `attempts` counts the failures since the last success."""

    tenant: str
    card_id: str
    attempts: int


async def claim(connection: Connection, now: datetime, *, limit: int, lease: timedelta) -> list[Check]:
    """Take due checks for the length of `lease`, after which they are due again for whoever asks."""
    rows = await connection.fetch(_CLAIM, now, now + lease, limit)
    return [Check(tenant=row["tenant"], card_id=row["card_id"], attempts=row["attempts"]) for row in rows]


async def keep(
    connection: Connection, check: Check, said: Sequence[Quote], lines: Sequence[Quote], now: datetime
) -> bool:
    """Append what differs from the last time to the history, replace the current prices, and tell listeners of it."""
    changed = await connection.fetch(_HISTORY, check.tenant, check.card_id, *_columns(said), now)
    await connection.execute(_CURRENT, check.tenant, check.card_id, *_columns(lines), now)
    if changed:
        await notify(connection, check.tenant, "prices")
    return bool(changed)


async def schedule(connection: Connection, check: Check, due_at: datetime, *, attempts: int, error: str) -> None:
    """Say when a card is asked about next, and what went wrong, if anything."""
    await connection.execute(_SCHEDULE, check.tenant, check.card_id, due_at, attempts, error)


def _columns(quotes: Sequence[Quote]) -> list[list[Any]]:
    fields = ("finish", "edition", "source", "basis", "minor", "currency", "as_of", "lowest")
    return [[getattr(quote, field) for quote in quotes] for field in fields]

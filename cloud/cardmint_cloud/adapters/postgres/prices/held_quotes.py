"""Held quotes and people's verdicts on them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cardmint_cloud.adapters.postgres.connection import PostgresConnection
from cardmint_cloud.domain.quotes import Quote

_QUOTE = "finish, edition, grade, source, basis, minor, currency, as_of"
_LOAD = f"""
SELECT id, card_id, state, judged_by, fetched_at, {_QUOTE} FROM held_quotes
 WHERE tenant = $1 AND id = $2 FOR UPDATE"""  # noqa: S608 - the columns are named above
_SETTLE = """
UPDATE held_quotes
   SET state = $2::text, judged_by = $3,
          judged_at = CASE WHEN $2::text = 'open' THEN NULL ELSE $4::timestamptz END
 WHERE tenant = $5 AND id = $1"""
_BEFORE = f"""
SELECT {_QUOTE} FROM quotes
 WHERE (tenant, card_id, finish, edition, grade) = ($1, $2, $3, $4, $5) AND minor <> $6
 ORDER BY fetched_at DESC, id DESC LIMIT 1"""  # noqa: S608 - the columns are named above
_WAITING = """
SELECT h.*, p.name, p.number, p.set_id, p.set_name,
       (SELECT sum(count) FROM holdings o WHERE o.tenant = h.tenant AND o.card_id = h.card_id)
              AS cards
  FROM held_quotes h JOIN printings p ON p.tenant = h.tenant AND p.card_id = h.card_id
 WHERE h.tenant = $1 AND (h.state = 'open' OR h.judged_at > $2)
 ORDER BY h.state <> 'open', abs(h.minor - h.against_minor) DESC, h.id LIMIT $3"""


@dataclass(frozen=True, kw_only=True, slots=True)
class HeldQuoteRecord:
    """A held quote and its state: `open`, `taken` or `refused`."""

    id: int
    card_id: str
    state: str
    judged_by: str
    fetched_at: datetime
    quote: Quote


async def load_held(
    connection: PostgresConnection, tenant: str, number: int
) -> HeldQuoteRecord | None:
    """Read and lock a held quote; None when it does not exist."""
    rows = await connection.fetch(_LOAD, tenant, number)
    if not rows:
        return None
    values = dict(rows[0])
    own = {name: values.pop(name) for name in ("id", "card_id", "state", "judged_by", "fetched_at")}
    return HeldQuoteRecord(quote=Quote(**values), **own)


async def settle_held(
    connection: PostgresConnection, tenant: str, number: int, *, state: str, by: str, now: datetime
) -> None:
    """Set the state of a held quote."""
    await connection.execute(_SETTLE, number, state, by, now, tenant)


async def quote_before(
    connection: PostgresConnection, tenant: str, found: HeldQuoteRecord
) -> Quote | None:
    """Return the quote that counted before a held one was taken; None for none."""
    quote = found.quote
    rows = await connection.fetch(_BEFORE, tenant, found.card_id, *quote.kind, quote.minor)
    return Quote(**dict(rows[0])) if rows else None


async def list_waiting(
    connection: PostgresConnection, tenant: str, judged_since: datetime, limit: int = 20
) -> list[dict[str, Any]]:
    """Return the open held quotes, the largest difference first, then recently judged ones."""
    return [dict(row) for row in await connection.fetch(_WAITING, tenant, judged_since, limit)]

"""Quotes in Postgres: history, current prices, held quotes and price checks."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from cardmint_cloud.adapters.postgres import feed
from cardmint_cloud.adapters.postgres.columns import printing_of
from cardmint_cloud.adapters.postgres.connection import PostgresConnection
from cardmint_cloud.adapters.postgres.ingest.event_log import notify
from cardmint_cloud.domain.feed import price_entries
from cardmint_cloud.domain.quotes import HeldQuote, Quote
from cardmint_contracts.cards import Card, Edition, Finish, Money
from cardmint_contracts.notifications import Subject
from cardmint_contracts.prices import LastPrice

_CARD = """
SELECT card_id, name, number, set_id, set_name FROM printings
 WHERE tenant = $1 AND card_id = $2"""
_KNOWN = """
SELECT DISTINCT ON (card_id, finish, edition, grade, source) card_id, finish, edition, grade,
       source, basis, minor, currency, as_of
  FROM quotes WHERE tenant = $1 AND card_id = ANY($2::text[]) AND fetched_at <= $3
 ORDER BY card_id, finish, edition, grade, source, fetched_at DESC, id DESC"""
_DEAREST = "SELECT max(minor) FROM current_quotes WHERE tenant = $1 AND card_id = $2"
_HISTORY = """
INSERT INTO quotes (tenant, card_id, finish, edition, grade, source, basis, minor, currency, as_of,
       fetched_at)
SELECT $1, $2, n.finish, n.edition, n.grade, n.source, n.basis, n.minor, n.currency, n.as_of,
       $12::timestamptz
  FROM unnest($3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bigint[], $9::text[],
         $10::timestamptz[], $11::boolean[]) AS n (finish, edition, grade, source, basis, minor,
         currency, as_of, lowest)
  LEFT JOIN LATERAL (
       SELECT * FROM quotes q
        WHERE q.tenant = $1 AND q.card_id = $2 AND q.finish = n.finish AND q.edition = n.edition
               AND q.grade = n.grade
        ORDER BY q.fetched_at DESC, q.id DESC LIMIT 1) AS last ON true
 WHERE (last.minor, last.currency, last.source, last.basis) IS DISTINCT FROM
       (n.minor, n.currency, n.source, n.basis)
RETURNING id"""
_BEFORE = """
SELECT finish, edition, minor, currency FROM current_quotes
 WHERE tenant = $1 AND card_id = $2 ORDER BY finish, edition FOR UPDATE"""
_CURRENT = """
INSERT INTO current_quotes (tenant, card_id, finish, edition, source, basis, minor, currency,
       as_of, lowest, fetched_at)
SELECT $1, $2, n.finish, n.edition, n.source, n.basis, n.minor, n.currency, n.as_of, n.lowest,
       $12::timestamptz
  FROM unnest($3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bigint[], $9::text[],
         $10::timestamptz[], $11::boolean[]) AS n (finish, edition, grade, source, basis, minor,
         currency, as_of, lowest)
ON CONFLICT (tenant, card_id, finish, edition) DO UPDATE
   SET source = excluded.source, basis = excluded.basis, minor = excluded.minor,
          currency = excluded.currency, as_of = excluded.as_of, fetched_at = excluded.fetched_at,
          lowest = excluded.lowest"""
# A price that a person refused is not asked about again until it is another.
_HOLD = """
INSERT INTO held_quotes AS h (tenant, card_id, finish, edition, grade, source, basis, minor,
       currency, as_of, fetched_at, against_minor, against_source, against_as_of)
SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14
 WHERE NOT EXISTS (SELECT FROM held_quotes r
                    WHERE (r.tenant, r.card_id, r.finish, r.edition, r.grade, r.source, r.minor,
                           r.currency, r.state)
                        = ($1, $2, $3, $4, $5, $6, $8, $9, 'refused'))
ON CONFLICT (tenant, card_id, finish, edition, grade, source) WHERE state = 'open' DO UPDATE
   SET basis = excluded.basis, minor = excluded.minor, currency = excluded.currency,
          as_of = excluded.as_of, fetched_at = excluded.fetched_at
RETURNING id"""
_SETTLED = """
DELETE FROM held_quotes
 WHERE tenant = $1 AND card_id = $2 AND state = 'open' AND (finish, edition, grade, source) IN (
       SELECT * FROM unnest($3::text[], $4::text[], $5::text[], $6::text[]))"""
_SCHEDULE = """
UPDATE price_checks SET due_at = $3, attempts = $4, error = $5 WHERE tenant = $1 AND card_id = $2"""
_LAST = """
SELECT card_id, finish, edition, minor, currency, as_of, source FROM current_quotes
 WHERE tenant = $1 ORDER BY card_id, finish, edition"""
_MISSED = (
    "UPDATE price_checks SET attempts = attempts + 1, error = $3 WHERE tenant = $1 AND card_id = $2"
)


async def find_printing(connection: PostgresConnection, tenant: str, card_id: str) -> Card | None:
    """Return a printing as stations have named it; None when none has."""
    row = await connection.fetchrow(_CARD, tenant, card_id)
    if row is None:
        return None
    return printing_of(row)


async def known_quotes(
    connection: PostgresConnection, tenant: str, card_ids: Collection[str], at: datetime
) -> dict[str, list[Quote]]:
    """Return each printing's last believed quote of each kind and source, as of a moment."""
    known: dict[str, list[Quote]] = {card_id: [] for card_id in card_ids}
    for row in await connection.fetch(_KNOWN, tenant, list(known), at):
        columns = dict(row)
        known[columns.pop("card_id")].append(Quote(**columns))
    return known


async def dearest_price(connection: PostgresConnection, tenant: str, card_id: str) -> int | None:
    """Return the current price of a card's dearest kind in minor units; None for none."""
    minor: int | None = await connection.fetchval(_DEAREST, tenant, card_id)
    return minor


async def keep_quotes(
    connection: PostgresConnection,
    tenant: str,
    card_id: str,
    *,
    taken: Sequence[Quote],
    held: Sequence[HeldQuote],
    lines: Sequence[Quote],
    now: datetime,
) -> bool:
    """Append changed quotes to the history, replace the current prices, store held quotes.

    A taken quote removes the open held quotes of its kind and source. Return whether the history
    grew.
    """
    changed = await connection.fetch(_HISTORY, tenant, card_id, *_columns(taken), now)
    told = await feed.is_open(connection, tenant)
    before = await _prices_before(connection, tenant, card_id) if told else {}
    await connection.execute(_CURRENT, tenant, card_id, *_columns(lines), now)
    if told:
        await feed.write(connection, tenant, price_entries(card_id, lines, before, now), now)
    await connection.execute(_SETTLED, tenant, card_id, *_columns(taken)[:4])
    asked = [await connection.fetch(_HOLD, tenant, card_id, *_held(one, now)) for one in held]
    if changed:
        await notify(connection, tenant, Subject.PRICES)
    if any(asked):
        await notify(connection, tenant, Subject.REVIEWS)
    return bool(changed)


async def _prices_before(
    connection: PostgresConnection, tenant: str, card_id: str
) -> dict[tuple[str, str], Money]:
    """Return a card's current price by finish and edition, and lock them."""
    return {
        (row["finish"], row["edition"]): Money(minor=row["minor"], currency=row["currency"])
        for row in await connection.fetch(_BEFORE, tenant, card_id)
    }


async def schedule_check(
    connection: PostgresConnection, tenant: str, card_id: str, due_at: datetime, error: str
) -> None:
    """Set when a card is asked about next, and the reason why it has no price, if so."""
    await connection.execute(_SCHEDULE, tenant, card_id, due_at, 0, error)


async def note_missed(
    connection: PostgresConnection, tenant: str, card_id: str, error: str
) -> None:
    """Record that no provider answered; the last price stays and the queue tries again."""
    await connection.execute(_MISSED, tenant, card_id, error.replace("\x00", "�")[:500])


def _held(one: HeldQuote, now: datetime) -> tuple[Any, ...]:
    quote, against = one.quote, one.against
    return (
        *(
            quote.finish,
            quote.edition,
            quote.grade,
            quote.source,
            quote.basis,
            quote.minor,
            quote.currency,
        ),
        *(quote.as_of, now, against.minor, against.source, against.as_of),
    )


def _columns(quotes: Sequence[Quote]) -> list[list[Any]]:
    fields = (
        "finish",
        "edition",
        "grade",
        "source",
        "basis",
        "minor",
        "currency",
        "as_of",
        "lowest",
    )
    return [[getattr(quote, field) for quote in quotes] for field in fields]


async def last_prices(connection: PostgresConnection, tenant: str) -> list[LastPrice]:
    """Return the current price of each description of each card, for packs."""
    return [
        LastPrice(
            card=row["card_id"],
            price=Money(minor=row["minor"], currency=row["currency"]),
            as_of=row["as_of"],
            source=row["source"],
            finish=Finish(row["finish"]) if row["finish"] else None,
            edition=Edition(row["edition"]) if row["edition"] else None,
        )
        for row in await connection.fetch(_LAST, tenant)
    ]

"""The event log and what is folded from it, written: set-based SQL on asyncpg, one transaction a group of batches."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol
from uuid import UUID

import msgspec

from cardmint_cloud.domain.items import Changes, Item, ItemKey, Prior, Review, ReviewKey, Status, subject
from cardmint_contracts.cards import Candidate, Card, Image
from cardmint_contracts.envelope import Envelope
from cardmint_contracts.events import EventData


class Connection(Protocol):
    """What is used of an asyncpg connection, whether it comes from a pool or not."""

    async def fetch(self, query: str, *args: object) -> list[Any]:
        """Run a query and return its rows."""
        ...

    async def execute(self, query: str, *args: object) -> str:
        """Run a statement."""
        ...

    def transaction(self) -> AbstractAsyncContextManager[object]:
        """Open a transaction, or a savepoint inside one."""
        ...


CHANNEL = "cardmint"
"""The NOTIFY channel; the payload is `<tenant> <what changed>`."""

StreamKey = tuple[str, UUID]

_LOCK = """
SELECT tenant, stream, source, sequence FROM watermarks
 WHERE (tenant, stream) IN (SELECT * FROM unnest($1::text[], $2::uuid[]))
 ORDER BY tenant, stream FOR UPDATE"""
_OPEN_STREAMS = """
INSERT INTO watermarks (tenant, stream, source, updated_at)
SELECT *, $4 FROM unnest($1::text[], $2::uuid[], $3::text[]) ON CONFLICT DO NOTHING"""
_ADVANCE = """
UPDATE watermarks w SET sequence = n.sequence, updated_at = $4
  FROM unnest($1::text[], $2::uuid[], $3::bigint[]) AS n (tenant, stream, sequence)
 WHERE w.tenant = n.tenant AND w.stream = n.stream"""
_ITEMS = """
SELECT * FROM items WHERE (tenant, item) IN (SELECT * FROM unnest($1::text[], $2::uuid[]))
 ORDER BY tenant, item FOR UPDATE"""
_REVIEWS = """
SELECT * FROM reviews WHERE (tenant, task) IN (SELECT * FROM unnest($1::text[], $2::uuid[]))
 ORDER BY tenant, task FOR UPDATE"""
APPEND = """
INSERT INTO events (tenant, source, stream, sequence, type, subject, occurred_at, bootid, monotonic_ms, clock_synced,
                    data, received_at)
SELECT *, $12::timestamptz FROM unnest($1::text[], $2::text[], $3::uuid[], $4::bigint[], $5::text[], $6::uuid[],
    $7::timestamptz[], $8::uuid[], $9::bigint[], $10::boolean[], $11::jsonb[])"""
_NEW_ITEMS = """
INSERT INTO items (tenant, item, station, captured_at, received_at, status, card_id, name, number, set_id, set_name,
                   language, finish, edition, condition, bin, lot, confidence, margin, image, version, candidates,
                   reasons)
SELECT t.tenant, t.item, t.station, t.captured_at, t.received_at, t.status, t.card_id, t.name, t.number, t.set_id,
       t.set_name, t.language, t.finish, t.edition, t.condition, t.bin, t.lot, t.confidence, t.margin, t.image,
       t.version, t.candidates, ARRAY(SELECT jsonb_array_elements_text(t.reasons))
  FROM unnest($1::text[], $2::uuid[], $3::text[], $4::timestamptz[], $5::timestamptz[], $6::text[], $7::text[],
              $8::text[], $9::text[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::text[],
              $16::text[], $17::text[], $18::float8[], $19::float8[], $20::text[], $21::int[], $22::jsonb[],
              $23::jsonb[])
    AS t (tenant, item, station, captured_at, received_at, status, card_id, name, number, set_id, set_name, language,
          finish, edition, condition, bin, lot, confidence, margin, image, version, candidates, reasons)"""
_CHANGE_ITEMS = """
UPDATE items i
   SET status = n.status, card_id = n.card_id, name = n.name, number = n.number, set_id = n.set_id,
       set_name = n.set_name, version = n.version
  FROM unnest($1::text[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::int[])
    AS n (tenant, item, status, card_id, name, number, set_id, set_name, version)
 WHERE i.tenant = n.tenant AND i.item = n.item"""
_NEW_REVIEWS = """
INSERT INTO reviews (tenant, task, item, station, version, state, candidates, image, opened_at, closed_at, verdict,
                     card, answered_by, place, escalated, counted, recogniser, prior, reasons)
SELECT t.tenant, t.task, t.item, t.station, t.version, t.state, t.candidates, t.image, t.opened_at, t.closed_at,
       t.verdict, t.card, t.answered_by, t.place, t.escalated, t.counted, t.recogniser, t.prior,
       ARRAY(SELECT jsonb_array_elements_text(t.reasons))
  FROM unnest($1::text[], $2::uuid[], $3::uuid[], $4::text[], $5::int[], $6::text[], $7::jsonb[], $8::jsonb[],
              $9::timestamptz[], $10::timestamptz[], $11::text[], $12::jsonb[], $13::text[], $14::text[],
              $15::boolean[], $16::jsonb[], $17::text[], $18::jsonb[], $19::jsonb[])
    AS t (tenant, task, item, station, version, state, candidates, image, opened_at, closed_at, verdict, card,
          answered_by, place, escalated, counted, recogniser, prior, reasons)"""
_CHANGE_REVIEWS = """
UPDATE reviews r
   SET version = n.version, state = n.state, closed_at = n.closed_at, verdict = n.verdict, card = n.card,
       answered_by = n.answered_by, place = n.place, escalated = n.escalated, prior = n.prior,
       candidates = n.candidates, image = n.image, reasons = ARRAY(SELECT jsonb_array_elements_text(n.reasons))
  FROM unnest($1::text[], $2::uuid[], $3::int[], $4::text[], $5::timestamptz[], $6::text[], $7::jsonb[], $8::text[],
              $9::text[], $10::boolean[], $11::jsonb[], $12::jsonb[], $13::jsonb[], $14::jsonb[])
    AS n (tenant, task, version, state, closed_at, verdict, card, answered_by, place, escalated, prior, candidates,
          image, reasons)
 WHERE r.tenant = n.tenant AND r.task = n.task"""
_ADD_HOLDINGS = """
INSERT INTO holdings AS h (tenant, card_id, language, finish, edition, condition, count)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bigint[])
ON CONFLICT (tenant, card_id, language, finish, edition, condition) DO UPDATE SET count = h.count + excluded.count"""
_PUT_PRINTINGS = """
WITH named AS (
    INSERT INTO printings (tenant, card_id, name, number, set_id, set_name)
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[])
    ON CONFLICT DO NOTHING RETURNING tenant, card_id)
INSERT INTO price_checks (tenant, card_id, due_at) SELECT tenant, card_id, $7 FROM named ON CONFLICT DO NOTHING"""
_PARK = """
INSERT INTO dead_letters AS d (tenant, station, topic, stream, first, last, reason, detail, content_type, payload,
                               sha256, first_at, last_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, encode(sha256($10), 'hex'), $11, $11)
ON CONFLICT (tenant, station, sha256) DO UPDATE SET times = d.times + 1, last_at = excluded.last_at"""


@dataclass(frozen=True, kw_only=True, slots=True)
class DeadLetter:
    """What could not be used, whole, with the reason. `stream`, `first` and `last` are set when they are known."""

    tenant: str
    station: str
    topic: str
    reason: str
    detail: str
    content_type: str
    payload: bytes
    stream: UUID | None = None
    first: int | None = None
    last: int | None = None


async def lock_streams(
    connection: Connection, sources: dict[StreamKey, str], now: datetime
) -> dict[StreamKey, tuple[str, int]]:
    """Lock each stream's watermark row, made if need be, and return its source and sequence."""
    tenants, streams = _columns(sources)
    rows = await connection.fetch(_LOCK, tenants, streams)
    if len(rows) < len(sources):
        await connection.execute(_OPEN_STREAMS, tenants, streams, list(sources.values()), now)
        rows = await connection.fetch(_LOCK, tenants, streams)
    return {(row["tenant"], row["stream"]): (row["source"], row["sequence"]) for row in rows}


async def advance(connection: Connection, sequences: dict[StreamKey, int], now: datetime) -> None:
    """Move the watermarks, whose rows are locked."""
    tenants, streams = _columns(sequences)
    await connection.execute(_ADVANCE, tenants, streams, list(sequences.values()), now)


async def load(
    connection: Connection, item_keys: Iterable[ItemKey], review_keys: Iterable[ReviewKey]
) -> tuple[dict[ItemKey, Item], dict[ReviewKey, Review]]:
    """Read and lock the items and reviews that events speak of."""
    reviews: dict[ReviewKey, Review] = {}
    if keys := set(review_keys):
        rows = await connection.fetch(_REVIEWS, *_columns(keys))
        reviews = {(row["tenant"], row["task"]): review_from_row(row) for row in rows}
    wanted = {*item_keys, *((tenant, review.item) for (tenant, _), review in reviews.items())}
    rows = await connection.fetch(_ITEMS, *_columns(wanted)) if wanted else []
    return {(row["tenant"], row["item"]): _item(row) for row in rows}, reviews


async def append(
    connection: Connection, events: Sequence[tuple[str, Envelope, EventData]], received_at: datetime
) -> None:
    """Append events, each with its tenant, to the log."""
    if events:
        await connection.execute(APPEND, *event_columns(events), received_at)


def event_columns(events: Sequence[tuple[str, Envelope, EventData]]) -> list[list[Any]]:
    """Return what `APPEND` takes before the time of receipt."""
    rows = [
        (
            tenant,
            e.source,
            e.stream,
            e.number,
            e.type,
            subject(data),
            e.time,
            e.bootid,
            int(e.monotonicms),
            e.clocksynced,
            bytes(e.data).decode(),
        )
        for tenant, e, data in events
    ]
    return _columns(rows)


async def put(
    connection: Connection,
    items: Mapping[ItemKey, Item],
    reviews: Mapping[ReviewKey, Review],
    changes: Changes,
    now: datetime,
) -> None:
    """Write what a fold over `items` and `reviews`, which `load` has locked, changed.

    What writers share beyond them, printings and holdings, is taken in the order of the keys, so that two writers
    cannot deadlock; holdings last, because most writers meet there.

    Raises:
        asyncpg.UniqueViolationError: another transaction has just made one of the items that are new here.
    """
    new = [_item_row(item) for key, item in changes.items.items() if key not in items]
    if new:
        await connection.execute(_NEW_ITEMS, *_columns(new))
    changed = [_item_change(item) for key, item in changes.items.items() if key in items]
    if changed:
        await connection.execute(_CHANGE_ITEMS, *_columns(changed))
    new = [_review_row(review) for key, review in changes.reviews.items() if key not in reviews]
    if new:
        await connection.execute(_NEW_REVIEWS, *_columns(new))
    changed = [_review_change(review) for key, review in changes.reviews.items() if key in reviews]
    if changed:
        await connection.execute(_CHANGE_REVIEWS, *_columns(changed))
    if changes.printings:
        rows = [
            (tenant, card.id, card.name, card.number, card.set_id, card.set_name)
            for (tenant, _), card in sorted(changes.printings.items(), key=lambda pair: pair[0])
        ]
        await connection.execute(_PUT_PRINTINGS, *_columns(rows), now)
    if changes.holdings:
        counts = [(*holding, delta) for holding, delta in sorted(changes.holdings.items())]
        await connection.execute(_ADD_HOLDINGS, *_columns(counts))


async def park(connection: Connection, letter: DeadLetter, now: datetime) -> None:
    """Set something unusable aside; the same bytes again only count up."""
    await connection.execute(
        _PARK,
        letter.tenant,
        letter.station,
        letter.topic,
        letter.stream,
        letter.first,
        letter.last,
        letter.reason,
        letter.detail[:1000].replace("\x00", "�"),
        letter.content_type[:200].replace("\x00", "�"),
        letter.payload,
        now,
    )


async def notify(connection: Connection, tenant: str, what: str) -> None:
    """Tell listeners, when the transaction commits, that `what` changed for a tenant."""
    await connection.execute("SELECT pg_notify($1, $2)", CHANNEL, f"{tenant} {what}")


async def ensure_partitions(connection: Connection, now: datetime, *, months_ahead: int = 2) -> None:
    """Make the event log's partitions from this month to `months_ahead` months on."""
    year, month = now.astimezone(UTC).year, now.astimezone(UTC).month
    for _ in range(months_ahead + 1):
        start = f"{year:04d}-{month:02d}-01"
        year, month = (year + 1, 1) if month == 12 else (year, month + 1)
        await connection.execute(
            f"CREATE TABLE IF NOT EXISTS events_{start[:4]}_{start[5:7]} PARTITION OF events"
            f" FOR VALUES FROM ('{start} 00:00+00') TO ('{year:04d}-{month:02d}-01 00:00+00')"
        )


def _columns(rows: Iterable[Sequence[Any]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _item_row(item: Item) -> tuple[Any, ...]:
    card = item.card
    return (
        *(item.tenant, item.item, item.station, item.captured_at, item.received_at, item.status),
        *((card.id, card.name, card.number, card.set_id, card.set_name) if card else ("", "", "", "", "")),
        *(item.language, item.finish, item.edition, item.condition, item.bin, item.lot),
        *(item.confidence, item.margin, item.image, item.version, _json(item.candidates), _json(item.reasons)),
    )


def _item_change(item: Item) -> tuple[Any, ...]:
    card = item.card
    return (
        *(item.tenant, item.item, item.status),
        *((card.id, card.name, card.number, card.set_id, card.set_name) if card else ("", "", "", "", "")),
        item.version,
    )


def _review_change(review: Review) -> tuple[Any, ...]:
    return (
        *(review.tenant, review.task, review.version, "open" if review.open else "answered", review.closed_at),
        *(review.verdict, _json(review.card) if review.card else None, review.answered_by),
        *(review.place, review.escalated, _json(review.prior) if review.prior else None),
        *(_json(review.candidates), _json(review.image) if review.image else None, _json(review.reasons)),
    )


def _review_row(review: Review) -> tuple[Any, ...]:
    return (
        *(review.tenant, review.task, review.item, review.station, review.version),
        "open" if review.open else "answered",
        _json(review.candidates),
        _json(review.image) if review.image else None,
        *(review.opened_at, review.closed_at, review.verdict),
        _json(review.card) if review.card else None,
        *(review.answered_by, review.place, review.escalated, _json(review.counted) if review.counted else None),
        *(review.recogniser, _json(review.prior) if review.prior else None, _json(review.reasons)),
    )


def _item(row: Any) -> Item:
    card = None
    if row["card_id"]:
        card = Card(
            id=row["card_id"],
            name=row["name"],
            number=row["number"],
            set_id=row["set_id"],
            set_name=row["set_name"],
        )
    return Item(
        card=card,
        status=Status(row["status"]),
        reasons=tuple(row["reasons"]),
        candidates=_candidates(row["candidates"]),
        **{name: row[name] for name in _PLAIN_ITEM},
    )


def review_from_row(row: Any) -> Review:
    """Return a row of `reviews` as the value that it stands for."""
    return Review(
        open=row["state"] == "open",
        reasons=tuple(row["reasons"]),
        candidates=_candidates(row["candidates"]),
        image=msgspec.json.decode(row["image"], type=Image) if row["image"] else None,
        card=msgspec.json.decode(row["card"], type=Card) if row["card"] else None,
        counted=msgspec.json.decode(row["counted"], type=Card) if row["counted"] else None,
        prior=msgspec.json.decode(row["prior"], type=Prior) if row["prior"] else None,
        **{name: row[name] for name in _PLAIN_REVIEW},
    )


def _candidates(text: str) -> tuple[Candidate, ...]:
    return msgspec.json.decode(text, type=tuple[Candidate, ...])


_PLAIN_ITEM = (
    *("tenant", "item", "station", "captured_at", "received_at", "language", "finish", "edition", "condition"),
    *("bin", "lot", "confidence", "margin", "image", "version"),
)
_PLAIN_REVIEW = (
    *("tenant", "task", "item", "station", "version", "opened_at", "closed_at", "verdict", "answered_by"),
    *("place", "escalated", "recogniser"),
)

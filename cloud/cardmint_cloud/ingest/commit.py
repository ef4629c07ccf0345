"""Commit of event batches: lock streams, drop repeats, fold, write, and report receipts to send.

In one transaction: `_place` finds the events that are new, `_write` applies them, and the rest of
`commit` parks what cannot be applied and moves the watermarks, once for all batches.
"""

import contextlib
import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import asyncpg
from msgspec.structs import replace

from cardmint_cloud.adapters.postgres import feed
from cardmint_cloud.adapters.postgres.connection import PostgresConnection
from cardmint_cloud.adapters.postgres.ingest import event_log, inventory
from cardmint_cloud.adapters.postgres.ingest.event_log import DeadLetter, EventKey, StreamKey
from cardmint_cloud.adapters.postgres.ingest.inventory import PrintingKey
from cardmint_cloud.domain.feed import feed_entries, unnamed_printings
from cardmint_cloud.domain.fold import fold
from cardmint_cloud.domain.items import (
    InventoryChanges,
    LoggedEvent,
    touched_keys,
)
from cardmint_cloud.domain.stream_position import (
    BatchRefusal,
    StreamMark,
    needs_log,
    position_of,
    refusal_of,
)
from cardmint_cloud.errors import MissingPartition
from cardmint_cloud.ingest.read import EventBatch, decode_or_error
from cardmint_contracts.chain import start_of
from cardmint_contracts.envelope import Envelope, first_identity
from cardmint_contracts.errors import ContractError
from cardmint_contracts.events import DASHBOARD_EVENTS, CardScanned, EventData
from cardmint_contracts.notifications import Subject
from cardmint_contracts.receipts import (
    ANOTHERS_STREAM,
    BEYOND_EVERY_STREAM,
    OTHER_CONTENT,
    Receipt,
)
from cardmint_contracts.wire import encode

_OPTIMISTIC_ATTEMPTS = 5
_REFUSED = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError)
_POISON = (*_REFUSED, LookupError, TypeError, ValueError, ArithmeticError)
"""Errors that an event causes, as opposed to a database that is away."""


class NewEvent(NamedTuple):
    """An event that the log lacks, and the batch that it came in."""

    batch: EventBatch
    envelope: Envelope
    data: EventData


@dataclass(slots=True)
class CommitResult:
    """The outcome of a transaction. `receipts` (by tenant, station, stream) may be sent now."""

    receipts: dict[tuple[str, str, UUID], Receipt] = field(default_factory=dict)
    changes: InventoryChanges = field(default_factory=InventoryChanges)
    applied: int = 0
    repeated: int = 0
    parked: int = 0


async def commit(
    connection: PostgresConnection,
    batches: Sequence[EventBatch | DeadLetter],
    now: datetime,
    known: Collection[PrintingKey] = (),
) -> CommitResult:
    """Apply `batches` of one tenant in one transaction and return its result.

    The connection is in a transaction of that tenant.

    Events that the log has are skipped. A batch that leaves a gap, is another station's or has
    other events under sequences of the log is refused in its receipt. Events that Postgres or the
    fold refuses become dead letters; the rest is applied. `known` printings are in the database
    already and not written.

    Raises:
        MissingPartition: the log has no partition for `now`; nothing was committed.
        OSError, asyncpg.PostgresConnectionError, …: the database is away; nothing was committed.
    """
    result = CommitResult()
    letters = [batch for batch in batches if isinstance(batch, DeadLetter)]
    readable = [batch for batch in batches if isinstance(batch, EventBatch)]
    async with connection.transaction():
        sources = {batch.key: batch.source for batch in readable}
        marks = await event_log.lock_streams(connection, sources, now) if sources else {}
        before = dict(marks)
        events: list[NewEvent] = []
        for batch in readable:
            new, unreadable = await _place(connection, batch, marks, events, result)
            events += new
            letters += unreadable
        events = await _without_moved(connection, events, marks, result)
        result.changes, refused = await _write(connection, events, now, known)
        letters += refused
        result.applied, result.parked = len(events) - len(refused), len(letters)
        await event_log.park_letters(connection, letters, now)
        advanced = {key: mark for key, mark in marks.items() if mark != before[key]}
        if advanced:
            await event_log.advance_watermarks(connection, advanced, now)
        await _tell_feed(connection, result.changes, now)
        await event_log.notify_all(connection, _notifications(result.changes, letters, events))
        await inventory.add_holdings(connection, result.changes)
    return result


async def _tell_feed(
    connection: PostgresConnection, changes: InventoryChanges, now: datetime
) -> None:
    """Write what changed to the feed of the tenant, if it has one."""
    tenants = {tenant for tenant, _ in (*changes.items, *changes.reviews)}
    for tenant in tenants:
        if not await feed.is_open(connection, tenant):
            continue
        unnamed = sorted(card_id for _, card_id in unnamed_printings(changes))
        printings = await inventory.named_printings(connection, tenant, unnamed)
        await feed.write(connection, tenant, feed_entries(changes, printings, now), now)


async def _place(
    connection: PostgresConnection,
    batch: EventBatch,
    marks: dict[StreamKey, StreamMark],
    events: Sequence[NewEvent],
    result: CommitResult,
) -> tuple[list[NewEvent], list[DeadLetter]]:
    """Return a batch's new events, and dead letters for those without readable data.

    Moves the stream's mark, and adds the batch's receipt to `result`.
    """
    mark, envelopes = marks[batch.key], batch.envelopes
    address = (batch.tenant, batch.origin, batch.stream)
    refusal = refusal_of(mark, batch.source, batch.first)
    if refusal is None:
        overlap = envelopes[: needs_log(mark, envelopes, batch.before)]
        as_logged = not overlap or await _as_logged(connection, batch, overlap, events)
        position = position_of(mark, envelopes, batch.before, as_logged=as_logged)
        refusal = position.refusal
    if refusal is not None:
        result.receipts[address] = refusal_receipt(
            batch.stream,
            mark,
            refusal,
            first=batch.first,
            chained=batch.before is not None and mark.digest is not None,
        )
        return [], []
    sequence = max(mark.sequence, batch.last)
    mark = marks[batch.key] = mark._replace(sequence=sequence, digest=position.digest)
    result.receipts[address] = receipt_of(batch.stream, mark)
    result.repeated += position.repeated
    new: list[NewEvent] = []
    letters: list[DeadLetter] = []
    rest = envelopes[position.repeated :]
    decoded = batch.data[position.repeated :] or [decode_or_error(one) for one in rest]
    forbidden = DASHBOARD_EVENTS if batch.source.startswith("/stations/") else frozenset()
    for envelope, data in zip(rest, decoded, strict=True):
        if isinstance(data, ContractError):
            letters.append(_event_letter(batch, envelope, data.reason, str(data)))
        elif type(data) in forbidden:
            detail = f"a station cannot say {envelope.type}: only a person at the dashboard can"
            letters.append(_event_letter(batch, envelope, "not-a-stations", detail))
        else:
            new.append(NewEvent(batch, envelope, data))
    return new, letters


def receipt_of(stream: UUID, mark: StreamMark) -> Receipt:
    """Return the receipt for what the log has of a stream."""
    digest = start_of(stream) if mark.sequence == 0 else mark.digest
    return Receipt(
        stream=stream,
        sequence=mark.sequence,
        digest=digest.hex() if digest is not None else None,
    )


def refusal_receipt(
    stream: UUID, mark: StreamMark, refusal: BatchRefusal, *, first: int = 1, chained: bool = False
) -> Receipt:
    """Return the receipt for a batch that begins at `first` and is not taken.

    Where both sides have the chain (`chained`), the station compares the digest: of two copies of
    an outbox, only one is to begin a new stream. A station of version 0.1.0 knows no reason; it
    begins a new stream when a receipt covers more than it ever had.
    """
    told = replace(receipt_of(stream, mark), refused=first)
    if refusal is BatchRefusal.GAP:
        return told
    if refusal is BatchRefusal.OTHER_CONTENT and chained:
        return replace(told, reason=OTHER_CONTENT)
    reason = ANOTHERS_STREAM if refusal is BatchRefusal.ANOTHERS_STREAM else OTHER_CONTENT
    return Receipt(stream=stream, sequence=BEYOND_EVERY_STREAM, reason=reason)


async def _as_logged(
    connection: PostgresConnection,
    batch: EventBatch,
    envelopes: Sequence[Envelope],
    events: Sequence[NewEvent],
) -> bool:
    """Return whether the log, or this transaction's `events`, have the same under each sequence.

    What the log lacks, a dead letter or an event of a retired month, counts as the same.
    """
    here = {
        one.envelope.number: (one.envelope.type, bytes(one.envelope.data))
        for one in events
        if one.batch.key == batch.key
    }
    asked = [(*batch.key, one.number) for one in envelopes if one.number not in here]
    logged = await event_log.logged_events(connection, asked)
    here |= {sequence: content for (_, _, sequence), content in logged.items()}
    return all(
        here.get(one.number, content) == content
        for one in envelopes
        for content in [(one.type, bytes(one.data))]
    )


async def _without_moved(
    connection: PostgresConnection,
    events: list[NewEvent],
    marks: Mapping[StreamKey, StreamMark],
    result: CommitResult,
) -> list[NewEvent]:
    """Return `events` without those that the log has already, by their first identity and content.

    Records those that came under another stream than their first. A copy of an outbox sends the
    events that it shares with the original, too, in either stream: the same content counts once.
    """
    own = {key: f"{key[1]}/" for key in marks}
    moved = {
        index: (one.batch.tenant, *first)
        for index, one in enumerate(events)
        if not one.envelope.id.startswith(own[one.batch.key])
        and (first := first_identity(one.envelope)) is not None
    }
    affected = {key for key, mark in marks.items() if mark.has_moved}
    affected |= {key[:2] for key in moved.values()}
    if not affected:
        return events
    firsts = moved | {
        index: (*one.batch.key, one.envelope.number)
        for index, one in enumerate(events)
        if index not in moved and one.batch.key in affected
    }
    logged = await event_log.logged_events(connection, set(moved.values()))
    seen = await event_log.moved_events(connection, set(firsts.values()))
    new: list[tuple[EventKey, bytes]] = []
    repeated: set[int] = set()
    for index, key in sorted(firsts.items()):
        content = events[index].envelope.type, bytes(events[index].envelope.data)
        entry = key, hashlib.sha256(b"\n".join((content[0].encode(), content[1]))).digest()
        if entry in seen or logged.get(key) == content:
            repeated.add(index)
            continue
        seen.add(entry)
        if index in moved:
            new.append(entry)
    if new:
        await event_log.put_moved_events(connection, sorted(new))
    result.repeated += len(repeated)
    return [one for index, one in enumerate(events) if index not in repeated]


async def _write(
    connection: PostgresConnection,
    events: Sequence[NewEvent],
    now: datetime,
    known: Collection[PrintingKey],
) -> tuple[InventoryChanges, list[DeadLetter]]:
    """Write `events` and what they change, except for the holdings; return letters for the refused.

    An event that Postgres refuses is found by halving the run.
    """
    if not events:
        return InventoryChanges(), []
    try:
        return await _write_optimistically(connection, events, now, known)
    except asyncpg.UndefinedTableError as error:
        raise MissingPartition(f"the log has no partition for {now:%Y-%m}") from error
    except _POISON as error:
        if len(events) == 1:
            reason = "refused-by-database" if isinstance(error, _REFUSED) else "fold-failed"
            return InventoryChanges(), [_event_letter(*events[0][:2], reason, str(error))]
        middle = len(events) // 2
        first, letters = await _write(connection, events[:middle], now, known)
        second, more = await _write(connection, events[middle:], now, known)
        return _merged(first, second), letters + more


async def _write_optimistically(
    connection: PostgresConnection,
    events: Sequence[NewEvent],
    now: datetime,
    known: Collection[PrintingKey],
) -> tuple[InventoryChanges, list[DeadLetter]]:
    """Treat every scan as new, as nearly all are; read existing items after the first conflict."""
    for attempt in range(_OPTIMISTIC_ATTEMPTS):
        with contextlib.suppress(asyncpg.UniqueViolationError):
            async with connection.transaction():
                return await _apply(connection, events, now, known, read_scanned=attempt > 0)
    async with connection.transaction():
        return await _apply(connection, events, now, known, read_scanned=True)


async def _apply(
    connection: PostgresConnection,
    events: Sequence[NewEvent],
    now: datetime,
    known: Collection[PrintingKey],
    *,
    read_scanned: bool,
) -> tuple[InventoryChanges, list[DeadLetter]]:
    touched = touched_keys(
        (batch.tenant, data)
        for batch, _, data in events
        if read_scanned or not _makes_new_item(data)
    )
    items, reviews = await inventory.load_touched(connection, *touched)
    rows = [event_log.row(batch.tenant, one, data, now) for batch, one, data in events]
    changes = fold(
        items,
        reviews,
        (
            LoggedEvent(
                tenant=batch.tenant,
                origin=batch.origin,
                occurred_at=row.occurred_at,
                received_at=now,
                data=data,
            )
            for row, (batch, _, data) in zip(rows, events, strict=True)
        ),
    )
    if changes.refused:
        rows = [row for number, row in enumerate(rows) if number not in changes.refused]
    await event_log.append_events(connection, rows)
    await inventory.put_changes(connection, items, reviews, changes, now, known=known)
    letters = [
        _event_letter(*events[number][:2], error.reason, str(error))
        for number, error in changes.refused.items()
    ]
    return changes, letters


def _notifications(
    changes: InventoryChanges, letters: Sequence[DeadLetter], events: Sequence[object]
) -> set[tuple[str, str]]:
    items = {(tenant, Subject.ITEMS) for tenant, _ in changes.items} if events else set()
    reviews = {(tenant, Subject.REVIEWS) for tenant, _ in changes.reviews}
    return items | reviews | {(letter.tenant, Subject.DEAD_LETTERS) for letter in letters}


def _makes_new_item(data: EventData) -> bool:
    """Whether an event is a first scan. Its item counts as new until a conflict shows otherwise."""
    return isinstance(data, CardScanned) and data.rescan_of is None


def _merged(first: InventoryChanges, second: InventoryChanges) -> InventoryChanges:
    # What the first run made is nothing that was there before.
    first.items_before |= {
        key: item for key, item in second.items_before.items() if key not in first.items
    }
    first.reviews_before |= {
        key: review for key, review in second.reviews_before.items() if key not in first.reviews
    }
    first.items |= second.items
    first.reviews |= second.reviews
    first.printings |= second.printings
    first.holdings.update(second.holdings)
    first.superseded += second.superseded
    return first


def _event_letter(batch: EventBatch, envelope: Envelope, reason: str, detail: str) -> DeadLetter:
    return DeadLetter(
        tenant=batch.tenant,
        station=batch.origin,
        topic=batch.topic,
        reason=reason,
        detail=detail,
        content_type="application/cloudevents+json",
        payload=encode(envelope),
        stream=batch.stream,
        first=envelope.number,
        last=envelope.number,
    )

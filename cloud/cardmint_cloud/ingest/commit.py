"""Commit of event batches: lock streams, drop repeats, fold, write, and report receipts to send."""

import contextlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

import asyncpg

from cardmint_cloud.adapters.postgres.connection import PostgresConnection
from cardmint_cloud.adapters.postgres.ingest import event_log, inventory
from cardmint_cloud.adapters.postgres.ingest.event_log import DeadLetter
from cardmint_cloud.adapters.postgres.ingest.inventory import PrintingKey
from cardmint_cloud.domain.fold import fold
from cardmint_cloud.domain.items import (
    ImpossibleEvent,
    InventoryChanges,
    LoggedEvent,
    touched_keys,
)
from cardmint_cloud.ingest.read import MAX_PARKED_BYTES, EventBatch, decode_or_error
from cardmint_contracts.envelope import Envelope
from cardmint_contracts.errors import ContractError
from cardmint_contracts.events import CardScanned, EventData
from cardmint_contracts.notifications import Subject
from cardmint_contracts.receipts import Receipt
from cardmint_contracts.wire import encode

_OPTIMISTIC_ATTEMPTS = 5
_REFUSED = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError)
_POISON = (ImpossibleEvent, *_REFUSED, LookupError, TypeError, ValueError, ArithmeticError)
"""Errors that an event causes, as opposed to a database that is away."""


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
    """Apply `batches` in one transaction and return its result.

    Events at or below their stream's watermark are skipped. A batch that leaves a gap is refused in
    its receipt. Events that Postgres or the fold refuses are found by halving the group and become
    dead letters; the rest is applied. `known` printings are in the database already and not
    written.

    Raises:
        OSError, asyncpg.PostgresConnectionError, …: the database is away; nothing was committed.
    """
    try:
        return await _commit_optimistically(connection, batches, now, known)
    except _POISON as error:
        if len(batches) > 1:
            middle = len(batches) // 2
            halves = [
                await commit(connection, half, now, known)
                for half in (batches[:middle], batches[middle:])
            ]
            return _merge(halves)
        return _merge(
            [await commit(connection, [part], now, known) for part in _split(batches[0], error)]
        )


async def _commit_optimistically(
    connection: PostgresConnection,
    batches: Sequence[EventBatch | DeadLetter],
    now: datetime,
    known: Collection[PrintingKey],
) -> CommitResult:
    """Treat every scan as new, as nearly all are; read existing items after the first conflict."""
    for attempt in range(_OPTIMISTIC_ATTEMPTS):
        with contextlib.suppress(asyncpg.UniqueViolationError):
            async with connection.transaction():
                return await _apply(connection, batches, now, known, read_scanned=attempt > 0)
    async with connection.transaction():
        return await _apply(connection, batches, now, known, read_scanned=True)


async def _apply(
    connection: PostgresConnection,
    batches: Sequence[EventBatch | DeadLetter],
    now: datetime,
    known: Collection[PrintingKey],
    *,
    read_scanned: bool,
) -> CommitResult:
    result = CommitResult()
    letters = [batch for batch in batches if isinstance(batch, DeadLetter)]
    readable = [batch for batch in batches if isinstance(batch, EventBatch)]
    streams = (
        await event_log.lock_streams(connection, {b.key: b.source for b in readable}, now)
        if readable
        else {}
    )
    watermarks = {key: sequence for key, (_, sequence) in streams.items()}
    before = dict(watermarks)
    events: list[tuple[str, Envelope, EventData]] = []
    origins: list[str] = []
    for batch in readable:
        owner, _ = streams[batch.key]
        watermark = watermarks[batch.key]
        address = (batch.tenant, batch.origin, batch.stream)
        if owner != batch.source:
            letters.append(_foreign_stream_letter(batch, owner))
        elif batch.first > watermark + 1:
            result.receipts[address] = Receipt(
                stream=batch.stream, sequence=watermark, refused=batch.first
            )
        else:
            new_events, new_letters = _after_watermark(batch, watermark)
            events += new_events
            origins += [batch.origin] * len(new_events)
            letters += new_letters
            result.repeated += max(0, min(watermark, batch.last) - batch.first + 1)
            watermarks[batch.key] = max(watermark, batch.last)
            result.receipts[address] = Receipt(stream=batch.stream, sequence=watermarks[batch.key])
    if events:
        items, reviews = await inventory.load_touched(
            connection,
            *touched_keys(
                (tenant, data)
                for tenant, _, data in events
                if read_scanned or not _makes_new_item(data)
            ),
        )
        result.changes = fold(
            items,
            reviews,
            (
                LoggedEvent(
                    tenant=tenant,
                    origin=origin,
                    occurred_at=envelope.time,
                    received_at=now,
                    data=data,
                    clock_synced=envelope.clocksynced,
                )
                for origin, (tenant, envelope, data) in zip(origins, events, strict=True)
            ),
        )
        await event_log.append_events(connection, events, now)
        await inventory.put_changes(connection, items, reviews, result.changes, now, known=known)
    for letter in letters:
        await event_log.park_letter(connection, letter, now)
    advanced = {key: sequence for key, sequence in watermarks.items() if sequence > before[key]}
    if advanced:
        await event_log.advance_watermarks(connection, advanced, now)
    await event_log.notify_all(connection, _notifications(result.changes, letters, events))
    await inventory.add_holdings(connection, result.changes)
    result.applied, result.parked = len(events), len(letters)
    return result


def _notifications(
    changes: InventoryChanges, letters: Sequence[DeadLetter], events: Sequence[object]
) -> set[tuple[str, str]]:
    items = {(tenant, Subject.ITEMS) for tenant, _ in changes.items} if events else set()
    reviews = {(tenant, Subject.REVIEWS) for tenant, _ in changes.reviews}
    return items | reviews | {(letter.tenant, Subject.DEAD_LETTERS) for letter in letters}


def _after_watermark(
    batch: EventBatch, watermark: int
) -> tuple[list[tuple[str, Envelope, EventData]], list[DeadLetter]]:
    """Return a batch's events above the watermark, and dead letters for those without data."""
    if batch.letter is not None:
        return [], [batch.letter] if batch.last > watermark else []
    events: list[tuple[str, Envelope, EventData]] = []
    letters: list[DeadLetter] = []
    skipped = max(0, watermark + 1 - batch.first)
    envelopes = batch.envelopes[skipped:]
    decoded = batch.data[skipped:] if batch.data else [decode_or_error(e) for e in envelopes]
    for envelope, data in zip(envelopes, decoded, strict=True):
        if isinstance(data, ContractError):
            letters.append(_event_letter(batch, envelope, data.reason, str(data)))
        else:
            events.append((batch.tenant, envelope, data))
    return events, letters


def _makes_new_item(data: EventData) -> bool:
    """Whether an event is a first scan. Its item counts as new until a conflict shows otherwise."""
    return isinstance(data, CardScanned) and data.rescan_of is None


def _split(batch: EventBatch | DeadLetter, error: Exception) -> list[EventBatch | DeadLetter]:
    """Return a refused batch as batches of one event; a single event as its dead letter."""
    if isinstance(batch, DeadLetter) or batch.letter is not None:
        raise error
    if len(batch.envelopes) == 1:
        (envelope,) = batch.envelopes
        letter = _event_letter(batch, envelope, _reason_code(error), str(error))
        return [_batch_of_one(batch, envelope, letter)]
    return [_batch_of_one(batch, envelope, None) for envelope in batch.envelopes]


def _reason_code(error: Exception) -> str:
    if isinstance(error, ImpossibleEvent):
        return error.reason
    return "refused-by-database" if isinstance(error, _REFUSED) else "fold-failed"


def _batch_of_one(batch: EventBatch, envelope: Envelope, letter: DeadLetter | None) -> EventBatch:
    return EventBatch(
        tenant=batch.tenant,
        origin=batch.origin,
        stream=batch.stream,
        first=envelope.number,
        last=envelope.number,
        source=batch.source,
        topic=batch.topic,
        envelopes=() if letter else (envelope,),
        letter=letter,
    )


def _merge(parts: Sequence[CommitResult]) -> CommitResult:
    merged = CommitResult()
    for part in parts:
        merged.receipts |= part.receipts
        merged.changes.items |= part.changes.items
        merged.changes.reviews |= part.changes.reviews
        merged.changes.printings |= part.changes.printings
        merged.changes.holdings.update(part.changes.holdings)
        merged.changes.superseded += part.changes.superseded
        merged.applied += part.applied
        merged.repeated += part.repeated
        merged.parked += part.parked
    return merged


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


def _foreign_stream_letter(batch: EventBatch, owner: str) -> DeadLetter:
    return DeadLetter(
        tenant=batch.tenant,
        station=batch.origin,
        topic=batch.topic,
        reason="stream-of-another",
        detail=f"stream {batch.stream} belongs to {owner}",
        content_type="application/cloudevents-batch+json",
        payload=encode(list(batch.envelopes))[:MAX_PARKED_BYTES],
        stream=batch.stream,
        first=batch.first,
        last=batch.last,
    )

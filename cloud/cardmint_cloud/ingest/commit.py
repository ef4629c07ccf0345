"""Batches from stations into the log and the inventory.

Locked, deduplicated, folded, committed, then receipted.
"""

import contextlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol
from uuid import UUID

import asyncpg

from cardmint_cloud.adapters.postgres.ingest import event_log, inventory
from cardmint_cloud.adapters.postgres.ingest.event_log import Connection, DeadLetter, StreamKey
from cardmint_cloud.adapters.postgres.ingest.inventory import PrintingKey
from cardmint_cloud.domain.fold import fold
from cardmint_cloud.domain.items import Changes, Event, Impossible, spoken_of
from cardmint_contracts import topics
from cardmint_contracts.claims import Claim
from cardmint_contracts.envelope import Envelope, decode_batch
from cardmint_contracts.errors import BadTopic, ContractError
from cardmint_contracts.events import CardScanned, EventData
from cardmint_contracts.notifications import Subject
from cardmint_contracts.receipts import Receipt
from cardmint_contracts.upcasters import decode_data
from cardmint_contracts.wire import encode

MAX_PARKED_BYTES = 1 << 20
_RACES = 5
_REFUSED = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError)
_POISON = (Impossible, *_REFUSED, LookupError, TypeError, ValueError, ArithmeticError)
"""What an event, rather than the database's absence, is to blame for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """One MQTT message. `claim` is what its sender says is inside.

    Stream, first and last sequence.
    """

    topic: str
    payload: bytes
    content_type: str | None
    claim: Claim | None = None


class Received(Protocol):
    """What a message is read from."""

    @property
    def topic(self) -> str:
        """The topic that it came on."""
        ...

    @property
    def payload(self) -> bytes:
        """Its bytes."""
        ...

    @property
    def content_type(self) -> str | None:
        """What it says that the bytes are."""
        ...

    @property
    def claim(self) -> Claim | None:
        """What its sender says is inside: stream, first and last sequence."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """Events of one stream that follow one another, as they came in one message.

    `data` has what each envelope carries, or why that cannot be read; without it, `commit` reads
    it.
    """

    tenant: str
    origin: str
    stream: UUID
    first: int
    last: int
    source: str
    topic: str
    envelopes: Sequence[Envelope] = ()
    data: Sequence[EventData | ContractError] = ()
    letter: DeadLetter | None = None

    @property
    def key(self) -> StreamKey:
        """The stream, within its tenant."""
        return (self.tenant, self.stream)


@dataclass(slots=True)
class Committed:
    """What a transaction did. `receipts` go out by tenant and station, now that it is committed."""

    receipts: dict[tuple[str, str, UUID], Receipt] = field(default_factory=dict)
    changes: Changes = field(default_factory=Changes)
    applied: int = 0
    repeated: int = 0
    parked: int = 0


def read(message: Received) -> Batch | DeadLetter | None:
    """Read a message as a batch; a dead letter when it cannot be.

    None when it is on no station's topic.

    A payload that cannot be read, but that claims a stream and its sequences, is a batch of one
    dead letter: parked in place of the events, so that it does not stop what comes behind it.
    """
    try:
        tenant, station, _, _ = topics.parse(message.topic)
    except BadTopic:
        return None
    source = f"/stations/{station}"
    try:
        envelopes = decode_batch(message.payload, message.content_type)
    except ContractError as error:
        letter = unreadable(tenant, station, message, error)
        if message.claim is None:
            return letter
        stream, first, last = message.claim
        return Batch(
            tenant=tenant,
            origin=station,
            stream=stream,
            first=first,
            last=last,
            source=source,
            topic=message.topic,
            letter=letter,
        )
    head = envelopes[0]
    if head.source != source:
        detail = f"the events say they are from {head.source}, but came on the topic of station {station!r}"
        return _letter(tenant, station, message, "wrong-source", detail)
    return Batch(
        tenant=tenant,
        origin=station,
        stream=head.stream,
        first=head.number,
        last=envelopes[-1].number,
        source=source,
        topic=message.topic,
        envelopes=envelopes,
        data=[_data(envelope) for envelope in envelopes],
    )


def _data(envelope: Envelope) -> EventData | ContractError:
    try:
        return decode_data(envelope.type, envelope.data)
    except ContractError as error:
        return error


async def commit(
    connection: Connection,
    batches: Sequence[Batch | DeadLetter],
    now: datetime,
    known: Collection[PrintingKey] = (),
) -> Committed:
    """Apply `batches` in one transaction and return what may be said once it is committed.

    What Postgres, or the fold, refuses is found by halving the group and parked; the rest goes on.
    Events at or below their stream's watermark are passed over; a batch that leaves a gap is
    refused in its receipt. `known` printings need not be written.

    Raises:
        OSError, asyncpg.PostgresConnectionError, …: the database is away; nothing was committed.
    """
    try:
        return await _unraced(connection, batches, now, known)
    except _POISON as error:
        if len(batches) > 1:
            middle = len(batches) // 2
            halves = [
                await commit(connection, part, now, known)
                for part in (batches[:middle], batches[middle:])
            ]
            return _merge(halves)
        return _merge(
            [await commit(connection, [single], now, known) for single in _split(batches[0], error)]
        )


async def _unraced(
    connection: Connection,
    batches: Sequence[Batch | DeadLetter],
    now: datetime,
    known: Collection[PrintingKey],
) -> Committed:
    """Apply as if every scan were new, as nearly all are.

    When one is not, or another makes it just now, look first.
    """
    for attempt in range(_RACES):
        with contextlib.suppress(asyncpg.UniqueViolationError):
            async with connection.transaction():
                return await _apply(connection, batches, now, known, look=attempt > 0)
    async with connection.transaction():
        return await _apply(connection, batches, now, known, look=True)


async def _apply(
    connection: Connection,
    batches: Sequence[Batch | DeadLetter],
    now: datetime,
    known: Collection[PrintingKey],
    *,
    look: bool,
) -> Committed:
    done = Committed()
    letters = [batch for batch in batches if isinstance(batch, DeadLetter)]
    sound = [batch for batch in batches if isinstance(batch, Batch)]
    streams = (
        await event_log.lock_streams(connection, {b.key: b.source for b in sound}, now)
        if sound
        else {}
    )
    marks = {key: sequence for key, (_, sequence) in streams.items()}
    before = dict(marks)
    events: list[tuple[str, Envelope, EventData]] = []
    origins: list[str] = []
    for batch in sound:
        owner, _ = streams[batch.key]
        mark = marks[batch.key]
        if owner != batch.source:
            letters.append(_stolen(batch, owner))
        elif batch.first > mark + 1:
            done.receipts[*_address(batch), batch.stream] = Receipt(
                stream=batch.stream, sequence=mark, refused=batch.first
            )
        else:
            fresh, bad = _fresh(batch, mark)
            events += fresh
            origins += [batch.origin] * len(fresh)
            letters += bad
            done.repeated += max(0, min(mark, batch.last) - batch.first + 1)
            marks[batch.key] = max(mark, batch.last)
            done.receipts[*_address(batch), batch.stream] = Receipt(
                stream=batch.stream, sequence=marks[batch.key]
            )
    if events:
        items, reviews = await inventory.load(
            connection,
            *spoken_of((tenant, data) for tenant, _, data in events if _looked_up(data, look=look)),
        )
        done.changes = fold(
            items,
            reviews,
            (
                Event(
                    tenant=tenant,
                    origin=origin,
                    occurred_at=e.time,
                    received_at=now,
                    data=data,
                    clock_synced=e.clocksynced,
                )
                for origin, (tenant, e, data) in zip(origins, events, strict=True)
            ),
        )
        await event_log.append(connection, events, now)
        await inventory.put(connection, items, reviews, done.changes, now, known=known)
    for letter in letters:
        await event_log.park(connection, letter, now)
    moved = {key: sequence for key, sequence in marks.items() if sequence > before[key]}
    if moved:
        await event_log.advance(connection, moved, now)
    await event_log.notify_all(connection, _changed(done.changes, letters, events))
    await inventory.count(connection, done.changes)
    done.applied, done.parked = len(events), len(letters)
    return done


def _changed(
    changes: Changes, letters: Sequence[DeadLetter], events: Sequence[object]
) -> set[tuple[str, str]]:
    told = {(tenant, Subject.ITEMS) for tenant, _ in changes.items} if events else set()
    return (
        told
        | {(tenant, Subject.REVIEWS) for tenant, _ in changes.reviews}
        | {(x.tenant, Subject.DEAD_LETTERS) for x in letters}
    )


def _address(batch: Batch) -> tuple[str, str]:
    return batch.tenant, batch.origin


def _fresh(
    batch: Batch, mark: int
) -> tuple[list[tuple[str, Envelope, EventData]], list[DeadLetter]]:
    if batch.letter is not None:
        return [], [batch.letter] if batch.last > mark else []
    good: list[tuple[str, Envelope, EventData]] = []
    bad: list[DeadLetter] = []
    done = max(0, mark + 1 - batch.first)
    envelopes = batch.envelopes[done:]
    decoded = batch.data[done:] if batch.data else [_data(envelope) for envelope in envelopes]
    for envelope, data in zip(envelopes, decoded, strict=True):
        if isinstance(data, ContractError):
            bad.append(_single(batch, envelope, data.reason, str(data)))
        else:
            good.append((batch.tenant, envelope, data))
    return good, bad


def _looked_up(data: EventData, *, look: bool) -> bool:
    """Whether what an event speaks of is read first.

    A first scan's card is taken for new until it proves not to be.
    """
    return look or not isinstance(data, CardScanned) or data.rescan_of is not None


def _split(batch: Batch | DeadLetter, error: Exception) -> list[Batch | DeadLetter]:
    """Return a refused batch as its events, one each.

    A single event as a dead letter in its place.
    """
    if isinstance(batch, DeadLetter) or batch.letter is not None:
        raise error
    if len(batch.envelopes) == 1:
        return [
            _only(
                batch,
                batch.envelopes[0],
                _single(batch, batch.envelopes[0], _reason(error), str(error)),
            )
        ]
    return [_only(batch, envelope, None) for envelope in batch.envelopes]


def _reason(error: Exception) -> str:
    if isinstance(error, Impossible):
        return error.reason
    return "refused-by-database" if isinstance(error, _REFUSED) else "fold-failed"


def _only(batch: Batch, envelope: Envelope, letter: DeadLetter | None) -> Batch:
    return Batch(
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


def _merge(parts: Sequence[Committed]) -> Committed:
    merged = Committed()
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


def unreadable(tenant: str, station: str, message: Received, error: ContractError) -> DeadLetter:
    """Return the dead letter for a message that does not keep to its contract."""
    return _letter(tenant, station, message, error.reason, str(error))


def _letter(tenant: str, station: str, message: Received, reason: str, detail: str) -> DeadLetter:
    stream, first, last = message.claim or (None, None, None)
    return DeadLetter(
        tenant=tenant,
        station=station,
        topic=message.topic,
        reason=reason,
        detail=detail,
        content_type=message.content_type or "",
        payload=message.payload[:MAX_PARKED_BYTES],
        stream=stream,
        first=first,
        last=last,
    )


def _single(batch: Batch, envelope: Envelope, reason: str, detail: str) -> DeadLetter:
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


def _stolen(batch: Batch, owner: str) -> DeadLetter:
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

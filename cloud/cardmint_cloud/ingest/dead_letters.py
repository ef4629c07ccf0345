"""Dead letters, replayed after an upgrade or discarded.

The station's watermark has passed a parked event, so it cannot be applied under its own sequence.
It gets a sequence of the station's replay stream; its content, its time and its `id` stay the same,
so that what the log has already, by the same or by another way, counts once.
"""

import contextlib
from datetime import datetime
from uuid import NAMESPACE_URL, UUID, uuid5

import msgspec

from cardmint_cloud.adapters.postgres.connection import (
    Pool,
    PostgresConnection,
    tenant_transaction,
)
from cardmint_cloud.adapters.postgres.ingest import dead_letters, event_log
from cardmint_cloud.adapters.postgres.ingest.event_log import DeadLetter
from cardmint_cloud.errors import NotFound, ParkItem
from cardmint_cloud.ingest.commit import CommitResult, commit
from cardmint_cloud.ingest.read import EventBatch, MqttMessage, read_message
from cardmint_contracts.envelope import BATCH, Envelope, digits
from cardmint_contracts.notifications import Subject


def replay_stream(tenant: str, source: str) -> UUID:
    """Return the stream in which a station's replayed events are numbered."""
    return uuid5(NAMESPACE_URL, f"cardmint:{tenant}:replay:{source}")


async def replay(pool: Pool, tenant: str, letter: int, now: datetime) -> CommitResult:
    """Put a dead letter through ingest again and delete it, in one transaction.

    Raises:
        NotFound: there is no such dead letter, or no longer.
        ParkItem: it still cannot be used and stays; the message says why.
    """
    async with tenant_transaction(pool, tenant) as connection:
        found = await dead_letters.take_letter(connection, tenant, letter)
        if found is None:
            raise NotFound(
                f"there is no dead letter {letter}; it may have been replayed or discarded"
            )
        batch = await _numbered(connection, _read(found), now)
        done = await commit(connection, [batch], now)
        if done.parked:
            raise ParkItem(await dead_letters.newest_detail(connection, tenant, batch.stream))
        await event_log.notify(connection, tenant, Subject.DEAD_LETTERS)
        return done


async def replay_all(
    pool: Pool, tenant: str, now: datetime, *, reason: str | None = None
) -> tuple[int, int]:
    """Replay every dead letter, or those with `reason`; return how many were used and how many not.

    Each is a transaction of its own, the oldest first.
    """
    async with tenant_transaction(pool, tenant) as connection:
        letters = await dead_letters.letter_ids(connection, tenant, reason)
    used = 0
    for letter in letters:
        with contextlib.suppress(NotFound, ParkItem):
            await replay(pool, tenant, letter, now)
            used += 1
    return used, len(letters) - used


async def discard(pool: Pool, tenant: str, letter: int) -> None:
    """Delete a dead letter.

    Raises:
        NotFound: there is no such dead letter, or no longer.
    """
    async with tenant_transaction(pool, tenant) as connection:
        if await dead_letters.take_letter(connection, tenant, letter) is None:
            raise NotFound(
                f"there is no dead letter {letter}; it may have been replayed or discarded"
            )
        await event_log.notify(connection, tenant, Subject.DEAD_LETTERS)


def _read(letter: DeadLetter) -> EventBatch:
    single = letter.content_type == "application/cloudevents+json"
    found = read_message(
        MqttMessage(
            topic=letter.topic,
            payload=b"[" + letter.payload + b"]" if single else letter.payload,
            content_type=BATCH if single else letter.content_type,
        )
    )
    if not isinstance(found, EventBatch):
        raise ParkItem(found.detail if found else f"topic {letter.topic!r} is no station's")
    return found


async def _numbered(connection: PostgresConnection, batch: EventBatch, now: datetime) -> EventBatch:
    stream = replay_stream(batch.tenant, batch.source)
    marks = await event_log.lock_streams(connection, {(batch.tenant, stream): batch.source}, now)
    first = marks[batch.tenant, stream].sequence + 1
    envelopes = [
        _moved(envelope, stream, first + offset) for offset, envelope in enumerate(batch.envelopes)
    ]
    return EventBatch(
        tenant=batch.tenant,
        origin=batch.origin,
        stream=stream,
        first=first,
        last=first + len(envelopes) - 1,
        source=batch.source,
        topic=batch.topic,
        envelopes=envelopes,
    )


def _moved(envelope: Envelope, stream: UUID, sequence: int) -> Envelope:
    return msgspec.structs.replace(envelope, stream=stream, sequence=digits(sequence))

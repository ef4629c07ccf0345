"""Writes to the event log: lock and advance streams, append events, park dead letters."""

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from cardmint_cloud.adapters.postgres import copy_encoding
from cardmint_cloud.adapters.postgres.columns import EVENTS, EventRow
from cardmint_cloud.adapters.postgres.connection import PostgresConnection
from cardmint_cloud.adapters.postgres.ingest.log_months import month_name, month_of
from cardmint_cloud.domain.items import subject_of
from cardmint_cloud.domain.stream_position import StreamMark
from cardmint_contracts.envelope import Envelope
from cardmint_contracts.events import EventData
from cardmint_contracts.notifications import CHANNEL, payload

StreamKey = tuple[str, UUID]

EventKey = tuple[str, UUID, int]
"""Tenant, stream and sequence."""

_LOCK = """
SELECT tenant, stream, source, sequence, digest,
       EXISTS (SELECT FROM moved_events m WHERE (m.tenant, m.stream) = (w.tenant, w.stream))
       AS has_moved
  FROM watermarks w
 WHERE (tenant, stream) IN (SELECT * FROM unnest($1::text[], $2::uuid[]))
 ORDER BY tenant, stream FOR UPDATE OF w"""
_OPEN_STREAMS = """
INSERT INTO watermarks (tenant, stream, source, updated_at)
SELECT *, $4 FROM unnest($1::text[], $2::uuid[], $3::text[]) ON CONFLICT DO NOTHING"""
_ADVANCE = """
UPDATE watermarks w SET sequence = n.sequence, digest = n.digest, updated_at = $5
  FROM unnest($1::text[], $2::uuid[], $3::bigint[], $4::bytea[])
    AS n (tenant, stream, sequence, digest)
 WHERE w.tenant = n.tenant AND w.stream = n.stream"""
_MARK = "SELECT source, sequence, digest FROM watermarks WHERE tenant = $1 AND stream = $2"
_LOGGED = """
SELECT tenant, stream, sequence, type, data FROM events
 WHERE (tenant, stream, sequence) IN (SELECT * FROM unnest($1::text[], $2::uuid[], $3::bigint[]))"""
_MOVED = """
SELECT tenant, stream, sequence, sha256 FROM moved_events
 WHERE (tenant, stream, sequence) IN (SELECT * FROM unnest($1::text[], $2::uuid[], $3::bigint[]))"""
_PUT_MOVED = """
INSERT INTO moved_events (tenant, stream, sequence, sha256)
SELECT * FROM unnest($1::text[], $2::uuid[], $3::bigint[], $4::bytea[])"""
_PARK = """
INSERT INTO dead_letters AS d (tenant, station, topic, stream, first, last, reason, detail,
       content_type, payload, sha256, times, first_at, last_at)
SELECT l.tenant, l.station, l.topic, l.stream, l.first, l.last, l.reason, l.detail,
       l.content_type, l.payload, l.sha256, l.times, $13, $13
  FROM unnest($1::text[], $2::text[], $3::text[], $4::uuid[], $5::bigint[], $6::bigint[],
         $7::text[], $8::text[], $9::text[], $10::bytea[], $11::text[], $12::int[])
    AS l (tenant, station, topic, stream, first, last, reason, detail, content_type, payload,
           sha256, times)
ON CONFLICT (tenant, station, sha256) DO UPDATE SET times = d.times + excluded.times,
       last_at = excluded.last_at"""


@dataclass(frozen=True, kw_only=True, slots=True)
class DeadLetter:
    """A message or event that cannot be used, with the reason.

    `stream`, `first` and `last` are set when they are known.
    """

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
    connection: PostgresConnection, sources: dict[StreamKey, str], now: datetime
) -> dict[StreamKey, StreamMark]:
    """Lock each stream's watermark, create it if needed, and return it."""
    tenants, streams = _columns(sources)
    found = await connection.fetch(_LOCK, tenants, streams)
    if len(found) < len(sources):
        await connection.execute(_OPEN_STREAMS, tenants, streams, list(sources.values()), now)
        found = await connection.fetch(_LOCK, tenants, streams)
    return {
        (row["tenant"], row["stream"]): StreamMark(
            row["source"], row["sequence"], row["digest"], row["has_moved"]
        )
        for row in found
    }


async def stream_mark(
    connection: PostgresConnection, tenant: str, stream: UUID
) -> StreamMark | None:
    """Return a stream's watermark; None for a stream that the database does not know."""
    rows = await connection.fetch(_MARK, tenant, stream)
    return StreamMark(*rows[0]) if rows else None


async def advance_watermarks(
    connection: PostgresConnection, marks: Mapping[StreamKey, StreamMark], now: datetime
) -> None:
    """Set the watermarks, whose rows are locked."""
    tenants, streams = _columns(marks)
    sequences = [mark.sequence for mark in marks.values()]
    digests = [mark.digest for mark in marks.values()]
    await connection.execute(_ADVANCE, tenants, streams, sequences, digests, now)


async def logged_events(
    connection: PostgresConnection, keys: Collection[EventKey]
) -> dict[EventKey, tuple[str, bytes]]:
    """Return type and data of those events that the log has.

    It lacks dead letters, and the events of retired months.
    """
    rows = await connection.fetch(_LOGGED, *_columns(keys)) if keys else []
    return {
        (row["tenant"], row["stream"], row["sequence"]): (row["type"], row["data"].encode())
        for row in rows
    }


async def moved_events(
    connection: PostgresConnection, keys: Collection[EventKey]
) -> set[tuple[EventKey, bytes]]:
    """Return which of those events are in the log under another stream, with their SHA-256."""
    rows = await connection.fetch(_MOVED, *_columns(keys)) if keys else []
    return {((row["tenant"], row["stream"], row["sequence"]), row["sha256"]) for row in rows}


async def put_moved_events(
    connection: PostgresConnection, moved: Collection[tuple[EventKey, bytes]]
) -> None:
    """Record events that the log now has under another stream than their first."""
    await connection.execute(_PUT_MOVED, *_columns((*key, digest) for key, digest in moved))


async def append_events(connection: PostgresConnection, rows: Sequence[EventRow]) -> None:
    """Append events to the log, to the partition of the month in which all were received.

    Not to `events`: COPY does not write to a table with a policy (`row_security.COPIED`).

    Raises:
        asyncpg.UndefinedTableError: the log has no partition for that month.
    """
    if rows:
        partition = month_name(month_of(rows[0].received_at))
        await copy_encoding.copy_rows(connection, partition, EVENTS.copy_names, EVENTS.encode(rows))


def row(tenant: str, envelope: Envelope, data: EventData, received_at: datetime) -> EventRow:
    """Return an event as a row of `events`; without a plausible time, its receipt dates it."""
    happened = envelope.happened(received_at)
    return EventRow(
        tenant=tenant,
        source=envelope.source,
        stream=envelope.stream,
        sequence=envelope.number,
        type=envelope.type,
        subject=subject_of(data),
        received_at=received_at,
        occurred_at=happened.moment,
        bootid=envelope.bootid,
        monotonic_ms=int(envelope.monotonicms),
        clock_synced=happened.clock_synced,
        data=bytes(envelope.data),
    )


async def park_letters(
    connection: PostgresConnection, letters: Sequence[DeadLetter], now: datetime
) -> None:
    """Store dead letters; the same bytes again only increase the count of their letter."""
    times: dict[tuple[str, str, str], int] = {}
    rows: dict[tuple[str, str, str], tuple[object, ...]] = {}
    for letter in letters:
        sha256 = hashlib.sha256(letter.payload).hexdigest()
        key = (letter.tenant, letter.station, sha256)
        times[key] = times.get(key, 0) + 1
        rows[key] = (
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
            sha256,
        )
    if rows:
        # In order of their keys, so that two writers cannot deadlock.
        columns = _columns((*rows[key], times[key]) for key in sorted(rows))
        await connection.execute(_PARK, *columns, now)


async def notify(connection: PostgresConnection, tenant: str, what: str) -> None:
    """Notify listeners, when the transaction commits, that `what` changed for a tenant."""
    await notify_all(connection, [(tenant, what)])


async def notify_all(connection: PostgresConnection, changed: Iterable[tuple[str, str]]) -> None:
    """Notify listeners, when the transaction commits, of changes by tenant."""
    if said := [payload(tenant, what) for tenant, what in changed]:
        await connection.execute(
            "SELECT pg_notify($1, said) FROM unnest($2::text[]) AS s (said)", CHANNEL, said
        )


def _columns(rows: Iterable[Sequence[Any]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]

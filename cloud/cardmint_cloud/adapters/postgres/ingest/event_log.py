"""Writes to the event log: lock and advance streams, append events, park dead letters."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from cardmint_cloud.adapters.postgres import copy_encoding
from cardmint_cloud.adapters.postgres.columns import EVENTS, EventRow
from cardmint_cloud.adapters.postgres.connection import PostgresConnection
from cardmint_cloud.domain.items import subject_of
from cardmint_contracts.envelope import Envelope
from cardmint_contracts.events import EventData
from cardmint_contracts.notifications import CHANNEL, payload

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
_PARK = """
INSERT INTO dead_letters AS d (tenant, station, topic, stream, first, last, reason, detail,
       content_type, payload, sha256, first_at, last_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, encode(sha256($10), 'hex'), $11, $11)
ON CONFLICT (tenant, station, sha256) DO UPDATE SET times = d.times + 1,
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
) -> dict[StreamKey, tuple[str, int]]:
    """Lock each stream's watermark, create it if needed, and return its source and sequence."""
    tenants, streams = _columns(sources)
    found = await connection.fetch(_LOCK, tenants, streams)
    if len(found) < len(sources):
        await connection.execute(_OPEN_STREAMS, tenants, streams, list(sources.values()), now)
        found = await connection.fetch(_LOCK, tenants, streams)
    return {(row["tenant"], row["stream"]): (row["source"], row["sequence"]) for row in found}


async def advance_watermarks(
    connection: PostgresConnection, sequences: dict[StreamKey, int], now: datetime
) -> None:
    """Set the watermarks, whose rows are locked."""
    tenants, streams = _columns(sequences)
    await connection.execute(_ADVANCE, tenants, streams, list(sequences.values()), now)


async def append_events(
    connection: PostgresConnection,
    events: Sequence[tuple[str, Envelope, EventData]],
    received_at: datetime,
) -> None:
    """Append events, each with its tenant, to the log."""
    if events:
        rows = (row(tenant, envelope, data, received_at) for tenant, envelope, data in events)
        await copy_encoding.copy_rows(connection, "events", EVENTS.copy_names, EVENTS.encode(rows))


def row(tenant: str, envelope: Envelope, data: EventData, received_at: datetime) -> EventRow:
    """Return an event as a row of `events`."""
    return EventRow(
        tenant=tenant,
        source=envelope.source,
        stream=envelope.stream,
        sequence=envelope.number,
        type=envelope.type,
        subject=subject_of(data),
        received_at=received_at,
        occurred_at=envelope.time,
        bootid=envelope.bootid,
        monotonic_ms=int(envelope.monotonicms),
        clock_synced=envelope.clocksynced,
        data=bytes(envelope.data),
    )


async def park_letter(connection: PostgresConnection, letter: DeadLetter, now: datetime) -> None:
    """Store a dead letter; the same bytes again only increase its count."""
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

"""The event log, written: streams locked and advanced, events appended, what is unusable parked.

Set-based SQL.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from struct import Struct
from typing import Any, Protocol
from uuid import UUID

from cardmint_cloud.adapters.postgres import copy_encoding
from cardmint_cloud.domain.items import subject
from cardmint_contracts.envelope import Envelope
from cardmint_contracts.events import EventData
from cardmint_contracts.notifications import CHANNEL, payload


class Connection(Protocol):
    """What is used of an asyncpg connection, whether it comes from a pool or not."""

    async def fetch(self, query: str, *args: object) -> list[Any]:
        """Run a query and return its rows."""
        ...

    async def execute(self, query: str, *args: object) -> str:
        """Run a statement."""
        ...

    async def copy_to_table(
        self,
        table_name: str,
        *,
        source: memoryview,
        columns: list[str],
        format: str,  # noqa: A002 - asyncpg's name
    ) -> str:
        """Run COPY FROM STDIN."""
        ...

    def transaction(self) -> AbstractAsyncContextManager[object]:
        """Open a transaction, or a savepoint inside one."""
        ...


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
_EVENTS = ("tenant", "source", "stream", "type", "received_at", "subject", "sequence", "occurred_at", "bootid",
           "monotonic_ms", "clock_synced", "data")  # fmt: skip
_PARK = """
INSERT INTO dead_letters AS d (tenant, station, topic, stream, first, last, reason, detail, content_type, payload,
                               sha256, first_at, last_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, encode(sha256($10), 'hex'), $11, $11)
ON CONFLICT (tenant, station, sha256) DO UPDATE SET times = d.times + 1, last_at = excluded.last_at"""


_FIXED = Struct(">iqiqi16siqi?i").pack
"""Sequence, moment, boot, ticks, whether the clock was right, and how long the data is."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DeadLetter:
    """What could not be used, whole, with the reason.

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
    connection: Connection, sources: dict[StreamKey, str], now: datetime
) -> dict[StreamKey, tuple[str, int]]:
    """Lock each stream's watermark row, made if need be, and return its source and sequence."""
    tenants, streams = _columns(sources)
    found = await connection.fetch(_LOCK, tenants, streams)
    if len(found) < len(sources):
        await connection.execute(_OPEN_STREAMS, tenants, streams, list(sources.values()), now)
        found = await connection.fetch(_LOCK, tenants, streams)
    return {(row["tenant"], row["stream"]): (row["source"], row["sequence"]) for row in found}


async def advance(connection: Connection, sequences: dict[StreamKey, int], now: datetime) -> None:
    """Move the watermarks, whose rows are locked."""
    tenants, streams = _columns(sequences)
    await connection.execute(_ADVANCE, tenants, streams, list(sequences.values()), now)


async def append(
    connection: Connection, events: Sequence[tuple[str, Envelope, EventData]], received_at: datetime
) -> None:
    """Append events, each with its tenant, to the log."""
    if events:
        await copy_encoding.copy(connection, "events", _EVENTS, _pieces(events, received_at))


def _pieces(
    events: Sequence[tuple[str, Envelope, EventData]], received_at: datetime
) -> Iterator[Any]:
    received = copy_encoding.moment(received_at)
    heads: dict[tuple[str, str, int, str], bytes] = {}
    for tenant, e, data in events:
        key = (tenant, e.source, e.stream.int, e.type)
        head = heads.get(key)
        if head is None:
            head = heads[key] = b"".join(
                (
                    *(
                        copy_encoding.start(len(_EVENTS)),
                        copy_encoding.text(tenant),
                        copy_encoding.text(e.source),
                    ),
                    *(copy_encoding.uuid(e.stream), copy_encoding.text(e.type), received),
                )
            )
        yield head
        yield copy_encoding.uuid(subject(data))
        microseconds = (e.time - copy_encoding.EPOCH) // copy_encoding.MICROSECOND
        boot, ticks, content = e.bootid.int.to_bytes(16), int(e.monotonicms), bytes(e.data)
        yield _FIXED(
            8, e.number, 8, microseconds, 16, boot, 8, ticks, 1, e.clocksynced, len(content)
        )
        yield content


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
    await notify_all(connection, [(tenant, what)])


async def notify_all(connection: Connection, changed: Iterable[tuple[str, str]]) -> None:
    """Tell listeners, when the transaction commits, what changed for which tenant."""
    if said := [payload(tenant, what) for tenant, what in changed]:
        await connection.execute(
            "SELECT pg_notify($1, said) FROM unnest($2::text[]) AS s (said)", CHANNEL, said
        )


def _columns(rows: Iterable[Sequence[Any]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]

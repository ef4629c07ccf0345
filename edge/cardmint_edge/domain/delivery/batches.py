"""Stored events, and their packing into messages."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from msgspec import Raw

from cardmint_contracts.envelope import Envelope, digits, encode_batch
from cardmint_contracts.wire import clock_text

GZIP_FROM_BYTES = 1024
"""Bytes of a payload from which compression is worth its time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Timestamp:
    """The time of an event by every clock of the station.

    `time` is wall time, `monotonic_ms` counts from the boot `bootid`, and `clock_synced` is whether
    the network had set the wall clock.
    """

    time: datetime
    bootid: UUID
    monotonic_ms: int
    clock_synced: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredEvent:
    """An event as the outbox stores it: its envelope without the stream and the station's name.

    `id` is its first identity, where that is another than the one that it has now. `digest` is the
    chain's after it; empty in an export of version 0.1.0.
    """

    sequence: int
    type: str
    stamp: Timestamp
    data: bytes
    id: str = ""
    digest: bytes = b""

    @property
    def time(self) -> str:
        """Wall time, as the envelope has it."""
        return clock_text(self.stamp.time)

    @property
    def bootid(self) -> UUID:
        """Boot of the station."""
        return self.stamp.bootid

    @property
    def monotonicms(self) -> str:
        """Milliseconds since the boot, as the envelope has them."""
        return digits(self.stamp.monotonic_ms)


@dataclass(frozen=True, kw_only=True, slots=True)
class PackedBatch:
    """The payload of one message, with the events `first` to `last` of `stream`.

    `before` is the digest of the stream before `first`, if it is known.
    """

    stream: UUID
    first: int
    last: int
    payload: bytes
    content_type: str
    before: bytes | None = None


class EventTooLarge(ValueError):
    """A single event is larger than the largest message."""


def pack(
    events: Sequence[StoredEvent],
    *,
    source: str,
    stream: UUID,
    max_bytes: int,
    before: bytes | None = None,
) -> PackedBatch:
    """Pack as many of `events` as fit into `max_bytes`, compressed from 1 kB on.

    `events` are in order of their sequence; there is at least one. `before` is the digest of the
    stream before them.

    Raises:
        EventTooLarge: the first event alone does not fit.
    """
    envelopes = [_envelope(event, source, stream) for event in events]
    while True:
        payload, content_type = encode_batch(envelopes)
        if len(payload) >= GZIP_FROM_BYTES:
            payload, content_type = encode_batch(envelopes, compress=True)
        if len(payload) <= max_bytes:
            return PackedBatch(
                stream=stream,
                first=events[0].sequence,
                last=events[len(envelopes) - 1].sequence,
                payload=payload,
                content_type=content_type,
                before=before,
            )
        if len(envelopes) == 1:
            raise EventTooLarge(
                f"event {events[0].sequence} takes {len(payload)} bytes;"
                f" the broker's limit for one message is {max_bytes}"
            )
        envelopes = envelopes[: len(envelopes) // 2]


def _envelope(event: StoredEvent, source: str, stream: UUID) -> Envelope:
    # The stored data is already encoded; `seal` would decode it only to encode it again.
    return Envelope(
        id=event.id or f"{stream}/{event.sequence}",
        source=source,
        type=event.type,
        time=event.time,
        stream=stream,
        sequence=digits(event.sequence),
        bootid=event.stamp.bootid,
        monotonicms=event.monotonicms,
        clocksynced=event.stamp.clock_synced,
        data=Raw(event.data),
    )

"""Stored events, and how they are packed into messages."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from msgspec import Raw

from cardmint_contracts.envelope import Envelope, digits, encode_batch

GZIP_FROM_BYTES = 1024
"""Below this compression costs more time than it saves bytes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Timestamp:
    """When something happened, by every clock that the station has.

    `monotonic_ms` counts from the boot `bootid`.
    """

    time: datetime
    bootid: UUID
    monotonic_ms: int
    clock_synced: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredEvent:
    """An event as the outbox keeps it.

    Everything of its envelope but the stream and the station's name.
    """

    sequence: int
    type: str
    stamp: Timestamp
    data: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class PackedBatch:
    """One message's worth of events, `first` to `last` of `stream`."""

    stream: UUID
    first: int
    last: int
    payload: bytes
    content_type: str


class EventTooLarge(ValueError):
    """A single event is larger than one message may be."""


def pack(
    events: Sequence[StoredEvent], *, source: str, stream: UUID, max_bytes: int
) -> PackedBatch:
    """Pack as many of `events` (in order, at least one) as fit `max_bytes`, compressed when that pays.

    Raises:
        EventTooLarge: not even the first one fits.
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
            )
        if len(envelopes) == 1:
            message = f"event {events[0].sequence} takes {len(payload)} bytes; a message may have {max_bytes}"
            raise EventTooLarge(message)
        envelopes = envelopes[: len(envelopes) // 2]


def _envelope(event: StoredEvent, source: str, stream: UUID) -> Envelope:
    # The data was encoded from its struct when it was stored; `seal` would need it decoded only to
    # encode it again.
    return Envelope(
        id=f"{stream}/{event.sequence}",
        source=source,
        type=event.type,
        time=event.stamp.time,
        stream=stream,
        sequence=digits(event.sequence),
        bootid=event.stamp.bootid,
        monotonicms=digits(event.stamp.monotonic_ms),
        clocksynced=event.stamp.clock_synced,
        data=Raw(event.data),
    )

"""The envelope: CloudEvents 1.0, many to a message, optionally compressed.

`(stream, sequence)` is an event's identity. `stream` is made with the station's outbox; `sequence`
counts 1, 2, 3 … within it without gaps. CloudEvents limits an integer to 32 bits, so the sequence
travels as the specification's Sequence extension has it: a string that sorts as it counts.

`id` is the first identity of an event, `{stream}/{sequence}`. A station that begins a new stream
moves its unsent events there, and each keeps its `id`.
"""

import gzip
import re
import zlib
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal, NamedTuple
from uuid import UUID

from msgspec import Meta, Raw

from cardmint_contracts.errors import Invalid, Malformed, Oversized
from cardmint_contracts.events import NAMES, EventData
from cardmint_contracts.wire import (
    MAX_MESSAGE_BYTES,
    ClockText,
    Upward,
    clock_text,
    decode,
    encode,
)

BATCH = "application/cloudevents-batch+json"
BATCH_GZIP = "application/cloudevents-batch+json+gzip"
MAX_EVENTS = 1000
MAX_BATCH_BYTES = 8 << 20
"""Greatest size of a decompressed message: 8 MiB."""

SEQUENCE_DIGITS = 19
MAX_SEQUENCE = 2**63 - 1

EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
MAX_AHEAD = timedelta(days=1)
"""Bounds of a plausible time: not before `EARLIEST`, at most so long after its receipt."""

_SOURCE = re.compile(r"^/(stations|users)/[a-z0-9][a-z0-9-]{0,62}\Z")
_TYPE = re.compile(r"^[a-z0-9.]{1,80}\Z")
_DIGITS = re.compile(r"^[0-9]{19}\Z")

_NUMBER = re.compile(r"^[1-9][0-9]{0,17}\Z")
_MANY_DIGITS = re.compile(r"^[0-9]+\Z")

Digits = Annotated[
    str, Meta(min_length=19, max_length=19, extra_json_schema={"pattern": _DIGITS.pattern})
]


def is_plausible(moment: datetime, received_at: datetime) -> bool:
    """Return whether an event that was received then can be of that moment."""
    return EARLIEST <= moment <= received_at + MAX_AHEAD


class EventTime(NamedTuple):
    """When an event happened, and whether a clock that was set says so."""

    moment: datetime
    clock_synced: bool


class Envelope(Upward, frozen=True):
    """One event. `data` stays raw, so that one bad event does not spoil its batch.

    `time` stays text: an event is never refused for its date (`happened`). Patterns are checked
    once for a whole batch (`decode_batch`): checking each envelope took half of the time of reading
    it.
    """

    id: Annotated[str, Meta(min_length=1, max_length=80)]
    source: Annotated[str, Meta(max_length=80, extra_json_schema={"pattern": _SOURCE.pattern})]
    type: Annotated[str, Meta(max_length=80, extra_json_schema={"pattern": _TYPE.pattern})]
    time: ClockText
    stream: UUID
    sequence: Digits
    bootid: UUID
    monotonicms: Digits
    clocksynced: bool
    data: Raw
    specversion: Literal["1.0"] = "1.0"
    datacontenttype: Literal["application/json"] = "application/json"

    @property
    def number(self) -> int:
        """The sequence as a number."""
        return int(self.sequence)

    def happened(self, received_at: datetime) -> EventTime:
        """Return the event's time by the station's clock, or `received_at` if it cannot be right.

        Whoever says a time before `EARLIEST` or far after its receipt has no clock that is set.
        """
        try:
            moment = datetime.fromisoformat(self.time)
            plausible = is_plausible(moment, received_at)
        except (ValueError, TypeError, OverflowError):  # no date, no such year, or no time zone
            plausible = False
        return EventTime(moment, self.clocksynced) if plausible else EventTime(received_at, False)


def first_identity(envelope: Envelope) -> tuple[UUID, int] | None:
    """Return stream and sequence under which an event was first written.

    None: those that it comes under, or an `id` of another form, which says nothing.
    """
    stream, _, sequence = envelope.id.partition("/")
    if not _NUMBER.match(sequence) or stream == str(envelope.stream):
        return None
    try:
        return UUID(stream), int(sequence)
    except ValueError:
        return None


def digits(number: int) -> str:
    """Return a sequence number, or milliseconds, as 19 digits: sorted as text they are in order."""
    if not 0 <= number <= MAX_SEQUENCE:
        message = f"{number} is not between 0 and 2^63 - 1"
        raise Invalid(message)
    return f"{number:0{SEQUENCE_DIGITS}d}"


def seal(
    data: EventData,
    *,
    source: str,
    time: datetime,
    stream: UUID,
    sequence: int,
    bootid: UUID,
    monotonic_ms: int,
    clock_synced: bool,
) -> Envelope:
    """Return an event in its envelope. `monotonic_ms` counts from the boot named by `bootid`."""
    return Envelope(
        id=f"{stream}/{sequence}",
        source=source,
        type=NAMES[type(data)],
        time=clock_text(time),
        stream=stream,
        sequence=digits(sequence),
        bootid=bootid,
        monotonicms=digits(monotonic_ms),
        clocksynced=clock_synced,
        data=Raw(encode(data)),
    )


def encode_batch(envelopes: list[Envelope], *, compress: bool = False) -> tuple[bytes, str]:
    """Return a batch's bytes and their content type."""
    plain = encode(envelopes)
    return (
        (gzip.compress(plain, compresslevel=1, mtime=0), BATCH_GZIP) if compress else (plain, BATCH)
    )


def decode_batch(payload: bytes, content_type: str | None) -> list[Envelope]:
    """Read a batch: 1 to 1,000 envelopes of one source and stream, without a gap in sequence.

    Raises:
        Oversized: more bytes than allowed, before or after decompression, or too many events.
        Malformed: another content type, damaged compression, or not JSON.
        UnknownField, Invalid: an envelope of the wrong shape, or envelopes that do not belong
            together.
    """
    if len(payload) > MAX_MESSAGE_BYTES:
        message = f"a message of {len(payload)} bytes; at most {MAX_MESSAGE_BYTES} are taken"
        raise Oversized(message)
    if content_type == BATCH_GZIP:
        payload = _decompress(payload)
    elif content_type != BATCH:
        message = f"content type {content_type!r}; {BATCH!r} or {BATCH_GZIP!r} are taken"
        raise Malformed(message)
    envelopes = decode(payload, list[Envelope], max_bytes=MAX_BATCH_BYTES)
    _check_order(envelopes)
    return envelopes


def _check_order(envelopes: list[Envelope]) -> None:
    if not envelopes:
        raise Invalid("a batch without events")
    if len(envelopes) > MAX_EVENTS:
        message = f"{len(envelopes)} events in a batch; at most {MAX_EVENTS} are taken"
        raise Oversized(message)
    first = envelopes[0]
    _check_patterns(envelopes)
    start = first.number
    if start == 0 or start + len(envelopes) - 1 > MAX_SEQUENCE:
        message = f"sequence {start}: it counts from 1 to 2^63 - 1"
        raise Invalid(message)
    source, stream = first.source, first.stream.int
    for offset, envelope in enumerate(envelopes):
        if (
            envelope.sequence != f"{start + offset:019d}"
            or envelope.stream.int != stream
            or envelope.source != source
        ):
            message = (
                f"event {offset + 1} of the batch does not follow the one before it"
                " in source, stream and sequence"
            )
            raise Invalid(message)


def _check_patterns(envelopes: list[Envelope]) -> None:
    """Check the source, each type once, and all milliseconds at once.

    msgspec has already checked that each has 19 characters.
    """
    first = envelopes[0]
    ticks = "".join([envelope.monotonicms for envelope in envelopes])
    for name, text, pattern in (
        ("source", first.source, _SOURCE),
        *(
            ("type", text, _TYPE)
            for text in dict.fromkeys([envelope.type for envelope in envelopes])
        ),
        ("sequence", first.sequence, _DIGITS),
        ("monotonicms", ticks, _MANY_DIGITS),
    ):
        if not pattern.match(text):
            message = f"`{name}` does not match {pattern.pattern}: {text[:80]!r}"
            raise Invalid(message)


def _decompress(payload: bytes) -> bytes:
    inflater = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        plain = inflater.decompress(payload, MAX_BATCH_BYTES + 1)
    except zlib.error as error:
        raise Malformed(f"damaged gzip: {error}") from None
    if len(plain) > MAX_BATCH_BYTES:
        message = f"decompresses to more than {MAX_BATCH_BYTES} bytes"
        raise Oversized(message)
    if not inflater.eof or inflater.unused_data:
        raise Malformed("damaged gzip: cut short, or followed by other bytes")
    return plain

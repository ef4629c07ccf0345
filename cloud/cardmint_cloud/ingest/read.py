"""From MQTT messages to batches of events, or to dead letters with the reason."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from cardmint_cloud.adapters.postgres.ingest.event_log import DeadLetter, StreamKey
from cardmint_contracts import topics
from cardmint_contracts.claims import Claim
from cardmint_contracts.envelope import Envelope, decode_batch
from cardmint_contracts.errors import BadTopic, ContractError
from cardmint_contracts.events import EventData
from cardmint_contracts.upcasters import decode_data

MAX_PARKED_BYTES = 1 << 20
"""Bytes of a payload that a dead letter keeps."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MqttMessage:
    """One MQTT message. `claim` is what its sender announced about its events."""

    topic: str
    payload: bytes
    content_type: str | None
    claim: Claim | None = None


class ReadableMessage(Protocol):
    """The part of a message that reading needs."""

    @property
    def topic(self) -> str:
        """Topic that the message came on."""
        ...

    @property
    def payload(self) -> bytes:
        """Bytes of the message."""
        ...

    @property
    def content_type(self) -> str | None:
        """Content type that the sender announced."""
        ...

    @property
    def claim(self) -> Claim | None:
        """Stream and sequences that the sender announced; None for none."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class EventBatch:
    """Consecutive events of one stream, as they came in one message.

    `data` holds each envelope's decoded data, or the error that decoding it raised; when it is
    empty, `commit` decodes. `before` is the digest of the stream before the batch, as its sender
    has it; None from a station of version 0.1.0.
    """

    tenant: str
    origin: str
    stream: UUID
    first: int
    last: int
    source: str
    topic: str
    envelopes: Sequence[Envelope]
    data: Sequence[EventData | ContractError] = ()
    before: bytes | None = None

    @property
    def key(self) -> StreamKey:
        """Tenant and stream."""
        return (self.tenant, self.stream)


def read_message(message: ReadableMessage) -> EventBatch | DeadLetter | None:
    """Return a message's events, or a dead letter; None when its topic is not a station's.

    What the sender claims about an unreadable payload only describes its letter: no watermark moves
    for it, and the station keeps its events until a cloud can read them.
    """
    try:
        tenant, station, _, _ = topics.parse(message.topic)
    except BadTopic:
        return None
    source = f"/stations/{station}"
    try:
        envelopes = decode_batch(message.payload, message.content_type)
    except ContractError as error:
        return unreadable_letter(tenant, station, message, error)
    head = envelopes[0]
    if head.source != source:
        detail = (
            f"the events name {head.source} as their source,"
            f" but came on the topic of station {station!r}"
        )
        return _message_letter(tenant, station, message, "wrong-source", detail)
    return EventBatch(
        tenant=tenant,
        origin=station,
        stream=head.stream,
        first=head.number,
        last=envelopes[-1].number,
        source=source,
        topic=message.topic,
        envelopes=envelopes,
        data=[decode_or_error(envelope) for envelope in envelopes],
        before=_before(message.claim, head),
    )


def _before(claim: Claim | None, head: Envelope) -> bytes | None:
    """Return the digest that a claim names before `head`; None where it is about another event."""
    if claim is None or (claim.stream, claim.first) != (head.stream, head.number):
        return None
    return claim.before


def decode_or_error(envelope: Envelope) -> EventData | ContractError:
    """Return an envelope's decoded data, or the error that decoding it raised."""
    try:
        return decode_data(envelope.type, envelope.data)
    except ContractError as error:
        return error


def unreadable_letter(
    tenant: str, station: str, message: ReadableMessage, error: ContractError
) -> DeadLetter:
    """Return the dead letter for a message that breaks its contract."""
    return _message_letter(tenant, station, message, error.reason, str(error))


def _message_letter(
    tenant: str, station: str, message: ReadableMessage, reason: str, detail: str
) -> DeadLetter:
    stream, first, last, _ = message.claim or (None, None, None, None)
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

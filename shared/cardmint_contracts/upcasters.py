"""Decoding of event data: today's versions directly, earlier ones through upcasters.

The struct of a version that is no longer written stays here unchanged, and its `upcast` returns the
same event in the next version. Callers of `decode_data` see today's versions only; the log keeps
what was written.
"""

from typing import Annotated, Literal
from uuid import UUID

from msgspec import Meta

from cardmint_contracts.cards import Candidate, Card, Decision, Image, ScanDefaults
from cardmint_contracts.errors import UnknownType
from cardmint_contracts.events import (
    TYPES,
    CardScanned,
    EventData,
    ImageEvicted,
    Question,
    RecogniserIdentity,
    ReviewOpened,
)
from cardmint_contracts.wire import Code, Count, Line, Probability, Sha256, Upward, decode

MAX_EVENT_BYTES = 64 << 10
"""The largest data of one event: 64 KiB."""


class Earlier(Upward, frozen=True):
    """An event in a version that is no longer written."""

    def upcast(self) -> "EventData | Earlier":
        """Return the same event in the next version."""
        raise NotImplementedError


class CardScannedV1(Earlier, frozen=True):
    """A scan whose `margin` was a likeness gap where a picture decided, else one of confidences.

    `batch` is what the operator had set.
    """

    scan: UUID
    decision: Decision
    recogniser: RecogniserIdentity
    card: Card | None = None
    confidence: Probability = 0.0
    margin: Probability = 0.0
    reasons: Annotated[tuple[Code, ...], Meta(max_length=16)] = ()
    candidates: Annotated[tuple[Candidate, ...], Meta(max_length=8)] = ()
    batch: ScanDefaults = ScanDefaults()
    image: Image | None = None
    possible_duplicate_of: UUID | None = None
    rescan_of: UUID | None = None

    def __post_init__(self) -> None:
        if (self.card is not None) != (self.decision is Decision.ACCEPT):
            message = "`card` is set exactly when the decision is accept"
            raise ValueError(message)

    def upcast(self) -> CardScanned:
        """Compute the margin from the candidates, since version 1's may be a likeness gap."""
        first, second = [*(one.confidence for one in self.candidates), 0.0, 0.0][:2]
        if not self.candidates:
            first = self.confidence
        return CardScanned(
            scan=self.scan,
            decision=self.decision,
            recogniser=self.recogniser,
            card=self.card,
            confidence=self.confidence,
            margin=max(0.0, first - second),
            reasons=self.reasons,
            candidates=self.candidates,
            defaults=self.batch,
            image=self.image,
            possible_duplicate_of=self.possible_duplicate_of,
            rescan_of=self.rescan_of,
        )


class ReviewOpenedV1(Earlier, frozen=True):
    """Version 1 had no field for the question and no candidates of its own.

    The reasons imply the question: a duplicate or an audit if they name one, else the printing.
    """

    task: UUID
    scan: UUID
    reasons: Annotated[tuple[Code, ...], Meta(min_length=1, max_length=16)]
    by: Line
    card: Card
    recogniser: Line = ""
    hold: bool = False
    candidates: Annotated[tuple[Candidate, ...], Meta(max_length=8)] = ()
    image: Image | None = None

    def upcast(self) -> ReviewOpened:
        """Derive the question from the reasons; without candidates the counted card is the one.

        A rule's question goes before that of chance.
        """
        question = Question.PRINTING
        if "possible-duplicate" in self.reasons:
            question = Question.DUPLICATE
        elif "random-audit" in self.reasons:
            question = Question.AUDIT
        return ReviewOpened(
            task=self.task,
            scan=self.scan,
            question=question,
            reasons=self.reasons,
            by=self.by,
            card=self.card,
            recogniser=self.recogniser,
            hold=self.hold,
            candidates=self.candidates or (Candidate(card=self.card, confidence=0.0),),
            image=self.image,
        )


class ImageEvictedV1(Earlier, frozen=True):
    """Version 1 said at the end of `reason` whether the cloud had the image."""

    sha256: Sha256
    bytes: Count
    reason: Code
    kind: Literal["full", "thumbnail"] = "full"

    def upcast(self) -> ImageEvicted:
        """Take the reason apart."""
        before = "-before-upload"
        return ImageEvicted(
            sha256=self.sha256,
            bytes=self.bytes,
            kind=self.kind,
            uploaded=not self.reason.endswith(before),
            reason=self.reason.removesuffix(before),
        )


EARLIER: dict[str, type[Earlier]] = {
    "cardmint.card.scanned.v1": CardScannedV1,
    "cardmint.review.opened.v1": ReviewOpenedV1,
    "cardmint.image.evicted.v1": ImageEvictedV1,
}


def decode_data(type_name: str, data: bytes | memoryview) -> EventData:
    """Read an event's data by its type, in whichever version it was written, as today's.

    Raises:
        UnknownType: this version knows no such type.
        Oversized, Malformed, UnknownField, Invalid: as `wire.decode`.
    """
    struct = TYPES.get(type_name) or EARLIER.get(type_name)
    if struct is None:
        message = f"this version knows no event type {type_name!r}; upgrade the reader, then replay"
        raise UnknownType(message)
    event: EventData | Earlier = decode(bytes(data), struct, max_bytes=MAX_EVENT_BYTES)
    while isinstance(event, Earlier):
        event = event.upcast()
    return event

"""Events, in the versions that are written today; `upcasters` reads the earlier ones.

A new field has a default. A new meaning, a field that goes, or another type is a new version.
"""

from enum import StrEnum
from typing import Annotated, Literal, TypeAlias
from uuid import UUID

from msgspec import Meta, field

from cardmint_contracts.cards import (
    Candidate,
    Card,
    CardId,
    Decision,
    Edition,
    Finish,
    Image,
    Language,
    Money,
    Outline,
    ScanDefaults,
)
from cardmint_contracts.changes import AddedGroup, ItemsGroup
from cardmint_contracts.reasons import Reason
from cardmint_contracts.wire import Code, Count, Line, Probability, Sha256, Upward


class RecogniserIdentity(Upward, frozen=True):
    """What decided: method, pack, models and rules, so that it can be judged and repeated later."""

    method: Code
    pack: Line
    models: dict[Code, Line] = field(default_factory=dict)
    rules: Line = ""
    """Version of the rules and thresholds that decided (`rules_version`)."""


class CardScanned(Upward, frozen=True):
    """A shot that the station acknowledged. `scan` names the physical card from here on.

    `card` is set exactly when the decision is `accept`; `candidates` are sorted, the likeliest
    first. `margin` is the confidence of the first candidate minus that of the second (0 to 1).
    `likeness_gap` is the likeness of the best picture minus that of the best picture of other art
    (-1 to 1); None where no picture decided. `defaults` is what the operator had set. `finish` and
    `edition` are those that the catalogue leaves, where it leaves one: they count in place of the
    defaults'. `language` is the one that print tells, with its confidence (0 to 1), where the
    operator's setting is a prior; None where no print was read. `outlines` are those of the whole
    cards in `image`, where several lie there; `image` is then the whole frame. `rescan_of` is
    an earlier scan of the same physical card, when a person was asked to scan it again.
    """

    scan: UUID
    decision: Decision
    recogniser: RecogniserIdentity
    card: Card | None = None
    confidence: Probability = 0.0
    margin: Probability = 0.0
    likeness_gap: Annotated[float, Meta(ge=-1.0, le=1.0)] | None = None
    reasons: Annotated[tuple[Code, ...], Meta(max_length=16)] = ()
    candidates: Annotated[tuple[Candidate, ...], Meta(max_length=8)] = ()
    defaults: ScanDefaults = ScanDefaults()
    image: Image | None = None
    possible_duplicate_of: UUID | None = None
    rescan_of: UUID | None = None
    finish: Finish | None = None
    edition: Edition | None = None
    language: Language | None = None
    language_confidence: Probability = 0.0
    outlines: Annotated[tuple[Outline, ...], Meta(max_length=9)] = ()

    def __post_init__(self) -> None:
        if (self.card is not None) != (self.decision is Decision.ACCEPT):
            message = "`card` is set exactly when the decision is accept"
            raise ValueError(message)

    @property
    def counted_finish(self) -> Finish | None:
        """The finish that the card is counted with; None while it is open."""
        if self.finish is not None:
            return self.finish
        return None if Reason.OTHER_FINISH in self.reasons else self.defaults.finish

    @property
    def counted_language(self) -> Language | None:
        """The language that the card is counted with; None while it is open."""
        if Reason.LANGUAGE_UNCLEAR in self.reasons:
            return None
        return self.language or self.defaults.language

    @property
    def counted_edition(self) -> Edition | None:
        """The edition that the card is counted with; None while it is open."""
        if self.edition is not None:
            return self.edition
        return None if Reason.OTHER_EDITION in self.reasons else self.defaults.edition


class ReviewAnswered(Upward, frozen=True):
    """A person's answer to a review task: the printing, or that it is no card of the catalogue.

    `language`, `finish` and `edition` are the card's, where the answer says them; else the card
    keeps those that it has.
    """

    task: UUID
    task_version: Annotated[int, Meta(ge=1, le=2**31 - 1)]
    scan: UUID
    verdict: Literal["card", "no_card"]
    by: Line
    card: Card | None = None
    language: Language | None = None
    finish: Finish | None = None
    edition: Edition | None = None

    def __post_init__(self) -> None:
        if (self.card is not None) != (self.verdict == "card"):
            message = '`card` is set exactly when the verdict is "card"'
            raise ValueError(message)


class Question(StrEnum):
    """A question to a person: which printing it is, whether it is the same card again, or an audit.

    Chance draws audits; only they measure how often counted cards are right. They expire when
    nobody answers.
    """

    PRINTING = "printing"
    DUPLICATE = "duplicate"
    AUDIT = "audit"


class ReviewOpened(Upward, frozen=True):
    """A rule of the cloud opened a review of a counted card.

    With `hold` the card does not count until the review is answered.

    `card` is the printing that was counted, `recogniser` what decided it: audits measure by it.
    `reasons` say why the question is asked.
    """

    task: UUID
    scan: UUID
    question: Question
    reasons: Annotated[tuple[Code, ...], Meta(min_length=1, max_length=16)]
    by: Line
    card: Card
    recogniser: Line = ""
    hold: bool = False
    candidates: Annotated[tuple[Candidate, ...], Meta(max_length=8)] = ()
    image: Image | None = None


class ReviewUndone(Upward, frozen=True):
    """A person took back the answer that closed a task: the task is open, the card as before."""

    task: UUID
    task_version: Annotated[int, Meta(ge=1, le=2**31 - 1)]
    scan: UUID
    by: Line


class RescanRequested(Upward, frozen=True):
    """A person cannot decide from the picture and wants the card scanned again.

    `place` says where the card lies.
    """

    task: UUID
    task_version: Annotated[int, Meta(ge=1, le=2**31 - 1)]
    scan: UUID
    by: Line
    place: Line


class ReviewAged(Upward, frozen=True):
    """A task waited too long: it was moved to the front, or, as an audit, expired."""

    task: UUID
    task_version: Annotated[int, Meta(ge=1, le=2**31 - 1)]
    scan: UUID
    outcome: Literal["escalated", "expired"]


class PriceJudged(Upward, frozen=True):
    """A person's verdict on a held quote: taken, refused, or that verdict undone."""

    card_id: CardId
    verdict: Literal["take", "refuse", "undo"]
    by: Line
    source: Line
    price: Money
    finish: Line = ""
    edition: Line = ""
    grade: Line = ""


class ImageEvicted(Upward, frozen=True):
    """The station deleted an image to keep counting.

    `kind` is `full` for the image itself and `thumbnail` for the small one that was left of it;
    `bytes` is the size of the whole image, either time. Unless it was `uploaded`, it is lost.
    """

    sha256: Sha256
    bytes: Count
    kind: Literal["full", "thumbnail"]
    uploaded: bool
    reason: Code


class StreamReason(StrEnum):
    """Why a station goes on in a new stream."""

    OUTBOX_RESTORED = "outbox-restored"
    """The cloud has more of the stream than the outbox ever had: a copy went on elsewhere."""
    OTHER_CONTENT = "other-content"
    """The cloud has other events under the same sequences: a copy went on elsewhere."""
    STREAM_OF_ANOTHER = "stream-of-another"
    """The stream belongs to a station of another name: the disk is a copy of that one's."""
    CLOUD_RESTORED = "cloud-restored"
    """The cloud has lost events that its receipts had covered."""
    DATABASE_REPLACED = "database-replaced"
    """The cloud has another database, which takes the place of the one before."""
    OTHER_BOX = "other-box"
    """The disk is in another box than before: the original may go on with the stream."""
    RENAMED = "renamed"
    """The station, or its tenant, has another name."""
    BY_HAND = "by-hand"
    """A person asked for it."""


class StreamOpened(Upward, frozen=True):
    """A station goes on in a new stream: the line of the ledger that says why, and what is lost.

    `previous` is the stream before, `acknowledged` how far receipts covered it, `last` its last
    event. The events after `acknowledged` come again in the new stream, with their first `id`. A
    database that has lost events which receipts covered gets `resent` of them again, from the
    station's history; the `missing` others, between `missing_first` and `missing_last`, the station
    no longer has.
    """

    reason: Code
    previous: UUID
    acknowledged: Count
    last: Count
    resent: Count = 0
    missing: Count = 0
    missing_first: Count = 0
    missing_last: Count = 0


class ScanWithdrawn(Upward, frozen=True):
    """A person withdrew a scan at the station: it leaves the inventory, and its reviews close."""

    scan: UUID
    by: Line


class ItemsChanged(Upward, frozen=True):
    """A person changed values of items; `undoes` is the change that this one takes back.

    Events with the same `change` belong together. An item whose values are no longer those of
    `before` keeps what it has.
    """

    change: UUID
    by: Line
    groups: Annotated[tuple[ItemsGroup, ...], Meta(min_length=1, max_length=1000)]
    undoes: UUID | None = None


class ItemsAdded(Upward, frozen=True):
    """A person added cards that no camera saw, by hand or from a file.

    Events with the same `change` belong together. An item that is there already stays as it is.
    """

    change: UUID
    by: Line
    groups: Annotated[tuple[AddedGroup, ...], Meta(min_length=1, max_length=1000)]


EventData: TypeAlias = (
    CardScanned
    | ReviewOpened
    | ReviewAnswered
    | ReviewUndone
    | RescanRequested
    | ReviewAged
    | PriceJudged
    | ImageEvicted
    | ScanWithdrawn
    | StreamOpened
    | ItemsChanged
    | ItemsAdded
)

TYPES: dict[str, type[EventData]] = {
    "cardmint.card.scanned.v2": CardScanned,
    "cardmint.review.opened.v2": ReviewOpened,
    "cardmint.review.answered.v1": ReviewAnswered,
    "cardmint.review.undone.v1": ReviewUndone,
    "cardmint.review.rescan.v1": RescanRequested,
    "cardmint.review.aged.v1": ReviewAged,
    "cardmint.price.judged.v1": PriceJudged,
    "cardmint.image.evicted.v2": ImageEvicted,
    "cardmint.scan.withdrawn.v1": ScanWithdrawn,
    "cardmint.stream.opened.v1": StreamOpened,
    "cardmint.items.changed.v1": ItemsChanged,
    "cardmint.items.added.v1": ItemsAdded,
}
NAMES: dict[type[EventData], str] = {struct: name for name, struct in TYPES.items()}

DASHBOARD_EVENTS: frozenset[type[EventData]] = frozenset({PriceJudged, ItemsChanged, ItemsAdded})
"""What only a person at the dashboard says. From a station it is forged."""

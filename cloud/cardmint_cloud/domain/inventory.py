"""The inventory as a fold of the event log: events in, changed items, reviews and holdings out."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID, uuid5

from msgspec import Struct
from msgspec.structs import replace

from cardmint_contracts.cards import Candidate, Card, Decision, Image
from cardmint_contracts.events import CardScanned, EventData, ReviewAnswered, ScanWithdrawn


class Status(StrEnum):
    """Where a physical card stands: counted in the inventory, waiting for a person, or found to be no card."""

    COUNTED = "counted"
    REVIEW = "review"
    REJECTED = "rejected"


class Impossible(ValueError):
    """An event that reads well but cannot have happened; `reason` is the code to park it under."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Holding(NamedTuple):
    """What makes two physical cards the same line of the inventory. Empty means left open."""

    tenant: str
    card_id: str
    language: str
    finish: str
    edition: str
    condition: str


class Item(Struct, frozen=True, kw_only=True, gc=False):
    """One physical card. `version` counts the changes to it; `card_id` is empty until a printing is decided."""

    tenant: str
    item: UUID
    station: str
    captured_at: datetime
    received_at: datetime
    status: Status
    card_id: str
    language: str
    finish: str
    edition: str
    condition: str
    bin: str
    lot: str
    confidence: float
    margin: float
    image: str
    version: int = 1

    @property
    def holding(self) -> Holding | None:
        """The line of the inventory that counts this item; None while none does."""
        if self.status is not Status.COUNTED or not self.card_id:
            return None
        return Holding(self.tenant, self.card_id, self.language, self.finish, self.edition, self.condition)


class Review(Struct, frozen=True, kw_only=True, gc=False):
    """A question about one item. `version` rises with each change, and stations are told each version."""

    tenant: str
    task: UUID
    item: UUID
    station: str
    version: int
    open: bool
    reasons: tuple[str, ...]
    candidates: tuple[Candidate, ...]
    image: Image | None
    opened_at: datetime
    closed_at: datetime | None = None
    verdict: str | None = None
    card: Card | None = None
    answered_by: str = ""


class Event(Struct, frozen=True, kw_only=True, gc=False):
    """One event of the log, its data decoded. `origin` is the station, or the user, that it came from.

    `clock_synced` is what the station says of the clock that gave it `occurred_at`.
    """

    tenant: str
    origin: str
    occurred_at: datetime
    received_at: datetime
    data: EventData
    clock_synced: bool = True


EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
AHEAD = timedelta(days=1)
"""An event cannot have happened before the first, nor later than so long after it was received. A station that knows
that its clock is not set is believed in all but that: its card is dated by its receipt."""

ItemKey = tuple[str, UUID]
ReviewKey = tuple[str, UUID]


@dataclass(slots=True)
class Changes:
    """What a run of events changed. `superseded` counts answers that came after another had won."""

    items: dict[ItemKey, Item] = field(default_factory=dict)
    reviews: dict[ReviewKey, Review] = field(default_factory=dict)
    holdings: Counter[Holding] = field(default_factory=Counter)
    printings: dict[tuple[str, str], Card] = field(default_factory=dict)
    superseded: int = 0


def review_of(scan: UUID) -> UUID:
    """Return the identifier of the review task that a scan opens: the same in every fold of the log."""
    return uuid5(scan, "review")


def subject(data: EventData) -> UUID | None:
    """Return the item that an event speaks of, if any."""
    return data.scan if isinstance(data, CardScanned | ReviewAnswered | ScanWithdrawn) else None


def fold(items: Mapping[ItemKey, Item], reviews: Mapping[ReviewKey, Review], events: Iterable[Event]) -> Changes:
    """Apply `events` in order to what `items` and `reviews` held before, and return what changed.

    The mappings must hold every item and review that the events speak of, as far as they exist.

    Raises:
        Impossible: an event contradicts what is there; nothing of the run may be used then.
    """
    changes = Changes()
    for event in events:
        plausible = EARLIEST <= event.occurred_at <= event.received_at + AHEAD
        if not plausible and event.clock_synced:
            said = event.occurred_at.isoformat()
            raise Impossible("impossible-time", f"the station says that its clock is right, and that it is {said}")
        match event.data:
            case CardScanned():
                _scanned(changes, items, event, event.data, event.occurred_at if plausible else event.received_at)
            case ReviewAnswered():
                _answered(changes, items, reviews, event, event.data)
            case ScanWithdrawn():
                _withdrawn(changes, items, reviews, event, event.data)
            case _:
                continue
    for key, item in changes.items.items():
        before = items.get(key)
        if before is not None and (old := before.holding):
            changes.holdings[old] -= 1
        if new := item.holding:
            changes.holdings[new] += 1
    for holding in [holding for holding, delta in changes.holdings.items() if delta == 0]:
        del changes.holdings[holding]
    return changes


_STATUS = {Decision.ACCEPT: Status.COUNTED, Decision.REVIEW: Status.REVIEW, Decision.REJECT: Status.REJECTED}


def _scanned(
    changes: Changes, items: Mapping[ItemKey, Item], event: Event, scan: CardScanned, captured_at: datetime
) -> None:
    key = (event.tenant, scan.scan)
    if key in items or key in changes.items:
        return  # The same scan under another sequence: the outbox was restored and counted on.
    batch = scan.batch
    changes.items[key] = Item(
        tenant=event.tenant,
        item=scan.scan,
        station=event.origin,
        captured_at=captured_at,
        received_at=event.received_at,
        status=_STATUS[scan.decision],
        card_id=scan.card.id if scan.card else "",
        language=batch.language or "",
        finish=batch.finish or "",
        edition=batch.edition or "",
        condition=batch.condition or "",
        bin=batch.bin,
        lot=batch.lot,
        confidence=scan.confidence + 0.0,  # -0.0 to 0.0: one zero, whoever reads the log.
        margin=scan.margin + 0.0,
        image=scan.image.sha256 if scan.image else "",
    )
    if scan.card:
        changes.printings[event.tenant, scan.card.id] = scan.card
    if scan.decision is Decision.REVIEW:
        task = review_of(scan.scan)
        changes.reviews[event.tenant, task] = Review(
            tenant=event.tenant,
            task=task,
            item=scan.scan,
            station=event.origin,
            version=1,
            open=True,
            reasons=scan.reasons,
            candidates=scan.candidates,
            image=scan.image,
            opened_at=event.received_at,
        )


def _answered(
    changes: Changes,
    items: Mapping[ItemKey, Item],
    reviews: Mapping[ReviewKey, Review],
    event: Event,
    answer: ReviewAnswered,
) -> None:
    key = (event.tenant, answer.task)
    review = changes.reviews.get(key) or reviews.get(key)
    if review is None or review.item != answer.scan:
        message = f"an answer to task {answer.task} about scan {answer.scan}, but there is no such task"
        raise Impossible("unknown-task", message)
    if not review.open or answer.task_version != review.version:
        changes.superseded += 1
        return
    changes.reviews[key] = replace(
        review,
        open=False,
        version=review.version + 1,
        closed_at=event.received_at,
        verdict=answer.verdict,
        card=answer.card,
        answered_by=answer.by,
    )
    item = changes.items.get((event.tenant, review.item)) or items[event.tenant, review.item]
    changes.items[event.tenant, review.item] = replace(
        item,
        status=Status.COUNTED if answer.card else Status.REJECTED,
        card_id=answer.card.id if answer.card else "",
        version=item.version + 1,
    )
    if answer.card:
        changes.printings[event.tenant, answer.card.id] = answer.card


def _withdrawn(
    changes: Changes,
    items: Mapping[ItemKey, Item],
    reviews: Mapping[ReviewKey, Review],
    event: Event,
    withdrawn: ScanWithdrawn,
) -> None:
    key = (event.tenant, withdrawn.scan)
    item = changes.items.get(key) or items.get(key)
    if item is None:
        raise Impossible("unknown-scan", f"scan {withdrawn.scan} was taken back, but there is no such scan")
    changes.items[key] = replace(item, status=Status.REJECTED, card_id="", version=item.version + 1)
    asked = (event.tenant, review_of(withdrawn.scan))
    review = changes.reviews.get(asked) or reviews.get(asked)
    if review is not None and review.open:
        changes.reviews[asked] = replace(
            review,
            open=False,
            version=review.version + 1,
            closed_at=event.received_at,
            verdict="no_card",
            answered_by=withdrawn.by,
        )

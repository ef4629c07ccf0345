"""Physical cards and the questions about them as values, and which of them an event touches."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID, uuid5

from msgspec import Struct

from cardmint_contracts.cards import Candidate, Card, Image
from cardmint_contracts.changes import Stock
from cardmint_contracts.events import (
    CardScanned,
    EventData,
    ItemsAdded,
    ItemsChanged,
    Question,
    RescanRequested,
    ReviewAged,
    ReviewAnswered,
    ReviewOpened,
    ReviewUndone,
    ScanWithdrawn,
)

HELD = frozenset({Stock.IN_STOCK.value, Stock.RESERVED.value})
"""The values of `stock` of a card that is there, and so in the inventory."""


class ItemStatus(StrEnum):
    """Status of a physical card: counted, waiting for a person, or not a card."""

    COUNTED = "counted"
    REVIEW = "review"
    REJECTED = "rejected"


class ImpossibleEvent(ValueError):
    """A readable event that contradicts the state. `reason` is the dead letter's code."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Holding(NamedTuple):
    """The values that two items share when one line of the inventory counts both.

    Empty means left open.
    """

    tenant: str
    card_id: str
    language: str
    finish: str
    edition: str
    condition: str


class Item(Struct, frozen=True, kw_only=True, gc=False):
    """One physical card. `version` counts its changes; `card_id` is empty without a printing.

    What follows `version` only a person sets. `changes` are the changes that it was part of.
    `station` is empty for a card that no camera saw.
    """

    tenant: str
    item: UUID
    station: str
    captured_at: datetime
    received_at: datetime
    status: ItemStatus
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
    note: str = ""
    stock: str = Stock.IN_STOCK.value
    paid_minor: int | None = None
    paid_currency: str = ""
    grader: str = ""
    grade: str = ""
    certificate: str = ""
    changes: tuple[UUID, ...] = ()

    @property
    def is_held(self) -> bool:
        """Whether a line of the inventory counts this item."""
        return self.status is ItemStatus.COUNTED and bool(self.card_id) and self.stock in HELD

    @property
    def holding(self) -> Holding | None:
        """The line of the inventory that counts this item; None while none does."""
        if not self.is_held:
            return None
        return Holding(
            self.tenant, self.card_id, self.language, self.finish, self.edition, self.condition
        )


class PriorState(NamedTuple):
    """An item's state before an answer changed it; undo restores it.

    `language` is None where the answer left it as it was, else `answered_language` is the
    answer's. `finish` and `edition` are None where the answer left them.
    """

    status: ItemStatus
    card_id: str
    language: str | None = None
    answered_language: str = ""
    finish: str | None = None
    edition: str | None = None


class Review(Struct, frozen=True, kw_only=True, gc=False):
    """A question about one item. `version` rises with each change, and stations get each version.

    `place` says where the card lies, once a person asked for the card itself. `counted` is the
    printing that was counted when a rule opened the question, and `recogniser` what decided it.
    `prior` is set while an answer stands.
    """

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
    place: str = ""
    escalated: bool = False
    counted: Card | None = None
    recogniser: str = ""
    question: Question = Question.PRINTING
    prior: PriorState | None = None


class LoggedEvent(Struct, frozen=True, kw_only=True, gc=False):
    """One event of the log, decoded. `origin` is the station or user that sent it."""

    tenant: str
    origin: str
    occurred_at: datetime
    received_at: datetime
    data: EventData


ItemKey = tuple[str, UUID]
ReviewKey = tuple[str, UUID]


@dataclass(slots=True)
class InventoryChanges:
    """The changes of a run of events. `superseded` counts answers that came after another.

    `items_before` and `reviews_before` are those that existed already, as they were. `refused`
    holds the events that contradict the state, by their place in the run: nothing of them is among
    the changes.
    """

    items: dict[ItemKey, Item] = field(default_factory=dict)
    reviews: dict[ReviewKey, Review] = field(default_factory=dict)
    holdings: Counter[Holding] = field(default_factory=Counter)
    printings: dict[tuple[str, str], Card] = field(default_factory=dict)
    items_before: dict[ItemKey, Item] = field(default_factory=dict)
    reviews_before: dict[ReviewKey, Review] = field(default_factory=dict)
    superseded: int = 0
    refused: dict[int, ImpossibleEvent] = field(default_factory=dict)


def review_task_id(scan: UUID, why: str = "review") -> UUID:
    """Return the identifier of a scan's review task, the same in every fold of the log."""
    return uuid5(scan, why)


REVIEW_ORIGINS = ("review", "rules", "audit")
"""Who asks about a scan, once each at most: the station, the cloud's rules, the random audit."""

_About = ReviewOpened | ReviewAnswered | ReviewUndone | RescanRequested | ReviewAged


def subject_of(data: EventData) -> UUID | None:
    """Return the item, or the change or addition of items, that an event is about, if any."""
    if isinstance(data, CardScanned):
        return data.rescan_of or data.scan
    if isinstance(data, ItemsChanged | ItemsAdded):
        return data.change
    return data.scan if isinstance(data, _About | ScanWithdrawn) else None


def touched_keys(events: Iterable[tuple[str, EventData]]) -> tuple[list[ItemKey], list[ReviewKey]]:
    """Return the keys of the items and reviews that events, each with its tenant, touch."""
    items: list[ItemKey] = []
    reviews: list[ReviewKey] = []
    for tenant, data in events:
        if isinstance(data, CardScanned):
            items.append((tenant, data.scan))
            if data.rescan_of is not None:
                items.append((tenant, data.rescan_of))
                reviews += [(tenant, review_task_id(data.rescan_of, why)) for why in REVIEW_ORIGINS]
        elif isinstance(data, ScanWithdrawn):
            items.append((tenant, data.scan))
            reviews += [(tenant, review_task_id(data.scan, why)) for why in REVIEW_ORIGINS]
        elif isinstance(data, ItemsChanged | ItemsAdded):
            items += [(tenant, one) for group in data.groups for one in group.items]
        elif isinstance(data, _About):
            items.append((tenant, data.scan))
            reviews.append((tenant, data.task))
    return items, reviews

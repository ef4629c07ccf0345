"""What a person changes about items: values to set, and values to clear."""

from enum import StrEnum
from typing import Annotated, Literal, TypeAlias
from uuid import UUID

from msgspec import Meta

from cardmint_contracts.cards import Card, Condition, Edition, Finish, Language, Money
from cardmint_contracts.wire import Line, Upward

MAX_ITEMS = 1000
"""Items of one event. A larger change is several events with the same `change`."""


class Stock(StrEnum):
    """Whether a counted card is there. A reserved one still is; a sold or removed one is not."""

    IN_STOCK = "in-stock"
    RESERVED = "reserved"
    SOLD = "sold"
    REMOVED = "removed"


class Slab(Upward, frozen=True):
    """The case of a graded card: who graded it, the grade, and the certificate's number."""

    grader: Line
    grade: Line
    certificate: Line = ""


Clearable: TypeAlias = Literal[
    "bin", "lot", "note", "condition", "finish", "edition", "language", "paid", "slab"
]
"""A field that may be empty."""


class ItemValues(Upward, frozen=True):
    """Values of an item's fields. None is not among them; `cleared` names those that are empty.

    `paid` is the purchase price of the one card.
    """

    bin: Line | None = None
    lot: Line | None = None
    note: Line | None = None
    condition: Condition | None = None
    finish: Finish | None = None
    edition: Edition | None = None
    language: Language | None = None
    stock: Stock | None = None
    paid: Money | None = None
    slab: Slab | None = None
    card: Card | None = None
    cleared: Annotated[tuple[Clearable, ...], Meta(max_length=9)] = ()

    def __post_init__(self) -> None:
        both = [name for name in self.cleared if getattr(self, name) is not None]
        if both or len(set(self.cleared)) != len(self.cleared):
            message = f"a field is set or cleared, once: {', '.join(both or self.cleared)}"
            raise ValueError(message)

    @property
    def fields(self) -> frozenset[str]:
        """The names of the fields that are among the values, set or cleared."""
        named = (name for name in self.__struct_fields__ if name != "cleared")
        return frozenset(self.cleared) | {one for one in named if getattr(self, one) is not None}


class ItemsGroup(Upward, frozen=True):
    """Items that had the same values in the fields that change, and have the same afterwards."""

    items: Annotated[tuple[UUID, ...], Meta(min_length=1, max_length=MAX_ITEMS)]
    before: ItemValues
    after: ItemValues

    def __post_init__(self) -> None:
        if self.before.fields != self.after.fields:
            message = "`before` and `after` name the same fields"
            raise ValueError(message)


class AddedGroup(Upward, frozen=True):
    """Cards that no camera saw, with the same values; `values` has their printing.

    `references` are the names that their owner gave them, one for each item, or none.
    """

    items: Annotated[tuple[UUID, ...], Meta(min_length=1, max_length=MAX_ITEMS)]
    values: ItemValues
    references: Annotated[tuple[Line, ...], Meta(max_length=MAX_ITEMS)] = ()

    def __post_init__(self) -> None:
        if self.values.card is None:
            message = "`values` has a printing"
            raise ValueError(message)
        if len(self.references) not in {0, len(self.items)}:
            message = "`references` are as many as `items`, or none"
            raise ValueError(message)

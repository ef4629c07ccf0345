"""The form by which people change items: what is kept, set or cleared, and which items."""

import base64
import binascii
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast, get_args
from uuid import UUID

import msgspec

from cardmint_cloud.domain.item_rows import MAX_QUANTITY, parse_money
from cardmint_contracts.cards import Card, Condition, Edition, Finish, Language
from cardmint_contracts.changes import Clearable, ItemValues, Slab, Stock
from cardmint_contracts.wire import Line, convert

KEEP, CLEAR = "", "-"
"""Values of a choice: keep what is there, or clear it."""

_PIN = struct.Struct(">16sI")
_TEXTS = ("bin", "lot", "note", "language")
_CHOICES: Mapping[str, type[Condition | Finish | Edition | Stock]] = {
    "condition": Condition,
    "finish": Finish,
    "edition": Edition,
    "stock": Stock,
}
FIELD_CHOICES = {
    "conditions": list(Condition),
    "finishes": list(Finish),
    "editions": list(Edition),
    "stocks": list(Stock),
}
"""What the fields of the form offer, as its template names them."""


@dataclass(frozen=True, kw_only=True)
class ChangeForm:
    """What a person typed. Empty fields are kept; `clear` names those to be cleared.

    The items are `chosen`, each as `ITEM/VERSION`, or `pins`, the same packed; or, with
    `everything`, all that the query `q` finds. `back` is the page to return to.
    """

    chosen: list[str] | str = field(default_factory=list)
    pins: str = ""
    everything: str = ""
    q: str = ""
    back: str = ""
    bin: str = ""
    lot: str = ""
    note: str = ""
    language: str = ""
    condition: str = ""
    finish: str = ""
    edition: str = ""
    stock: str = ""
    paid: str = ""
    currency: str = ""
    grader: str = ""
    grade: str = ""
    certificate: str = ""
    card: str = ""
    clear: list[str] | str = field(default_factory=list)

    @property
    def cleared(self) -> frozenset[str]:
        """The fields that are to be cleared."""
        named = {self.clear} if isinstance(self.clear, str) else set(self.clear)
        return frozenset(
            named | {one for one in _CHOICES if getattr(self, one) == CLEAR and one != "stock"}
        )

    @property
    def is_typed(self) -> bool:
        """Whether anything is to be set or cleared."""
        names = (*_TEXTS, *_CHOICES, "paid", "grader", "grade", "certificate", "card")
        return bool(self.clear) or any(getattr(self, name) for name in names)

    def faults(self) -> dict[str, str]:
        """Return what cannot be right, by field; empty if the form is sound."""
        found: dict[str, str] = {}
        for name, known in _CHOICES.items():
            if getattr(self, name) not in {KEEP, CLEAR, *known}:
                found[name] = f"one of {', '.join(known)} is expected"
        for name in (*_TEXTS, "grader", "grade", "certificate"):
            text = getattr(self, name).strip()
            try:
                convert(text, Language if name == "language" and text else Line)
            except msgspec.ValidationError as error:
                found[name] = f"this cannot be used: {error}"
            if text and name in self.cleared:
                found[name] = "either a value, or cleared"
        if self.paid.strip():
            try:
                parse_money(self.paid, self.currency)
            except ValueError as error:
                found["paid"] = str(error)
            if "paid" in self.cleared:
                found["paid"] = "either a price, or cleared"
        graded = [bool(getattr(self, name).strip()) for name in ("grader", "grade")]
        if any(graded) != all(graded) or (self.certificate.strip() and not all(graded)):
            found["grader"] = "a slab has a grader and a grade"
        elif all(graded) and "slab" in self.cleared:
            found["grader"] = "either a slab, or cleared"
        for name in self.cleared - set(get_args(Clearable)):
            found["clear"] = f"{name[:40]!r} cannot be cleared"
        return found

    def values(self, card: Card | None) -> ItemValues:
        """Return the values to set and clear; the form must be sound. `card` is the printing."""
        values: dict[str, Any] = {
            name: text for name in _TEXTS if (text := getattr(self, name).strip())
        }
        for name, known in _CHOICES.items():
            if getattr(self, name) not in {KEEP, CLEAR}:
                values[name] = known(getattr(self, name))
        if self.paid.strip():
            values["paid"] = parse_money(self.paid, self.currency)
        if self.grader.strip():
            values["slab"] = Slab(
                grader=self.grader.strip(),
                grade=self.grade.strip(),
                certificate=self.certificate.strip(),
            )
        cleared = tuple(cast("Clearable", name) for name in sorted(self.cleared))
        return ItemValues(**values, card=card, cleared=cleared)

    def items(self) -> dict[UUID, int]:
        """Return the chosen items, each with its version.

        Raises:
            ValueError: they cannot be read.
        """
        if self.pins:
            return unpacked(self.pins)
        chosen = [self.chosen] if isinstance(self.chosen, str) else self.chosen
        pairs = (text.partition("/") for text in chosen)
        return {UUID(item): _version(version) for item, _, version in pairs}


@dataclass(frozen=True, kw_only=True)
class AddForm(ChangeForm):
    """What a person typed to add cards. `reference` makes the form add them once."""

    reference: str = ""
    quantity: str = "1"

    def faults(self) -> dict[str, str]:
        """Return what cannot be right, by field; empty if the form is sound."""
        found = super().faults()
        count = self.quantity.strip()
        if not count.isascii() or not count.isdigit() or not 1 <= int(count[:9]) <= MAX_QUANTITY:
            found["quantity"] = f"a number from 1 to {MAX_QUANTITY:,} is expected"
        try:
            convert(self.reference, Line)
        except msgspec.ValidationError:
            found["card"] = "open this form again: it was changed on its way"
        if not self.reference:
            found["card"] = "open this form again: it came without its reference"
        if self.cleared:
            found["clear"] = "a new card has nothing to clear"
        return found


def packed(pins: Mapping[UUID, int]) -> str:
    """Return items and versions as text, 27 characters for each."""
    raw = b"".join(_PIN.pack(item.bytes, version) for item, version in pins.items())
    return base64.urlsafe_b64encode(raw).decode()


def unpacked(text: str) -> dict[UUID, int]:
    """Return the items and versions of a packed text.

    Raises:
        ValueError: it is none.
    """
    try:
        raw = base64.b64decode(text, altchars=b"-_", validate=True)
        return {UUID(bytes=item): version for item, version in _PIN.iter_unpack(raw)}
    except (binascii.Error, struct.error) as error:
        message = "the chosen cards cannot be read; choose them again"
        raise ValueError(message) from error


def _version(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        message = "the chosen cards cannot be read; choose them again"
        raise ValueError(message)
    return int(text)

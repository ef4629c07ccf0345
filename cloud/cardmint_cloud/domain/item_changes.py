"""What a person changes about items: values before and after, and what an event changes."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast
from uuid import UUID

from msgspec.structs import replace

from cardmint_cloud.domain.items import (
    ImpossibleEvent,
    InventoryChanges,
    Item,
    ItemKey,
    ItemStatus,
    LoggedEvent,
)
from cardmint_contracts.cards import Card, Condition, Edition, Finish, Money
from cardmint_contracts.changes import (
    MAX_ITEMS,
    Clearable,
    ItemsGroup,
    ItemValues,
    Slab,
    Stock,
)
from cardmint_contracts.events import ItemsChanged
from cardmint_contracts.wire import encode

MAX_DATA_BYTES = 40 << 10
"""Bytes of the groups of one event: less than any event may have."""

REMEMBERED = 200
"""Changes that an item remembers, the latest."""


def current_values(item: Item, fields: Iterable[str], card: Card | None) -> ItemValues:
    """Return an item's values of some fields; `card` is its printing."""
    have: dict[str, Any] = {
        "bin": item.bin,
        "lot": item.lot,
        "note": item.note,
        "condition": Condition(item.condition) if item.condition else "",
        "finish": Finish(item.finish) if item.finish else "",
        "edition": Edition(item.edition) if item.edition else "",
        "language": item.language,
        "stock": Stock(item.stock),
        "paid": _paid(item) or "",
        "slab": _slab(item) or "",
        "card": card,
    }
    wanted = sorted(fields)
    cleared = tuple(cast("Clearable", name) for name in wanted if have[name] == "")
    return ItemValues(
        **{name: have[name] for name in wanted if name not in cleared}, cleared=cleared
    )


def with_values(item: Item, values: ItemValues) -> Item:
    """Return an item with other values."""
    changed: dict[str, Any] = {}
    for name in values.fields:
        value = getattr(values, name)
        match name:
            case "paid":
                changed["paid_minor"] = value.minor if value else None
                changed["paid_currency"] = value.currency if value else ""
            case "slab":
                changed["grader"] = value.grader if value else ""
                changed["grade"] = value.grade if value else ""
                changed["certificate"] = value.certificate if value else ""
            case "card":
                changed["card_id"] = value.id
            case _:
                changed[name] = str(value) if value is not None else ""
    return replace(item, **changed)


def grouped(
    items: Sequence[Item], after: ItemValues, cards: Mapping[str, Card]
) -> list[ItemsGroup]:
    """Return the change of items to the same values, without those that have them already.

    `cards` are the items' printings.
    """
    groups: dict[ItemValues, list[UUID]] = {}
    for item in items:
        before = current_values(item, after.fields, cards.get(item.card_id))
        if before != after:
            groups.setdefault(before, []).append(item.item)
    return [
        ItemsGroup(items=tuple(group[start : start + MAX_ITEMS]), before=before, after=after)
        for before, group in groups.items()
        for start in range(0, len(group), MAX_ITEMS)
    ]


def reversed_groups(groups: Iterable[ItemsGroup], unchanged: set[UUID]) -> list[ItemsGroup]:
    """Return the groups that take others back, for the items that are `unchanged` since."""
    return [
        ItemsGroup(items=items, before=group.after, after=group.before)
        for group in groups
        if (items := tuple(one for one in group.items if one in unchanged))
    ]


def in_events(
    change: UUID, by: str, groups: Iterable[ItemsGroup], undoes: UUID | None = None
) -> list[ItemsChanged]:
    """Return a change as events, one where it fits into one."""
    events: list[ItemsChanged] = []
    room, held = 0, 0
    for group in groups:
        size = len(encode(group))
        if not events or size > room or held + len(group.items) > MAX_ITEMS:
            events.append(ItemsChanged(change=change, by=by, groups=(group,), undoes=undoes))
            room, held = MAX_DATA_BYTES - size, len(group.items)
        else:
            events[-1] = replace(events[-1], groups=(*events[-1].groups, group))
            room, held = room - size, held + len(group.items)
    return events


def apply_change(
    changes: InventoryChanges,
    items: Mapping[ItemKey, Item],
    event: LoggedEvent,
    change: ItemsChanged,
) -> None:
    """Apply a change to the items whose values are those that it names as before.

    Another printing is only given to a counted item: what is asked about is answered.
    """
    found: dict[UUID, Item] = {}
    for group in change.groups:
        for one in group.items:
            key = (event.tenant, one)
            item = changes.items.get(key) or items.get(key)
            if item is None:
                message = f"a change of item {one}, but there is no such item"
                raise ImpossibleEvent("unknown-item", message)
            found[one] = item
    for group in change.groups:
        for one in group.items:
            item = changes.items.get((event.tenant, one), found[one])
            if not _may_change(item, group.before, group.after):
                changes.superseded += 1
                continue
            changes.items[event.tenant, one] = replace(
                with_values(item, group.after),
                version=item.version + 1,
                changes=(*item.changes, change.change)[-REMEMBERED:],
            )
            if group.after.card is not None:
                changes.printings[event.tenant, group.after.card.id] = group.after.card


def can_be_reversed(item: Item, group: ItemsGroup) -> bool:
    """Return whether an item still has the values that a change gave it, and may get the others."""
    return _may_change(item, group.after, group.before)


def _may_change(item: Item, before: ItemValues, after: ItemValues) -> bool:
    counted = item.status is ItemStatus.COUNTED
    return _has(item, before) and (counted or after.card is None)


def _has(item: Item, values: ItemValues) -> bool:
    """Return whether an item has these values; of a printing the identifier counts."""
    return with_values(item, values) == item


def _paid(item: Item) -> Money | None:
    if item.paid_minor is None:
        return None
    return Money(minor=item.paid_minor, currency=item.paid_currency)


def _slab(item: Item) -> Slab | None:
    if not item.grader:
        return None
    return Slab(grader=item.grader, grade=item.grade, certificate=item.certificate)

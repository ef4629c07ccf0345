"""What a person changes and adds: values before and after, and what an event changes."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar, cast
from uuid import NAMESPACE_URL, UUID, uuid5

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
    AddedGroup,
    Clearable,
    ItemsGroup,
    ItemValues,
    Slab,
    Stock,
)
from cardmint_contracts.events import ItemsAdded, ItemsChanged
from cardmint_contracts.wire import encode

MAX_DATA_BYTES = 40 << 10
"""Bytes of the groups of one event: less than any event may have."""

ADDED_TOGETHER = 150
"""Cards of one group of added ones: each may have a reference of 200 letters."""

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
    return [
        ItemsChanged(change=change, by=by, groups=some, undoes=undoes) for some in _fitting(groups)
    ]


def in_additions(change: UUID, by: str, groups: Iterable[AddedGroup]) -> list[ItemsAdded]:
    """Return added cards as events, one where they fit into one."""
    return [ItemsAdded(change=change, by=by, groups=some) for some in _fitting(groups)]


Group = TypeVar("Group", ItemsGroup, AddedGroup)


def _fitting(groups: Iterable[Group]) -> list[tuple[Group, ...]]:
    """Return groups in runs, each of which fits into one event."""
    runs: list[list[Group]] = []
    room, held = 0, 0
    for group in groups:
        size = len(encode(group))
        if not runs or size > room or held + len(group.items) > MAX_ITEMS:
            runs.append([])
            room, held = MAX_DATA_BYTES, 0
        runs[-1].append(group)
        room, held = room - size, held + len(group.items)
    return [tuple(run) for run in runs]


def referred_item(tenant: str, reference: str, copy: int = 1) -> UUID:
    """Return the item of a reference, so that the same one is never added twice."""
    return uuid5(NAMESPACE_URL, f"cardmint:{tenant}:reference:{copy}:{reference}")


def added_groups(cards: Iterable[tuple[UUID, str, ItemValues]]) -> list[AddedGroup]:
    """Return new cards, each with its reference and values, in groups of the same values.

    No group is larger than an event may be.
    """
    same: dict[ItemValues, list[tuple[UUID, str]]] = {}
    for item, reference, values in cards:
        same.setdefault(values, []).append((item, reference))
    groups: list[AddedGroup] = []
    for values, found in same.items():
        for start in range(0, len(found), ADDED_TOGETHER):
            some = found[start : start + ADDED_TOGETHER]
            references = tuple(reference for _, reference in some)
            groups.append(
                AddedGroup(
                    items=tuple(item for item, _ in some),
                    values=values,
                    references=references if any(references) else (),
                )
            )
    return groups


def apply_addition(
    changes: InventoryChanges, items: Mapping[ItemKey, Item], event: LoggedEvent, added: ItemsAdded
) -> None:
    """Add the cards that are not there yet; the others stay as they are."""
    for group in added.groups:
        card = group.values.card
        assert card is not None  # noqa: S101 - the contract says so
        blank = _blank(event, group.items[0])
        made = replace(with_values(blank, group.values), changes=(added.change,))
        for one in group.items:
            key = (event.tenant, one)
            if key in items or key in changes.items:
                changes.superseded += 1
                continue
            changes.items[key] = replace(made, item=one)
            changes.printings[event.tenant, card.id] = card


def additions_undone(groups: Iterable[AddedGroup]) -> list[ItemsGroup]:
    """Return additions as changes of the stock, which taking back turns round."""
    return [
        ItemsGroup(
            items=group.items,
            before=ItemValues(stock=Stock.REMOVED),
            after=ItemValues(stock=group.values.stock or Stock.IN_STOCK),
        )
        for group in groups
        if group.values.stock is not Stock.REMOVED
    ]


def _blank(event: LoggedEvent, item: UUID) -> Item:
    return Item(
        tenant=event.tenant,
        item=item,
        station="",
        captured_at=event.received_at,
        received_at=event.received_at,
        status=ItemStatus.COUNTED,
        card_id="",
        language="",
        finish="",
        edition="",
        condition="",
        bin="",
        lot="",
        confidence=1.0,
        margin=1.0,
        image="",
    )


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

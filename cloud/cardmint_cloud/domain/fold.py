"""The inventory as a fold of the event log: events in, changed items, reviews and holdings out."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from cardmint_cloud.domain import item_changes, review_questions
from cardmint_cloud.domain.items import (
    ImpossibleEvent,
    InventoryChanges,
    Item,
    ItemKey,
    ItemStatus,
    LoggedEvent,
    Review,
    ReviewKey,
    review_task_id,
)
from cardmint_contracts.cards import Decision
from cardmint_contracts.envelope import is_plausible
from cardmint_contracts.events import CardScanned, ItemsAdded, ItemsChanged


def fold(
    items: Mapping[ItemKey, Item],
    reviews: Mapping[ReviewKey, Review],
    events: Iterable[LoggedEvent],
) -> InventoryChanges:
    """Apply `events` in order to `items` and `reviews`, and return what changed.

    The mappings must hold every existing item and review that the events touch. An event that
    contradicts the state changes nothing and is among the `refused`.
    """
    changes = InventoryChanges()
    for number, event in enumerate(events):
        try:
            _apply(changes, items, reviews, event)
        except ImpossibleEvent as error:
            changes.refused[number] = error
    for key, item in changes.items.items():
        if (before := items.get(key)) is not None:
            changes.items_before[key] = before
            if old := before.holding:
                changes.holdings[old] -= 1
        if new := item.holding:
            changes.holdings[new] += 1
    changes.reviews_before |= {key: reviews[key] for key in changes.reviews if key in reviews}
    for holding in [holding for holding, delta in changes.holdings.items() if delta == 0]:
        del changes.holdings[holding]
    return changes


def _apply(
    changes: InventoryChanges,
    items: Mapping[ItemKey, Item],
    reviews: Mapping[ReviewKey, Review],
    event: LoggedEvent,
) -> None:
    match event.data:
        case CardScanned(rescan_of=None):
            _add_item(changes, items, event, event.data)
        case CardScanned():
            if not review_questions.apply_rescan(changes, items, reviews, event, event.data):
                _add_item(changes, items, event, event.data)
        case ItemsChanged():
            item_changes.apply_change(changes, items, event, event.data)
        case ItemsAdded():
            item_changes.apply_addition(changes, items, event, event.data)
        case _:
            review_questions.apply_event(changes, items, reviews, event)


_STATUS = {
    Decision.ACCEPT: ItemStatus.COUNTED,
    Decision.REVIEW: ItemStatus.REVIEW,
    Decision.REJECT: ItemStatus.REJECTED,
}


def _add_item(
    changes: InventoryChanges,
    items: Mapping[ItemKey, Item],
    event: LoggedEvent,
    scan: CardScanned,
) -> None:
    key = (event.tenant, scan.scan)
    if key in items or key in changes.items:
        return  # The outbox was restored, and sent this scan again with another sequence.
    defaults = scan.defaults
    changes.items[key] = Item(
        tenant=event.tenant,
        item=scan.scan,
        station=event.origin,
        captured_at=_captured_at(event),
        received_at=event.received_at,
        status=_STATUS[scan.decision],
        card_id=scan.card.id if scan.card else "",
        language=scan.counted_language or "",
        finish=scan.counted_finish or "",
        edition=scan.counted_edition or "",
        condition=defaults.condition or "",
        bin=defaults.bin,
        lot=defaults.lot,
        confidence=scan.confidence
        + 0.0,  # Turns -0.0 into 0.0, so that every reader of the log gets the same.
        margin=scan.margin + 0.0,
        image=scan.image.sha256 if scan.image else "",
    )
    if scan.card:
        changes.printings[event.tenant, scan.card.id] = scan.card
    if scan.decision is Decision.REVIEW:
        task = review_task_id(scan.scan)
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


def _captured_at(event: LoggedEvent) -> datetime:
    """Return when a card was captured: by its receipt, if the time that the log has cannot be.

    Version 0.1.0 logged such times of clocks that were not set.
    """
    plausible = is_plausible(event.occurred_at, event.received_at)
    return event.occurred_at if plausible else event.received_at

"""The inventory as a fold of the event log: events in, changed items, reviews and holdings out."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from cardmint_cloud.domain import review_questions
from cardmint_cloud.domain.items import (
    EARLIEST,
    MAX_AHEAD,
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
from cardmint_contracts.events import CardScanned


def fold(
    items: Mapping[ItemKey, Item],
    reviews: Mapping[ReviewKey, Review],
    events: Iterable[LoggedEvent],
) -> InventoryChanges:
    """Apply `events` in order to `items` and `reviews`, and return what changed.

    The mappings must hold every existing item and review that the events touch.

    Raises:
        ImpossibleEvent: an event contradicts the state; the changes of the run must not be used.
    """
    changes = InventoryChanges()
    for event in events:
        plausible = EARLIEST <= event.occurred_at <= event.received_at + MAX_AHEAD
        if not plausible and event.clock_synced:
            said = event.occurred_at.isoformat()
            raise ImpossibleEvent(
                "impossible-time",
                f"the station says that its clock is right, and that it is {said}",
            )
        match event.data:
            case CardScanned():
                again = event.data.rescan_of is not None
                if not (
                    again
                    and review_questions.apply_rescan(changes, items, reviews, event, event.data)
                ):
                    _add_item(
                        changes,
                        items,
                        event,
                        event.data,
                        event.occurred_at if plausible else event.received_at,
                    )
            case _:
                review_questions.apply_event(changes, items, reviews, event)
    for key, item in changes.items.items():
        before = items.get(key)
        if before is not None and (old := before.holding):
            changes.holdings[old] -= 1
        if new := item.holding:
            changes.holdings[new] += 1
    for holding in [holding for holding, delta in changes.holdings.items() if delta == 0]:
        del changes.holdings[holding]
    return changes


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
    captured_at: datetime,
) -> None:
    key = (event.tenant, scan.scan)
    if key in items or key in changes.items:
        return  # The outbox was restored, and sent this scan again with another sequence.
    defaults = scan.defaults
    changes.items[key] = Item(
        tenant=event.tenant,
        item=scan.scan,
        station=event.origin,
        captured_at=captured_at,
        received_at=event.received_at,
        status=_STATUS[scan.decision],
        card_id=scan.card.id if scan.card else "",
        language=defaults.language or "",
        finish=defaults.finish or "",
        edition=defaults.edition or "",
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

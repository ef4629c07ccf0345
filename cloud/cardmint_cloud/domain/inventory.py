"""The inventory as a fold of the event log: events in, changed items, reviews and holdings out."""

from collections.abc import Iterable, Mapping

from cardmint_cloud.domain import questions
from cardmint_cloud.domain.items import Changes, Event, Item, ItemKey, Review, ReviewKey, Status, review_of
from cardmint_contracts.cards import Decision
from cardmint_contracts.events import (
    CardScanned,
    RescanRequested,
    ReviewAged,
    ReviewAnswered,
    ReviewOpened,
    ReviewUndone,
)


def fold(items: Mapping[ItemKey, Item], reviews: Mapping[ReviewKey, Review], events: Iterable[Event]) -> Changes:
    """Apply `events` in order to what `items` and `reviews` held before, and return what changed.

    The mappings must hold every item and review that the events speak of, as far as they exist.

    Raises:
        Impossible: an event contradicts what is there; nothing of the run may be used then.
    """
    changes = Changes()
    for event in events:
        match event.data:
            case CardScanned():
                if event.data.rescan_of is None or not questions.scanned_again(
                    changes, items, reviews, event, event.data
                ):
                    _scanned(changes, items, event, event.data)
            case ReviewAnswered():
                questions.answered(changes, items, reviews, event, event.data)
            case ReviewOpened():
                questions.opened(changes, items, reviews, event, event.data)
            case ReviewUndone():
                questions.undone(changes, items, reviews, event, event.data)
            case RescanRequested() | ReviewAged():
                questions.changed(changes, reviews, event, event.data)
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


def _scanned(changes: Changes, items: Mapping[ItemKey, Item], event: Event, scan: CardScanned) -> None:
    key = (event.tenant, scan.scan)
    if key in items or key in changes.items:
        return  # The same scan under another sequence: the outbox was restored and counted on.
    batch = scan.batch
    changes.items[key] = Item(
        tenant=event.tenant,
        item=scan.scan,
        station=event.origin,
        captured_at=event.occurred_at,
        received_at=event.received_at,
        status=_STATUS[scan.decision],
        card=scan.card,
        language=batch.language or "",
        finish=batch.finish or "",
        edition=batch.edition or "",
        condition=batch.condition or "",
        bin=batch.bin,
        lot=batch.lot,
        confidence=scan.confidence + 0.0,  # -0.0 to 0.0: the log's JSON numbers know just one zero.
        margin=scan.margin + 0.0,
        reasons=scan.reasons,
        candidates=scan.candidates,
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

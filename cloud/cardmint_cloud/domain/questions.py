"""What the events about questions change: opened, answered, taken back, asked again at the table, grown old."""

from collections.abc import Mapping
from uuid import UUID

from msgspec.structs import replace

from cardmint_cloud.domain.items import (
    WHYS,
    Changes,
    Event,
    Impossible,
    Item,
    ItemKey,
    Prior,
    Review,
    ReviewKey,
    Status,
    review_of,
)
from cardmint_contracts.cards import Card, Decision
from cardmint_contracts.events import (
    CardScanned,
    RescanRequested,
    ReviewAged,
    ReviewAnswered,
    ReviewOpened,
    ReviewUndone,
    ScanWithdrawn,
)


def apply(changes: Changes, items: Mapping[ItemKey, Item], reviews: Mapping[ReviewKey, Review], event: Event) -> None:
    """Apply an event that is no scan: what is said about a question; other events change nothing here."""
    match event.data:
        case ReviewAnswered():
            _answered(changes, items, reviews, event, event.data)
        case ReviewOpened():
            _opened(changes, items, reviews, event, event.data)
        case ReviewUndone():
            _undone(changes, items, reviews, event, event.data)
        case RescanRequested() | ReviewAged():
            _changed(changes, reviews, event, event.data)
        case ScanWithdrawn():
            _withdrawn(changes, items, reviews, event, event.data)
        case _:
            pass


def scanned_again(
    changes: Changes,
    items: Mapping[ItemKey, Item],
    reviews: Mapping[ReviewKey, Review],
    event: Event,
    scan: CardScanned,
) -> bool:
    """Apply a scan of a card that was scanned before; False when that card is not known: then it is a new one.

    It answers the question for which the card was asked for, or brings new candidates to it. Without such a question
    it says nothing: the card is counted already.
    """
    item = _item(changes, items, event.tenant, scan.rescan_of or scan.scan)
    if item is None:
        return False
    asked = [_review(changes, reviews, event.tenant, review_of(item.item, why)) for why in WHYS]
    review = next((one for one in asked if one is not None and one.open and one.place), None)
    if review is None:
        changes.superseded += 1
    elif scan.decision is Decision.ACCEPT:
        _close(changes, item, review, event, verdict="card", card=scan.card, by=event.origin)
    else:
        changes.reviews[event.tenant, review.task] = replace(
            review,
            version=review.version + 1,
            reasons=scan.reasons or review.reasons,
            candidates=scan.candidates or review.candidates,
            image=scan.image or review.image,
            place="",
        )
    return True


def _opened(
    changes: Changes,
    items: Mapping[ItemKey, Item],
    reviews: Mapping[ReviewKey, Review],
    event: Event,
    asked: ReviewOpened,
) -> None:
    """Open a question that a rule asks about a counted card, unless the card changed meanwhile."""
    item = _item(changes, items, event.tenant, asked.scan)
    if item is None:
        message = f"a question about scan {asked.scan}, but there is no such scan"
        raise Impossible("unknown-scan", message)
    known = _review(changes, reviews, event.tenant, asked.task)
    if known is not None or item.status is not Status.COUNTED or item.card_id != asked.card.id:
        changes.superseded += 1
        return
    changes.reviews[event.tenant, asked.task] = Review(
        tenant=event.tenant,
        task=asked.task,
        item=item.item,
        station=item.station,
        version=1,
        open=True,
        reasons=asked.reasons,
        candidates=asked.candidates,
        image=asked.image,
        opened_at=event.received_at,
        counted=asked.card,
        recogniser=asked.recogniser,
    )
    if asked.hold:
        changes.items[event.tenant, item.item] = replace(item, status=Status.REVIEW, version=item.version + 1)


def _answered(
    changes: Changes,
    items: Mapping[ItemKey, Item],
    reviews: Mapping[ReviewKey, Review],
    event: Event,
    answer: ReviewAnswered,
) -> None:
    """Close a question and have its card stand as the answer says; a second answer only counts as superseded."""
    review = _asked(changes, reviews, event, answer.task, answer.scan)
    if not review.open or answer.task_version != review.version:
        changes.superseded += 1
        return
    item = changes.items.get((event.tenant, review.item)) or items[event.tenant, review.item]
    _close(changes, item, review, event, verdict=answer.verdict, card=answer.card, by=answer.by)


def _close(
    changes: Changes, item: Item, review: Review, event: Event, *, verdict: str, card: Card | None, by: str
) -> None:
    changes.reviews[event.tenant, review.task] = replace(
        review,
        open=False,
        version=review.version + 1,
        closed_at=event.received_at,
        verdict=verdict,
        card=card,
        answered_by=by,
        place="",
        prior=Prior(item.status, item.card_id),
    )
    changes.items[event.tenant, item.item] = replace(
        item,
        status=Status.COUNTED if card else Status.REJECTED,
        card_id=card.id if card else "",
        version=item.version + 1,
    )
    if card:
        changes.printings[event.tenant, card.id] = card


def _undone(
    changes: Changes,
    items: Mapping[ItemKey, Item],
    reviews: Mapping[ReviewKey, Review],
    event: Event,
    taken_back: ReviewUndone,
) -> None:
    """Open a question again and bring back how its card stood; not when another answer changed it since."""
    review = _asked(changes, reviews, event, taken_back.task, taken_back.scan)
    item = changes.items.get((event.tenant, review.item)) or items[event.tenant, review.item]
    given = (Status.COUNTED, review.card.id) if review.card else (Status.REJECTED, "")
    if review.prior is None or taken_back.task_version != review.version or (item.status, item.card_id) != given:
        changes.superseded += 1
        return
    changes.reviews[event.tenant, review.task] = replace(
        review,
        open=True,
        version=review.version + 1,
        closed_at=None,
        verdict=None,
        card=None,
        answered_by="",
        prior=None,
    )
    changes.items[event.tenant, item.item] = replace(
        item, status=review.prior.status, card_id=review.prior.card_id, version=item.version + 1
    )


def _withdrawn(
    changes: Changes,
    items: Mapping[ItemKey, Item],
    reviews: Mapping[ReviewKey, Review],
    event: Event,
    withdrawn: ScanWithdrawn,
) -> None:
    """Take a scan back at the station's word: its card is none, and whatever was asked about it is closed."""
    item = _item(changes, items, event.tenant, withdrawn.scan)
    if item is None:
        raise Impossible("unknown-scan", f"scan {withdrawn.scan} was taken back, but there is no such scan")
    changes.items[event.tenant, item.item] = replace(item, status=Status.REJECTED, card_id="", version=item.version + 1)
    for why in WHYS:
        review = _review(changes, reviews, event.tenant, review_of(item.item, why))
        if review is not None and review.open:
            changes.reviews[event.tenant, review.task] = replace(
                review,
                open=False,
                version=review.version + 1,
                closed_at=event.received_at,
                verdict="no_card",
                answered_by=withdrawn.by,
                place="",
            )


def _changed(
    changes: Changes, reviews: Mapping[ReviewKey, Review], event: Event, what: RescanRequested | ReviewAged
) -> None:
    """Ask for the card itself, bring a question to the front, or give it up."""
    review = _asked(changes, reviews, event, what.task, what.scan)
    if not review.open or what.task_version != review.version:
        changes.superseded += 1
        return
    after = replace(review, version=review.version + 1)
    if isinstance(what, RescanRequested):
        after = replace(after, place=what.place)
    elif what.outcome == "escalated":
        after = replace(after, escalated=True)
    else:
        after = replace(after, open=False, closed_at=event.received_at, verdict="expired")
    changes.reviews[event.tenant, review.task] = after


def _asked(changes: Changes, reviews: Mapping[ReviewKey, Review], event: Event, task: UUID, scan: UUID) -> Review:
    review = _review(changes, reviews, event.tenant, task)
    if review is None or review.item != scan:
        message = f"a word on task {task} about scan {scan}, but there is no such task"
        raise Impossible("unknown-task", message)
    return review


def _review(changes: Changes, reviews: Mapping[ReviewKey, Review], tenant: str, task: UUID) -> Review | None:
    return changes.reviews.get((tenant, task)) or reviews.get((tenant, task))


def _item(changes: Changes, items: Mapping[ItemKey, Item], tenant: str, item: UUID) -> Item | None:
    return changes.items.get((tenant, item)) or items.get((tenant, item))

"""The changes that events about questions make: opened, answered, undone, rescanned, aged."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from msgspec.structs import replace

from cardmint_cloud.domain.items import (
    REVIEW_ORIGINS,
    ImpossibleEvent,
    InventoryChanges,
    Item,
    ItemKey,
    ItemStatus,
    LoggedEvent,
    PriorState,
    Review,
    ReviewKey,
    review_task_id,
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


@dataclass(frozen=True, slots=True)
class _FoldContext:
    """An event, the rows that were read for it, and the changes of the fold so far."""

    changes: InventoryChanges
    items: Mapping[ItemKey, Item]
    reviews: Mapping[ReviewKey, Review]
    event: LoggedEvent

    def item(self, item: UUID) -> Item | None:
        key = (self.event.tenant, item)
        return self.changes.items.get(key) or self.items.get(key)

    def item_of(self, review: Review) -> Item:
        key = (self.event.tenant, review.item)
        return self.changes.items.get(key) or self.items[key]

    def review(self, task: UUID) -> Review | None:
        key = (self.event.tenant, task)
        return self.changes.reviews.get(key) or self.reviews.get(key)

    def asked(self, task: UUID, scan: UUID) -> Review:
        review = self.review(task)
        if review is None or review.item != scan:
            message = f"a word on task {task} about scan {scan}, but there is no such task"
            raise ImpossibleEvent("unknown-task", message)
        return review

    def put(self, review: Review) -> None:
        self.changes.reviews[self.event.tenant, review.task] = review

    def put_item(self, item: Item) -> None:
        self.changes.items[self.event.tenant, item.item] = item


class _Said(NamedTuple):
    """What an answer says of a card beside its printing; None for what it leaves as it is."""

    language: str | None = None
    finish: str | None = None
    edition: str | None = None


def apply_event(
    changes: InventoryChanges,
    items: Mapping[ItemKey, Item],
    reviews: Mapping[ReviewKey, Review],
    event: LoggedEvent,
) -> None:
    """Apply an event about a question; other events change nothing."""
    stage = _FoldContext(changes, items, reviews, event)
    match event.data:
        case ReviewAnswered():
            _answer_question(stage, event.data)
        case ReviewOpened():
            _open_question(stage, event.data)
        case ReviewUndone():
            _undo_answer(stage, event.data)
        case RescanRequested() | ReviewAged():
            _change_open_question(stage, event.data)
        case ScanWithdrawn():
            _withdraw_scan(stage, event.data)
        case _:
            pass


def apply_rescan(
    changes: InventoryChanges,
    items: Mapping[ItemKey, Item],
    reviews: Mapping[ReviewKey, Review],
    event: LoggedEvent,
    scan: CardScanned,
) -> bool:
    """Apply a scan of a known card; False when its first scan is unknown, so that it is new.

    The scan answers the question for which the card was asked for, or brings new candidates to it.
    Without such a question nothing changes, because the card is counted already.
    """
    stage = _FoldContext(changes, items, reviews, event)
    item = stage.item(scan.rescan_of or scan.scan)
    if item is None:
        return False
    asked = [stage.review(review_task_id(item.item, why)) for why in REVIEW_ORIGINS]
    review = next((one for one in asked if one is not None and one.open and one.place), None)
    if review is None:
        stage.changes.superseded += 1
    elif scan.decision is Decision.ACCEPT:
        _close(
            stage,
            item,
            review,
            "card",
            scan.card,
            by=stage.event.origin,
            said=_Said(
                language=scan.counted_language,
                finish=scan.finish,
                edition=scan.edition,
            ),
        )
    else:
        stage.put(
            replace(
                review,
                version=review.version + 1,
                reasons=scan.reasons or review.reasons,
                candidates=scan.candidates or review.candidates,
                image=scan.image or review.image,
                place="",
            )
        )
    return True


def _open_question(stage: _FoldContext, asked: ReviewOpened) -> None:
    """Open a rule's question about a counted card, unless the card changed meanwhile."""
    item = stage.item(asked.scan)
    if item is None:
        message = f"a question about scan {asked.scan}, but there is no such scan"
        raise ImpossibleEvent("unknown-scan", message)
    known = stage.review(asked.task)
    if known is not None or item.status is not ItemStatus.COUNTED or item.card_id != asked.card.id:
        stage.changes.superseded += 1
        return
    stage.put(
        Review(
            tenant=stage.event.tenant,
            task=asked.task,
            item=item.item,
            station=item.station,
            version=1,
            open=True,
            reasons=asked.reasons,
            candidates=asked.candidates,
            image=asked.image,
            opened_at=stage.event.received_at,
            counted=asked.card,
            recogniser=asked.recogniser,
            question=asked.question,
        )
    )
    if asked.hold:
        stage.put_item(replace(item, status=ItemStatus.REVIEW, version=item.version + 1))


def _answer_question(stage: _FoldContext, answer: ReviewAnswered) -> None:
    """Close a question and set its card as the answer says.

    An answer to a closed question only counts as superseded.
    """
    review = stage.asked(answer.task, answer.scan)
    if not review.open or answer.task_version != review.version:
        stage.changes.superseded += 1
        return
    item = stage.item_of(review)
    said = _Said(language=answer.language, finish=answer.finish, edition=answer.edition)
    _close(
        stage,
        item,
        review,
        answer.verdict,
        answer.card,
        by=answer.by,
        said=said if answer.card else _Said(),
    )


def _close(
    stage: _FoldContext,
    item: Item,
    review: Review,
    verdict: str,
    card: Card | None,
    *,
    by: str,
    said: _Said,
) -> None:
    """Close a question and set its card, and what else is said of it."""
    stage.put(
        replace(
            review,
            open=False,
            version=review.version + 1,
            closed_at=stage.event.received_at,
            verdict=verdict,
            card=card,
            answered_by=by,
            place="",
            prior=PriorState(
                status=item.status,
                card_id=item.card_id,
                language=item.language if said.language else None,
                answered_language=said.language or "",
                finish=item.finish if said.finish else None,
                edition=item.edition if said.edition else None,
            ),
        )
    )
    stage.put_item(
        replace(
            item,
            status=ItemStatus.COUNTED if card else ItemStatus.REJECTED,
            card_id=card.id if card else "",
            language=said.language or item.language,
            finish=said.finish or item.finish,
            edition=said.edition or item.edition,
            version=item.version + 1,
        )
    )
    if card:
        stage.changes.printings[stage.event.tenant, card.id] = card


def _undo_answer(stage: _FoldContext, taken_back: ReviewUndone) -> None:
    """Reopen a question and restore its card, unless another answer changed the card since."""
    review = stage.asked(taken_back.task, taken_back.scan)
    item = stage.item_of(review)
    given = (ItemStatus.COUNTED, review.card.id) if review.card else (ItemStatus.REJECTED, "")
    if (
        review.prior is None
        or taken_back.task_version != review.version
        or (item.status, item.card_id) != given
    ):
        stage.changes.superseded += 1
        return
    stage.put(
        replace(
            review,
            open=True,
            version=review.version + 1,
            closed_at=None,
            verdict=None,
            card=None,
            answered_by="",
            prior=None,
        )
    )
    prior = review.prior
    stage.put_item(
        replace(
            item,
            status=prior.status,
            card_id=prior.card_id,
            language=item.language if prior.language is None else prior.language,
            finish=item.finish if prior.finish is None else prior.finish,
            edition=item.edition if prior.edition is None else prior.edition,
            version=item.version + 1,
        )
    )


def _withdraw_scan(stage: _FoldContext, withdrawn: ScanWithdrawn) -> None:
    """Reject the item of a scan that its station withdrew, and close its open questions."""
    item = stage.item(withdrawn.scan)
    if item is None:
        raise ImpossibleEvent(
            "unknown-scan", f"scan {withdrawn.scan} was taken back, but there is no such scan"
        )
    stage.put_item(replace(item, status=ItemStatus.REJECTED, card_id="", version=item.version + 1))
    for why in REVIEW_ORIGINS:
        review = stage.review(review_task_id(item.item, why))
        if review is not None and review.open:
            stage.put(
                replace(
                    review,
                    open=False,
                    version=review.version + 1,
                    closed_at=stage.event.received_at,
                    verdict="no_card",
                    answered_by=withdrawn.by,
                    place="",
                )
            )


def _change_open_question(stage: _FoldContext, what: RescanRequested | ReviewAged) -> None:
    """Apply a rescan request, an escalation or an expiry to an open question."""
    review = stage.asked(what.task, what.scan)
    if not review.open or what.task_version != review.version:
        stage.changes.superseded += 1
        return
    after = replace(review, version=review.version + 1)
    if isinstance(what, RescanRequested):
        after = replace(after, place=what.place)
    elif what.outcome == "escalated":
        after = replace(after, escalated=True)
    else:
        after = replace(after, open=False, closed_at=stage.event.received_at, verdict="expired")
    stage.put(after)

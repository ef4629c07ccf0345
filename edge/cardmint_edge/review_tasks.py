"""Review tasks: what the cloud asks of a person at the station, and the answers."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol
from uuid import UUID

import structlog

from cardmint_contracts.cards import Card, CardId
from cardmint_contracts.errors import ContractError
from cardmint_contracts.events import EventData, ReviewAnswered, ReviewUndone
from cardmint_contracts.tasks import ReviewOutcome, ReviewTask
from cardmint_contracts.wire import decode
from cardmint_edge.domain.delivery.batches import Timestamp

SETTLE_S = 5.0
"""How long the broker must have been silent about tasks before those it did not send count as closed."""

MOST_TOLD = 5
"""So many answers that did not count are told at most, the newest."""

log = structlog.get_logger(__name__)


class TaskStore(Protocol):
    """Where tasks are kept. Each change is durable when it returns."""

    def version(self, task: UUID) -> int:
        """Return the version that is stored; 0 when the task is not known."""
        ...

    def put(self, task: ReviewTask) -> None:
        """Store a task as open, in place of any other version of it."""
        ...

    def remove(self, task: UUID) -> None:
        """Forget a task that was closed."""
        ...

    def known(self) -> set[UUID]:
        """Return every task that is stored, open or answered."""
        ...

    def answer(self, task: UUID, card: Card | None) -> None:
        """Mark a task answered with a card, or with none."""
        ...

    def answered(self, task: UUID) -> tuple[ReviewTask, Card | None] | None:
        """Return a task that was answered here, and with which card."""
        ...

    def find(self, task: UUID) -> ReviewTask | None:
        """Return a task that is open."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class OverruledAnswer:
    """Somebody else was first with another answer: what they said, and what was said here.

    None is no card.
    """

    outcome: ReviewOutcome
    ours: Card | None


class AnswerResult(StrEnum):
    """What became of an answer."""

    TAKEN = "taken"
    GONE = "gone"
    CHANGED = "changed"
    UNKNOWN_CARD = "unknown-card"


class ReviewTasks:
    """Keeps the tasks that come down. `together` makes what is done within it one transaction."""

    def __init__(
        self,
        *,
        store: TaskStore,
        append: Callable[[EventData, Timestamp], int],
        together: Callable[[], AbstractContextManager[object]],
        stamp: Callable[[], Timestamp],
        printing: Callable[[CardId], Card | None],
    ) -> None:
        """Take the parts; `printing` finds a card of the catalogue that was no candidate."""
        self._store = store
        self._append = append
        self._together = together
        self._stamp = stamp
        self._printing = printing
        self._seen: set[UUID] | None = None
        self._settles = 0.0
        self._now = 0.0
        self._overruled: dict[UUID, OverruledAnswer] = {}
        self._awaited: ReviewTask | None = None

    @property
    def overruled(self) -> Sequence[OverruledAnswer]:
        """The answers given here that did not count, until they are undone or seen."""
        return tuple(self._overruled.values())

    @property
    def awaited(self) -> UUID | None:
        """The scan whose card the operator will lay under the camera next, as asked.

        None when none is.
        """
        return self._awaited.scan if self._awaited is not None else None

    def arrived(self, task: UUID, payload: bytes) -> None:
        """Take a message on the topic of `task`.

        A version of it, or, when empty, that it is closed.
        """
        self._settles = self._now + SETTLE_S
        if self._awaited is not None and self._awaited.task == task:
            self._awaited = (
                None  # The question changed or ended: the next shot is another card again.
            )
        if not payload:
            self._store.remove(task)
            return
        if self._seen is not None:
            self._seen.add(task)
        try:
            body = decode(payload, ReviewTask)
        except ContractError as error:
            log.warning("task ignored", task=str(task), reason=error.reason, detail=str(error))
            return
        if body.task != task:
            log.warning(
                "task ignored",
                task=str(task),
                reason="another-task",
                detail=f"the body is of {body.task}",
            )
        elif body.version > self._store.version(task):
            self._store.put(body)

    def ended(self, payload: bytes) -> None:
        """Take a message that says how a task ended.

        The operator is told when it is not how they answered it.
        """
        try:
            outcome = decode(payload, ReviewOutcome)
        except ContractError as error:
            log.warning("outcome ignored", reason=error.reason, detail=str(error))
            return
        answered = self._store.answered(outcome.task)
        if answered is None:
            return
        _, ours = answered
        if (ours.id if ours else None) != (outcome.card.id if outcome.card else None):
            self._overruled[outcome.task] = OverruledAnswer(outcome=outcome, ours=ours)
            while len(self._overruled) > MOST_TOLD:
                del self._overruled[next(iter(self._overruled))]

    def undo(self, task: UUID, by: str) -> AnswerResult:
        """Take back the answer that overruled ours.

        The question comes again when the cloud has heard of it.
        """
        with self._together():
            told = self._overruled.get(task)
            if told is None:
                return AnswerResult.GONE
            outcome = told.outcome
            event = ReviewUndone(task=task, task_version=outcome.version, scan=outcome.scan, by=by)
            sequence = self._append(event, self._stamp())
        del self._overruled[task]
        log.info("undone", task=str(task), by=by, sequence=sequence)
        return AnswerResult.TAKEN

    def seen(self, task: UUID) -> None:
        """Say no more of an answer that did not count."""
        self._overruled.pop(task, None)

    def scan_next(self, task: UUID) -> AnswerResult:
        """Have the next shot be another scan of the card that a task is about."""
        self._awaited = self._store.find(task)
        return AnswerResult.GONE if self._awaited is None else AnswerResult.TAKEN

    def scanned(self) -> None:
        """Learn that a shot was counted: what follows is another card again."""
        self._awaited = None

    def connected(self, now: float) -> None:
        """Learn that the broker will now send every task that is open."""
        self._seen = set()
        self._now = now
        self._settles = now + SETTLE_S

    def tick(self, now: float) -> None:
        """Close the tasks that the broker no longer has.

        They were closed while the station was away.
        """
        self._now = now
        if self._seen is None or now < self._settles:
            return
        for task in self._store.known() - self._seen:
            self._store.remove(task)
        self._seen = None

    def disconnected(self) -> None:
        """Learn that what the broker sent so far may not be all."""
        self._seen = None

    def answer(self, task: UUID, version: int, card: CardId | None, by: str) -> AnswerResult:
        """Take a person's answer.

        A candidate, another card of the catalogue, or None for no card. Durable then.
        """
        with self._together():
            found = self._store.find(task)
            if found is None:
                return AnswerResult.GONE
            if found.version != version:
                return AnswerResult.CHANGED
            chosen = next((c.card for c in found.candidates if c.card.id == card), None)
            if card is not None and chosen is None:
                chosen = self._printing(card)
            if card is not None and chosen is None:
                return AnswerResult.UNKNOWN_CARD
            self._store.answer(task, chosen)
            answer = ReviewAnswered(
                task=task,
                task_version=version,
                scan=found.scan,
                verdict="no_card" if chosen is None else "card",
                by=by,
                card=chosen,
            )
            sequence = self._append(answer, self._stamp())
        log.info("answered", task=str(task), card=card, by=by, sequence=sequence)
        return AnswerResult.TAKEN

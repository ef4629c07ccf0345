"""Review tasks: the cloud's questions to the operator, and the operator's answers."""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol
from uuid import UUID

import structlog
from msgspec.structs import replace

from cardmint_contracts.cards import Card, CardId, Edition, Finish, Language
from cardmint_contracts.errors import ContractError
from cardmint_contracts.events import EventData, ReviewAnswered, ReviewUndone
from cardmint_contracts.reasons import Reason
from cardmint_contracts.tasks import ReviewOutcome, ReviewTask
from cardmint_contracts.wire import decode
from cardmint_edge.domain.delivery.batches import Timestamp

SETTLE_S = 5.0
"""Seconds after the broker's last task until stored tasks that it did not send count as closed."""

MAX_OVERRULED = 5
"""Overruled answers that are shown at most: the newest."""

MAX_COPIES = 500
"""Open questions that are answered at once."""

_ANSWERS = {"card", "no_card"}
"""Verdicts of persons. Others end a question without an answer."""

MAX_GIVEN = 3
"""Answers given here that may be taken back here: the newest."""

MAX_ANSWERS = 1000
"""Scans whose answers are known: the newest, as many as the history has scans."""

log = structlog.get_logger(__name__)


class TaskStore(Protocol):
    """Storage of tasks. Each change is durable when the call returns."""

    def version(self, task: UUID) -> int:
        """Return the stored version; 0 for an unknown task."""
        ...

    def put(self, task: ReviewTask) -> None:
        """Store a task as open. It replaces any other version."""
        ...

    def remove(self, task: UUID) -> None:
        """Delete a task that was closed."""
        ...

    def all_tasks(self) -> set[UUID]:
        """Return every stored task, open or answered."""
        ...

    def answer(self, task: UUID, card: Card | None) -> None:
        """Mark a task as answered with a card, or with no card."""
        ...

    def answered(self, task: UUID) -> tuple[ReviewTask, Card | None] | None:
        """Return a task that was answered here, and the card of the answer."""
        ...

    def find_open(self, task: UUID) -> ReviewTask | None:
        """Return an open task; None for any other."""
        ...

    def oldest_open(self, count: int) -> Sequence[ReviewTask]:
        """Return the `count` oldest open tasks."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class OverruledAnswer:
    """An answer given here that did not count, because another answer came first.

    `outcome` is the answer that counts. `our_card` is the card of ours; None for "no card".
    """

    outcome: ReviewOutcome
    our_card: Card | None


@dataclass(frozen=True, kw_only=True, slots=True)
class ScanAnswer:
    """What a person said about a scan: its card, None for "no card", and what else was said of it.

    Not `known`: the question was closed while the station was offline, and nobody told it how.
    """

    card: Card | None
    by: str
    language: Language | None = None
    finish: Finish | None = None
    edition: Edition | None = None
    known: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class GivenAnswer:
    """An answer that was given here and may be taken back. `asked` is the task as it was."""

    asked: ReviewTask
    card: Card | None

    @property
    def task(self) -> UUID:
        """The task's identifier."""
        return self.asked.task


class AnswerResult(StrEnum):
    """What became of an answer."""

    TAKEN = "taken"
    GONE = "gone"
    CHANGED = "changed"
    UNKNOWN_CARD = "unknown-card"


class ReviewTasks:
    """Stores the tasks that the cloud sends, and takes the answers."""

    def __init__(
        self,
        *,
        store: TaskStore,
        append: Callable[[EventData, Timestamp], int],
        transaction: Callable[[], AbstractContextManager[object]],
        read_clock: Callable[[], Timestamp],
        find_card: Callable[[CardId], Card | None],
    ) -> None:
        """Take the parts.

        `append` appends an event to the outbox. `transaction` makes the writes within it one
        transaction. `find_card` finds a card of the catalogue that is no candidate.
        """
        self._store = store
        self._append = append
        self._transaction = transaction
        self._read_clock = read_clock
        self._find_card = find_card
        self._received: set[UUID] | None = None
        """Tasks that the broker sent since the connection; None once they are settled."""
        self._settled_at = 0.0
        self._now = 0.0
        self._overruled: dict[UUID, OverruledAnswer] = {}
        self._task_to_rescan: ReviewTask | None = None
        self._answers: OrderedDict[UUID, ScanAnswer] = OrderedDict()
        self._given: OrderedDict[UUID, GivenAnswer] = OrderedDict()

    @property
    def answers(self) -> Mapping[UUID, ScanAnswer]:
        """What persons said about scans since the start, here or elsewhere, by scan."""
        return dict(self._answers)

    @property
    def given(self) -> Sequence[GivenAnswer]:
        """The answers given here that may be taken back, the newest first."""
        return tuple(reversed(self._given.values()))

    @property
    def overruled(self) -> Sequence[OverruledAnswer]:
        """The overruled answers, until they are undone or dismissed."""
        return tuple(self._overruled.values())

    @property
    def scan_to_repeat(self) -> UUID | None:
        """The scan whose card the operator scans again next; None when the next card is another."""
        return self._task_to_rescan.scan if self._task_to_rescan is not None else None

    @property
    def cards_to_repeat(self) -> tuple[Card, ...]:
        """The candidates of the card that the operator scans again next."""
        task = self._task_to_rescan
        return () if task is None else tuple(one.card for one in task.candidates)

    def receive_task(self, task: UUID, payload: bytes) -> None:
        """Take a message on the topic of `task`: a version of it. An empty payload closes it."""
        self._settled_at = self._now + SETTLE_S
        if self._task_to_rescan is not None and self._task_to_rescan.task == task:
            self._task_to_rescan = None  # the question changed or ended
        if not payload:
            self._store.remove(task)
            return
        if self._received is not None:
            self._received.add(task)
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
                detail=f"the message is about {body.task}",
            )
        elif body.version > self._store.version(task):
            self._store.put(body)
            self._answers.pop(body.scan, None)  # an answer was taken back

    def receive_outcome(self, payload: bytes) -> None:
        """Take a message about how a task ended.

        An outcome other than the answer given here becomes an overruled answer.
        """
        try:
            outcome = decode(payload, ReviewOutcome)
        except ContractError as error:
            log.warning("outcome ignored", reason=error.reason, detail=str(error))
            return
        if outcome.verdict in _ANSWERS:
            by = outcome.by or "the cloud"
            answer = ScanAnswer(card=outcome.card, by=by, language=outcome.language)
            self._remember(outcome.scan, answer)
        answered = self._store.answered(outcome.task)
        if answered is None:
            return
        _, our_card = answered
        if (our_card.id if our_card else None) != (outcome.card.id if outcome.card else None):
            self._given.pop(outcome.task, None)
            self._overruled[outcome.task] = OverruledAnswer(outcome=outcome, our_card=our_card)
            while len(self._overruled) > MAX_OVERRULED:
                del self._overruled[next(iter(self._overruled))]

    def undo(self, task: UUID, by: str) -> AnswerResult:
        """Take back the answer that overruled ours.

        The cloud then sends the task again.
        """
        with self._transaction():
            overruled = self._overruled.get(task)
            if overruled is None:
                return AnswerResult.GONE
            outcome = overruled.outcome
            event = ReviewUndone(task=task, task_version=outcome.version, scan=outcome.scan, by=by)
            sequence = self._append(event, self._read_clock())
        del self._overruled[task]
        self._answers.pop(outcome.scan, None)
        log.info("undone", task=str(task), by=by, sequence=sequence)
        return AnswerResult.TAKEN

    def take_back(self, task: UUID, by: str) -> AnswerResult:
        """Take back an answer that was given here: the question is open again at once.

        The cloud closes an answered task under the next version, which this names, and opens it
        again under the one after that.
        """
        given = self._given.get(task)
        if given is None:
            return AnswerResult.GONE
        asked = given.asked
        with self._transaction():
            event = ReviewUndone(task=task, task_version=asked.version + 1, scan=asked.scan, by=by)
            self._store.put(replace(asked, version=asked.version + 2))
            sequence = self._append(event, self._read_clock())
        del self._given[task]
        self._answers.pop(asked.scan, None)
        log.info("answer taken back", task=str(task), by=by, sequence=sequence)
        return AnswerResult.TAKEN

    def count_copies(self, by: str) -> int:
        """Answer each question whether a card came before: it is another copy. Return how many."""
        counted = 0
        for task in self._store.oldest_open(MAX_COPIES):
            if Reason.POSSIBLE_DUPLICATE in task.reasons and task.candidates:
                card = task.candidates[0].card.id
                counted += self.answer(task.task, task.version, card, by) is AnswerResult.TAKEN
        return counted

    def _remember(self, scan: UUID, answer: ScanAnswer) -> None:
        self._answers[scan] = answer
        self._answers.move_to_end(scan)
        while len(self._answers) > MAX_ANSWERS:
            self._answers.popitem(last=False)

    def dismiss(self, task: UUID) -> None:
        """Show an overruled answer no more."""
        self._overruled.pop(task, None)

    def scan_next(self, task: UUID) -> AnswerResult:
        """Count the next shot as another scan of the card that a task is about."""
        self._task_to_rescan = self._store.find_open(task)
        return AnswerResult.GONE if self._task_to_rescan is None else AnswerResult.TAKEN

    def card_counted(self) -> None:
        """Record that a shot was counted. The next shot is another card."""
        self._task_to_rescan = None

    def connected(self, now: float) -> None:
        """Expect every open task: the broker sends them all after a new connection."""
        self._received = set()
        self._now = now
        self._settled_at = now + SETTLE_S

    def tick(self, now: float) -> None:
        """Delete stored tasks that the broker did not send: they were closed meanwhile."""
        self._now = now
        if self._received is None or now < self._settled_at:
            return
        for task in self._store.all_tasks() - self._received:
            closed = self._store.find_open(task)
            if closed is not None:
                self._remember(closed.scan, ScanAnswer(card=None, by="", known=False))
            self._store.remove(task)
        self._received = None

    def disconnected(self) -> None:
        """Stop expecting tasks: those received so far may not be all."""
        self._received = None

    def answer(
        self,
        task: UUID,
        version: int,
        card: CardId | None,
        by: str,
        language: Language | None = None,
        *,
        finish: Finish | None = None,
        edition: Edition | None = None,
    ) -> AnswerResult:
        """Take the operator's answer: a card of the catalogue, or None for "no card".

        `language`, `finish` and `edition` are the card's, None where not said. An answer that
        is `TAKEN` is durable.
        """
        with self._transaction():
            open_task = self._store.find_open(task)
            if open_task is None:
                return AnswerResult.GONE
            if open_task.version != version:
                return AnswerResult.CHANGED
            chosen = next((c.card for c in open_task.candidates if c.card.id == card), None)
            if card is not None and chosen is None:
                chosen = self._find_card(card)
            if card is not None and chosen is None:
                return AnswerResult.UNKNOWN_CARD
            self._store.answer(task, chosen)
            if chosen is None:
                language = finish = edition = None
            answer = ReviewAnswered(
                task=task,
                task_version=version,
                scan=open_task.scan,
                verdict="no_card" if chosen is None else "card",
                by=by,
                card=chosen,
                language=language,
                finish=finish,
                edition=edition,
            )
            sequence = self._append(answer, self._read_clock())
        self._remember(
            open_task.scan,
            ScanAnswer(card=chosen, by=by, language=language, finish=finish, edition=edition),
        )
        self._given[task] = GivenAnswer(asked=open_task, card=chosen)
        self._given.move_to_end(task)
        while len(self._given) > MAX_GIVEN:
            self._given.popitem(last=False)
        log.info("answered", task=str(task), card=card, by=by, sequence=sequence)
        return AnswerResult.TAKEN

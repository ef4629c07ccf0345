"""Review tasks: what the cloud asks of a person at the station, and the answers."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from enum import StrEnum
from typing import Protocol
from uuid import UUID

import structlog

from cardmint_contracts.cards import Card, CardId
from cardmint_contracts.errors import ContractError
from cardmint_contracts.events import EventData, ReviewAnswered
from cardmint_contracts.tasks import ReviewTask
from cardmint_contracts.wire import decode
from cardmint_edge.domain.batches import Stamp

SETTLE_S = 5.0
"""How long the broker must have been silent about tasks before those it did not send count as closed."""

log = structlog.get_logger(__name__)


class Store(Protocol):
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

    def answer(self, task: UUID) -> None:
        """Mark a task answered."""
        ...

    def find(self, task: UUID) -> ReviewTask | None:
        """Return a task that is open."""
        ...


class Answered(StrEnum):
    """What became of an answer."""

    TAKEN = "taken"
    GONE = "gone"
    CHANGED = "changed"
    UNKNOWN_CARD = "unknown-card"


class Tasks:
    """Keeps the tasks that come down. `together` makes what is done within it one transaction."""

    def __init__(
        self,
        *,
        store: Store,
        append: Callable[[EventData, Stamp], int],
        together: Callable[[], AbstractContextManager[object]],
        stamp: Callable[[], Stamp],
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

    def arrived(self, task: UUID, payload: bytes) -> None:
        """Take a message on the topic of `task`: a version of it, or, when empty, that it is closed."""
        self._settles = self._now + SETTLE_S
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
            log.warning("task ignored", task=str(task), reason="another-task", detail=f"the body is of {body.task}")
        elif body.version > self._store.version(task):
            self._store.put(body)

    def connected(self, now: float) -> None:
        """Learn that the broker will now send every task that is open."""
        self._seen = set()
        self._now = now
        self._settles = now + SETTLE_S

    def tick(self, now: float) -> None:
        """Close the tasks that the broker no longer has: they were closed while the station was away."""
        self._now = now
        if self._seen is None or now < self._settles:
            return
        for task in self._store.known() - self._seen:
            self._store.remove(task)
        self._seen = None

    def disconnected(self) -> None:
        """Learn that what the broker sent so far may not be all."""
        self._seen = None

    def answer(self, task: UUID, version: int, card: CardId | None, by: str) -> Answered:
        """Take a person's answer: a candidate, another card of the catalogue, or None for no card. Durable then."""
        with self._together():
            found = self._store.find(task)
            if found is None:
                return Answered.GONE
            if found.version != version:
                return Answered.CHANGED
            chosen = next((c.card for c in found.candidates if c.card.id == card), None)
            if chosen is None and card is not None:
                chosen = self._printing(card)
            if card is not None and chosen is None:
                return Answered.UNKNOWN_CARD
            self._store.answer(task)
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
        return Answered.TAKEN

"""Review tasks in the station's database."""

from uuid import UUID

from msgspec.structs import replace

from cardmint_contracts.cards import Candidate, Card
from cardmint_contracts.tasks import ReviewTask
from cardmint_contracts.wire import decode, encode
from cardmint_edge.adapters.sqlite.database import Database

MOST_CANDIDATES = 8
"""A task holds no more."""


class TaskTable:
    """Tasks by their id, open or answered. Every method may raise `Stop`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def version(self, task: UUID) -> int:
        """Return the version that is stored; 0 when the task is not known."""
        rows = self._database.read("SELECT version FROM tasks WHERE task = ?", str(task))
        return rows[0][0] if rows else 0

    def put(self, task: ReviewTask) -> None:
        """Store a task as open, in place of any other version of it."""
        with self._database.write() as tx:
            tx.execute(
                "INSERT OR REPLACE INTO tasks (task, version, opened, body, answered) VALUES (?, ?, ?, ?, 0)",
                (str(task.task), task.version, task.opened.isoformat(), encode(task)),
            )

    def remove(self, task: UUID) -> None:
        """Forget a task that was closed."""
        with self._database.write() as tx:
            tx.execute("DELETE FROM tasks WHERE task = ?", (str(task),))

    def known(self) -> set[UUID]:
        """Return every task that is stored, open or answered."""
        return {UUID(task) for (task,) in self._database.read("SELECT task FROM tasks")}

    def answer(self, task: UUID, card: Card | None) -> None:
        """Mark a task answered with a card, or with none; it is shown no more."""
        found = self.find(task)
        if found is None:
            return
        wanted = card.id if card is not None else None
        choice = next((n for n, one in enumerate(found.candidates) if one.card.id == wanted), None)
        if card is not None and choice is None:
            # A card of the catalogue that was no candidate becomes the last one: what was said is
            # kept with the task.
            choice = min(len(found.candidates), MOST_CANDIDATES - 1)
            found = replace(
                found, candidates=(*found.candidates[:choice], Candidate(card=card, confidence=0.0))
            )
        with self._database.write() as tx:
            tx.execute(
                "UPDATE tasks SET answered = ?, body = ? WHERE task = ?",
                (1 if choice is None else 2 + choice, encode(found), str(task)),
            )

    def answered(self, task: UUID) -> tuple[ReviewTask, Card | None] | None:
        """Return a task that was answered here, and the card.

        None when it was not, or is forgotten.
        """
        rows = self._database.read(
            "SELECT body, answered FROM tasks WHERE task = ? AND answered > 0", str(task)
        )
        if not rows:
            return None
        found, choice = decode(rows[0][0], ReviewTask), rows[0][1] - 2
        return found, found.candidates[choice].card if choice >= 0 else None

    def open(self, count: int) -> list[ReviewTask]:
        """Return the open tasks that wait longest."""
        rows = self._database.read(
            "SELECT body FROM tasks WHERE answered = 0 ORDER BY opened, task LIMIT ?", count
        )
        return [decode(body, ReviewTask) for (body,) in rows]

    def find(self, task: UUID) -> ReviewTask | None:
        """Return a task that is open."""
        rows = self._database.read(
            "SELECT body FROM tasks WHERE task = ? AND answered = 0", str(task)
        )
        return decode(rows[0][0], ReviewTask) if rows else None

    def count(self) -> int:
        """Return how many tasks are open."""
        return int(self._database.read("SELECT count(*) FROM tasks WHERE answered = 0")[0][0])

"""Review tasks in the station's database."""

from uuid import UUID

from msgspec.structs import replace

from cardmint_contracts.cards import Candidate, Card
from cardmint_contracts.reasons import Reason
from cardmint_contracts.tasks import ReviewTask
from cardmint_contracts.wire import decode, encode
from cardmint_edge.adapters.sqlite.database import Database

MAX_CANDIDATES = 8
"""Candidates of a task, at most."""


class TaskTable:
    """The open and the answered tasks. Every method may raise `Stop`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def version(self, task: UUID) -> int:
        """Return the stored version; 0 for an unknown task."""
        rows = self._database.read("SELECT version FROM tasks WHERE task = ?", str(task))
        return rows[0][0] if rows else 0

    def put(self, task: ReviewTask) -> None:
        """Store a task as open. It replaces any other version."""
        with self._database.write() as tx:
            tx.execute(
                "INSERT OR REPLACE INTO tasks (task, version, opened, body, answered)"
                " VALUES (?, ?, ?, ?, 0)",
                (str(task.task), task.version, task.opened.isoformat(), encode(task)),
            )

    def remove(self, task: UUID) -> None:
        """Delete a task that was closed."""
        with self._database.write() as tx:
            tx.execute("DELETE FROM tasks WHERE task = ?", (str(task),))

    def all_tasks(self) -> set[UUID]:
        """Return every stored task, open or answered."""
        return {UUID(task) for (task,) in self._database.read("SELECT task FROM tasks")}

    def answer(self, task: UUID, card: Card | None) -> None:
        """Mark an open task as answered with a card, or with no card."""
        body = self.find_open(task)
        if body is None:
            return
        card_id = card.id if card is not None else None
        choice = next(
            (n for n, candidate in enumerate(body.candidates) if candidate.card.id == card_id), None
        )
        if card is not None and choice is None:
            # A card that was no candidate becomes the last candidate, so that the task keeps it.
            choice = min(len(body.candidates), MAX_CANDIDATES - 1)
            body = replace(
                body, candidates=(*body.candidates[:choice], Candidate(card=card, confidence=0.0))
            )
        with self._database.write() as tx:
            tx.execute(
                "UPDATE tasks SET answered = ?, body = ? WHERE task = ?",
                (1 if choice is None else 2 + choice, encode(body), str(task)),
            )

    def answered(self, task: UUID) -> tuple[ReviewTask, Card | None] | None:
        """Return a task that was answered here, and the card of the answer.

        None: the task was not answered here, or is deleted.
        """
        rows = self._database.read(
            "SELECT body, answered FROM tasks WHERE task = ? AND answered > 0", str(task)
        )
        if not rows:
            return None
        body, choice = decode(rows[0][0], ReviewTask), rows[0][1] - 2
        return body, body.candidates[choice].card if choice >= 0 else None

    def oldest_open(self, count: int) -> list[ReviewTask]:
        """Return the `count` oldest open tasks."""
        rows = self._database.read(
            "SELECT body FROM tasks WHERE answered = 0 ORDER BY opened, task LIMIT ?", count
        )
        return [decode(body, ReviewTask) for (body,) in rows]

    def newest_open(self, count: int) -> list[ReviewTask]:
        """Return the `count` newest open tasks, the newest first."""
        rows = self._database.read(
            "SELECT body FROM tasks WHERE answered = 0 ORDER BY opened DESC, task LIMIT ?", count
        )
        return [decode(body, ReviewTask) for (body,) in rows]

    def find_open(self, task: UUID) -> ReviewTask | None:
        """Return an open task; None for any other."""
        rows = self._database.read(
            "SELECT body FROM tasks WHERE task = ? AND answered = 0", str(task)
        )
        return decode(rows[0][0], ReviewTask) if rows else None

    def count_open(self) -> int:
        """Return the number of open tasks."""
        return int(self._database.read("SELECT count(*) FROM tasks WHERE answered = 0")[0][0])

    def count_open_with(self, reason: Reason) -> int:
        """Return the number of open tasks with a reason, without decoding them."""
        rows = self._database.read(
            "SELECT count(*) FROM tasks WHERE answered = 0 AND instr(body, ?) > 0",
            f'"{reason}"'.encode(),
        )
        return int(rows[0][0])

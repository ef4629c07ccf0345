"""Review tasks in the station's database."""

from uuid import UUID

from cardmint_contracts.tasks import ReviewTask
from cardmint_contracts.wire import decode, encode
from cardmint_edge.adapters.database import Database


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

    def answer(self, task: UUID, choice: int | None) -> None:
        """Mark a task answered with a candidate, by its place, or with none; it is shown no more."""
        with self._database.write() as tx:
            tx.execute("UPDATE tasks SET answered = ? WHERE task = ?", (1 if choice is None else 2 + choice, str(task)))

    def answered(self, task: UUID) -> tuple[ReviewTask, int | None] | None:
        """Return a task that was answered here, and the candidate's place; None when it was not, or is forgotten."""
        rows = self._database.read("SELECT body, answered FROM tasks WHERE task = ? AND answered > 0", str(task))
        if not rows:
            return None
        return decode(rows[0][0], ReviewTask), rows[0][1] - 2 if rows[0][1] > 1 else None

    def open(self, count: int) -> list[ReviewTask]:
        """Return the open tasks that wait longest."""
        rows = self._database.read("SELECT body FROM tasks WHERE answered = 0 ORDER BY opened, task LIMIT ?", count)
        return [decode(body, ReviewTask) for (body,) in rows]

    def find(self, task: UUID) -> ReviewTask | None:
        """Return a task that is open."""
        rows = self._database.read("SELECT body FROM tasks WHERE task = ? AND answered = 0", str(task))
        return decode(rows[0][0], ReviewTask) if rows else None

    def count(self) -> int:
        """Return how many tasks are open."""
        return int(self._database.read("SELECT count(*) FROM tasks WHERE answered = 0")[0][0])

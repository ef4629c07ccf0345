"""A clock for tests."""

from collections.abc import Callable


class ManualClock:
    """A clock that `sleep` moves forward, in seconds. What is due by then happens meanwhile."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept = 0.0
        self._due: list[tuple[float, Callable[[], object]]] = []

    def at(self, seconds: float, action: Callable[[], object]) -> None:
        """Call `action` when so many seconds from now have passed."""
        self._due.append((self.now + seconds, action))
        self._due.sort(key=lambda due: due[0])

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        until = self.now + seconds
        while self._due and self._due[0][0] <= until:
            self.now, action = self._due.pop(0)
            action()
        self.now = until
        self.slept += seconds

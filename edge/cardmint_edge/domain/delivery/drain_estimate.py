"""How long a queue will take to empty, from how it went of late."""

from collections import deque

LOOKED_BACK_S = 60.0
LEAST_S = 2.0


class DrainEstimator:
    """Is told how many events wait, now and then; times are seconds of any one clock."""

    def __init__(self) -> None:
        self._waited: deque[tuple[float, int]] = deque()

    def look(self, now: float, waiting: int) -> float | None:
        """Return the seconds until nothing waits.

        None when the queue does not shrink, or nobody knows yet.
        """
        self._waited.append((now, waiting))
        while now - self._waited[0][0] > LOOKED_BACK_S:
            self._waited.popleft()
        if waiting == 0:
            return 0.0
        since, before = self._waited[0]
        if now - since < LEAST_S or before <= waiting:
            return None
        return waiting * (now - since) / (before - waiting)

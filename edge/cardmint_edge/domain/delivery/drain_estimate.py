"""An estimate of the time until a queue is empty, from its length over the last minute."""

from collections import deque

OBSERVED_S = 60.0
MIN_OBSERVED_S = 2.0


class DrainEstimator:
    """Estimates from queue lengths that it is given now and then. All times use the same clock."""

    def __init__(self) -> None:
        self._lengths: deque[tuple[float, int]] = deque()

    def estimate(self, now: float, queued: int) -> float | None:
        """Take the queue's length at `now`, and return the seconds until it is empty.

        None: the queue does not shrink, or it was observed for less than `MIN_OBSERVED_S`.
        """
        self._lengths.append((now, queued))
        while now - self._lengths[0][0] > OBSERVED_S:
            self._lengths.popleft()
        if queued == 0:
            return 0.0
        since, before = self._lengths[0]
        if now - since < MIN_OBSERVED_S or before <= queued:
            return None
        return queued * (now - since) / (before - queued)

"""The permits for provider calls that one worker holds, leased in blocks."""

from collections import deque
from dataclasses import dataclass
from datetime import date

MAX_BLOCK = 32
"""Most permits in a block. A worker that is killed takes so many out of the day's budget."""


@dataclass(slots=True)
class _PermitBlock:
    left: int
    until: float
    day: date
    refill_at: int


class LeasedPermits:
    """The permits that one worker holds at one provider.

    Times are seconds of any clock that does not go back.

    A block doubles when the last one was used up in time, and starts at one permit again after
    permits lapsed. Lapsed permits return to their day's budget with the next block, not to the
    rate.
    """

    def __init__(self) -> None:
        self.want = 1
        self._blocks: deque[_PermitBlock] = deque()
        self._unused: tuple[date, int] = (date.min, 0)

    def add(self, count: int, *, until: float, day: date, returned: int) -> None:
        """Add a block of `count` permits of a UTC day, to be used before `until`.

        A count of 0 means that the block is used up already. `returned` lapsed permits are back in
        the budget.
        """
        self._unused = (self._unused[0], max(0, self._unused[1] - returned))
        if count:
            self._blocks.append(_PermitBlock(count, until, day, count // 2))
        else:
            self._used_up()

    def take(self, now: float, day: date) -> bool:
        """Use one permit; False when there is none."""
        self._lapse(now, day)
        if not self._blocks:
            return False
        block = self._blocks[0]
        block.left -= 1
        if not block.left:
            self._blocks.popleft()
            self._used_up()
        return True

    def low(self, now: float, day: date) -> bool:
        """Whether the last block is half used, so that the next one should be fetched."""
        self._lapse(now, day)
        return (
            self.want > 1
            and len(self._blocks) == 1
            and self._blocks[0].left <= self._blocks[0].refill_at
        )

    def drop(self) -> None:
        """Let all permits lapse: the provider asked for a pause."""
        while self._blocks:
            self._give_up(self._blocks.popleft())

    def unused(self, day: date) -> int:
        """Return how many of a day's permits lapsed and are not back in its budget."""
        return self._unused[1] if self._unused[0] == day else 0

    def _lapse(self, now: float, day: date) -> None:
        while self._blocks and (now >= self._blocks[0].until or self._blocks[0].day != day):
            self._give_up(self._blocks.popleft())
            self.want = 1

    def _give_up(self, block: _PermitBlock) -> None:
        self._unused = (block.day, block.left + self.unused(block.day))

    def _used_up(self) -> None:
        self.want = min(2 * self.want, MAX_BLOCK)

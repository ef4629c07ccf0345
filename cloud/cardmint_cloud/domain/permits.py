"""Turns at a provider that a worker holds.

Leased in blocks, used one by one, worth nothing after a while.
"""

from collections import deque
from dataclasses import dataclass
from datetime import date

MAX_BLOCK = 32
"""How many turns a block has at most.

A worker that is killed takes so many of the day's budget with it.
"""


@dataclass(slots=True)
class _PermitBlock:
    left: int
    until: float
    day: date
    refill_at: int


class LeasedPermits:
    """The turns that one worker holds at one provider.

    Times are seconds of any clock that does not go back.

    A block is as large as use shows that it may be: it doubles when one was used up in time, and
    begins at one again when turns lapsed. Turns that lapsed are given back to their day's budget
    with the next block, not to the rate.
    """

    def __init__(self) -> None:
        self.want = 1
        self._blocks: deque[_PermitBlock] = deque()
        self._unused: tuple[date, int] = (date.min, 0)

    def add(self, count: int, *, until: float, day: date, returned: int) -> None:
        """Take a block in: `count` more turns of a UTC day, to be used before `until`.

        None when it is used up already.

        `returned` of the unused turns are back in the budget since then.
        """
        self._unused = (self._unused[0], max(0, self._unused[1] - returned))
        if count:
            self._blocks.append(_PermitBlock(count, until, day, count // 2))
        else:
            self._used_up()

    def take(self, now: float, day: date) -> bool:
        """Use a turn; False when there is none."""
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
        """Whether the last block is half used, so that the next one may be fetched meanwhile."""
        self._lapse(now, day)
        return (
            self.want > 1
            and len(self._blocks) == 1
            and self._blocks[0].left <= self._blocks[0].refill_at
        )

    def drop(self) -> None:
        """Use none of the turns: the provider asked for a pause."""
        while self._blocks:
            self._give_up(self._blocks.popleft())

    def unused(self, day: date) -> int:
        """Return how many turns of a day lapsed without a call and are not back in its budget."""
        return self._unused[1] if self._unused[0] == day else 0

    def _lapse(self, now: float, day: date) -> None:
        while self._blocks and (now >= self._blocks[0].until or self._blocks[0].day != day):
            self._give_up(self._blocks.popleft())
            self.want = 1

    def _give_up(self, block: _PermitBlock) -> None:
        self._unused = (block.day, block.left + self.unused(block.day))

    def _used_up(self) -> None:
        self.want = min(2 * self.want, MAX_BLOCK)

"""The provider answers that a worker read last, bounded in bytes."""

from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class CachedAnswer:
    """An answer and when the provider last confirmed it.

    `value` is its content; None when the provider has no such card (`found` is False).
    """

    found: bool
    value: object
    at: datetime


class AnswerCache:
    """Answers by key, at most `most` bytes of them; the least recently used goes first."""

    def __init__(self, most: int) -> None:
        self.size = 0
        self._most = most
        self._said: OrderedDict[str, tuple[CachedAnswer, int]] = OrderedDict()

    def get(self, key: str, since: datetime) -> CachedAnswer | None:
        """Return an answer confirmed after `since`; None when there is none."""
        held = self._said.get(key)
        if held is None or held[0].at <= since:
            return None
        self._said.move_to_end(key)
        return held[0]

    def put(self, key: str, said: CachedAnswer, size: int) -> None:
        """Store an answer whose body has `size` bytes, in place of an earlier one.

        An answer larger than the whole cache is not stored.
        """
        _, before = self._said.pop(key, (None, 0))
        self.size -= before
        if size > self._most:
            return
        self._said[key] = (said, size)
        self.size += size
        while self.size > self._most:
            _, (_, gone) = self._said.popitem(last=False)
            self.size -= gone

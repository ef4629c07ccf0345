"""Wrong PINs, counted by client address, so that one guesser locks out nobody else."""

from collections import OrderedDict
from dataclasses import dataclass

FREE_TRIES = 5
FIRST_PAUSE_S = 60.0
LONGEST_PAUSE_S = 3600.0
ADDRESSES = 256
"""Addresses counted apart. The others share one count, so that the memory is bounded."""

_OTHERS = ""


@dataclass(slots=True)
class _Tries:
    wrong: int = 0
    last: float = 0.0

    @property
    def pause_s(self) -> float:
        """Seconds to wait after the last wrong PIN: a minute after five, then twice as long."""
        over = self.wrong - FREE_TRIES
        return min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(over, 9)) if over >= 0 else 0.0


class PinTries:
    """Decides whether an address may try a PIN. Times are seconds of one clock."""

    def __init__(self) -> None:
        self._tries: OrderedDict[str, _Tries] = OrderedDict()

    def __len__(self) -> int:
        """Return how many counts are kept."""
        return len(self._tries)

    def may_try(self, address: str, now: float) -> bool:
        """Return whether the address may try a PIN now."""
        tries = self._tries.get(self._key(address, now))
        return tries is None or now - tries.last >= tries.pause_s

    def wrong(self, address: str, now: float) -> None:
        """Record a wrong PIN."""
        key = self._key(address, now)
        tries = self._tries.setdefault(key, _Tries())
        tries.wrong += 1
        tries.last = now
        self._tries.move_to_end(key)

    def right(self, address: str) -> None:
        """Record the right PIN: what was counted of the address is forgotten."""
        self._tries.pop(address, None)

    def _key(self, address: str, now: float) -> str:
        """Return under which key the address is counted. Tries of an hour ago are forgotten."""
        while self._tries:
            oldest = next(iter(self._tries.values()))
            if now - oldest.last < LONGEST_PAUSE_S:
                break
            self._tries.popitem(last=False)
        return address if address in self._tries or len(self._tries) < ADDRESSES else _OTHERS

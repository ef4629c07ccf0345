"""How often a wrong password may be tried: slower and slower, and nobody is locked out.

Tries are counted by address, and by account for addresses from which that account has no session.
So a stranger slows down other strangers, and not the owner. Times are seconds of one clock.
"""

from collections import OrderedDict
from dataclasses import dataclass

FREE_TRIES = 5
FIRST_PAUSE_S = 10.0
LONGEST_PAUSE_S = 300.0
FORGOTTEN_S = 3600.0
COUNTS = 4096
"""Counts that are kept; the oldest goes for a new one, so that memory is bounded."""


@dataclass(slots=True)
class _Tries:
    wrong: int = 0
    last: float = 0.0

    @property
    def pause_s(self) -> float:
        over = self.wrong - FREE_TRIES
        return min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(over, 10)) if over >= 0 else 0.0


class SignInPace:
    """Decides whether a password may be tried now."""

    def __init__(self) -> None:
        self._tries: OrderedDict[tuple[str, str], _Tries] = OrderedDict()

    def __len__(self) -> int:
        """Return how many counts are kept."""
        return len(self._tries)

    def seconds_to_wait(self, account: str, address: str, now: float, *, known: bool) -> float:
        """Return the seconds until an address may try an account's password; 0 for now.

        `known` says that the account has a session from there.
        """
        waits = [0.0]
        for key in _keys(account, address, known=known):
            tries = self._tries.get(key)
            if tries is not None and now - tries.last < FORGOTTEN_S:
                waits.append(tries.last + tries.pause_s - now)
        return max(waits)

    def wrong(self, account: str, address: str, now: float, *, known: bool) -> None:
        """Record a wrong password."""
        for key in _keys(account, address, known=known):
            tries = self._tries.pop(key, None)
            if tries is None or now - tries.last >= FORGOTTEN_S:
                tries = _Tries()
            tries.wrong += 1
            tries.last = now
            self._tries[key] = tries
            if len(self._tries) > COUNTS:
                self._tries.popitem(last=False)

    def right(self, account: str, address: str) -> None:
        """Record the right password: what was counted of this account is forgotten.

        Tries of other accounts from the address stay: one's own password gives no more guesses.
        """
        self._tries.pop((account, ""), None)
        own = self._tries.pop((account, address), None)
        there = self._tries.get(("", address))
        if own is not None and there is not None:
            there.wrong -= own.wrong
            if there.wrong <= 0:
                del self._tries["", address]


def _keys(account: str, address: str, *, known: bool) -> tuple[tuple[str, str], ...]:
    """Return the keys of counts: of the address, of the account there, and of the account."""
    there = (("", address), (account, address))
    return there if known else (*there, (account, ""))

"""How often a wrong password may be tried: slower and slower, and nobody is locked out.

A browser that an account signed in by before is counted by itself. All others are strangers, and
counted by their network. Many wrong passwords of strangers for one account make each network's
pauses longer, and stop none: whoever comes from a network that has not tried may try at once. So
no number of strangers keeps the owner out, and a guesser needs many networks and years.
Source: OWASP, "Slow Down Online Guessing Attacks with Device Cookies". Times are seconds of one
clock.
"""

from collections import OrderedDict
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network

FREE_TRIES = 5
FIRST_PAUSE_S = 10.0
LONGEST_PAUSE_S = 300.0

ATTACKED = 30
"""Wrong passwords of strangers from which on an account is being attacked."""

FREE_TRIES_ATTACKED = 1
FIRST_PAUSE_ATTACKED_S = 60.0
LONGEST_PAUSE_ATTACKED_S = 3600.0

FORGOTTEN_S = 6 * 3600.0
COUNTS = 32_768
"""Counts that are kept; the oldest goes for a new one, so that memory is bounded."""

_DOUBLINGS = 10

_Key = tuple[str, str]


@dataclass(slots=True)
class _Tries:
    wrong: int = 0
    last: float = 0.0

    def pause_s(self, *, attacked: bool) -> float:
        over = self.wrong - (FREE_TRIES_ATTACKED if attacked else FREE_TRIES)
        if over < 0:
            return 0.0
        first = FIRST_PAUSE_ATTACKED_S if attacked else FIRST_PAUSE_S
        longest = LONGEST_PAUSE_ATTACKED_S if attacked else LONGEST_PAUSE_S
        return min(longest, first * 2.0 ** min(over, _DOUBLINGS))


class SignInPace:
    """Decides whether a password may be tried now."""

    def __init__(self) -> None:
        self._tries: OrderedDict[_Key, _Tries] = OrderedDict()

    def __len__(self) -> int:
        """Return how many counts are kept."""
        return len(self._tries)

    def seconds_to_wait(
        self, account: str, address: str, now: float, *, browser: str = ""
    ) -> float:
        """Return the seconds until somebody may try an account's password; 0 for now.

        `browser` names a browser that signed in to that account before; empty for a stranger.
        """
        attacked = not browser and self._wrong((account, ""), now) >= ATTACKED
        waits = [0.0]
        for key in _keys(account, address, browser):
            tries = self._tries.get(key)
            if tries is not None and now - tries.last < FORGOTTEN_S:
                pause = tries.pause_s(attacked=attacked and key[0] != "")
                waits.append(tries.last + pause - now)
        return max(waits)

    def wrong(self, account: str, address: str, now: float, *, browser: str = "") -> None:
        """Record a wrong password."""
        for key in _keys(account, address, browser):
            self._count(key, now)
        if not browser:
            self._count((account, ""), now)

    def right(self, account: str, address: str, *, browser: str = "") -> None:
        """Record the right password: what was counted of this account from there is forgotten.

        Tries of other accounts from there stay: one's own password gives no more guesses. So do
        those of other strangers.
        """
        own = self._tries.pop(_keys(account, address, browser)[-1], None)
        if own is None or browser:
            return
        for key in (("", network_of(address)), (account, "")):
            tries = self._tries.get(key)
            if tries is not None:
                tries.wrong -= own.wrong
                if tries.wrong <= 0:
                    del self._tries[key]

    def _wrong(self, key: _Key, now: float) -> int:
        tries = self._tries.get(key)
        return tries.wrong if tries is not None and now - tries.last < FORGOTTEN_S else 0

    def _count(self, key: _Key, now: float) -> None:
        tries = self._tries.pop(key, None)
        if tries is None or now - tries.last >= FORGOTTEN_S:
            tries = _Tries()
        tries.wrong += 1
        tries.last = now
        self._tries[key] = tries
        if len(self._tries) > COUNTS:
            self._tries.popitem(last=False)


def network_of(address: str) -> str:
    """Return what one subscriber has: an IPv4 address, the /64 of an IPv6 address, else itself."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address):
        mapped = parsed.ipv4_mapped
        return str(mapped or ip_network((int(parsed), 64), strict=False))
    return address


def _keys(account: str, address: str, browser: str) -> tuple[_Key, ...]:
    """Return the keys of the counts that make somebody wait; the last is of this account alone."""
    if browser:
        return ((account, f"browser {browser}"),)
    network = network_of(address)
    return (("", network), (account, network))

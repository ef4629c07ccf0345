"""How many requests a client may make: a bucket of tokens each, filled again at an even pace.

Times are seconds of one clock.
"""

import math
from collections import OrderedDict
from dataclasses import dataclass
from enum import StrEnum

BUCKETS = 4096
"""Clients that are remembered; the one that was silent longest goes for a new one."""


class Tier(StrEnum):
    """What kind of client it is; each kind has its pace."""

    STRANGER = "stranger"
    """Nobody has signed in, and there is no token."""
    PERSON = "person"
    READ = "read"
    WRITE = "write"
    METRICS = "metrics"
    STATION = "station"


PER_MINUTE: dict[Tier, int] = {
    Tier.STRANGER: 60,
    Tier.PERSON: 1200,
    Tier.READ: 600,
    Tier.WRITE: 600,
    Tier.METRICS: 60,
    Tier.STATION: 6000,
}
"""Requests a minute. A page of 50 cards asks for some 60 pictures; a station sends 240 cards a
minute in several pieces each, and catches up after a night offline."""


@dataclass(slots=True)
class _Bucket:
    left: float
    at: float


class Quotas:
    """Decides whether a client may make a request now."""

    def __init__(self) -> None:
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def __len__(self) -> int:
        """Return how many clients are remembered."""
        return len(self._buckets)

    def seconds_to_wait(self, client: str, per_minute: int, now: float) -> int:
        """Count a request; return 0 where it may be made, else whole seconds until the next may.

        A client that was silent may make the requests of a minute at once.
        """
        bucket = self._buckets.pop(client, None) or _Bucket(left=per_minute, at=now)
        pace = per_minute / 60
        bucket.left = min(float(per_minute), bucket.left + max(0.0, now - bucket.at) * pace)
        bucket.at = now
        self._buckets[client] = bucket
        if len(self._buckets) > BUCKETS:
            self._buckets.popitem(last=False)
        if bucket.left >= 1:
            bucket.left -= 1
            return 0
        return math.ceil((1 - bucket.left) / pace)

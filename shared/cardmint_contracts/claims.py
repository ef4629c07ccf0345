"""User properties of an event message: which sequences it claims to hold.

They name the events to a reader that cannot decode the payload.
"""

from collections.abc import Iterable
from typing import NamedTuple, Self
from uuid import UUID

from cardmint_contracts.envelope import MAX_EVENTS

STREAM, FIRST, LAST = "stream", "first", "last"


class Claim(NamedTuple):
    """What a sender says is inside a message: a stream, its first and its last sequence."""

    stream: UUID
    first: int
    last: int

    def properties(self) -> list[tuple[str, str]]:
        """Return the claim as MQTT user properties."""
        return [(STREAM, str(self.stream)), (FIRST, str(self.first)), (LAST, str(self.last))]

    @classmethod
    def read(cls, properties: Iterable[tuple[str, str]]) -> Self | None:
        """Return the claim that user properties make; None when they make none that is sound."""
        named = dict(properties)
        try:
            claim = cls(UUID(named[STREAM]), int(named[FIRST]), int(named[LAST]))
        except (KeyError, ValueError):
            return None
        sound = 1 <= claim.first <= claim.last < 2**63 and claim.last - claim.first < MAX_EVENTS
        return claim if sound else None

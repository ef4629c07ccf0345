"""User properties of an event message: which events it claims to hold, and which came before.

They are written by the sender and prove nothing. A claim names the events of a message that cannot
be decoded, and `before` is compared with what the log has.
"""

from collections.abc import Iterable
from typing import NamedTuple, Self
from uuid import UUID

from cardmint_contracts.chain import DIGEST_BYTES
from cardmint_contracts.envelope import MAX_EVENTS

STREAM, FIRST, LAST, BEFORE = "stream", "first", "last", "before"


class Claim(NamedTuple):
    """What a sender says is inside a message: a stream, its first and its last sequence.

    `before` is the chain's digest before the first; stations of version 0.1.0 send none.
    """

    stream: UUID
    first: int
    last: int
    before: bytes | None = None

    def properties(self) -> list[tuple[str, str]]:
        """Return the claim as MQTT user properties."""
        named = [(STREAM, str(self.stream)), (FIRST, str(self.first)), (LAST, str(self.last))]
        return named if self.before is None else [*named, (BEFORE, self.before.hex())]

    @classmethod
    def read(cls, properties: Iterable[tuple[str, str]]) -> Self | None:
        """Return the claim that user properties make; None when they make none that is sound."""
        named = dict(properties)
        try:
            before = bytes.fromhex(named[BEFORE]) if BEFORE in named else None
            claim = cls(UUID(named[STREAM]), int(named[FIRST]), int(named[LAST]), before)
        except (KeyError, ValueError):
            return None
        sound = (
            1 <= claim.first <= claim.last < 2**63
            and claim.last - claim.first < MAX_EVENTS
            and len(before or bytes(DIGEST_BYTES)) == DIGEST_BYTES
        )
        return claim if sound else None

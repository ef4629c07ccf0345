"""The chain of digests over a stream: what a receipt proves.

The digest of a sequence covers every event of the stream up to it. Two copies of an outbox that
went different ways have the same stream and the same sequences, and different digests.
"""

from collections.abc import Iterable
from hashlib import sha256
from typing import Protocol
from uuid import UUID

DIGEST_BYTES = 32


class Chained(Protocol):
    """The parts of an event that its digest covers, as they stand in its envelope."""

    @property
    def type(self) -> str:
        """Type of the event."""
        ...

    @property
    def time(self) -> str:
        """Time by the station's clock, as text."""
        ...

    @property
    def bootid(self) -> UUID:
        """Boot of the station."""
        ...

    @property
    def monotonicms(self) -> str:
        """Milliseconds since that boot, in 19 digits."""
        ...


def start_of(stream: UUID) -> bytes:
    """Return the digest before the first event of a stream."""
    return sha256(b"cardmint stream " + stream.bytes).digest()


def extend(digest: bytes, event: Chained, data: bytes | memoryview) -> bytes:
    """Return the digest after `event`, whose encoded data is `data`.

    SHA-256 over the digest before it, the 16 bytes of the boot's UUID, the texts of type, time and
    milliseconds, each ended by a newline, and the data.
    """
    text = f"{event.type}\n{event.time}\n{event.monotonicms}\n"
    return sha256(b"".join((digest, event.bootid.bytes, text.encode(), data))).digest()


def extend_all(digest: bytes, events: Iterable[tuple[Chained, bytes | memoryview]]) -> bytes:
    """Return the digest after all of `events`, each with its encoded data."""
    for event, data in events:
        digest = extend(digest, event, data)
    return digest

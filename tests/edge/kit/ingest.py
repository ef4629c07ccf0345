"""Ingest in memory: what the cloud promises to stations, as short as it can be said.

`tests/cloud/test_reference_ingest.py` holds the real ingest to it.
"""

from collections.abc import Sequence
from uuid import UUID, uuid4

from msgspec.structs import replace

from cardmint_contracts.chain import extend_all, start_of
from cardmint_contracts.envelope import Envelope, first_identity
from cardmint_contracts.events import CardScanned
from cardmint_contracts.receipts import (
    ANOTHERS_STREAM,
    BEYOND_EVERY_STREAM,
    OTHER_CONTENT,
    Receipt,
)
from cardmint_contracts.upcasters import decode_data

Content = tuple[str, bytes]


class ReferenceIngest:
    """The log of one tenant, and the receipts that follow from it."""

    def __init__(self) -> None:
        self.database = uuid4()
        self.replaces: tuple[UUID, ...] = ()
        self.owners: dict[UUID, str] = {}
        self.watermarks: dict[UUID, int] = {}
        self.digests: dict[UUID, bytes] = {}
        self.events: dict[tuple[UUID, int], Content] = {}
        self.moved: set[tuple[UUID, int, Content]] = set()

    def backup(self) -> "ReferenceIngest":
        """Return a copy, as a restored backup is one."""
        copy = ReferenceIngest()
        for name, value in vars(self).items():
            setattr(copy, name, value.copy() if isinstance(value, dict | set) else value)
        return copy

    @property
    def scans(self) -> list[UUID]:
        """The scans of the log, in order."""
        found = [decode_data(*content) for content in self.events.values()]
        return [event.scan for event in found if isinstance(event, CardScanned)]

    def take(self, source: str, envelopes: Sequence[Envelope], before: bytes | None) -> Receipt:
        """Commit a batch, and return its receipt."""
        stream, first = envelopes[0].stream, envelopes[0].number
        if self.owners.setdefault(stream, source) != source:
            return self._named(
                Receipt(stream=stream, sequence=BEYOND_EVERY_STREAM, reason=ANOTHERS_STREAM)
            )
        watermark = self.watermarks.get(stream, 0)
        told = self.receipt(stream)
        if first > watermark + 1:
            return replace(told, refused=first)
        old = envelopes[: watermark + 1 - first]
        if envelopes[-1].number >= watermark:
            digest = extend_all(before or b"", ((one, one.data) for one in old))
            if digest != self.digests.get(stream, start_of(stream)):
                return replace(told, refused=first, reason=OTHER_CONTENT)
            new = envelopes[len(old) :]
            for one in new:
                self._append(one)
            self.watermarks[stream] = envelopes[-1].number
            self.digests[stream] = extend_all(digest, ((one, one.data) for one in new))
        return self.receipt(stream)

    def receipt(self, stream: UUID) -> Receipt:
        """Return what the log has of a stream, as after a birth."""
        return self._named(
            Receipt(
                stream=stream,
                sequence=self.watermarks.get(stream, 0),
                digest=self.digests.get(stream, start_of(stream)).hex(),
            )
        )

    def _append(self, envelope: Envelope) -> None:
        content = envelope.type, bytes(envelope.data)
        first = first_identity(envelope)
        if first is None:
            if (envelope.stream, envelope.number, content) in self.moved:
                return
        else:
            if self.events.get(first) == content or (*first, content) in self.moved:
                return
            self.moved.add((*first, content))
        self.events[envelope.stream, envelope.number] = content

    def _named(self, receipt: Receipt) -> Receipt:
        return replace(receipt, database=self.database, replaces=self.replaces)

"""How the station is: for the page, for the health message, for `cardmint-edge outbox`."""

from datetime import datetime
from typing import Protocol
from uuid import UUID

from msgspec import Struct

from cardmint_edge.adapters.sqlite.images import ImageCounts
from cardmint_edge.adapters.sqlite.outbox import OutboxCounters
from cardmint_edge.domain.delivery.window import StreamPosition


class OutboxStatus(Struct, frozen=True, kw_only=True):
    """Where the outbox stands.

    `acknowledged`, `last` and `queued` are of `stream`; the rest is of the database.
    """

    stream: UUID
    acknowledged: int
    last: int
    queued: int
    oldest: datetime | None
    scanned: int
    parked: int
    epoch: int
    images_waiting: int
    images_parked: int
    images_lost: int


class _Outbox(Protocol):
    @property
    def mark(self) -> StreamPosition: ...

    @property
    def counters(self) -> OutboxCounters: ...

    def oldest(self) -> datetime | None: ...


class _Images(Protocol):
    def counts(self) -> ImageCounts: ...


def outbox_status(outbox: _Outbox, images: _Images) -> OutboxStatus:
    """Read how the outbox is."""
    mark, counters, counts = outbox.mark, outbox.counters, images.counts()
    return OutboxStatus(
        stream=mark.stream,
        acknowledged=mark.acknowledged,
        last=mark.last,
        queued=mark.last - mark.acknowledged,
        oldest=outbox.oldest(),
        scanned=counters.scanned,
        parked=counters.parked,
        epoch=counters.epoch,
        images_waiting=counts.waiting,
        images_parked=counts.parked,
        images_lost=counts.lost,
    )

"""The outbox's figures: for the page, the health message and `cardmint-edge outbox`."""

from datetime import datetime
from typing import Protocol
from uuid import UUID

from msgspec import Struct

from cardmint_edge.adapters.sqlite.images import ImageCounts
from cardmint_edge.adapters.sqlite.outbox import OutboxCounters
from cardmint_edge.domain.delivery.window import StreamState


class OutboxStatus(Struct, frozen=True, kw_only=True):
    """The outbox's figures.

    `acknowledged`, `last` and `queued` are of `stream`; the others are of the whole database.
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
    def stream_state(self) -> StreamState: ...

    @property
    def counters(self) -> OutboxCounters: ...

    def oldest_unsent(self) -> datetime | None: ...


class _Images(Protocol):
    def counts(self) -> ImageCounts: ...


def outbox_status(outbox: _Outbox, images: _Images) -> OutboxStatus:
    """Read the outbox's figures."""
    state, counters, counts = outbox.stream_state, outbox.counters, images.counts()
    return OutboxStatus(
        stream=state.stream,
        acknowledged=state.acknowledged,
        last=state.last,
        queued=state.last - state.acknowledged,
        oldest=outbox.oldest_unsent(),
        scanned=counters.scanned,
        parked=counters.parked,
        epoch=counters.epoch,
        images_waiting=counts.waiting,
        images_parked=counts.parked,
        images_lost=counts.lost,
    )

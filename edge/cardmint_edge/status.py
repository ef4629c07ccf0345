"""The station's status: for the page, for the cloud and for `cardmint-edge outbox`."""

import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol
from uuid import UUID

from msgspec import Struct

from cardmint_contracts.stations import StationHealth, StationState
from cardmint_contracts.wire import clock_text
from cardmint_edge import __version__
from cardmint_edge.adapters.clock import StationClock
from cardmint_edge.adapters.sqlite.images import ImageCounts
from cardmint_edge.adapters.sqlite.outbox import OutboxCounters
from cardmint_edge.domain.delivery.window import StreamState
from cardmint_edge.settings import EdgeSettings


class OutboxStatus(Struct, frozen=True, kw_only=True):
    """The outbox's figures.

    `acknowledged`, `last` and `queued` are of `stream`; the others are of the whole outbox.
    `database` is the cloud's that the station belongs to.
    """

    stream: UUID
    database: UUID | None
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


class OutboxReader(Protocol):
    """The outbox, as its figures need it."""

    @property
    def stream_state(self) -> StreamState:
        """How far the stream got."""
        ...

    @property
    def counters(self) -> OutboxCounters:
        """The counts since the outbox was made."""
        ...

    def oldest_unsent(self) -> datetime | None:
        """Return the time of the oldest event without a receipt; None when there is none."""
        ...


class ImageCounter(Protocol):
    """The record of images, as the figures need it."""

    def counts(self) -> ImageCounts:
        """Count the images that are not uploaded."""
        ...


def outbox_status(outbox: OutboxReader, images: ImageCounter) -> OutboxStatus:
    """Read the outbox's figures."""
    state, counters, counts = outbox.stream_state, outbox.counters, images.counts()
    return OutboxStatus(
        stream=state.stream,
        database=state.database,
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


class StationStatus:
    """Reads the status of a running station."""

    def __init__(
        self,
        *,
        settings: EdgeSettings,
        outbox: OutboxReader,
        images: ImageCounter,
        clock: StationClock,
        epoch: int,
        pack_version: Callable[[], str],
        catalogue_at: Callable[[], datetime | None],
    ) -> None:
        self._settings = settings
        self._outbox = outbox
        self._images = images
        self._clock = clock
        self._epoch = epoch
        self._pack_version = pack_version
        self._catalogue_at = catalogue_at

    def outbox(self) -> OutboxStatus:
        """Return the outbox's figures."""
        return outbox_status(self._outbox, self._images)

    def disk_free_bytes(self) -> int:
        """Return the free bytes on the disk of the data folder."""
        return shutil.disk_usage(self._settings.station.data).free

    def state(self, online: bool) -> StationState:
        """Return the station's birth (`online`) or death."""
        state = self._outbox.stream_state
        return StationState(
            online=online,
            epoch=self._epoch,
            bootid=self._clock.bootid,
            stream=state.stream,
            time=clock_text(datetime.now(UTC)),
            version=__version__,
            database=state.database,
        )

    def health(self) -> StationHealth:
        """Return the station's health."""
        status, stamp = self.outbox(), self._clock()
        catalogue_at = self._catalogue_at()
        age = (stamp.time - status.oldest).total_seconds() if status.oldest else 0.0
        return StationHealth(
            time=clock_text(stamp.time),
            queued=status.queued,
            oldest_unsent_s=max(0.0, age),
            disk_free_bytes=self.disk_free_bytes(),
            clock_synced=stamp.clock_synced,
            pack=self._pack_version(),
            camera=str(self._settings.camera.__struct_config__.tag),
            scanned=status.scanned,
            catalogue_at="" if catalogue_at is None else clock_text(catalogue_at),
        )

"""State and health of a station, as it reports them."""

from typing import Annotated
from uuid import UUID

from msgspec import Meta

from cardmint_contracts.wire import ClockText, Count, Line, Upward


class StationState(Upward, frozen=True):
    """Birth (`online`) of a station, or its death, which the broker publishes as its will.

    `epoch` counts the agent's starts since the outbox was made: of one stream, a will with a lower
    epoch than the last birth came late and is ignored. `database` is the cloud's that the station
    belongs to, None before its first receipt: another cloud on the broker leaves its tasks alone.
    """

    online: bool
    epoch: Annotated[int, Meta(ge=1, le=2**63 - 1)]
    bootid: UUID
    stream: UUID
    time: ClockText
    version: Line
    database: UUID | None = None


class StationHealth(Upward, frozen=True):
    """Health of a station, sent every 30 seconds.

    `catalogue_at` is when the source of its pack's catalogue was last asked; empty where unknown.
    """

    time: ClockText
    queued: Count
    oldest_unsent_s: Annotated[float, Meta(ge=0)]
    disk_free_bytes: Count
    clock_synced: bool
    pack: Line = ""
    camera: Line = ""
    scanned: Count = 0
    catalogue_at: Annotated[str, Meta(max_length=40)] = ""

"""A recorded scan, as the station's local history keeps it."""

from dataclasses import dataclass
from datetime import datetime

from cardmint_contracts.events import CardScanned


@dataclass(frozen=True, kw_only=True, slots=True)
class ScanRecord:
    """One scan of the local history.

    `position` counts the station's scans. `sequence` is the event's when it was appended.
    """

    position: int
    sequence: int
    time: datetime
    scan: CardScanned
    fingerprint: bytes = b""
    withdrawn: bool = False


@dataclass(frozen=True, slots=True)
class WaitingImage:
    """An image to upload, and the item whose event names it; "" where that is not known."""

    sha256: str
    item: str

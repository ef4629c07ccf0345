"""The station's clocks: wall time, time since boot, and whether the network set the wall time."""

import ctypes
import time
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

from cardmint_edge.domain.delivery.batches import Timestamp

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_TIME_ERROR = 5
_TIMEX_BYTES = 256
"""Room for `struct timex`, 208 bytes on 64-bit Linux. All zero, it changes no setting."""


class StationClock:
    """Reads all clocks at once.

    Where the kernel has no boot identifier, each start of the agent counts as a boot.
    """

    def __init__(self, boot_id: Path = BOOT_ID) -> None:
        self.bootid = UUID(boot_id.read_text().strip()) if boot_id.exists() else uuid4()
        self._adjtimex = getattr(ctypes.CDLL(None), "adjtimex", None)

    def __call__(self) -> Timestamp:
        """Return the time by every clock."""
        return Timestamp(
            time=datetime.now(UTC),
            bootid=self.bootid,
            monotonic_ms=time.monotonic_ns() // 1_000_000,
            clock_synced=self._synced(),
        )

    def _synced(self) -> bool:
        if self._adjtimex is None:
            return False
        verdict: int = self._adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
        return 0 <= verdict < _TIME_ERROR

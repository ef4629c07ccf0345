"""A box: a station's process and its disk, which can be copied, saved and restored."""

import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import UUID

from cardmint_cloud.local.processes import ChildProcess
from cardmint_contracts.events import CardScanned
from cardmint_contracts.upcasters import decode_data
from cardmint_contracts.wire import decode, encode
from cardmint_edge.adapters.sqlite.outbox import OUTBOX_FILE
from cardmint_lab.copies.station import StationFigures, StationOrders

HISTORY = 60
"""Scans that a station here remembers: few, so that a restored database misses some for good."""


class Box:
    """One box. Its journal is outside its disk, and so survives it.

    `lost_unsent` and `lost_receipted` are the cards that only a disk of this box knew which is
    gone, without and with a receipt of theirs.
    """

    def __init__(
        self, folder: Path, name: str, *, tenant: str, port: int, password: str, pace: float
    ) -> None:
        self.folder = folder
        self.name = name
        self.disk = folder / "disk"
        self.disk.mkdir(parents=True)
        self.clock_offset_s = 0.0
        self.lost_unsent: set[UUID] = set()
        self.lost_receipted: set[UUID] = set()
        self._tenant, self._port, self._password, self._pace = tenant, port, password, pace
        self._saved: set[UUID] | None = None
        self._child: ChildProcess | None = None

    def start(self) -> None:
        """Start the station."""
        orders = StationOrders(
            tenant=self._tenant,
            name=self.name,
            disk=str(self.disk),
            journal=str(self._journal),
            status=str(self._status),
            port=self._port,
            password=self._password,
            per_second=self._pace,
            history=HISTORY,
            clock_offset_s=self.clock_offset_s,
        )
        file = self.folder / "orders.json"
        file.write_bytes(encode(orders))
        self._status.unlink(missing_ok=True)
        self._child = ChildProcess(
            [sys.executable, "-m", "cardmint_lab.copies.station", str(file)],
            self.folder / "station.log",
            stdin=subprocess.PIPE,
        )
        self._child.wait_until(self._status.exists)

    def kill(self) -> None:
        """Cut the power."""
        if self._child is not None:
            self._child.kill()

    def check(self) -> None:
        """Check that the station has not ended by itself.

        Raises:
            StopService: it has; the message has its last output.
        """
        if self._child is not None:
            self._child.wait_until(lambda: True)

    def end_counting(self) -> None:
        """Count no more, and go on sending."""
        if self._child is not None and self._child.process.stdin is not None:
            self._child.process.stdin.close()

    @property
    def figures(self) -> StationFigures:
        """What the station says of itself."""
        return decode(self._status.read_bytes(), StationFigures)

    @property
    def is_done(self) -> bool:
        """Whether the station counts no more and has sent everything."""
        figures = self.figures
        return not figures.counts and figures.queued == 0

    def copy_disk(self, to: Path) -> None:
        """Copy the disk as it is; the station must not run."""
        shutil.rmtree(to, ignore_errors=True)
        shutil.copytree(self.disk, to)

    def save(self) -> None:
        """Save the disk in place of what was saved before; the station must not run."""
        self.copy_disk(self._backup)
        self._saved = self.beeped()

    @property
    def is_saved(self) -> bool:
        """Whether there is a saved disk."""
        return self._saved is not None

    def restore(self) -> None:
        """Put the saved disk in place of the one that there is; the station must not run."""
        unsent, since = self.unsent_on_disk(), self.beeped() - (self._saved or set())
        shutil.rmtree(self.disk)
        shutil.copytree(self._backup, self.disk)
        kept = self.cards_on_disk()
        self.lost_unsent |= unsent - kept
        self.lost_receipted |= since - unsent - kept

    def cards_on_disk(self) -> set[UUID]:
        """The cards in the local history or unsent; the station must not run."""
        return self.unsent_on_disk() | {
            UUID(scan) for (scan,) in self._rows("SELECT scan FROM scans")
        }

    def unsent_on_disk(self) -> set[UUID]:
        """The cards that are not receipted; the station must not run."""
        events = (decode_data(*row) for row in self._rows("SELECT type, data FROM events"))
        return {event.scan for event in events if isinstance(event, CardScanned)}

    def journal(self) -> tuple[set[UUID], set[UUID]]:
        """Return the cards that the box began to count, and those that it beeped for."""
        begun, beeped = set[UUID](), set[UUID]()
        if self._journal.exists():
            for line in self._journal.read_text().splitlines():
                word, _, scan = line.partition(" ")
                (begun if word == "will" else beeped).add(UUID(scan))
        return begun, beeped

    def beeped(self) -> set[UUID]:
        """Return the cards that the box beeped for."""
        return self.journal()[1]

    @property
    def _backup(self) -> Path:
        return self.folder / "saved"

    @property
    def _journal(self) -> Path:
        return self.folder / "journal"

    @property
    def _status(self) -> Path:
        return self.folder / "status.json"

    def _rows(self, statement: str) -> list[Any]:
        with closing(sqlite3.connect(self.disk / OUTBOX_FILE)) as connection:
            return connection.execute(statement).fetchall()

"""Giving up images when the disk runs short.

Whole ones, then thumbnails, each in the ledger first; never a fact.
"""

import os
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Protocol

import structlog

from cardmint_contracts.events import EventData, ImageEvicted
from cardmint_contracts.reasons import Reason
from cardmint_edge.adapters.sqlite.images import LocalCopy, Victim
from cardmint_edge.domain.delivery.batches import Timestamp
from cardmint_edge.errors import EdgeError, Stop

LOOK_S = 1.0
AT_ONCE = 20
"""How many images are given up in one transaction."""

BALLAST_BYTES = 4 << 20
"""What is held back for the ledger itself.

A disk that others filled to the last byte takes no line of it.
"""

log = structlog.get_logger(__name__)


class EvictableImages(Protocol):
    """Knows what the station has of each image."""

    def victims(self, count: int) -> list[Victim]:
        """Return what to give up first."""
        ...

    def give_up(self, sha256: str, left: LocalCopy) -> None:
        """Learn that only `left` remains of an image."""
        ...

    def kept(self) -> dict[str, LocalCopy]:
        """Return what remains of every image that is not whole."""
        ...


class ImageFiles(Protocol):
    """Has the images' bytes."""

    def shrink(self, digest: str) -> int:
        """Make a thumbnail, and return its bytes; 0 when that cannot be."""
        ...

    def remove(self, digest: str, *, thumbnail: bool) -> None:
        """Remove a file; raises Stop."""
        ...

    def tidy(self, kept: dict[str, LocalCopy]) -> int:
        """Remove what the ledger says is gone."""
        ...


class Evictor:
    """Keeps room on the disk, in `run`, until `stop`.

    `lack` says how many bytes are missing; `together` is one write.

    The ledger's line and its event are one transaction, and the file goes after it: a power cut in
    between leaves a file too many, which `run` removes when it begins.
    """

    def __init__(
        self,
        *,
        ledger: EvictableImages,
        files: ImageFiles,
        append: Callable[[EventData, Timestamp], int],
        together: Callable[[], AbstractContextManager[object]],
        stamp: Callable[[], Timestamp],
        lack: Callable[[], int],
        ballast: Path,
        ballast_bytes: int = BALLAST_BYTES,
    ) -> None:
        self._ledger = ledger
        self._files = files
        self._append = append
        self._together = together
        self._stamp = stamp
        self._lack = lack
        self._ballast = ballast
        self._ballast_bytes = ballast_bytes
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Make `run` return."""
        self._stopping.set()

    def run(self) -> None:
        """Tidy up, then keep room."""
        said = ""
        with suppress(EdgeError, OSError):
            self._files.tidy(self._ledger.kept())
        while not self._stopping.is_set():
            try:
                self.make_room()
                said = ""
            except EdgeError as error:
                if str(error) != said:
                    said = str(error)
                    log.error("no room can be made", reason=said)
            self._stopping.wait(LOOK_S)

    def make_room(self) -> int:
        """Give up images until nothing lacks, or none is left; return how many.

        Raises:
            Stop: the disk takes no line of the ledger, even without the ballast.
        """
        gone = 0
        while not self._stopping.is_set() and self._lack() > 0:
            victims = self._ledger.victims(AT_ONCE)
            if not victims:
                break
            try:
                self._give_up(victims)
            except Stop:
                if not self._ballast.exists():
                    raise
                self._ballast.unlink()
                self._give_up(victims)
            gone += len(victims)
        if not self._lack():
            self._hold_back()
        return gone

    def _give_up(self, victims: list[Victim]) -> None:
        left: dict[str, LocalCopy] = {}
        for victim in victims:
            small = victim.kept == "full" and self._files.shrink(victim.sha256) > 0
            left[victim.sha256] = "thumbnail" if small else "none"
        with self._together():
            for victim in victims:
                self._ledger.give_up(victim.sha256, left[victim.sha256])
                self._append(
                    ImageEvicted(
                        sha256=victim.sha256,
                        bytes=victim.bytes,
                        kind="thumbnail" if victim.kept == "thumbnail" else "full",
                        uploaded=victim.uploaded,
                        reason=Reason.DISK_SHORT,
                    ),
                    self._stamp(),
                )
        for victim in victims:
            self._files.remove(victim.sha256, thumbnail=victim.kept == "thumbnail")
            log.warning(
                "image given up",
                sha256=victim.sha256,
                was=victim.kept,
                left=left[victim.sha256],
                uploaded=victim.uploaded,
            )

    def _hold_back(self) -> None:
        if self._ballast.exists():
            return
        try:
            with self._ballast.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, self._ballast_bytes)
        except OSError:
            self._ballast.unlink(missing_ok=True)


def missing_bytes(folder: Path, reserve_bytes: int) -> int:
    """Return how many bytes the disk of `folder` has too few.

    A small disk keeps a tenth free, whatever is wanted.
    """
    stat = os.statvfs(folder)
    wanted = min(reserve_bytes, stat.f_blocks * stat.f_frsize // 10)
    return max(0, wanted - stat.f_bavail * stat.f_frsize)

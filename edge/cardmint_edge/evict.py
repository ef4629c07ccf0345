"""Eviction: images are deleted when the disk is nearly full.

Full images go first, then thumbnails. The database records each deletion before the file goes.
Events and scans are never deleted.
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

CHECK_EVERY_S = 1.0
AT_ONCE = 20
"""Images that are evicted in one transaction."""

BALLAST_BYTES = 4 << 20
"""Size of a file that is deleted so that a full disk takes the record of an eviction."""

log = structlog.get_logger(__name__)


class EvictableImages(Protocol):
    """The database's record of each image, as eviction needs it."""

    def victims(self, count: int) -> list[Victim]:
        """Return the `count` images to evict first."""
        ...

    def record_eviction(self, sha256: str, left: LocalCopy) -> None:
        """Record what is left of an image."""
        ...

    def evicted(self) -> dict[str, LocalCopy]:
        """Return what is left of every image that is no longer full."""
        ...


class ImageFiles(Protocol):
    """The images' files, as eviction needs them."""

    def make_thumbnail(self, digest: str) -> int:
        """Write an image's thumbnail, and return its size in bytes; 0 if that is impossible."""
        ...

    def remove(self, digest: str, *, thumbnail: bool) -> None:
        """Remove an image's file, or its thumbnail. Raises Stop."""
        ...

    def remove_evicted(self, evicted: dict[str, LocalCopy]) -> int:
        """Remove the files of evicted images that are still there, and return their number."""
        ...


class Evictor:
    """Keeps room on the disk, in `run`, until `stop`.

    The record of an eviction and its event are one transaction, and the file is removed after it. A
    power cut in between leaves a file too many, which the next `run` removes.
    """

    def __init__(
        self,
        *,
        images: EvictableImages,
        files: ImageFiles,
        append: Callable[[EventData, Timestamp], int],
        transaction: Callable[[], AbstractContextManager[object]],
        read_clock: Callable[[], Timestamp],
        missing_bytes: Callable[[], int],
        ballast: Path,
        ballast_bytes: int = BALLAST_BYTES,
    ) -> None:
        """Take the parts.

        `append` appends an event to the outbox. `transaction` makes the writes within it one
        transaction. `missing_bytes` returns the bytes that the disk lacks. `ballast` is a file of
        `ballast_bytes` to delete when the disk is full.
        """
        self._images = images
        self._files = files
        self._append = append
        self._transaction = transaction
        self._read_clock = read_clock
        self._missing_bytes = missing_bytes
        self._ballast = ballast
        self._ballast_bytes = ballast_bytes
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Make `run` return."""
        self._stopping.set()

    def run(self) -> None:
        """Remove the files of earlier evictions, then keep room."""
        last_error = ""
        with suppress(EdgeError, OSError):
            self._files.remove_evicted(self._images.evicted())
        while not self._stopping.is_set():
            try:
                self.make_room()
                last_error = ""
            except EdgeError as error:
                if str(error) != last_error:
                    last_error = str(error)
                    log.error("no room can be made", reason=last_error)
            except Exception as error:
                if repr(error) != last_error:
                    last_error = repr(error)
                    log.exception("eviction failed; this is a bug")
            self._stopping.wait(CHECK_EVERY_S)

    def make_room(self) -> int:
        """Evict images until there is enough room or no image is left, and return their number.

        Raises:
            Stop: the disk takes no record of an eviction, even without the ballast.
        """
        count = 0
        while not self._stopping.is_set() and self._missing_bytes() > 0:
            victims = self._images.victims(AT_ONCE)
            if not victims:
                break
            try:
                self._evict(victims)
            except Stop:
                if not self._ballast.exists():
                    raise
                self._ballast.unlink()
                self._evict(victims)
            count += len(victims)
        if not self._missing_bytes():
            self._write_ballast()
        return count

    def _evict(self, victims: list[Victim]) -> None:
        left: dict[str, LocalCopy] = {}
        for victim in victims:
            thumbnail = (
                victim.local_copy == "full" and self._files.make_thumbnail(victim.sha256) > 0
            )
            left[victim.sha256] = "thumbnail" if thumbnail else "none"
        with self._transaction():
            for victim in victims:
                self._images.record_eviction(victim.sha256, left[victim.sha256])
                self._append(
                    ImageEvicted(
                        sha256=victim.sha256,
                        bytes=victim.bytes,
                        kind="thumbnail" if victim.local_copy == "thumbnail" else "full",
                        uploaded=victim.uploaded,
                        reason=Reason.DISK_SHORT,
                    ),
                    self._read_clock(),
                )
        for victim in victims:
            self._files.remove(victim.sha256, thumbnail=victim.local_copy == "thumbnail")
            log.warning(
                "image evicted",
                sha256=victim.sha256,
                was=victim.local_copy,
                left=left[victim.sha256],
                uploaded=victim.uploaded,
            )

    def _write_ballast(self) -> None:
        if self._ballast.exists():
            return
        try:
            with self._ballast.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, self._ballast_bytes)
        except OSError:
            self._ballast.unlink(missing_ok=True)


def missing_bytes(folder: Path, reserve_bytes: int) -> int:
    """Return the bytes that the disk of `folder` lacks to have `reserve_bytes` free.

    The reserve is at most a tenth of the disk.
    """
    stat = os.statvfs(folder)
    reserve = min(reserve_bytes, stat.f_blocks * stat.f_frsize // 10)
    return max(0, reserve - stat.f_bavail * stat.f_frsize)

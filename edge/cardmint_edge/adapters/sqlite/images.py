"""The station's record of each image: its upload, and what is left of it on the station."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from cardmint_edge.adapters.sqlite.database import Database
from cardmint_edge.domain.scan_record import WaitingImage

LocalCopy: TypeAlias = Literal["full", "thumbnail", "none"]
"""What is left of an image on the station."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageCounts:
    """Images not uploaded: waiting, parked (the cloud refused them), lost (evicted before it)."""

    waiting: int
    parked: int
    lost: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Victim:
    """An image that may be evicted."""

    sha256: str
    bytes: int
    local_copy: LocalCopy
    uploaded: bool


class ImageTable:
    """The images of all scans ever recorded. Every method may raise `Stop`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def next_to_upload(self) -> WaitingImage | None:
        """Return the next image to upload, one whose event has a receipt; None when none waits."""
        rows = self._database.read(
            "SELECT sha256, item FROM images"
            " WHERE uploaded = 0 AND parked IS NULL AND kept = 'full' "
            "AND sequence <= (SELECT acknowledged FROM station) ORDER BY sequence LIMIT 1"
        )
        return WaitingImage(*rows[0]) if rows else None

    def record_upload(self, sha256: str) -> None:
        """Record that the cloud has an image."""
        with self._database.write() as tx:
            tx.execute("UPDATE images SET uploaded = 1 WHERE sha256 = ?", (sha256,))

    def park(self, sha256: str, reason: str) -> None:
        """Set an image aside that cannot be uploaded."""
        with self._database.write() as tx:
            tx.execute("UPDATE images SET parked = ? WHERE sha256 = ?", (reason, sha256))

    def unpark(self) -> int:
        """Let every parked image be uploaded once more, and return their number."""
        if not self._database.read(
            "SELECT 1 FROM images WHERE parked IS NOT NULL AND kept = 'full' LIMIT 1"
        ):
            return 0
        with self._database.write() as tx:
            return tx.execute(
                "UPDATE images SET parked = NULL WHERE parked IS NOT NULL AND kept = 'full'"
            ).rowcount

    def victims(self, count: int) -> list[Victim]:
        """Return the `count` images to evict first.

        Images that the cloud has come first, then other images, then thumbnails; the oldest first.
        """
        rows = self._database.read(
            "SELECT sha256, bytes, kept, uploaded FROM images WHERE kept != 'none' "
            "ORDER BY kept = 'thumbnail', uploaded = 0, sequence LIMIT ?",
            count,
        )
        return [
            Victim(sha256=sha256, bytes=size, local_copy=kept, uploaded=bool(uploaded))
            for sha256, size, kept, uploaded in rows
        ]

    def record_eviction(self, sha256: str, left: LocalCopy) -> None:
        """Record what is left of an image."""
        with self._database.write() as tx:
            tx.execute("UPDATE images SET kept = ? WHERE sha256 = ?", (left, sha256))

    def evicted(self) -> dict[str, LocalCopy]:
        """Return what is left of every image that is no longer full."""
        return dict(self._database.read("SELECT sha256, kept FROM images WHERE kept != 'full'"))

    def counts(self) -> ImageCounts:
        """Count the images that are not uploaded."""
        ((waiting, parked, lost),) = self._database.read(
            "SELECT count(*) FILTER (WHERE parked IS NULL AND kept = 'full'), "
            "count(parked) FILTER (WHERE kept = 'full'), count(*) FILTER (WHERE kept != 'full') "
            "FROM images WHERE uploaded = 0"
        )
        return ImageCounts(waiting=waiting, parked=parked, lost=lost)

"""What the station has of each image.

Which the cloud has, which it still needs, and which were given up.
"""

from dataclasses import dataclass
from typing import Literal

from cardmint_edge.adapters.sqlite.database import Database

LocalCopy = Literal["full", "thumbnail", "none"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageCounts:
    """Images that wait for their upload, that the cloud did not want, and that were given up before it had them."""

    waiting: int
    parked: int
    lost: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Victim:
    """An image whose bytes may be given up."""

    sha256: str
    bytes: int
    kept: LocalCopy
    uploaded: bool


class ImageTable:
    """The images of every scan ever recorded. Every method may raise `Stop`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def next(self) -> str | None:
        """Return an image that is due.

        Not uploaded, and the facts that refer to it have a receipt.
        """
        rows = self._database.read(
            "SELECT sha256 FROM images WHERE uploaded = 0 AND parked IS NULL AND kept = 'full' "
            "AND sequence <= (SELECT acknowledged FROM station) ORDER BY sequence LIMIT 1"
        )
        return rows[0][0] if rows else None

    def uploaded(self, sha256: str) -> None:
        """Learn that the cloud has an image."""
        with self._database.write() as tx:
            tx.execute("UPDATE images SET uploaded = 1 WHERE sha256 = ?", (sha256,))

    def park(self, sha256: str, reason: str) -> None:
        """Set an image aside that cannot be uploaded."""
        with self._database.write() as tx:
            tx.execute("UPDATE images SET parked = ? WHERE sha256 = ?", (reason, sha256))

    def unpark(self) -> int:
        """Let every image that was set aside be due once more, and return how many there are."""
        if not self._database.read(
            "SELECT 1 FROM images WHERE parked IS NOT NULL AND kept = 'full' LIMIT 1"
        ):
            return 0
        with self._database.write() as tx:
            return tx.execute(
                "UPDATE images SET parked = NULL WHERE parked IS NOT NULL AND kept = 'full'"
            ).rowcount

    def victims(self, count: int) -> list[Victim]:
        """Return what to give up first.

        Images that the cloud has, other images, then thumbnails; the oldest first.
        """
        rows = self._database.read(
            "SELECT sha256, bytes, kept, uploaded FROM images WHERE kept != 'none' "
            "ORDER BY kept = 'thumbnail', uploaded = 0, sequence LIMIT ?",
            count,
        )
        return [
            Victim(sha256=sha256, bytes=size, kept=kept, uploaded=bool(uploaded))
            for sha256, size, kept, uploaded in rows
        ]

    def give_up(self, sha256: str, left: LocalCopy) -> None:
        """Learn that only `left` remains of an image."""
        with self._database.write() as tx:
            tx.execute("UPDATE images SET kept = ? WHERE sha256 = ?", (left, sha256))

    def kept(self) -> dict[str, LocalCopy]:
        """Return what remains of every image that is not whole."""
        return dict(self._database.read("SELECT sha256, kept FROM images WHERE kept != 'full'"))

    def counts(self) -> ImageCounts:
        """Count what is not with the cloud."""
        ((waiting, parked, lost),) = self._database.read(
            "SELECT count(*) FILTER (WHERE parked IS NULL AND kept = 'full'), "
            "count(parked) FILTER (WHERE kept = 'full'), count(*) FILTER (WHERE kept != 'full') "
            "FROM images WHERE uploaded = 0"
        )
        return ImageCounts(waiting=waiting, parked=parked, lost=lost)

"""Which images the cloud has, and which it still needs."""

from dataclasses import dataclass

from cardmint_edge.adapters.database import Database


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageCounts:
    """Images that wait for their upload, and images that the cloud did not want."""

    waiting: int
    parked: int


class ImageTable:
    """The images of every scan ever recorded. Every method may raise `Stop`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def next(self) -> str | None:
        """Return an image that is due: not uploaded, and the facts that refer to it have a receipt."""
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

    def counts(self) -> ImageCounts:
        """Count what is not with the cloud."""
        ((waiting, parked),) = self._database.read(
            "SELECT count(*) FILTER (WHERE parked IS NULL), count(parked) FROM images "
            "WHERE uploaded = 0 AND kept = 'full'"
        )
        return ImageCounts(waiting=waiting, parked=parked)

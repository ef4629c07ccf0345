"""Images by their content: files that are on the disk, whole, before anything refers to them."""

import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import cv2
import numpy as np

from cardmint_contracts.cards import Image
from cardmint_edge.adapters.durable_files import make_folder, write_beside, write_file
from cardmint_edge.domain.recognition import Frame
from cardmint_edge.errors import Park, Stop

JPEG_QUALITY = 85
LONG_EDGE = 1024
"""Pixels: enough to read a collector number (1.5 mm of an 88 mm card is 17 pixels)."""

THUMBNAIL_EDGE = 240
"""Pixels: enough to know a card on the page, in 5 to 10 kB."""

_NAME = re.compile(r"[0-9a-f]{64}\Z")


class ImageStore:
    """Files under `folder`/aa/, named for the SHA-256 of their bytes, in folders that each start makes sure of."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: set[Path] = set()
        self._other = ThreadPoolExecutor(max_workers=1, thread_name_prefix="images")

    def put(self, frame: Frame) -> Image:
        """Encode `frame` (height x width x 3, BGR) as JPEG, at most 1,024 pixels long, and store it durably.

        Raises:
            Park: OpenCV cannot encode the frame.
            Stop: the disk is full, read-only or failing; no file is left half written under its
                name.
        """
        small = _shrink(frame)
        try:
            _, jpeg = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        except cv2.error as error:
            message = f"a frame of shape {frame.shape} is no picture: {error}"
            raise Park(message) from error
        content = jpeg.tobytes()
        digest = sha256(content).hexdigest()
        path = self._path(digest)
        try:
            if path.parent not in self._made:
                make_folder(path.parent)
                self._made.add(path.parent)
            write_beside(path, content, self._other)
        except OSError as error:
            message = f"cannot store an image at {path}: {error.strerror}; free space, or make the disk writable"
            raise Stop(message) from error
        return Image(sha256=digest, bytes=len(content), width=small.shape[1], height=small.shape[0])

    def get(self, digest: str) -> bytes | None:
        """Return an image's bytes; None when the station has no such image."""
        return _read(self._path(digest)) if _NAME.match(digest) else None

    def thumbnail(self, digest: str) -> bytes | None:
        """Return an image's bytes, or those of the small one that is left of it.

        None when nothing is.
        """
        return (self.get(digest) or _read(self._small(digest))) if _NAME.match(digest) else None

    def shrink(self, digest: str) -> int:
        """Make the thumbnail of an image beside it, and return its bytes.

        0 when there is no room or no image.
        """
        content = self.get(digest)
        if content is None:
            return 0
        picture = cv2.imdecode(np.frombuffer(content, dtype=np.uint8), cv2.IMREAD_COLOR)
        if picture is None:
            return 0
        small = _shrink(np.asarray(picture, dtype=np.uint8), THUMBNAIL_EDGE)
        _, jpeg = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        try:
            write_file(self._small(digest), jpeg.tobytes())
        except OSError:
            return 0
        return len(jpeg)

    def remove(self, digest: str, *, thumbnail: bool) -> None:
        """Remove an image's file, or its thumbnail's.

        Raises:
            Stop: the disk does not let go of it.
        """
        path = self._small(digest) if thumbnail else self._path(digest)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            message = f"cannot remove {path}: {error.strerror}; make the disk writable"
            raise Stop(message) from error

    def tidy(self, kept: Mapping[str, str]) -> int:
        """Remove the files of which the ledger says that they were given up, and halves of files; return how many."""
        removed = 0
        for path in self._folder.glob("??/*"):
            digest, _, ending = path.name.partition(".")
            left = kept.get(digest, "full")
            wrong = {"jpg": left != "full", "small.jpg": left != "thumbnail"}.get(ending, True)
            if wrong:
                path.unlink(missing_ok=True)
                removed += 1
        return removed

    def _path(self, digest: str) -> Path:
        return self._folder / digest[:2] / f"{digest}.jpg"

    def _small(self, digest: str) -> Path:
        return self._folder / digest[:2] / f"{digest}.small.jpg"


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _shrink(frame: Frame, long_edge: int = LONG_EDGE) -> Frame:
    height, width = frame.shape[:2]
    scale = long_edge / max(height, width)
    if scale >= 1:
        return frame
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(frame, size, interpolation=cv2.INTER_AREA).astype("uint8", copy=False)

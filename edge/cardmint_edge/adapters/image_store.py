"""Images as files, named for their content. A file is durable before anything refers to it."""

import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import cv2
import numpy as np
import simplejpeg

from cardmint_contracts.cards import Image
from cardmint_edge.adapters.durable_files import make_folder, write_beside, write_file
from cardmint_edge.domain.recognition import Frame
from cardmint_edge.errors import Park, Stop

JPEG_QUALITY = 85
LONG_EDGE = 1024
"""Pixels. A collector number is readable: 1.5 mm of an 88 mm card are 17 pixels."""

THUMBNAIL_EDGE = 240
"""Pixels. A card is recognisable on the page, in 5 to 10 kB."""

_NAME = re.compile(r"[0-9a-f]{64}\Z")


class ImageStore:
    """Files under `folder`/aa/, named for the SHA-256 of their bytes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._durable_folders: set[Path] = set()
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="images")

    def put(self, frame: Frame) -> Image:
        """Store `frame` (height x width x 3, BGR) durably as a JPEG of at most 1,024 pixels a side.

        Raises:
            Park: OpenCV cannot encode the frame.
            Stop: the disk is full, read-only or failing. No incomplete file stays under the name.
        """
        small = _shrink(frame)
        try:
            _, jpeg = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        except cv2.error as error:
            message = f"a frame of shape {frame.shape} is not a picture: {error}"
            raise Park(message) from error
        content = jpeg.tobytes()
        digest = sha256(content).hexdigest()
        path = self._path(digest)
        try:
            if path.parent not in self._durable_folders:
                make_folder(path.parent)
                self._durable_folders.add(path.parent)
            write_beside(path, content, self._executor)
        except OSError as error:
            raise Stop(
                f"cannot store an image at {path}: {error.strerror};"
                " free space, or make the disk writable"
            ) from error
        return Image(sha256=digest, bytes=len(content), width=small.shape[1], height=small.shape[0])

    def get(self, digest: str) -> bytes | None:
        """Return an image's bytes; None if the station does not have it."""
        return _read(self._path(digest)) if _NAME.match(digest) else None

    def thumbnail(self, digest: str) -> bytes | None:
        """Return an image's bytes, or its thumbnail's; None if the station has neither."""
        if not _NAME.match(digest):
            return None
        return self.get(digest) or _read(self._thumbnail_path(digest))

    def make_thumbnail(self, digest: str) -> int:
        """Write the thumbnail of an image, and return its size in bytes.

        0: there is no room, or no image.
        """
        content = self.get(digest)
        if content is None:
            return 0
        try:
            height, width, *_ = simplejpeg.decode_jpeg_header(content)
        except ValueError:
            return 0
        if max(height, width) > LONG_EDGE:  # no image that this station made
            return 0
        picture = cv2.imdecode(np.frombuffer(content, dtype=np.uint8), cv2.IMREAD_COLOR)
        if picture is None:
            return 0
        small = _shrink(np.asarray(picture, dtype=np.uint8), THUMBNAIL_EDGE)
        _, jpeg = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        try:
            write_file(self._thumbnail_path(digest), jpeg.tobytes())
        except OSError:
            return 0
        return len(jpeg)

    def remove(self, digest: str, *, thumbnail: bool) -> None:
        """Remove an image's file, or its thumbnail's.

        Raises:
            Stop: the file cannot be removed.
        """
        path = self._thumbnail_path(digest) if thumbnail else self._path(digest)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            message = f"cannot remove {path}: {error.strerror}; make the disk writable"
            raise Stop(message) from error

    def remove_evicted(self, evicted: Mapping[str, str]) -> int:
        """Remove files of evicted images and incomplete files, and return their number.

        `evicted` has what is left, "thumbnail" or "none", of every image that is no longer full.
        """
        removed = 0
        for path in self._folder.glob("??/*"):
            digest, _, ending = path.name.partition(".")
            left = evicted.get(digest, "full")
            wrong = {"jpg": left != "full", "small.jpg": left != "thumbnail"}.get(ending, True)
            if wrong:
                path.unlink(missing_ok=True)
                removed += 1
        return removed

    def _path(self, digest: str) -> Path:
        return self._folder / digest[:2] / f"{digest}.jpg"

    def _thumbnail_path(self, digest: str) -> Path:
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

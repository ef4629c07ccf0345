"""Images by their content: files that are on the disk, whole, before anything refers to them."""

import re
from hashlib import sha256
from pathlib import Path

import cv2

from cardmint_contracts.cards import Image
from cardmint_edge.adapters.durable import make_folder, sync_folder, write_file
from cardmint_edge.domain.recognition import Frame
from cardmint_edge.errors import Park, Stop

JPEG_QUALITY = 85
LONG_EDGE = 1024
"""Pixels: enough to read a collector number (1.5 mm of an 88 mm card is 17 pixels)."""

_NAME = re.compile(r"[0-9a-f]{64}\Z")


class ImageStore:
    """Files under `folder`/aa/, named for the SHA-256 of their bytes, in folders that each start makes sure of."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: set[Path] = set()

    def put(self, frame: Frame) -> Image:
        """Encode `frame` (height x width x 3, BGR) as JPEG, at most 1,024 pixels long, and store it durably.

        Raises:
            Park: OpenCV cannot encode the frame.
            Stop: the disk is full, read-only or failing; no file is left half written under its name.
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
            if path.exists():
                sync_folder(path.parent)  # its name may be newer than the last sync: a write that failed half way
            else:
                write_file(path, content)
        except OSError as error:
            message = f"cannot store an image at {path}: {error.strerror}; free space, or make the disk writable"
            raise Stop(message) from error
        return Image(sha256=digest, bytes=len(content), width=small.shape[1], height=small.shape[0])

    def get(self, digest: str) -> bytes | None:
        """Return an image's bytes; None when the station has no such image."""
        if not _NAME.match(digest):
            return None
        try:
            return self._path(digest).read_bytes()
        except FileNotFoundError:
            return None

    def _path(self, digest: str) -> Path:
        return self._folder / digest[:2] / f"{digest}.jpg"


def _shrink(frame: Frame) -> Frame:
    height, width = frame.shape[:2]
    scale = LONG_EDGE / max(height, width)
    if scale >= 1:
        return frame
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(frame, size, interpolation=cv2.INTER_AREA).astype("uint8", copy=False)

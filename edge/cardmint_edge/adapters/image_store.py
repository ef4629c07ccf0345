"""Images by their content: files that are on the disk, whole, before anything refers to them."""

import os
import re
from hashlib import sha256
from pathlib import Path

import cv2

from cardmint_contracts.cards import Image
from cardmint_edge.domain.recognition import Frame
from cardmint_edge.errors import Park, Stop

JPEG_QUALITY = 85
LONG_EDGE = 1024
"""Pixels: enough to read a collector number (1.5 mm of an 88 mm card is 17 pixels)."""

_NAME = re.compile(r"[0-9a-f]{64}\Z")


class ImageStore:
    """Files under `folder`/aa/bb/, named for the SHA-256 of their bytes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

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
            if path.exists():
                _sync_folder(path.parent)  # its name may be newer than the last sync: a write that failed half way
            else:
                _write_durably(path, content)
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
        return self._folder / digest[:2] / digest[2:4] / f"{digest}.jpg"


def _shrink(frame: Frame) -> Frame:
    height, width = frame.shape[:2]
    scale = LONG_EDGE / max(height, width)
    if scale >= 1:
        return frame
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(frame, size, interpolation=cv2.INTER_AREA).astype("uint8", copy=False)


def _write_durably(path: Path, content: bytes) -> None:
    made = [folder for folder in (path.parent, path.parent.parent, path.parent.parent.parent) if not folder.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".part")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)
    for folder in made:
        _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""The intake of one image: a temporary file, digested as it comes, checked, then stored.

The part of an upload that broke off stays for a day, so that the next request can continue it.
"""

import hashlib
import os
import struct
import tempfile
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Protocol

from PIL import Image

MAX_BYTES = 8 << 20
MAX_PIXELS = 4_000_000
"""A station's images have at most 1,024 x 1,024 pixels (docs/decisions/0023)."""

MOST_PARTS = 64
PART_S = 86_400.0
"""Age in seconds up to which parts are kept, and only the newest `MOST_PARTS` of them."""

FORMATS = ("JPEG", "PNG", "WEBP")
DAMAGED = (
    *(OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError),
    *(EOFError, struct.error, zlib.error),
)
"""What Pillow's decoders raise for damaged data."""

_PART = ".part"


class ImageSink(Protocol):
    """A place to store a finished image."""

    def keep(self, tenant: str, name: str, file: Path) -> None:
        """Store a file's bytes under a name, whole or not at all; the file may be moved."""
        ...


class OffsetMismatch(Exception):
    """The part has another length than the sender says; `offset` is its length."""

    def __init__(self, offset: int) -> None:
        super().__init__(f"{offset} bytes have come")
        self.offset = offset


class IncomingImage:
    """An image that is being uploaded."""

    def __init__(self, store: ImageSink, file: IO[bytes], path: Path) -> None:
        self._store = store
        self._file = file
        self._path = path
        self._digest = hashlib.sha256()
        self.size = 0
        while known := file.read(1 << 20):
            self._digest.update(known)
            self.size += len(known)

    @property
    def sha256(self) -> str:
        """SHA-256 of the bytes so far."""
        return self._digest.hexdigest()

    def write(self, chunk: bytes) -> None:
        """Append the next bytes."""
        self._digest.update(chunk)
        self.size += len(chunk)
        self._file.write(chunk)

    def fault(self) -> str | None:
        """Return `not-an-image` or `too-many-pixels`; None for a valid image."""
        self._file.flush()
        try:
            with Image.open(self._path, formats=FORMATS) as image:
                if image.width * image.height > MAX_PIXELS:
                    return "too-many-pixels"
                image.verify()
        except (Image.DecompressionBombError, Image.DecompressionBombWarning):
            return "too-many-pixels"
        except DAMAGED:
            return "not-an-image"
        return None

    def keep(self, tenant: str, name: str | None = None) -> None:
        """Flush the file to the disk and store it under `name`, by default its SHA-256."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._store.keep(tenant, name or self.sha256, self._path)


class ImageIntake:
    """A folder for uploads. While a request writes a part, the part is that request's alone."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def offset(self, part: str) -> int:
        """Return how many bytes of an interrupted upload are kept; 0 for none."""
        try:
            return self._part(part).stat().st_size
        except FileNotFoundError:
            return 0

    @contextmanager
    def open(self, store: ImageSink, part: str = "", offset: int = 0) -> Iterator[IncomingImage]:
        """Open a file for an upload; it is deleted unless it is stored.

        With the name of a `part`, the bytes stay when an error ends the upload, and the first
        `offset` bytes come from an earlier one.

        Raises:
            OffsetMismatch: the part does not have `offset` bytes.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        self.sweep(time.time())
        descriptor, name = tempfile.mkstemp(dir=self._folder)
        os.close(descriptor)
        path = Path(name)
        try:
            if offset:
                self._take(part, path, offset)
            with path.open("r+b") as file:
                yield IncomingImage(store, file, path)
        except BaseException:
            if part:
                with suppress(OSError):
                    self._leave(part, path)
            raise
        finally:
            path.unlink(missing_ok=True)

    def sweep(self, now: float) -> None:
        """Delete old files, and all but the newest `MOST_PARTS` parts. `now` is in Unix seconds."""
        found = []
        for path in self._folder.iterdir():
            with suppress(FileNotFoundError):  # Another request keeps it, or leaves it, just now.
                found.append((path.stat().st_mtime, path))
        parts = sorted((at, path) for at, path in found if path.suffix == _PART)
        old = [path for at, path in found if now - at > PART_S]
        for path in {*old, *(path for _, path in parts[:-MOST_PARTS])}:
            path.unlink(missing_ok=True)

    def _take(self, part: str, path: Path, offset: int) -> None:
        try:
            self._part(part).replace(path)
        except FileNotFoundError:
            raise OffsetMismatch(0) from None
        if (size := path.stat().st_size) != offset:
            raise OffsetMismatch(size)

    def _leave(self, part: str, path: Path) -> None:
        if path.stat().st_size > self.offset(part):
            path.replace(self._part(part))

    def _part(self, part: str) -> Path:
        return self._folder / f"{part}{_PART}"

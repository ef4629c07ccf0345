"""An image on its way: in a temporary file, counted and digested as it comes, looked at, and then kept whole.

What came of one whose sender broke off stays for a day, so that the next request goes on where this
one ended.
"""

import hashlib
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Protocol

from PIL import Image

MAX_BYTES = 8 << 20
MAX_PIXELS = 64_000_000
MOST_PARTS = 64
PART_S = 86_400.0
"""So many images that broke off are kept, the newest, and so long."""

FORMATS = ("JPEG", "PNG", "WEBP")
_PART = ".part"


class ImageSink(Protocol):
    """Where a whole image goes."""

    def keep(self, tenant: str, name: str, file: Path) -> None:
        """Keep a file's bytes under a name, whole or not at all; the file may be gone then."""
        ...


class OffsetMismatch(Exception):
    """The part of an image is not as long as the sender says; `offset` is how long it is."""

    def __init__(self, offset: int) -> None:
        super().__init__(f"{offset} bytes have come")
        self.offset = offset


class IncomingImage:
    """An image on its way."""

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
        """The digest of what has come so far."""
        return self._digest.hexdigest()

    def write(self, chunk: bytes) -> None:
        """Take the next bytes."""
        self._digest.update(chunk)
        self.size += len(chunk)
        self._file.write(chunk)

    def fault(self) -> str | None:
        """Return what is wrong with it as an image: `not-an-image` or `too-many-pixels`.

        None when it is one.
        """
        self._file.flush()
        try:
            with Image.open(self._path, formats=FORMATS) as image:
                if image.width * image.height > MAX_PIXELS:
                    return "too-many-pixels"
                image.verify()
        except (Image.DecompressionBombError, Image.DecompressionBombWarning):
            return "too-many-pixels"
        except (OSError, SyntaxError, ValueError):
            return "not-an-image"
        return None

    def keep(self, tenant: str, name: str | None = None) -> None:
        """Give it its name, once its bytes are on the disk.

        That of its content, unless it has another.
        """
        self._file.flush()
        os.fsync(self._file.fileno())
        self._store.keep(tenant, name or self.sha256, self._path)


class ImageIntake:
    """A folder for images on their way. A part is one request's alone while it is written to."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def offset(self, part: str) -> int:
        """Return how many bytes have come of an image that broke off; 0 when none are kept."""
        try:
            return self._part(part).stat().st_size
        except FileNotFoundError:
            return 0

    @contextmanager
    def open(self, store: ImageSink, part: str = "", offset: int = 0) -> Iterator[IncomingImage]:
        """Open a file for an image; whatever was not kept is removed.

        With the name of a `part`, what has come stays when an error ends this, and `offset` bytes
        of it are there.

        Raises:
            Moved: there is no part of so many bytes.
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
        """Remove what broke off too long ago, or before the newest `MOST_PARTS`.

        `now` is in Unix seconds.
        """
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

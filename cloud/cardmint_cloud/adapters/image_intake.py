"""An image on its way: in a temporary file, counted and digested as it comes, looked at, and then kept whole."""

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Protocol

from PIL import Image

MAX_BYTES = 8 << 20
MAX_PIXELS = 64_000_000
FORMATS = ("JPEG", "PNG", "WEBP")


class Keeps(Protocol):
    """Where a whole image goes."""

    def keep(self, tenant: str, name: str, file: Path) -> None:
        """Keep a file's bytes under a name, whole or not at all; the file may be gone then."""
        ...


class Incoming:
    """An image on its way."""

    def __init__(self, store: Keeps, file: IO[bytes], path: Path) -> None:
        self._store = store
        self._file = file
        self._path = path
        self._digest = hashlib.sha256()
        self.size = 0

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
        """Return what is wrong with it as an image: `not-an-image` or `too-many-pixels`; None when it is one."""
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
        """Give it its name, once its bytes are on the disk: that of its content, unless it has another."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._store.keep(tenant, name or self.sha256, self._path)


@contextmanager
def incoming(store: Keeps, folder: Path) -> Iterator[Incoming]:
    """Open a file in `folder` for an image that is on its way; whatever was not kept is removed."""
    folder.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=folder)
    with os.fdopen(descriptor, "wb") as file:
        try:
            yield Incoming(store, file, Path(name))
        finally:
            Path(name).unlink(missing_ok=True)

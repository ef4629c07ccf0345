"""Images as files, named for their content: whole and on the disk before they have their name."""

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from PIL import Image

MAX_BYTES = 8 << 20
MAX_PIXELS = 64_000_000
_MEDIA_TYPES = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp"}


class Folder:
    """One folder of images: `TENANT/ab/abcdef…`, and `incoming/` for what is on its way."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, tenant: str, sha256: str) -> Path:
        """Return where an image lies, or would. Both names must have been checked."""
        return self.root / tenant / sha256[:2] / sha256

    def has(self, tenant: str, sha256: str) -> bool:
        """Whether the image is there."""
        return self.path(tenant, sha256).is_file()

    def read(self, tenant: str, sha256: str) -> tuple[bytes, str] | None:
        """Return an image's bytes and media type; None when it is not there."""
        try:
            content = self.path(tenant, sha256).read_bytes()
        except FileNotFoundError:
            return None
        return content, _sniffed(content)

    @contextmanager
    def incoming(self) -> Iterator["Incoming"]:
        """Open a file for an image that is on its way; whatever was not kept is removed."""
        folder = self.root / "incoming"
        folder.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=folder)
        with os.fdopen(descriptor, "wb") as file:
            try:
                yield Incoming(self, file, Path(name))
            finally:
                Path(name).unlink(missing_ok=True)


class Incoming:
    """An image on its way, counted and digested as it comes."""

    def __init__(self, folder: Folder, file: IO[bytes], path: Path) -> None:
        self._folder = folder
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
            with Image.open(self._path, formats=tuple(_MEDIA_TYPES)) as image:
                if image.width * image.height > MAX_PIXELS:
                    return "too-many-pixels"
                image.verify()
        except (Image.DecompressionBombError, Image.DecompressionBombWarning):
            return "too-many-pixels"
        except (OSError, SyntaxError, ValueError):
            return "not-an-image"
        return None

    def keep(self, tenant: str) -> None:
        """Give it its name, once its bytes are on the disk; the name is on the disk too when this returns."""
        self._file.flush()
        os.fsync(self._file.fileno())
        target = self._folder.path(tenant, self.sha256)
        target.parent.mkdir(parents=True, exist_ok=True)
        self._path.chmod(0o644)
        self._path.replace(target)
        for folder in (target.parent, target.parent.parent, self._folder.root):
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def _sniffed(content: bytes) -> str:
    if content.startswith(b"\x89PNG"):
        return "image/png"
    return "image/webp" if content[8:12] == b"WEBP" else "image/jpeg"

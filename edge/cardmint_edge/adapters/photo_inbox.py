"""Photos from phones: sent in pieces, checked by their SHA-256, and laid into a watched folder.

A half-sent photo has a hidden name, which the folder camera leaves alone. A complete one is synced
and renamed before the phone is told that it arrived; from then on the folder camera has it.
"""

import hashlib
import os
import re
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from enum import StrEnum
from http import HTTPStatus
from pathlib import Path

import structlog

from cardmint_edge.adapters.durable_files import make_folder, sync_folder

MAX_PHOTO_BYTES = 64 << 20
"""As `decode.MAX_BYTES`, which is not imported here: the decoders need memory."""

MAX_PIECE_BYTES = 1 << 20
MIN_FIRST_BYTES = 64
"""Bytes of a first piece, by which a photo is told from another file."""

MAX_PARTS = 64
"""Photos that may be half sent: the newest."""

PART_LASTS_S = 86400.0
MAX_STEM = 60
"""Characters of the phone's own file name that are kept."""

_SHA256 = re.compile(r"[0-9a-f]{64}")
_ENDINGS = {".jpg", ".jpeg", ".png", ".heic", ".heif", ".hif", ".webp", ".tif", ".tiff", ".bmp"}
_PART = ".part"

log = structlog.get_logger(__name__)


class PhotoPlace(StrEnum):
    """Where a complete photo lies. A counted one is deleted."""

    WAITING = "waiting"
    PARKED = "parked"


class PhotoRefused(Exception):
    """A piece is not taken. `status` is for the response; `offset` is how much has come."""

    def __init__(self, status: HTTPStatus, message: str, offset: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.offset = offset


class PhotoInbox:
    """The folder of the photos. Safe to call from several threads."""

    def __init__(
        self,
        folder: Path,
        *,
        is_counted: Callable[[str], bool],
        missing_bytes: Callable[[], int],
        starts_as_image: Callable[[bytes], bool],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Make the folder.

        `is_counted` returns whether a photo was counted. `missing_bytes` returns what the disk
        lacks. `starts_as_image` judges a file's first bytes.

        Raises:
            OSError: the folder cannot be made.
        """
        self.folder = folder
        self._is_counted = is_counted
        self._missing_bytes = missing_bytes
        self._starts_as_image = starts_as_image
        self._clock = clock
        self._mutex = threading.Lock()
        self._written: set[str] = set()
        make_folder(folder)
        self.sweep()

    def offset(self, sha256: str) -> int:
        """Return how many bytes of an incomplete photo have come."""
        try:
            return self._part(sha256).stat().st_size
        except OSError:
            return 0

    def places(self) -> dict[str, PhotoPlace]:
        """Return where each complete photo lies, by its SHA-256."""
        found = {}
        for folder, place in (
            (self.folder / "parked", PhotoPlace.PARKED),
            (self.folder / "waiting", PhotoPlace.WAITING),
            (self.folder / "counting", PhotoPlace.WAITING),
            (self.folder, PhotoPlace.WAITING),
        ):
            with suppress(OSError):
                for path in folder.iterdir():
                    digest = _SHA256.search(path.name)
                    if digest is not None and not path.name.startswith("."):
                        found[digest.group()] = place
        return found

    def add_piece(self, sha256: str, name: str, length: int, offset: int, piece: bytes) -> int:
        """Take a piece of a photo of `length` bytes. Return how many have come.

        When all have, the photo is durable, and waits to be counted.

        Raises:
            PhotoRefused: the photo is too large or no image, the piece does not follow what has
                come, the bytes have another SHA-256, or the disk is full.
        """
        if length == 0:
            raise PhotoRefused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "the file is empty")
        if length > MAX_PHOTO_BYTES:
            raise PhotoRefused(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"a photo has at most {MAX_PHOTO_BYTES >> 20} MB",
            )
        with self._mutex:
            if sha256 in self._written:
                raise PhotoRefused(
                    HTTPStatus.CONFLICT, "another page sends this photo", self.offset(sha256)
                )
            self._written.add(sha256)
        try:
            return self._add(sha256, name, length, offset, piece)
        except OSError as error:
            raise PhotoRefused(
                HTTPStatus.INSUFFICIENT_STORAGE,
                f"the station cannot store the photo: {error.strerror or error}",
            ) from error
        finally:
            with self._mutex:
                self._written.discard(sha256)

    def _add(self, sha256: str, name: str, length: int, offset: int, piece: bytes) -> int:
        if sha256 in self.places() or self._is_counted(sha256):
            self._part(sha256).unlink(missing_ok=True)
            return length
        part, has = self._part(sha256), self.offset(sha256)
        if offset != has:
            raise PhotoRefused(HTTPStatus.CONFLICT, f"{has} bytes of this photo have come", has)
        if has + len(piece) > length:
            part.unlink(missing_ok=True)
            raise PhotoRefused(HTTPStatus.CONFLICT, "this is more than the photo's length", 0)
        if has == 0 and len(piece) < min(MIN_FIRST_BYTES, length):
            raise PhotoRefused(
                HTTPStatus.BAD_REQUEST, f"the first piece has at least {MIN_FIRST_BYTES} bytes"
            )
        if has == 0 and not self._starts_as_image(piece):
            raise PhotoRefused(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                "this is no photo; the station reads JPEG, PNG, HEIC, WebP and TIFF",
            )
        if self._missing_bytes() > 0:
            raise PhotoRefused(
                HTTPStatus.INSUFFICIENT_STORAGE, "the station's disk is nearly full: make room"
            )
        if has == 0:
            self.sweep()
        with part.open("ab") as file:
            file.write(piece)
            has += len(piece)
            if has == length:
                file.flush()
                os.fsync(file.fileno())
        if has == length:
            self._complete(part, sha256, name)
        return has

    def _complete(self, part: Path, sha256: str, name: str) -> None:
        with part.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
                part.unlink()
                raise PhotoRefused(
                    HTTPStatus.UNPROCESSABLE_ENTITY,
                    "the photo was changed on the way: send it again",
                    0,
                )
        path = self.folder / file_name(name, sha256)
        part.rename(path)
        sync_folder(self.folder)
        log.info("photo received", name=path.name)

    def sweep(self) -> None:
        """Delete photos that were counted, and half-sent ones that are old or too many."""
        with suppress(OSError):
            for path in (self.folder / "done").iterdir():
                if not path.name.startswith("."):
                    path.unlink(missing_ok=True)
        parts = []
        for path in self.folder.glob(f".*{_PART}"):
            with suppress(OSError):
                parts.append((path.stat().st_mtime, path))
        oldest = self._clock() - PART_LASTS_S
        for number, (changed, path) in enumerate(sorted(parts, reverse=True)):
            in_use = path.name[1 : -len(_PART)] in self._written
            if (number >= MAX_PARTS - 1 or changed < oldest) and not in_use:
                path.unlink(missing_ok=True)

    def _part(self, sha256: str) -> Path:
        return self.folder / f".{sha256}{_PART}"


def file_name(name: str, sha256: str) -> str:
    """Return a photo's name in the folder: the phone's own name, made harmless, and the SHA-256."""
    stem, dot, ending = name.rpartition(".")
    ending = f".{ending.lower()}" if dot else ""
    if ending not in _ENDINGS:
        stem, ending = name, ".jpg"
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "_" for c in stem)
    return f"{plain[:MAX_STEM].strip('_') or 'photo'} {sha256}{ending}"


def shown_name(name: str) -> str:
    """Return a file's name without the SHA-256 that a photo's name ends in."""
    return re.sub(r" [0-9a-f]{64}(?=[.-])", "", name)

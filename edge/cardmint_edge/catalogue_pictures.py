"""Fetches the pictures of a catalogue's printings: those that are missing, damaged or too small."""

import hashlib
import threading
from pathlib import Path
from typing import Protocol

from cardmint_edge.adapters.catalogue_answers import PictureRecords, Size, StoredPicture
from cardmint_edge.adapters.catalogue_folder import IMAGES
from cardmint_edge.adapters.decode import Unreadable, decode_image
from cardmint_edge.adapters.durable_files import make_folder, write_file
from cardmint_edge.adapters.regular_files import read_regular
from cardmint_edge.adapters.tcgdex_http import Answer, is_picture

PICTURE_KIND = "jpg"


class PictureApi(Protocol):
    """TCGdex, as far as pictures need it. `picture` raises `Retry` and `Park`."""

    def picture(self, url: str, etag: str = "") -> Answer[bytes]:
        """Return the picture at an address; without a value when it is that of `etag`."""
        ...


class CataloguePictures:
    """The folder `images` of a catalogue, and what is recorded of each picture in it.

    A picture that is there in `high` is not replaced by one in `low`. With `refresh` each is asked
    about again, and the content of its file is checked, too: one that cannot be read is fetched.
    `fetch` may be called by several threads.
    """

    def __init__(self, folder: Path, api: PictureApi, size: Size, *, refresh: bool) -> None:
        """Open the folder; close it after use. Raises OSError."""
        self._folder = folder / IMAGES
        make_folder(self._folder)
        self._api = api
        self._size = size
        self._refresh = refresh
        self._records = PictureRecords(folder)
        self._lock = threading.Lock()

    def is_wanted(self, card_id: str) -> bool:
        """Return whether a printing's picture is to be asked for, by one thread at a time."""
        known = self._known(card_id)
        if known is not None and self._records.get(card_id) is None:
            self._records.put(known)
        return known is None or self._refresh or (known.size, self._size) == ("low", "high")

    def fetch(self, card_id: str, address: str) -> bool:
        """Fetch a picture, `address` being that without size and kind; return whether it is new.

        Raises:
            Park: it cannot be had.
            Retry: the server is away or busy, or answers something else.
            OSError: the disk is full, read-only or failing.
        """
        known = self._known(card_id)
        size: Size = "high" if known is not None and known.size == "high" else self._size
        etag = known.etag if known is not None and known.size == size else ""
        path = self._path(card_id)
        answer = self._api.picture(f"{address}/{size}.{PICTURE_KIND}", etag)
        if answer.value is None:
            return False
        picture = _record(card_id, size, answer.value, answer.etag)
        changed = known is None or known.sha256 != picture.sha256
        if changed:
            write_file(path, answer.value)
        with self._lock:
            self._records.put(picture)
        return changed

    def close(self) -> None:
        """Close the records."""
        self._records.close()

    def _known(self, card_id: str) -> StoredPicture | None:
        """Return the record of a picture whose file is there as it was received.

        A whole picture without a record, such as one that a crash left, counts as one in `low`.
        """
        recorded, path = self._records.get(card_id), self._path(card_id)
        try:
            if recorded is not None and not self._refresh:
                return recorded if path.stat().st_size == recorded.bytes else None
            content = read_regular(path)
        except OSError:
            return None
        found = _record(card_id, "low", content)
        if recorded is None:
            return found if _is_sound(content) else None
        unchanged = found.sha256 == recorded.sha256 and _is_sound(content)
        return recorded if unchanged else None

    def _path(self, card_id: str) -> Path:
        return self._folder / f"{card_id}.{PICTURE_KIND}"


def _is_sound(content: bytes) -> bool:
    """Return whether a picture is whole and can be read."""
    try:
        decode_image(content)
    except Unreadable:
        return False
    return is_picture(content)


def _record(card_id: str, size: Size, content: bytes, etag: str = "") -> StoredPicture:
    digest = hashlib.sha256(content).hexdigest()
    return StoredPicture(card=card_id, size=size, bytes=len(content), sha256=digest, etag=etag)

"""What TCGdex answered, kept beside the catalogue so that only what changed is asked again."""

from contextlib import suppress
from pathlib import Path
from typing import Literal, TypeAlias, TypeVar

import msgspec
from msgspec import Struct

from cardmint_edge.adapters.durable_files import make_folder, write_file
from cardmint_edge.domain.catalogue.tcgdex_api import ApiCard, ApiSet, ApiSetBrief

FOLDER = "answers"

Size: TypeAlias = Literal["low", "high"]

T = TypeVar("T")


class StoredCard(Struct, frozen=True, omit_defaults=True):
    """The answer about a card."""

    card: ApiCard
    etag: str = ""


class StoredSet(Struct, frozen=True, omit_defaults=True):
    """The answers about a set in one language, and about the cards that were asked in it.

    `again` are cards that could not be had when the set showed them as new or changed.
    """

    of_set: ApiSet
    etag: str = ""
    cards: dict[str, StoredCard] = {}
    again: tuple[str, ...] = ()


class StoredList(Struct, frozen=True, omit_defaults=True):
    """The answer about all sets of a language."""

    sets: tuple[ApiSetBrief, ...]
    etag: str = ""


class StoredPicture(Struct, frozen=True, omit_defaults=True):
    """A picture that was received: of which printing, in which size, and its file's content."""

    card: str
    size: Size
    bytes: int
    sha256: str
    etag: str = ""


class AnswerFiles:
    """The folder `answers`: a file for each language's list, and for each set and language."""

    def __init__(self, catalogue: Path) -> None:
        self._folder = catalogue / FOLDER

    def read_list(self, language: str) -> StoredList | None:
        """Return the list of a language; None without one that can be read."""
        return _read(self._folder / f"{language}.json", StoredList)

    def write_list(self, language: str, stored: StoredList) -> None:
        """Write it. Raises OSError."""
        _write(self._folder / f"{language}.json", stored)

    def read_set(self, language: str, set_id: str) -> StoredSet | None:
        """Return the answers about a set; None without any that can be read."""
        return _read(self._folder / language / f"{set_id}.json", StoredSet)

    def write_set(self, language: str, set_id: str, stored: StoredSet) -> None:
        """Write them. Raises OSError."""
        _write(self._folder / language / f"{set_id}.json", stored)


class PictureRecords:
    """The file `answers/pictures.jsonl`: a line for each picture that was received.

    Lines are added, and the last about a printing counts. One that a crash cut is passed over: its
    picture is fetched again.
    """

    def __init__(self, catalogue: Path) -> None:
        """Read the file, and write it anew where it has lines that no longer count."""
        self._path = catalogue / FOLDER / "pictures.jsonl"
        make_folder(self._path.parent)
        self._known: dict[str, StoredPicture] = {}
        content = self._path.read_bytes() if self._path.exists() else b""
        lines = content.split(b"\n")
        for line in lines:
            with suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                one = msgspec.json.decode(line, type=StoredPicture)
                self._known[one.card] = one
        if len(lines) != len(self._known) + 1:
            written = b"".join(_line(one) for one in self._known.values())
            write_file(self._path, written)
        self._file = self._path.open("ab")

    def get(self, card_id: str) -> StoredPicture | None:
        """Return what is recorded about a printing's picture."""
        return self._known.get(card_id)

    def put(self, picture: StoredPicture) -> None:
        """Record a picture whose file is written. Raises OSError."""
        self._known[picture.card] = picture
        self._file.write(_line(picture))
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _line(picture: StoredPicture) -> bytes:
    return msgspec.json.encode(picture) + b"\n"


def _read(path: Path, shape: type[T]) -> T | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=shape)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None  # It is asked for again.


def _write(path: Path, stored: Struct) -> None:
    make_folder(path.parent)
    write_file(path, msgspec.json.encode(stored))

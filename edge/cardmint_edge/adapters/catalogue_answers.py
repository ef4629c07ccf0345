"""What TCGdex answered, kept beside the catalogue so that only what changed is asked again."""

from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct

from cardmint_edge.adapters.durable_files import make_folder, write_file
from cardmint_edge.domain.catalogue.tcgdex_api import ApiCard, ApiSet, ApiSetBrief

FOLDER = "answers"

T = TypeVar("T")


class StoredCard(Struct, frozen=True, omit_defaults=True):
    """The answer about a card."""

    card: ApiCard
    etag: str = ""


class StoredSet(Struct, frozen=True, omit_defaults=True):
    """The answers about a set in one language, and about the cards that were asked in it."""

    of_set: ApiSet
    etag: str = ""
    cards: dict[str, StoredCard] = {}


class StoredList(Struct, frozen=True, omit_defaults=True):
    """The answer about all sets of a language."""

    sets: tuple[ApiSetBrief, ...]
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


def _read(path: Path, shape: type[T]) -> T | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=shape)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None  # It is asked for again.


def _write(path: Path, stored: Struct) -> None:
    make_folder(path.parent)
    write_file(path, msgspec.json.encode(stored))

"""The catalogue's folder: an index, a file for each set, and the layouts of other sources."""

import hashlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from cardmint_contracts.catalogue import (
    INDEX_FILE,
    CatalogueIndex,
    CatalogueSet,
    SetEntry,
    decode_index,
    decode_set,
    set_file,
)
from cardmint_contracts.errors import ContractError
from cardmint_contracts.wire import encode
from cardmint_edge.adapters.durable_files import make_folder, write_file
from cardmint_edge.domain.catalogue import pokemon_tcg_data, tcgdex_database
from cardmint_edge.domain.catalogue.assembly import Warn
from cardmint_edge.errors import Stop

IMAGES = "images"
"""Folder of the pictures, `<card id>.<kind>`."""

LAYOUTS = (
    "--cards takes a folder that `cardmint-edge catalogue fetch` wrote, the layout of"
    " pokemon-tcg-data (sets/en.json, cards/en/<set>.json), or TCGdex's database (sets.json,"
    " cards/international/<set>.json, cards/asia/<set>.json)"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class SetSource:
    """A set that can be read. `digest` changes with its content.

    `read` takes where lines about skipped cards go; it returns None, and a line, when nothing of
    the set can be used.
    """

    name: str
    digest: str
    read: Callable[[Warn], CatalogueSet | None]


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenCatalogue:
    """A folder's sets, and when its source was last asked; None where the folder does not say."""

    sets: list[SetSource]
    made_at: datetime | None = None
    complete: bool = True


def open_catalogue(folder: Path) -> OpenCatalogue:
    """Return the sets of a folder in any of the layouts.

    Raises:
        Stop: the folder has none of the layouts, or its index cannot be read.
    """
    if (folder / INDEX_FILE).exists():
        index = read_index(folder)
        sets = [_source_of_entry(folder, entry) for entry in index.sets]
        return OpenCatalogue(sets=sets, made_at=index.made_at, complete=index.complete)
    if (folder / "sets.json").exists():
        return OpenCatalogue(sets=_database_sets(folder))
    return OpenCatalogue(sets=_pokemon_tcg_sets(folder))


def read_index(folder: Path) -> CatalogueIndex:
    """Return a folder's index.

    Raises:
        Stop: it cannot be read, or has a later format.
    """
    path = folder / INDEX_FILE
    try:
        return decode_index(path.read_bytes())
    except OSError as error:
        raise Stop(f"{path}: {error.strerror}: {LAYOUTS}") from None
    except ContractError as error:
        raise Stop(
            f"{path}: not a catalogue's index ({error}): run `cardmint-edge catalogue fetch` again"
        ) from None


def read_set(folder: Path, entry: SetEntry) -> CatalogueSet:
    """Return a set of a folder.

    Raises:
        ContractError, OSError: its file is missing, or not the one of the index.
    """
    return decode_set((folder / entry.file).read_bytes(), entry)


def write_set(folder: Path, of_set: CatalogueSet) -> SetEntry:
    """Write a set's file completely or not at all, and return its entry for the index.

    Raises:
        OSError: the disk is full, read-only or failing.
    """
    content = encode(of_set)
    path = folder / set_file(of_set.region, of_set.id)
    digest = hashlib.sha256(content).hexdigest()
    if not _has_digest(path, digest):
        make_folder(path.parent)
        write_file(path, content)
    return SetEntry(
        id=of_set.id,
        region=of_set.region,
        printings=len(of_set.printings),
        sha256=digest,
        released=of_set.released,
    )


def write_index(folder: Path, index: CatalogueIndex) -> None:
    """Write the index completely or not at all.

    Raises:
        OSError: the disk is full, read-only or failing.
    """
    make_folder(folder)
    write_file(folder / INDEX_FILE, encode(index))


def _has_digest(path: Path, digest: str) -> bool:
    with suppress(OSError):
        return hashlib.sha256(path.read_bytes()).hexdigest() == digest
    return False


def _source_of_entry(folder: Path, entry: SetEntry) -> SetSource:
    def read(warn: Warn) -> CatalogueSet | None:
        try:
            return read_set(folder, entry)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            warn(
                f"{folder / entry.file}: set skipped, {reason}:"
                " run `cardmint-edge catalogue fetch` again"
            )
            return None

    return SetSource(name=entry.id, digest=entry.sha256, read=read)


def _database_sets(folder: Path) -> list[SetSource]:
    entries = _decoded(folder / "sets.json", list[msgspec.Raw])
    sources = []
    for raw in entries:
        try:
            entry = msgspec.json.decode(raw, type=tcgdex_database.DatabaseSet)
        except msgspec.ValidationError as error:
            raise Stop(f"{folder / 'sets.json'}: not TCGdex's sets ({error})") from None
        path = folder / "cards" / entry.region / f"{entry.id}.json"
        if path.exists():
            sources.append(_source(path, bytes(raw), _reader(tcgdex_database.read_set, entry)))
    if not sources:
        raise Stop(f"{folder}: no cards: {LAYOUTS}")
    return sources


def _pokemon_tcg_sets(folder: Path) -> list[SetSource]:
    path = folder / "sets" / "en.json"
    known = {}
    for raw in _decoded(path, list[msgspec.Raw]):
        try:
            entry = msgspec.json.decode(raw, type=pokemon_tcg_data.DataSet)
        except msgspec.ValidationError as error:
            raise Stop(f"{path}: not the sets of pokemon-tcg-data ({error})") from None
        known[entry.id] = (entry, bytes(raw))
    sources = []
    for cards in sorted((folder / "cards" / "en").glob("*.json")):
        entry, text = known.get(cards.stem, (pokemon_tcg_data.DataSet(id=cards.stem), b""))
        sources.append(_source(cards, text, _reader(pokemon_tcg_data.read_set, entry)))
    if not sources:
        raise Stop(f"{folder}: no cards: {LAYOUTS}")
    return sources


_ReadCards = Callable[[Iterable[msgspec.Raw], Warn], CatalogueSet]


def _reader(
    read: Callable[[Any, Iterable[msgspec.Raw], Warn], CatalogueSet], entry: Any
) -> _ReadCards:
    return lambda cards, warn: read(entry, cards, warn)


def _source(path: Path, entry: bytes, read_cards: _ReadCards) -> SetSource:
    try:
        digest = hashlib.sha256(entry + path.read_bytes()).hexdigest()
    except OSError as error:
        raise Stop(f"{path}: {error.strerror}: {LAYOUTS}") from None

    def read(warn: Warn) -> CatalogueSet | None:
        try:
            return read_cards(_decoded(path, list[msgspec.Raw]), warn)
        except (Stop, msgspec.ValidationError) as error:
            warn(
                f"{error}: set skipped"
                if isinstance(error, Stop)
                else f"{path}: set skipped, {error}"
            )
            return None

    return SetSource(name=path.stem, digest=digest, read=read)


def _decoded(path: Path, shape: type[list[msgspec.Raw]]) -> list[msgspec.Raw]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=shape)
    except OSError as error:
        raise Stop(f"{path}: {error.strerror}: {LAYOUTS}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Stop(f"{path}: not the catalogue's JSON ({error}): fetch it again") from None

"""The catalogue's folder: an index, a file for each set, and the layouts of other sources."""

import hashlib
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from cardmint_contracts.catalogue import (
    FORMAT,
    INDEX_FILE,
    MAX_SET_BYTES,
    CatalogueIndex,
    CatalogueSet,
    SetEntry,
    decode_index,
    decode_set,
    set_file,
)
from cardmint_contracts.errors import ContractError, LaterFormat
from cardmint_contracts.wire import decode, encode
from cardmint_edge.adapters.durable_files import make_folder, write_file
from cardmint_edge.adapters.regular_files import read_regular
from cardmint_edge.domain.catalogue import pokemon_tcg_data, tcgdex_database
from cardmint_edge.domain.catalogue.assembly import Warn, read_card
from cardmint_edge.errors import Stop

T = TypeVar("T")

IMAGES = "images"
"""Folder of the pictures, `<card id>.<kind>`."""

LAYOUTS = (
    "it takes a folder that `cardmint-edge catalogue fetch` wrote, the layout of pokemon-tcg-data"
    " (sets/en.json, cards/en/<set>.json), or TCGdex's database (sets.json,"
    " cards/international/<set>.json, cards/asia/<set>.json)"
)

BROKEN_INDEX = f"{INDEX_FILE}.broken"


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
    """A folder's sets, and when its source was last asked; None where nothing says that.

    `incomplete` says what of it was not downloaded, empty when all was. `languages` are those that
    the folder's index names. `odd` has a line about each entry of its list of sets that is skipped.
    """

    sets: list[SetSource]
    made_at: datetime | None = None
    incomplete: str = ""
    languages: tuple[str, ...] = ()
    odd: tuple[str, ...] = ()


def open_catalogue(folder: Path, *, option: str = "--cards") -> OpenCatalogue:
    """Return the sets of a folder in any of the layouts. `option` is what names it.

    A source that does not say when it was asked is of the day on which the newest set came out that
    it can know.

    Raises:
        Stop: the folder has none of the layouts, or its index cannot be read.
    """
    try:
        folder.stat()  # A folder that is missing is named, and not a file that it lacks.
        if (folder / INDEX_FILE).exists():
            return _fetched(folder, read_index(folder))
        if (folder / "sets.json").exists():
            return _database(folder)
        return _pokemon_tcg(folder)
    except OSError as error:
        where = error.filename or folder
        raise Stop(f"{option} {where}: {error.strerror}: {LAYOUTS}") from None


def _fetched(folder: Path, index: CatalogueIndex) -> OpenCatalogue:
    again = "its download is not complete: run `cardmint-edge catalogue fetch` again"
    return OpenCatalogue(
        sets=[_source_of_entry(folder, entry) for entry in index.sets],
        made_at=index.made_at,
        incomplete="" if index.complete else again,
        languages=index.languages,
    )


def read_index(folder: Path) -> CatalogueIndex:
    """Return a folder's index.

    Raises:
        OSError: it cannot be read.
        Stop: it is no index, or has a later format.
    """
    path = folder / INDEX_FILE
    try:
        return decode_index(read_regular(path))
    except LaterFormat as error:
        raise Stop(f"{path}: {error}") from None
    except ContractError as error:
        raise Stop(
            f"{path}: not a catalogue's index ({error}): run `cardmint-edge catalogue fetch` again,"
            " which makes it anew"
        ) from None


def index_to_extend(folder: Path, warn: Warn) -> CatalogueIndex | None:
    """Return a folder's index; None for a folder without one.

    An index that cannot be used is set aside, and made anew of the sets that are there. `warn` is
    told so.

    Raises:
        OSError: it cannot be read or set aside.
        Stop: it has a later format.
    """
    path = folder / INDEX_FILE
    try:
        return decode_index(read_regular(path))
    except FileNotFoundError:
        return None
    except LaterFormat as error:
        raise Stop(f"{path}: {error}") from None
    except ContractError as error:
        asked = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        path.replace(path.with_name(BROKEN_INDEX))
        entries, languages = _entries_of_files(folder)
        warn(
            f"{path}: not a catalogue's index ({error}): set aside as {BROKEN_INDEX},"
            f" and made anew with the {len(entries)} sets that are there"
        )
        made_anew = CatalogueIndex(
            format=FORMAT,
            source="",
            made_at=asked,
            languages=languages,
            complete=False,
            sets=entries,
        )
        write_index(folder, made_anew)
        return made_anew


def _entries_of_files(folder: Path) -> tuple[tuple[SetEntry, ...], tuple[str, ...]]:
    """Return the entries of the sets whose files can be read, and the languages of their names."""
    entries, languages = list[SetEntry](), dict[str, None]()
    for path in sorted((folder / "sets").glob("*/*.json")):
        with suppress(OSError, ContractError):
            content = read_regular(path)
            of_set = decode(content, CatalogueSet, max_bytes=MAX_SET_BYTES)
            if path == folder / set_file(of_set.region, of_set.id):
                entries.append(_entry(of_set, content))
                languages |= dict.fromkeys(languages_of(of_set))
    return tuple(entries), tuple(languages)


def languages_of(of_set: CatalogueSet) -> Collection[str]:
    """Return the languages in which a set's printings have names."""
    return dict.fromkeys(one for printing in of_set.printings for one in printing.names)


def read_set(folder: Path, entry: SetEntry) -> CatalogueSet:
    """Return a set of a folder.

    Raises:
        ContractError, OSError: its file is missing, or not the one of the index.
    """
    return decode_set(read_regular(folder / entry.file), entry)


def write_set(folder: Path, of_set: CatalogueSet) -> SetEntry:
    """Write a set's file completely or not at all, and return its entry for the index.

    Raises:
        OSError: the disk is full, read-only or failing.
    """
    content = encode(of_set)
    path = folder / set_file(of_set.region, of_set.id)
    entry = _entry(of_set, content)
    if not _has_digest(path, entry.sha256):
        make_folder(path.parent)
        write_file(path, content)
    return entry


def _entry(of_set: CatalogueSet, content: bytes) -> SetEntry:
    return SetEntry(
        id=of_set.id,
        region=of_set.region,
        printings=len(of_set.printings),
        sha256=hashlib.sha256(content).hexdigest(),
        released=of_set.released,
        origin=of_set.origin,
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
        return hashlib.sha256(read_regular(path)).hexdigest() == digest
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


def _database(folder: Path) -> OpenCatalogue:
    file = folder / "sets.json"
    sources, missing, released = list[SetSource](), list[str](), list[str]()
    entries, odd = _set_entries(file, tcgdex_database.DatabaseSet, "TCGdex's sets")
    for raw, entry in entries:
        path = folder / "cards" / entry.region / f"{entry.id}.json"
        if path.exists():
            read = _reader(tcgdex_database.read_set, entry)
            sources.append(_source(path, raw, read))
            released.append(entry.released)
        elif entry.cards:
            missing.append(entry.id)
    return _opened(folder, sources, missing, odd, made_at=_newest_release(released, file))


def _set_entries(file: Path, shape: type[T], what: str) -> tuple[list[tuple[bytes, T]], list[str]]:
    """Return the entries of a list of sets, and a line about each that is skipped.

    Raises:
        Stop: none of them can be used.
    """
    odd, entries = list[str](), list[tuple[bytes, T]]()
    for raw in _decoded(file):
        entry = read_card(bytes(raw), shape, str(file), odd.append, "set")
        if entry is not None:
            entries.append((bytes(raw), entry))
    if odd and not entries:
        raise Stop(f"{odd[0]}: not {what}")
    return entries, odd


def _pokemon_tcg(folder: Path) -> OpenCatalogue:
    file = folder / "sets" / "en.json"
    known = dict[str, tuple[pokemon_tcg_data.DataSet, bytes]]()
    updated, released = list[datetime](), list[str]()
    entries, odd = _set_entries(file, pokemon_tcg_data.DataSet, "the sets of pokemon-tcg-data")
    for raw, entry in entries:
        known[entry.id] = (entry, raw)
        released.append(entry.released)
        if entry.updated is not None:
            updated.append(entry.updated)
    sources = []
    for path in sorted((folder / "cards" / "en").glob("*.json")):
        entry, text = known.pop(path.stem, (pokemon_tcg_data.DataSet(id=path.stem), b""))
        read = _reader(pokemon_tcg_data.read_set, entry)
        sources.append(_source(path, text, read))
    missing = [entry.id for entry, _ in known.values() if entry.total]
    newest = _newest_release(released, file)
    dates = updated if newest is None else [*updated, newest]
    return _opened(folder, sources, missing, odd, made_at=max(dates, default=None))


def _opened(
    folder: Path,
    sources: list[SetSource],
    missing: list[str],
    odd: list[str],
    *,
    made_at: datetime | None,
) -> OpenCatalogue:
    if not sources:
        raise Stop(f"{folder}: no cards: {LAYOUTS}")
    lacks = f"its download is not complete: no file of cards for {', '.join(missing)}"
    return OpenCatalogue(
        sets=sources, made_at=made_at, incomplete=lacks if missing else "", odd=tuple(odd)
    )


def _newest_release(released: Iterable[str], file: Path) -> datetime | None:
    """Return the newest of these days that was past when a file was written."""
    written = datetime.fromtimestamp(file.stat().st_mtime, UTC)
    days = list[datetime]()
    for text in released:
        with suppress(ValueError):
            days.append(datetime.fromisoformat(text).replace(tzinfo=UTC))
    return max((day for day in days if day <= written), default=None)


_ReadCards = Callable[[Iterable[msgspec.Raw], Warn], CatalogueSet]


def _reader(
    read: Callable[[Any, Iterable[msgspec.Raw], Warn], CatalogueSet], entry: Any
) -> _ReadCards:
    return lambda cards, warn: read(entry, cards, warn)


def _source(path: Path, entry: bytes, read_cards: _ReadCards) -> SetSource:
    digest = hashlib.sha256(entry + read_regular(path)).hexdigest()

    def read(warn: Warn) -> CatalogueSet | None:
        try:
            return read_cards(_decoded(path), warn)
        except OSError as error:
            warn(f"{path}: set skipped, {error.strerror}")
        except Stop as error:
            warn(f"{error}: set skipped")
        except msgspec.ValidationError as error:
            warn(f"{path}: set skipped, {error}")
        return None

    return SetSource(name=path.stem, digest=digest, read=read)


def _decoded(path: Path) -> list[msgspec.Raw]:
    try:
        return msgspec.json.decode(read_regular(path), type=list[msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Stop(f"{path}: not the catalogue's JSON ({error}): fetch it again") from None

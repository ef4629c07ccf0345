"""Makes a catalogue of a downloaded folder, without a network."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cardmint_contracts.catalogue import (
    FORMAT,
    CatalogueIndex,
    CatalogueSet,
    SetEntry,
)
from cardmint_edge.adapters.catalogue_folder import (
    OpenCatalogue,
    index_to_extend,
    languages_of,
    open_catalogue,
    write_index,
    write_set,
)
from cardmint_edge.adapters.only_writer import only_writer
from cardmint_edge.catalogue_update import (
    FetchSummary,
    KnownSets,
    SetKey,
    one_line_about_disk,
    unknown_set,
)
from cardmint_edge.domain.catalogue.assembly import Warn
from cardmint_edge.domain.catalogue.languages import only_in
from cardmint_edge.errors import Stop


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportRequest:
    """What to take of a source. Without `sets` all sets, without `languages` all names.

    With `replace`, the folder's sets give way to the source's, whatever they were read from.
    """

    languages: tuple[str, ...] = ()
    sets: frozenset[str] = frozenset()
    replace: bool = False


EVERYTHING = ImportRequest()


@dataclass(frozen=True, slots=True)
class _ReadSet:
    name: str
    of_set: CatalogueSet

    @property
    def key(self) -> SetKey:
        return self.of_set.region, self.of_set.id


def import_folder(
    source: Path,
    folder: Path,
    request: ImportRequest = EVERYTHING,
    *,
    warn: Warn,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> FetchSummary:
    """Make a catalogue of a downloaded folder: pokemon-tcg-data's, TCGdex's, another catalogue.

    Printings and names that the folder has and the source lacks stay.

    Raises:
        Stop: the source has none of the layouts, or not what is asked for; a set is there from
            another kind of source; another process writes into the folder, or it cannot be written.
    """
    summary = FetchSummary()

    def skip(line: str) -> None:
        summary.skipped += 1
        warn(line)

    opened = open_catalogue(source, option="--from")
    with one_line_about_disk(folder), only_writer(folder):
        before = index_to_extend(folder, warn)
        read = _chosen(_read(opened, summary, skip), request, source)
        entries = {(one.region, one.id): one for one in before.sets} if before else {}
        known = KnownSets(folder, dict(entries), request.replace)
        known.refuse_other_origin(
            [one.key for one in read], {one.key: one.of_set.origin for one in read}
        )
        languages = dict.fromkeys(before.languages if before else ())
        for one in read:
            of_set = known.kept_in(one.of_set, request.languages or languages_of(one.of_set), warn)
            entry = write_set(folder, of_set)
            summary.changed += entries.get(one.key) != entry
            entries[one.key] = entry
            languages |= dict.fromkeys(languages_of(of_set))
        known.warn_of_names(warn)
        if not request.sets:
            _without_gone(entries, read, known, source, warn)
        index = CatalogueIndex(
            format=FORMAT,
            source=str(source),
            made_at=_made_at(opened, None if request.replace else before, source, now(), warn),
            languages=tuple(languages),
            complete=not summary.incomplete,
            sets=tuple(sorted(entries.values(), key=lambda entry: (entry.region, entry.id))),
        )
        write_index(folder, index)
    summary.made_at = index.made_at
    summary.sets = len(index.sets)
    summary.printings = sum(entry.printings for entry in index.sets)
    return summary


def _read(opened: OpenCatalogue, summary: FetchSummary, skip: Warn) -> list[_ReadSet]:
    read, unread = list[_ReadSet](), list[str]()
    for line in opened.odd:
        skip(line)
    for one in opened.sets:
        of_set = one.read(skip)
        if of_set is None:
            unread.append(one.name)
        else:
            read.append(_ReadSet(one.name, of_set))
    lacks = [opened.incomplete] if opened.incomplete else []
    lacks += [f"{len(unread)} sets cannot be read, such as {unread[0]}"] if unread else []
    lacks += [f"{len(opened.odd)} entries of its list of sets cannot be read"] if opened.odd else []
    summary.incomplete = "; ".join(lacks)
    return read


def _chosen(read: list[_ReadSet], request: ImportRequest, source: Path) -> list[_ReadSet]:
    """Return the sets and names that are asked for.

    Raises:
        Stop: the source lacks one of the sets, or any name in one of the languages.
    """
    if request.sets:
        known = [(called, one.of_set.id) for one in read for called in _called(one)]
        exact = {one.of_set.id for one in read} | {one.name for one in read}
        for wanted in sorted(request.sets - exact):
            raise unknown_set(wanted, str(source), known)
        read = [one for one in read if request.sets & {one.of_set.id, one.name}]
    if not request.languages:
        return read
    there = dict.fromkeys(language for one in read for language in languages_of(one.of_set))
    for language in request.languages:
        if language not in there:
            raise Stop(
                f"--language {language}: {source} has no names in it, but in {', '.join(there)}"
            )
    limited = (_ReadSet(one.name, only_in(one.of_set, request.languages)) for one in read)
    return [one for one in limited if one.of_set.printings]


def _called(one: _ReadSet) -> Iterable[str]:
    """Yield what people may call a set."""
    of_set = one.of_set
    yield from (of_set.id, one.name, *of_set.names.values(), of_set.code, *of_set.codes.values())


def _without_gone(
    entries: dict[SetKey, SetEntry],
    read: list[_ReadSet],
    known: KnownSets,
    source: Path,
    warn: Warn,
) -> None:
    """Take out, when replacing, the sets that the source lacks; else say which of its kind stay."""
    origins = {one.of_set.origin for one in read}
    gone = sorted(entries.keys() - {one.key for one in read})
    if known.replace:
        for key in gone:
            del entries[key]
        if gone:
            warn(f"{len(gone)} sets that {source} lacks are taken out, such as {gone[0][1]}")
    elif missed := [key for key in gone if entries[key].origin in origins]:
        warn(
            f"{len(missed)} sets are not in {source}, such as {missed[0][1]}:"
            " kept; --replace takes them out"
        )


def _made_at(
    opened: OpenCatalogue,
    before: CatalogueIndex | None,
    source: Path,
    now: datetime,
    warn: Warn,
) -> datetime:
    """Return when the catalogue's sources were last asked, as far as they say so."""
    if opened.made_at is None:
        warn(f"{source}: nothing says how old it is: it is taken to be of today")
    made_at = min(now, opened.made_at or now)
    return made_at if before is None else max(before.made_at, made_at)

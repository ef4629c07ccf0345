"""What fetching a catalogue and reading a downloaded one share: what is kept, refused and said."""

import difflib
import threading
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from cardmint_contracts.catalogue import CatalogueSet, Region, SetEntry
from cardmint_contracts.catalogue_merge import with_known
from cardmint_edge.adapters.catalogue_folder import read_set
from cardmint_edge.domain.catalogue.assembly import Warn
from cardmint_edge.errors import Stop

TAKE_OUT = "kept; --replace takes them out"

SetKey = tuple[Region, str]


@dataclass(kw_only=True, slots=True)
class FetchSummary:
    """What a fetch did.

    `incomplete` says what the source itself lacks; empty when nothing. `missing` counts the sets,
    cards and pictures that could not be had. `made_at` is when the source
    of a folder was last asked, as far as it says so.
    """

    sets: int = 0
    changed: int = 0
    printings: int = 0
    pictures: int = 0
    skipped: int = 0
    missing: int = 0
    incomplete: str = ""
    made_at: datetime | None = None


MAX_LINES = 10
"""Lines of one kind before the rest is only counted."""


class FewLines:
    """Passes on the first lines of each kind, and counts the rest. Threads may share it."""

    def __init__(self, say: Warn) -> None:
        self._say = say
        self._lines: Counter[str] = Counter()
        self._lock = threading.Lock()

    def say(self, kind: str, line: str) -> None:
        """Say a line about a `kind` of thing, such as "cards"."""
        with self._lock:
            self._lines[kind] += 1
            said = self._lines[kind] <= MAX_LINES
        if said:
            self._say(line)

    def end(self) -> None:
        """Say how many lines were not said."""
        for kind, lines in self._lines.items():
            if lines > MAX_LINES:
                self._say(f"{lines - MAX_LINES} more lines about {kind}")


@dataclass(slots=True)
class KnownSets:
    """A folder's sets before it is brought up to date, and what of them is kept.

    With `replace` nothing is kept.
    """

    folder: Path
    entries: Mapping[SetKey, SetEntry]
    replace: bool
    _names: Counter[str] = field(default_factory=Counter)

    def kept_in(self, later: CatalogueSet, asked: Collection[str], warn: Warn) -> CatalogueSet:
        """Return a later reading of a set, with the printings and names that it lacks.

        `warn` takes a line about the printings; `asked` are the languages of the reading.
        """
        entry = self.entries.get((later.region, later.id))
        if entry is None or self.replace:
            return later
        where = f"set {later.id} ({later.region})"
        try:
            known = read_set(self.folder, entry)
        except (OSError, ValueError):
            if entry.printings > len(later.printings):
                warn(
                    f"{where}: its file was damaged: {entry.printings - len(later.printings)} cards"
                    " that the source lacks are lost"
                )
            return later
        merged = with_known(later, known)
        if merged.kept:
            warn(
                f"{where}: {len(merged.kept)} cards are no longer in the source, such as"
                f" {merged.kept[0]}: {TAKE_OUT}"
            )
        self._names.update(merged.languages & set(asked))
        return merged.of_set

    def warn_of_names(self, warn: Warn) -> None:
        """Say in one line in which languages names are kept that the source no longer has."""
        if self._names:
            names = ", ".join(f"{one} ({sets} sets)" for one, sets in sorted(self._names.items()))
            warn(f"names in {names} are no longer in the source: {TAKE_OUT}")

    def refuse_other_origin(self, keys: Iterable[SetKey], origins: Mapping[SetKey, str]) -> None:
        """Check that no set would take the place of one that was read from another kind of source.

        Raises:
            Stop: one would, and nothing was said of replacing.
        """
        if self.replace:
            return
        other = [
            (key, self.entries[key].origin)
            for key in keys
            if key in self.entries and _differ(self.entries[key].origin, origins[key])
        ]
        if other:
            (_, set_id), origin = other[0]
            raise Stop(
                f"{self.folder}: nothing written: {len(other)} of these sets, such as {set_id}, are"
                f" there from another kind of source ({origin}): choose another folder with --out,"
                " or take them all the same with --replace"
            )


def _differ(one: str, other: str) -> bool:
    """Return whether two kinds of source differ; one that is not known differs from none."""
    return bool(one and other) and one != other


def unknown_set(wanted: str, source: str, called: Iterable[tuple[str, str]]) -> Stop:
    """Return the error about a set that a source has not.

    `called` has what people may call a set (identifier, name, printed code), each with the set's
    identifier.
    """
    known: dict[str, dict[str, None]] = {}
    for name, set_id in called:
        known.setdefault(name.casefold(), {})[set_id] = None
    meant = known.get(wanted.casefold())
    alike = difflib.get_close_matches(wanted.casefold(), known, n=5, cutoff=0.5)
    named = ", ".join(dict.fromkeys(set_id for one in alike for set_id in known[one]))
    hint = (
        f"; --set takes {' or '.join(meant)}" if meant else f"; there are {named}" if named else ""
    )
    return Stop(
        f"set {wanted}: {source} lists no such set{hint} (a set's identifier, such as sv4pt5,"
        " not the code printed on its cards)"
    )


@contextmanager
def one_line_about_disk(folder: Path) -> Iterator[None]:
    """Turn an error of the disk into one line."""
    try:
        yield
    except OSError as error:
        where = error.filename or folder
        raise Stop(
            f"{where}: {error.strerror}: the catalogue cannot be written;"
            " what is in it stays, and the next run goes on"
        ) from None

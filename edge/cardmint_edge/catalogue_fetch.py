"""Fetches a catalogue from TCGdex: what is new or changed, set by set, resumable after any end."""

import difflib
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Protocol, TypeVar
from urllib.parse import quote

import msgspec
from msgspec.structs import replace

from cardmint_contracts.catalogue import (
    FORMAT,
    INDEX_FILE,
    CatalogueIndex,
    CatalogueSet,
    Region,
    SetEntry,
)
from cardmint_edge.adapters.catalogue_answers import (
    AnswerFiles,
    StoredCard,
    StoredList,
    StoredSet,
)
from cardmint_edge.adapters.catalogue_folder import (
    IMAGES,
    SetSource,
    open_catalogue,
    read_index,
    read_set,
    write_index,
    write_set,
)
from cardmint_edge.adapters.durable_files import make_folder, write_file
from cardmint_edge.adapters.tcgdex_http import Answer, NoSense, NotThere
from cardmint_edge.domain.catalogue.assembly import Warn, catalogue_set_id
from cardmint_edge.domain.catalogue.tcgdex_api import (
    ApiCard,
    ApiSet,
    ApiSetBrief,
    LanguageAnswers,
    merge,
    region_of,
)
from cardmint_edge.errors import Park, Retry, Stop

Size = Literal["low", "high"]
PICTURE_KIND = "jpg"

T = TypeVar("T")


class CatalogueApi(Protocol):
    """TCGdex, as fetching needs it. `json` and `picture` raise `Retry` and `Park`."""

    calls: int
    received: int

    def json(self, path: str, shape: type[T], etag: str = "") -> Answer[T]:
        """Return the answer at a path; without a value when nothing has changed since `etag`."""
        ...

    def picture(self, url: str) -> bytes:
        """Return the picture at an address."""
        ...


class Progress(Protocol):
    """Shows how far a fetch is."""

    def begin(self, what: str, total: int) -> None:
        """Begin `total` steps."""
        ...

    def advance(self) -> None:
        """Count one step."""
        ...

    def end(self) -> None:
        """End the steps, all done or not."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class FetchRequest:
    """What to fetch. Without `sets`, all sets.

    Facts are those of the first of `languages` that has a card; of the others only the names are
    asked for, or with `every_text` the names of attacks and abilities, too: one call a card and
    language. With `refresh` each card is asked about again; without, those that a set's own answer
    shows as new or changed.
    """

    languages: tuple[str, ...]
    sets: frozenset[str] = frozenset()
    size: Size | None = None
    every_text: bool = False
    refresh: bool = False
    connections: int = 8


@dataclass(kw_only=True, slots=True)
class FetchSummary:
    """What a fetch did."""

    sets: int = 0
    changed: int = 0
    printings: int = 0
    pictures: int = 0
    skipped: int = 0


@dataclass(slots=True)
class _Language:
    """The answers about one set in one language, before and now."""

    name: str
    before: StoredSet | None
    now: StoredSet
    wanted: list[str] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        return self.before != self.now


class CatalogueFetch:
    """One run of fetching into a folder."""

    def __init__(
        self,
        api: CatalogueApi,
        folder: Path,
        request: FetchRequest,
        *,
        source: str,
        progress: Progress,
        warn: Warn,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Take the parts. `warn` takes a line about each thing that is skipped."""
        self._api = api
        self._folder = folder
        self._request = request
        self._source = source
        self._progress = progress
        self._say = warn
        self._now = now
        self._answers = AnswerFiles(folder)
        self._summary = FetchSummary()
        self._lock = threading.Lock()

    def run(self) -> FetchSummary:
        """Fetch what is new or changed.

        Raises:
            Stop: the folder cannot be written, or holds no catalogue of this format; a set or a
                language is none of the server's.
            Retry: the server is away or busy. What was fetched stays, and the next run goes on.
        """
        with _disk(self._folder):
            index = self._index_before()
            with ThreadPoolExecutor(self._request.connections) as pool:
                try:
                    return self._run(pool, index)
                except Retry as error:
                    raise Retry(
                        f"{error}: what was fetched stays; run the command again to go on"
                    ) from None
                finally:
                    pool.shutdown(cancel_futures=True)

    def _run(self, pool: ThreadPoolExecutor, index: CatalogueIndex) -> FetchSummary:
        entries = {(entry.region, entry.id): entry for entry in index.sets}
        by_set = self._ask_sets(pool, index.languages)
        total = sum(len(one.wanted) for languages in by_set.values() for one in languages)
        self._progress.begin("cards", total)
        written = index
        try:
            for (region, set_id), languages in by_set.items():
                self._ask_cards(pool, set_id, languages)
                key = (region, catalogue_set_id(region, set_id))
                if not self._is_current(entries.get(key), languages):
                    entry = self._write(region, set_id, languages)
                    if entry is None:
                        continue
                    self._summary.changed += entries.get(key) != entry
                    entries[key] = entry
                    written = self._index(entries.values(), index, complete=False)
                    write_index(self._folder, written)
        finally:
            self._progress.end()
        written = self._index(entries.values(), index, complete=True)
        write_index(self._folder, written)
        if self._request.size is not None:
            self._fetch_pictures(pool, written, self._request.size)
        self._summary.sets = len(written.sets)
        self._summary.printings = sum(entry.printings for entry in written.sets)
        return self._summary

    def _index_before(self) -> CatalogueIndex:
        if (self._folder / INDEX_FILE).exists():
            return read_index(self._folder)
        return CatalogueIndex(
            format=FORMAT,
            source=self._source,
            made_at=self._now(),
            languages=(),
            complete=False,
            sets=(),
        )

    def _index(
        self, entries: Iterable[SetEntry], before: CatalogueIndex, *, complete: bool
    ) -> CatalogueIndex:
        return replace(
            before,
            source=self._source,
            made_at=self._now(),
            languages=_joined(self._request.languages, before.languages),
            complete=complete,
            sets=tuple(sorted(entries, key=lambda entry: (entry.region, entry.id))),
        )

    def _warn(self, line: str) -> None:
        with self._lock:
            self._summary.skipped += 1
        self._say(line)

    def _ask_sets(
        self, pool: ThreadPoolExecutor, known_languages: Sequence[str]
    ) -> dict[tuple[Region, str], list[_Language]]:
        """Ask for all lists and sets, and return each set's answers, languages in their order."""
        lists = {language: self._list_of_sets(language) for language in self._request.languages}
        self._check_wanted(lists)
        asked = [
            (language, set_id)
            for language, listed in lists.items()
            for set_id in listed
            if self._is_wanted(region_of(language), set_id)
        ]
        self._progress.begin("sets", len(asked))
        found: dict[tuple[Region, str], list[_Language]] = {}
        try:
            answers = [pool.submit(self._ask_set, *one) for one in asked]
            for (language, set_id), answer in zip(asked, answers, strict=True):
                result = answer.result()
                self._progress.advance()
                if result is not None:
                    found.setdefault((region_of(language), set_id), []).append(result)
        finally:
            self._progress.end()
        for (region, set_id), answered in found.items():
            self._add_languages(answered, region, set_id, known_languages)
            self._choose_cards(answered)
        return found

    def _check_wanted(self, lists: Mapping[str, Sequence[str]]) -> None:
        """Check that every language has sets, and that some list has each wanted set.

        Raises:
            Stop: one does not; the message names sets that are called alike.
        """
        for language, listed in lists.items():
            if not listed:
                raise Stop(f"language {language}: {self._source} lists no sets in it")
        known = {
            one: None
            for language, listed in lists.items()
            for set_id in listed
            for one in (set_id, catalogue_set_id(region_of(language), set_id))
        }
        for wanted in sorted(self._request.sets - known.keys()):
            alike = difflib.get_close_matches(wanted, known, n=5, cutoff=0.5)
            hint = f"; there are {', '.join(alike)}" if alike else ""
            raise Stop(f"set {wanted}: {self._source} lists no such set{hint}")

    def _is_wanted(self, region: Region, set_id: str) -> bool:
        wanted = self._request.sets
        return not wanted or bool(wanted & {set_id, catalogue_set_id(region, set_id)})

    def _list_of_sets(self, language: str) -> list[str]:
        before = self._answers.read_list(language)
        answer = self._api.json(
            f"{quote(language)}/sets",
            tuple[ApiSetBrief, ...],
            before.etag if before else "",
        )
        if answer.value is None and before is not None:
            return [one.id for one in before.sets]
        stored = StoredList(sets=answer.value or (), etag=answer.etag)
        self._answers.write_list(language, stored)
        listed = [one.id for one in stored.sets]
        for gone in sorted({one.id for one in before.sets} - set(listed) if before else ()):
            self._warn(f"set {gone} ({language}): no longer in the list: kept as it was")
        return listed

    def _ask_set(self, language: str, set_id: str) -> _Language | None:
        before = self._answers.read_set(language, set_id)
        try:
            answer = self._api.json(
                f"{quote(language)}/sets/{quote(set_id)}", ApiSet, before.etag if before else ""
            )
        except NotThere as error:
            self._warn(f"set {set_id} ({language}): {error}: {'kept' if before else 'skipped'}")
            return None if before is None else _Language(language, before, before)
        if answer.value is None and before is not None:
            return _Language(language, before, before)
        if answer.value is None or answer.value.id != set_id:
            self._warn(f"set {set_id} ({language}): the answer is about another: skipped")
            return None if before is None else _Language(language, before, before)
        cards = {} if before is None else before.cards
        now = StoredSet(of_set=answer.value, etag=answer.etag, cards=cards)
        return _Language(language, before, now)

    def _add_languages(
        self, answered: list[_Language], region: Region, set_id: str, known: Sequence[str]
    ) -> None:
        """Add languages that were fetched earlier and not asked for now: their names stay."""
        for language in known:
            if language in self._request.languages or region_of(language) is not region:
                continue
            before = self._answers.read_set(language, set_id)
            if before is not None:
                answered.append(_Language(language, before, before))

    def _choose_cards(self, answered: list[_Language]) -> None:
        """Note which cards to ask for in which language."""
        request, owned = self._request, set[str]()
        for one in answered:
            if one.name not in request.languages:
                continue
            before = {} if one.before is None else {b.id: b for b in one.before.of_set.cards}
            for brief in one.now.of_set.cards:
                if brief.id in owned and not request.every_text:
                    continue
                owned.add(brief.id)
                known = brief.id in one.now.cards and before.get(brief.id) == brief
                if request.refresh or not known:
                    one.wanted.append(brief.id)

    def _ask_cards(self, pool: ThreadPoolExecutor, set_id: str, languages: list[_Language]) -> None:
        """Ask for the wanted cards of a set, and keep the answers when all are there."""
        for one in languages:
            asked: list[tuple[str, Future[StoredCard | None]]] = [
                (card_id, pool.submit(self._ask_card, one, card_id)) for card_id in one.wanted
            ]
            cards = dict(one.now.cards)
            for card_id, answer in asked:
                stored = answer.result()
                self._progress.advance()
                if stored is not None:
                    cards[card_id] = stored
            one.now = replace(one.now, cards=cards)
            if one.changed:
                self._answers.write_set(one.name, set_id, one.now)

    def _ask_card(self, language: _Language, card_id: str) -> StoredCard | None:
        before = language.now.cards.get(card_id)
        try:
            answer = self._api.json(
                f"{quote(language.name)}/cards/{quote(card_id, safe='')}",
                ApiCard,
                before.etag if before else "",
            )
        except (Park, NoSense) as error:
            self._warn(f"card {card_id} ({language.name}): skipped: {error}")
            return None
        if answer.value is None:
            return before
        if answer.value.id != card_id:
            self._warn(
                f"card {card_id} ({language.name}): skipped: the answer is about"
                f" {answer.value.id[:80]!r}"
            )
            return None
        return StoredCard(card=answer.value, etag=answer.etag)

    def _is_current(self, entry: SetEntry | None, languages: list[_Language]) -> bool:
        if entry is None or any(one.changed for one in languages):
            return False
        try:
            read_set(self._folder, entry)
        except (OSError, ValueError):
            return False
        return True

    def _write(self, region: Region, set_id: str, languages: list[_Language]) -> SetEntry | None:
        answers = [
            (
                one.name,
                LanguageAnswers(
                    one.now.of_set,
                    {card_id: stored.card for card_id, stored in one.now.cards.items()},
                ),
            )
            for one in languages
        ]
        try:
            merged: CatalogueSet = merge(answers, self._warn)
        except msgspec.ValidationError as error:
            self._warn(f"set {set_id} ({region}): skipped: {error}")
            return None
        return write_set(self._folder, merged)

    def _fetch_pictures(self, pool: ThreadPoolExecutor, index: CatalogueIndex, size: Size) -> None:
        folder = self._folder / IMAGES
        make_folder(folder)
        wanted = [
            (folder / f"{printing.id}.{PICTURE_KIND}", printing.image)
            for entry in index.sets
            if self._is_wanted(entry.region, entry.id)
            for printing in read_set(self._folder, entry).printings
            if printing.image
        ]
        missing = [(path, url) for path, url in wanted if not path.exists()]
        self._progress.begin("pictures", len(missing))
        try:
            asked = [
                pool.submit(self._fetch_picture, path, f"{url}/{size}.{PICTURE_KIND}")
                for path, url in missing
            ]
            for answer in asked:
                self._summary.pictures += answer.result()
                self._progress.advance()
        finally:
            self._progress.end()

    def _fetch_picture(self, path: Path, url: str) -> bool:
        try:
            content = self._api.picture(url)
        except (Park, NoSense) as error:
            self._warn(f"{path.name}: skipped: {error}")
            return False
        write_file(path, content)
        return True


def import_folder(
    source: Path,
    folder: Path,
    *,
    warn: Warn,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> FetchSummary:
    """Make a catalogue of a downloaded folder: pokemon-tcg-data's, TCGdex's, another catalogue.

    Raises:
        Stop: the source has none of the layouts, or the folder cannot be written.
    """
    summary = FetchSummary()

    def skip(line: str) -> None:
        summary.skipped += 1
        warn(line)

    with _disk(folder):
        before = read_index(folder) if (folder / INDEX_FILE).exists() else None
        known = {(one.region, one.id): one for one in before.sets} if before else {}
        entries, languages = dict(known), dict.fromkeys(before.languages if before else ())
        for one in _read_all(open_catalogue(source).sets, skip):
            entry = write_set(folder, one)
            summary.changed += known.get((entry.region, entry.id)) != entry
            entries[entry.region, entry.id] = entry
            languages |= dict.fromkeys(
                language for printing in one.printings for language in printing.names
            )
        index = CatalogueIndex(
            format=FORMAT,
            source=str(source),
            made_at=now(),
            languages=tuple(languages),
            complete=True,
            sets=tuple(sorted(entries.values(), key=lambda entry: (entry.region, entry.id))),
        )
        write_index(folder, index)
    summary.sets = len(index.sets)
    summary.printings = sum(entry.printings for entry in index.sets)
    return summary


def _read_all(sources: Iterable[SetSource], warn: Warn) -> Iterator[CatalogueSet]:
    for source in sources:
        one = source.read(warn)
        if one is not None:
            yield one


def _joined(first: Iterable[str], second: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*first, *second]))


@contextmanager
def _disk(folder: Path) -> Iterator[None]:
    """Turn an error of the disk into one line."""
    try:
        yield
    except OSError as error:
        where = error.filename or folder
        raise Stop(
            f"{where}: {error.strerror}: the catalogue cannot be written;"
            " what is in it stays, and the next run goes on"
        ) from None

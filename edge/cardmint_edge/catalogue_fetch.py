"""Fetches a catalogue from TCGdex: what is new or changed, set by set, resumable after any end."""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol, TypeVar
from urllib.parse import quote

import msgspec
from msgspec.structs import replace

from cardmint_contracts.catalogue import FORMAT, CatalogueIndex, Region, SetEntry
from cardmint_edge.adapters.catalogue_answers import (
    AnswerFiles,
    Size,
    StoredCard,
    StoredList,
    StoredSet,
)
from cardmint_edge.adapters.catalogue_folder import (
    index_to_extend,
    read_set,
    write_index,
    write_set,
)
from cardmint_edge.adapters.only_writer import only_writer
from cardmint_edge.adapters.tcgdex_http import Answer, NoSense
from cardmint_edge.catalogue_pictures import PICTURE_KIND, CataloguePictures
from cardmint_edge.catalogue_update import (
    FetchSummary,
    FewLines,
    KnownSets,
    SetKey,
    one_line_about_disk,
    unknown_set,
)
from cardmint_edge.domain.catalogue.assembly import Warn, catalogue_set_id
from cardmint_edge.domain.catalogue.tcgdex_api import (
    ORIGIN,
    ApiCard,
    ApiSetBrief,
    LanguageAnswers,
    merge,
    read_api_set,
    read_list,
    region_of,
)
from cardmint_edge.errors import Park, Retry, Stop

T = TypeVar("T")

AWAY_AFTER = 10
"""Things in a row, each tried several times, after which the server counts as away."""

GO_ON = "what was fetched stays; run the command again to go on"


class CatalogueApi(Protocol):
    """TCGdex, as fetching needs it. `json` and `picture` raise `Retry` and `Park`."""

    calls: int
    received: int

    def interrupt(self) -> None:
        """End all waiting, from any thread."""
        ...

    def json(self, path: str, shape: type[T], etag: str = "") -> Answer[T]:
        """Return the answer at a path; without a value when nothing has changed since `etag`."""
        ...

    def picture(self, url: str, etag: str = "") -> Answer[bytes]:
        """Return the picture at an address; without a value when it is that of `etag`."""
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
    language. With `refresh` each card and picture is asked about again; without, those that a set's
    own answer shows as new or changed. With `replace`, what the source no longer has is taken out.
    """

    languages: tuple[str, ...]
    sets: frozenset[str] = frozenset()
    size: Size | None = None
    every_text: bool = False
    refresh: bool = False
    replace: bool = False
    connections: int = 8


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
        self._few = FewLines(warn)
        self._say = warn
        self._failures = 0
        self._now = now
        self._answers = AnswerFiles(folder)
        self._summary = FetchSummary()
        self._lock = threading.Lock()

    def run(self) -> FetchSummary:
        """Fetch what is new or changed.

        Raises:
            Stop: the folder cannot be written, has a later format, or another process writes into
                it; a set or a language is none of the server's; a set is there from another kind of
                source.
            Retry: the server is away or busy. What was fetched stays, and the next run goes on.

        One thing that cannot be had is skipped with a line, and counted in `missing`.
        """
        with one_line_about_disk(self._folder), only_writer(self._folder):
            index = self._index_before()
            with ThreadPoolExecutor(self._request.connections) as pool:
                try:
                    return self._run(pool, index)
                except Retry as error:
                    raise Retry(f"{error}: {GO_ON}") from None
                except KeyboardInterrupt:
                    self._api.interrupt()
                    raise
                finally:
                    pool.shutdown(cancel_futures=True)
                    self._few.end()

    def _run(self, pool: ThreadPoolExecutor, index: CatalogueIndex) -> FetchSummary:
        entries = {(entry.region, entry.id): entry for entry in index.sets}
        known = KnownSets(self._folder, dict(entries), self._request.replace)
        by_set = self._ask_sets(pool, index.languages, known)
        total = sum(len(one.wanted) for languages in by_set.values() for one in languages)
        self._progress.begin("cards", total)
        written = index
        try:
            for (region, set_id), languages in by_set.items():
                self._ask_cards(pool, set_id, languages)
                key = (region, catalogue_set_id(region, set_id))
                if not self._is_current(entries.get(key), languages):
                    entry = self._write(region, set_id, languages, known)
                    if entry is None:
                        continue
                    self._summary.changed += entries.get(key) != entry
                    entries[key] = entry
                    written = self._index(entries.values(), index, complete=False)
                    write_index(self._folder, written)
        finally:
            self._progress.end()
        known.warn_of_names(self._say)
        self._take_out_gone(entries, index.languages)
        written = self._index(entries.values(), index, complete=False)
        if self._request.size is not None:
            write_index(self._folder, written)
            self._fetch_pictures(pool, written, self._request.size)
        complete = not self._summary.missing and (index.complete or not self._is_part_of(index))
        written = self._index(entries.values(), index, complete=complete)
        write_index(self._folder, written)
        self._summary.sets = len(written.sets)
        self._summary.printings = sum(entry.printings for entry in written.sets)
        return self._summary

    def _take_out_gone(
        self, entries: dict[SetKey, SetEntry], known_languages: Sequence[str]
    ) -> None:
        """Take out, when replacing, the sets that no list of their region's languages has."""
        if not self._request.replace or self._request.sets:
            return
        asked = {region_of(language) for language in self._request.languages}
        listed = set[SetKey]()
        for language in _joined(self._request.languages, known_languages):
            region, answered = region_of(language), self._answers.read_list(language)
            if answered is not None:
                listed |= {(region, catalogue_set_id(region, one.id)) for one in answered.sets}
        gone = sorted(key for key in entries if key[0] in asked and key not in listed)
        for key in gone:
            del entries[key]
        if gone:
            self._warn(
                f"{len(gone)} sets that the source lacks are taken out, such as {gone[0][1]}"
            )

    def _index_before(self) -> CatalogueIndex:
        return index_to_extend(self._folder, self._say) or CatalogueIndex(
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
            # What is not asked for is as old as it was.
            made_at=before.made_at if self._is_part_of(before) else self._now(),
            languages=_joined(self._request.languages, before.languages),
            complete=complete,
            sets=tuple(sorted(entries, key=lambda entry: (entry.region, entry.id))),
        )

    def _is_part_of(self, before: CatalogueIndex) -> bool:
        return bool(self._request.sets and before.sets)

    def _warn(self, line: str) -> None:
        self._skip("entries", line)

    def _skip(self, kind: str, line: str, *, missing: bool = False) -> None:
        with self._lock:
            self._summary.skipped += 1
            self._summary.missing += missing
        self._few.say(kind, line)

    def _had(self, kind: str, name: str, ask: Callable[[], T]) -> T | None:
        """Return what `ask` returns; None, with a line, for one thing that cannot be had.

        Raises:
            Retry: so many things in a row failed that the server counts as away.
        """
        try:
            result = ask()
        except Park as error:
            self._skip(kind, f"{name}: skipped: {error}", missing=True)
            return None
        except Retry as error:
            with self._lock:
                self._failures += 1
                away = self._failures >= AWAY_AFTER
            if away:
                raise
            self._skip(kind, f"{name}: skipped: {error}", missing=True)
            return None
        with self._lock:
            self._failures = 0
        return result

    def _ask_sets(
        self, pool: ThreadPoolExecutor, known_languages: Sequence[str], known: KnownSets
    ) -> dict[SetKey, list[_Language]]:
        """Ask for all lists and sets, and return each set's answers, languages in their order."""
        lists = {language: self._list_of_sets(language) for language in self._request.languages}
        self._check_wanted(lists)
        asked = [
            (language, one.id)
            for language, listed in lists.items()
            for one in listed
            if self._is_wanted(region_of(language), one.id)
        ]
        keys = [
            (region, catalogue_set_id(region, set_id))
            for region, set_id in ((region_of(language), set_id) for language, set_id in asked)
        ]
        known.refuse_other_origin(keys, dict.fromkeys(keys, ORIGIN))
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
            self._check_count(region, set_id, answered)
        return found

    def _check_wanted(self, lists: Mapping[str, Sequence[ApiSetBrief]]) -> None:
        """Check that every language has sets, and that some list has each wanted set.

        Raises:
            Stop: one does not; the message names sets that are called alike.
        """
        for language, listed in lists.items():
            if not listed:
                raise Stop(f"language {language}: {self._source} lists no sets in it")
        names = [
            (language, one, catalogue_set_id(region_of(language), one.id))
            for language, listed in lists.items()
            for one in listed
        ]
        unknown = self._request.sets - {one.id for _, one, _ in names} - {one[2] for one in names}
        for wanted in sorted(unknown):
            called = list[tuple[str, str]]()
            for language, one, set_id in names:
                known = (set_id, one.id, one.name, *self._codes(language, one.id))
                called += [(name, set_id) for name in known]
            raise unknown_set(wanted, self._source, called)

    def _codes(self, language: str, set_id: str) -> list[str]:
        """Return the codes that a set prints, where it was fetched before."""
        known = self._answers.read_set(language, set_id)
        codes = None if known is None else known.of_set.abbreviation
        return [] if codes is None else [one for one in (codes.official, codes.normal) if one]

    def _is_wanted(self, region: Region, set_id: str) -> bool:
        wanted = self._request.sets
        return not wanted or bool(wanted & {set_id, catalogue_set_id(region, set_id)})

    def _list_of_sets(self, language: str) -> tuple[ApiSetBrief, ...]:
        before = self._answers.read_list(language)
        try:
            answer = self._api.json(
                f"{quote(language)}/sets",
                tuple[msgspec.Raw, ...],
                before.etag if before else "",
            )
        except (Park, NoSense) as error:
            raise Stop(
                f"no list of sets in {language}: {error}: --url takes the address of TCGdex's API"
                " up to its version, such as https://api.tcgdex.net/v2, --language languages that"
                " it has"
            ) from None
        if answer.value is None and before is not None:
            return before.sets
        listed_sets = read_list(answer.value or (), f"the list of sets ({language})", self._odd)
        stored = StoredList(sets=listed_sets, etag=answer.etag)
        self._answers.write_list(language, stored)
        listed = {one.id for one in stored.sets}
        for gone in sorted({one.id for one in before.sets} - listed if before else ()):
            self._warn(f"set {gone} ({language}): no longer in the list: kept as it was")
        return stored.sets

    def _odd(self, line: str) -> None:
        """Say that an entry of the source is left out: it is not all there."""
        self._skip("entries", line, missing=True)

    def _ask_set(self, language: str, set_id: str) -> _Language | None:
        before, name = self._answers.read_set(language, set_id), f"set {set_id} ({language})"
        known = None if before is None else _Language(language, before, before)
        # Answers that an earlier version stored lack the number of cards.
        counted = before is not None and before.of_set.cardCount.total is not None
        etag = before.etag if before is not None and counted else ""
        path = f"{quote(language)}/sets/{quote(set_id)}"
        answer = self._had("sets", name, lambda: self._api.json(path, msgspec.Raw, etag))
        if answer is None:
            return known
        if answer.value is None:
            return known
        of_set = read_api_set(bytes(answer.value), name, self._odd)
        if of_set is None:
            return known
        if of_set.id != set_id:
            self._skip("sets", f"{name}: skipped: the answer is about another", missing=True)
            return known
        cards, again = ({}, ()) if before is None else (before.cards, before.again)
        now = StoredSet(of_set=of_set, etag=answer.etag, cards=cards, again=again)
        return _Language(language, before, now)

    def _check_count(self, region: Region, set_id: str, answered: list[_Language]) -> None:
        """Say of a set that none of the languages lists all of its cards."""
        asked = [one.now.of_set for one in answered if one.name in self._request.languages]
        lacks = [(one.lacking, one) for one in asked]
        lacking, of_set = min(lacks, key=lambda one: one[0], default=(0, None))
        if lacking and of_set is not None:
            self._skip(
                "sets",
                f"set {set_id} ({region}): the source lists {len(of_set.cards)} of its"
                f" {len(of_set.cards) + lacking} cards",
                missing=True,
            )

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
                known = known and brief.id not in one.now.again
                if request.refresh or not known:
                    one.wanted.append(brief.id)

    def _ask_cards(self, pool: ThreadPoolExecutor, set_id: str, languages: list[_Language]) -> None:
        """Ask for the wanted cards of a set, and keep the answers when all are there."""
        for one in languages:
            asked: list[tuple[str, Future[StoredCard | None]]] = [
                (card_id, pool.submit(self._ask_card, one, card_id)) for card_id in one.wanted
            ]
            cards, again = dict(one.now.cards), list[str]()
            for card_id, answer in asked:
                stored = answer.result()
                self._progress.advance()
                if stored is not None:
                    cards[card_id] = stored
                else:
                    again.append(card_id)
            one.now = replace(
                one.now, cards=cards, again=tuple(again) if one.wanted else one.now.again
            )
            if one.changed:
                self._answers.write_set(one.name, set_id, one.now)

    def _ask_card(self, language: _Language, card_id: str) -> StoredCard | None:
        before, name = language.now.cards.get(card_id), f"card {card_id} ({language.name})"
        path = f"{quote(language.name)}/cards/{quote(card_id, safe='')}"
        etag = before.etag if before else ""
        answer = self._had("cards", name, lambda: self._api.json(path, ApiCard, etag))
        if answer is None:
            return None
        if answer.value is None:
            return before
        if answer.value.id != card_id:
            about = answer.value.id[:80]
            self._skip("cards", f"{name}: skipped: the answer is about {about!r}", missing=True)
            return None
        return StoredCard(card=answer.value, etag=answer.etag)

    def _is_current(self, entry: SetEntry | None, languages: list[_Language]) -> bool:
        changed = self._request.replace or any(one.changed for one in languages)
        if entry is None or changed:
            return False
        try:
            read_set(self._folder, entry)
        except (OSError, ValueError):
            return False
        return True

    def _write(
        self, region: Region, set_id: str, languages: list[_Language], known: KnownSets
    ) -> SetEntry | None:
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
            merged = merge(answers, self._warn)
        except msgspec.ValidationError as error:
            self._odd(f"set {set_id} ({region}): skipped: {error}")
            return None
        whole = known.kept_in(merged, self._request.languages, self._warn)
        return write_set(self._folder, whole)

    def _fetch_pictures(self, pool: ThreadPoolExecutor, index: CatalogueIndex, size: Size) -> None:
        pictures = CataloguePictures(self._folder, self._api, size, refresh=self._request.refresh)
        wanted = [
            (printing.id, printing.image)
            for entry in index.sets
            if self._is_wanted(entry.region, entry.id)
            for printing in read_set(self._folder, entry).printings
            if printing.image
        ]
        missing = [one for one in wanted if pictures.is_wanted(one[0])]

        def fetch(card_id: str, address: str) -> bool | None:
            name = f"{card_id}.{PICTURE_KIND}"
            return self._had("pictures", name, lambda: pictures.fetch(card_id, address))

        self._progress.begin("pictures", len(missing))
        try:
            for asked in [pool.submit(fetch, *one) for one in missing]:
                self._summary.pictures += bool(asked.result())
                self._progress.advance()
        finally:
            self._progress.end()
            pictures.close()


def _joined(first: Iterable[str], second: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*first, *second]))

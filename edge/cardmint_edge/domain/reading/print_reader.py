"""Print on a card: it settles the printing of an art, or names a card without a picture."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from cardmint_contracts.cards import Card
from cardmint_edge.domain.config import ReaderConfig, UnreadCosts
from cardmint_edge.domain.evidence import PrintScores
from cardmint_edge.domain.reading.attacks import Moves, attack_leads
from cardmint_edge.domain.reading.catalogue_texts import CatalogueTexts, TextIndex, best_of
from cardmint_edge.domain.reading.clear_numbers import (
    ReadNumber,
    read_numbers,
    unknown_number,
    unpadded,
)
from cardmint_edge.domain.reading.close_up import CloseUp, read_close_up
from cardmint_edge.domain.reading.ctc import Reading, text_scores
from cardmint_edge.domain.reading.languages import is_legible, language_scores
from cardmint_edge.domain.reading.lexicon import plain
from cardmint_edge.domain.reading.strips import (
    BODY,
    FAR_NUMBERS,
    HEALTH,
    LIKELIEST_NUMBERS,
    NAMES,
    OTHER_NUMBERS,
    RUNNING_TEXT,
    StripCutter,
    StripReader,
    normalised_strip,
)
from cardmint_edge.domain.reading.trigrams import LANGUAGES, trigrams_of, trigrams_read
from cardmint_edge.domain.vision.view import CardView, StripPlace, View

SURE_LETTER = 0.9
"""Probability (0 to 1) from which a letter shows that a place is legible."""

CLEAR_LETTER = 0.5
"""Probability (0 to 1) from which a letter of running text counts."""

_UNREAD = -60.0
"""Score (log) of a text that was not read at all."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PrintScore:
    """Scores (log) of a printing's number, name and health points on a card.

    `name_lead` is the score of its name minus that of the best other name: in a blur any name
    scores fairly.
    """

    card_id: str
    number: float
    name: float
    health: float
    name_lead: float
    unread: UnreadCosts

    @property
    def total(self) -> float:
        """Sum of the scores; each costs at most what it costs not to be read."""
        return (
            _soft_floor(self.number, self.unread.number)
            + _soft_floor(self.name, self.unread.name)
            + (
                self.unread.no_health
                if self.health == -np.inf
                else _soft_floor(self.health, self.unread.health)
            )
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Examined:
    """What print says of given printings, by their identifiers.

    `languages` are those of `Evidence`, `clear` the numbers that stand clearly on the card.
    """

    scores: dict[str, PrintScores]
    languages: dict[str, float]
    clear: frozenset[ReadNumber] = frozenset()


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """What a search found: what print says of the likeliest cards, and the place of that print.

    Likeliest first; `clear` are the numbers that stand clearly at any place.
    """

    examined: Examined
    where: CardView | None
    clear: frozenset[ReadNumber]


@dataclass(frozen=True, kw_only=True, slots=True)
class CardReadings:
    """Readings of the strips of one card, and the numbers that stand clearly in them."""

    numbers: list[Reading]
    names: list[Reading]
    health: list[Reading]
    clear: frozenset[ReadNumber] = frozenset()

    @property
    def letters(self) -> int:
        """How many letters are read clearly."""
        every = [*self.numbers, *self.names, *self.health]
        return int(sum((one[:, 1:].max(axis=1) >= SURE_LETTER).sum() for one in every))

    def with_more(self, other: "CardReadings") -> "CardReadings":
        """Return the readings of both."""
        return CardReadings(
            numbers=self.numbers + other.numbers,
            names=self.names + other.names,
            health=self.health + other.health,
            clear=self.clear | other.clear,
        )


class PrintReader:
    """Reads the print of one card at a time; `texts` are the catalogue's.

    `cut` cuts a strip out of a card as `reader` takes it, `moves` returns a card's attacks and
    abilities.
    """

    def __init__(
        self,
        reader: StripReader,
        texts: CatalogueTexts,
        config: ReaderConfig | None = None,
        *,
        cut: StripCutter = normalised_strip,
        moves: Callable[[str], Moves] | None = None,
    ) -> None:
        self._reader = reader
        self._moves = moves
        self._cut = cut
        self._texts = texts
        self._config = config or ReaderConfig()

    def search(self, places: Iterable[CardView]) -> Found:
        """Read print at each place until it lies the right way up."""
        best: list[PrintScore] = []
        there: tuple[CardView, CardReadings] | None = None
        clear = set[ReadNumber]()
        for card, likeliest in self._by_legibility(places, clear):
            readings, scores = self._read_more(card, likeliest, self.score(likeliest))
            clear |= readings.clear
            if scores and (not best or scores[0].total > best[0].total):
                best, there = scores, (card, readings)
                first = best[0]
                upright = first.total > self._config.right_way_up and first.name_lead >= 0
                if upright and not self._lacks_number(first):
                    break
        if there is None:
            nothing = Examined(scores={}, languages={})
            return Found(examined=nothing, where=None, clear=frozenset(clear))
        where, readings = there
        likely = [score.card_id for score in best[: self._config.matches]]
        examined = self._examined(readings, likely)
        return Found(examined=examined, where=where, clear=frozenset(clear))

    def _by_legibility(
        self, places: Iterable[CardView], clear: set[ReadNumber]
    ) -> Iterator[tuple[CardView, CardReadings]]:
        """Yield the first place if it is legible, then the most legible others.

        So many as are scored at most: that takes five times as long as reading the likeliest
        strips. Numbers that stand clearly at any place are added to `clear`.
        """
        left = self._config.scored_places
        others: list[tuple[int, int, CardView, CardReadings]] = []
        for order, card in enumerate(places):
            readings = self._read_likeliest(card)
            clear |= readings.clear
            if not order and readings.letters >= self._config.legible_letters:
                yield card, readings
                left -= 1
            else:
                others.append((-readings.letters, order, card, readings))
        for _, _, card, readings in sorted(others)[:left]:
            yield card, readings

    def score(self, readings: CardReadings) -> list[PrintScore]:
        """Return the scores of the catalogue's likeliest cards, likeliest first."""
        texts, config = self._texts, self._config
        if not texts.cards:
            return []
        number_bounds = texts.numbers.upper_bounds(readings.numbers)
        name_bounds = texts.names.upper_bounds(readings.names)
        bounds = (
            np.maximum(best_of(number_bounds, texts.number_rows), config.unread.number)
            + np.maximum(best_of(name_bounds, texts.name_rows), config.unread.name)
            + self._health_bounds(texts.health.upper_bounds(readings.health))
        )
        count = min(config.shortlist, len(bounds))
        cards = np.argpartition(-bounds, count - 1)[:count]
        rows = texts.number_rows[cards]
        readable = np.where(np.append(number_bounds, 0)[rows] > config.unread.number, rows, -1)
        numbers = _card_scores(readings.numbers, texts.numbers, readable, number=True)
        compared = np.union1d(_best_rows(name_bounds, config.rivals), texts.name_rows[cards])
        by_name = _row_scores(readings.names, texts.names, compared, number=False)
        names = best_of(by_name, texts.name_rows[cards]).astype(np.float64)
        rivals = _best_others(by_name, texts.name_rows[cards])
        health = _card_scores(readings.health, texts.health, texts.health_rows[cards], number=True)
        scores = [
            PrintScore(
                card_id=texts.cards[card],
                number=number,
                name=name,
                health=points,
                name_lead=name - rival,
                unread=config.unread,
            )
            for card, number, name, rival, points in zip(
                cards.tolist(),
                numbers.tolist(),
                names.tolist(),
                rivals.tolist(),
                health.tolist(),
                strict=True,
            )
        ]
        return sorted(scores, key=lambda score: -score.total)

    def examine(self, card: CardView, printings: list[Card]) -> Examined | None:
        """Score the print of a card that is one of `printings`; None where it is too small.

        The likeliest places are read first, the others only when those leave it open.
        """
        config = self._config
        if card.height < config.min_height:
            return None
        ids = [one.id for one in printings]
        readings = self._read_likeliest(card)
        examined = self._examined(readings, ids)
        scores = examined.scores.values()
        number = max(((one.number, one.number_lead) for one in scores), default=(0.0, np.inf))
        name = max((one.name for one in scores), default=0.0)
        open_number = number[0] < config.clear_number or number[1] < config.number_lead
        open_name = name < config.clear_name
        if not open_number and not open_name:
            return examined
        more = self._read_card(
            card,
            OTHER_NUMBERS if open_number else (),
            NAMES[1:] if open_name else (),
            HEALTH[1:] if open_name else (),
        )
        return self._examined(readings.with_more(more), ids)

    def running_text(self, card: CardView) -> Iterator[frozenset[int]]:
        """Yield the trigrams of running text, those of two strips at a time.

        Nothing where the card is too small.
        """
        if card.height < self._config.min_height:
            return
        for places in RUNNING_TEXT:
            strips = self._read(card, places)
            yield frozenset[int]().union(*(trigrams_read(one, CLEAR_LETTER) for one in strips))

    def attacks(self, card: CardView, card_ids: list[str]) -> dict[str, float]:
        """Return the lead of each printing by its attacks and abilities; 0 where none is read."""
        if self._moves is None or not card_ids or card.height < self._config.min_height:
            return dict.fromkeys(card_ids, 0.0)
        moves = {card_id: self._moves(card_id) for card_id in card_ids}
        return attack_leads(self._read(card, BODY), moves)

    def names_of_moves(self, card_id: str) -> dict[str, frozenset[int]]:
        """Return the trigrams of a printing's attacks and abilities by language."""
        moves = self._moves(card_id) if self._moves else []
        return {
            language: frozenset(
                one for move in moves for one in trigrams_of(plain(move.get(language, ""))).tolist()
            )
            for language in LANGUAGES
        }

    def unknown_number(self, clear: Iterable[ReadNumber]) -> str:
        """Return the number that stands clearly in enough strips, if the catalogue has none."""
        return unknown_number(clear, self._is_known, self._config.agreeing_strips)

    def _is_known(self, number: str) -> bool:
        known = self._texts.numbers
        return known.row(number) >= 0 or known.row(unpadded(number)) >= 0

    def close_up(self, view: View) -> CloseUp | None:
        """Read the number on a photo that shows a card's lower edge alone."""
        return read_close_up(view, self._reader, self._texts)

    def look_again(
        self,
        places: Iterable[CardView],
        printings: list[Card],
        card_of: Callable[[str], Card | None],
    ) -> Iterator[tuple[Examined, CardView]]:
        """Yield the scores of given printings, and of those that print itself names, as it reads.

        First by the likeliest strips at the most legible place, then by others there of what could
        not be read.
        `card_of` returns a printing by its identifier. Nothing where the card is too small.
        """
        config = self._config
        large = (place for place in places if place.height >= config.min_height)
        found = next(self._by_legibility(large, set()), None)
        if found is None:
            return
        card, first = found
        scores = self.score(first)
        yield self._named(first, scores, printings, card_of), card
        if not scores:
            return
        open_number = scores[0].number < config.clear_number
        open_name = scores[0].name < config.clear_name
        if open_number or open_name:
            more = self._read_card(
                card,
                OTHER_NUMBERS if open_number else (),
                NAMES[1:] if open_name else (),
                HEALTH[1:] if open_name else (),
            )
            more = first.with_more(more)
            yield self._named(more, self.score(more), printings, card_of), card

    def _named(
        self,
        readings: CardReadings,
        scores: list[PrintScore],
        printings: list[Card],
        card_of: Callable[[str], Card | None],
    ) -> Examined:
        asked = [one.id for one in printings]
        named = [
            score.card_id
            for score in scores[: self._config.matches]
            if score.card_id not in asked and card_of(score.card_id) is not None
        ]
        return self._examined(readings, [*asked, *named])

    def _read_likeliest(self, card: CardView) -> CardReadings:
        return self._read_card(card, LIKELIEST_NUMBERS, NAMES[:1], HEALTH[:1])

    def _read_more(
        self, card: CardView, first: CardReadings, scores: list[PrintScore]
    ) -> tuple[CardReadings, list[PrintScore]]:
        """Read the other places, too, where the likeliest leave it open."""
        config = self._config
        if not scores or (
            scores[0].total > config.clear_card
            and scores[0].total - _runner_up(scores) > config.clear_lead
        ):
            return first, scores
        readings = first.with_more(self._read_card(card, OTHER_NUMBERS, NAMES[1:], HEALTH[1:]))
        scores = self.score(readings)
        if self._lacks_number(scores[0]):
            readings = readings.with_more(self._read_card(card, FAR_NUMBERS, (), ()))
            scores = self.score(readings)
        return readings, scores

    def _artist_leads(self, readings: CardReadings, card_ids: list[str]) -> dict[str, float]:
        """Return the lead of each printing's artist over any other; 0 where none is read.

        The credit stands beside the number.
        """
        config, artists = self._config, self._texts.artists
        rows = {card_id: self._texts.artist_row(card_id) for card_id in card_ids}
        likely = _best_rows(artists.upper_bounds(readings.numbers), config.close_rivals).tolist()
        compared = sorted({*likely, *rows.values()} - {-1})
        texts = [artists.texts[row] for row in compared]
        best = text_scores(readings.numbers, texts, number=True).max(axis=0, initial=_UNREAD)
        ranked = _ranked(dict(zip(texts, best.tolist(), strict=True)))
        second, first = np.sort(np.append([_UNREAD, _UNREAD], best))[-2:].tolist()
        if first < config.clear_artist or first - second < config.artist_lead:
            return dict.fromkeys(card_ids, 0.0)
        return {
            card_id: self._lead(ranked, [artists.texts[row]]) if row >= 0 else second - first
            for card_id, row in rows.items()
        }

    def _lead(
        self,
        ranked: Iterable[tuple[str, float]],
        own: Collection[str],
        unread: float = _UNREAD,
    ) -> float:
        """Return the lead of the best of some texts over the best other one.

        `ranked` are all texts with their scores, best first. A text that stands within one of its
        own is no full rival: it is read there, too.
        """
        within = self._config.contained
        mine, rival = -np.inf, -np.inf
        for text, score in ranked:
            if text in own:
                mine = max(mine, score)
            elif score > rival:
                less = within if any(text in longer for longer in own) else 0.0
                rival = max(rival, score - less)
            if mine >= score and rival >= score:
                break
        return max(mine, unread) - max(rival, unread)

    def _examined(self, readings: CardReadings, card_ids: list[str]) -> Examined:
        points = {card_id: self._texts.health_points(card_id) for card_id in card_ids}
        numbers, health = self._digit_scores(readings, points)
        titles_of = {card_id: self._texts.titles_in(card_id) for card_id in points}
        read = self._names_read(readings.names, titles_of.values())
        names = self._name_scores(read, titles_of)
        artists = self._artist_leads(readings, card_ids)
        by_points = _ranked(health)
        scores = {
            card_id: PrintScores(
                number=numbers[card_id][0],
                number_lead=numbers[card_id][1],
                name=names[card_id][0],
                name_lead=names[card_id][1],
                health=health.get(own) if own else None,
                health_lead=self._lead(by_points, [own]) if own in health else 0.0,
                artist=artists[card_id],
            )
            for card_id, own in points.items()
        }
        best = max(scores, key=lambda card_id: _likelihood(scores[card_id]), default="")
        return Examined(
            scores=scores,
            languages=language_scores(
                read,
                {
                    language: max(titles, key=read.__getitem__)
                    for language, titles in titles_of.get(best, {}).items()
                },
                legible=any(map(is_legible, readings.names)),
                pokemon=bool(points.get(best)),
            ),
            clear=readings.clear,
        )

    def _digit_scores(
        self, readings: CardReadings, points: Mapping[str, str]
    ) -> tuple[dict[str, tuple[float, float]], dict[str, float]]:
        """Return score and lead of each printing's number, and the score of each health points.

        The worst ones for a printing without a number. A strip that cuts off the first digit shows
        another number, so rivals are taken from the strip where an own number reads best.
        """
        known, strips = self._texts.numbers, readings.numbers
        own = [(card_id, form) for card_id in points for form in self._texts.number_forms(card_id)]
        forms = [form for _, form in own]
        others = [
            known.texts[row]
            for row in _best_rows(known.upper_bounds(strips), self._config.close_rivals)
            if known.texts[row] not in forms
        ]
        health = self._texts.health.texts
        # One call for all: its time is that of its steps, hardly that of its texts.
        every = text_scores([*strips, *readings.health], [*forms, *others, *health], number=True)
        scores = every[: len(strips), : len(forms) + len(others)]
        unread = self._config.unread.number
        found = dict.fromkeys(points, (unread, unread))
        by_points = dict(
            zip(health, _mean(every[len(strips) :, scores.shape[1] :]).tolist(), strict=True)
        )
        if not own:
            return found, by_points
        mean = _mean(scores)
        clearest = scores[int(scores[:, : len(own)].max(axis=1).argmax())].tolist()
        rivals = dict(zip(others, clearest[len(own) :], strict=True))
        for place, (card_id, form) in enumerate(own):
            score = max(found[card_id][0], float(mean[place]))
            lead = self._lead(_ranked({**rivals, form: clearest[place]}), [form])
            # Digits alone, which promos print, are found in many other numbers.
            lead = lead if known.row(form) >= 0 else min(0.0, lead)
            found[card_id] = score, max(found[card_id][1], lead)
        return found, by_points

    def _names_read(
        self, readings: list[Reading], titles_of: Iterable[Mapping[str, tuple[str, ...]]]
    ) -> dict[str, float]:
        """Return the score of given titles, and of the likeliest others."""
        known = self._texts.names
        likely = _best_rows(known.upper_bounds(readings), self._config.close_rivals)
        texts = {known.texts[row] for row in likely}
        texts |= {one for titles in titles_of for own in titles.values() for one in own}
        given = sorted(texts)
        return dict(
            zip(given, _mean(text_scores(readings, given, number=False)).tolist(), strict=True)
        )

    def _name_scores(
        self, read: Mapping[str, float], titles_of: Mapping[str, Mapping[str, tuple[str, ...]]]
    ) -> dict[str, tuple[float, float]]:
        """Return score and lead of each printing's title, in the language that reads best.

        A title that all energies share speaks against other cards only, and an energy without any
        title is one whose title is not read: neither leads.
        """
        unread = self._config.unread.name
        found, ranked = {}, _ranked(read)
        for card_id, titles in titles_of.items():
            own = {*chain.from_iterable(titles.values())}
            names = {name for name, *_ in titles.values()}
            mine = max((read[title] for title in own), default=unread)
            lead = self._lead(ranked, names, unread)
            if own != names and lead <= 0:
                lead = min(0.0, self._lead(ranked, own, self._config.untitled))
            found[card_id] = max(mine, unread), lead
        return found

    def _read_card(
        self,
        card: CardView,
        numbers: tuple[StripPlace, ...],
        names: tuple[StripPlace, ...],
        health: tuple[StripPlace, ...],
    ) -> CardReadings:
        read = self._read(card, numbers)
        return CardReadings(
            numbers=read,
            names=self._read(card, names),
            health=self._read(card, health),
            clear=read_numbers(card, numbers, read, self._config.clear_letter),
        )

    def _read(self, card: CardView, places: tuple[StripPlace, ...]) -> list[Reading]:
        return [self._reader(self._cut(card, place)) for place in places]

    def _lacks_number(self, score: PrintScore) -> bool:
        """Return whether the name was read, but no number of a card of that name."""
        config = self._config
        return score.name > config.clear_name and score.number < config.unread.number / 2

    def _health_bounds(self, bounds: NDArray[np.float32]) -> NDArray[np.float32]:
        unread = self._config.unread
        of_cards = best_of(bounds, self._texts.health_rows)
        return np.where(
            np.isneginf(of_cards),
            np.float32(unread.no_health),
            np.maximum(of_cards, np.float32(unread.health)),
        )


def _ranked(scores: Mapping[str, float]) -> list[tuple[str, float]]:
    """Return texts with their scores, best first."""
    return sorted(scores.items(), key=lambda item: -item[1])


def _likelihood(scores: PrintScores) -> float:
    return max(scores.number, -12.0) + max(scores.name, -9.0)


def _runner_up(scores: list[PrintScore]) -> float:
    return max((score.total for score in scores[1:]), default=-np.inf)


def _mean(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return each text's likelihood (log), averaged over strips."""
    mean = np.logaddexp.reduce(scores, axis=0) - np.log(len(scores))
    return np.asarray(np.maximum(mean, _UNREAD))


def _card_scores(
    readings: list[Reading], texts: TextIndex, rows: NDArray[np.int32], *, number: bool
) -> NDArray[np.float64]:
    """Return each card's score: the best among its texts; -inf without a text."""
    return best_of(_row_scores(readings, texts, rows, number=number), rows).astype(np.float64)


def _row_scores(
    readings: list[Reading], texts: TextIndex, rows: NDArray[np.int32], *, number: bool
) -> NDArray[np.float32]:
    """Return the scores of the texts in `rows`, averaged over strips; -inf for all other texts."""
    wanted = np.unique(rows[rows >= 0])
    values = np.full(len(texts.texts), -np.inf, dtype=np.float32)
    if len(wanted):
        scores = text_scores(readings, [texts.texts[row] for row in wanted.tolist()], number=number)
        values[wanted] = np.logaddexp.reduce(scores, axis=0) - np.log(len(scores))
    return values


def _best_rows(values: NDArray[np.float32], count: int) -> NDArray[np.intp]:
    count = min(count, len(values))
    return np.argpartition(-values, count - 1)[:count] if count else np.zeros(0, np.intp)


def _best_others(values: NDArray[np.float32], rows: NDArray[np.int32]) -> NDArray[np.float32]:
    """Return for each card (its rows) the best value of a row that is not its own."""
    order = np.append(np.argsort(-values)[: rows.shape[1] + 1], -1)
    own = (order[None, :, None] == rows[:, None, :]).any(axis=2)
    own[:, -1] = False
    best = np.append(values, np.float32(-np.inf))[order[own.argmin(axis=1)]]
    return np.asarray(best, dtype=np.float32)


def _soft_floor(score: float, floor: float) -> float:
    return float(np.logaddexp(score, floor))

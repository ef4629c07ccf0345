"""Print on a card: it settles the printing of an art, or names a card without a picture."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cardmint_contracts.cards import Card
from cardmint_edge.domain.config import ReaderConfig, UnreadCosts
from cardmint_edge.domain.evidence import NumberScores
from cardmint_edge.domain.reading.attacks import Moves, attack_languages, attack_leads
from cardmint_edge.domain.reading.catalogue_texts import CatalogueTexts, TextIndex, best_of
from cardmint_edge.domain.reading.clear_numbers import clear_numbers, unpadded
from cardmint_edge.domain.reading.ctc import Reading, text_scores
from cardmint_edge.domain.reading.strips import (
    ARTISTS,
    BODY,
    FAR_NUMBERS,
    HEALTH,
    LIKELIEST_NUMBERS,
    NAMES,
    OTHER_NUMBERS,
    StripCutter,
    StripReader,
    normalised_strip,
)
from cardmint_edge.domain.vision.view import CardView, StripPlace

FOREIGN_SIGNS = ("KP", "PV", "PS")
"""What stands for HP in German, French, and in Italian, Spanish or Portuguese."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PrintScore:
    """Scores (log) of a printing's number, name and health points on a card.

    `name_lead` is the score of its name minus that of the best other name: in a blur any name
    scores fairly. `artist` is the score of its artist minus that of the best other; 0 where no
    artist was looked for. `attack` is the lead of its attacks over those of other cards.
    """

    card_id: str
    number: float
    name: float
    health: float
    name_lead: float
    unread: UnreadCosts
    artist: float = 0.0
    attack: float = 0.0

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
class CardReadings:
    """Readings of the strips of one card."""

    numbers: list[Reading]
    names: list[Reading]
    health: list[Reading]

    def with_more(self, other: "CardReadings") -> "CardReadings":
        """Return the readings of both."""
        return CardReadings(
            numbers=self.numbers + other.numbers,
            names=self.names + other.names,
            health=self.health + other.health,
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

    def search(self, places: Iterable[CardView]) -> tuple[list[PrintScore], CardView | None]:
        """Read print at each place until it lies the right way up.

        Return the best scores, likeliest card first, and the place where they were read.
        """
        config = self._config
        best: list[PrintScore] = []
        where: CardView | None = None
        for card in places:
            scores = self._scores_at(card)
            if scores and (not best or scores[0].total > best[0].total):
                best, where = scores, card
                first = best[0]
                upright = first.total > config.right_way_up and first.name_lead >= 0
                if upright and not self._lacks_number(first):
                    break
        if where is not None and self._is_open(best):
            best = self._ordered_by_attacks(where, best)
            if self._is_open(best):
                best = self._ordered_by_artist(where, best)
        return best, where

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

    def numbers(self, card: CardView, printings: list[Card]) -> NumberScores | None:
        """Read the number of a card that is one of `printings`; None where it is too small.

        The likeliest places are read first, the others only when those leave it open.
        """
        config = self._config
        own = [
            (printing.id, form)
            for printing in printings
            for form in self._texts.number_forms(printing.id)
        ]
        if not own or card.height < config.min_height:
            return None
        readings = self._read(card, LIKELIEST_NUMBERS)
        scores = self._number_scores(readings, printings, own)
        best = max(scores.own.values())
        if best < config.clear_number or scores.rival_in_strip > best - config.number_lead:
            readings += self._read(card, OTHER_NUMBERS)
            scores = self._number_scores(readings, printings, own)
        return scores

    def has_foreign_sign(self, card: CardView, card_id: str) -> bool:
        """Return whether another language's sign than HP stands beside a card's health points."""
        config = self._config
        points = self._texts.health_points(card_id)
        if not points or card.height < config.min_height:
            return False
        forms = ("{0} {1}", "{0}{1}", "{1} {0}", "{1}{0}")
        signs = ("HP", *FOREIGN_SIGNS)
        texts = [form.format(points, sign) for sign in signs for form in forms]
        english, foreign = -np.inf, -np.inf
        for place in HEALTH:
            scores = text_scores(self._read(card, (place,)), texts, number=True)
            by_sign = scores.reshape(len(signs), -1)
            english = max(english, float(by_sign[0].max()))
            foreign = max(foreign, float(by_sign[1:].max()))
            if english >= config.clear_sign:
                break
        return foreign >= config.clear_sign and foreign - english >= config.sign_lead

    def attack_languages(self, card: CardView, card_id: str) -> dict[str, float]:
        """Return the log-likelihood of each language, relative to the best, by a card's attacks.

        Empty where none is read, or none is known of the printing.
        """
        moves = self._moves(card_id) if self._moves else []
        if not moves or card.height < self._config.min_height:
            return {}
        return attack_languages(self._read(card, BODY), moves)

    def unknown_number(self, card: CardView) -> str:
        """Return the number with its total on a card, when it is clear and none of the catalogue's.

        Empty where one of the catalogue's is as clear, or none is.
        """
        config = self._config
        if card.height < config.min_height:
            return ""
        found = self._clear_numbers(card, LIKELIEST_NUMBERS)
        if not found or any(map(self._is_known, found)):
            return ""
        found += self._clear_numbers(card, OTHER_NUMBERS)
        number, strips = found.most_common(1)[0]
        enough = strips >= config.agreeing_strips and not any(map(self._is_known, found))
        return number if enough else ""

    def _clear_numbers(self, card: CardView, places: tuple[StripPlace, ...]) -> Counter[str]:
        """Return in how many strips each clear number stands."""
        least = self._config.clear_letter
        return Counter(
            number
            for reading in self._read(card, places)
            for number in clear_numbers(reading, least)
        )

    def _is_known(self, number: str) -> bool:
        known = self._texts.numbers
        return known.row(number) >= 0 or known.row(unpadded(number)) >= 0

    def _scores_at(self, card: CardView) -> list[PrintScore]:
        """Read the likeliest place of each text, and the others only when those leave it open."""
        config = self._config
        first = self._read_card(card, LIKELIEST_NUMBERS, NAMES[:1], HEALTH[:1])
        scores = self.score(first)
        if not scores or (
            scores[0].total > config.clear_card
            and scores[0].total - _runner_up(scores) > config.clear_lead
        ):
            return scores
        readings = first.with_more(self._read_card(card, OTHER_NUMBERS, NAMES[1:], HEALTH[1:]))
        scores = self.score(readings)
        if self._lacks_number(scores[0]):
            more = self._read(card, FAR_NUMBERS)
            scores = self.score(replace(readings, numbers=readings.numbers + more))
        return scores

    def _is_open(self, scores: list[PrintScore]) -> bool:
        """Return whether an artist's name could put another card first."""
        sums = [score.total + score.attack for score in scores]
        return sums[0] + self._config.unread.artist < max(sums[1:], default=-np.inf)

    def _ordered_by_attacks(self, card: CardView, scores: list[PrintScore]) -> list[PrintScore]:
        """Order cards that other print leaves open by their attacks, too."""
        if self._moves is None:
            return scores
        likely = scores[: self._config.artists]
        moves = {score.card_id: self._moves(score.card_id) for score in likely}
        leads = attack_leads(self._read(card, BODY), moves)
        ordered = [replace(score, attack=leads[score.card_id]) for score in likely]
        return sorted(ordered, key=lambda score: -score.total - score.attack)

    def _ordered_by_artist(self, card: CardView, scores: list[PrintScore]) -> list[PrintScore]:
        """Order cards that other print leaves open by the artist, too."""
        config, artists = self._config, self._texts.artists
        rows = [self._texts.artist_row(score.card_id) for score in scores[: config.artists]]
        readings = self._read(card, ARTISTS)
        likely = _best_rows(artists.upper_bounds(readings), config.artists).tolist()
        compared = sorted({*likely, *rows} - {-1})
        by_artist = text_scores(
            readings, [artists.texts[row] for row in compared], number=True
        ).max(axis=0, initial=-np.inf)
        second, best = np.sort(np.append([-np.inf, -np.inf], by_artist))[-2:]
        if best < config.clear_artist or best - second < config.artist_lead:
            return scores
        behind = {
            row: max(config.unread.artist, float(score - best))
            for row, score in zip(compared, by_artist, strict=True)
        }
        credited = [
            replace(score, artist=behind.get(row, config.unread.artist))
            for score, row in zip(scores, rows, strict=False)
        ]
        return sorted(credited, key=lambda score: -score.total - score.attack - score.artist)

    def _number_scores(
        self, readings: list[Reading], printings: list[Card], own: list[tuple[str, str]]
    ) -> NumberScores:
        known = self._texts.numbers
        forms = [form for _, form in own]
        others = [
            known.texts[row]
            for row in _best_rows(known.upper_bounds(readings), self._config.rivals)
            if known.texts[row] not in forms
        ]
        scores = text_scores(readings, [*forms, *others], number=True)
        own_scores, other_scores = scores[:, : len(own)], scores[:, len(own) :]
        best = {printing.id: -np.inf for printing in printings}
        for (card_id, _), score in zip(own, own_scores.max(axis=0).tolist(), strict=True):
            best[card_id] = max(best[card_id], score)
        # A strip that cuts off the first digit shows another number, so rivals are taken from the
        # strip where an own number reads best.
        clearest = int(own_scores.max(axis=1).argmax())
        return NumberScores(
            own=best,
            rival_in_strip=float(other_scores[clearest].max(initial=-np.inf)),
            best_other=float(other_scores.max(initial=-np.inf)),
        )

    def _read_card(
        self,
        card: CardView,
        numbers: tuple[StripPlace, ...],
        names: tuple[StripPlace, ...],
        health: tuple[StripPlace, ...],
    ) -> CardReadings:
        return CardReadings(
            numbers=self._read(card, numbers),
            names=self._read(card, names),
            health=self._read(card, health),
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


def _runner_up(scores: list[PrintScore]) -> float:
    return max((score.total for score in scores[1:]), default=-np.inf)


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

"""What the print says: which of several printings a card is, and which card it is when no picture is known."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cardmint_contracts.cards import Card
from cardmint_edge.domain.decide import Numbers
from cardmint_edge.domain.reading.catalogue_texts import Strings, Texts, best_of
from cardmint_edge.domain.reading.ctc import Reading, explained
from cardmint_edge.domain.reading.strips import (
    ARTISTS,
    FAR,
    HEALTH,
    LIKELIEST,
    NAMES,
    NUMBERS,
    OTHERS,
    Letters,
    Place,
    cut_strip,
)
from cardmint_edge.domain.recognition import Corners, Frame
from cardmint_edge.domain.vision.rectify import sides

LEAST_TALL = 420
"""On a card less high than this many pixels the digits are less than 7 high, and are not read."""

SHORTLIST = 100
"""So many cards of the catalogue are scored properly, likeliest first by the bounds."""

UNREAD = {"number": -11.0, "name": -9.0, "health": -4.0}
"""What a text costs at most (log): glare, wear and blur hide each of them now and then."""


RIVALS = 40
"""So many other numbers, or names, are compared with a card's own."""

OPEN = -2.0
"""A number that reads less well than this (log) is looked for in more places."""

CLEAR = -3.0
ENOUGH = 8.0
"""A card that explains what was read better than CLEAR, and better than any other by ENOUGH (logs), is read once."""

READ = -9.0
"""Print that explains this much, and no other name better, lies the right way up.

It is not looked for elsewhere.
"""

NAMED = -5.0
"""A name that reads better than this (log) is surely there.

So is its number, if perhaps not where it is looked for.
"""

ARTISTS_COMPARED = 20
"""Of so many cards, and of so many others' artists, the artist is looked for where print leaves the card open."""

SIGNED_BY = -18.0
SIGNED_LEAD = 2.0
"""An artist's name that reads less well than this (log), or no better than another's by so much, was not read."""

OTHER_ARTIST = -4.0
"""What it costs at most (log) that another artist's name stands there, or that the card's is not known."""

NO_HEALTH = -1.5
"""What it costs that a card has no health points to be read."""

SIGNS = ("KP", "PV", "PS")
"""What stands for HP beside the health points in German, French, and Italian, Spanish or Portuguese."""

SIGNED = -6.0
"""A sign that reads less well than this (log) was not read."""

SIGN_APART = 4.0
"""By so much (log) one of SIGNS must read better than HP."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Fit:
    """How well a printing's number, name and health points explain what was read (logs, about 0 at best)."""

    card_id: str
    number: float
    name: float
    health: float
    lead: float
    """By so much its name does better than the best of other names.

    Of a blur any name is a fair reading.
    """
    artist: float = 0.0
    """How well its artist's name explains what was read, against the best of others.

    0 where it was not looked for.
    """

    @property
    def total(self) -> float:
        """All together, none counting less than what it costs not to be read."""
        return (
            _seen(self.number, UNREAD["number"])
            + _seen(self.name, UNREAD["name"])
            + (NO_HEALTH if self.health == -np.inf else _seen(self.health, UNREAD["health"]))
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Written:
    """What the strips of one card gave to read."""

    numbers: list[Reading]
    names: list[Reading]
    health: list[Reading]


class PrintReader:
    """Reads the print of one card at a time.

    `letters` reads a strip, `strings` knows the catalogue.
    """

    def __init__(self, letters: Letters, strings: Strings) -> None:
        self._letters = letters
        self._strings = strings

    def search(
        self, levels: list[Frame], places: Iterable[Corners]
    ) -> tuple[list[Fit], Corners | None]:
        """Look for print wherever a card may lie.

        Return what fits best, likeliest first, and where it was read.
        """
        best: list[Fit] = []
        where: Corners | None = None
        for corners in places:
            found = self._found(levels, corners)
            if found and (not best or found[0].total > best[0].total):
                best, where = found, corners
                if best[0].total > READ and best[0].lead >= 0 and not _numberless(best[0]):
                    break
        if where is not None and best[0].total + OTHER_ARTIST < _runner_up(best):
            best = self._by_artist(levels, where, best)
        return best, where

    def _found(self, levels: list[Frame], corners: Corners) -> list[Fit]:
        """Read the likeliest place of each text, and the others only when those leave it open."""
        first = self.written(levels, corners, LIKELIEST, NAMES[:1], HEALTH[:1])
        found = self.find(first)
        if not found or (found[0].total > CLEAR and found[0].total - _runner_up(found) > ENOUGH):
            return found
        more = self.written(levels, corners, OTHERS, NAMES[1:], HEALTH[1:])
        written = Written(
            numbers=first.numbers + more.numbers,
            names=first.names + more.names,
            health=first.health + more.health,
        )
        found = self.find(written)
        if _numberless(found[0]):
            found = self.find(
                replace(written, numbers=written.numbers + self._read(levels, corners, FAR))
            )
        return found

    def _by_artist(self, levels: list[Frame], corners: Corners, found: list[Fit]) -> list[Fit]:
        """Order cards that print leaves open by whose name stands at the lower left, too."""
        rows = [self._strings.artist_row(fit.card_id) for fit in found[:ARTISTS_COMPARED]]
        readings = self._read(levels, corners, ARTISTS)
        artists = self._strings.artists
        asked = sorted({*_best(artists.bounds(readings), ARTISTS_COMPARED).tolist(), *rows} - {-1})
        scores = explained(readings, [artists.texts[row] for row in asked], number=True).max(
            axis=0, initial=-np.inf
        )
        second, best = np.sort(np.append([-np.inf, -np.inf], scores))[-2:]
        if best < SIGNED_BY or best - second < SIGNED_LEAD:
            return found
        against = {
            row: max(OTHER_ARTIST, float(score - best))
            for row, score in zip(asked, scores, strict=True)
        }
        signed = [
            replace(fit, artist=against.get(row, OTHER_ARTIST))
            for fit, row in zip(found, rows, strict=False)
        ]
        return sorted(signed, key=lambda fit: -fit.total - fit.artist)

    def written(
        self,
        levels: list[Frame],
        corners: Corners,
        numbers: tuple[Place, ...] = NUMBERS,
        names: tuple[Place, ...] = NAMES,
        health: tuple[Place, ...] = HEALTH,
    ) -> Written:
        """Read places of a card."""
        return Written(
            numbers=self._read(levels, corners, numbers),
            names=self._read(levels, corners, names),
            health=self._read(levels, corners, health),
        )

    def find(self, written: Written) -> list[Fit]:
        """Return the catalogue's likeliest cards by what was read, likeliest first."""
        strings = self._strings
        if not strings.cards:
            return []
        of_numbers, of_names = (
            strings.numbers.bounds(written.numbers),
            strings.names.bounds(written.names),
        )
        bounds = (
            np.maximum(best_of(of_numbers, strings.number_rows), UNREAD["number"])
            + np.maximum(best_of(of_names, strings.name_rows), UNREAD["name"])
            + _or_none(best_of(strings.health.bounds(written.health), strings.health_rows))
        )
        count = min(SHORTLIST, len(bounds))
        cards = np.argpartition(-bounds, count - 1)[:count]
        hopeful = np.where(
            np.append(of_numbers, 0)[rows := strings.number_rows[cards]] > UNREAD["number"],
            rows,
            -1,
        )
        numbers = _scores(written.numbers, strings.numbers, hopeful, number=True)
        named = np.union1d(_best(of_names, RIVALS), strings.name_rows[cards])
        by_name = _texts(written.names, strings.names, named, number=False)
        names = best_of(by_name, strings.name_rows[cards]).astype(np.float64)
        health = _scores(written.health, strings.health, strings.health_rows[cards], number=True)
        first, second = _two_best(by_name)
        fits = [
            Fit(
                card_id=strings.cards[card],
                number=number,
                name=name,
                health=points,
                lead=name - (second[1] if strings.name_rows[card] == first[0] else first[1]),
            )
            for card, number, name, points in zip(
                cards.tolist(), numbers.tolist(), names.tolist(), health.tolist(), strict=True
            )
        ]
        return sorted(fits, key=lambda fit: -fit.total)

    def numbers(self, levels: list[Frame], corners: Corners, cards: list[Card]) -> Numbers | None:
        """Read the number of a card that is one of `cards`; None when it is too small to be read.

        The likeliest places are read first, the others only when those leave it open.
        """
        own = [(card.id, form) for card in cards for form in self._strings.forms(card.id)]
        if not own or sides(corners)[1] < LEAST_TALL:
            return None
        readings = self._read(levels, corners, LIKELIEST)
        seen = self._numbers(readings, cards, own)
        if max(seen.own.values()) < OPEN or seen.beside > max(seen.own.values()) - 1:
            readings += self._read(levels, corners, OTHERS)
            seen = self._numbers(readings, cards, own)
        return seen

    def other_language(self, levels: list[Frame], corners: Corners, card_id: str) -> bool:
        """Return whether another language's sign than HP was clearly read beside a card's health points."""
        points = self._strings.points(card_id)
        if not points or sides(corners)[1] < LEAST_TALL:
            return False
        forms = ("{0} {1}", "{0}{1}", "{1} {0}", "{1}{0}")
        ways = [form.format(points, sign) for sign in ("HP", *SIGNS) for form in forms]
        own, others = -np.inf, -np.inf
        for place in HEALTH:
            read = explained(self._read(levels, corners, (place,)), ways, number=True).reshape(
                1 + len(SIGNS), -1
            )
            own, others = max(own, float(read[0].max())), max(others, float(read[1:].max()))
            if own >= SIGNED:
                break
        return others >= SIGNED and others - own >= SIGN_APART

    def _numbers(
        self, readings: list[Reading], cards: list[Card], own: list[tuple[str, str]]
    ) -> Numbers:
        known = self._strings.numbers
        forms = [form for _, form in own]
        others = [
            known.texts[row]
            for row in _best(known.bounds(readings), RIVALS)
            if known.texts[row] not in forms
        ]
        both = explained(readings, [*forms, *others], number=True)
        scores, others_scores = both[:, : len(own)], both[:, len(own) :]
        best = {card.id: -np.inf for card in cards}
        for (card_id, _), score in zip(own, scores.max(axis=0).tolist(), strict=True):
            best[card_id] = max(best[card_id], score)
        # A strip that cuts the number's first digit off shows another number: what counts is where
        # it reads best.
        clearest = int(scores.max(axis=1).argmax())
        return Numbers(
            own=best,
            beside=float(others_scores[clearest].max(initial=-np.inf)),
            other=float(others_scores.max(initial=-np.inf)),
        )

    def _read(
        self, levels: list[Frame], corners: Corners, places: tuple[Place, ...]
    ) -> list[Reading]:
        return [self._letters(cut_strip(levels, corners, place)) for place in places]


def _numberless(fit: Fit) -> bool:
    """Whether the name was read, but no number of a card of that name."""
    return fit.name > NAMED and fit.number < UNREAD["number"] / 2


def _runner_up(found: list[Fit]) -> float:
    return max((fit.total for fit in found[1:]), default=-np.inf)


def _scores(
    readings: list[Reading], texts: Texts, rows: NDArray[np.int32], *, number: bool
) -> NDArray[np.float64]:
    """Return each card's score: that of the text (or the best of the texts) that `rows` names.

    -inf for none.
    """
    return best_of(_texts(readings, texts, rows, number=number), rows).astype(np.float64)


def _texts(
    readings: list[Reading], texts: Texts, rows: NDArray[np.int32], *, number: bool
) -> NDArray[np.float32]:
    """Return the scores of the texts of `rows`, all strips together; -inf for all other texts."""
    asked = np.unique(rows[rows >= 0])
    values = np.full(len(texts.texts), -np.inf, dtype=np.float32)
    if len(asked):
        scores = explained(readings, [texts.texts[row] for row in asked.tolist()], number=number)
        values[asked] = np.logaddexp.reduce(scores, axis=0) - np.log(len(scores))
    return values


def _best(values: NDArray[np.float32], count: int) -> NDArray[np.intp]:
    count = min(count, len(values))
    return np.argpartition(-values, count - 1)[:count] if count else np.zeros(0, np.intp)


def _two_best(values: NDArray[np.float32]) -> list[tuple[int, float]]:
    order = [*np.argsort(-values)[:2].tolist(), -1, -1][:2]
    return [(row, float(values[row]) if row >= 0 else -np.inf) for row in order]


def _or_none(health: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.where(
        np.isneginf(health), np.float32(NO_HEALTH), np.maximum(health, np.float32(UNREAD["health"]))
    )


def _seen(score: float, floor: float) -> float:
    return float(np.logaddexp(score, floor))

"""The catalogue's numbers, names, health points and artists, indexed to be scored all at once."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from cardmint_contracts.cards import CardId
from cardmint_edge.domain.reading.ctc import Reading
from cardmint_edge.domain.reading.lexicon import (
    ALPHABET,
    LANGUAGE_CODES,
    codes,
    number_forms,
    plain,
)

FORMS = 7
"""How many forms a number has at most."""

NAMED = tuple(LANGUAGE_CODES)
"""The languages of names that are read: those of other scripts have no letter that is read."""

ENERGY_TITLES = {
    "en": "ENERGY",
    "fr": "ENERGIE",
    "de": "ENERGIE",
    "it": "ENERGIA",
    "es": "ENERGIA",
    "pt": "ENERGIA",
}
"""What stands where a title stands on energies, by language: their name stands lower or nowhere."""

TITLES = len(NAMED) + len({*ENERGY_TITLES.values()})
"""How many texts may stand in a printing's title at most, in all languages."""

CLASSES = len(ALPHABET) + 1

LONG_CREDIT = 8
"""Letters of an artist's name from which it is looked for alone: "Ilust." stands before it, too."""

MAX_GAP = 8
"""Greatest distance between two neighbouring letters of a text, in steps."""

PAIRED = 20
"""How many letters, the likeliest of a strip, are bounded by their distance too."""

_FLOOR = 1e-7


@dataclass(frozen=True, kw_only=True, slots=True)
class PrintedFacts:
    """What stands on a printing's cards, by the catalogue.

    `health` and `artist` are empty where the card has none. `names` holds its names by language,
    as far as the pack knows them, `code` what its set prints beside the number. `energy` says
    whether it is an energy.
    """

    card_id: str
    name: str
    number: str
    total: int | None
    promo: bool
    health: str = ""
    artist: str = ""
    names: Mapping[str, str] = field(default_factory=dict)
    code: str = ""
    energy: bool = False


class TextIndex:
    """Distinct texts as codes, each cut in two: many share a half, the number or the total."""

    def __init__(self, texts: Iterable[str]) -> None:
        self.texts = sorted(set(texts) - {""})
        self._rows = {text: row for row, text in enumerate(self.texts)}
        cuts = [text.find("/") if "/" in text else len(text) // 2 for text in self.texts]
        self._heads = _Halves(
            [text[: at + 1] for text, at in zip(self.texts, cuts, strict=True)], end=0
        )
        self._tails = _Halves(
            [text[at:] for text, at in zip(self.texts, cuts, strict=True)], end=-1
        )

    def row(self, text: str) -> int:
        """Return a text's row; -1 for a text that is not there."""
        return self._rows.get(text, -1)

    def upper_bounds(self, readings: Iterable[Reading]) -> NDArray[np.float32]:
        """Return an upper bound of each text's score in the best strip (log, one a row).

        Each two neighbouring letters must be read somewhere, at most MAX_GAP steps apart, wherever
        in the strip: cheap, and never below the likeliest path of the text.
        """
        best = np.full(len(self.texts), -np.inf, dtype=np.float32)
        for reading in readings:
            alone, pairs = _letter_scores(reading)
            best = np.maximum(
                best,
                (
                    self._heads.partial_bounds(alone, pairs)
                    + self._tails.partial_bounds(alone, pairs)
                )
                / 2,
            )
        return best


class _Halves:
    """Halves of texts; `end` is the index of the letter at the text's end."""

    def __init__(self, halves: list[str], *, end: int) -> None:
        known = sorted(set(halves))
        rows = {half: row for row, half in enumerate(known)}
        self._rows = np.array([rows[half] for half in halves], dtype=np.intp)
        spelt = np.zeros((len(known), max(map(len, known), default=1)), dtype=np.intp)
        for row, half in enumerate(known):
            spelt[row, : len(half)] = codes(half)
        self._ends = np.array([codes(half[end])[0] for half in known], dtype=np.intp)
        # A row for each place in the halves, so that sums run over long rows.
        self._pairs = np.ascontiguousarray((spelt[:, :-1] * CLASSES + spelt[:, 1:]).T)

    def partial_bounds(
        self, alone: NDArray[np.float32], pairs: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """For each text, sum the scores of its half's letter pairs and of its last letter."""
        total = alone[self._ends]
        for place in self._pairs:
            total += pairs.take(place)
        return np.asarray(total.take(self._rows), dtype=np.float32)


def _letter_scores(reading: Reading) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the best score (log) of each letter, and of each pair within MAX_GAP steps."""
    logs = np.log(np.maximum(reading, _FLOOR), dtype=np.float32)
    alone = logs.max(axis=0)
    pairs = np.asarray(alone[:, None] + alone[None, :], dtype=np.float32)
    likely = np.argsort(-alone[1:])[:PAIRED] + 1
    first = logs[:, likely]
    later = np.concatenate([first[1:], np.full((MAX_GAP, len(likely)), -np.inf, dtype=np.float32)])
    windows = np.lib.stride_tricks.sliding_window_view(later, MAX_GAP, axis=0)[: len(first)]
    second = windows.max(axis=2)
    pairs[np.ix_(likely, likely)] = (first[:, :, None] + second[:, None, :]).max(axis=0)
    # Code 0 pads short texts and costs nothing; the letter before it counts as the text's end.
    alone[0] = 0
    pairs[:, 0] = 0
    pairs[0] = 0
    return alone, pairs


class CatalogueTexts:
    """The catalogue's numbers, names, health points and artists, by card."""

    def __init__(self, facts: Iterable[PrintedFacts]) -> None:
        self.cards: list[CardId] = []
        self._forms: dict[CardId, tuple[str, ...]] = {}
        self._points: dict[CardId, str] = {}
        self._codes: dict[CardId, str] = {}
        self._energies: set[CardId] = set()
        names, credited = list[tuple[str, ...]](), list[str]()
        # In one pass, and each text once: all facts at once took 40 MB.
        same: dict[str, str] = {}
        for card in facts:
            self.cards.append(card.card_id)
            self._forms[card.card_id] = number_forms(
                card.number, card.total, promo=card.promo, code=card.code
            )
            names.append(tuple(same.setdefault(name, name) for name in _names(card)))
            credited.append(same.setdefault(card.artist, card.artist))
            if card.health.isdigit():
                self._points[card.card_id] = same.setdefault(card.health, card.health)
            if card.code:
                self._codes[card.card_id] = same.setdefault(card.code, card.code)
            if card.energy:
                self._energies.add(card.card_id)
        self._places = {card_id: place for place, card_id in enumerate(self.cards)}
        forms = self._forms.values()
        self.numbers = TextIndex(form for own in forms for form in own if _is_distinctive(form))
        own_titles = ENERGY_TITLES.values() if self._energies else ()
        self.names = TextIndex([*(name for own in names for name in own), *own_titles])
        self.health = TextIndex(self._points.values())
        credit_lines = {artist: _credit(artist) for artist in set(credited)}
        self.artists = TextIndex(credit_lines.values())
        self.number_rows = np.full((len(self.cards), FORMS), -1, dtype=np.int32)
        self.name_rows = np.full((len(self.cards), TITLES), -1, dtype=np.int32)
        self._language_rows = np.full((len(self.cards), len(NAMED)), -1, dtype=np.int32)
        for place, card_id in enumerate(self.cards):
            rows = [self.numbers.row(form) for form in self._forms[card_id]]
            rows = [row for row in rows if row >= 0][:FORMS]
            self.number_rows[place, : len(rows)] = rows
            by_language = [self.names.row(name) for name in names[place]]
            self._language_rows[place] = by_language
            found = {*chain.from_iterable(self.titles_in(card_id).values())}
            self.name_rows[place, : len(found)] = sorted(map(self.names.row, found))
        self.health_rows = np.array(
            [self.health.row(self.health_points(card_id)) for card_id in self.cards], np.int32
        )
        self._artist_rows = {
            card_id: self.artists.row(credit_lines[artist])
            for card_id, artist in zip(self.cards, credited, strict=True)
        }

    def number_forms(self, card_id: str) -> tuple[str, ...]:
        """Return the forms of a printing's number; none for a card outside of the catalogue."""
        return self._forms.get(card_id, ())

    def cards_numbered(self, number: str) -> list[str]:
        """Return the printings that have a number in one of its forms."""
        row = self.numbers.row(number)
        found = np.flatnonzero((self.number_rows == row).any(axis=1)) if row >= 0 else ()
        return [self.cards[card] for card in found]

    def code(self, card_id: str) -> str:
        """Return the code that a printing's set prints; empty where none is known."""
        return self._codes.get(card_id, "")

    def titles_in(self, card_id: str) -> dict[str, tuple[str, ...]]:
        """Return what may stand in a printing's title by language, in the reader's letters.

        Its name; of an energy also what most energies bear instead. Nothing for another card.
        """
        place = self._places.get(card_id)
        rows = () if place is None else self._language_rows[place].tolist()
        energy = card_id in self._energies
        return {
            language: (self.names.texts[row], *([ENERGY_TITLES[language]] if energy else []))
            for language, row in zip(NAMED, rows, strict=False)
            if row >= 0
        }

    def health_points(self, card_id: str) -> str:
        """Return a printing's health points; empty for a card without any."""
        return self._points.get(card_id, "")

    def artist_row(self, card_id: str) -> int:
        """Return a printing's row of `artists`; -1 where the artist is not known."""
        return self._artist_rows.get(card_id, -1)


def _names(card: PrintedFacts) -> Iterator[str]:
    """Yield a card's names by language, in the reader's letters; empty where it has none.

    A single letter is found in every strip. What a catalogue adds in brackets ("Boss's Orders
    (Lysandre)") does not stand in the title.
    """
    names = {"en": card.name, **card.names}
    for language in NAMED:
        name = plain(names.get(language, "").partition(" (")[0])
        yield name if len(name) > 1 else ""


def best_of(values: NDArray[np.float32], rows: NDArray[np.int32]) -> NDArray[np.float32]:
    """Return each card's value, or the best of its rows' values; -inf for a card without a row."""
    padded = np.append(values, np.float32(-np.inf))
    if rows.ndim == 1:
        return padded[rows]
    # Maxima of long columns are ten times as fast as those of short rows.
    best = padded[rows[:, 0]]
    for column in rows.T[1:]:
        np.maximum(best, padded[column], out=best)
    return best


def _credit(artist: str) -> str:
    """Return what to look for: without "Illus." a short name stands in many longer ones."""
    name = plain(artist)
    return name if not name or len(name) >= LONG_CREDIT else f"Illus. {name}"


def _is_distinctive(form: str) -> bool:
    """Return whether a number can be looked for in a strip: digits alone are found in anything."""
    return "/" in form or form[0].isalpha()

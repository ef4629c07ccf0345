"""What is printed on every card of the catalogue, as the reader would say it, ready to be scored all at once."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cardmint_edge.domain.reading.ctc import Reading
from cardmint_edge.domain.reading.lexicon import ALPHABET, codes, number_forms, plain

FORMS = 4
"""A number is printed in at most so many ways."""

CLASSES = len(ALPHABET) + 1

SOON = 8
"""A text's next letter is read at most so many steps after a letter."""

HEARD = 20
"""Of so many letters, the likeliest, it is looked how near they stand to one another."""

_FLOOR = 1e-7


@dataclass(frozen=True, kw_only=True, slots=True)
class Print:
    """What a printing's facts say is on the card.

    `health` and `artist` are empty where the card has none.
    """

    card_id: str
    name: str
    number: str
    total: int | None
    promo: bool
    health: str = ""
    artist: str = ""


class Texts:
    """Different texts, each once, as codes.

    Cut in two, since many share a half: the number, or the total.
    """

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
        """Return a text's row; -1 for one that is not there."""
        return self._rows.get(text, -1)

    def bounds(self, readings: Iterable[Reading]) -> NDArray[np.float32]:
        """Return for each text an upper bound of how likely it stands in one of the strips (logs, rows).

        Each two neighbouring letters must be read somewhere, one soon after the other, wherever
        that is: cheap, and never less than what the likeliest path that says the text has.
        """
        best = np.full(len(self.texts), -np.inf, dtype=np.float32)
        for reading in readings:
            alone, pairs = _heard(reading)
            best = np.maximum(
                best, (self._heads.bounds(alone, pairs) + self._tails.bounds(alone, pairs)) / 2
            )
        return best


class _Halves:
    """Halves of texts: `end` is the letter of each that stands at its text's end."""

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

    def bounds(self, alone: NDArray[np.float32], pairs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return each text's share of the sum over its neighbouring letters and its ends."""
        total = alone[self._ends]
        for place in self._pairs:
            total += pairs.take(place)
        return np.asarray(total.take(self._rows), dtype=np.float32)


def _heard(reading: Reading) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return how likely each letter is read anywhere, and each two of them soon after one another (logs)."""
    said = np.log(np.maximum(reading, _FLOOR), dtype=np.float32)
    alone = said.max(axis=0)
    pairs = np.asarray(alone[:, None] + alone[None, :], dtype=np.float32)
    likely = np.argsort(-alone[1:])[:HEARD] + 1
    heard = said[:, likely]
    after = np.concatenate([heard[1:], np.full((SOON, len(likely)), -np.inf, dtype=np.float32)])
    soon = np.lib.stride_tricks.sliding_window_view(after, SOON, axis=0)[: len(heard)].max(axis=2)
    near = (heard[:, :, None] + soon[:, None, :]).max(axis=0)
    pairs[np.ix_(likely, likely)] = near
    # Code 0 fills short texts up and costs nothing; the letter before it is counted as the text's
    # end.
    alone[0] = 0
    pairs[:, 0] = 0
    pairs[0] = 0
    return alone, pairs


class Strings:
    """The catalogue's numbers, names, health points and artists, by card."""

    def __init__(self, prints: Iterable[Print]) -> None:
        known = list(prints)
        ways = [number_forms(one.number, one.total, promo=one.promo) for one in known]
        self.cards = [one.card_id for one in known]
        self.numbers = Texts(form for forms in ways for form in forms if _telling(form))
        # A single letter stands in every strip, and says nothing.
        names = [plain(one.name) for one in known]
        self.names = Texts(name for name in names if len(name) > 1)
        self.health = Texts(one.health for one in known if one.health.isdigit())
        signatures = {artist: _signature(artist) for artist in {one.artist for one in known}}
        self.artists = Texts(signatures.values())
        self.number_rows = np.full((len(known), FORMS), -1, dtype=np.int32)
        for card, forms in enumerate(ways):
            rows = [row for form in forms if (row := self.numbers.row(form)) >= 0][:FORMS]
            self.number_rows[card, : len(rows)] = rows
        self.name_rows = np.array([self.names.row(name) for name in names], dtype=np.int32)
        self.health_rows = np.array([self.health.row(one.health) for one in known], dtype=np.int32)
        self._artist_rows = {one.card_id: self.artists.row(signatures[one.artist]) for one in known}
        self._forms = dict(zip(self.cards, ways, strict=True))
        self._points = {one.card_id: one.health for one in known if one.health.isdigit()}

    def forms(self, card_id: str) -> tuple[str, ...]:
        """Return how a printing's number may stand on it.

        None for one that the catalogue does not have.
        """
        return self._forms.get(card_id, ())

    def points(self, card_id: str) -> str:
        """Return a printing's health points; nothing for one that has none."""
        return self._points.get(card_id, "")

    def artist_row(self, card_id: str) -> int:
        """Return a printing's row of `artists`; -1 for one whose artist is not known."""
        return self._artist_rows.get(card_id, -1)


def _signature(artist: str) -> str:
    """Return how an artist is named on a card.

    A short name alone would stand in many a longer one.
    """
    return f"Illus. {name}" if (name := plain(artist)) else ""


def best_of(values: NDArray[np.float32], rows: NDArray[np.int32]) -> NDArray[np.float32]:
    """Return each card's value, or the best of its rows' values; -inf for a card that has none."""
    padded = np.append(values, np.float32(-np.inf))
    found = padded[rows]
    return found if found.ndim == 1 else np.asarray(found.max(axis=1), dtype=np.float32)


def _telling(form: str) -> bool:
    """Return whether a number says enough to be looked for in a strip.

    Digits alone are found in anything.
    """
    return "/" in form or form[0].isalpha()

"""What a user would pick instead, measured on the same photos.

A general text reader, and two perceptual hashes.

RapidOCR reads the whole photo, and rules look for a collector number and a name in its lines. pHash
and dHash, 16 x 16 each, are taken of the card that our own recogniser cut out. Neither takes part
in recognition.
"""

import difflib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from cardmint_edge.adapters.pack import Pack
from cardmint_edge.domain.reading.catalogue_texts import PrintedFacts
from cardmint_edge.domain.reading.lexicon import number_forms, plain
from cardmint_edge.domain.recognition import Frame

SIZE = 16
ALIKE = 0.8
"""A line that is so like a name (Ratcliff and Obershelp's ratio) says that name."""

Lines = Callable[[Frame], list[str]]
"""Reads all lines of a photo."""

_NUMBER = re.compile(r"[A-Z]{0,4}\d{1,3}\s*/\s*[A-Z]{0,4}\d{2,3}|[A-Z]{2,4}\d{2,3}")
_MISREAD = str.maketrans({"O": "0", "o": "0", "l": "1", "I": "1", "|": "/"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Named:
    """What an baseline says: a card, or none, and whether by its own rules it needs no person."""

    card_id: str | None
    accepted: bool


class ByText:
    """Names a card by number and name in the lines that a reader finds in the whole photo."""

    def __init__(self, lines: Lines, prints: Iterable[PrintedFacts]) -> None:
        self._lines = lines
        self._cards: dict[str, list[str]] = {}
        self._names: dict[str, str] = {}
        for known in prints:
            self._names[known.card_id] = plain(known.name).casefold()
            for form in number_forms(known.number, known.total, promo=known.promo):
                self._cards.setdefault(form, []).append(known.card_id)

    def name(self, frame: Frame) -> Named:
        """Return the card whose number is in the lines and whose name is likest to one of them."""
        lines = self._lines(frame)
        words = [plain(line).casefold() for line in lines]
        numbers = {
            re.sub(r"\s", "", number)
            for line in lines
            for text in (line, line.translate(_MISREAD))
            for number in _NUMBER.findall(text)
        }
        found = {card_id for number in numbers for card_id in self._cards.get(number, ())}
        ranked = sorted(((self._alike(words, card_id), card_id) for card_id in found), reverse=True)
        if not ranked:
            return Named(card_id=None, accepted=False)
        clear = len(ranked) == 1 or ranked[0][0] > ranked[1][0]
        return Named(card_id=ranked[0][1], accepted=ranked[0][0] >= ALIKE and clear)

    def _alike(self, words: list[str], card_id: str) -> float:
        wanted = self._names[card_id]
        return max((_ratio(wanted, word) for word in words), default=0.0)


def _ratio(wanted: str, line: str) -> float:
    if wanted in line:
        return 1.0
    return difflib.SequenceMatcher(None, wanted, line[: len(wanted) + 8]).ratio()


class ByHash:
    """Names the pictured card whose hashes differ from a rectified card's in the fewest bits."""

    def __init__(self, pack: Pack, near: int = 120) -> None:
        self._ids = [pack.printing(row).id for row in range(len(pack.hashes))]
        thumbs = (pack.reference(row).thumb for row in range(len(self._ids)))
        self._bits = (
            np.stack([_bits(thumb) for thumb in thumbs])
            if self._ids
            else np.zeros((0, 2 * SIZE**2), bool)
        )
        self._near = near

    def name(self, rectified: Frame | None) -> Named:
        """Return the nearest card; accepted when no more than `near` of 512 bits differ."""
        if rectified is None or not self._ids:
            return Named(card_id=None, accepted=False)
        apart = (self._bits != _bits(rectified)).sum(axis=1)
        row = int(apart.argmin())
        return Named(card_id=self._ids[row], accepted=bool(apart[row] <= self._near))


def _bits(card: Frame) -> NDArray[np.bool_]:
    grey = cv2.cvtColor(card, cv2.COLOR_BGR2GRAY)
    small = cv2.resize(grey, (4 * SIZE, 4 * SIZE), interpolation=cv2.INTER_AREA).astype(np.float32)
    low = cv2.dct(small)[:SIZE, :SIZE].ravel()
    steps = cv2.resize(grey, (SIZE + 1, SIZE), interpolation=cv2.INTER_AREA).astype(np.int16)
    return np.concatenate([low > np.median(low[1:]), (steps[:, 1:] > steps[:, :-1]).ravel()])

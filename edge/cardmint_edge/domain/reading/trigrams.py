"""The language of running text, by which three letters follow each other (Cavnar and Trenkle 1994).

A card's rules say more of its language than any one name: they are read letter by letter, without
the catalogue, and their letters are compared with those of all cards' rules in each language.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet

import numpy as np
from numpy.typing import NDArray

from cardmint_edge.domain.reading.ctc import Reading
from cardmint_edge.domain.reading.lexicon import ALPHABET

LANGUAGES = ("en", "fr", "de", "it", "es", "pt")
"""The languages of the table's rows."""

LETTERS = 27
"""A space, which stands for all that is no letter, and a to z."""

TRIGRAMS = LETTERS**3

SHARE = 0.6
"""What a trigram counts, as a share of its log-likelihood: neighbours overlap.

Source of this and of FEW: docs/decisions/0083.
"""

FEW = 10
"""So many trigrams count half of what they say: a single name may look like another language."""

OWN_NAME = 1.0
"""What a trigram of a name that the card bears in a language adds to its score (log)."""

_NO_LETTER = -1
_PLACES = np.array(
    [0, *(max(0, ord(one.lower()) - ord("a") + 1) if one.isalpha() else 0 for one in ALPHABET)]
)


class TrigramTable:
    """Log-likelihood of each trigram in each language, relative to all languages together."""

    def __init__(self, scores: NDArray[np.float32]) -> None:
        """Take the scores, languages x TRIGRAMS.

        The trigram of letters a, b and c (0 to 26) is the column (a * 27 + b) * 27 + c.
        """
        self._scores = scores

    def language_scores(
        self, found: AbstractSet[int], known: Mapping[str, AbstractSet[int]]
    ) -> dict[str, float]:
        """Return the log-likelihood of each language, relative to the best, by trigrams.

        `known` holds by language the trigrams of names that the printing's cards bear.
        """
        read = np.array(sorted(found), np.intp)
        scores = self._scores[:, read].copy()
        own = scores.max(axis=0) + OWN_NAME
        for row, language in enumerate(LANGUAGES):
            is_known = np.isin(read, [*known.get(language, ())])
            scores[row, is_known] = own[is_known]
        total = SHARE * len(read) / (len(read) + FEW) * scores.sum(axis=1)
        return dict(zip(LANGUAGES, (total - total.max()).tolist(), strict=True))


def trigrams_read(reading: Reading, clear: float) -> frozenset[int]:
    """Return the trigrams of the likeliest letters of a strip.

    Letters that are less probable than `clear` (0 to 1) are left out.
    """
    return frozenset(_trigrams(_letters(reading, clear)).tolist())


def trigrams_of(text: str) -> NDArray[np.intp]:
    """Return the trigrams of a text in the reader's letters, as they follow each other."""
    spelt = [_PLACES[ALPHABET.index(one) + 1] for one in text]
    return _trigrams(_one_space(np.array(spelt, np.intp)))


def _letters(reading: Reading, clear: float) -> NDArray[np.intp]:
    """Return the likeliest letters; -1 for one that is less probable than `clear`."""
    best = reading.argmax(axis=1)
    begins = np.append(True, best[1:] != best[:-1]) & (best > 0)
    places = np.where(reading.max(axis=1) >= clear, _PLACES[best], _NO_LETTER)
    return _one_space(places[begins])


def _one_space(places: NDArray[np.intp]) -> NDArray[np.intp]:
    """Leave one space of several, and none at the beginning."""
    spaces = places == 0
    return np.asarray(places[~(spaces & np.append(True, spaces[:-1]))])


def _trigrams(places: NDArray[np.intp]) -> NDArray[np.intp]:
    if len(places) < 3:
        return np.zeros(0, np.intp)
    three = np.stack([places[:-2], places[1:-1], places[2:]])
    whole = (three != _NO_LETTER).all(axis=0) & ((three > 0).sum(axis=0) > 1)
    first, second, third = three[:, whole]
    return np.asarray((first * LETTERS + second) * LETTERS + third)

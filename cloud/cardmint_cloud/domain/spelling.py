"""Misspelt words of a search: the word of the catalogue that was probably meant."""

import re
from collections.abc import Iterable, Sequence

from rapidfuzz import process
from rapidfuzz.distance import OSA

from cardmint_cloud.domain.catalogue_words import query_words
from cardmint_cloud.domain.item_query import ItemQuery

SHORTEST = 4
"""Letters from which a word is corrected: of shorter ones too many are near."""

LONG = 8
"""Letters from which two mistakes are corrected."""


def plain_words(query: ItemQuery) -> list[str]:
    """Return the words of a query that stand without a keyword, as they were typed."""
    terms = (one for term in query.terms for one in (term, *term.others))
    return [word for term in terms if not term.keyword for word in str(term.values[0]).split()]


def corrected(text: str, words: Iterable[str], vocabulary: Sequence[str]) -> str:
    """Return a text with those of its `words` corrected that no word of the vocabulary contains.

    The vocabulary is in the letters of `query_words`. A mistake is a letter that is missing, too
    many, another, or exchanged with its neighbour (optimal string alignment); the text is the same
    where nothing is near.
    """
    for word in words:
        meant = _meant(word, vocabulary)
        if meant:
            text = re.sub(rf'(?<![^\s"-]){re.escape(word)}(?![^\s"])', meant, text)
    return text


def _meant(word: str, vocabulary: Sequence[str]) -> str:
    folded = "".join(query_words(word))
    if len(folded) < SHORTEST or not folded.isalpha() or any(folded in one for one in vocabulary):
        return ""
    mistakes = 1 + (len(folded) >= LONG)
    near = process.extractOne(folded, vocabulary, scorer=OSA.distance, score_cutoff=mistakes)
    if near is None:  # Perhaps it is not typed to its end.
        begun = [one[: len(folded)] for one in vocabulary]
        near = process.extractOne(folded, begun, scorer=OSA.distance, score_cutoff=mistakes)
    return str(near[0]) if near else ""

"""Which language a card is printed in, by its name."""

from collections.abc import Mapping
from math import exp, log

from cardmint_contracts.catalogue import ENGLISH
from cardmint_edge.domain.reading.ctc import Reading

UNREAD_NAME = -4.0
"""Score (log) of a name that could not be read, whatever the language."""

OTHER_NAME = -6.0
"""Score (log) of a name where another text stands legibly in its place.

A name alone decides no language: readers misread, and catalogues have names that no card bears.
"""

LEGIBLE = (5, 0.9)
"""So many letters of such a probability are a legible text."""

SAME_NAME = {"en": 1.0, "fr": 0.3, "de": 0.3, "it": 0.95, "es": 0.95, "pt": 0.95}
"""Share of Pokémon that bear their English name, by language, for names that the pack lacks."""

NOT_KNOWN = -1.0
"""What it costs a language (log) that the catalogue knows a printing in others, and not in it.

Of 36 labelled photos in another language than English 4 are of such printings, of all printings a
third is. Source: docs/decisions/0083.
"""

SAME_TRAINER = 0.15
"""The same of trainers and energies, which have no health points."""


def language_scores(
    read: Mapping[str, float], known: Mapping[str, str], *, legible: bool, pokemon: bool
) -> dict[str, float]:
    """Return the log-likelihood of each language, relative to the best.

    `known` holds the card's names by language, `read` the score (log) of each name on the card.
    `legible` says whether some text stands clearly in a name's place.
    """
    texts = {*known.values()}
    if not texts:
        return dict.fromkeys(SAME_NAME, 0.0)
    least = OTHER_NAME if legible else UNREAD_NAME
    by_text = {
        text: min(0.0, max(least, *(read[other] for other in texts if _alike(text, other))))
        for text in texts
    }
    english = by_text.get(known.get(ENGLISH, ""), UNREAD_NAME)
    shares = SAME_NAME if pokemon else dict.fromkeys(SAME_NAME, SAME_TRAINER)
    missing = NOT_KNOWN if set(known) - {ENGLISH} else 0.0
    total = {
        language: by_text[known[language]]
        if language in known
        else missing + log(same * exp(english) + (1 - same) * exp(UNREAD_NAME))
        for language, same in shares.items()
    }
    best = max(total.values())
    return {language: score - best for language, score in total.items()}


def _alike(one: str, other: str) -> bool:
    """Return whether two names differ by signs, or by what follows the name, at most.

    No reader tells a hyphen for certain, and the catalogue has "LV.X" in some languages only.
    """
    first, second = _letters(one), _letters(other)
    return first.startswith(second) or second.startswith(first)


def _letters(text: str) -> str:
    return "".join(letter for letter in text.lower() if letter.isalnum())


def is_legible(reading: Reading) -> bool:
    """Return whether some text stands clearly in a strip."""
    letters, least = LEGIBLE
    return bool((reading[:, 1:].max(axis=1) >= least).sum() >= letters)

"""Which language a card is printed in, by the sign of its health points and by its name."""

from collections.abc import Mapping
from math import exp, log

import numpy as np

from cardmint_contracts.catalogue import ENGLISH
from cardmint_edge.domain.reading.ctc import Reading, text_scores

SIGNS: dict[str, tuple[str, ...]] = {
    "en": ("HP",),
    "fr": ("PV",),
    "de": ("KP",),
    "it": ("PS", "PV"),
    "es": ("PS", "PV"),
    "pt": ("PS",),
}
"""What stands beside the health points, by language; Italian and Spanish cards had "PV" once."""

FORMS = ("{0} {1}", "{0}{1}", "{1} {0}", "{1}{0}")

ENGLISH_SIGN = "HP"

UNREAD_SIGN = -6.0
"""Score (log) below which a sign was not read."""

SIGN_LEAD = 4.0
"""Lead (log) over "HP" from which on another sign counts, and what it counts at most.

"HP" itself counts nothing: the reader sees it where "PV" stands, too.
"""

UNREAD_NAME = -5.0
"""Score (log) of a name that could not be read, whatever the language."""

OTHER_NAME = -9.0
"""Score (log) of a name where another text stands legibly in its place."""

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
    health: list[Reading], points: str, names: list[Reading], known: Mapping[str, str]
) -> dict[str, float]:
    """Return the log-likelihood of each language, relative to the best.

    `points` are the card's health points, empty for a card without; `known` its names by language.
    """
    total = dict.fromkeys(SIGNS, 0.0)
    for scores in (_by_sign(health, points), _by_name(names, known, pokemon=bool(points))):
        for language, score in scores.items():
            total[language] += score
    best = max(total.values())
    return {language: score - best for language, score in total.items()}


def _by_sign(health: list[Reading], points: str) -> dict[str, float]:
    if not points or not health:
        return {}
    signs = sorted({sign for own in SIGNS.values() for sign in own})
    texts = [form.format(points, sign) for sign in signs for form in FORMS]
    scores = text_scores(health, texts, number=True).reshape(len(health), len(signs), -1)
    by_sign = dict(zip(signs, scores.max(axis=(0, 2)).tolist(), strict=True))
    best = max(by_sign.values())
    if best < UNREAD_SIGN or best - by_sign[ENGLISH_SIGN] < SIGN_LEAD:
        return {}
    return {
        language: max(-SIGN_LEAD, *(by_sign[sign] - best for sign in own))
        for language, own in SIGNS.items()
    }


def _by_name(names: list[Reading], known: Mapping[str, str], *, pokemon: bool) -> dict[str, float]:
    texts = sorted(set(known.values()))
    if not texts or not names:
        return {}
    least = OTHER_NAME if any(map(is_legible, names)) else UNREAD_NAME
    scores = np.clip(text_scores(names, texts, number=False).max(axis=0), least, 0)
    # "M-Charizard EX" and "M Charizard EX" are one: no reader tells a hyphen for certain.
    alike: dict[str, float] = {}
    for text, score in zip(texts, scores.tolist(), strict=True):
        alike[_letters(text)] = max(score, alike.get(_letters(text), OTHER_NAME))
    by_text = {text: alike[_letters(text)] for text in texts}
    english = by_text.get(known.get(ENGLISH, ""), UNREAD_NAME)
    shares = SAME_NAME if pokemon else dict.fromkeys(SAME_NAME, SAME_TRAINER)
    missing = NOT_KNOWN if set(known) - {ENGLISH} else 0.0
    return {
        language: by_text[known[language]]
        if language in known
        else missing + log(same * exp(english) + (1 - same) * exp(UNREAD_NAME))
        for language, same in shares.items()
    }


def _letters(text: str) -> str:
    return "".join(letter for letter in text.lower() if letter.isalnum())


def is_legible(reading: Reading) -> bool:
    """Return whether some text stands clearly in a strip."""
    letters, least = LEGIBLE
    return bool((reading[:, 1:].max(axis=1) >= least).sum() >= letters)

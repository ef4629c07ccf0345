"""Attacks and abilities: which of some cards they speak for, and in which language they are."""

from collections.abc import Mapping, Sequence

from cardmint_edge.domain.reading.ctc import Reading, text_scores
from cardmint_edge.domain.reading.languages import is_legible
from cardmint_edge.domain.reading.lexicon import plain

Moves = Sequence[Mapping[str, str]]
"""A card's attacks and abilities, each with its names by language."""

LANGUAGES = ("en", "fr", "de", "it", "es", "pt")
"""Languages whose letters the reader knows."""

OTHER_LANGUAGE = -6.0
"""Least score (log) of an attack's name in a language."""

READ = 3.0
"""What an attack that is read clearly adds (log); one whose score is below -READ adds nothing.

Source: docs/decisions/0079.
"""

LEGIBLE_STRIPS = 4
"""Strips with clear text from which on attacks that are not read may be in another language."""

UNREAD = -1.0
"""Score (log) of a language whose names of attacks are known, where clear text is none of them."""

SHORTEST = 3
"""Letters of a name that is looked for, at least: shorter ones stand in many words."""


def attack_leads(readings: list[Reading], moves: Mapping[str, Moves]) -> dict[str, float]:
    """Return each card's score (log) by its attacks, minus the best of cards with other attacks.

    `moves` are those of the cards in question. An attack that is not read says nothing, so a lead
    is about READ for each attack by which a card differs, and 0 where nothing was read.
    """
    names = {card_id: _letters(known) for card_id, known in moves.items()}
    texts = sorted({name for own in names.values() for move in own for name in move})
    scores = text_scores(readings, texts, number=False)
    best = dict(zip(texts, scores.max(axis=0, initial=-READ).tolist(), strict=True))
    read = {
        card_id: sum(READ + min(0.0, max(best[name] for name in move)) for move in own)
        for card_id, own in names.items()
    }
    return {
        card_id: read[card_id]
        - max((read[other] for other, known in names.items() if known != own), default=0.0)
        for card_id, own in names.items()
    }


def _letters(moves: Moves) -> frozenset[frozenset[str]]:
    """Return the names of each attack in the reader's letters."""
    return frozenset(own for move in moves if (own := frozenset(_by_language(move).values())))


def attack_languages(readings: list[Reading], moves: Moves) -> dict[str, float]:
    """Return the log-likelihood of each language, relative to the best, by a card's attacks.

    Empty where no attack is read and no text stands clearly either. A language whose name of an
    attack is not known is taken to have one that is half read. Where text stands clearly and is
    none of the known names, those languages are a little less likely whose names are known.
    """
    total = dict.fromkeys(LANGUAGES, 0.0)
    spelt = set[str]()
    found = False
    for move in moves:
        known = _by_language(move)
        texts = sorted(set(known.values()))
        best = text_scores(readings, texts, number=False).max(axis=0, initial=OTHER_LANGUAGE)
        scores = dict(zip(texts, best.tolist(), strict=True))
        spelt |= set(known)
        if max(scores.values(), default=OTHER_LANGUAGE) < -READ:
            continue
        found = True
        for language in LANGUAGES:
            score = scores[known[language]] if language in known else OTHER_LANGUAGE / 2
            total[language] += min(0.0, max(OTHER_LANGUAGE, score))
    if not found and sum(map(is_legible, readings)) >= LEGIBLE_STRIPS:
        found = True
        total = {language: UNREAD * (language in spelt) for language in LANGUAGES}
    most = max(total.values())
    return {language: score - most for language, score in total.items()} if found else {}


def _by_language(move: Mapping[str, str]) -> dict[str, str]:
    """Return an attack's names in the reader's letters, those that are long enough."""
    return {
        language: name
        for language in LANGUAGES
        if len(name := plain(move.get(language, ""))) >= SHORTEST
    }

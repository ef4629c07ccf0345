"""Attacks and abilities: which of some cards they speak for."""

from collections.abc import Mapping, Sequence

from cardmint_edge.domain.reading.ctc import Reading, text_scores
from cardmint_edge.domain.reading.lexicon import plain
from cardmint_edge.domain.reading.trigrams import LANGUAGES

Moves = Sequence[Mapping[str, str]]
"""A card's attacks and abilities, each with its names by language."""

READ = 3.0
"""What an attack that is read clearly adds (log); one whose score is below -READ adds nothing.

Source: docs/decisions/0079.
"""

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


def _by_language(move: Mapping[str, str]) -> dict[str, str]:
    """Return an attack's names in the reader's letters, those that are long enough."""
    return {
        language: name
        for language in LANGUAGES
        if len(name := plain(move.get(language, ""))) >= SHORTEST
    }

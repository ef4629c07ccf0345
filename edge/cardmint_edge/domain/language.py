"""The language of a counted card: what print tells, with the batch's setting as a prior."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import exp
from typing import Any

import msgspec

from cardmint_contracts.cards import Decision, Language
from cardmint_contracts.catalogue import ENGLISH
from cardmint_contracts.events import CardScanned
from cardmint_contracts.reasons import Reason
from cardmint_edge.domain.config import LanguageConfig
from cardmint_edge.domain.reading.trigrams import LANGUAGES
from cardmint_edge.domain.recognition import Recognition


@dataclass(frozen=True, kw_only=True, slots=True)
class ToldLanguage:
    """The likeliest language and its confidence (0 to 1). None: print was not read at all."""

    language: Language | None
    confidence: float

    def is_unclear(self, config: LanguageConfig) -> bool:
        """Return whether a person is to be asked about it."""
        return self.language is not None and self.confidence < config.accept


def tell_language(
    scores: Mapping[str, float] | None, setting: Language | None, config: LanguageConfig
) -> ToldLanguage:
    """Return the language that print tells.

    `scores` are those of `Evidence`; `setting` is what the operator set for the batch, a prior.
    Without one most cards are taken to be English.
    """
    if scores is None:
        return ToldLanguage(language=None, confidence=0.0)
    expected = setting or ENGLISH
    prior = config.set_prior if setting else config.english_prior
    languages = [*dict.fromkeys((expected, *LANGUAGES))]
    weights = {
        one: (prior if one == expected else (1 - prior) / (len(languages) - 1))
        * exp(scores.get(one, 0.0))
        for one in languages
    }
    language = max(languages, key=lambda one: weights[one])
    return ToldLanguage(language=language, confidence=weights[language] / sum(weights.values()))


def with_language(event: CardScanned, told: ToldLanguage, config: LanguageConfig) -> CardScanned:
    """Return the event with the language; an accepted card whose language is unclear is a question.

    A printing that was accepted stays the first candidate. A card that is asked about anyhow has
    the reason, too, so that no answer about its printing settles its language.
    """
    return msgspec.structs.replace(event, **_changes(event, told, config))


def recognition_with_language(
    recognition: Recognition, told: ToldLanguage, config: LanguageConfig
) -> Recognition:
    """Return the recognition with the language, as `with_language` does with an event."""
    return replace(recognition, **_changes(recognition, told, config))


def _changes(
    outcome: CardScanned | Recognition, told: ToldLanguage, config: LanguageConfig
) -> dict[str, Any]:
    changes: dict[str, Any] = {
        "language": told.language,
        "language_confidence": told.confidence,
    }
    counts = outcome.decision is Decision.ACCEPT
    may_count = counts or (outcome.decision is Decision.REVIEW and bool(outcome.candidates))
    if may_count and told.is_unclear(config):
        changes["decision"] = Decision.REVIEW
        changes["card"] = None
        changes["reasons"] = (*outcome.reasons, Reason.LANGUAGE_UNCLEAR)
    return changes

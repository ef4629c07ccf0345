"""What the page says of a card's language, and the languages that it offers as answers."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cardmint_contracts.cards import Language
from cardmint_contracts.catalogue import ENGLISH
from cardmint_contracts.events import CardScanned
from cardmint_contracts.reasons import Reason
from cardmint_edge.domain.scan_record import ScanRecord

NAMES: dict[Language, str] = {
    "en": "English",
    "de": "German",
    "fr": "French",
    "it": "Italian",
    "es": "Spanish",
    "pt": "Portuguese",
    "nl": "Dutch",
    "ja": "Japanese",
    "ko": "Korean",
    "zh-hans": "Chinese, simplified",
    "zh-hant": "Chinese, traditional",
}
"""The languages that can be set, with their names."""

MAX_CHOICES = 9
"""One key each."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LanguageChoice:
    """A language as an answer. `share` is what print tells for it (0 to 1), None for nothing."""

    code: Language
    share: float | None = None


def language_name(code: Language) -> str:
    """Return a language's name; its code where it is none of those that can be set."""
    return NAMES.get(code, code)


def language_choices(scan: CardScanned | None, known: Iterable[Language]) -> list[LanguageChoice]:
    """Return the languages that a card may be in, likeliest first.

    The one that print tells, the one that was set, English, those in which the printing is `known`,
    and all others: a pack may have names in one language alone.
    """
    told = scan.language if scan else None
    expected = scan.defaults.language if scan else None
    order = [told, expected, ENGLISH, *known, *NAMES]
    return [
        LanguageChoice(code=one, share=scan.language_confidence if scan and one == told else None)
        for one in dict.fromkeys(one for one in order if one)
    ][:MAX_CHOICES]


def asks_language_alone(reasons: Sequence[str]) -> bool:
    """Return whether a question's printing is sure, and only its language is asked about."""
    return tuple(reasons) == (Reason.LANGUAGE_UNCLEAR,)


def language_text(record: ScanRecord, answered: Language | None) -> str:
    """Return what is known of the language of a recorded card, for a person; empty for nothing.

    `answered` is what a person said.
    """
    scan = record.scan
    if answered:
        return language_name(answered)
    counted = scan.counted_language
    if counted is None:
        told = scan.language and f", perhaps {_with_share(scan)}"
        return f"Language not clear{told}" if told else ""
    if scan.language is None:
        return f"{language_name(counted)}, as it is set"
    set_to = scan.defaults.language
    other = f"; {language_name(set_to)} is set" if set_to not in {None, counted} and set_to else ""
    return f"{_with_share(scan)} by its print{other}"


def _with_share(scan: CardScanned) -> str:
    name = language_name(scan.language or "")
    return f"{name}, {int(round(scan.language_confidence * 100, 6))} %"

"""The language of a recognised card: print tells, the setting is a prior, the rest is asked."""

from cardmint_contracts.cards import Candidate, Card, Decision
from cardmint_edge.domain.config import LanguageConfig
from cardmint_edge.domain.language import recognition_with_language, tell_language
from cardmint_edge.domain.recognition import Recognition

CONFIG = LanguageConfig()
FRENCH = {"en": -20.0, "fr": 0.0, "de": -20.0, "it": -20.0, "es": -20.0, "pt": -20.0}
ALIKE = dict.fromkeys(FRENCH, 0.0)


def test_a_recognition_with_an_unclear_language_is_a_question() -> None:
    card = Card(id="a-1", name="Fox")
    accepted = Recognition(decision=Decision.ACCEPT, card=card)
    clear = recognition_with_language(accepted, tell_language(FRENCH, "en", CONFIG), CONFIG)
    assert (clear.decision, clear.language) == (Decision.ACCEPT, "fr")
    asked = recognition_with_language(accepted, tell_language(ALIKE, None, CONFIG), CONFIG)
    assert (asked.decision, asked.card, asked.reasons) == (
        Decision.REVIEW, None, ("language-unclear",),
    )  # fmt: skip
    doubted = Recognition(
        decision=Decision.REVIEW,
        reasons=("same-art",),
        candidates=(Candidate(card=card, confidence=0.6),),
    )
    both = recognition_with_language(doubted, tell_language(ALIKE, None, CONFIG), CONFIG)
    assert both.reasons == ("same-art", "language-unclear")
    nothing = Recognition(decision=Decision.REJECT, reasons=("no-card-found",))
    assert (
        recognition_with_language(nothing, tell_language(ALIKE, None, CONFIG), CONFIG).reasons
        == nothing.reasons
    )
    unread = recognition_with_language(accepted, tell_language(None, "fr", CONFIG), CONFIG)
    assert (unread.decision, unread.language) == (Decision.ACCEPT, None)

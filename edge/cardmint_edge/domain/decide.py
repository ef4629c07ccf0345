"""From the posterior to a decision, and the reasons for it.

A card is accepted when the likeliest printing's posterior is high enough. What no picture can tell
is not the posterior's: several cards, a card that is cut off, and a back are asked about by rule.
Reasons are derived from where the rest of the posterior lies, and from the evidence there.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from cardmint_contracts import cards
from cardmint_contracts.cards import Decision
from cardmint_contracts.reasons import Reason
from cardmint_edge.domain.config import PolicyConfig
from cardmint_edge.domain.evidence import Candidate, Evidence, FrameQuality
from cardmint_edge.domain.posterior import posterior


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """A decision with its reasons, its confidence (0 to 1), and the candidates, likeliest first.

    `likeness_gap` is the likeness of the first candidate's picture minus that of the best one of
    other art; None where its picture was not compared.
    """

    decision: Decision
    reasons: tuple[Reason, ...]
    confidence: float = 0.0
    candidates: tuple[cards.Candidate, ...] = ()
    likeness_gap: float | None = None

    @property
    def margin(self) -> float:
        """Confidence of the first candidate minus that of the likeliest other; 0 without any."""
        if not self.candidates:
            return 0.0
        return self.confidence - max((one.confidence for one in self.candidates[1:]), default=0.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Ranked:
    """Candidates with their posterior, likeliest first, and that of none of them."""

    candidates: tuple[tuple[Candidate, float], ...]
    outside: float

    @property
    def best(self) -> Candidate:
        """The likeliest candidate."""
        return self.candidates[0][0]

    @property
    def likeliest(self) -> Candidate | None:
        """The likeliest candidate; None without any."""
        return self.best if self.candidates else None

    @property
    def confidence(self) -> float:
        """The posterior of the likeliest candidate; 0 without any."""
        return self.candidates[0][1] if self.candidates else 0.0

    @property
    def same_art(self) -> float:
        """The posterior of the other printings of its art."""
        return sum(share for one, share in self.candidates[1:] if one.art == self.best.art)

    @property
    def other_art(self) -> float:
        """The posterior of all printings of other art."""
        return sum(share for one, share in self.candidates[1:] if one.art != self.best.art)


def rank(evidence: Evidence, policy: PolicyConfig) -> Ranked:
    """Return the candidates by their posterior. Equals keep their order."""
    found = posterior(evidence, policy)
    pairs = zip(evidence.candidates, found.shares, strict=True)
    ordered = sorted(pairs, key=lambda pair: -pair[1])
    return Ranked(candidates=tuple(ordered), outside=found.outside)


def is_settled(evidence: Evidence, policy: PolicyConfig, least: float) -> bool:
    """Return whether the likeliest candidate's posterior is at least `least` (0 to 1)."""
    return rank(evidence, policy).confidence >= least


def judge(evidence: Evidence, policy: PolicyConfig) -> Verdict:
    """Return the verdict on one frame."""
    ranked = rank(evidence, policy)
    if evidence.unknown_number and ranked.confidence < policy.accept:
        # Each printing would be a guess, so none is proposed.
        return Verdict(decision=Decision.REVIEW, reasons=(Reason.NOT_IN_CATALOGUE,))
    weak = ranked.confidence < policy.unknown
    nothing = _nothing(evidence) if weak else None
    if nothing in (None, Reason.UNKNOWN_CARD) and _is_newer(evidence, ranked, policy):
        return Verdict(decision=Decision.REVIEW, reasons=(Reason.NOT_IN_CATALOGUE,))
    if nothing:
        return Verdict(decision=Decision.REJECT, reasons=(nothing,))
    if not ranked.candidates:
        return Verdict(decision=Decision.REVIEW, reasons=(Reason.LOW_CONFIDENCE,))
    doubts = [*_rules(evidence.quality, ranked, policy)]
    if ranked.confidence < policy.accept:
        doubts += _doubts(ranked, policy)
    reasons = _with_causes([*dict.fromkeys(doubts)], evidence.quality)
    return Verdict(
        decision=Decision.REVIEW if reasons else Decision.ACCEPT,
        reasons=reasons,
        confidence=min(policy.max_confidence, ranked.confidence),
        candidates=tuple(
            cards.Candidate(card=one.card, confidence=min(policy.max_confidence, share))
            for one, share in ranked.candidates[: 0 if weak else policy.candidates]
        ),
        likeness_gap=_likeness_gap(ranked),
    )


def _nothing(evidence: Evidence) -> Reason | None:
    """Return why a frame shows nothing that a person could name; None where one might."""
    quality = evidence.quality
    if quality.too_dark:
        return Reason.TOO_DARK
    if quality.card_shaped and quality.card_back:
        return Reason.LOOKS_LIKE_CARD_BACK
    if quality.several_cards:
        return Reason.SEVERAL_CARDS
    if not quality.card_shaped:
        return Reason.SEVERAL_CARDS if quality.misshapen else Reason.NO_CARD_FOUND
    return Reason.UNKNOWN_CARD if evidence.searched and quality.clear else None


def _is_newer(evidence: Evidence, ranked: Ranked, policy: PolicyConfig) -> bool:
    """Return whether a card's name was read clearly, but no printing of it fits the rest."""
    return (
        evidence.searched
        and evidence.quality.clear
        and ranked.outside >= policy.newer_odds * ranked.confidence
        and any(_is_named(candidate, policy) for candidate in evidence.candidates)
    )


def _is_named(candidate: Candidate, policy: PolicyConfig) -> bool:
    """Return whether this name stands on the card; two or three letters are read by chance."""
    prints = candidate.prints
    return (
        prints is not None
        and len(candidate.card.name) >= policy.least_name
        and prints.name >= policy.clear_name
        and prints.name_lead >= policy.clear_name_lead
    )


def _is_like(candidate: Candidate, policy: PolicyConfig) -> bool:
    return candidate.picture is not None and candidate.picture.likeness >= policy.likeness


def _other_number_is_clear(candidate: Candidate, policy: PolicyConfig) -> bool:
    """Return whether another number than the candidate's stands on the card."""
    prints = candidate.prints
    if prints is None or prints.number >= policy.clear_number:
        return False
    # The lead is negative by as much as the rival is better: was the rival read?
    return prints.number - prints.number_lead >= policy.rival_number


def _rules(quality: FrameQuality, ranked: Ranked, policy: PolicyConfig) -> Iterator[Reason]:
    """Yield what the posterior cannot know: a picture that is surely another's is a fake's.

    A card of the same name whose own picture is alike, too, is a reprint of the same art. Where
    another number than the printing's was read clearly, it is a reprint that the pack may lack. A
    reprint that bears its original's number, name and picture may be the original, which the pack
    may lack.
    """
    best = ranked.best
    if quality.several_cards:
        yield Reason.SEVERAL_CARDS
    if quality.cut_off:
        yield Reason.CUT_OFF
    if _other_number_is_clear(best, policy):
        yield Reason.OTHER_NUMBER
    if best.card.set_id in policy.reprints:
        yield Reason.SAME_ART
    likeness = best.picture.likeness if best.picture else 0.0
    if quality.card_back and likeness < policy.likeness:
        yield Reason.CARD_BACK
    if likeness < policy.likeness and any(
        _is_like(one, policy) and not (likeness >= policy.alike and one.card.name == best.card.name)
        for one, _ in ranked.candidates
    ):
        yield Reason.OTHER_PICTURE


def _doubts(ranked: Ranked, policy: PolicyConfig) -> Iterator[Reason]:
    """Yield where the rest of the posterior lies, and what evidence is missing or contradicts."""
    named = (1 - policy.accept) / 3
    """Of three parts one at least has so much, as the rest is more than what may be left."""
    best = ranked.best
    picture, prints = best.picture, best.prints
    if ranked.same_art >= named:
        yield Reason.SAME_ART
    if ranked.other_art >= named:
        yield Reason.SMALL_MARGIN
    if ranked.outside >= named:
        yield Reason.LOW_CONFIDENCE
        if picture is not None and picture.likeness < policy.unlike:
            yield Reason.LOW_SIMILARITY
        if prints is not None and prints.name_lead < 0:
            yield Reason.OTHER_TITLE
    if (
        prints is not None
        and prints.number < policy.clear_number
        and not _other_number_is_clear(best, policy)
    ):
        yield Reason.NUMBER_UNREADABLE


def _with_causes(doubts: list[Reason], quality: FrameQuality) -> tuple[Reason, ...]:
    """Return the doubts; if there are any, add the faults of the frame."""
    causes = {
        Reason.GLARE: quality.glare and Reason.NUMBER_UNREADABLE in doubts,
        Reason.BLURRED: quality.blurred and bool(doubts),
        Reason.TOO_DARK: quality.too_dark and bool(doubts),
    }
    return (*doubts, *(cause for cause, holds in causes.items() if holds))


def _likeness_gap(ranked: Ranked) -> float | None:
    if (picture := ranked.best.picture) is None:
        return None
    rivals = (
        one.picture.likeness
        for one, _ in ranked.candidates
        if one.art != ranked.best.art and one.picture is not None
    )
    return picture.likeness - max(rivals, default=0.0)

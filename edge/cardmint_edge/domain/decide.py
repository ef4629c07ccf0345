"""From evidence to a decision: a calibrated confidence, a margin, and a policy with reason codes.

How the numbers below were fitted, and what they cost, is in docs/decisions/0010.
"""

from dataclasses import dataclass
from math import exp

from cardmint_contracts.cards import Candidate, Card, Decision


@dataclass(frozen=True, kw_only=True, slots=True)
class Sighting:
    """A printing and how well the picture shows it. `twins` are other printings with the same art, pictured or not."""

    card: Card
    likeness: float
    title: float
    inliers: int
    twins: tuple[Card, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Circumstances:
    """What was noticed of the frame beside the best candidate."""

    several_cards: bool = False
    cut_off: bool = False
    blurred: bool = False
    too_dark: bool = False
    card_back: bool = False
    card_shaped: bool = True
    """Whether the frame holds something with a card's outline at all."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """What it takes to accept. `weights` are bias, likeness, margin and saturated inliers of a logistic regression."""

    accept_confidence: float = 0.95
    accept_margin: float = 0.12
    accept_likeness: float = 0.65
    accept_title: float = 0.75
    review_likeness: float = 0.3
    weights: tuple[float, float, float, float] = (-7.5, 5.7, 7.7, 2.9)
    enough_inliers: int = 60
    """More than this many inliers say nothing more."""
    ceiling: float = 0.995
    """No picture makes the classical method surer than this."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """The decision, why, how sure, and the candidates, likeliest first."""

    decision: Decision
    reasons: tuple[str, ...]
    confidence: float
    margin: float
    candidates: tuple[Candidate, ...]


def decide(sightings: list[Sighting], seen: Circumstances, policy: Policy, limit: int = 5) -> Verdict:
    """Judge the candidates of one frame, given likeliest first. Printings with the same art are never accepted."""
    best = sightings[0] if sightings else None
    if best is None or (best.likeness < policy.review_likeness and (seen.card_back or not seen.card_shaped)):
        reason = "too-dark" if seen.too_dark else "looks-like-card-back" if seen.card_back else "no-card-found"
        return Verdict(decision=Decision.REJECT, reasons=(reason,), confidence=0.0, margin=0.0, candidates=())
    twins = {twin.id: twin for twin in best.twins}
    rival = max((other.likeness for other in sightings[1:] if other.card.id not in twins), default=0.0)
    sure = confidence(best.likeness, best.likeness - rival, best.inliers, policy)
    candidates = _candidates(best, sightings[1:], twins, sure, policy)[:limit]
    reasons = _doubts(best, rival, sure, seen, policy)
    return Verdict(
        decision=Decision.REVIEW if reasons else Decision.ACCEPT,
        reasons=reasons,
        confidence=candidates[0].confidence,
        margin=best.likeness - max((other.likeness for other in sightings[1:]), default=0.0),
        candidates=candidates,
    )


def confidence(likeness: float, margin: float, inliers: int, policy: Policy) -> float:
    """Return the calibrated probability that the picture shows this art; rises with each of the three."""
    bias, of_likeness, of_margin, of_inliers = policy.weights
    agreement = min(inliers, policy.enough_inliers) / policy.enough_inliers
    logit = bias + of_likeness * likeness + of_margin * margin + of_inliers * agreement
    return min(policy.ceiling, 1 / (1 + exp(-logit)))


def _doubts(best: Sighting, rival: float, sure: float, seen: Circumstances, policy: Policy) -> tuple[str, ...]:
    alike = best.likeness >= policy.accept_likeness
    doubts = {
        "several-cards": seen.several_cards,
        "cut-off": seen.cut_off,
        "low-similarity": not alike,
        # Whom a poor likeness resembles, and who else does, says nothing.
        "other-title": alike and best.title < policy.accept_title,
        "same-art": alike and bool(best.twins),
        "small-margin": alike and best.likeness - rival < policy.accept_margin,
        "low-confidence": alike and sure < policy.accept_confidence,
    }
    reasons = tuple(reason for reason, holds in doubts.items() if holds)
    if not reasons:
        return ()
    # Blur and darkness explain a doubt; a picture that leaves none is clear enough.
    return (*reasons, *(("blurred",) if seen.blurred else ()), *(("too-dark",) if seen.too_dark else ()))


def _candidates(
    best: Sighting, others: list[Sighting], twins: dict[str, Card], sure: float, policy: Policy
) -> tuple[Candidate, ...]:
    """Share what is sure of the art among the printings that carry it, and what is left among the other candidates."""
    pictured = {other.card.id: other for other in others}
    same_art = [best.card, *twins.values()]
    weights = [exp(20 * (_likeness(card, best, pictured) - best.likeness)) for card in same_art]
    shares = [sure * weight / sum(weights) for weight in weights]
    candidates = [Candidate(card=card, confidence=share) for card, share in zip(same_art, shares, strict=True)]
    for other in others:
        if other.card.id not in twins:
            alone = confidence(other.likeness, other.likeness - best.likeness, other.inliers, policy)
            candidates.append(Candidate(card=other.card, confidence=min(alone, 1 - sure, shares[0])))
    # The sort is stable: the best picture stays first among equals.
    return tuple(sorted(candidates, key=lambda candidate: -candidate.confidence))


def _likeness(card: Card, best: Sighting, pictured: dict[str, Sighting]) -> float:
    if card.id in pictured:
        return pictured[card.id].likeness
    return best.likeness

"""From evidence to a verdict: calibrated confidence, candidates, and a policy with reason codes.

How the policy's numbers were fitted, and what they cost, is in docs/decisions/0010 to 0015.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import exp, inf

from cardmint_contracts.cards import Candidate, Card, Decision
from cardmint_contracts.reasons import Reason
from cardmint_edge.domain.config import PolicyConfig
from cardmint_edge.domain.evidence import (
    Evidence,
    FrameQuality,
    NumberScores,
    PictureMatch,
    PrintEvidence,
    PrintMatch,
)

UNKNOWN_PICTURE = frozenset(
    {Reason.LOW_SIMILARITY, Reason.NO_CARD_FOUND, Reason.LOOKS_LIKE_CARD_BACK}
)
"""Reasons of a verdict by picture for which no picture is known."""

DOUBTED_PICTURE = frozenset({Reason.OTHER_NUMBER, Reason.OTHER_TITLE, Reason.NUMBER_UNREADABLE})
"""Reasons that, with a low confidence, leave open whether the picture is the right one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """A decision with its reasons, its confidence (0 to 1), and the candidates, likeliest first.

    `likeness_gap` is the likeness of the best picture minus that of the best one of other art; None
    where no picture decided. `by_print` says whether print decided.
    """

    decision: Decision
    reasons: tuple[Reason, ...]
    confidence: float
    candidates: tuple[Candidate, ...]
    likeness_gap: float | None = None
    by_print: bool = False

    @property
    def margin(self) -> float:
        """Confidence of the first candidate minus that of the likeliest other; 0 without any."""
        if not self.candidates:
            return 0.0
        return self.confidence - max((one.confidence for one in self.candidates[1:]), default=0.0)


def judge(evidence: Evidence, policy: PolicyConfig) -> Verdict:
    """Return the verdict on one frame.

    Print decides where no picture is known, and where the picture is in doubt and print says more.
    """
    if is_unknown(evidence, policy):
        return Verdict(
            decision=Decision.REJECT,
            reasons=(Reason.UNKNOWN_CARD,),
            confidence=0.0,
            candidates=(),
        )
    by_picture = judge_pictures(evidence, policy)
    if evidence.prints is None or not evidence.prints.legible:
        return by_picture
    known = UNKNOWN_PICTURE.isdisjoint(by_picture.reasons)
    by_print = judge_prints(evidence.prints, evidence.quality, policy, other_picture=known)
    if not known or print_overrules(by_print, by_picture, evidence.prints.matches, policy):
        return by_print
    return by_picture


def outside_catalogue(verdict: Verdict) -> Verdict:
    """Return the verdict on a card with a number that no printing of the catalogue has.

    A person is asked, and no printing is proposed: each would be a guess.
    """
    return replace(
        verdict,
        decision=Decision.REVIEW,
        reasons=(Reason.NOT_IN_CATALOGUE,),
        confidence=0.0,
        candidates=(),
    )


def is_unknown(evidence: Evidence, policy: PolicyConfig) -> bool:
    """Return whether a clear picture of one card shows nothing of the catalogue.

    Neither a picture nor print is like any printing's. Nobody can answer which card it is.
    """
    quality, prints = evidence.quality, evidence.prints
    known = any(match.likeness >= policy.review_likeness for match in evidence.pictures[:1])
    spoiled = quality.blurred or quality.glare or quality.too_dark or quality.cut_off
    return (
        prints is not None
        and prints.matches[0].total < policy.unknown_print
        and quality.card_shaped
        and not (known or spoiled or quality.several_cards or quality.card_back)
    )


def needs_print(evidence: Evidence, policy: PolicyConfig) -> bool:
    """Return whether print is to be looked for: no picture is known, or it is in doubt."""
    reasons = judge_pictures(evidence, policy).reasons
    unknown = not UNKNOWN_PICTURE.isdisjoint(reasons)
    return unknown or (Reason.LOW_CONFIDENCE in reasons and not DOUBTED_PICTURE.isdisjoint(reasons))


def judge_pictures(evidence: Evidence, policy: PolicyConfig) -> Verdict:
    """Return the verdict that pictures and numbers give, without other print.

    Of printings with the same art one is accepted only when its number was read, and no other's.
    """
    pictures, quality, numbers = evidence.pictures, evidence.quality, evidence.numbers
    best = pictures[0] if pictures else None
    if best is None or (
        best.likeness < policy.review_likeness and (quality.card_back or not quality.card_shaped)
    ):
        return Verdict(
            decision=Decision.REJECT,
            reasons=(_rejection(quality),),
            confidence=0.0,
            candidates=(),
        )
    twins = {twin.id: twin for twin in best.twins}
    rival = max(
        (other.likeness for other in pictures[1:] if other.card.id not in twins), default=0.0
    )
    gap = best.likeness - rival
    read = numbers is not None and settles(numbers, policy)
    confidence = picture_confidence(best.likeness, gap, best.inliers, policy, read=read)
    candidates = _candidates(best, pictures[1:], confidence, policy, numbers=numbers)
    reasons = _picture_doubts(best, gap, confidence, quality, policy, numbers=numbers)
    return Verdict(
        decision=Decision.REVIEW if reasons else Decision.ACCEPT,
        reasons=reasons,
        confidence=candidates[0].confidence,
        candidates=candidates[: policy.candidates],
        likeness_gap=gap,
    )


def judge_prints(
    prints: PrintEvidence, quality: FrameQuality, policy: PolicyConfig, *, other_picture: bool
) -> Verdict:
    """Return the verdict that print alone gives.

    A picture that is unlike the first card's speaks against it, and so does `other_picture`: that
    of another card was recognised.
    """
    matches = prints.matches
    best = matches[0]
    lead = best.total - max((other.total for other in matches[1:]), default=-inf)
    confidence = print_confidence(best, lead, policy)
    weights = [exp(max(-60.0, other.total - best.total)) for other in matches]
    shares = [
        confidence,
        *(min(confidence, (1 - confidence) * weight) for weight in weights[1:]),
    ]
    unlike = prints.likeness is not None and prints.likeness < policy.review_likeness
    doubts = {
        Reason.SEVERAL_CARDS: quality.several_cards,
        Reason.CUT_OFF: quality.cut_off,
        Reason.CARD_BACK: quality.card_back,
        Reason.OTHER_PICTURE: other_picture or unlike,
        Reason.NUMBER_UNREADABLE: best.number < policy.clear_number,
        Reason.OTHER_TITLE: best.name_lead < 0,
        Reason.SMALL_MARGIN: lead < policy.number_lead / 2,
        Reason.LOW_CONFIDENCE: confidence < policy.accept_print_confidence,
    }
    reasons = _with_causes(doubts, quality)
    return Verdict(
        decision=Decision.REVIEW if reasons else Decision.ACCEPT,
        reasons=reasons,
        confidence=shares[0],
        candidates=tuple(
            Candidate(card=match.card, confidence=share)
            for match, share in zip(matches[: policy.candidates], shares, strict=False)
        ),
        by_print=True,
    )


def print_overrules(
    by_print: Verdict,
    by_picture: Verdict,
    matches: Sequence[PrintMatch],
    policy: PolicyConfig,
) -> bool:
    """Return whether print outweighs a doubtful picture.

    It does if its confidence is higher, or if the number was read clearly: several sets may share
    that number, but the card in the picture does not carry it.
    """
    best = matches[0]
    others = max(
        (match.total for match in matches[1:] if match.card.number != best.card.number),
        default=-inf,
    )
    read = best.number >= policy.clear_number and best.total - others >= policy.number_lead / 2
    return read or by_print.confidence > by_picture.confidence


def raise_energies(
    matches: list[PrintMatch], pictures: Sequence[PictureMatch], policy: PolicyConfig
) -> list[PrintMatch]:
    """Return prints, likeliest first, with energies raised where the picture resembles one.

    An old energy's name is not in letters that can be read, and some card of many sets shares its
    number.
    """
    if (
        not pictures
        or pictures[0].likeness < policy.review_likeness
        or not _is_energy(pictures[0].card)
    ):
        return matches
    raised = [
        replace(match, total=match.total + policy.energy_bonus * _is_energy(match.card))
        for match in matches
    ]
    return sorted(raised, key=lambda match: -match.rank)


def worth_comparing(matches: list[PrintMatch], policy: PolicyConfig) -> list[PrintMatch]:
    """Return the prints whose order their own pictures can still change."""
    least = matches[0].rank - 2 * policy.picture_bonus
    return [match for match in matches[: policy.compared_prints] if match.rank > least]


def order_by_picture(
    matches: list[PrintMatch], likenesses: dict[str, float], policy: PolicyConfig
) -> list[PrintMatch]:
    """Return prints ordered by their own pictures' likenesses (by card id), too.

    Totals stay: a picture can name the card that print leaves open, but raises no confidence.
    """

    def order(match: PrintMatch) -> float:
        likeness = likenesses.get(match.card.id)
        if likeness is None:
            return -match.rank
        alike = likeness >= policy.accept_numbered_likeness
        unlike = likeness < policy.review_likeness
        return -match.rank - policy.picture_bonus * (alike - unlike)

    return sorted(matches, key=order)


def settles(numbers: NumberScores, policy: PolicyConfig) -> bool:
    """Return whether one printing's number was read, and clearly no other's."""
    first, second = sorted([*numbers.own.values(), -inf, -inf], reverse=True)[:2]
    if first == -inf:
        return False
    return (
        first >= policy.clear_number
        and first - second >= policy.number_lead
        and first - numbers.rival_in_strip >= policy.number_lead_in_strip
    )


def picture_confidence(
    likeness: float, gap: float, inliers: int, policy: PolicyConfig, *, read: bool = False
) -> float:
    """Return the calibrated probability that the picture shows this art; rises with each value."""
    bias, of_likeness, of_gap, of_inliers, of_number = policy.picture_weights
    agreement = min(inliers, policy.inliers) / policy.inliers
    logit = bias + of_likeness * likeness + of_gap * gap + of_inliers * agreement + of_number * read
    return min(policy.max_confidence, _logistic(logit))


def print_confidence(best: PrintMatch, lead: float, policy: PolicyConfig) -> float:
    """Return the calibrated probability that print alone names the right card.

    `lead` is the total of the best card minus that of the next.
    """
    bias, *weights = policy.print_weights
    features = print_features(best, lead, policy)
    logit = bias + sum(w * x for w, x in zip(weights, features, strict=True))
    return min(policy.max_confidence, _logistic(logit))


def print_features(
    best: PrintMatch, lead: float, policy: PolicyConfig
) -> tuple[float, float, float, float]:
    """Return what the regression for print weighs: number, name and both leads, saturated."""
    most = policy.print_lead
    return (
        max(best.number, -most),
        max(best.name, -most),
        min(lead, most),
        max(-most, min(best.name_lead, most)),
    )


def _logistic(logit: float) -> float:
    return 1 / (1 + exp(-max(logit, -700.0)))


def _is_energy(card: Card) -> bool:
    return card.name.endswith("Energy")


def _rejection(quality: FrameQuality) -> Reason:
    if quality.too_dark:
        return Reason.TOO_DARK
    if quality.several_cards:
        return Reason.SEVERAL_CARDS
    return Reason.LOOKS_LIKE_CARD_BACK if quality.card_back else Reason.NO_CARD_FOUND


def _contradicts(numbers: NumberScores | None, policy: PolicyConfig) -> bool:
    """Return whether a number was read that no printing of this art carries."""
    if numbers is None or numbers.best_other < policy.clear_number:
        return False
    return numbers.best_other - max(numbers.own.values()) >= policy.number_lead


def _picture_doubts(
    best: PictureMatch,
    gap: float,
    confidence: float,
    quality: FrameQuality,
    policy: PolicyConfig,
    *,
    numbers: NumberScores | None,
) -> tuple[Reason, ...]:
    read = numbers is not None and settles(numbers, policy)
    least = policy.accept_numbered_likeness if read else policy.accept_likeness
    alike = best.likeness >= least
    unsettled = bool(best.twins) and not read
    # Below the least likeness nothing else about the picture counts.
    doubts = {
        Reason.SEVERAL_CARDS: quality.several_cards,
        Reason.CUT_OFF: quality.cut_off,
        Reason.LOW_SIMILARITY: not alike,
        Reason.OTHER_TITLE: alike and best.title < policy.accept_title,
        Reason.SAME_ART: alike and unsettled,
        Reason.NUMBER_UNREADABLE: alike and unsettled and numbers is not None,
        Reason.OTHER_NUMBER: alike and _contradicts(numbers, policy),
        Reason.SMALL_MARGIN: alike and gap < policy.accept_likeness_gap,
        Reason.LOW_CONFIDENCE: alike and confidence < policy.accept_confidence,
    }
    return _with_causes(doubts, quality)


def _with_causes(doubts: dict[Reason, bool], quality: FrameQuality) -> tuple[Reason, ...]:
    """Return the reasons that apply; if any do, add the faults of the frame."""
    reasons = tuple(reason for reason, holds in doubts.items() if holds)
    causes = {
        Reason.GLARE: quality.glare and Reason.NUMBER_UNREADABLE in reasons,
        Reason.BLURRED: quality.blurred and bool(reasons),
        Reason.TOO_DARK: quality.too_dark and bool(reasons),
    }
    return (*reasons, *(cause for cause, holds in causes.items() if holds))


def _candidates(
    best: PictureMatch,
    others: Sequence[PictureMatch],
    confidence: float,
    policy: PolicyConfig,
    *,
    numbers: NumberScores | None,
) -> tuple[Candidate, ...]:
    """Share the confidence among the printings of this art, and the rest among other candidates."""
    twins = {twin.id: twin for twin in best.twins}
    likenesses = {other.card.id: other.likeness for other in others}
    same_art = [best.card, *twins.values()]
    settled = numbers is not None and settles(numbers, policy)
    without_picture = 0.0 if settled else -policy.own_picture_bonus

    def picture_score(card: Card) -> float:
        if card is best.card:
            return 0.0
        if card.id not in likenesses:
            return without_picture
        return 20 * (likenesses[card.id] - best.likeness)

    weights = [exp(picture_score(card) + _number_score(card, numbers, policy)) for card in same_art]
    shares = [confidence * weight / sum(weights) for weight in weights]
    candidates = [
        Candidate(card=card, confidence=share) for card, share in zip(same_art, shares, strict=True)
    ]
    for other in others:
        if other.card.id not in twins:
            alone = picture_confidence(
                other.likeness, other.likeness - best.likeness, other.inliers, policy
            )
            share = min(alone, 1 - confidence, max(shares))
            candidates.append(Candidate(card=other.card, confidence=share))
    # The sort is stable: the best picture stays first among equals.
    return tuple(sorted(candidates, key=lambda candidate: -candidate.confidence))


def _number_score(card: Card, numbers: NumberScores | None, policy: PolicyConfig) -> float:
    """Return the score (log) of a printing's number relative to the best of its art."""
    if numbers is None:
        return 0.0
    best = max(numbers.own.values())
    floor = max(policy.unread_number, best + policy.unread_number)
    return max(numbers.own[card.id], floor) - max(0.0, best)

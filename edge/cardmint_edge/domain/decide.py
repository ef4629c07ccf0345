"""From evidence to a decision: a calibrated confidence, a margin, and a policy with reason codes.

How the numbers below were fitted, and what they cost, is in docs/decisions/0010.
"""

from dataclasses import dataclass, replace
from math import exp, inf

from cardmint_contracts.cards import Candidate, Card, Decision
from cardmint_contracts.reasons import Reason

MOST_COMPARED = 4
"""So many printings that were found by print are compared with their own pictures, at most."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sighting:
    """A printing and how well the picture shows it.

    `twins` are other printings with the same art, pictured or not.
    """

    card: Card
    likeness: float
    title: float
    inliers: int
    twins: tuple[Card, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Numbers:
    """How well the numbers of the best sighting and its twins explain what was read (logs, about 0 at best).

    `other` is the same of the catalogue's best number that none of them carries, `beside` where
    their own reads best.
    """

    own: dict[str, float]
    beside: float
    other: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """A printing found by what was read alone.

    How well its number, its name and everything explain it (logs).

    `lead` is by how much its name does better than the best of other names. Artist and picture only
    order what print leaves open: they are no part of `total`, and make nothing surer.
    """

    card: Card
    number: float
    name: float
    total: float
    lead: float
    artist: float = 0.0

    @property
    def likely(self) -> float:
        """What orders cards that print leaves open."""
        return self.total + self.artist


@dataclass(frozen=True, kw_only=True, slots=True)
class Circumstances:
    """What was noticed of the frame beside the best candidate."""

    several_cards: bool = False
    cut_off: bool = False
    blurred: bool = False
    glare: bool = False
    """Whether light drowns where a number stands."""
    too_dark: bool = False
    card_back: bool = False
    card_shaped: bool = True
    """Whether the frame holds something with a card's outline at all."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """What it takes to accept.

    `weights` are those of a logistic regression: bias, likeness, margin, saturated inliers, and
    whether the number was read.
    """

    accept_confidence: float = 0.95
    accept_margin: float = 0.12
    accept_likeness: float = 0.65
    accept_title: float = 0.75
    review_likeness: float = 0.3
    weights: tuple[float, float, float, float, float] = (-7.5, 5.7, 7.7, 2.9, 1.3)
    read_likeness: float = 0.5
    """So much likeness is enough for a card whose own number was read clearly."""
    enough_inliers: int = 60
    """More than this many inliers say nothing more."""
    ceiling: float = 0.995
    """No picture makes the classical method surer than this."""
    clear_number: float = -2.0
    like_print: float = -16.0
    """What explains all print less well than this was not read."""
    clear_print: float = -10.5
    """The same of what does not look like a card."""
    accept_print: float = 0.94
    """A card that only its print tells is accepted when it is surer than this."""
    print_weights: tuple[float, float, float, float, float] = (-1.5, 0.29, 0.0, 0.39, 0.05)
    """Logistic regression for print.

    Bias, and by each log's unit number, name, margin and lead, each saturated.
    """
    enough_read: float = 12.0
    """Margins and leads of more than this (log) say nothing more."""
    apart: float = 6.0
    """By so much (log) a number, or a number with its name, must explain what was read better than any other."""
    apart_from_others: float = 0.5
    """The same for a number whose card's picture was recognised, against numbers that would be another picture's."""
    like_energy: float = 4.0
    """By so much (log) likelier is an energy where a picture resembles one.

    Next to nothing but a number is printed.
    """
    own_picture: float = 3.0
    """By so much (log) likelier, while no number settles it, is the printing whose own picture it is than its twins."""
    by_picture: float = 3.0
    """By so much (log) likelier is what print says where its picture is like the card's, and less where it is not."""
    unread: float = -12.0
    """A number that explains less than this says nothing more against a printing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """The decision, why, how sure, and the candidates, likeliest first."""

    decision: Decision
    reasons: tuple[str, ...]
    confidence: float
    candidates: tuple[Candidate, ...]
    likeness_gap: float | None = None

    @property
    def margin(self) -> float:
        """Confidence of the first candidate minus that of the likeliest other; 0 without any."""
        if not self.candidates:
            return 0.0
        return self.confidence - max((one.confidence for one in self.candidates[1:]), default=0.0)


def decide(
    sightings: list[Sighting],
    seen: Circumstances,
    policy: Policy,
    numbers: Numbers | None = None,
    limit: int = 5,
) -> Verdict:
    """Judge the candidates of one frame, given likeliest first.

    Of printings with the same art one is accepted only when its number was read, and no other's.
    """
    best = sightings[0] if sightings else None
    if best is None or (
        best.likeness < policy.review_likeness and (seen.card_back or not seen.card_shaped)
    ):
        reason = (
            Reason.TOO_DARK
            if seen.too_dark
            else Reason.LOOKS_LIKE_CARD_BACK
            if seen.card_back
            else Reason.NO_CARD_FOUND
        )
        return Verdict(decision=Decision.REJECT, reasons=(reason,), confidence=0.0, candidates=())
    twins = {twin.id: twin for twin in best.twins}
    rival = max(
        (other.likeness for other in sightings[1:] if other.card.id not in twins), default=0.0
    )
    read = numbers is not None and settled(numbers, policy)
    sure = confidence(best.likeness, best.likeness - rival, best.inliers, policy, read=read)
    candidates = _candidates(best, sightings[1:], twins, sure, policy, numbers=numbers)[:limit]
    reasons = _doubts(best, rival, sure, seen, policy, numbers=numbers)
    return Verdict(
        decision=Decision.REVIEW if reasons else Decision.ACCEPT,
        reasons=reasons,
        confidence=candidates[0].confidence,
        candidates=candidates,
        likeness_gap=best.likeness - rival,
    )


def decide_by_print(
    found: list[Found],
    seen: Circumstances,
    policy: Policy,
    *,
    likeness: float | None = None,
    pictured: bool = False,
    limit: int = 5,
) -> Verdict:
    """Judge cards that only their print tells, given likeliest first (at least one).

    `likeness` is that of the first one's own picture, where it is known: one that is quite unlike
    speaks against it, and so does another card's picture that was recognised (`pictured`).
    """
    best = found[0]
    margin = best.total - max((other.total for other in found[1:]), default=-inf)
    sure = print_confidence(best, margin, policy)
    weights = [exp(max(-60.0, other.total - best.total)) for other in found]
    shares = [sure, *(min(sure, (1 - sure) * weight) for weight in weights[1:])]
    doubts = {
        Reason.SEVERAL_CARDS: seen.several_cards,
        Reason.CUT_OFF: seen.cut_off,
        Reason.CARD_BACK: seen.card_back,
        Reason.OTHER_PICTURE: pictured
        or (likeness is not None and likeness < policy.review_likeness),
        Reason.NUMBER_UNREADABLE: best.number < policy.clear_number,
        Reason.OTHER_TITLE: best.lead < 0,
        Reason.SMALL_MARGIN: margin < policy.apart / 2,
        Reason.LOW_CONFIDENCE: sure < policy.accept_print,
    }
    found_doubts = tuple(reason for reason, holds in doubts.items() if holds)
    reasons = (*found_doubts, *_explained(found_doubts, seen))
    return Verdict(
        decision=Decision.REVIEW if reasons else Decision.ACCEPT,
        reasons=reasons,
        confidence=shares[0],
        candidates=tuple(
            Candidate(card=one.card, confidence=share)
            for one, share in zip(found[:limit], shares, strict=False)
        ),
    )


def energies_first(found: list[Found], sightings: list[Sighting], policy: Policy) -> list[Found]:
    """Return cards that were found by print with energies raised, if the best picture resembles one; likeliest first.

    An old energy's name is not in letters that can be read, and of many sets some card has its
    number.
    """
    if (
        not sightings
        or sightings[0].likeness < policy.review_likeness
        or not _energy(sightings[0].card)
    ):
        return found
    raised = [
        replace(one, total=one.total + policy.like_energy * _energy(one.card)) for one in found
    ]
    return sorted(raised, key=lambda one: -one.likely)


def contenders(found: list[Found], policy: Policy) -> list[Found]:
    """Return those of which a picture can change the order.

    Near enough to the likeliest by print.
    """
    return [
        one for one in found[:MOST_COMPARED] if one.likely > found[0].likely - 2 * policy.by_picture
    ]


def by_picture(found: list[Found], alike: dict[str, float], policy: Policy) -> list[Found]:
    """Return cards that were found by print ordered by their own pictures too, where these are known (by card id).

    Their totals stay: a picture can name the card that print leaves open, but makes nothing surer.
    """

    def order(one: Found) -> float:
        likeness = alike.get(one.card.id)
        if likeness is None:
            return -one.likely
        return -one.likely - policy.by_picture * (
            (likeness >= policy.read_likeness) - (likeness < policy.review_likeness)
        )

    return sorted(found, key=order)


def _energy(card: Card) -> bool:
    return card.name.endswith("Energy")


def overrules(printed: Verdict, pictured: Verdict, found: list[Found], policy: Policy) -> bool:
    """Return whether print says more than a picture that is in doubt.

    Surer, or by a number that was clearly read.

    That several sets have this number leaves open which card it is, but not that it is the other
    one.
    """
    best = found[0]
    others = max(
        (one.total for one in found[1:] if one.card.number != best.card.number), default=-inf
    )
    read = best.number >= policy.clear_number and best.total - others >= policy.apart / 2
    return read or printed.confidence > pictured.confidence


def print_evidence(best: Found, margin: float, policy: Policy) -> tuple[float, float, float, float]:
    """Return what the regression for print weighs: number, name, margin and lead, saturated."""
    most = policy.enough_read
    return (
        max(best.number, -most),
        max(best.name, -most),
        min(margin, most),
        max(-most, min(best.lead, most)),
    )


def print_confidence(best: Found, margin: float, policy: Policy) -> float:
    """Return the calibrated probability that print alone told the card rightly."""
    bias, *weights = policy.print_weights
    evidence = print_evidence(best, margin, policy)
    return min(
        policy.ceiling, _share(bias + sum(w * x for w, x in zip(weights, evidence, strict=True)))
    )


def confidence(
    likeness: float, margin: float, inliers: int, policy: Policy, *, read: bool = False
) -> float:
    """Return the calibrated probability that the picture shows this art.

    Rises with each of the four.
    """
    bias, of_likeness, of_margin, of_inliers, of_number = policy.weights
    agreement = min(inliers, policy.enough_inliers) / policy.enough_inliers
    logit = (
        bias
        + of_likeness * likeness
        + of_margin * margin
        + of_inliers * agreement
        + of_number * read
    )
    return min(policy.ceiling, _share(logit))


def _share(logit: float) -> float:
    return 1 / (1 + exp(-max(logit, -700.0)))


def settled(numbers: Numbers, policy: Policy) -> bool:
    """Return whether one printing's number was read, and clearly no other's."""
    first, second = sorted([*numbers.own.values(), -inf, -inf], reverse=True)[:2]
    if first == -inf:
        return False
    return (
        first >= policy.clear_number
        and first - second >= policy.apart
        and first - numbers.beside >= policy.apart_from_others
    )


def _contradicted(numbers: Numbers | None, policy: Policy) -> bool:
    """Return whether another card's number was read than that of any printing of this art."""
    if numbers is None or numbers.other < policy.clear_number:
        return False
    return numbers.other - max(numbers.own.values()) >= policy.apart


def _doubts(
    best: Sighting,
    rival: float,
    sure: float,
    seen: Circumstances,
    policy: Policy,
    *,
    numbers: Numbers | None,
) -> tuple[str, ...]:
    read = numbers is not None and settled(numbers, policy)
    alike = best.likeness >= (policy.read_likeness if read else policy.accept_likeness)
    unsettled = bool(best.twins) and not read
    doubts = {
        Reason.SEVERAL_CARDS: seen.several_cards,
        Reason.CUT_OFF: seen.cut_off,
        Reason.LOW_SIMILARITY: not alike,
        # Whom a poor likeness resembles, and who else does, says nothing.
        Reason.OTHER_TITLE: alike and best.title < policy.accept_title,
        Reason.SAME_ART: alike and unsettled,
        Reason.NUMBER_UNREADABLE: alike and unsettled and numbers is not None,
        Reason.OTHER_NUMBER: alike and _contradicted(numbers, policy),
        Reason.SMALL_MARGIN: alike and best.likeness - rival < policy.accept_margin,
        Reason.LOW_CONFIDENCE: alike and sure < policy.accept_confidence,
    }
    reasons = tuple(reason for reason, holds in doubts.items() if holds)
    return (*reasons, *_explained(reasons, seen))


def _explained(reasons: tuple[str, ...], seen: Circumstances) -> tuple[str, ...]:
    """Return what of the frame explains a doubt; a picture that leaves none is clear enough."""
    causes = {
        Reason.GLARE: seen.glare and Reason.NUMBER_UNREADABLE in reasons,
        Reason.BLURRED: seen.blurred and bool(reasons),
        Reason.TOO_DARK: seen.too_dark and bool(reasons),
    }
    return tuple(cause for cause, holds in causes.items() if holds)


def _candidates(
    best: Sighting,
    others: list[Sighting],
    twins: dict[str, Card],
    sure: float,
    policy: Policy,
    *,
    numbers: Numbers | None,
) -> tuple[Candidate, ...]:
    """Share what is sure of the art among the printings that carry it, and what is left among the other candidates."""
    pictured = {other.card.id: other.likeness for other in others}
    same_art = [best.card, *twins.values()]
    unseen = 0.0 if numbers is not None and settled(numbers, policy) else -policy.own_picture

    def by_look(card: Card) -> float:
        if card is best.card:
            return 0.0
        return 20 * (pictured[card.id] - best.likeness) if card.id in pictured else unseen

    weights = [exp(by_look(card) + _number(card, numbers, policy)) for card in same_art]
    shares = [sure * weight / sum(weights) for weight in weights]
    candidates = [
        Candidate(card=card, confidence=share) for card, share in zip(same_art, shares, strict=True)
    ]
    for other in others:
        if other.card.id not in twins:
            alone = confidence(
                other.likeness, other.likeness - best.likeness, other.inliers, policy
            )
            candidates.append(
                Candidate(card=other.card, confidence=min(alone, 1 - sure, max(shares)))
            )
    # The sort is stable: the best picture stays first among equals.
    return tuple(sorted(candidates, key=lambda candidate: -candidate.confidence))


def _number(card: Card, numbers: Numbers | None, policy: Policy) -> float:
    """Return what the number says for a printing, against the best of its twins."""
    if numbers is None:
        return 0.0
    floor = max(policy.unread, max(numbers.own.values()) + policy.unread)
    return max(numbers.own[card.id], floor) - max(0.0, *numbers.own.values())

"""The posterior and the decision: more evidence never lowers confidence, equals are asked about."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardmint_contracts.cards import Card, Decision
from cardmint_contracts.reasons import Reason
from cardmint_edge.domain.config import (
    EvidenceWeights,
    PolicyConfig,
    QualityConfig,
    RecognitionConfig,
)
from cardmint_edge.domain.decide import Verdict, is_settled, judge, rank
from cardmint_edge.domain.evidence import (
    Candidate,
    Evidence,
    FrameQuality,
    PictureScores,
    PrintScores,
)
from cardmint_edge.domain.posterior import FREE, KINDS, evidence_rows, posterior
from cardmint_edge.domain.vision.frame_quality import has_glare
from cardmint_edge.domain.vision.matching import VIEW_SIZE

WEIGHTS = EvidenceWeights(
    pictured=-12,
    likeness=20,
    alike=1,
    inliers=4,
    printed=7,
    number=0.5,
    number_lead=1,
    name=0.2,
    name_lead=1,
    number_and_name=0.2,
    number_and_health=0.2,
    health=0.3,
    no_health=-1,
    artist=0.3,
    attack=0.3,
    outside=6,
    outside_searched=0.5,
    unknown_number=4,
    sharpness=1,
)
"""Round weights: what is tested here holds for any that the fit may find."""
POLICY = PolicyConfig(weights=WEIGHTS)
CLEAR = FrameQuality()
READ = PrintScores(number=-0.2, number_lead=10, name=-0.3, name_lead=10, health=-0.2)
unit = st.floats(0, 1)
logs = st.floats(-80, 80)
pictures = st.builds(PictureScores, likeness=unit, inliers=st.integers(0, 300))
prints = st.builds(
    PrintScores,
    number=logs,
    number_lead=logs,
    name=logs,
    name_lead=logs,
    health=st.none() | logs,
    health_lead=logs,
    artist=logs,
    attack=st.floats(-12, 12),
)


def card(name: str) -> Card:
    return Card(id=name, name=name)


def seen(
    name: str,
    likeness: float | None = None,
    found: PrintScores | None = None,
    *,
    art: str = "",
    inliers: int = 100,
) -> Candidate:
    """Return a candidate whose picture and print have been compared, or not."""
    picture = None
    if likeness is not None:
        picture = PictureScores(likeness=likeness, inliers=inliers)
    return Candidate(card=card(name), art=art or name, picture=picture, prints=found)


def judged(
    *candidates: Candidate,
    quality: FrameQuality = CLEAR,
    searched: bool = True,
    unknown_number: str = "",
) -> Verdict:
    evidence = Evidence(
        candidates=candidates, quality=quality, searched=searched, unknown_number=unknown_number
    )
    return judge(evidence, POLICY)


@st.composite
def evidences(draw: st.DrawFn) -> Evidence:
    count = draw(st.integers(0, 6))
    candidates = tuple(
        Candidate(
            card=card(f"c{number}"),
            art=draw(st.sampled_from([f"c{number}", "c0"])),
            picture=draw(st.none() | pictures),
            prints=draw(st.none() | prints),
        )
        for number in range(count)
    )
    quality = draw(st.builds(FrameQuality))
    return Evidence(candidates=candidates, quality=quality, searched=draw(st.booleans()))


@given(evidences())
def test_probabilities_add_up_and_candidates_are_ordered(evidence: Evidence) -> None:
    found = posterior(evidence, POLICY)
    assert len(found.shares) == len(evidence.candidates)
    assert sum(found.shares) + found.outside == pytest.approx(1)
    verdict = judge(evidence, POLICY)
    confidences = [one.confidence for one in verdict.candidates]
    assert confidences == sorted(confidences, reverse=True)
    assert (verdict.decision is Decision.ACCEPT) == (not verdict.reasons)
    if confidences:
        assert verdict.confidence == confidences[0] <= POLICY.max_confidence
        assert 0 <= verdict.margin <= 1
    if verdict.decision is Decision.ACCEPT:
        assert verdict.confidence >= POLICY.accept


@given(evidences(), st.sampled_from(sorted(set(KINDS) - FREE)), st.floats(0, 10))
def test_more_of_any_evidence_never_lowers_a_candidates_probability(
    evidence: Evidence, kind: str, more: float
) -> None:
    rows = evidence_rows(evidence, POLICY)
    weights = np.array([getattr(WEIGHTS, one) for one in KINDS])

    def share(given: np.ndarray[tuple[int, int], np.dtype[np.float64]]) -> float:
        utilities = given @ weights
        return float(np.exp(utilities[0] - np.logaddexp.reduce(utilities)))

    raised = rows.copy()
    raised[0, KINDS.index(kind)] += more
    assert share(raised) >= share(rows) - 1e-12


@pytest.mark.parametrize("kind", sorted(set(KINDS) - FREE))
def test_no_fitted_weight_counts_evidence_against_a_card(kind: str) -> None:
    assert getattr(EvidenceWeights(), kind) >= 0


def test_what_is_not_known_adds_nothing() -> None:
    evidence = Evidence(candidates=(seen("a"),), quality=CLEAR)
    assert not evidence_rows(evidence, POLICY)[0].any()
    without_health = replace(READ, health=None)
    row = evidence_rows(
        Evidence(candidates=(seen("a", None, without_health),), quality=CLEAR), POLICY
    )
    assert row[0][KINDS.index("health")] == 0
    assert row[0][KINDS.index("no_health")] == 1


def test_a_clear_picture_or_clear_print_is_accepted() -> None:
    pictured = judged(seen("a", 0.95), seen("b", 0.25, inliers=0), searched=False)
    assert (pictured.decision, pictured.reasons) == (Decision.ACCEPT, ())
    assert pictured.candidates[0].card.id == "a"
    assert pictured.likeness_gap == pytest.approx(0.7)
    printed = judged(seen("b", None, READ))
    assert (printed.decision, printed.likeness_gap) == (Decision.ACCEPT, None)
    assert printed.confidence == printed.margin > POLICY.accept


@given(st.none() | pictures, st.none() | prints)
def test_of_two_that_nothing_tells_apart_none_is_accepted(
    picture: PictureScores | None, found: PrintScores | None
) -> None:
    one = Candidate(card=card("a"), art="a", picture=picture, prints=found)
    verdict = judged(one, replace(one, card=card("b")))
    assert verdict.decision is not Decision.ACCEPT
    assert verdict.confidence <= 0.5


LOOKS_LIKE_BACK = Reason.LOOKS_LIKE_CARD_BACK


def test_reasons_say_where_the_rest_of_the_posterior_lies() -> None:
    unread = replace(READ, number=-30.0, number_lead=-1.0)
    twins = (seen("a", 0.95, unread), seen("b", 0.95, unread, art="a"))
    assert judged(*twins).reasons == (Reason.SAME_ART, Reason.NUMBER_UNREADABLE)
    assert judged(seen("a", 0.9, READ), seen("b", 0.9, READ)).reasons == (Reason.SMALL_MARGIN,)
    weak = replace(READ, number_lead=-1.0, name_lead=-2.0)
    assert judged(seen("a", None, weak), searched=False).reasons == (
        Reason.LOW_CONFIDENCE,
        Reason.OTHER_TITLE,
    )
    assert judged(seen("a", 0.5, inliers=0), searched=False).reasons == (Reason.LOW_CONFIDENCE,)
    assert judged(seen("a", 0.28, inliers=0), searched=False).reasons == (
        Reason.LOW_CONFIDENCE,
        Reason.LOW_SIMILARITY,
    )
    assert judged(seen("a", 0.3, READ), seen("b", 0.7)).reasons[0] is Reason.OTHER_PICTURE
    reprint = replace(seen("b", 0.7), card=Card(id="b", name="a"))
    assert judged(seen("a", 0.3, READ), reprint).reasons[0] is Reason.OTHER_PICTURE
    assert judged(seen("a", 0.6, READ), reprint).decision is Decision.ACCEPT
    assert judged(seen("a", 0.6, READ), seen("b", 0.7)).reasons[0] is Reason.OTHER_PICTURE
    other = replace(READ, number=-20.0, number_lead=-19.5)
    assert Reason.OTHER_NUMBER in judged(seen("a", 0.75, other)).reasons


def test_a_card_with_another_number_is_asked_about_however_likely_it_is() -> None:
    """A reprint of the same art, whose own printing the pack lacks."""
    other = replace(READ, number=-9.0, number_lead=-8.5, name_lead=9.0, health=0.0)
    found = judged(seen("a", 0.99, other, inliers=200))
    assert found.confidence > POLICY.accept
    assert (found.decision, found.reasons) == (Decision.REVIEW, (Reason.OTHER_NUMBER,))
    faint = replace(other, number=-4.35, number_lead=-1.99, attack=3.0)
    assert Reason.OTHER_NUMBER in judged(seen("a", 0.83, faint, inliers=134)).reasons
    unread = replace(faint, number=-9.0, number_lead=-2.0)
    assert judged(seen("a", 0.99, unread, inliers=200)).decision is Decision.ACCEPT


def test_a_number_and_a_name_agree_only_as_far_as_no_printing_of_the_name_reads_as_well() -> None:
    """A full art and its regular printing, told apart by a blurred number alone."""
    near = replace(READ, number=-0.7, number_lead=5.7, name_lead=3.6, health_lead=4.6)
    far = replace(near, number=-2.3, number_lead=4.1)
    one = replace(seen("a", None, near), card=Card(id="a", name="Pidgeot EX"))
    other = replace(seen("b", None, far), card=Card(id="b", name="Pidgeot EX"))
    both = Evidence(candidates=(one, other), quality=CLEAR, searched=True)
    assert Reason.SMALL_MARGIN in judge(both, PolicyConfig()).reasons
    stranger = replace(other, card=Card(id="b", name="Sandile"))
    same = replace(other, prints=near)
    rows = {
        rival.card.name + str(rival.prints == near): evidence_rows(
            Evidence(candidates=(one, rival), quality=CLEAR), POLICY
        )[0, KINDS.index("number_and_name")]
        for rival in (other, stranger, same)
    }
    assert rows["Pidgeot EXFalse"] == 0
    assert rows["SandileFalse"] == rows["Pidgeot EXTrue"] == pytest.approx(3.6)


def test_a_reprint_that_is_printed_like_its_original_is_asked_about() -> None:
    """The original, with the same number, name and picture, may be what the pack lacks."""
    sure = replace(READ, number_lead=9.0, name_lead=9.0, health=0.0)
    reprint = replace(
        seen("a", 0.99, sure, inliers=200), card=Card(id="a", name="a", set_id="cel25c")
    )
    found = judged(reprint)
    assert found.confidence > POLICY.accept
    assert (found.decision, found.reasons) == (Decision.REVIEW, (Reason.SAME_ART,))
    original = replace(seen("b", 0.99, replace(sure, number_lead=2.0), art="a"))
    assert judged(reprint, original).reasons.count(Reason.SAME_ART) == 1
    assert judged(seen("b", 0.99, sure, inliers=200)).decision is Decision.ACCEPT


def test_what_no_picture_tells_is_asked_about_by_rule() -> None:
    for quality, reasons in (
        (FrameQuality(several_cards=True), (Reason.SEVERAL_CARDS,)),
        (FrameQuality(cut_off=True, blurred=True), (Reason.CUT_OFF, Reason.BLURRED)),
        (FrameQuality(cut_off=True, too_dark=True), (Reason.CUT_OFF, Reason.TOO_DARK)),
    ):
        verdict = judged(seen("a", 0.95, READ), quality=quality)
        assert (verdict.decision, verdict.reasons) == (Decision.REVIEW, reasons)
    back = FrameQuality(card_back=True)
    assert judged(seen("a", None, READ), quality=back).reasons == (Reason.CARD_BACK,)
    assert judged(seen("a", 0.95, READ), quality=back).decision is Decision.ACCEPT
    blurred = judged(seen("a", 0.95, READ), quality=FrameQuality(blurred=True))
    assert blurred.decision is Decision.ACCEPT


def test_what_is_hardly_likely_is_not_proposed() -> None:
    weak = seen("a", None, replace(READ, number_lead=-1.0, name_lead=-2.0))
    for quality, decision, reason in (
        (FrameQuality(), Decision.REJECT, Reason.UNKNOWN_CARD),
        (FrameQuality(several_cards=True), Decision.REJECT, Reason.SEVERAL_CARDS),
        (FrameQuality(card_back=True, several_cards=True), Decision.REJECT, LOOKS_LIKE_BACK),
        (FrameQuality(card_shaped=False), Decision.REJECT, Reason.NO_CARD_FOUND),
        (
            FrameQuality(card_shaped=False, misshapen=True),
            Decision.REJECT,
            Reason.SEVERAL_CARDS,
        ),
        (FrameQuality(blurred=True), Decision.REVIEW, Reason.LOW_CONFIDENCE),
    ):
        verdict = judged(weak, quality=quality)
        assert (verdict.decision, verdict.reasons[0], verdict.candidates) == (decision, reason, ())


def test_glare_explains_an_unread_number_and_nothing_else() -> None:
    drowned = FrameQuality(glare=True)
    unread = replace(READ, number=-30.0, number_lead=-1.0)
    twins = (seen("a", 0.95, unread), seen("b", 0.95, unread, art="a"))
    assert judged(*twins, quality=drowned).reasons[-1] is Reason.GLARE
    alike = (seen("a", 0.95, READ), seen("b", 0.95, READ))
    assert Reason.GLARE not in judged(*alike, quality=drowned).reasons


def test_a_number_that_no_printing_has_proposes_none() -> None:
    verdict = judged(seen("a", 0.6, inliers=0), unknown_number="91/84")
    assert (verdict.decision, verdict.reasons) == (Decision.REVIEW, (Reason.NOT_IN_CATALOGUE,))
    assert (verdict.candidates, verdict.confidence, verdict.margin) == ((), 0.0, 0.0)
    # A card that all else tells is not given up for a misread number.
    assert judged(seen("a", 1.0, READ), unknown_number="91/84").decision is Decision.ACCEPT


def test_a_name_that_stands_there_and_fits_no_printing_is_outside_of_the_catalogue() -> None:
    newer = replace(READ, number=-60.0, number_lead=-60.0, health=-20.0)
    for one in (seen("Lechonk", None, newer), seen("Lechonk", 0.2, newer, inliers=0)):
        verdict = judged(one)
        assert (verdict.decision, verdict.reasons) == (Decision.REVIEW, (Reason.NOT_IN_CATALOGUE,))
        assert verdict.candidates == ()
    unclear = replace(newer, name_lead=1.0)
    named = seen("Lechonk", None, newer)
    for verdict in (
        judged(seen("AZ", None, newer)),  # two letters are read by chance
        judged(seen("Lechonk", None, unclear)),
        judged(named, quality=FrameQuality(card_shaped=False)),
        judged(named, quality=FrameQuality(blurred=True)),
        judged(named, searched=False),
    ):
        assert Reason.NOT_IN_CATALOGUE not in verdict.reasons


@pytest.mark.parametrize(
    ("quality", "searched", "decision", "reason"),
    [
        (FrameQuality(card_shaped=False), False, Decision.REJECT, Reason.NO_CARD_FOUND),
        (
            FrameQuality(card_shaped=False, several_cards=True),
            False,
            Decision.REJECT,
            Reason.SEVERAL_CARDS,
        ),
        (FrameQuality(too_dark=True), False, Decision.REJECT, Reason.TOO_DARK),
        (FrameQuality(card_back=True), False, Decision.REJECT, Reason.LOOKS_LIKE_CARD_BACK),
        (CLEAR, True, Decision.REJECT, Reason.UNKNOWN_CARD),
        (CLEAR, False, Decision.REVIEW, Reason.LOW_CONFIDENCE),
        (FrameQuality(blurred=True), True, Decision.REVIEW, Reason.LOW_CONFIDENCE),
    ],
)
def test_what_is_no_card_of_the_catalogue_is_rejected_where_that_is_clear(
    quality: FrameQuality, searched: bool, decision: Decision, reason: Reason
) -> None:
    for candidates in ((), (seen("a", 0.05, inliers=0),)):
        verdict = judged(*candidates, quality=quality, searched=searched)
        assert (verdict.decision, verdict.reasons[0]) == (decision, reason)
        assert verdict.confidence < POLICY.unknown


def test_print_is_searched_only_while_the_card_is_not_settled() -> None:
    evidence = Evidence(candidates=(seen("b", 0.2), seen("a", 1.0, READ)), quality=CLEAR)
    best = rank(evidence, POLICY).likeliest
    assert is_settled(evidence, POLICY, 0.99)
    assert best is not None
    assert best.card.id == "a"
    assert not is_settled(replace(evidence, candidates=evidence.candidates[:1]), POLICY, 0.99)
    assert rank(replace(evidence, candidates=()), POLICY).likeliest is None


def test_light_on_the_number_is_glare_and_a_white_card_is_not() -> None:
    grey = np.full((VIEW_SIZE[1], VIEW_SIZE[0]), 128, np.uint8)
    assert not has_glare(grey, QualityConfig())
    assert not has_glare(np.full_like(grey, 255), QualityConfig())
    grey[-25:, :80] = 255
    assert has_glare(grey, QualityConfig())


def test_another_number_is_another_version_of_the_rules() -> None:
    config = RecognitionConfig()
    assert config.rules_version == RecognitionConfig().rules_version
    other = replace(config, policy=replace(config.policy, accept=0.9))
    assert other.rules_version != config.rules_version
    assert other.rules_version.partition("-")[0] == config.rules_version.partition("-")[0]

"""The policy: more evidence never lowers confidence, and the same art is never accepted."""

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cardmint_contracts.cards import Card, Decision
from cardmint_edge.domain.config import PolicyConfig, QualityConfig, RecognitionConfig
from cardmint_edge.domain.decide import (
    Verdict,
    judge,
    judge_pictures,
    judge_prints,
    order_by_picture,
    picture_confidence,
    worth_comparing,
)
from cardmint_edge.domain.evidence import (
    Evidence,
    FrameQuality,
    NumberScores,
    PictureMatch,
    PrintEvidence,
    PrintMatch,
)
from cardmint_edge.domain.vision.frame_quality import has_glare
from cardmint_edge.domain.vision.matching import VIEW_SIZE

POLICY = PolicyConfig()
CLEAR = FrameQuality()
unit = st.floats(0, 1)
counts = st.integers(0, 300)


def card(name: str) -> Card:
    return Card(id=name, name=name)


def picture(
    name: str,
    likeness: float,
    inliers: int = 150,
    twins: tuple[Card, ...] = (),
    title: float = 0.95,
) -> PictureMatch:
    return PictureMatch(
        card=card(name), likeness=likeness, title=title, inliers=inliers, twins=twins
    )


def judged(
    pictures: list[PictureMatch],
    quality: FrameQuality = CLEAR,
    policy: PolicyConfig = POLICY,
    numbers: NumberScores | None = None,
) -> Verdict:
    evidence = Evidence(pictures=tuple(pictures), quality=quality, numbers=numbers)
    return judge_pictures(evidence, policy)


def judged_by_print(matches: list[PrintMatch]) -> Verdict:
    prints = PrintEvidence(matches=tuple(matches))
    return judge_prints(prints, CLEAR, POLICY, other_picture=False)


@given(unit, unit, unit, unit, counts, counts)
def test_confidence_rises_with_each_evidence(
    l1: float, l2: float, m1: float, m2: float, i1: int, i2: int
) -> None:
    low = picture_confidence(min(l1, l2), min(m1, m2), min(i1, i2), POLICY)
    high = picture_confidence(max(l1, l2), max(m1, m2), max(i1, i2), POLICY)
    assert 0 <= low <= high <= POLICY.max_confidence < 1


@given(st.lists(st.tuples(unit, counts), min_size=1, max_size=8), unit)
def test_a_better_best_is_never_judged_worse(
    others: list[tuple[float, int]], better: float
) -> None:
    ranked = sorted(
        (picture(str(n), like, inliers) for n, (like, inliers) in enumerate(others)),
        key=lambda s: -s.likeness,
    )
    raised = [
        picture(ranked[0].card.id, max(better, ranked[0].likeness), ranked[0].inliers),
        *ranked[1:],
    ]
    order = [Decision.REJECT, Decision.REVIEW, Decision.ACCEPT]
    before, after = judged(ranked), judged(raised)
    assert order.index(after.decision) >= order.index(before.decision)
    assert after.margin >= before.margin
    assert after.confidence >= before.confidence


@given(st.lists(st.tuples(unit, counts, st.booleans()), min_size=1, max_size=7), st.booleans())
def test_the_same_art_is_never_accepted_and_all_its_printings_are_candidates(
    drawn: list[tuple[float, int, bool]], pictured: bool
) -> None:
    ranked = sorted(
        (picture(str(n), like, inliers) for n, (like, inliers, _) in enumerate(drawn)),
        key=lambda s: -s.likeness,
    )
    twin = ranked[-1].card if pictured and len(ranked) > 1 else card("unpictured")
    ranked[0] = picture(ranked[0].card.id, ranked[0].likeness, ranked[0].inliers, (twin,))
    verdict = judged(ranked, policy=replace(POLICY, candidates=8))
    assert verdict.decision is not Decision.ACCEPT
    assert {ranked[0].card.id, twin.id} <= {candidate.card.id for candidate in verdict.candidates}
    assert "same-art" in verdict.reasons or verdict.reasons == ("low-similarity",)
    confidences = [candidate.confidence for candidate in verdict.candidates]
    assert confidences == sorted(confidences, reverse=True)
    assert sum(confidences[:2]) <= 1 + 1e-9


def test_a_clear_match_is_accepted_with_its_margin() -> None:
    verdict = judged([picture("a", 0.95), picture("b", 0.25, 0)])
    assert (verdict.decision, verdict.reasons) == (Decision.ACCEPT, ())
    assert verdict.candidates[0].card.id == "a"
    assert (round(verdict.margin, 4), round(verdict.likeness_gap or 0, 9)) == (0.995, 0.7)
    assert verdict.confidence > POLICY.accept_confidence


def test_each_doubt_is_named() -> None:
    def reasons(*pictures: PictureMatch, seen: FrameQuality = CLEAR) -> tuple[str, ...]:
        verdict = judged(list(pictures), seen)
        assert verdict.decision is Decision.REVIEW
        return verdict.reasons

    assert reasons(picture("a", 0.95, title=0.5)) == ("other-title",)
    assert reasons(picture("a", 0.4, title=0.5)) == ("low-similarity",)
    assert reasons(picture("a", 0.95), picture("b", 0.93))[0] == "small-margin"
    unsure = PolicyConfig(picture_weights=(-9, 1, 1, 1, 1))
    assert judged([picture("a", 0.95)], policy=unsure).reasons == ("low-confidence",)
    seen = FrameQuality(several_cards=True, cut_off=True, blurred=True, too_dark=True)
    assert reasons(picture("a", 0.95), seen=seen) == (
        "several-cards",
        "cut-off",
        "blurred",
        "too-dark",
    )
    assert judged([picture("a", 0.95)], FrameQuality(blurred=True)).decision is Decision.ACCEPT


def found(name: str, total: float, *, artist: float = 0.0) -> PrintMatch:
    return PrintMatch(
        card=card(name), number=-0.5, name=-0.5, total=total, name_lead=8.0, artist=artist
    )


def test_own_pictures_order_what_print_leaves_open_and_raise_no_confidence() -> None:
    close = [found("a", -1), found("b", -2), found("c", -3), found("d", -20)]

    def ordered(likenesses: dict[str, float]) -> list[str]:
        return [match.card.name for match in order_by_picture(close, likenesses, POLICY)]

    assert worth_comparing(close, POLICY) == close[:3]
    assert ordered({"a": 0.1}) == ["b", "c", "a", "d"]
    assert ordered({"c": 0.9}) == ["c", "a", "b", "d"]
    assert order_by_picture(close, {"a": 0.4}, POLICY) == close
    verdict = judged_by_print(order_by_picture(close, {"a": 0.1}, POLICY))
    assert (verdict.decision, verdict.candidates[0].card.name) == (Decision.REVIEW, "b")
    assert "small-margin" in verdict.reasons
    assert verdict.confidence <= judged_by_print(close).confidence


def test_while_no_number_settles_it_the_printing_whose_picture_it_is_comes_before_its_twins() -> (
    None
):
    best = picture("a", 0.9, twins=(card("b"),))

    def first(own: float, twin: float) -> str:
        numbers = NumberScores(own={"a": own, "b": twin}, rival_in_strip=-20.0, best_other=-20.0)
        return judged([best], numbers=numbers).candidates[0].card.name

    assert first(-4.0, -2.5) == "a"
    assert first(-5.0, -1.0) == "b"
    assert first(-9.0, -0.5) == "b"


def test_glare_explains_an_unread_number_and_nothing_else() -> None:
    twins = (card("twin"),)
    unread = NumberScores(own={"a": -9.0, "twin": -9.0}, rival_in_strip=-9.0, best_other=-9.0)
    drowned = FrameQuality(glare=True)
    verdict = judged([picture("a", 0.95, twins=twins)], drowned, numbers=unread)
    assert verdict.reasons == ("same-art", "number-unreadable", "glare")
    assert judged([picture("a", 0.95, twins=twins)], drowned).reasons == ("same-art",)


def test_light_on_the_number_is_glare_and_a_white_card_is_not() -> None:
    grey = np.full((VIEW_SIZE[1], VIEW_SIZE[0]), 128, np.uint8)
    assert not has_glare(grey, QualityConfig())
    assert not has_glare(np.full_like(grey, 255), QualityConfig())
    grey[-25:, :80] = 255
    assert has_glare(grey, QualityConfig())


def test_what_is_no_card_is_rejected_with_the_reason() -> None:
    def reject(*pictures: PictureMatch, seen: FrameQuality) -> tuple[str, ...]:
        verdict = judged(list(pictures), seen)
        assert (verdict.decision, verdict.candidates, verdict.confidence) == (
            Decision.REJECT,
            (),
            0.0,
        )
        return verdict.reasons

    assert reject(seen=CLEAR) == ("no-card-found",)
    assert reject(picture("a", 0.1), seen=FrameQuality(card_shaped=False)) == ("no-card-found",)
    assert reject(picture("a", 0.1), seen=FrameQuality(card_back=True)) == ("looks-like-card-back",)
    assert reject(seen=FrameQuality(too_dark=True)) == ("too-dark",)
    assert judged([picture("a", 0.95)], FrameQuality(card_back=True)).decision is Decision.ACCEPT


def test_another_number_is_another_version_of_the_rules() -> None:
    config = RecognitionConfig()
    assert config.rules_version == RecognitionConfig().rules_version
    other = replace(config, policy=replace(config.policy, accept_confidence=0.9))
    assert other.rules_version != config.rules_version
    assert other.rules_version.partition("-")[0] == config.rules_version.partition("-")[0]


def unknown(likeness: float = 0.15, total: float = -13.0, quality: FrameQuality = CLEAR) -> Verdict:
    match = PrintMatch(card=card("a"), number=-3, name=-60, total=total, name_lead=-9)
    evidence = Evidence(
        pictures=(picture("a", likeness),) if likeness else (),
        quality=quality,
        prints=PrintEvidence(matches=(match,)),
    )
    return judge(evidence, POLICY)


def test_a_clear_card_of_which_nothing_is_in_the_catalogue_asks_nobody() -> None:
    for verdict in (unknown(), unknown(likeness=0.0)):
        assert (verdict.decision, verdict.reasons) == (Decision.REJECT, ("unknown-card",))
        assert verdict.candidates == ()


def test_a_card_that_may_be_known_or_that_is_hidden_is_judged_as_before() -> None:
    verdicts = [
        unknown(likeness=0.4),
        unknown(total=-11.0),
        unknown(quality=FrameQuality(blurred=True)),
        unknown(quality=FrameQuality(glare=True)),
        unknown(quality=FrameQuality(cut_off=True)),
        unknown(quality=FrameQuality(several_cards=True)),
        unknown(quality=FrameQuality(too_dark=True)),
        unknown(quality=FrameQuality(card_back=True)),
        unknown(quality=FrameQuality(card_shaped=False)),
        judged([picture("a", 0.2)]),
    ]
    assert all("unknown-card" not in verdict.reasons for verdict in verdicts)


def test_several_cards_of_which_none_is_known_are_said_to_be_several() -> None:
    verdict = judged([], quality=FrameQuality(several_cards=True, card_shaped=False))
    assert (verdict.decision, verdict.reasons) == (Decision.REJECT, ("several-cards",))

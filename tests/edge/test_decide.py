"""The policy: more evidence never lowers confidence, and the same art is never accepted."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cardmint_contracts.cards import Card, Decision
from cardmint_edge.domain.decide import (
    Circumstances,
    Found,
    Numbers,
    Policy,
    Sighting,
    by_picture,
    confidence,
    contenders,
    decide,
    decide_by_print,
)
from cardmint_edge.domain.vision.frame_quality import glaring
from cardmint_edge.domain.vision.matching import VIEW_SIZE

POLICY = Policy()
CLEAR = Circumstances()
unit = st.floats(0, 1)
counts = st.integers(0, 300)


def card(name: str) -> Card:
    return Card(id=name, name=name)


def sighting(
    name: str,
    likeness: float,
    inliers: int = 150,
    twins: tuple[Card, ...] = (),
    title: float = 0.95,
) -> Sighting:
    return Sighting(card=card(name), likeness=likeness, title=title, inliers=inliers, twins=twins)


@given(unit, unit, unit, unit, counts, counts)
def test_confidence_rises_with_each_evidence(
    l1: float, l2: float, m1: float, m2: float, i1: int, i2: int
) -> None:
    low = confidence(min(l1, l2), min(m1, m2), min(i1, i2), POLICY)
    high = confidence(max(l1, l2), max(m1, m2), max(i1, i2), POLICY)
    assert 0 <= low <= high <= POLICY.ceiling < 1


@given(st.lists(st.tuples(unit, counts), min_size=1, max_size=8), unit)
def test_a_better_best_is_never_judged_worse(
    others: list[tuple[float, int]], better: float
) -> None:
    ranked = sorted(
        (sighting(str(n), like, inliers) for n, (like, inliers) in enumerate(others)),
        key=lambda s: -s.likeness,
    )
    raised = [
        sighting(ranked[0].card.id, max(better, ranked[0].likeness), ranked[0].inliers),
        *ranked[1:],
    ]
    order = [Decision.REJECT, Decision.REVIEW, Decision.ACCEPT]
    before, after = decide(ranked, CLEAR, POLICY), decide(raised, CLEAR, POLICY)
    assert order.index(after.decision) >= order.index(before.decision)
    assert after.margin >= before.margin
    assert after.confidence >= before.confidence


@given(st.lists(st.tuples(unit, counts, st.booleans()), min_size=1, max_size=8), st.booleans())
def test_the_same_art_is_never_accepted_and_all_its_printings_are_candidates(
    drawn: list[tuple[float, int, bool]], pictured: bool
) -> None:
    ranked = sorted(
        (sighting(str(n), like, inliers) for n, (like, inliers, _) in enumerate(drawn)),
        key=lambda s: -s.likeness,
    )
    twin = ranked[-1].card if pictured and len(ranked) > 1 else card("unpictured")
    ranked[0] = sighting(ranked[0].card.id, ranked[0].likeness, ranked[0].inliers, (twin,))
    verdict = decide(ranked, CLEAR, POLICY, limit=8)
    assert verdict.decision is not Decision.ACCEPT
    assert {ranked[0].card.id, twin.id} <= {candidate.card.id for candidate in verdict.candidates}
    assert "same-art" in verdict.reasons or verdict.reasons == ("low-similarity",)
    confidences = [candidate.confidence for candidate in verdict.candidates]
    assert confidences == sorted(confidences, reverse=True)
    assert sum(confidences[:2]) <= 1 + 1e-9


def test_a_clear_match_is_accepted_with_its_margin() -> None:
    verdict = decide([sighting("a", 0.95), sighting("b", 0.25, 0)], CLEAR, POLICY)
    assert (verdict.decision, verdict.reasons) == (Decision.ACCEPT, ())
    assert verdict.candidates[0].card.id == "a"
    assert (round(verdict.margin, 4), round(verdict.likeness_gap or 0, 9)) == (0.995, 0.7)
    assert verdict.confidence > POLICY.accept_confidence


def test_each_doubt_is_named() -> None:
    def reasons(*sightings: Sighting, seen: Circumstances = CLEAR) -> tuple[str, ...]:
        verdict = decide(list(sightings), seen, POLICY)
        assert verdict.decision is Decision.REVIEW
        return verdict.reasons

    assert reasons(sighting("a", 0.95, title=0.5)) == ("other-title",)
    assert reasons(sighting("a", 0.4, title=0.5)) == ("low-similarity",)
    assert reasons(sighting("a", 0.95), sighting("b", 0.93))[0] == "small-margin"
    unsure = Policy(weights=(-9, 1, 1, 1, 1))
    assert decide([sighting("a", 0.95)], CLEAR, unsure).reasons == ("low-confidence",)
    seen = Circumstances(several_cards=True, cut_off=True, blurred=True, too_dark=True)
    assert reasons(sighting("a", 0.95), seen=seen) == (
        "several-cards",
        "cut-off",
        "blurred",
        "too-dark",
    )
    assert (
        decide([sighting("a", 0.95)], Circumstances(blurred=True), POLICY).decision
        is Decision.ACCEPT
    )


def found(name: str, total: float, *, artist: float = 0.0) -> Found:
    return Found(card=card(name), number=-0.5, name=-0.5, total=total, lead=8.0, artist=artist)


def test_of_cards_that_print_leaves_open_the_one_whose_picture_fits_comes_first_and_nothing_is_surer() -> (
    None
):
    policy = Policy()
    close = [found("a", -1), found("b", -2), found("c", -3), found("d", -20)]
    assert contenders(close, policy) == close[:3]
    assert [one.card.name for one in by_picture(close, {"a": 0.1}, policy)] == ["b", "c", "a", "d"]
    assert [one.card.name for one in by_picture(close, {"c": 0.9}, policy)] == ["c", "a", "b", "d"]
    assert by_picture(close, {"a": 0.4}, policy) == close
    verdict = decide_by_print(by_picture(close, {"a": 0.1}, policy), Circumstances(), policy)
    assert (verdict.decision, verdict.candidates[0].card.name) == (Decision.REVIEW, "b")
    assert "small-margin" in verdict.reasons
    assert verdict.confidence <= decide_by_print(close, Circumstances(), policy).confidence


def test_while_no_number_settles_it_the_printing_whose_picture_it_is_comes_before_its_twins() -> (
    None
):
    best = sighting("a", 0.9, twins=(card("b"),))

    def first(own: float, twin: float) -> str:
        numbers = Numbers(own={"a": own, "b": twin}, beside=-20.0, other=-20.0)
        return decide([best], CLEAR, POLICY, numbers).candidates[0].card.name

    assert first(-4.0, -2.5) == "a"
    assert first(-5.0, -1.0) == "b"
    assert first(-9.0, -0.5) == "b"


def test_glare_explains_an_unread_number_and_nothing_else() -> None:
    twins = (card("twin"),)
    unread = Numbers(own={"a": -9.0, "twin": -9.0}, beside=-9.0, other=-9.0)
    drowned = Circumstances(glare=True)
    verdict = decide([sighting("a", 0.95, twins=twins)], drowned, POLICY, unread)
    assert verdict.reasons == ("same-art", "number-unreadable", "glare")
    assert decide([sighting("a", 0.95, twins=twins)], drowned, POLICY).reasons == ("same-art",)


def test_light_on_the_number_is_glare_and_a_white_card_is_not() -> None:
    grey = np.full((VIEW_SIZE[1], VIEW_SIZE[0]), 128, np.uint8)
    assert not glaring(grey)
    assert not glaring(np.full_like(grey, 255))
    grey[-25:, :80] = 255
    assert glaring(grey)


def test_what_is_no_card_is_rejected_with_the_reason() -> None:
    def reject(*sightings: Sighting, seen: Circumstances) -> tuple[str, ...]:
        verdict = decide(list(sightings), seen, POLICY)
        assert (verdict.decision, verdict.candidates, verdict.confidence) == (
            Decision.REJECT,
            (),
            0.0,
        )
        return verdict.reasons

    assert reject(seen=CLEAR) == ("no-card-found",)
    assert reject(sighting("a", 0.1), seen=Circumstances(card_shaped=False)) == ("no-card-found",)
    assert reject(sighting("a", 0.1), seen=Circumstances(card_back=True)) == (
        "looks-like-card-back",
    )
    assert reject(seen=Circumstances(too_dark=True)) == ("too-dark",)
    assert (
        decide([sighting("a", 0.95)], Circumstances(card_back=True), POLICY).decision
        is Decision.ACCEPT
    )

"""Corners and homographies: what is mapped there comes back, and cards come out upright."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardmint_edge.domain.vision.contours import looks_like_card, propose
from cardmint_edge.domain.vision.rectify import (
    card_outline,
    clockwise,
    cut,
    project,
    pyramid,
    rectify,
    sides,
    to_card,
    turned,
)

corner = st.floats(-18, 18)
quads = st.tuples(*[st.tuples(corner, corner) for _ in range(4)]).map(
    lambda moves: (
        np.array([[60, 50], [160, 50], [160, 190], [60, 190]], dtype=np.float32)
        + np.array(moves, np.float32)
    )
)


@given(quads)
def test_a_homography_takes_the_corners_to_the_outline_and_back(quad: np.ndarray) -> None:
    homography = to_card(quad, 96, 134)
    assert np.abs(project(quad, homography) - card_outline(96, 134)).max() < 0.01
    assert (
        np.abs(
            project(card_outline(96, 134), np.linalg.inv(homography).astype(np.float64)) - quad
        ).max()
        < 0.05
    )


@given(quads, st.permutations(range(4)))
def test_corners_come_out_clockwise_whatever_their_order(
    quad: np.ndarray, order: list[int]
) -> None:
    ordered = clockwise(quad[order])
    assert {tuple(point) for point in ordered.tolist()} == {tuple(point) for point in quad.tolist()}
    a, b, c = ordered[0], ordered[1], ordered[2]
    assert (b - a)[0] * (c - b)[1] - (b - a)[1] * (c - b)[0] > 0
    assert sides(ordered)[0] <= sides(ordered)[1]


@given(quads, st.integers(0, 3))
def test_four_quarter_turns_are_none(quad: np.ndarray, quarters: int) -> None:
    assert np.array_equal(turned(turned(quad, quarters), 4 - quarters), quad)


def test_a_sideways_card_begins_at_a_short_side() -> None:
    short, long = sides(clockwise(np.array([[0, 0], [140, 0], [140, 100], [0, 100]])))
    assert (short, long) == (100, 140)


def test_the_pyramid_ends_at_the_smallest_level_and_cuts_the_same_card_from_any() -> None:
    frame = np.zeros((1280, 1920, 3), np.uint8)
    frame[200:1080, 400:1030] = (10, 120, 240)
    levels = pyramid(frame)
    assert [level.shape[1] for level in levels] == [1920, 960, 480]
    quad = np.array([[400, 200], [1030, 200], [1030, 1080], [400, 1080]], np.float32)
    assert np.abs(cut(levels, quad, 96, 134).astype(int)[5:-5, 5:-5] - (10, 120, 240)).max() <= 1
    assert np.array_equal(cut([frame], quad, 630, 880), rectify(frame, quad, 630, 880))
    assert len(pyramid(np.zeros((1, 3000, 3), np.uint8))) == 1


@pytest.mark.parametrize("angle", [0, 15, 45, 90, 130])
def test_a_card_on_a_plain_ground_is_found_at_any_angle(angle: float) -> None:
    import cv2

    frame = np.full((800, 1200, 3), 40, np.uint8)
    box = cv2.boxPoints(((600, 400), (250, 349), angle))
    cv2.fillPoly(frame, [box.astype(np.int32)], (200, 210, 220))
    found = propose(frame)
    assert (
        min(min(np.abs(turned(quad, n) - clockwise(box)).max() for n in range(4)) for quad in found)
        < 8
    )
    assert any(looks_like_card(quad, 1200, 800) for quad in found)


def test_a_frame_of_a_cards_proportions_is_a_guess_itself_and_an_empty_one_has_no_other() -> None:
    whole = propose(np.full((880, 630, 3), 90, np.uint8))
    assert len(whole) == 1
    assert np.abs(whole[0] - [[0, 0], [630, 0], [630, 880], [0, 880]]).max() < 3
    assert propose(np.full((400, 900, 3), 90, np.uint8)) == []
    assert not looks_like_card(whole[0], 630, 880)

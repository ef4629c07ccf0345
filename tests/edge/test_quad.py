"""Corners and homographies: what is mapped there comes back, and cards come out upright."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardmint_edge.domain.config import ContourConfig
from cardmint_edge.domain.vision.contours import contour_quads, has_card_shape
from cardmint_edge.domain.vision.quad import Quad, project
from cardmint_edge.domain.vision.view import View

CONTOURS = ContourConfig()
corner = st.floats(-18, 18)
quads = st.tuples(*[st.tuples(corner, corner) for _ in range(4)]).map(
    lambda moves: (
        np.array([[60, 50], [160, 50], [160, 190], [60, 190]], dtype=np.float32)
        + np.array(moves, np.float32)
    )
)


@given(quads)
def test_a_homography_takes_the_corners_to_the_outline_and_back(corners: np.ndarray) -> None:
    homography, outline = Quad.of(corners).homography(96, 134), Quad.upright(96, 134).corners
    assert np.abs(project(corners, homography) - outline).max() < 0.01
    back = np.linalg.inv(homography).astype(np.float64)
    assert np.abs(project(outline, back) - corners).max() < 0.05


@given(quads, st.permutations(range(4)))
def test_corners_come_out_clockwise_whatever_their_order(
    corners: np.ndarray, order: list[int]
) -> None:
    quad = Quad.clockwise(corners[order])
    assert {tuple(point) for point in quad.corners.tolist()} == {
        tuple(point) for point in corners.tolist()
    }
    a, b, c = quad.corners[:3]
    assert (b - a)[0] * (c - b)[1] - (b - a)[1] * (c - b)[0] > 0
    assert quad.width <= quad.height


@given(quads, st.integers(0, 3))
def test_four_quarter_turns_are_none(corners: np.ndarray, quarters: int) -> None:
    back = Quad.of(corners).turned(quarters).turned(4 - quarters)
    assert np.array_equal(back.corners, corners)


def test_a_sideways_card_begins_at_a_short_side() -> None:
    quad = Quad.clockwise(np.array([[0, 0], [140, 0], [140, 100], [0, 100]]))
    assert (*quad.sides, quad.area) == (100, 140, 14_000)


def test_overlap_is_the_shared_part_of_both() -> None:
    one = Quad.of(np.array([[0, 0], [100, 0], [100, 100], [0, 100]]))
    other = Quad.of(one.corners + np.array([50, 0], np.float32))
    assert one.shared_area(other) == pytest.approx(5_000)
    assert one.overlap(other) == pytest.approx(1 / 3)
    assert one.overlap(one) == pytest.approx(1)


def test_the_pyramid_ends_at_the_smallest_level_and_cuts_the_same_card_from_any() -> None:
    frame = np.zeros((1280, 1920, 3), np.uint8)
    frame[200:1080, 400:1030] = (10, 120, 240)
    view = View(frame)
    assert [level.shape[1] for level in view.levels] == [1920, 960, 480]
    assert (view.level_of_side(1920), view.level_of_side(960), view.level_of_side(9)) == (0, 1, 2)
    quad = Quad.of(np.array([[400, 200], [1030, 200], [1030, 1080], [400, 1080]]))
    assert np.abs(view.cut(quad, 96, 134).astype(int)[5:-5, 5:-5] - (10, 120, 240)).max() <= 1
    whole = view.at(quad).cut(630, 880).astype(int)[5:-5, 5:-5]
    assert np.abs(whole - (10, 120, 240)).max() <= 1
    assert len(View(np.zeros((1, 3000, 3), np.uint8)).levels) == 1


@pytest.mark.parametrize("angle", [0, 15, 45, 90, 130])
def test_a_card_on_a_plain_ground_is_found_at_any_angle(angle: float) -> None:
    import cv2

    frame = np.full((800, 1200, 3), 40, np.uint8)
    box = cv2.boxPoints(((600, 400), (250, 349), angle))
    cv2.fillPoly(frame, [box.astype(np.int32)], (200, 210, 220))
    found = contour_quads(frame, CONTOURS)
    true = Quad.clockwise(box).corners
    assert min(np.abs(quad.turned(n).corners - true).max() for n in range(4) for quad in found) < 8
    assert any(has_card_shape(quad, 1200, 800) for quad in found)


def test_a_frame_of_a_cards_proportions_is_a_quad_itself_and_an_empty_one_has_no_other() -> None:
    [whole] = contour_quads(np.full((880, 630, 3), 90, np.uint8), CONTOURS)
    assert np.abs(whole.corners - [[0, 0], [630, 0], [630, 880], [0, 880]]).max() < 3
    assert contour_quads(np.full((400, 900, 3), 90, np.uint8), CONTOURS) == []
    assert not has_card_shape(whole, 630, 880)

"""Where cards lie: the network on laid cards, and the geometry on maps that are made here."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from cardmint_edge.adapters.decode import read_image
from cardmint_edge.adapters.models import CardFinder
from cardmint_edge.domain.config import FinderConfig
from cardmint_edge.domain.recognition import Frame
from cardmint_edge.domain.vision.finder import (
    CardOutline,
    FinderMap,
    crossing,
    find_cards,
    refine_sides,
)
from cardmint_edge.domain.vision.quad import Quad
from cardmint_edge.domain.vision.view import View
from cardmint_lab.scenes import background, lay

CONFIG = FinderConfig()


def quad(x: float, y: float, tall: float, degrees: float) -> Quad:
    box = cv2.boxPoints(((x, y), (tall * 63 / 88, tall), degrees))
    return Quad.of(np.roll(box, -1, axis=0))


def laid(card: Frame, *quads: Quad, size: tuple[int, int] = (1200, 900)) -> Frame:
    frame = background(*size, np.random.default_rng(4))
    for one in quads:
        frame = lay(frame, card, one.corners)
    return frame.clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def finder() -> CardFinder:
    return CardFinder()


@pytest.fixture(scope="module")
def card(fictional: Path) -> Frame:
    return read_image(fictional / "images" / "drk-9.jpg")


def matches(found: list[CardOutline], true: Quad) -> bool:
    return any(one.quad.overlap(true) > 0.9 for one in found)


@pytest.mark.parametrize("degrees", [0, 30, 90, 180, 245])
@pytest.mark.parametrize("size", [(1200, 900), (900, 1200)])
def test_a_card_is_found_any_way_up_in_frames_of_any_shape(
    finder: CardFinder, card: Frame, degrees: float, size: tuple[int, int]
) -> None:
    true = quad(size[0] / 2, size[1] / 2, 600, degrees)
    assert matches(find_cards(View(laid(card, true, size=size)), finder, CONFIG), true)


def test_a_small_card_is_looked_at_from_nearer_and_two_are_two(
    finder: CardFinder, card: Frame
) -> None:
    small = quad(300, 640, 330, 12)
    assert matches(find_cards(View(laid(card, small)), finder, CONFIG), small)
    pair = quad(330, 450, 500, 0), quad(850, 450, 500, 4)
    found = find_cards(View(laid(card, *pair)), finder, CONFIG)
    assert len(found) == 2
    assert all(matches(found, one) for one in pair)


def test_an_empty_table_holds_no_card(finder: CardFinder, card: Frame) -> None:
    assert find_cards(View(laid(card)), finder, CONFIG) == []


def says(inside: NDArray[np.float32], outline: NDArray[np.float32]) -> FinderMap:
    up = np.zeros_like(inside)
    return np.stack([inside, outline, up, up - 1])


def test_what_is_no_card_on_the_map_is_none() -> None:
    view = View(np.zeros((192, 256, 3), np.uint8))
    nothing = np.full((96, 128), -9.0, np.float32)
    blob = nothing.copy()
    cv2.ellipse(blob, (64, 48), (40, 8), 0, 0, 360, 9.0, -1)
    cv2.ellipse(blob, (64, 48), (8, 40), 0, 0, 360, 9.0, -1)
    speck = nothing.copy()
    speck[10:14, 10:14] = 9
    hair = nothing.copy()
    hair[40, 20:100] = 0.01
    unsure = np.where(np.hypot(*np.mgrid[-48:48, -64:64]) < 30, 0.1, -9.0).astype(np.float32)
    for inside in (nothing, blob, speck, hair, unsure):
        said = says(inside, nothing)
        assert find_cards(view, lambda small, said=said: said, CONFIG) == []  # type: ignore[misc]


def test_a_shape_that_four_lines_do_not_fit_has_the_corners_of_its_hull_or_none() -> None:
    view = View(np.zeros((192, 256, 3), np.uint8))
    nothing = np.full((96, 128), -9.0, np.float32)

    def seen(corners: list[list[int]]) -> list[CardOutline]:
        shape = nothing.copy()
        cv2.fillPoly(shape, [np.array(corners, np.int32)], 9.0)
        return find_cards(view, lambda _: says(shape, nothing), CONFIG)

    assert seen([[20, 20], [100, 20], [60, 80]]) == []
    [cut] = seen([[106, 35], [76, 81], [33, 63], [16, 51], [61, 19], [102, 23]])
    # A pixel of the map is two of the frame.
    true = Quad.of(np.array([[61, 19], [106, 35], [76, 81], [16, 51]], np.float32))
    assert cut.rough.scaled(np.float32(0.5)).overlap(true) > 0.95


def test_a_second_look_that_sees_another_thing_is_not_believed() -> None:
    view = View(np.full((900, 1200, 3), 90, np.uint8))
    nothing = np.full((96, 128), -9.0, np.float32)
    there = nothing.copy()
    there[30:60, 50:72] = 9
    looks = [says(there, nothing), says(nothing, nothing)]
    [found] = find_cards(view, lambda small: looks.pop(0), CONFIG)
    assert looks == []
    true = Quad.of(np.array([[469, 281], [675, 281], [675, 563], [469, 563]], np.float32))
    assert found.quad.overlap(true) > 0.7


def test_sides_without_an_edge_stay_and_lines_that_never_meet_are_not_corners() -> None:
    flat = View(np.full((900, 1200, 3), 90, np.uint8))
    true = quad(600, 450, 500, 5)
    assert np.abs(refine_sides(flat, true, 0.02, CONFIG).corners - true.corners).max() < 1e-2
    on_one_line = Quad.of(np.array([[100, 100], [200, 100], [300, 100], [400, 100]]))
    assert refine_sides(flat, on_one_line, 0.02, CONFIG) is on_one_line
    level = np.array([0.0, 0.0]), np.array([1.0, 0.0])
    beside = np.array([0.0, 1.0]), np.array([1.0, 1.0])
    assert not np.isfinite(crossing(level, beside)).any()
    assert crossing(level, (np.array([3.0, 1.0]), np.array([3.0, 2.0]))).tolist() == [3.0, 0.0]

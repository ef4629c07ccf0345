"""Comparison of a card with a reference: features, alignment and correlation."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest

from cardmint_edge.adapters.decode import read_image
from cardmint_edge.domain.config import MatcherConfig
from cardmint_edge.domain.vision.matching import (
    THUMB_SIZE,
    VIEW_SIZE,
    Features,
    compare,
    describe,
    likeness,
    make_reference,
)
from cardmint_edge.domain.vision.quad import Quad
from cardmint_edge.domain.vision.view import View
from cardmint_lab.scenes import PRESETS, render

OUTLINE = Quad.of_frame(630, 880)
CONFIG = MatcherConfig()


def test_a_card_is_itself_and_no_other(fictional: Path) -> None:
    scan = read_image(fictional / "images" / "emb-1.jpg")
    card = View(scan).at(OUTLINE)
    features = describe(card.cut(*VIEW_SIZE))
    itself = compare(card, features, make_reference(scan), CONFIG)
    other = compare(
        card, features, make_reference(read_image(fictional / "images" / "tdw-8.jpg")), CONFIG
    )
    assert itself.likeness > 0.85
    assert itself.inliers > 100
    assert np.abs(itself.quad.corners - OUTLINE.corners).max() < 3
    assert other.likeness < 0.6


def test_corners_that_are_off_are_moved_to_where_the_card_is(fictional: Path) -> None:
    scan = read_image(fictional / "images" / "emb-4.jpg")
    scene = render(scan, PRESETS["copy_stand"], np.random.default_rng(3))
    moves = np.array([[30, 25], [-25, 30], [-20, -30], [28, -20]], np.float32)
    card = View(scene.frame).at(Quad.of(scene.quad.corners + moves))
    seen = compare(card, describe(card.cut(*VIEW_SIZE)), make_reference(scan), CONFIG)
    assert np.abs(seen.quad.corners - scene.quad.corners).max() < 8
    assert seen.likeness > 0.8


def test_a_blank_view_and_a_blank_reference_have_nothing_in_common(fictional: Path) -> None:
    blank = np.full((880, 630, 3), 128, np.uint8)
    scan = read_image(fictional / "images" / "emb-4.jpg")
    assert len(describe(blank[:336, :240]).points) == 0
    seen = compare(
        View(blank).at(OUTLINE), describe(blank[:336, :240]), make_reference(scan), CONFIG
    )
    assert (seen.likeness < 0.05, seen.inliers) == (True, 0)
    assert (
        compare(
            View(scan).at(OUTLINE), describe(scan[:336, :240]), make_reference(blank), CONFIG
        ).likeness
        == 0
    )


@pytest.mark.parametrize("spoil", ["far", "few", "folded"])
def test_features_that_agree_on_nothing_leave_the_corners_where_they_were(
    fictional: Path, spoil: str
) -> None:
    scan = read_image(fictional / "images" / "emb-4.jpg")
    known = make_reference(scan)
    points = known.features.points.copy()
    if spoil == "far":
        points = 240 - points
    elif spoil == "few":
        points = points[:20]
        points[:] += np.random.default_rng(1).uniform(-30, 30, points.shape)
    else:
        # Every pair lies near enough, but what they agree on would halve the card.
        points[:, 1] = 168 + (points[:, 1] - 168) * 0.7
        points[:, 0] = 120 + (points[:, 0] - 120) * 0.55
    features = Features(
        points=points.astype(np.float32), descriptors=known.features.descriptors[: len(points)]
    )
    small = Quad.of_frame(63, 88)
    seen = compare(View(scan).at(small), features, known, CONFIG)
    assert seen.quad is small or seen.inliers > 0


def test_likeness_is_symmetrical_enough_and_bounded(fictional: Path) -> None:
    size = (THUMB_SIZE[1], THUMB_SIZE[0], 3)
    rng = np.random.default_rng(5)
    noise, other = (
        rng.integers(0, 255, size, dtype=np.uint8),
        rng.integers(0, 255, size, dtype=np.uint8),
    )
    assert 0 <= likeness(noise, other) < 0.1
    assert likeness(noise, noise) > 0.97


def test_two_threads_do_not_get_each_others_features() -> None:
    rng = np.random.default_rng(1)
    cards = [
        cv2.GaussianBlur(rng.integers(0, 256, (336, 240, 3), dtype=np.uint8), (0, 0), 3)
        for _ in range(4)
    ]
    alone = [describe(np.asarray(card, np.uint8)) for card in cards]
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(describe, cards * 25))
    for one, other in zip(alone * 25, together, strict=True):
        assert np.array_equal(one.points, other.points)
        assert np.array_equal(one.descriptors, other.descriptors)

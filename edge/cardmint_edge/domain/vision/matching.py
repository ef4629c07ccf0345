"""Comparison of a card with a reference: features, a homography, and correlation in windows.

ORB features (Rublee et al. 2011) of the card are matched to those stored of the reference, RANSAC
fits the homography between the two, and the card, brought onto the reference by it, is correlated
with it in small windows: glare spoils some windows, another picture spoils them all.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from cardmint_edge.domain.config import MatcherConfig
from cardmint_edge.domain.recognition import Frame
from cardmint_edge.domain.vision.quad import Homography, Quad, project
from cardmint_edge.domain.vision.view import CardView

VIEW_SIZE = (240, 336)
"""Width and height of a rectified card whose features are taken."""

THUMB_SIZE = (96, 134)
"""Width and height of the reference's picture that is kept for correlation."""

ART = (slice(18, 68), slice(10, 86))
"""Where a card has its picture, on a thumbnail: it suits every layout, if none perfectly."""

FEATURES = 300
"""How many features are taken of a card at most."""

WINDOW = 13
"""Side of the windows in which two pictures are correlated, in pixels of a thumbnail."""

FLAT = 4.0
"""Deviation of a window, in grey levels, below which it has nothing to compare."""

_MATCHER = cv2.BFMatcher(cv2.NORM_HAMMING)


@dataclass(frozen=True, kw_only=True, slots=True)
class Features:
    """Points (n x 2, pixels of a card of VIEW_SIZE) and their binary descriptors (n x 32)."""

    points: NDArray[np.float32]
    descriptors: NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True, slots=True)
class Reference:
    """What a pack keeps of a card's picture to compare with.

    Features, and a thumbnail (THUMB_SIZE, BGR).
    """

    features: Features
    thumb: Frame


@dataclass(frozen=True, kw_only=True, slots=True)
class PictureComparison:
    """How well a card shows a reference.

    `likeness` (0 to 1) is the correlation of card and art, `inliers` the number of features that
    agree with the homography, and `quad` where the card lies by them.
    """

    likeness: float
    inliers: int
    quad: Quad


def describe(card: Frame) -> Features:
    """Take the features of an upright card of VIEW_SIZE."""
    # Made for each call: threads that share one mix up their pixels.
    gain = cv2.createCLAHE(clipLimit=2.0, tileGridSize=(4, 4))
    orb = cv2.ORB.create(
        nfeatures=FEATURES,
        scaleFactor=1.25,
        nlevels=5,
        edgeThreshold=12,
        patchSize=25,
        fastThreshold=6,
    )
    keypoints, descriptors = orb.detectAndCompute(
        gain.apply(cv2.cvtColor(card, cv2.COLOR_BGR2GRAY)), None
    )
    if not keypoints:
        return Features(
            points=np.empty((0, 2), np.float32), descriptors=np.empty((0, 32), np.uint8)
        )
    points = np.array([point.pt for point in keypoints], dtype=np.float32)
    return Features(points=points, descriptors=np.asarray(descriptors, dtype=np.uint8))


def make_reference(scan: Frame) -> Reference:
    """Return what a pack keeps of a scan (height x width x 3, BGR)."""
    view = np.asarray(cv2.resize(scan, VIEW_SIZE, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    thumb = np.asarray(cv2.resize(scan, THUMB_SIZE, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    return Reference(features=describe(view), thumb=thumb)


def compare(
    card: CardView, features: Features, reference: Reference, config: MatcherConfig
) -> PictureComparison:
    """Compare a card, and its features, with a reference.

    The card's quad may be off by a tenth of the card: the features correct it.
    """
    inliers, homography = _align(features, reference.features, config)
    quad = card.quad
    if homography is not None:
        outline = Quad.upright(*VIEW_SIZE)
        onto_frame = np.linalg.inv(quad.homography(*VIEW_SIZE)) @ homography
        moved = Quad(project(outline.corners, onto_frame))
        if _plausible(moved, quad, config):
            quad = moved
        else:
            inliers = 0
    return _correlated(card.view.at(quad), reference, inliers)


def compare_in_place(card: CardView, reference: Reference) -> PictureComparison:
    """Compare a card with a reference without correcting its quad."""
    return _correlated(card, reference, 0)


def _correlated(card: CardView, reference: Reference, inliers: int) -> PictureComparison:
    seen = card.cut(*THUMB_SIZE)
    return PictureComparison(
        likeness=likeness(seen, reference.thumb),
        inliers=inliers,
        quad=card.quad,
    )


def likeness(seen: Frame, thumb: Frame) -> float:
    """Return the mean correlation in windows of two pictures of THUMB_SIZE (0 to 1).

    Windows in which the second one is flat do not count. The lower of the values for the whole card
    and for the art is returned: cards of one layout share all but the art, and old art is printed
    again in a new layout.
    """
    one, two = _grey(seen), _grey(thumb)
    mean_one, mean_two = _mean(one), _mean(two)
    variance_one = np.maximum(_mean(one * one) - mean_one**2, 0)
    variance_two = np.maximum(_mean(two * two) - mean_two**2, 0)
    together = _mean(one * two) - mean_one * mean_two
    there = variance_two > FLAT**2
    correlation = together / np.sqrt((variance_one + FLAT**2 / 4) * (variance_two + FLAT**2 / 4))
    return min(_average(correlation, there), _average(correlation[ART], there[ART]))


def _average(correlation: NDArray[np.float32], there: NDArray[np.bool_]) -> float:
    return float(np.clip(correlation[there].mean(), 0.0, 1.0)) if there.any() else 0.0


def _align(view: Features, known: Features, config: MatcherConfig) -> tuple[int, Homography | None]:
    """Return the number of inliers and the homography from the reference to the card, if any."""
    if min(len(view.points), len(known.points)) < config.min_matches:
        return 0, None
    pairs = _MATCHER.knnMatch(view.descriptors, known.descriptors, k=2)
    good = [
        first for first, second in pairs if first.distance < config.distance_ratio * second.distance
    ]
    seen = view.points[[match.queryIdx for match in good]]
    kept = known.points[[match.trainIdx for match in good]]
    # The quad is roughly right, so a feature lies near its place: this drops most of the false
    # pairs.
    near = (
        np.abs(seen - kept).max(axis=1) < config.displacement * VIEW_SIZE[1]
        if good
        else np.zeros(0, dtype=bool)
    )
    if near.sum() < config.min_matches:
        return 0, None
    homography, inside = cv2.findHomography(
        kept[near],
        seen[near],
        cv2.USAC_DEFAULT,
        ransacReprojThreshold=3.5,
        maxIters=500,
        confidence=0.995,
    )
    if homography is None or int(inside.sum()) < config.min_matches:
        return 0, None
    return int(inside.sum()), np.asarray(homography, dtype=np.float64)


def _plausible(moved: Quad, quad: Quad, config: MatcherConfig) -> bool:
    short, long = quad.sides
    most = config.plausible * (short + long) / 2
    return bool(
        np.isfinite(moved.corners).all() and np.abs(moved.corners - quad.corners).max() < most
    )


def _grey(picture: Frame) -> NDArray[np.float32]:
    grey = cv2.GaussianBlur(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), (3, 3), 0)
    return np.asarray(grey, dtype=np.float32)


def _mean(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(cv2.blur(plane, (WINDOW, WINDOW)), dtype=np.float32)

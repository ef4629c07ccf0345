"""Is this the same picture? Features, a homography between view and reference, and correlation piece by piece.

The hash names a few candidates; this step looks at each of them properly. ORB features (Rublee et
al. 2011) of the view are matched to those stored of the reference, RANSAC fits the homography
between the two, and the view, brought onto the reference by it, is correlated with it in small
windows: glare spoils some windows, another picture spoils them all.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from cardmint_edge.domain.recognition import Corners, Frame
from cardmint_edge.domain.vision.rectify import (
    Homography,
    card_outline,
    cut,
    project,
    sides,
    to_card,
)

VIEW_SIZE = (240, 336)
"""Width and height of a rectified card whose features are taken."""

THUMB_SIZE = (96, 134)
"""Width and height of the reference's picture that is kept for correlation."""

ART = (slice(18, 68), slice(10, 86))
"""Where a card has its picture, on a thumbnail: it suits every layout, if none perfectly."""

TITLE = (slice(4, 13), slice(18, 66))
"""Where most of the name stands, on a thumbnail."""

SLACK = 2
FEATURES = 300
WINDOW = 13
MIN_MATCHES = 8
FLAT = 4.0
"""A window whose standard deviation is below this many grey levels has nothing to compare."""

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
class Evidence:
    """How well a view shows a reference.

    `likeness` (0 to 1) is the correlation of card and art, `title` (0 to 1) that of the strip with
    the name, `inliers` counts features that agree, and `corners` is where the card lies by them.
    """

    likeness: float
    title: float
    inliers: int
    corners: Corners


def describe(card: Frame) -> Features:
    """Take the features of an upright card of VIEW_SIZE."""
    # Made anew each time: two threads that share one get each other's pixels.
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


def reference(card: Frame) -> Reference:
    """Make what a pack keeps of a scan (height x width x 3, BGR)."""
    view = np.asarray(cv2.resize(card, VIEW_SIZE, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    thumb = np.asarray(cv2.resize(card, THUMB_SIZE, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    return Reference(features=describe(view), thumb=thumb)


def compare(levels: list[Frame], quad: Corners, features: Features, known: Reference) -> Evidence:
    """Compare the card that lies in the pyramid `levels` at `quad`, with its features, to a reference.

    The quad may be off by a tenth of the card: the features move it to where the reference says the
    edges are.
    """
    inliers, homography = _align(features, known.features)
    corners = quad
    if homography is not None:
        outline = card_outline(*VIEW_SIZE)
        onto_frame = np.linalg.inv(to_card(quad, *VIEW_SIZE)) @ homography
        moved = project(outline, onto_frame)
        if _plausible(moved, quad):
            corners = moved
        else:
            inliers = 0
    seen = cut(levels, corners, *THUMB_SIZE)
    return Evidence(
        likeness=likeness(seen, known.thumb),
        title=title(seen, known.thumb),
        inliers=inliers,
        corners=corners,
    )


def same_place(levels: list[Frame], corners: Corners, known: Reference) -> Evidence:
    """Compare the card that lies just at `corners`, where another reference was found to lie."""
    seen = cut(levels, corners, *THUMB_SIZE)
    return Evidence(
        likeness=likeness(seen, known.thumb),
        title=title(seen, known.thumb),
        inliers=0,
        corners=corners,
    )


def likeness(seen: Frame, thumb: Frame) -> float:
    """Return the mean correlation of two pictures of THUMB_SIZE in windows, where the second one shows anything.

    It is taken of the whole card and of where the art is, and the poorer of the two counts: cards
    of one layout share all but the art, and old art comes again in a new layout.
    """
    one, two = _grey(seen), _grey(thumb)
    mean_one, mean_two = _mean(one), _mean(two)
    variance_one = np.maximum(_mean(one * one) - mean_one**2, 0)
    variance_two = np.maximum(_mean(two * two) - mean_two**2, 0)
    together = _mean(one * two) - mean_one * mean_two
    there = variance_two > FLAT**2
    correlation = together / np.sqrt((variance_one + FLAT**2 / 4) * (variance_two + FLAT**2 / 4))
    return min(_average(correlation, there), _average(correlation[ART], there[ART]))


def title(seen: Frame, thumb: Frame) -> float:
    """Return the best correlation of the strip where the name stands, moved by at most SLACK pixels.

    The letters are too small to read, but another name, as on a printing in another script, still
    looks otherwise.
    """
    rows, columns = TITLE
    around = _grey(seen)[
        rows.start - SLACK : rows.stop + SLACK, columns.start - SLACK : columns.stop + SLACK
    ]
    found = cv2.matchTemplate(around, _grey(thumb)[TITLE], cv2.TM_CCOEFF_NORMED)
    return float(np.clip(np.max(found), 0.0, 1.0))


def _average(correlation: NDArray[np.float32], there: NDArray[np.bool_]) -> float:
    return float(np.clip(correlation[there].mean(), 0.0, 1.0)) if there.any() else 0.0


def _align(view: Features, known: Features) -> tuple[int, Homography | None]:
    if min(len(view.points), len(known.points)) < MIN_MATCHES:
        return 0, None
    pairs = _MATCHER.knnMatch(view.descriptors, known.descriptors, k=2)
    good = [first for first, second in pairs if first.distance < 0.85 * second.distance]
    seen = view.points[[match.queryIdx for match in good]]
    kept = known.points[[match.trainIdx for match in good]]
    # The quad is roughly right, so a feature lies near its place: this drops most of the false
    # pairs.
    near = (
        np.abs(seen - kept).max(axis=1) < 0.16 * VIEW_SIZE[1] if good else np.zeros(0, dtype=bool)
    )
    if near.sum() < MIN_MATCHES:
        return 0, None
    homography, inside = cv2.findHomography(
        kept[near],
        seen[near],
        cv2.USAC_DEFAULT,
        ransacReprojThreshold=3.5,
        maxIters=500,
        confidence=0.995,
    )
    if homography is None or int(inside.sum()) < MIN_MATCHES:
        return 0, None
    return int(inside.sum()), np.asarray(homography, dtype=np.float64)


def _plausible(moved: Corners, quad: Corners) -> bool:
    short, long = sides(quad)
    return bool(np.isfinite(moved).all() and np.abs(moved - quad).max() < 0.25 * (short + long) / 2)


def _grey(picture: Frame) -> NDArray[np.float32]:
    grey = cv2.GaussianBlur(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), (3, 3), 0)
    return np.asarray(grey, dtype=np.float32)


def _mean(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(cv2.blur(plane, (WINDOW, WINDOW)), dtype=np.float32)

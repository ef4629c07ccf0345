"""From a quadrilateral in the frame to the card alone, upright."""

from math import hypot

import cv2
import numpy as np
from numpy.typing import NDArray

from cardmint_edge.domain.recognition import Corners, Frame

CARD_RATIO = 63 / 88
"""Width over height of a trading card (63 mm x 88 mm)."""

Homography = NDArray[np.float64]
"""3 x 3, maps points of one plane to another."""


def clockwise(points: NDArray[np.generic]) -> Corners:
    """Return four points (4 x 2) clockwise as seen, the first being the one nearest to the top left of a portrait card.

    The first side is a short one, so that a sideways card comes out upright or upside down.
    """
    quad = np.asarray(points, dtype=np.float32).reshape(4, 2)
    centre = quad.mean(axis=0)
    angles = np.arctan2(quad[:, 1] - centre[1], quad[:, 0] - centre[0])
    quad = quad[np.argsort(angles, kind="stable")]
    first, second = sides(quad)
    if first > second:
        quad = np.roll(quad, -1, axis=0)
    return np.ascontiguousarray(quad)


def sides(quad: Corners) -> tuple[float, float]:
    """Return the mean lengths of the first and third, and of the second and fourth side."""
    (a, b), (c, d), (e, f), (g, h) = quad.tolist()
    first, second, third, fourth = (
        hypot(c - a, d - b),
        hypot(e - c, f - d),
        hypot(g - e, h - f),
        hypot(a - g, b - h),
    )
    return (first + third) / 2, (second + fourth) / 2


def turned(quad: Corners, quarters: int) -> Corners:
    """Return the corners as they are when the card's top left is `quarters` places further clockwise."""
    return np.ascontiguousarray(np.roll(quad, -quarters, axis=0))


def to_card(quad: Corners, width: int, height: int) -> Homography:
    """Return the homography from the frame to an upright card of `width` x `height` pixels."""
    target = np.array([[0, 0], [width, 0], [width, height], [0, height]], dtype=np.float32)
    # Corners lie on the edges of pixels, warpPerspective's coordinates on their middles: half a
    # pixel between them.
    return np.asarray(cv2.getPerspectiveTransform(quad, target - 0.5), dtype=np.float64)


def project(points: NDArray[np.generic], homography: Homography) -> NDArray[np.float32]:
    """Map points (n x 2) by a homography."""
    shaped = np.asarray(points, dtype=np.float32).reshape(-1, 1, 2)
    return np.asarray(cv2.perspectiveTransform(shaped, homography), dtype=np.float32).reshape(-1, 2)


def card_outline(width: int, height: int) -> Corners:
    """Return the corners of an upright card of `width` x `height` pixels, in the coordinates of `to_card`."""
    return np.array(
        [[0, 0], [width, 0], [width, height], [0, height]], dtype=np.float32
    ) - np.float32(0.5)


def pyramid(frame: Frame, smallest: int = 320) -> list[Frame]:
    """Return the frame and its halvings, down to a longer side of no less than `smallest` pixels."""
    levels = [frame]
    while max(levels[-1].shape[:2]) >= 2 * smallest and min(levels[-1].shape[:2]) >= 2:
        height, width = levels[-1].shape[:2]
        half = cv2.resize(levels[-1], (width // 2, height // 2), interpolation=cv2.INTER_AREA)
        levels.append(np.asarray(half, dtype=np.uint8))
    return levels


def cut(levels: list[Frame], quad: Corners, width: int, height: int) -> Frame:
    """Cut the card at `quad` (pixels of the first level) from the level that shows it least larger than wanted."""
    tall = sides(quad)[1]
    level = 0
    while level + 1 < len(levels) and tall / 2 ** (level + 1) >= height:
        level += 1
    factor = np.array(levels[level].shape[1::-1], dtype=np.float32) / np.array(
        levels[0].shape[1::-1], dtype=np.float32
    )
    return rectify(levels[level], np.asarray(quad * factor, dtype=np.float32), width, height)


def rectify(frame: Frame, quad: Corners, width: int, height: int) -> Frame:
    """Cut the card out of the frame as an upright `width` x `height` image."""
    return np.asarray(
        cv2.warpPerspective(
            frame,
            to_card(quad, width, height),
            (width, height),
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        ),
        dtype=np.uint8,
    )

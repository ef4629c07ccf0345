"""Cut the strips that may hold a card's number and name from the frame's full resolution, and have them read."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from cardmint_edge.domain.reading.ctc import Reading
from cardmint_edge.domain.recognition import Corners, Frame
from cardmint_edge.domain.vision.rectify import CARD_RATIO, sides

STRIP = (256, 32)
"""Width and height of a strip."""

Letters = Callable[[NDArray[np.float32]], Reading]
"""Reads a strip (32 x 256, mean 0, deviation 1): its letters' probabilities, steps x classes."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a strip lies on the card.

    Its left edge and its width by the card's width, its middle by its height.
    """

    left: float
    middle: float
    width: float


NUMBERS = (
    *(Place(0.02, middle, 0.4) for middle in (0.952, 0.944, 0.96)),
    *(Place(0.58, middle, 0.4) for middle in (0.958, 0.95, 0.966)),
)
"""Newer cards print the number at the lower left, older ones at the lower right.

Of each the likeliest is first.

Places come from `cardmint_lab.training.reader.places`, which counts them on scans that may be
trained on.
"""

LIKELIEST = NUMBERS[::3]
OTHERS = tuple(place for place in NUMBERS if place not in LIKELIEST)
"""The likeliest place on each side, read first; and the rest."""

FAR = tuple(
    Place(place.left, place.middle + step, place.width)
    for place in LIKELIEST
    for step in (-0.025, 0.025)
)
"""Where a number stands when the corners are off by more than any of NUMBERS allows for."""

ARTISTS = (*NUMBERS[:3], Place(0.02, 0.927, 0.4))
"""The artist stands at the lower left, on newer cards above the number."""

NAMES = (Place(0.04, 0.08, 0.72), Place(0.14, 0.13, 0.72), Place(0.04, 0.06, 0.72))
"""The name stands at the top, lower on old trainers."""

HEALTH = (Place(0.3, 0.07, 0.6), Place(0.36, 0.08, 0.6))
"""The health points stand at the upper right."""


def cut_strip(levels: list[Frame], corners: Corners, place: Place) -> NDArray[np.float32]:
    """Cut one strip (32 x 256) from the halving of the frame that shows it least larger than wanted."""
    strip = strip_of(levels, corners, place).astype(np.float32)
    return np.asarray((strip - strip.mean()) / (strip.std() + 1), dtype=np.float32)


def strip_of(levels: list[Frame], corners: Corners, place: Place) -> NDArray[np.uint8]:
    """Cut one strip in grey, as the camera gave it."""
    wide, tall = STRIP
    scale = wide / place.width
    card = (scale, scale / CARD_RATIO)
    level = 0
    while level + 1 < len(levels) and sides(corners)[1] / 2 ** (level + 1) >= card[1]:
        level += 1
    factor = np.array(levels[level].shape[1::-1], np.float32) / np.array(
        levels[0].shape[1::-1], np.float32
    )
    target = np.array([[0, 0], [card[0], 0], [card[0], card[1]], [0, card[1]]], np.float32)
    target -= np.array(
        [place.left * card[0] + 0.5, place.middle * card[1] - tall / 2 + 0.5], np.float32
    )
    homography = cv2.getPerspectiveTransform(np.asarray(corners * factor, dtype=np.float32), target)
    seen = cv2.warpPerspective(
        levels[level], homography, STRIP, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(cv2.cvtColor(seen, cv2.COLOR_BGR2GRAY), dtype=np.uint8)

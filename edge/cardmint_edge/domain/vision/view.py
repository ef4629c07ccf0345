"""A frame as recognition looks at it: its pyramid, and upright cards and strips cut from it."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from cardmint_edge.domain.recognition import Frame
from cardmint_edge.domain.vision.quad import CARD_RATIO, Quad

SMALLEST_SIDE = 320
"""The pyramid ends before its longer side falls below this many pixels."""

STRIP_SIZE = (256, 32)
"""Width and height of a strip in pixels."""


@dataclass(frozen=True, slots=True)
class StripPlace:
    """Where a strip lies on a card: left edge and width as shares of the card's width.

    `middle` is the strip's middle as a share of the card's height.
    """

    left: float
    middle: float
    width: float


class View:
    """A frame (height x width x 3, BGR) and its halvings, the frame itself first."""

    def __init__(self, frame: Frame) -> None:
        self.levels = [frame]
        while max(self._last) >= 2 * SMALLEST_SIDE and min(self._last) >= 2:
            height, width = self._last
            half = cv2.resize(
                self.levels[-1], (width // 2, height // 2), interpolation=cv2.INTER_AREA
            )
            self.levels.append(np.asarray(half, dtype=np.uint8))

    @property
    def _last(self) -> tuple[int, int]:
        height, width = self.levels[-1].shape[:2]
        return height, width

    @property
    def frame(self) -> Frame:
        """The frame in full resolution."""
        return self.levels[0]

    @property
    def width(self) -> int:
        """Width of the frame in pixels."""
        return int(self.frame.shape[1])

    @property
    def height(self) -> int:
        """Height of the frame in pixels."""
        return int(self.frame.shape[0])

    def level_of_side(self, most: int) -> int:
        """Return the first level whose longer side has at most `most` pixels, else the last."""
        return next(
            (at for at, level in enumerate(self.levels) if max(level.shape[:2]) <= most),
            len(self.levels) - 1,
        )

    def factor(self, level: int) -> NDArray[np.float32]:
        """Return the scale (x and y) from coordinates of the frame to those of a level."""
        size = np.array(self.levels[level].shape[1::-1], dtype=np.float32)
        whole = np.array(self.frame.shape[1::-1], dtype=np.float32)
        return np.asarray(size / whole, dtype=np.float32)

    def cut(self, quad: Quad, width: int, height: int) -> Frame:
        """Cut a card out, upright, as `width` x `height` pixels (BGR).

        It comes from the smallest level on which the card is no smaller than wanted.
        """
        level = self._level_for(quad, height)
        small = quad.scaled(self.factor(level))
        return np.asarray(
            cv2.warpPerspective(
                self.levels[level],
                small.homography(width, height),
                (width, height),
                flags=cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_REPLICATE,
            ),
            dtype=np.uint8,
        )

    def strip(self, quad: Quad, place: StripPlace) -> NDArray[np.uint8]:
        """Cut one strip out of a card (32 x 256, grey), as the camera gave it."""
        seen = self.line(quad, place, STRIP_SIZE)
        return np.asarray(cv2.cvtColor(seen, cv2.COLOR_BGR2GRAY), dtype=np.uint8)

    def line(self, quad: Quad, place: StripPlace, size: tuple[int, int]) -> Frame:
        """Cut one strip out of a card in colour, `size` (width and height) pixels large."""
        width, height = size
        scale = width / place.width
        card = (scale, scale / CARD_RATIO)
        level = self._level_for(quad, card[1])
        target = np.array([[0, 0], [card[0], 0], [card[0], card[1]], [0, card[1]]], np.float32)
        target -= np.array(
            [place.left * card[0] + 0.5, place.middle * card[1] - height / 2 + 0.5], np.float32
        )
        homography = cv2.getPerspectiveTransform(quad.scaled(self.factor(level)).corners, target)
        return np.asarray(
            cv2.warpPerspective(
                self.levels[level],
                homography,
                size,
                flags=cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_REPLICATE,
            ),
            dtype=np.uint8,
        )

    def at(self, quad: Quad) -> "CardView":
        """Return the card that lies at a quad."""
        return CardView(self, quad)

    def _level_for(self, quad: Quad, height: float) -> int:
        tall = quad.height
        level = 0
        while level + 1 < len(self.levels) and tall / 2 ** (level + 1) >= height:
            level += 1
        return level


@dataclass(frozen=True, slots=True, eq=False)
class CardView:
    """One card in a view: where it lies, and what can be cut from it."""

    view: View
    quad: Quad

    @property
    def height(self) -> float:
        """Height of the card in pixels of the frame."""
        return self.quad.height

    def cut(self, width: int, height: int) -> Frame:
        """Cut the card out; see `View.cut`."""
        return self.view.cut(self.quad, width, height)

    def strip(self, place: StripPlace) -> NDArray[np.uint8]:
        """Cut one strip out of the card; see `View.strip`."""
        return self.view.strip(self.quad, place)

    def line(self, place: StripPlace, size: tuple[int, int]) -> Frame:
        """Cut one strip out of the card in colour; see `View.line`."""
        return self.view.line(self.quad, place, size)

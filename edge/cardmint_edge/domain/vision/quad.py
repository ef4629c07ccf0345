"""Quads: the four corners of a card in a frame, and the homography that makes it upright."""

from dataclasses import dataclass
from math import hypot
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

CARD_RATIO = 63 / 88
"""Width over height of a trading card (63 mm x 88 mm)."""

Corners = NDArray[np.float32]
"""Four points, 4 x 2, pixels."""

Homography = NDArray[np.float64]
"""3 x 3, maps points of one plane to another."""


@dataclass(frozen=True, slots=True, eq=False)
class Quad:
    """The corners of a card: pixels of the frame, clockwise from the card's own top left."""

    corners: Corners

    @classmethod
    def of(cls, points: NDArray[np.generic]) -> Self:
        """Return four points (4 x 2), already in order, as a quad."""
        return cls(np.ascontiguousarray(points, dtype=np.float32).reshape(4, 2))

    @classmethod
    def clockwise(cls, points: NDArray[np.generic]) -> Self:
        """Return four points in any order as a quad that begins with a short side.

        The first corner is the one nearest to the top left of a portrait card, so a sideways card
        comes out upright or upside down.
        """
        corners = np.asarray(points, dtype=np.float32).reshape(4, 2)
        centre = corners.mean(axis=0)
        angles = np.arctan2(corners[:, 1] - centre[1], corners[:, 0] - centre[0])
        quad = cls(np.ascontiguousarray(corners[np.argsort(angles, kind="stable")]))
        return quad.turned(1) if quad.width > quad.height else quad

    @classmethod
    def of_frame(cls, width: int, height: int) -> Self:
        """Return the quad along the edges of a frame."""
        return cls.clockwise(np.array([[0, 0], [width, 0], [width, height], [0, height]]))

    @classmethod
    def upright(cls, width: int, height: int) -> Self:
        """Return an upright card of `width` x `height` pixels, as `homography` maps to it."""
        corners = [[0, 0], [width, 0], [width, height], [0, height]]
        return cls(np.array(corners, dtype=np.float32) - np.float32(0.5))

    @property
    def sides(self) -> tuple[float, float]:
        """Mean lengths of the first and third side, and of the second and fourth, in pixels."""
        (a, b), (c, d), (e, f), (g, h) = self.corners.tolist()
        first, third = hypot(c - a, d - b), hypot(g - e, h - f)
        second, fourth = hypot(e - c, f - d), hypot(a - g, b - h)
        return (first + third) / 2, (second + fourth) / 2

    @property
    def width(self) -> float:
        """Mean length of top and bottom, in pixels."""
        return self.sides[0]

    @property
    def height(self) -> float:
        """Mean length of left and right side, in pixels."""
        return self.sides[1]

    @property
    def ratio(self) -> float:
        """Width over height."""
        width, height = self.sides
        return width / height

    @property
    def area(self) -> float:
        """Area in square pixels."""
        return float(cv2.contourArea(self.corners))

    def turned(self, quarters: int) -> Self:
        """Return the quad whose top left is `quarters` corners further clockwise."""
        return type(self)(np.ascontiguousarray(np.roll(self.corners, -quarters, axis=0)))

    def scaled(self, factor: NDArray[np.float32] | np.float32) -> Self:
        """Return the quad with its coordinates multiplied by `factor` (one number, or x and y)."""
        return type(self)(np.asarray(self.corners * factor, dtype=np.float32))

    def shared_area(self, other: "Quad") -> float:
        """Return the area of the intersection of two convex quads, in square pixels."""
        shared, _ = cv2.intersectConvexConvex(self.corners, other.corners)
        return float(shared)

    def overlap(self, other: "Quad") -> float:
        """Return the intersection over union of two convex quads (0 to 1)."""
        shared = self.shared_area(other)
        return shared / (self.area + other.area - shared + 1e-6)

    def homography(self, width: int, height: int) -> Homography:
        """Return the homography from the frame to an upright card of `width` x `height` pixels."""
        target = np.array([[0, 0], [width, 0], [width, height], [0, height]], dtype=np.float32)
        # Corners lie on the edges of pixels, warpPerspective's coordinates on their centres: half a
        # pixel apart.
        return np.asarray(cv2.getPerspectiveTransform(self.corners, target - 0.5), dtype=np.float64)


def project(points: NDArray[np.generic], homography: Homography) -> NDArray[np.float32]:
    """Map points (n x 2) by a homography."""
    shaped = np.asarray(points, dtype=np.float32).reshape(-1, 1, 2)
    return np.asarray(cv2.perspectiveTransform(shaped, homography), dtype=np.float32).reshape(-1, 2)

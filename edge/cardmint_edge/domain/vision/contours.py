"""Where a card may lie in a frame: several guesses, best first.

Which of them is right, matching tells.
"""

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from cardmint_edge.domain.recognition import Corners, Frame
from cardmint_edge.domain.vision.rectify import clockwise, sides

WORK_SIDE = 640
"""Detection sees the frame with its longer side brought down to this many pixels."""

MIN_AREA = 0.015
"""A card covers at least this share of the frame."""

RATIOS = (0.52, 0.92)
"""Short over long side of what may be a card in perspective.

0.716 when it is seen from straight above.
"""

Mask = NDArray[np.uint8]

_TURNS = np.array([[0, 1, 2, 3], [1, 2, 3, 0], [2, 3, 0, 1], [3, 0, 1, 2]])


def propose(frame: Frame, limit: int = 10) -> list[Corners]:
    """Return at most `limit` quadrilaterals that may be cards, in pixels of the frame, clockwise, a short side first.

    Contours come from the difference to the border's colour, from lightness and saturation by
    Otsu's threshold, and from Canny edges at two levels. The whole frame is a guess too when it has
    a card's proportions.
    """
    scale = min(1.0, WORK_SIDE / max(frame.shape[:2]))
    small = (
        cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        if scale < 1
        else frame
    )
    small = np.asarray(cv2.GaussianBlur(small, (5, 5), 0), dtype=np.uint8)
    height, width = small.shape[:2]
    found: list[tuple[float, Corners]] = []
    for mask in _masks(small):
        contours, _ = cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
        for contour in contours:
            hull = np.asarray(cv2.convexHull(contour), dtype=np.int32)
            area = cv2.contourArea(hull)
            if area < MIN_AREA * width * height:
                continue
            quad = _quad(hull)
            score = _score(quad, area / (width * height))
            if score > 0:
                found.append((score, quad))
    kept: list[Corners] = []
    nearness = 0.02 * max(width, height)
    for _, quad in sorted(found, key=lambda pair: -pair[0]):
        if len(kept) < limit and all(_apart(quad, other) > nearness for other in kept):
            kept.append(quad)
    kept += [quad for quad in whole(small) if all(_apart(quad, other) > nearness for other in kept)]
    return [np.asarray(quad / scale, dtype=np.float32) for quad in kept]


def whole(frame: Frame) -> list[Corners]:
    """Return the whole frame as a guess when it has a card's proportions.

    A scan, cropped to the card.
    """
    height, width = frame.shape[:2]
    quad = clockwise(np.array([[0, 0], [width, 0], [width, height], [0, height]]))
    return [quad] if RATIOS[0] < _ratio(quad) < RATIOS[1] else []


def looks_like_card(quad: Corners, width: int, height: int) -> bool:
    """Return whether a guess has nearly a card's proportions and does not just follow the frame's own edge."""
    inside = (quad.min() > 2) and (quad[:, 0].max() < width - 2) and (quad[:, 1].max() < height - 2)
    return (
        bool(inside) and 0.64 < _ratio(quad) < 0.8 and cv2.contourArea(quad) > 0.04 * width * height
    )


def _masks(small: Frame) -> Iterator[Mask]:
    lab = np.asarray(cv2.cvtColor(small, cv2.COLOR_BGR2LAB))
    border = np.concatenate([lab[0], lab[-1], lab[:, 0], lab[:, -1]])
    lightness, green_red, blue_yellow = cv2.split(lab)
    ground = np.empty_like(lab)
    ground[:] = np.median(border, axis=0).astype(np.uint8)
    apart = _largest(cv2.absdiff(lab, ground))
    neutral = np.full(lightness.shape, 128, dtype=np.uint8)
    chroma = cv2.max(cv2.absdiff(green_red, neutral), cv2.absdiff(blue_yellow, neutral))
    kernel = np.ones((5, 5), dtype=np.uint8)
    for plane in (apart, lightness, chroma):
        _, mask = cv2.threshold(plane, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
        mask = np.asarray(mask, dtype=np.uint8)
        yield np.asarray(cv2.morphologyEx(mask, cv2.MORPH_CLOSE, kernel), dtype=np.uint8)
        yield np.asarray(cv2.morphologyEx(mask, cv2.MORPH_OPEN, kernel), dtype=np.uint8)
    for low, high in ((30, 90), (80, 200)):
        edges = cv2.bitwise_or(cv2.Canny(lightness, low, high), cv2.Canny(blue_yellow, low, high))
        yield np.asarray(cv2.dilate(edges, np.ones((3, 3), dtype=np.uint8)), dtype=np.uint8)


def _largest(planes: NDArray[np.generic]) -> Mask:
    one, two, three = cv2.split(np.asarray(planes, dtype=np.uint8))
    return np.asarray(cv2.max(cv2.max(one, two), three), dtype=np.uint8)


def _quad(hull: NDArray[np.int32]) -> Corners:
    perimeter = cv2.arcLength(hull, closed=True)
    for tolerance in (0.02, 0.04, 0.07):
        corners = cv2.approxPolyDP(hull, tolerance * perimeter, closed=True)
        if len(corners) == 4:
            return clockwise(corners)
    return clockwise(cv2.boxPoints(cv2.minAreaRect(hull)))


def _ratio(quad: Corners) -> float:
    short, long = sides(quad)
    return short / long


def _score(quad: Corners, share: float) -> float:
    lengths = np.linalg.norm(np.roll(quad, -1, axis=0) - quad, axis=1)
    if not RATIOS[0] < _ratio(quad) < RATIOS[1]:
        return 0.0
    skew = min(lengths[0], lengths[2]) / max(lengths[0], lengths[2])
    skew *= min(lengths[1], lengths[3]) / max(lengths[1], lengths[3])
    likeness = float(np.exp(-(((_ratio(quad) - 63 / 88) / 0.1) ** 2)))
    return float((0.2 + likeness) * skew * np.sqrt(share))


def _apart(one: Corners, other: Corners) -> float:
    return float(np.abs(one[_TURNS] - other).max(axis=(1, 2)).min())

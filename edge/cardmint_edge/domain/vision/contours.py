"""Quads that may be cards, from the contours of a frame, best first."""

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from cardmint_edge.domain.config import ContourConfig
from cardmint_edge.domain.recognition import Frame
from cardmint_edge.domain.vision.quad import CARD_RATIO, Quad

Mask = NDArray[np.uint8]

_TURNS = np.array([[0, 1, 2, 3], [1, 2, 3, 0], [2, 3, 0, 1], [3, 0, 1, 2]])


def contour_quads(frame: Frame, config: ContourConfig, limit: int = 10) -> list[Quad]:
    """Return at most `limit` quads of contours that may be cards, in pixels of the frame.

    Contours come from the difference to the border's colour, from lightness and saturation by
    Otsu's threshold, and from Canny edges at two levels. The whole frame is added where it has a
    card's proportions.
    """
    scale = min(1.0, config.work_side / max(frame.shape[:2]))
    small = (
        cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        if scale < 1
        else frame
    )
    small = np.asarray(cv2.GaussianBlur(small, (5, 5), 0), dtype=np.uint8)
    height, width = small.shape[:2]
    scored: list[tuple[float, Quad]] = []
    for mask in _masks(small):
        contours, _ = cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
        for contour in contours:
            hull = np.asarray(cv2.convexHull(contour), dtype=np.int32)
            area = cv2.contourArea(hull)
            if area < config.min_area * width * height:
                continue
            quad = _quad_around(hull)
            score = _score(quad, area / (width * height), config)
            if score > 0:
                scored.append((score, quad))
    kept: list[Quad] = []
    nearness = 0.02 * max(width, height)
    for _, quad in sorted(scored, key=lambda pair: -pair[0]):
        if len(kept) < limit and all(_distance(quad, other) > nearness for other in kept):
            kept.append(quad)
    kept += [
        quad
        for quad in whole_frame(small, config)
        if all(_distance(quad, other) > nearness for other in kept)
    ]
    return [Quad(np.asarray(quad.corners / scale, dtype=np.float32)) for quad in kept]


def whole_frame(frame: Frame, config: ContourConfig) -> list[Quad]:
    """Return the whole frame as a quad where it has a card's proportions, as a cropped scan has."""
    quad = Quad.of_frame(frame.shape[1], frame.shape[0])
    return [quad] if config.ratios[0] < quad.ratio < config.ratios[1] else []


def has_card_shape(quad: Quad, width: int, height: int) -> bool:
    """Return whether a quad has nearly a card's proportions and is not the frame's own edge."""
    corners = quad.corners
    inside = (
        (corners.min() > 2)
        and (corners[:, 0].max() < width - 2)
        and (corners[:, 1].max() < height - 2)
    )
    return bool(inside) and has_card_ratio(quad) and quad.area > 0.04 * width * height


def has_card_ratio(quad: Quad) -> bool:
    """Return whether a quad has nearly a card's proportions."""
    return 0.64 < quad.ratio < 0.8


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


def _quad_around(hull: NDArray[np.int32]) -> Quad:
    perimeter = cv2.arcLength(hull, closed=True)
    for tolerance in (0.02, 0.04, 0.07):
        corners = cv2.approxPolyDP(hull, tolerance * perimeter, closed=True)
        if len(corners) == 4:
            return Quad.clockwise(corners)
    return Quad.clockwise(cv2.boxPoints(cv2.minAreaRect(hull)))


def _score(quad: Quad, share: float, config: ContourConfig) -> float:
    """Return how much a quad that covers a share of the frame is like a card; 0 if it is none."""
    corners = quad.corners
    lengths = np.linalg.norm(np.roll(corners, -1, axis=0) - corners, axis=1)
    if not config.ratios[0] < quad.ratio < config.ratios[1]:
        return 0.0
    skew = min(lengths[0], lengths[2]) / max(lengths[0], lengths[2])
    skew *= min(lengths[1], lengths[3]) / max(lengths[1], lengths[3])
    likeness = float(np.exp(-(((quad.ratio - CARD_RATIO) / 0.1) ** 2)))
    return float((0.2 + likeness) * skew * np.sqrt(share))


def _distance(one: Quad, other: Quad) -> float:
    """Return the greatest distance between corners of two quads, in the best of the four turns."""
    return float(np.abs(one.corners[_TURNS] - other.corners).max(axis=(1, 2)).min())

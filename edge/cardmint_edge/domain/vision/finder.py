"""Where cards lie, by a network that says of each pixel whether it is in a card, on an outline, and which way is up."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from cardmint_edge.domain.recognition import Corners, Frame
from cardmint_edge.domain.vision.rectify import clockwise, sides, turned

SMALL = (256, 192)
"""Width and height of what the network sees; a frame that is taller than wide is turned first."""

Seen = NDArray[np.float32]
"""What it says, 4 x 96 x 128.

In a card and on an outline (logits), then x and y of the way to the card's top.
"""

Line = tuple[NDArray[np.floating], NDArray[np.floating]]
"""Two points of it."""

Finder = Callable[[Frame], Seen]

LEAST = 60
"""A card covers at least so many of the network's 96 x 128 pixels."""

BAND = 9
"""Outlines reach at most so many pixels from what is surely in the card."""

FINER = 4
"""The map is drawn so many times larger before its contour is taken."""

INSET = 1.0
"""So many pixels the map reaches beyond the card on each side, measured on drawn scenes."""

NEAR = 0.7
"""A card that covers less than this of the frame's width and height is looked at again, until it covers so much."""

CLOSER = 3
"""So many cards, the largest, are looked at again and sharpened."""

FILLED = 0.7
"""A card fills at least this share of the quadrilateral around it; a hand may hide the rest."""

PRESENT = 0.6
"""Where the network is less sure than this, on average, there is no card."""

FINE_SIDE = 1000
"""Outlines are sharpened on a frame whose longer side has about so many pixels."""

OUTER = 0.6
"""An edge further out is a card's own if it is at least so strong beside the strongest."""

COARSE, FINE = 0.05, 0.02
"""How far from a side its edge is looked for, at first and then, as shares of the card's height."""

SAMPLES = 24
"""So many places of each side are looked at."""

ALONG = np.linspace(-0.8, 0.8, SAMPLES, dtype=np.float32)
"""Where they are, from the side's start (-1) to its end (1)."""

SLOPES = np.linspace(-0.4, 0.4, 9, dtype=np.float32)
"""How far an edge may lean, at a side's ends, as shares of how far it is looked for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outline:
    """A card's corners (pixels of the frame, from its own top left on).

    `presence` says how sure it is that this is a card (0 to 1).
    """

    corners: Corners
    rough: Corners
    """The same as the network alone saw it.

    Where the strongest edge is not the card's own, this is nearer.
    """
    presence: float


def find(levels: list[Frame], finder: Finder) -> list[Outline]:
    """Return the cards in a frame, largest first.

    What is small in the frame is looked at again from nearer.
    """
    height, width = levels[0].shape[:2]
    found = _seen(levels, finder, (0.0, 0.0, float(width), float(height)))
    found.sort(key=lambda one: -cv2.contourArea(one.corners))
    return [
        _nearer(levels, finder, one) if order < CLOSER else one for order, one in enumerate(found)
    ]


def _nearer(levels: list[Frame], finder: Finder, first: Outline) -> Outline:
    """Look again at a card that covers little of the frame.

    Keep the first look when the second sees another thing.
    """
    height, width = levels[0].shape[:2]
    low, high = first.corners.min(axis=0), first.corners.max(axis=0)
    share = float(((high - low) / (width, height)).max())
    second = first
    if share < NEAR:
        side = (high - low).max() / NEAR
        box = (np.maximum(low - (side - (high - low)) / 2, 0)).tolist()
        far = np.minimum(np.array(box) + side, (width, height)).tolist()
        again = _seen(levels, finder, (box[0], box[1], far[0], far[1]))
        same = [(overlap(one.corners, first.corners), one) for one in again]
        best, closest = max(same, key=lambda pair: pair[0], default=(0.0, first))
        second = closest if best > 0.5 else first
    fine = sharpened(levels, sharpened(levels, second.corners, COARSE), FINE)
    return Outline(
        corners=fine,
        rough=second.corners,
        presence=max(first.presence, second.presence),
    )


def overlap(one: Corners, other: Corners) -> float:
    """Return the intersection over union of two convex quadrilaterals."""
    shared, _ = cv2.intersectConvexConvex(one, other)
    return float(shared / (cv2.contourArea(one) + cv2.contourArea(other) - shared + 1e-6))


def _seen(
    levels: list[Frame], finder: Finder, box: tuple[float, float, float, float]
) -> list[Outline]:
    """Return the cards in a part of the frame (left, top, right, bottom in pixels of the first level)."""
    wide, high = box[2] - box[0], box[3] - box[1]
    tall = high > wide
    at = next(
        (n for n in reversed(range(len(levels))) if min(wide, high) / 2**n >= SMALL[1]),
        0,
    )
    left, top, right, bottom = (round(edge / 2**at) for edge in box)
    part = levels[at][top:bottom, left:right]
    height, width = (
        np.array(part.shape[:2]) * np.array(levels[0].shape[:2]) / np.array(levels[at].shape[:2])
    )
    small = cv2.resize(np.rot90(part) if tall else part, SMALL, interpolation=cv2.INTER_AREA)
    size = np.array([height, width] if tall else [width, height], dtype=np.float32)
    start = np.array(
        [
            left * levels[0].shape[1] / levels[at].shape[1],
            top * levels[0].shape[0] / levels[at].shape[0],
        ]
    )
    found = []
    for seen, presence, up in _quads(finder(np.asarray(small, dtype=np.uint8)), size):
        # np.rot90 turns anticlockwise: what is at the top was at the right.
        quad = np.stack([width - seen[:, 1], seen[:, 0]], axis=1) if tall else seen
        way = np.array([-up[1], up[0]]) if tall else up
        corners = np.asarray(_upright(clockwise(quad + start), way), dtype=np.float32)
        found.append(Outline(corners=corners, rough=corners, presence=presence))
    return found


def _quads(
    said: Seen, size: NDArray[np.float32]
) -> list[tuple[NDArray[np.float32], float, NDArray[np.float64]]]:
    """Return each card's corners in pixels of `size`, how sure the network is of it, and the way to its top."""
    inside = 1 / (1 + np.exp(-said[0]))
    core = ((said[0] > 0) & (said[1] < 0)).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(core, connectivity=4)
    factor = size / np.array(said.shape[:0:-1], dtype=np.float32)
    found = []
    # Outlines were taken off to part neighbours; each pixel of them is given to the core that is
    # nearest.
    far, nearest = cv2.distanceTransformWithLabels(
        1 - core, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_CCOMP
    )
    for label in range(1, count):
        if stats[label, cv2.CC_STAT_AREA] < LEAST:
            continue
        mask = (labels == label).astype(np.uint8)
        own = (nearest == np.bincount(nearest[mask > 0]).argmax()) & (far < BAND)
        left, top, wide, high = stats[label, : cv2.CC_STAT_AREA].tolist()
        around = (
            slice(max(0, top - BAND), top + high + BAND),
            slice(max(0, left - BAND), left + wide + BAND),
        )
        quad = _fitted(np.where(own, inside, 0)[around].astype(np.float32))
        presence = float(inside[mask > 0].mean())
        if quad is None or presence < PRESENT:
            continue
        way = (
            np.array([said[2][mask > 0].mean(), said[3][mask > 0].mean()], dtype=np.float64)
            * factor
        )
        quad += np.array([around[1].start, around[0].start], np.float32)
        found.append(
            (np.asarray(quad * factor - 0.5, np.float32), presence, way.astype(np.float64))
        )
    return found


def _fitted(inside: NDArray[np.float32]) -> NDArray[np.float32] | None:
    """Return the quadrilateral of a probability map's one half (pixels from its edge), each side a line of best fit."""
    fine = cv2.resize(inside, None, fx=FINER, fy=FINER, interpolation=cv2.INTER_LINEAR)
    contours, _ = cv2.findContours(
        (fine > 0.5).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
    )
    if not contours:
        return None
    contour = max(contours, key=cv2.contourArea)
    hull = cv2.convexHull(contour)
    rough = _four(hull)
    area = cv2.contourArea(rough)
    if area < LEAST * FINER**2 or cv2.contourArea(contour) < FILLED * area:
        return None
    points = contour.reshape(-1, 2).astype(np.float64)
    lines = []
    for side in range(4):
        start, end = rough[side], rough[(side + 1) % 4]
        way = (end - start) / (np.linalg.norm(end - start) + 1e-6)
        far = (points - start) @ way / (np.linalg.norm(end - start) + 1e-6)
        off = np.abs((points - start) @ np.array([way[1], -way[0]]))
        near = points[(far > 0.12) & (far < 0.88) & (off < 0.06 * np.sqrt(area))]
        if len(near) < 8:
            lines.append((start, end))
            continue
        vx, vy, x, y = (
            cv2.fitLine(near.astype(np.float32), cv2.DIST_HUBER, 0, 0.01, 0.01).ravel().tolist()
        )
        lines.append((np.array([x, y]), np.array([x + vx, y + vy])))
    inner = [_inwards(line, rough.mean(axis=0)) for line in lines]
    quad = np.array([crossing(inner[side - 1], inner[side]) for side in range(4)])
    if not np.isfinite(quad).all() or np.abs(quad - rough).max() > 0.2 * np.sqrt(area):
        quad = rough
    return np.asarray((quad + 0.5) / FINER, dtype=np.float32)


def _inwards(line: Line, centre: NDArray[np.floating]) -> Line:
    """Move a line towards a point by INSET."""
    start, end = line
    normal = np.array([end[1] - start[1], start[0] - end[0]]) / (np.linalg.norm(end - start) + 1e-9)
    shift = normal * np.sign((centre - start) @ normal) * INSET * FINER
    return start + shift, end + shift


def _four(hull: cv2.typing.MatLike) -> NDArray[np.float32]:
    """Return a rough quadrilateral around a hull."""
    perimeter = cv2.arcLength(hull, closed=True)
    for tolerance in (0.03, 0.05, 0.08):
        corners = cv2.approxPolyDP(hull, tolerance * perimeter, closed=True)
        if len(corners) == 4:
            return clockwise(corners)
    return clockwise(cv2.boxPoints(cv2.minAreaRect(hull)))


def _upright(quad: Corners, way: NDArray[np.float64]) -> Corners:
    """Return a quad from the card's own top left on, by the way to its top."""
    centre = quad.mean(axis=0)
    agree = [float(((quad[turn] + quad[(turn + 1) % 4]) / 2 - centre) @ way) for turn in (0, 2)]
    return turned(quad, 2 * int(np.argmax(agree)))


def sharpened(levels: list[Frame], quad: Corners, within: float) -> Corners:
    """Move each side to the strongest edge near it, seen from many places along it.

    A side without one stays.

    `within` is how far, as a share of the card's height.
    """
    at = next(
        (n for n, level in enumerate(levels) if max(level.shape[:2]) <= FINE_SIDE), len(levels) - 1
    )
    factor = np.array(levels[at].shape[1::-1], np.float32) / np.array(
        levels[0].shape[1::-1], np.float32
    )
    small = quad * factor
    reach = max(3.0, within * sides(np.asarray(small, np.float32))[1])
    steps = np.arange(-reach, reach + 0.5, 1.0, dtype=np.float32)
    along = (ALONG[:, None] + 1) / 2
    starts, ends = small, np.roll(small, -1, axis=0)
    unit = (ends - starts) / (np.linalg.norm(ends - starts, axis=1, keepdims=True) + 1e-6)
    normal = np.stack([unit[:, 1], -unit[:, 0]], axis=1)
    points = starts[:, None] + along * (ends - starts)[:, None]
    places = points[:, :, None] + steps[:, None] * normal[:, None, None]
    seen = cv2.remap(
        levels[at], places[..., 0].reshape(4 * SAMPLES, -1) - 0.5, places[..., 1].reshape(4 * SAMPLES, -1) - 0.5,
        cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE,
    ).astype(np.float32)  # fmt: skip
    edges = np.abs(seen[:, 2:] - seen[:, :-2]).sum(axis=2).reshape(4, SAMPLES, -1)
    shifts = _straightest(edges * np.exp(-((steps[1:-1] / (0.7 * reach)) ** 2)), steps[1:-1])
    lines = [
        (start + normal[side] * near, end + normal[side] * far)
        for side, (start, end, (near, far)) in enumerate(zip(starts, ends, shifts, strict=True))
    ]
    corners = [crossing(lines[side - 1], lines[side]) for side in range(4)]
    moved = np.asarray(corners, np.float32)
    if not np.isfinite(moved).all() or np.abs(moved - small).max() > 2 * reach:
        return quad
    return np.asarray(moved / factor, dtype=np.float32)


def _straightest(edges: NDArray[np.float32], offsets: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return how far each side's start and end move (4 x 2) to the straight line along which its edges are strongest.

    `edges` are 4 x SAMPLES x offsets; a side without a clear edge stays.
    """
    count = edges.shape[2]
    capped = np.minimum(edges, 3 * np.median(edges.max(axis=2), axis=1)[:, None, None] + 1e-6)
    reach = float(offsets[-1])
    # Shifting each sample's profile by a slope makes a line of that slope a column.
    shifted = np.round(SLOPES[:, None] * reach * ALONG).astype(np.intp)
    columns = np.arange(count) + shifted[:, :, None]
    totals = capped[:, np.arange(SAMPLES)[:, None], columns.clip(0, count - 1)].sum(axis=2)
    spans = np.abs(shifted).max(axis=1)[:, None]
    totals[:, (np.arange(count) < spans) | (np.arange(count) >= count - spans)] = 0
    # A card's print has frames of its own: of edges nearly as strong the outermost is the card's.
    strong = totals >= OUTER * totals.max(axis=2, keepdims=True)
    peaks = count - 1 - strong[:, :, ::-1].argmax(axis=2)
    values = np.take_along_axis(totals, peaks[:, :, None], axis=2)[:, :, 0]
    best = values.argmax(axis=1)
    sides = np.arange(4)
    moved = offsets[peaks[sides, best]][:, None] + SLOPES[best][:, None] * reach * np.array(
        [-1, 1], np.float32
    )
    clear = values[sides, best] > 2.5 * np.median(capped, axis=(1, 2)) * SAMPLES
    return np.asarray(np.where(clear[:, None], moved, 0), np.float32)


def crossing(one: Line, other: Line) -> NDArray[np.float64]:
    """Return where two lines meet; not finite when they do not."""
    (start, end), (first, second) = one, other
    way, across = end - start, second - first
    slope = way[0] * across[1] - way[1] * across[0]
    if abs(slope) < 1e-9:
        return np.full(2, np.nan)
    gap = first - start
    return np.asarray(
        start + way * ((gap[0] * across[1] - gap[1] * across[0]) / slope), dtype=np.float64
    )

"""Cards in a frame, by a network that maps each pixel: in a card, on an outline, the way up."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from cardmint_edge.domain.config import FinderConfig
from cardmint_edge.domain.recognition import Frame
from cardmint_edge.domain.vision.quad import Quad
from cardmint_edge.domain.vision.view import View

INPUT_SIZE = (256, 192)
"""Width and height of the network's input; a frame that is taller than wide is turned first."""

FinderMap = NDArray[np.float32]
"""The network's output, 4 x 96 x 128.

In a card and on an outline (logits), then x and y of the direction to the card's top.
"""

FinderNetwork = Callable[[Frame], FinderMap]

Line = tuple[NDArray[np.floating], NDArray[np.floating]]
"""Two points of a line."""

SAMPLES = 24
"""How many points of each side are sampled to refine it."""

ALONG = np.linspace(-0.8, 0.8, SAMPLES, dtype=np.float32)
"""Where the samples lie, from the side's start (-1) to its end (1)."""

SLOPES = np.linspace(-0.4, 0.4, 9, dtype=np.float32)
"""How far an edge may lean at a side's ends, as shares of how far it is looked for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CardOutline:
    """A card that the finder found.

    `quad` is refined to the strongest edges. `rough` is the network's unrefined quad; it is better
    where the strongest nearby edge is not the card's. `presence` is the probability (0 to 1) that
    it is a card.
    """

    quad: Quad
    rough: Quad
    presence: float


def card_map(said: FinderMap, *, tall: bool) -> NDArray[np.float32]:
    """Return the probability that each place of the frame shows a card.

    `said` is the output for the whole frame, which was turned first where it is `tall`.
    """
    inside = 1 / (1 + np.exp(-said[0]))
    return np.ascontiguousarray(np.rot90(inside, -1) if tall else inside, dtype=np.float32)


def card_map_around(
    view: View, network: FinderNetwork, quad: Quad, share: float
) -> tuple[NDArray[np.float32], Quad, tuple[int, int]]:
    """Return the map of a part of the frame in which a card covers a share of the longer side.

    With it come the card's quad in that part, and the part's width and height in pixels.
    """
    low, high = quad.corners.min(axis=0), quad.corners.max(axis=0)
    half = float((high - low).max()) / share / 2
    middle = (low + high) / 2
    left, top = np.maximum(middle - half, 0).astype(int).tolist()
    right, bottom = np.minimum(middle + half, (view.width, view.height)).astype(int).tolist()
    part = view.frame[top:bottom, left:right]
    tall = bottom - top > right - left
    small = cv2.resize(np.rot90(part) if tall else part, INPUT_SIZE, interpolation=cv2.INTER_AREA)
    said = network(np.ascontiguousarray(small, dtype=np.uint8))
    moved = Quad(quad.corners - np.array([left, top], dtype=np.float32))
    return card_map(said, tall=tall), moved, (right - left, bottom - top)


def find_cards(view: View, network: FinderNetwork, config: FinderConfig) -> list[CardOutline]:
    """Return the cards in a frame, largest first; small ones are looked at again, enlarged."""
    found = _map_part(view, network, config, (0.0, 0.0, float(view.width), float(view.height)))
    found.sort(key=lambda outline: -outline.quad.area)
    return [
        _refined(view, network, config, outline) if order < config.refined else outline
        for order, outline in enumerate(found)
    ]


def _refined(
    view: View, network: FinderNetwork, config: FinderConfig, first: CardOutline
) -> CardOutline:
    """Enlarge a card that covers little of the frame, and move its sides to their edges.

    The first outline stays where the enlarged frame shows another thing.
    """
    size = (view.width, view.height)
    low, high = first.quad.corners.min(axis=0), first.quad.corners.max(axis=0)
    share = float(((high - low) / size).max())
    second = first
    if share < config.near:
        side = (high - low).max() / config.near
        box = (np.maximum(low - (side - (high - low)) / 2, 0)).tolist()
        far = np.minimum(np.array(box) + side, size).tolist()
        again = _map_part(view, network, config, (box[0], box[1], far[0], far[1]))
        same = [(outline.quad.overlap(first.quad), outline) for outline in again]
        best, closest = max(same, key=lambda pair: pair[0], default=(0.0, first))
        second = closest if best > 0.5 else first
    coarse = refine_sides(view, second.quad, config.coarse, config)
    return CardOutline(
        quad=refine_sides(view, coarse, config.fine, config),
        rough=second.quad,
        presence=max(first.presence, second.presence),
    )


def _map_part(
    view: View,
    network: FinderNetwork,
    config: FinderConfig,
    box: tuple[float, float, float, float],
) -> list[CardOutline]:
    """Return the cards in a part of the frame (left, top, right, bottom, pixels of the frame)."""
    wide, high = box[2] - box[0], box[3] - box[1]
    tall = high > wide
    levels = view.levels
    at = next(
        (n for n in reversed(range(len(levels))) if min(wide, high) / 2**n >= INPUT_SIZE[1]),
        0,
    )
    left, top, right, bottom = (round(edge / 2**at) for edge in box)
    part = levels[at][top:bottom, left:right]
    height, width = (
        np.array(part.shape[:2]) * np.array(levels[0].shape[:2]) / np.array(levels[at].shape[:2])
    )
    small = cv2.resize(np.rot90(part) if tall else part, INPUT_SIZE, interpolation=cv2.INTER_AREA)
    size = np.array([height, width] if tall else [width, height], dtype=np.float32)
    start = np.array(
        [
            left * levels[0].shape[1] / levels[at].shape[1],
            top * levels[0].shape[0] / levels[at].shape[0],
        ]
    )
    found = []
    for corners, presence, up in _quads(network(np.asarray(small, dtype=np.uint8)), size, config):
        # np.rot90 turns anticlockwise: what is at the top was at the right.
        back = np.stack([width - corners[:, 1], corners[:, 0]], axis=1) if tall else corners
        way = np.array([-up[1], up[0]]) if tall else up
        quad = _upright(Quad.clockwise(back + start), way)
        found.append(CardOutline(quad=quad, rough=quad, presence=presence))
    return found


def _quads(
    said: FinderMap, size: NDArray[np.float32], config: FinderConfig
) -> list[tuple[NDArray[np.float32], float, NDArray[np.float64]]]:
    """Return each card's corners (pixels of `size`), presence, and direction to its top."""
    inside = 1 / (1 + np.exp(-said[0]))
    core = ((said[0] > 0) & (said[1] < 0)).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(core, connectivity=4)
    factor = size / np.array(said.shape[:0:-1], dtype=np.float32)
    found = []
    # The cores lack the outlines, so that neighbours are apart; each pixel of an outline is given
    # to the nearest core.
    far, nearest = cv2.distanceTransformWithLabels(
        1 - core, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_CCOMP
    )
    for label in range(1, count):
        if stats[label, cv2.CC_STAT_AREA] < config.min_core:
            continue
        mask = (labels == label).astype(np.uint8)
        own = (nearest == np.bincount(nearest[mask > 0]).argmax()) & (far < config.band)
        left, top, wide, high = stats[label, : cv2.CC_STAT_AREA].tolist()
        around = (
            slice(max(0, top - config.band), top + high + config.band),
            slice(max(0, left - config.band), left + wide + config.band),
        )
        quad = _fit_quad(np.where(own, inside, 0)[around].astype(np.float32), config)
        presence = float(inside[mask > 0].mean())
        if quad is None or presence < config.min_presence:
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


def _fit_quad(inside: NDArray[np.float32], config: FinderConfig) -> NDArray[np.float32] | None:
    """Return the corners of where a probability map is above one half, in pixels from its edge.

    Each side is a line of best fit. None where no quad fits.
    """
    factor = config.enlarged
    fine = cv2.resize(inside, None, fx=factor, fy=factor, interpolation=cv2.INTER_LINEAR)
    contours, _ = cv2.findContours(
        (fine > 0.5).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
    )
    if not contours:
        return None
    contour = max(contours, key=cv2.contourArea)
    hull = cv2.convexHull(contour)
    rough = _quad_around(hull).corners
    area = cv2.contourArea(rough)
    if area < config.min_core * factor**2 or cv2.contourArea(contour) < config.filled * area:
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
    inset = config.inset * factor
    inner = [_moved_inwards(line, rough.mean(axis=0), inset) for line in lines]
    quad = np.array([crossing(inner[side - 1], inner[side]) for side in range(4)])
    if not np.isfinite(quad).all() or np.abs(quad - rough).max() > 0.2 * np.sqrt(area):
        quad = rough
    return np.asarray((quad + 0.5) / factor, dtype=np.float32)


def _moved_inwards(line: Line, centre: NDArray[np.floating], inset: float) -> Line:
    """Move a line towards a point by `inset` pixels."""
    start, end = line
    normal = np.array([end[1] - start[1], start[0] - end[0]]) / (np.linalg.norm(end - start) + 1e-9)
    shift = normal * np.sign((centre - start) @ normal) * inset
    return start + shift, end + shift


def _quad_around(hull: cv2.typing.MatLike) -> Quad:
    """Return a rough quad around a hull."""
    perimeter = cv2.arcLength(hull, closed=True)
    for tolerance in (0.03, 0.05, 0.08):
        corners = cv2.approxPolyDP(hull, tolerance * perimeter, closed=True)
        if len(corners) == 4:
            return Quad.clockwise(corners)
    return Quad.clockwise(cv2.boxPoints(cv2.minAreaRect(hull)))


def _upright(quad: Quad, way: NDArray[np.float64]) -> Quad:
    """Return a quad that begins at the card's own top left, by the direction to its top."""
    corners = quad.corners
    centre = corners.mean(axis=0)
    agree = [
        float(((corners[turn] + corners[(turn + 1) % 4]) / 2 - centre) @ way) for turn in (0, 2)
    ]
    return quad.turned(2 * int(np.argmax(agree)))


def refine_sides(view: View, quad: Quad, within: float, config: FinderConfig) -> Quad:
    """Move each side to the strongest edge near it, sampled at many points along it.

    `within` is how far, as a share of the card's height. A side without an edge stays.
    """
    level = view.level_of_side(config.fine_side)
    factor = view.factor(level)
    small = quad.scaled(factor)
    reach = max(3.0, within * small.height)
    steps = np.arange(-reach, reach + 0.5, 1.0, dtype=np.float32)
    along = (ALONG[:, None] + 1) / 2
    starts, ends = small.corners, np.roll(small.corners, -1, axis=0)
    unit = (ends - starts) / (np.linalg.norm(ends - starts, axis=1, keepdims=True) + 1e-6)
    normal = np.stack([unit[:, 1], -unit[:, 0]], axis=1)
    points = starts[:, None] + along * (ends - starts)[:, None]
    places = points[:, :, None] + steps[:, None] * normal[:, None, None]
    sampled = cv2.remap(
        view.levels[level],
        places[..., 0].reshape(4 * SAMPLES, -1) - 0.5,
        places[..., 1].reshape(4 * SAMPLES, -1) - 0.5,
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    ).astype(np.float32)
    edges = np.abs(sampled[:, 2:] - sampled[:, :-2]).sum(axis=2).reshape(4, SAMPLES, -1)
    weighted = edges * np.exp(-((steps[1:-1] / (0.7 * reach)) ** 2))
    shifts = _straightest(weighted, steps[1:-1], config)
    lines = [
        (start + normal[side] * near, end + normal[side] * far)
        for side, (start, end, (near, far)) in enumerate(zip(starts, ends, shifts, strict=True))
    ]
    moved = np.asarray([crossing(lines[side - 1], lines[side]) for side in range(4)], np.float32)
    if not np.isfinite(moved).all() or np.abs(moved - small.corners).max() > 2 * reach:
        return quad
    return Quad(np.asarray(moved / factor, dtype=np.float32))


def _straightest(
    edges: NDArray[np.float32], offsets: NDArray[np.float32], config: FinderConfig
) -> NDArray[np.float32]:
    """Return how far each side's start and end move to its strongest straight edge (4 x 2).

    `edges` are 4 x SAMPLES x offsets, the move is in the unit of `offsets`. A side without a clear
    edge stays.
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
    # The print has frames of its own: of edges that are nearly as strong the outermost counts.
    strong = totals >= config.outer_edge * totals.max(axis=2, keepdims=True)
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
    """Return the point where two lines meet; not finite for parallel lines."""
    (start, end), (first, second) = one, other
    way, across = end - start, second - first
    slope = way[0] * across[1] - way[1] * across[0]
    if abs(slope) < 1e-9:
        return np.full(2, np.nan)
    gap = first - start
    return np.asarray(
        start + way * ((gap[0] * across[1] - gap[1] * across[0]) / slope), dtype=np.float64
    )

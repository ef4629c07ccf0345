"""More than one card in a frame: what the finder takes for a card beyond the one that was found."""

import cv2
import numpy as np
from numpy.typing import NDArray

from cardmint_edge.domain.config import QualityConfig
from cardmint_edge.domain.vision.quad import CARD_RATIO, Quad

CardMap = NDArray[np.float32]
"""Probability of each place of the frame that it shows a card (0 to 1), at a lower resolution."""

_OPENED = np.ones((3, 3), dtype=np.uint8)


def shows_another_card(
    quad: Quad,
    cards: CardMap,
    size: tuple[int, int],
    config: QualityConfig,
    *,
    closer: float | None = None,
) -> bool:
    """Return whether a frame of `size` (width, height) shows a card beside or under that at `quad`.

    What touches the card is another one from a small share of its area on: a card under it shows no
    more than a strip. What lies apart must be as large as a card, as far as the frame does not cut
    it off: stickers and papers lie about, too. `closer`
    is set where the map is of the part around the card, which shows strips more clearly: it is the
    least share for what touches.
    """
    factor = np.array([cards.shape[1] / size[0], cards.shape[0] / size[1]], dtype=np.float32)
    small = quad.scaled(factor)
    area = max(1.0, small.area)
    least_touching = config.touching if closer is None else closer
    beyond = (
        (cards > (0.5 if closer is None else config.seen_closer))
        & (_mask(small, config.grown, cards.shape) == 0)
    ).astype(np.uint8)
    beyond = np.asarray(cv2.morphologyEx(beyond, cv2.MORPH_OPEN, _OPENED), dtype=np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(beyond)
    near = _mask(small, config.near, cards.shape) > 0
    narrow = config.as_wide * small.width
    for label in range(1, count):
        touches = bool((near & (labels == label)).any())
        least = least_touching if touches else config.apart
        if stats[label, cv2.CC_STAT_AREA] > least * area and (
            touches or _is_as_wide(stats[label], cards.shape, narrow)
        ):
            return True
    return False


def spans_two(quad: Quad, config: QualityConfig) -> bool:
    """Return whether an outline is too wide or too narrow for one card, even seen aslant.

    Two cards, of which one lies over the other, are often found as one.
    """
    return not CARD_RATIO / config.spanning < quad.ratio < CARD_RATIO * config.spanning


def whole_cards(quads: list[Quad], size: tuple[int, int], config: QualityConfig) -> list[Quad]:
    """Return the quads that outline one whole card each in a frame of `size`, largest first.

    Of quads that share a place the first one counts.
    """
    kept: list[Quad] = []
    for quad in quads:
        low, high = quad.corners.min(axis=0), quad.corners.max(axis=0)
        inside = low.min() >= -config.edge and (high <= np.array(size) + config.edge).all()
        if not inside or spans_two(quad, config):
            continue
        if all(quad.shared_area(other) < 0.5 * min(quad.area, other.area) for other in kept):
            kept.append(quad)
    least = 0.25 * max((quad.area for quad in kept), default=0.0)
    kept.sort(key=lambda quad: -quad.area)
    return [quad for quad in kept if quad.area >= least][: config.outlined]


def _is_as_wide(stats: NDArray[np.int32], shape: tuple[int, ...], least: float) -> bool:
    """Return whether a place is so wide and high, or cut off by the edge of the map there."""
    left, top, wide, high = stats[: cv2.CC_STAT_AREA].tolist()
    cut_aside = left <= 1 or left + wide >= shape[1] - 1
    cut_above = top <= 1 or top + high >= shape[0] - 1
    return bool((cut_aside or wide >= least) and (cut_above or high >= least))


def _mask(quad: Quad, factor: float, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return a mask of a quad that is enlarged around its middle."""
    middle = quad.corners.mean(axis=0)
    corners = middle + (quad.corners - middle) * np.float32(factor)
    mask = np.zeros(shape, dtype=np.uint8)
    cv2.fillConvexPoly(mask, np.rint(corners).astype(np.int32), 1)
    return mask

"""Quality of a frame around its best candidate: reasons to ask a person or to count nothing."""

import cv2
import numpy as np
from numpy.typing import NDArray

from cardmint_edge.domain.config import QualityConfig
from cardmint_edge.domain.evidence import FrameQuality
from cardmint_edge.domain.reading.strips import LIKELIEST_NUMBERS
from cardmint_edge.domain.recognition import Frame
from cardmint_edge.domain.vision.contours import has_card_shape
from cardmint_edge.domain.vision.finder import FinderNetwork, card_map_around
from cardmint_edge.domain.vision.hashing import HASH_SIZE
from cardmint_edge.domain.vision.matching import VIEW_SIZE
from cardmint_edge.domain.vision.neighbours import shows_another_card, spans_two
from cardmint_edge.domain.vision.proposals import Proposals, card_shaped
from cardmint_edge.domain.vision.quad import Quad
from cardmint_edge.domain.vision.view import View

CLOSER = 0.5
"""Share of the enlarged frame's longer side that a card covers."""


def assess(
    view: View,
    quad: Quad | None,
    proposals: Proposals,
    also_matched: list[Quad],
    config: QualityConfig,
    *,
    known: bool,
    network: FinderNetwork | None = None,
) -> FrameQuality:
    """Return the quality of a frame whose best candidate lies at `quad`.

    `also_matched` is where other candidates matched well. A card whose picture is `known` is not
    tested for being a back. `network` is the finder's.
    """
    dark = float(view.levels[-1].mean()) < config.dark
    if quad is None:
        several = any(spans_two(outline, config) for outline in proposals.outlines)
        return FrameQuality(too_dark=dark, card_shaped=False, several_cards=several)
    size = np.array([view.width, view.height], dtype=np.float32)
    outside = float(np.maximum(-quad.corners, quad.corners - size).max()) / quad.height
    # Where no picture is like the card, the best one's place says little.
    place = quad if known or not proposals.outlines else proposals.outlines[0]
    grey = cv2.cvtColor(view.cut(quad, *VIEW_SIZE), cv2.COLOR_BGR2GRAY)
    return FrameQuality(
        several_cards=_has_neighbour(place, proposals.quads)
        or shows_several(view, place, proposals, config, network)
        or (not known and spans_two(place, config))
        or any(_lies_elsewhere(quad, other) for other in also_matched),
        cut_off=outside > config.cut_off,
        blurred=float(np.std(cv2.Laplacian(grey, cv2.CV_32F))) < config.blurred,
        glare=has_glare(grey, config),
        too_dark=dark,
        card_back=not known and _shows_back(view, proposals, config),
        card_shaped=any(
            has_card_shape(other, view.width, view.height) for other in proposals.quads
        ),
    )


def shows_several(
    view: View,
    quad: Quad,
    proposals: Proposals,
    config: QualityConfig,
    network: FinderNetwork | None,
) -> bool:
    """Return whether the finder sees another card beside or under that at `quad`."""
    if network is None or proposals.cards is None:
        return False
    size = (view.width, view.height)
    if shows_another_card(quad, proposals.cards, size, config):
        return True
    low, high = quad.corners.min(axis=0), quad.corners.max(axis=0)
    share = float(((high - low) / size).max())
    if low.min() < 0 or high[0] > size[0] or high[1] > size[1] or share >= config.large:
        return False
    cards, moved, part = card_map_around(view, network, quad, CLOSER)
    least = config.touching_closer if share < config.small else config.touching_large
    return shows_another_card(moved, cards, part, config, closer=least)


def has_glare(card: NDArray[np.generic], config: QualityConfig) -> bool:
    """Return whether light drowns a place where a number stands on a card (VIEW_SIZE, grey)."""
    white = np.asarray(card, np.uint8) >= config.white
    wide, tall = VIEW_SIZE
    shares = []
    for place in LIKELIEST_NUMBERS:
        left, top = round(wide * place.left), round(tall * (place.middle - 0.02))
        shares.append(float(white[top:, left : left + round(wide * place.width)].mean()))
    return max(shares) > config.glare + float(white.mean())


def half_turn_likeness(view: Frame) -> float:
    """Return the correlation of a card with itself turned by half (-1 to 1).

    It is high for the backs of many games, and for hardly any front.
    """
    grey = cv2.GaussianBlur(cv2.cvtColor(view, cv2.COLOR_BGR2GRAY), (0, 0), 1.2)
    height, width = grey.shape
    inner = grey[height // 12 : -(height // 12), width // 12 : -(width // 12)].astype(np.float32)
    deviation = float(inner.std())
    if deviation < 1:
        return 0.0
    level = (inner - inner.mean()) / deviation
    return float((level * level[::-1, ::-1]).mean())


def _shows_back(view: View, proposals: Proposals, config: QualityConfig) -> bool:
    # A whole frame with a card in its middle resembles its own half turn too, so other quads count
    # only where there are no clear outlines.
    quads = (proposals.outlines or card_shaped(proposals.quads))[:3]
    return any(half_turn_likeness(view.cut(quad, *HASH_SIZE)) > config.back for quad in quads)


def _has_neighbour(quad: Quad, others: list[Quad]) -> bool:
    """Return whether another thing of a card's shape and about this card's size lies beside it."""
    area = quad.area
    for other in others:
        beside = other.area
        if (
            0.6 < other.ratio < 0.86
            and 0.4 < beside / area < 2.5
            and quad.shared_area(other) < 0.1 * min(area, beside)
        ):
            return True
    return False


def _lies_elsewhere(quad: Quad, other: Quad) -> bool:
    """Return whether two matched cards lie in different places, overlapping or not."""
    return quad.shared_area(other) < 0.6 * min(quad.area, other.area)

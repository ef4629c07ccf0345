"""Where cards may lie in a frame, and where their print is read."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from cardmint_edge.domain.config import FinderConfig
from cardmint_edge.domain.recognition import Frame
from cardmint_edge.domain.vision.contours import contour_quads, whole_frame
from cardmint_edge.domain.vision.finder import FinderMap, FinderNetwork, card_map, find_cards
from cardmint_edge.domain.vision.neighbours import CardMap
from cardmint_edge.domain.vision.quad import Quad
from cardmint_edge.domain.vision.view import CardView, View


@dataclass(frozen=True, slots=True)
class Proposals:
    """Quads where cards may lie, likeliest first; the first `clear` ones surely outline cards."""

    quads: list[Quad]
    clear: int
    cards: CardMap | None = None
    """Where the finder sees cards; None without a finder."""

    @property
    def outlines(self) -> list[Quad]:
        """The quads that surely outline cards."""
        return self.quads[: self.clear]


def propose(view: View, network: FinderNetwork | None, config: FinderConfig) -> Proposals:
    """Return the finder's outlines, refined and rough, and contours where it is unsure."""
    maps: list[FinderMap] = []
    outlines = [] if network is None else find_cards(view, _recorded(network, maps), config)
    cards = card_map(maps[0], tall=view.height > view.width) if maps else None
    quads = [*(outline.quad for outline in outlines), *(outline.rough for outline in outlines)]
    if outlines and outlines[0].presence > config.certain and card_shaped(quads[:1]):
        whole = whole_frame(view.frame, config.contours)
        return Proposals([*quads, *whole], len(outlines), cards)
    return Proposals([*quads, *_contours(view, config)], 0, cards)


def _recorded(network: FinderNetwork, maps: list[FinderMap]) -> FinderNetwork:
    """Return a network that keeps its outputs, that of the whole frame first."""

    def run(frame: Frame) -> FinderMap:
        maps.append(network(frame))
        return maps[-1]

    return run


def card_shaped(quads: list[Quad]) -> list[Quad]:
    """Return the quads that have a card's proportions, seen from above or aslant."""
    return [quad for quad in quads if 0.6 < quad.ratio < 0.9]


def reading_places(
    view: View, proposals: Proposals, quad: Quad | None, config: FinderConfig
) -> Iterator[CardView]:
    """Yield where print is read: `quad`, then the likeliest outlines, each both ways up.

    Contours come last, where the outlines are the finder's.
    """
    shaped = _large(view, proposals.quads, config)[: config.outlines]
    tried = shaped if quad is None else [quad, *shaped]
    for one in tried:
        yield from (view.at(one), view.at(one.turned(2)))
    if proposals.clear:
        others = [
            one
            for one in _large(view, _contours(view, config), config)
            if all(one.overlap(known) <= config.same_outline for known in tried)
        ]
        for one in others[: config.read_contours]:
            yield from (view.at(one), view.at(one.turned(2)))


def _large(view: View, quads: list[Quad], config: FinderConfig) -> list[Quad]:
    least = config.least_read * min(view.width, view.height)
    return [quad for quad in card_shaped(quads) if quad.height > least]


def _contours(view: View, config: FinderConfig) -> list[Quad]:
    level = view.levels[view.level_of_side(config.contour_side)]
    factor = np.float32(max(view.width, view.height) / max(level.shape[:2]))
    return [quad.scaled(factor) for quad in contour_quads(level, config.contours, limit=60)]

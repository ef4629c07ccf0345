"""Another card beside or under the one that was found, by the finder's map."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from cardmint_edge.domain.config import QualityConfig
from cardmint_edge.domain.vision.finder import INPUT_SIZE, card_map_around
from cardmint_edge.domain.vision.frame_quality import shows_several
from cardmint_edge.domain.vision.neighbours import shows_another_card, spans_two, whole_cards
from cardmint_edge.domain.vision.proposals import Proposals
from cardmint_edge.domain.vision.quad import Quad
from cardmint_edge.domain.vision.view import View

CONFIG = QualityConfig()
SIZE = (1280, 960)
CARD = Quad.of(np.array([[400, 200], [800, 200], [800, 760], [400, 760]]))
Box = tuple[int, int, int, int]


def card_map(*boxes: Box) -> NDArray[np.float32]:
    """The map of a frame of 1280 x 960 with cards at boxes (left, top, right, bottom)."""
    cards = np.zeros((96, 128), np.float32)
    for left, top, right, bottom in boxes:
        cards[top // 10 : bottom // 10, left // 10 : right // 10] = 0.9
    return cards


OWN: Box = (400, 200, 800, 760)
PLACES: dict[str, tuple[list[Box], bool]] = {
    "the card alone": ([OWN], False),
    "a fringe of it": ([(390, 190, 810, 770)], False),
    "nothing": ([], False),
    "a fifth of a card under it": ([OWN, (320, 200, 400, 760)], True),
    "a card beside it": ([OWN, (830, 200, 1230, 760)], True),
    "a card that touches it": ([OWN, (800, 200, 1200, 760)], True),
    "a sticker apart": ([OWN, (950, 300, 1050, 400)], False),
    "a part of a card at the edge": ([OWN, (1100, 200, 1280, 760)], True),
    "a strip of light apart": ([OWN, (950, 200, 1100, 760)], False),
    "a paper as high as a strip": ([OWN, (850, 20, 1250, 160)], False),
    "a card cut off below": ([OWN, (850, 800, 1250, 960)], True),
}


@pytest.mark.parametrize("place", PLACES)
def test_another_card_is_what_covers_enough_beyond_the_card(place: str) -> None:
    boxes, another = PLACES[place]
    assert shows_another_card(CARD, card_map(*boxes), SIZE, CONFIG) is another


def test_a_faint_strip_is_another_card_only_when_looked_at_closer() -> None:
    cards = card_map(OWN)
    cards[20:76, 30:40] = 0.3
    assert not shows_another_card(CARD, cards, SIZE, CONFIG)
    assert shows_another_card(CARD, cards, SIZE, CONFIG, closer=CONFIG.touching_closer)


def test_a_small_card_is_looked_at_again_enlarged() -> None:
    small = CARD.scaled(np.float32(0.5))
    looked: list[tuple[int, ...]] = []

    def network(frame: NDArray[np.uint8]) -> NDArray[np.float32]:
        looked.append(frame.shape)
        said = np.full((4, 96, 128), -9, np.float32)
        said[0] = np.where(frame[::2, ::2, 0] > 100, -1.0, -9.0)  # a probability of 0.27
        return said

    frame = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    frame[100:380, 120:200] = 200  # beside the card at 200 to 400
    proposals = Proposals([], 0, np.zeros((96, 128), np.float32))
    assert shows_several(View(frame), small, proposals, CONFIG, network)
    assert looked == [(INPUT_SIZE[1], INPUT_SIZE[0], 3)]
    assert not shows_several(View(np.zeros_like(frame)), small, proposals, CONFIG, network)
    larger = replace(CONFIG, small=0.2, touching_large=0.5)
    assert not shows_several(View(frame), small, proposals, larger, network), "it is less small"
    large = replace(CONFIG, large=0.2)
    assert not shows_several(View(frame), small, proposals, large, network), "it is large"
    assert not shows_several(View(frame), small, proposals, CONFIG, None)
    assert not shows_several(View(frame), small, Proposals([], 0), CONFIG, network)
    beside = Proposals([], 0, card_map(OWN, (830, 200, 1230, 760)))
    assert shows_several(View(frame), CARD, beside, CONFIG, network)


def test_the_enlarged_part_may_be_taller_than_wide() -> None:
    frame = np.zeros((1280, 300, 3), np.uint8)
    quad = Quad.of(np.array([[50, 300], [250, 300], [250, 580], [50, 580]]))
    said = np.zeros((4, 96, 128), np.float32)
    cards, moved, size = card_map_around(View(frame), lambda _: said, quad, 0.5)
    assert (cards.shape, size) == ((128, 96), (300, 560))
    assert moved.corners.min(axis=0).tolist() == [50, 140]


def box(left: float, top: float, width: float, height: float) -> Quad:
    corners = [[left, top], [left + width, top], [left + width, top + height], [left, top + height]]
    return Quad.of(np.array(corners))


@pytest.mark.parametrize(
    ("width", "height", "two"),
    [(250, 350, False), (290, 350, False), (305, 350, True), (250, 450, True), (215, 350, False)],
    ids=["a card", "aslant", "a fifth more beside it", "a fifth more below it", "turned away"],
)
def test_an_outline_that_no_card_has_is_that_of_two(width: int, height: int, two: bool) -> None:
    assert spans_two(box(0, 0, width, height), CONFIG) is two


def test_whole_cards_are_those_inside_once_each_and_of_a_size() -> None:
    one, again = box(100, 100, 250, 350), box(104, 98, 250, 350)
    other, cut, tiny = box(500, 100, 260, 364), box(1150, 100, 250, 350), box(900, 700, 50, 70)
    two = box(100, 500, 500, 350)
    assert whole_cards([one, again, other, cut, tiny, two], SIZE, CONFIG) == [other, one]
    assert whole_cards([], SIZE, CONFIG) == []

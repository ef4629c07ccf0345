"""Where cards may lie in a frame, and where their print is looked for."""

from collections.abc import Iterator

import numpy as np

from cardmint_edge.domain.recognition import Corners, Frame
from cardmint_edge.domain.vision.contours import propose, whole
from cardmint_edge.domain.vision.finder import Finder, find, overlap
from cardmint_edge.domain.vision.frame_quality import like_cards
from cardmint_edge.domain.vision.rectify import sides, turned

CERTAIN = 0.9
"""Outlines of which the finder is less sure than this, or without a card's proportions, are not all that is tried."""

OUTLINES = 3
CONTOURS = 2
"""In how many outlines a card that no hash finds is looked for, and its print in how many contours after them."""

SAME_OUTLINE = 0.95
"""A contour that shares more than this with an outline that was tried says nothing new."""

CONTOUR_SIDE = 1200
"""Contours are looked for in a frame whose longer side has at most so many pixels."""


def guessed(levels: list[Frame], finder: Finder | None) -> tuple[list[Corners], int]:
    """Return where cards may lie, in pixels of the frame, and how many of these, the first, are clear outlines.

    They are the finder's outlines, then those as the network alone saw them; and contours when it
    is unsure.
    """
    outlines = [] if finder is None else find(levels, finder)
    places = [*(outline.corners for outline in outlines), *(outline.rough for outline in outlines)]
    if outlines and outlines[0].presence > CERTAIN and like_cards(places[:1]):
        return [*places, *whole(levels[0])], len(outlines)
    return [*places, *_contours(levels)], 0


def to_read(
    levels: list[Frame], guesses: list[Corners], quad: Corners | None, *, contours: bool
) -> Iterator[Corners]:
    """Yield where print is looked for: the likeliest outlines of cards, each both ways up.

    `contours` at last.
    """
    shaped = _shaped(levels, guesses)[:OUTLINES]
    tried = shaped if quad is None else [quad, *shaped]
    for guess in tried:
        yield from (guess, turned(guess, 2))
    if contours:
        others = [guess for guess in _shaped(levels, _contours(levels)) if not _among(guess, tried)]
        for guess in others[:CONTOURS]:
            yield from (guess, turned(guess, 2))


def _shaped(levels: list[Frame], guesses: list[Corners]) -> list[Corners]:
    return [
        guess for guess in like_cards(guesses) if sides(guess)[1] > 0.3 * min(levels[0].shape[:2])
    ]


def _among(guess: Corners, tried: list[Corners]) -> bool:
    return any(overlap(guess, other) > SAME_OUTLINE for other in tried)


def _contours(levels: list[Frame]) -> list[Corners]:
    seen = next((level for level in levels if max(level.shape[:2]) <= CONTOUR_SIDE), levels[-1])
    factor = np.float32(max(levels[0].shape[:2]) / max(seen.shape[:2]))
    return [np.asarray(quad * factor, dtype=np.float32) for quad in propose(seen, limit=60)]

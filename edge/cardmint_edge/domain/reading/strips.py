"""Where number, name, health points and artist stand on a card, and the strips that show them."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from cardmint_edge.domain.reading.ctc import Reading
from cardmint_edge.domain.vision.view import CardView, StripPlace

StripReader = Callable[[NDArray[np.float32]], Reading]
"""Reads a strip, as its cutter gives it: its letters' probabilities, steps x classes."""

StripPairs = tuple[tuple[StripPlace, StripPlace], ...]

StripCutter = Callable[[CardView, StripPlace], NDArray[np.float32]]
"""Cuts one strip out of a card."""

LINE_SIZE = (384, 48)
"""Width and height of a strip for the larger reader, in pixels."""

NUMBERS = (
    *(StripPlace(0.02, middle, 0.4) for middle in (0.952, 0.944, 0.96)),
    *(StripPlace(0.58, middle, 0.4) for middle in (0.958, 0.95, 0.966)),
)
"""Places of the number: at the lower left on newer cards, at the lower right on older ones.

The likeliest of each side comes first. Source: `cardmint_lab.training.reader.strip_search`, which
counts them on scans that may be trained on.
"""

LIKELIEST_NUMBERS = NUMBERS[::3]
"""The likeliest place of the number on each side: these are read first."""

OTHER_NUMBERS = tuple(place for place in NUMBERS if place not in LIKELIEST_NUMBERS)
"""The other places of the number."""

FAR_NUMBERS = tuple(
    StripPlace(place.left, place.middle + step, place.width)
    for place in LIKELIEST_NUMBERS
    for step in (-0.025, 0.025)
)
"""Places of the number when the corners are off by more than NUMBERS allow for."""

NAMES = (
    StripPlace(0.04, 0.08, 0.72),
    StripPlace(0.14, 0.13, 0.72),
    StripPlace(0.04, 0.06, 0.72),
    StripPlace(0.04, 0.2, 0.72),
)
"""Places of the name: at the top, lower on old trainers, under "TRAINER" on the oldest."""

HEALTH = (StripPlace(0.3, 0.07, 0.6), StripPlace(0.36, 0.08, 0.6))
"""Places of the health points: at the upper right."""


BODY = tuple(StripPlace(0.2, 0.5 + 0.025 * step, 0.5) for step in range(17))
"""Places of attacks and abilities: every line from the picture down, right of the energy signs."""


def _pairs(*pairs: tuple[tuple[float, float], tuple[float, float]]) -> StripPairs:
    return tuple((StripPlace(*first, 0.5), StripPlace(*second, 0.5)) for first, second in pairs)


RUNNING_TEXT = _pairs(
    ((0.05, 0.75), (0.45, 0.75)),
    ((0.05, 0.65), (0.45, 0.625)),
    ((0.2, 0.6), (0.45, 0.775)),
    ((0.05, 0.8), (0.45, 0.675)),
    ((0.05, 0.7), (0.45, 0.65)),
    ((0.45, 0.6), (0.05, 0.825)),
    ((0.05, 0.85), (0.05, 0.675)),
    ((0.45, 0.8), (0.45, 0.7)),
    ((0.2, 0.75), (0.2, 0.775)),
    ((0.2, 0.625), (0.05, 0.6)),
    ((0.05, 0.625), (0.05, 0.775)),
    ((0.2, 0.65), (0.05, 0.9)),
    ((0.45, 0.9), (0.45, 0.85)),
    ((0.45, 0.825), (0.2, 0.675)),
)
"""Left edge and middle of running text, two strips at a time, those first that tell most.

Source: docs/decisions/0083.
"""


def normalised_strip(card: CardView, place: StripPlace) -> NDArray[np.float32]:
    """Cut one strip out of a card as a reader takes it (32 x 256, mean 0, deviation 1)."""
    return normalised(card.strip(place).astype(np.float32))


def normalised(strip: NDArray[np.float32]) -> NDArray[np.float32]:
    """Bring a grey strip to mean 0 and deviation 1."""
    return np.asarray((strip - strip.mean()) / (strip.std() + 1), dtype=np.float32)


def coloured_strip(card: CardView, place: StripPlace) -> NDArray[np.float32]:
    """Cut one strip out of a card as the larger reader takes it (3 x 48 x 384, BGR, -1 to 1)."""
    strip = card.line(place, LINE_SIZE).astype(np.float32)
    return np.asarray(strip.transpose(2, 0, 1) / np.float32(127.5) - 1, dtype=np.float32)

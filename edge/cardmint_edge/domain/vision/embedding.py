"""A card's look as a short vector that a network makes.

Near to that of its scan in light that spoils hashes.

Where hashes find nothing, the nearest vectors name pictures to look at closely. What they name is
never taken as found.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from cardmint_edge.domain.recognition import Frame

SIZE = 64
"""How long a vector is."""

SCALE = 127
"""What a vector of length 1 is multiplied by before it is rounded to bytes."""

Vectors = NDArray[np.int8]
"""Vectors of length SCALE, rounded; a gallery's are n x SIZE."""

Embedder = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Maps a prepared picture (3 x 134 x 96) to a vector of length 1 (SIZE)."""


def prepared(card: Frame) -> NDArray[np.float32]:
    """Return an upright card (134 x 96 x 3, BGR) channel by channel, mean 0 and deviation 1.

    No light, no tint.
    """
    planes = card.transpose(2, 0, 1).astype(np.float32)
    mean, deviation = (
        planes.mean(axis=(1, 2), keepdims=True),
        planes.std(axis=(1, 2), keepdims=True),
    )
    return np.asarray((planes - mean) / (deviation + 8), dtype=np.float32)


def rounded(vector: NDArray[np.float32]) -> Vectors:
    """Return a vector as a pack keeps it."""
    return np.asarray(np.rint(vector * SCALE), dtype=np.int8)


def similarities(vector: NDArray[np.float32], gallery: Vectors) -> NDArray[np.float32]:
    """Return the cosine of the angle between a vector and each of a gallery's."""
    return np.asarray(gallery @ vector / np.float32(SCALE), dtype=np.float32)

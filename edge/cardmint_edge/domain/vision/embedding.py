"""A card as a short vector made by a network, close to its scan's also in light that spoils hashes.

Where no hash is near, the references with the most similar vectors are compared closely. Similarity
alone never identifies a card.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from cardmint_edge.domain.recognition import Frame

SIZE = 64
"""Length of a vector."""

SCALE = 127
"""Factor by which a unit vector is multiplied before it is rounded to bytes."""

Vectors = NDArray[np.int8]
"""Vectors of norm SCALE, rounded; those of a gallery are n x SIZE."""

Embedder = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Maps a normalised card (3 x 134 x 96) to a unit vector (SIZE)."""


def normalised(card: Frame) -> NDArray[np.float32]:
    """Return an upright card (134 x 96 x 3, BGR) with mean 0 and deviation 1 in each channel.

    Light and tint are taken out; the shape is 3 x 134 x 96.
    """
    planes = card.transpose(2, 0, 1).astype(np.float32)
    mean, deviation = (
        planes.mean(axis=(1, 2), keepdims=True),
        planes.std(axis=(1, 2), keepdims=True),
    )
    return np.asarray((planes - mean) / (deviation + 8), dtype=np.float32)


def quantised(vector: NDArray[np.float32]) -> Vectors:
    """Return a unit vector as a pack stores it."""
    return np.asarray(np.rint(vector * SCALE), dtype=np.int8)


def similarities(vector: NDArray[np.float32], gallery: Vectors) -> NDArray[np.float32]:
    """Return the cosine similarity of a vector to each of a gallery's."""
    return np.asarray(gallery @ vector / np.float32(SCALE), dtype=np.float32)


def back_likeness(embedder: Embedder, back: Vectors) -> Callable[[Frame], float]:
    """Return a function that says how much a cut-out card (134 x 96, BGR) is like a back (-1 to 1).

    `back` is the mean vector of photographed backs, either way up.
    """

    def likeness(card: Frame) -> float:
        upright, turned = (embedder(normalised(one)) for one in (card, card[::-1, ::-1]))
        return float(max(similarities(one, back[None])[0] for one in (upright, turned)))

    return likeness

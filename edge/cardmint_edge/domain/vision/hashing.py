"""Perceptual hashes: a card in a few hundred bits, compared by the number that differ.

pHash (signs of low DCT frequencies against their median) and dHash (signs of differences of
neighbours) of the whole card, of its art and of its text, and the signs of its two colour channels.
After Zauner, "Implementation and benchmarking of perceptual image hash functions" (2010).
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from cardmint_edge.domain.recognition import Frame

Bits = NDArray[np.uint64]
"""A hash packed into words; a gallery's hashes are n x WORDS."""

HASH_SIZE = (96, 134)
"""Width and height of the rectified card that is hashed."""

WORDS = 15
HASH_BITS = 64 * WORDS

_ART = (slice(14, 74), slice(7, 89))
_TEXT = (slice(74, 130), slice(5, 91))


def card_hash(card: Frame) -> Bits:
    """Return the hash of an upright card (134 x 96 x 3, BGR)."""
    lab = cv2.cvtColor(card, cv2.COLOR_BGR2LAB)
    light = lab[..., 0]
    parts = [
        _phash(light, 12),
        _phash(light[_ART], 12),
        _phash(light[_TEXT], 8),
        _dhash(light, 16, 16),
        _dhash(light[_ART], 10, 10),
        _dhash(light[_ART].T, 10, 10),
        _colour(lab[..., 1]),
        _colour(lab[..., 2]),
    ]
    bits = np.concatenate(parts)
    padded = np.zeros(HASH_BITS, dtype=np.uint8)
    padded[: bits.size] = bits
    return np.packbits(padded).view(np.uint64)


def distances(query: Bits, gallery: Bits) -> NDArray[np.int32]:
    """Return how many bits of `query` (WORDS) differ from each row of `gallery` (n x WORDS)."""
    return np.asarray(np.bitwise_count(gallery ^ query).sum(axis=1, dtype=np.int32), dtype=np.int32)


def _phash(plane: NDArray[np.generic], size: int) -> NDArray[np.uint8]:
    small = cv2.resize(np.asarray(plane, dtype=np.float32), (32, 32), interpolation=cv2.INTER_AREA)
    low = cv2.dct(small)[:size, :size].ravel()[1:]
    return np.asarray(low > np.median(low), dtype=np.uint8)


def _dhash(plane: NDArray[np.generic], width: int, height: int) -> NDArray[np.uint8]:
    small = cv2.resize(
        np.asarray(plane, dtype=np.float32), (width + 1, height), interpolation=cv2.INTER_AREA
    )
    return np.asarray(small[:, 1:] > small[:, :-1], dtype=np.uint8).ravel()


def _colour(plane: NDArray[np.generic]) -> NDArray[np.uint8]:
    small = cv2.resize(
        np.asarray(plane, dtype=np.float32), (8, 8), interpolation=cv2.INTER_AREA
    ).ravel()
    return np.asarray(small > np.median(small), dtype=np.uint8)

"""A card's fingerprint, in 192 bytes: the same card is known again, however nudged or lit."""

import cv2
import numpy as np
from numpy.typing import NDArray

from cardmint_edge.domain.recognition import Frame

COLUMNS, ROWS = 12, 16

ALIKE = 16.0
"""Greatest mean difference of two fingerprints of one card, in grey levels.

Of 1,770 pairs of different cards under a simulated copy stand none differed by less than 17; of 179
nudges of one card 97 % differed by less than 16.
"""

AGAIN = 24.0
"""Mean difference, in grey levels, below which two scans of one printing may show one card.

Nine in ten new photos of one card are that close, and so may be another copy.
"""

PLAIN = 8.0
"""Deviation of a view, in grey levels, below which a place is empty; cards have 25 or more."""


def fingerprint(view: Frame) -> bytes:
    """Return the fingerprint of an upright card (height x width x 3, BGR); else empty."""
    if view.ndim != 3 or view.shape[2] != 3 or not view.size:
        return b""
    fields = _fields_of(view)
    deviation = max(float(fields.std()), 4.0)
    level = (fields - fields.mean()) * (48 / deviation) + 128
    return bytes(np.clip(np.rint(level), 0, 255).astype(np.uint8).tobytes())


def is_plain(view: Frame) -> bool:
    """Return whether a view is too even to show anything printed."""
    return float(_fields_of(view).std()) < PLAIN


def difference(one: bytes, other: bytes) -> float:
    """Return the mean difference of two fingerprints, in grey levels, either way up.

    Infinite where one of them is empty.
    """
    if len(one) != COLUMNS * ROWS or len(other) != COLUMNS * ROWS:
        return float("inf")
    first, second = _fields(one), _fields(other)
    return float(min(np.abs(first - second).mean(), np.abs(first - second[::-1]).mean()))


def alike(one: bytes, other: bytes) -> bool:
    """Return whether two fingerprints of one printing may show the same card."""
    return difference(one, other) < AGAIN


def _fields_of(view: Frame) -> NDArray[np.float32]:
    grey = cv2.cvtColor(view, cv2.COLOR_BGR2GRAY)
    return cv2.resize(grey, (COLUMNS, ROWS), interpolation=cv2.INTER_AREA).astype(np.float32)


def _fields(code: bytes) -> NDArray[np.float32]:
    return np.frombuffer(code, dtype=np.uint8).astype(np.float32)

"""Readings as a reader would give them, for tests without a reader."""

import numpy as np

from cardmint_edge.domain.reading.ctc import Reading
from cardmint_edge.domain.reading.lexicon import ALPHABET, codes

CLASSES = len(ALPHABET) + 1


def says(text: str, *, steps: int = 64, sure: float = 0.97) -> Reading:
    """A reading of a text, each letter one step long, a blank between."""
    reading = np.full((steps, CLASSES), (1 - sure) / (CLASSES - 1), np.float32)
    spelt = [code for letter in codes(text) for code in (letter, 0)]
    for step in range(steps):
        code = spelt[step] if step < len(spelt) else 0
        reading[step, code] = sure
    return reading

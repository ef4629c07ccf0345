"""How far a text is from another, and what a path of outputs spells."""

import numpy as np
from numpy.typing import NDArray

from cardmint_edge.domain.reading.lexicon import ALPHABET


def spelt(best: NDArray[np.int64]) -> str:
    """Return what a best path (STEPS) says."""
    kept = [
        int(code)
        for code, before in zip(best, [0, *best[:-1]], strict=True)
        if code and code != before
    ]
    return "".join(ALPHABET[code - 1] for code in kept)


def edits(one: str, other: str) -> int:
    """Return Levenshtein's distance."""
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, start=1):
        before, row[0] = row[0], i
        for j, wanted in enumerate(other, start=1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (letter != wanted))
    return row[-1]

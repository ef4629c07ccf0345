"""Numbers that stand clearly in a strip, whether the catalogue has them or not."""

import re

from cardmint_edge.domain.reading.ctc import Reading
from cardmint_edge.domain.reading.lexicon import ALPHABET

_NUMBER = re.compile(r"(?<![0-9/])[0-9]{1,3}/[0-9]{2,3}(?![0-9/])")


def clear_numbers(reading: Reading, least: float) -> set[str]:
    """Return the numbers with a total, such as `091/084`, whose every letter is clear.

    A letter is clear from a probability of `least`. The likeliest letter of each step is taken
    (best path, Graves et al. 2006).
    """
    letters: list[str] = []
    clear: list[float] = []
    before = 0
    for step, code in enumerate(reading.argmax(axis=1).tolist()):
        probability = float(reading[step, code])
        if code and code == before:
            clear[-1] = max(clear[-1], probability)
        elif code:
            letters.append(ALPHABET[code - 1])
            clear.append(probability)
        before = code
    text = "".join(letters)
    return {
        found[0]
        for found in _NUMBER.finditer(text)
        if min(clear[found.start() : found.end()]) >= least
    }


def unpadded(number: str) -> str:
    """Return a number as `4/102` for `004/102`."""
    first, _, total = number.partition("/")
    return f"{first.lstrip('0')}/{total.lstrip('0')}"

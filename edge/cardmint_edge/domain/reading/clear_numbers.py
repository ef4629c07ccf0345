"""Numbers that stand clearly in a strip, whether the catalogue has them or not."""

import re
from collections import Counter
from collections.abc import Callable, Iterable
from typing import NamedTuple

from cardmint_edge.domain.reading.ctc import Reading
from cardmint_edge.domain.reading.lexicon import ALPHABET
from cardmint_edge.domain.vision.view import CardView, StripPlace

_NUMBER = re.compile(r"(?<![0-9/])[0-9]{1,3}/[0-9]{2,3}(?![0-9/])")


class ReadNumber(NamedTuple):
    """A number that stands clearly in a strip: the card's corners, and the strip's place on it."""

    number: str
    corners: bytes
    place: StripPlace


def read_numbers(
    card: CardView, places: Iterable[StripPlace], readings: Iterable[Reading], least: float
) -> frozenset[ReadNumber]:
    """Return the numbers that stand clearly in the strips of a card; see `clear_numbers`."""
    corners = card.quad.corners.tobytes()
    return frozenset(
        ReadNumber(number, corners, place)
        for place, reading in zip(places, readings, strict=True)
        for number in clear_numbers(reading, least)
    )


def unknown_number(
    numbers: Iterable[ReadNumber], is_known: Callable[[str], bool], agreeing: int
) -> str:
    """Return the number that stands in `agreeing` strips or more; empty if any number is known."""
    counted = Counter(one.number for one in numbers)
    if not counted or any(map(is_known, counted)):
        return ""
    number, count = min(counted.items(), key=lambda item: (-item[1], item[0]))
    return number if count >= agreeing else ""


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

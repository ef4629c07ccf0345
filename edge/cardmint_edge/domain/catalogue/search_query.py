"""What a person types to find a printing: words, and a number as it is printed."""

import re
import unicodedata
from dataclasses import dataclass

MAX_WORDS = 12
_PRINTED = re.compile(r"(?<!\S)([A-Za-z]*)(\d+[a-z]?)\s*/\s*[A-Za-z]*0*(\d+)(?!\S)")


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchQuery:
    """A query. `number` and `total` are those of `4/102`; `exact` is the number to show first."""

    words: tuple[str, ...]
    number: str = ""
    total: int | None = None
    exact: str = ""


def parse_query(text: str) -> SearchQuery | None:
    """Return the query that a text means; None for a text without a letter or digit."""
    number, total = "", None
    if found := _PRINTED.search(text):
        letters, digits = found[1].upper(), found[2]
        number, total = letters + (digits if letters else digits.lstrip("0")), int(found[3])
        text = text[: found.start()] + " " + text[found.end() :]
    plain = "".join(letter if _in_word(letter) else " " for letter in text)
    words = tuple(plain.split())[:MAX_WORDS]
    if not words and total is None:
        return None
    figures = [word.lstrip("0") for word in words if word.isdecimal()]
    return SearchQuery(
        words=words, number=number, total=total, exact=number or (figures[-1] if figures else "")
    )


def _in_word(letter: str) -> bool:
    """Return whether a character is part of a word: marks are, such as the vowels of Thai."""
    return letter.isalnum() or unicodedata.category(letter).startswith("M")

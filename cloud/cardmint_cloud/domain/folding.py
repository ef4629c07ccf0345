"""Text without case and marks, as the database folds it: `cardmint_folded` of migration 0025."""

import re
import unicodedata

_MARKS = re.compile("[\u0300-\u036f]")
_SPECIAL = str.maketrans({"ς": "σ", "ß": "ss"})


def folded(text: str) -> str:
    """Return a text in small letters without marks above, below and through them, decomposed.

    Letters beyond Armenian stay as they are: those scripts have no case that names of bins use.
    """
    if text.isascii():
        return text.lower()
    parted = _MARKS.sub("", unicodedata.normalize("NFKD", text))
    return "".join(map(_small, parted)).translate(_SPECIAL)


def _small(letter: str) -> str:
    small = letter.lower()
    return small if letter < "\u0590" and len(small) == 1 else letter

"""The letters that the reader knows, and the forms in which a collector number is printed."""

import unicodedata

ALPHABET = " !&'()+-./0123456789:?ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
"""The letters of the reader's outputs 1, 2, 3 …; output 0 is CTC's blank."""

_CODES = {letter: code for code, letter in enumerate(ALPHABET, start=1)}
_ALIKE = str.maketrans(
    {"’": "'", "‘": "'", "–": "-", "—": "-", "_": "-", "[": "(", "]": ")", "#": "", ",": "."}
)


def plain(text: str) -> str:
    """Return a text in the reader's letters, without accents and unknown characters."""
    parted = unicodedata.normalize("NFKD", text.translate(_ALIKE))
    return " ".join("".join(letter for letter in parted if letter in _CODES).split())


def codes(text: str) -> list[int]:
    """Return the outputs that spell a text in ALPHABET."""
    return [_CODES[letter] for letter in text]


LANGUAGE_CODES = {"en": "EN", "fr": "FR", "de": "DE", "it": "IT", "es": "ES", "pt": "PT"}
"""What stands beside a set's code, by language."""


LEAST_TOTAL = 5
"""Sets of fewer cards print no total, and `1/1` is found in many numbers."""


def number_forms(number: str, total: int | None, *, promo: bool, code: str = "") -> tuple[str, ...]:
    """Return the forms in which a collector number may stand on the card.

    `4/102` and `004/102` with the set's total; `TG12/TG30` where the number has letters; alone for
    promos, with their set's code where one is printed (`SVP EN 010`), and for numbers with two or
    more letters, which are distinctive without a total.
    """
    if total is not None and total < LEAST_TOTAL:
        total = None
    digits = number.lstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    letters = number[: len(number) - len(digits)]
    if not digits.isdigit():
        return (f"{number}/{total}",) if total and plain(number) == number else ()
    forms = []
    if letters:
        alone = [number] if len(letters) > 1 else []
        forms = [*alone, *([f"{number}/{letters}{total}", f"{number}/{total}"] if total else [])]
    elif promo and code:
        signs = ["", *(f" {sign}" for sign in LANGUAGE_CODES.values())]
        return (number, *(f"{code}{sign} {number.zfill(3)}" for sign in signs))
    elif promo:
        forms = [number, number.zfill(3)]
    if total and not letters:
        forms += [f"{number}/{total}", f"{number.zfill(3)}/{str(total).zfill(3)}"]
    return tuple(dict.fromkeys(forms))

"""The text by which the catalogue's printings are searched, and a query in the same letters."""

import re
import unicodedata

from cardmint_contracts.catalogue import CatalogueSet, Printing

MAX_WORDS = 12
_ZEROS = re.compile(r"(?<![0-9])0+(?=[0-9])")


def searched_text(printing: Printing, of_set: CatalogueSet) -> str:
    """Return all that is printed on a card: names in every language, set, code, number."""
    number = f"{printing.number}/{of_set.official}" if of_set.official else printing.number
    parts = [
        *printing.names.values(),
        *of_set.names.values(),
        of_set.id,
        of_set.code,
        *of_set.codes.values(),
        number,
    ]
    return " ".join(dict.fromkeys(_plain(part) for part in parts if part))


def card_text(card_id: str, name: str, number: str, set_id: str, set_name: str) -> str:
    """Return what is known of a printing that a station named: for a catalogue that lacks it."""
    parts = dict.fromkeys(_plain(one) for one in (name, number, set_name, set_id, card_id))
    return " ".join(part for part in parts if part)


def query_words(text: str) -> tuple[str, ...]:
    """Return the words of a query, each of which a card's text must contain."""
    joined = re.sub(r"\s*/\s*", "/", text.replace("\x00", " "))
    return tuple(_plain(joined).split())[:MAX_WORDS]


def _plain(text: str) -> str:
    """Return a text without case, marks above and below letters, and zeros before numbers."""
    letters = text.lower()
    if not text.isascii():
        parted = unicodedata.normalize("NFKD", text).casefold()
        letters = "".join(letter for letter in parted if unicodedata.category(letter) != "Mn")
    return _ZEROS.sub("", letters)

"""Which printings share their art, as far as a catalogue can tell."""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping

from cardmint_contracts.catalogue import ENGLISH, Printing, Region, name_in


def art_key(printing: Printing, region: Region = Region.INTERNATIONAL) -> str:
    """Return the key that printings with the same art share: their name and their attacks' names.

    Of each name only the consonants count, because catalogues differ in vowels and accents.
    """
    attacks = sorted(_consonants(_english(names)) for names in printing.attacks)
    key = "|".join([_consonants(_english(printing.names)), *attacks])
    return key if region is Region.INTERNATIONAL else f"{region}:{key}"


def count_twinned(arts: Iterable[tuple[str, str]]) -> int:
    """Return the number of printings with a twin: same art key, and no two different artists.

    `arts` are art key and artist of each printing.
    """
    known = [(art, artist.casefold()) for art, artist in arts]
    artists: dict[str, Counter[str]] = {}
    for art, artist in known:
        artists.setdefault(art, Counter())[artist] += 1
    count = 0
    for art, artist in known:
        same = artists[art]
        others = same[artist] + same[""] if artist else same.total()
        count += others > 1
    return count


def _english(names: Mapping[str, str]) -> str:
    return name_in(names, ENGLISH)


def _consonants(name: str) -> str:
    plain = unicodedata.normalize("NFKD", name).casefold()
    return "".join(letter for letter in plain if letter.isalnum() and letter not in "aeiou")

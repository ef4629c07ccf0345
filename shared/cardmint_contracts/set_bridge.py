"""The bridge between TCGdex's identifiers and pokemon-tcg-data's.

The catalogue names a printing as pokemon-tcg-data does, also one that pokemon-tcg-data does not
have yet. The tables were made by comparing numbers and English names of both data sets; `cardmint-
edge catalogue bridge` compares them again and lists what differs.
"""

import re
from urllib.parse import unquote

_POKEMON_TCG = {
    "lc": "base6",
    "bog": "bp",
    "tk-ex-latia": "tk1a",
    "tk-ex-latio": "tk1b",
    "tk-ex-p": "tk2a",
    "tk-ex-m": "tk2b",
    "hgssp": "hsp",
    "2011bw": "mcd11",
    "2012bw": "mcd12",
    "2014xy": "mcd14",
    "2015xy": "mcd15",
    "2016xy": "mcd16",
    "2017sm": "mcd17",
    "2018sm": "mcd18",
    "2019sm": "mcd19",
    "2021swsh": "mcd21",
    "2022swsh": "mcd22",
    "sm3.5": "sm35",
    "sm7.5": "sm75",
    "fut2020": "fut20",
    "swsh3.5": "swsh35",
    "swsh4.5": "swsh45",
    "swsh4.5sv": "swsh45sv",
    "cel25cc": "cel25c",
    "swsh10.5": "pgo",
    "swsh12.5": "swsh12pt5",
    "swsh12.5gg": "swsh12pt5gg",
    "sv10.5b": "zsv10pt5",
    "sv10.5w": "rsv10pt5",
}
_TCGDEX = {theirs: ours for ours, theirs in _POKEMON_TCG.items()}
_SINCE_2023 = re.compile(r"(sv|me)(\d+)(\.5)?\Z")
_SINCE_2023_THERE = re.compile(r"(sv|me)(\d+)(pt5)?\Z")
_PADDED = re.compile(r"(swsh9|swsh1[0-2](pt5)?|pgo|(z|r)?sv.*|me.*)\Z")
"""Sets of pokemon-tcg-data whose numbers TCGdex pads to three digits: from Brilliant Stars on."""

_PADDED_LETTERS = {"ecard2", "ecard3"}
"""Sets whose numbers with a letter TCGdex pads: `H09` is `H9` there."""

ASIAN_NAMESAKES = frozenset({"miscp", "neo1", "neo2", "neo3", "neo4"})
"""Asian sets of TCGdex that have the identifier of an international set."""

_CLASSICS = (
    "2_A 4_A 15_A1 73_A 8_A 15_A2 15_A3 24_A 20_A 66_A 9_A 86_A 88_A 93_A 17_A 15_A4 109_A 145_A"
    " 107_A 113_A 114_A 54_A 97_A 76_A 60_A"
)
"""Numbers of the 25 classics of Celebrations, in TCGdex's order: those of their originals."""

_CARDS = {
    "bwp-BW04": "bwp-BW004",
    "bwp-BW05": "bwp-BW005",
    **{f"ecard2-{number}a": f"ecard2-{number}" for number in (50, 74, 95, 103)},
    **{
        f"cel25cc-CC{place:03}": f"cel25c-{number}"
        for place, number in enumerate(_CLASSICS.split(), start=1)
    },
    **{f"exu-{letter}": f"ex10-{letter}" for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ!?"},
}
"""Cards that follow no rule. The Unown of Unseen Forces are a set of their own at TCGdex."""
_CARDS_BACK = {theirs: ours for ours, theirs in _CARDS.items()}


def pokemon_tcg_set(set_id: str) -> str:
    """Return the catalogue's identifier of an international set of TCGdex."""
    if set_id in _POKEMON_TCG:
        return _POKEMON_TCG[set_id]
    if found := _SINCE_2023.match(set_id):
        series, number, half = found.groups()
        return f"{series}{int(number)}{'pt5' if half else ''}"
    return set_id


def asian_set(set_id: str) -> str:
    """Return the catalogue's identifier of an Asian set of TCGdex."""
    return f"{set_id}-asia" if set_id in ASIAN_NAMESAKES else set_id


def plain_number(set_id: str, local_id: str) -> str:
    """Return the number of TCGdex's card without its padding, `1` for `001`."""
    local_id = unquote(local_id)
    if local_id.isascii() and local_id.isdigit():
        return local_id.lstrip("0") or "0"
    if set_id in _PADDED_LETTERS:
        return re.sub(r"\A([A-Z])0+(?=\d)", r"\1", local_id)
    return local_id


def pokemon_tcg_id(set_id: str, local_id: str) -> str:
    """Return the catalogue's identifier of an international card of TCGdex."""
    known = _CARDS.get(f"{set_id}-{unquote(local_id)}")
    return known or f"{pokemon_tcg_set(set_id)}-{plain_number(set_id, local_id)}"


def tcgdex_set(set_id: str) -> str:
    """Return TCGdex's identifier of an international set of the catalogue."""
    if set_id in _TCGDEX:
        return _TCGDEX[set_id]
    if found := _SINCE_2023_THERE.match(set_id):
        series, number, half = found.groups()
        return f"{series}{int(number):02d}{'.5' if half else ''}"
    return set_id


def tcgdex_id(card_id: str) -> str:
    """Return TCGdex's identifier of an international card of the catalogue."""
    if card_id in _CARDS_BACK:
        return _CARDS_BACK[card_id]
    set_id, _, local = card_id.rpartition("-")
    padded = local.isascii() and local.isdigit() and _PADDED.match(set_id)
    return f"{tcgdex_set(set_id)}-{local.zfill(3) if padded else local}"

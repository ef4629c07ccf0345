"""What the drawn lines say: the catalogue's names, attacks and numbers, in six languages."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

Random = np.random.Generator

_TOTALS = (
    62,
    64,
    82,
    101,
    102,
    108,
    109,
    111,
    114,
    122,
    130,
    131,
    146,
    149,
    162,
    163,
    165,
    181,
    185,
    192,
    198,
    203,
)
_PROMOS = (
    "SWSH",
    "SM",
    "XY",
    "BW",
    "DP",
    "HGSS",
    "SV",
    "TG",
    "GG",
    "RC",
    "SH",
    "SL",
    "AR",
    "RT",
    "H",
)
_SIDES = (
    "BASIC",
    "Basic",
    "STAGE 1",
    "STAGE 2",
    "Stage 1",
    "TRAINER",
    "Item",
    "Supporter",
    "V",
    "VMAX",
    "GX",
    "EX",
)
_ABILITIES = (
    "Ability",
    "Poke-Power",
    "Poke-Body",
    "Pokemon Power:",
    "Talent",
    "Fahigkeit",
    "Abilita",
    "Habilidad",
    "Habilidade",
)
_CODES = ("EN", "EN", "FR", "DE", "IT", "ES", "PT")
_FIRST = (
    "Ken",
    "Mitsuhiro",
    "Kagemaru",
    "Naoki",
    "Atsuko",
    "Masakazu",
    "Yuka",
    "Kouki",
    "Aya",
    "Sho",
    "Tomo",
    "Saki",
)
_LAST = (
    "Mori",
    "Arita",
    "Himeno",
    "Saitou",
    "Nishida",
    "Fukuda",
    "Morii",
    "Kusube",
    "Graphics",
    "Tanaka",
    "Ueda",
)


SIGNS = ("HP", "PV", "PS", "KP")
"""What stands beside health points: English, French, three southern languages, German."""

LANGUAGES = ("en", "fr", "de", "it", "es", "pt")


@dataclass(frozen=True, kw_only=True, slots=True)
class LineTexts:
    """What cards say: English names, names of other languages, attacks and abilities."""

    names: list[str]
    foreign: list[str]
    attacks: list[str]


def read_texts(data: Path) -> LineTexts:
    """Return every name and attack of the catalogues in `data` once."""
    english = list(_entries(data / "catalogue" / "cards" / "en"))
    names = {entry["name"] for entry in english}
    attacks = {
        one["name"]
        for entry in english
        for key in ("attacks", "abilities")
        for one in entry.get(key) or ()
    }
    foreign: set[str] = set()
    for entry in _entries(data / "tcgdex" / "cards" / "international"):
        foreign |= _in_languages(entry["name"])
        for key in ("attacks", "abilities"):
            for one in entry.get(key) or ():
                attacks |= _in_languages(one.get("name") or {})
    return LineTexts(names=sorted(names), foreign=sorted(foreign - names), attacks=sorted(attacks))


def _entries(folder: Path) -> Iterator[dict[str, Any]]:
    for path in sorted(folder.glob("*.json")):
        yield from json.loads(path.read_bytes())


def _in_languages(names: dict[str, str]) -> set[str]:
    return {name for language, name in names.items() if language in LANGUAGES and name}


def a_name(texts: LineTexts, rng: Random) -> str:
    """Return a name, sometimes with what may stand before it in the strip."""
    names = texts.foreign if texts.foreign and rng.random() < 0.4 else texts.names
    name = _pick(names, rng)
    if rng.random() < 0.3:
        name = f"{_pick(_SIDES, rng)} {name}"
    return name


def health_points(rng: Random) -> str:
    """Return some health points."""
    return f"{int(rng.integers(3, 35)) * 10}"


def a_sign(rng: Random) -> str:
    """Return a health sign; those of other languages too, or HP is read wherever it may stand."""
    return "HP" if rng.random() < 0.4 else _pick(SIGNS[1:], rng)


def an_attack(texts: LineTexts, rng: Random) -> str:
    """Return an attack's or ability's name, often with its damage."""
    name = _pick(texts.attacks, rng) if texts.attacks else _pick(texts.names, rng)
    kind = rng.random()
    if kind < 0.5:
        return f"{name} {int(rng.integers(1, 31)) * 10}{('', '', '+', 'x')[int(rng.integers(4))]}"
    if kind < 0.65:
        return f"{_pick(_ABILITIES, rng)} {name}"
    return name


def a_number(rng: Random) -> str:
    """Return a collector number in one of the forms in use since 1999."""
    kind = rng.random()
    total = int(rng.choice(_TOTALS)) if rng.random() < 0.4 else int(rng.integers(12, 260))
    number = int(rng.integers(1, int(total * 1.3) + 1))
    if kind < 0.38:
        return f"{number}/{total}"
    if kind < 0.76:
        text = f"{number:03}/{total:03}"
        if rng.random() < 0.3:
            text = f"{_code(rng)} {_pick(_CODES, rng)} {text}"
        elif rng.random() < 0.25:
            text = f"{'DEFGHI'[int(rng.integers(6))]} {text}"
        return text
    letters = _PROMOS[int(rng.integers(len(_PROMOS)))]
    if kind < 0.86:
        digits = (
            f"{int(rng.integers(1, 308)):03}"
            if rng.random() < 0.6
            else f"{int(rng.integers(1, 100)):02}"
        )
        if rng.random() < 0.3:
            return f"{_pick(('SVP', 'MEP', 'SVP'), rng)} {_pick(_CODES, rng)} {digits}"
        return f"{letters}{digits}"
    if kind < 0.94:
        most = int(rng.choice((30, 70, 122, 94, 32, 25)))
        wide = 3 if most > 99 else 2
        return f"{letters}{int(rng.integers(1, most + 1)):0{wide}}/{letters}{most}"
    return f"{number:03}" if rng.random() < 0.5 else str(number)


def beside_a_number(rng: Random) -> str:
    """Return what may stand on the number's own line: an artist, a copyright, nothing."""
    kind = rng.random()
    if kind < 0.5:
        return ""
    if kind < 0.75:
        return f"Illus. {_pick(_FIRST, rng)} {_pick(_LAST, rng)}"
    year = int(rng.integers(1995, 2026))
    return (f"{year} Wizards.", f"{year} Nintendo. Creatures. GAME FREAK", f"{year} Pokemon")[
        int(rng.integers(3))
    ]


def around(rng: Random) -> str:
    """Return a line of the small print above or below."""
    return f"Illus. {_pick(_FIRST, rng)} {_pick(_LAST, rng)} and the rest of it"


def _pick(words: Sequence[str], rng: Random) -> str:
    return words[int(rng.integers(len(words)))]


def _code(rng: Random) -> str:
    return "".join(chr(65 + int(letter)) for letter in rng.integers(0, 26, 3))

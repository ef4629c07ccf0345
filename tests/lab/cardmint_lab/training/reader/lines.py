"""What the drawn lines say: names of the catalogue, and collector numbers of every era."""

import json
from pathlib import Path

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


def read_names(catalogue: Path) -> list[str]:
    """Return every name of a catalogue folder once."""
    names = {
        entry["name"]
        for path in (catalogue / "cards" / "en").glob("*.json")
        for entry in json.loads(path.read_bytes())
    }
    return sorted(names)


def a_name(names: list[str], rng: Random) -> str:
    """Return a name, often with what may stand beside it in the strip."""
    name = names[int(rng.integers(len(names)))]
    if rng.random() < 0.3:
        name = f"{_SIDES[int(rng.integers(len(_SIDES)))]} {name}"
    if rng.random() < 0.25:
        points = f"{int(rng.integers(3, 34)) * 10}"
        # Other languages' health points too, or the reader would see HP wherever it expects it.
        sign = "HP" if rng.random() < 0.7 else ("KP", "PV", "PS")[int(rng.integers(3))]
        forms = (f"{sign} {points}", f"{points} {sign}", f"{sign}{points}", points)
        name = f"{name} {forms[int(rng.integers(4))]}"
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
            text = f"{_code(rng)} EN {text}"
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


def _pick(words: tuple[str, ...], rng: Random) -> str:
    return words[int(rng.integers(len(words)))]


def _code(rng: Random) -> str:
    return "".join(chr(65 + int(letter)) for letter in rng.integers(0, 26, 3))

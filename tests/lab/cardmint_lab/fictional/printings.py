"""The fictional game's printings.

Four sets, a run of promos, and reprints of the same art in another set.
"""

from dataclasses import dataclass, replace
from zlib import crc32

ELEMENTS = ("Ember", "Tide", "Verdant", "Volt", "Umbra", "Stone")

_NAMES = {
    "Ember": (
        "Ashwing", "Kilnback", "Sootpup", "Brandhorn", "Cindermaw", "Pyrelark", "Smoulder Toad",
        "Lantern Moth", "Forgeling", "Scorch Hare", "Glassblower", "Old Furnace",
    ),
    "Tide": (
        "Brinefin", "Mistcaller", "Pearl Diver", "Reefback", "Spindrift", "Harbour Owl",
        "Kelp Shepherd", "Gullsong", "Undertow", "Shoal Knight", "Foam Jester", "Deep Bell",
    ),
    "Verdant": (
        "Mossmane", "Thornback", "Fernfox", "Bramblewight", "Acorn Squire", "Sapling Sage",
        "Hollow Stag", "Ivy Weaver", "Petal Drake", "Mushroom Monk", "Rootwalker", "Orchard Cat",
    ),
    "Volt": (
        "Static Wren", "Coilsnake", "Thunderhoof", "Sparkle Newt", "Dynamo Bear", "Fusebug",
        "Stormkite", "Arc Lizard", "Copper Imp", "Signal Crow", "Batteram", "Night Tram",
    ),
    "Umbra": (
        "Gloamcat", "Dusk Weasel", "Veilwing", "Hushling", "Moth Queen", "Cellar Ghost", "Inkwell",
        "Shade Piper", "Candle Thief", "Raven Judge", "Sleepwalker", "Last Lamp",
    ),
    "Stone": (
        "Pebble Ox", "Cragjaw", "Slate Turtle", "Geode Golem", "Chalk Ram", "Mortar Mole",
        "Quarry King", "Flintbeak", "Dust Camel", "Basalt Boar", "Marble Swan", "Milestone",
    ),
}  # fmt: skip

_FIRST = (
    "Swift",
    "Heavy",
    "Quiet",
    "Wild",
    "Hidden",
    "Twin",
    "Burning",
    "Frozen",
    "Hollow",
    "Golden",
    "Broken",
    "Last",
)
_SECOND = (
    "Rush",
    "Guard",
    "Song",
    "Bite",
    "Spiral",
    "Gaze",
    "Harvest",
    "Echo",
    "Hammer",
    "Drift",
    "Lantern",
    "Oath",
)
_RULES = (
    "Flip a coin. If heads, draw a card.",
    "The defending creature cannot retreat.",
    "Heal 20 damage from this creature.",
    "Does 10 damage to each benched creature.",
    "Look at the top three cards of your deck.",
    "Discard one element from this creature.",
    "If it is your first turn, nothing happens.",
    "Put one spark on another creature.",
)
_FLAVOURS = (
    "It hums when it thinks that nobody listens.",
    "Seen only by those who take the long way home.",
    "Three of them once stopped a mill.",
    "It never forgets a lantern.",
    "Farmers leave it the last apple.",
    "Older than the bridge, and as stubborn.",
    "It counts the stars and is always one short.",
)
_ARTISTS = (
    "M. Okonjo",
    "Tove Lindahl",
    "R. Castellan",
    "Ines Marrow",
    "Pavel Dvur",
    "Quill & Daughter",
)
_RARITIES = ("Common", "Common", "Common", "Uncommon", "Uncommon", "Rare", "Rare Holo")


@dataclass(frozen=True, kw_only=True, slots=True)
class FictionalSet:
    """A set of cards. `total` is printed behind the number; None prints none."""

    id: str
    name: str
    code: str
    total: int | None
    released: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Attack:
    """An attack of a creature; `cost` is the number of its elements."""

    name: str
    cost: int
    damage: int
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Printing:
    """One printing: a creature, its set and its number.

    Printings with the same `art` show the same picture.
    """

    id: str
    name: str
    number: str
    card_set: FictionalSet
    element: str
    hp: int
    attacks: tuple[Attack, ...]
    artist: str
    rarity: str
    flavour: str
    art: str
    full_art: bool = False

    @property
    def printed_number(self) -> str:
        """The number as printed: `012/040`, or the bare code of a promo."""
        total = self.card_set.total
        return self.number if total is None else f"{int(self.number):03d}/{total:03d}"


FICTIONAL_SETS = (
    FictionalSet(id="emb", name="Emberfall", code="EMB", total=40, released="2021/03/12"),
    FictionalSet(id="tdw", name="Tidewrack", code="TDW", total=32, released="2022/06/24"),
    FictionalSet(id="ech", name="Echoes", code="ECH", total=12, released="2023/11/03"),
    FictionalSet(id="drk", name="Dark Orchard", code="DRK", total=20, released="2024/09/20"),
    FictionalSet(id="prm", name="Lantern Promos", code="PR", total=None, released="2021/03/12"),
)


def printings() -> tuple[Printing, ...]:
    """Return every printing, in order of sets and numbers; always the same."""
    emberfall, tidewrack, echoes, orchard, promos = FICTIONAL_SETS
    creatures = [
        (name, element)
        for turn in range(12)
        for element in ELEMENTS
        for name in (_NAMES[element][turn],)
    ]
    first = [
        _printing(name, element, emberfall, n)
        for n, (name, element) in enumerate(creatures[:40], 1)
    ]
    second = [
        _printing(name, element, tidewrack, n)
        for n, (name, element) in enumerate(creatures[40:], 1)
    ]
    # Second pictures of earlier creatures: same name, other art.
    others = [
        _printing(name, element, orchard, n, "again")
        for n, (name, element) in enumerate(creatures[3:63:3], 1)
    ]
    reprints = [
        _reprint(card, echoes, str(n))
        for n, card in enumerate([*first[4:34:5], *second[2:32:5]], 1)
    ]
    codes = [_reprint(card, promos, f"PR{n:03d}") for n, card in enumerate(first[7:40:11], 1)]
    new = [
        replace(
            _printing(name, element, promos, n, "promo"),
            id=f"prm-PR{n:03d}",
            number=f"PR{n:03d}",
            full_art=True,
        )
        for n, (name, element) in enumerate(creatures[5:70:13], len(codes) + 1)
    ]
    return (*first, *second, *reprints, *others, *codes, *new)


def _printing(
    name: str, element: str, card_set: FictionalSet, number: int, take: str = ""
) -> Printing:
    seed = crc32(f"{name}/{take}".encode())
    attacks = tuple(
        Attack(
            name=f"{_FIRST[(seed >> (5 * n)) % 12]} {_SECOND[(seed >> (5 * n + 3)) % 12]}",
            cost=1 + n + (seed >> n) % 2,
            damage=10 * (1 + n * 3 + (seed >> (3 + n)) % 4),
            text=_RULES[(seed >> (7 + 2 * n)) % 8] if n != seed % 2 else "",
        )
        for n in range(1 + seed % 2)
    )
    return Printing(
        id=f"{card_set.id}-{number}",
        name=name,
        number=str(number),
        card_set=card_set,
        element=element,
        hp=40 + 10 * (seed % 13),
        attacks=attacks,
        # Each picture of a creature has its own artist, so that the two are no twins.
        artist=_ARTISTS[
            (crc32(name.encode()) + ("", "again", "promo").index(take)) % len(_ARTISTS)
        ],
        rarity=_RARITIES[seed % len(_RARITIES)],
        flavour=_FLAVOURS[(seed >> 4) % len(_FLAVOURS)],
        art=f"{name}/{take}",
        full_art=seed % 9 == 0,
    )


def _reprint(card: Printing, card_set: FictionalSet, number: str) -> Printing:
    return replace(
        card, id=f"{card_set.id}-{number}", number=number, card_set=card_set, rarity="Rare"
    )

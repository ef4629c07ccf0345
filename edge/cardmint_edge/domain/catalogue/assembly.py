"""What the readers of all sources share: checking one card at a time, and one number a card."""

import re
import unicodedata
from collections.abc import Callable, Iterable
from typing import Any, TypeVar
from urllib.parse import unquote

import msgspec

from cardmint_contracts.cards import Edition, Finish
from cardmint_contracts.catalogue import ENGLISH, Names, Printing, Region, Variant
from cardmint_contracts.set_bridge import asian_set, plain_number, pokemon_tcg_id, pokemon_tcg_set
from cardmint_contracts.wire import convert

Warn = Callable[[str], None]
"""Takes one line about something that is skipped."""

T = TypeVar("T")

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_JOINERS = {"\u200c", "\u200d"}
"""Invisible, but scripts are written with them."""

FIRST_ONE_YEAR = 2003
"""From this year on cards print one year; before, they print those of earlier prints, too."""


def read_card(raw: bytes, shape: type[T], where: str, warn: Warn, kind: str = "card") -> T | None:
    """Read one card of a source, or another `kind` of entry.

    None, and a line that names it, when it has another shape.
    """
    try:
        return msgspec.json.decode(raw, type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        warn(f"{where}: skipped {_named(raw, kind)}: {error}")
        return None


def _named(raw: bytes, kind: str) -> str:
    try:
        entry: Any = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return f"a {kind} that is not JSON"
    if isinstance(entry, dict):
        return f"{kind} {str(entry.get('id') or entry.get('localId') or '?')[:80]!r}"
    return f"an entry that is no {kind}"


def assemble(values: dict[str, Any], where: str, warn: Warn) -> Printing | None:
    """Return the printing with these values, its texts plain.

    None, and a line, when it has no name, or the contract refuses the values.
    """
    try:
        printing = convert(plain(values), Printing)
    except msgspec.ValidationError as error:
        warn(f"{where}: skipped card {str(values.get('id'))[:80]!r}: {error}")
        return None
    if not printing.names:
        warn(f"{where}: skipped card {printing.id!r}: it has no name")
        return None
    return printing


def plain(value: Any) -> Any:
    """Return a value with all texts in it plain, at every level of lists and dictionaries."""
    match value:
        case str():
            return plain_text(value)
        case dict():
            return {key: plain(one) for key, one in value.items()}
        case list() | tuple():
            return [plain(one) for one in value]
        case _:
            return value


def plain_text(text: str) -> str:
    """Return a text in one line without what is invisible.

    Control characters count as spaces. Format characters go, such as those that turn the direction
    of writing (U+202E) or take no room (U+200B), and so do halves of surrogate pairs.
    """
    if text.isascii() and text.isprintable() and "  " not in text:
        return text.strip()
    shown = "".join(
        letter
        for letter in _CONTROL.sub(" ", text)
        if letter in _JOINERS or unicodedata.category(letter) not in {"Cf", "Cs"}
    )
    return " ".join(shown.split())


def each_number_once(printings: Iterable[Printing], where: str, warn: Warn) -> tuple[Printing, ...]:
    """Return the printings, those with an identifier that came before left out with a line."""
    kept: dict[str, Printing] = {}
    for printing in printings:
        if not printing.number:
            warn(f"{where}: skipped {printing.id!r}: it has no number")
        elif printing.id in kept:
            warn(
                f"{where}: skipped a second card with the number {printing.number!r}"
                f" ({_any_name(printing)!r} after {_any_name(kept[printing.id])!r})"
            )
        else:
            kept[printing.id] = printing
    return tuple(kept.values())


def _any_name(printing: Printing) -> str:
    return next(iter(printing.names.values()), "")


def catalogue_set_id(region: Region, set_id: str) -> str:
    """Return the catalogue's identifier of a set of TCGdex."""
    return asian_set(set_id) if region is Region.ASIA else pokemon_tcg_set(set_id)


def identify(region: Region, set_id: str, local_id: str) -> tuple[str, str]:
    """Return the catalogue's identifier and number of a card of TCGdex."""
    if region is Region.ASIA:
        number = plain_number("", local_id)
        return f"{asian_set(set_id)}-{number}", number
    card_id = pokemon_tcg_id(set_id, local_id)
    number = plain_number(set_id, local_id)
    if card_id != f"{pokemon_tcg_set(set_id)}-{number}":
        number = card_id.rpartition("-")[2].partition("_")[0]
    return card_id, number


def tcgdex_card_id(set_id: str, local_id: str) -> str:
    """Return TCGdex's own identifier of a card."""
    return f"{set_id}-{unquote(local_id)}"


def one_line(names: dict[str, Any]) -> Names:
    """Return names as plain text, without empty ones."""
    found = {
        language: plain_text(name) for language, name in names.items() if isinstance(name, str)
    }
    return {language: name for language, name in found.items() if name}


def printed_names(names: Names, stage: str | None) -> Names:
    """Return names as printed: TCGdex leaves out a level-up card's level, and spells a star."""
    name = names.get(ENGLISH, "")
    if stage == "LEVEL-UP" and name and not name.endswith("LV.X"):
        return {**names, ENGLISH: f"{name} LV.X"}
    if stage is not None and name.endswith(" Star"):
        return {**names, ENGLISH: f"{name.removesuffix('Star')}★"}
    return names


def copyright_year(region: Region, released: str, official: int) -> int | None:
    """Return the year that the cards of a set print; None where it cannot be derived.

    Promos come out over years, and old cards print several years.
    """
    year = released[:4]
    if region is Region.ASIA or not official or not year.isdecimal():
        return None
    return int(year) if int(year) >= FIRST_ONE_YEAR else None


_FIRST = "1stedition"
_FINISHES = {
    "normal": Finish.NORMAL,
    "holo": Finish.HOLO,
    "reverse": Finish.REVERSE_HOLO,
    # A metal or lenticular card has one surface: it is sold as the holo.
    "metal": Finish.HOLO,
    "lenticular": Finish.HOLO,
}


def variant_of(
    *,
    kind: str,
    subtype: str = "",
    size: str = "",
    stamps: Iterable[str] = (),
    foil: str = "",
    languages: Iterable[str] = (),
    tcgplayer: int | None = None,
    cardmarket: int | None = None,
) -> Variant | None:
    """Return a variant; None for a kind of surface that is not known."""
    finish = _FINISHES.get(kind)
    if finish is None:
        return None
    stamped = tuple(map(plain_text, stamps))
    others = tuple(stamp for stamp in stamped if _compact(stamp) != _FIRST)
    return Variant(
        finish=finish,
        edition=Edition.FIRST if len(others) < len(stamped) else None,
        stamps=others,
        subtype="" if subtype == "unlimited" else plain_text(subtype),
        foil=plain_text(foil) or (kind if kind in {"metal", "lenticular"} else ""),
        jumbo=size == "jumbo",
        languages=tuple(languages),
        tcgplayer=tcgplayer,
        cardmarket=cardmarket,
    )


def with_editions(variants: Iterable[Variant | None]) -> tuple[Variant, ...]:
    """Return the variants of one printing, each once; () when one of them is of an unknown kind.

    Where one is of the first edition, the others without a stamp are unlimited.
    """
    known: list[Variant] = []
    for variant in variants:
        if variant is None:
            return ()
        known.append(variant)
    if any(variant.edition is Edition.FIRST for variant in known):
        known = [
            msgspec.structs.replace(variant, edition=Edition.UNLIMITED)
            if variant.edition is None and not variant.stamps
            else variant
            for variant in known
        ]
    return tuple(dict.fromkeys(known))


def variants_of_flags(flags: dict[str, bool]) -> tuple[Variant, ...]:
    """Return the variants that TCGdex's flags name; () when they name no surface.

    The flag of the first edition does not say of which surface: it is given to each but reverse.
    """
    found: list[Variant | None] = []
    for kind in ("normal", "holo", "reverse"):
        if not flags.get(kind):
            continue
        found.append(variant_of(kind=kind))
        if flags.get("firstEdition") and kind != "reverse":
            found.append(variant_of(kind=kind, stamps=["1st-edition"]))
    if flags.get("wPromo"):
        found.append(variant_of(kind="normal", stamps=["w-promo"]))
    return with_editions(found)


def _compact(text: str) -> str:
    return "".join(letter for letter in text.casefold() if letter.isalnum())

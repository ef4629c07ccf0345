"""TCGdex's source database, converted to JSON: one file a set, names in all languages."""

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Struct

from cardmint_contracts.catalogue import CatalogueSet, Printing, Region, SourceIds, Variant
from cardmint_contracts.wire import convert
from cardmint_edge.domain.catalogue.assembly import (
    Warn,
    assemble,
    catalogue_set_id,
    copyright_year,
    each_number_once,
    identify,
    one_line,
    plain,
    printed_names,
    read_card,
    tcgdex_card_id,
    variant_of,
    variants_of_flags,
    with_editions,
)

ORIGIN = "tcgdex-database"
"""The kind of source, as `CatalogueSet.origin` has it."""


class DatabaseSet(Struct, frozen=True):
    """An entry of `sets.json`."""

    id: str
    region: Region
    name: dict[str, str]
    official: int = 0
    cards: int = 0
    abbreviations: dict[str, str] = {}
    serie: str = ""
    releaseDate: dict[str, str] | str | None = None  # noqa: N815 - the source's name
    thirdParty: dict[str, Any] = {}  # noqa: N815 - as above

    @property
    def released(self) -> str:
        """The first day of sale."""
        if isinstance(self.releaseDate, dict):
            return min(self.releaseDate.values(), default="")
        return self.releaseDate or ""


class _Move(Struct, frozen=True):
    name: dict[str, str] | None = None


class _Variant(Struct, frozen=True):
    type: str
    subtype: str | None = None
    size: str | None = None
    stamp: list[str] | None = None
    foil: str | None = None
    languages: list[str] | None = None
    thirdParty: dict[str, Any] | None = None  # noqa: N815 - the source's name


class _Card(Struct, frozen=True):
    name: dict[str, str]
    localId: str = ""  # noqa: N815 - the source's name
    category: str = ""
    hp: int | str | None = None
    stage: str | None = None
    illustrator: str | None = None
    rarity: str | None = None
    regulationMark: str | None = None  # noqa: N815 - as above
    attacks: list[_Move] | None = None
    abilities: list[_Move] | None = None
    variants: list[_Variant] | dict[str, bool] | None = None
    thirdParty: dict[str, Any] | None = None  # noqa: N815 - as above


def read_set(entry: DatabaseSet, cards: Iterable[msgspec.Raw], warn: Warn) -> CatalogueSet:
    """Return a set with its printings. `warn` takes a line for each card that cannot be used.

    Raises:
        msgspec.ValidationError: the set itself has values that the contract refuses.
    """
    where = f"set {entry.id} ({entry.region})"
    found = [_printing(entry, bytes(raw), where, warn) for raw in cards]
    printings = each_number_once((one for one in found if one is not None), where, warn)
    codes = one_line(entry.abbreviations)
    official = codes.pop("official", "")
    # On Asian cards the set's identifier itself stands beside the number.
    code = entry.id if entry.region is Region.ASIA else official
    return msgspec.structs.replace(
        convert(
            plain(
                {
                    "id": catalogue_set_id(entry.region, entry.id),
                    "region": entry.region.value,
                    "names": one_line(entry.name),
                    "origin": ORIGIN,
                    "printings": [],
                    "code": code,
                    "codes": codes,
                    "official": entry.official,
                    "released": entry.released,
                    "series": entry.serie,
                    "ids": _ids(entry.thirdParty, entry.id),
                }
            ),
            CatalogueSet,
        ),
        printings=printings,
    )


def _printing(entry: DatabaseSet, raw: bytes, where: str, warn: Warn) -> Printing | None:
    card = read_card(raw, _Card, where, warn)
    if card is None:
        return None
    if not card.localId:
        warn(f"{where}: skipped {next(iter(card.name.values()), '')!r}: it has no number")
        return None
    card_id, number = identify(entry.region, entry.id, card.localId)
    return assemble(
        {
            "id": card_id,
            "number": number,
            "names": printed_names(one_line(card.name), card.stage),
            "category": card.category.casefold(),
            "attacks": _names(card.attacks),
            "abilities": _names(card.abilities),
            "health": "" if card.hp is None else str(card.hp),
            "artist": card.illustrator or "",
            "rarity": card.rarity or "",
            "regulation_mark": card.regulationMark or "",
            "copyright_year": copyright_year(entry.region, entry.released, entry.official),
            "variants": _variants(card),
            "ids": _ids(card.thirdParty or {}, tcgdex_card_id(entry.id, card.localId)),
        },
        where,
        warn,
    )


def _names(moves: list[_Move] | None) -> list[dict[str, str]]:
    return [names for move in moves or [] if move.name and (names := one_line(move.name))]


def _variants(card: _Card) -> tuple[Variant, ...]:
    if isinstance(card.variants, dict):
        return variants_of_flags(card.variants)
    return with_editions(
        variant_of(
            kind=one.type,
            subtype=one.subtype or "",
            size=one.size or "",
            stamps=one.stamp or (),
            foil=one.foil or "",
            languages=one.languages or (),
            tcgplayer=_product(one.thirdParty, "tcgplayer"),
            cardmarket=_product(one.thirdParty, "cardmarket"),
        )
        for one in card.variants or ()
    )


def _ids(third_party: dict[str, Any], tcgdex: str) -> SourceIds:
    return SourceIds(
        tcgdex=tcgdex,
        tcgplayer=_product(third_party, "tcgplayer"),
        cardmarket=_product(third_party, "cardmarket"),
    )


def _product(third_party: dict[str, Any] | None, name: str) -> int | None:
    number = (third_party or {}).get(name)
    return number if type(number) is int and number > 0 else None

"""The public pokemon-tcg-data repository: `sets/en.json` and `cards/en/<set>.json`, in English."""

from collections.abc import Iterable
from datetime import UTC, datetime

import msgspec
from msgspec import Struct

from cardmint_contracts.catalogue import (
    ENGLISH,
    CatalogueSet,
    Printing,
    Region,
    SourceIds,
)
from cardmint_contracts.wire import convert
from cardmint_edge.domain.catalogue.assembly import (
    Warn,
    assemble,
    copyright_year,
    each_number_once,
    one_line,
    plain,
    read_card,
)

ORIGIN = "pokemon-tcg-data"
"""The kind of source, as `CatalogueSet.origin` has it."""


class DataSet(Struct, frozen=True):
    """An entry of `sets/en.json`."""

    id: str
    name: str = ""
    series: str = ""
    printedTotal: int | None = None  # noqa: N815 - the source's name
    ptcgoCode: str = ""  # noqa: N815 - as above
    releaseDate: str = ""  # noqa: N815 - as above
    total: int = 0
    updatedAt: str = ""  # noqa: N815 - as above

    @property
    def released(self) -> str:
        """The first day of sale, as the catalogue has it."""
        return self.releaseDate.replace("/", "-")

    @property
    def updated(self) -> datetime | None:
        """When the source last changed the set; None where it does not say so."""
        try:
            return datetime.strptime(self.updatedAt, "%Y/%m/%d %H:%M:%S").replace(tzinfo=UTC)
        except ValueError:
            return None


class _Move(Struct, frozen=True):
    name: str | None = None


class _Card(Struct, frozen=True):
    id: str
    name: str
    number: str | int = ""
    supertype: str = ""
    hp: str | int | None = None
    artist: str | None = None
    rarity: str | None = None
    regulationMark: str | None = None  # noqa: N815 - the source's name
    attacks: list[_Move] | None = None
    abilities: list[_Move] | None = None


_CATEGORIES = {"Pokémon": "pokemon", "Trainer": "trainer", "Energy": "energy"}


def read_set(entry: DataSet, cards: Iterable[msgspec.Raw], warn: Warn) -> CatalogueSet:
    """Return a set with its printings. `warn` takes a line for each card that cannot be used.

    The data says nothing about variants.

    Raises:
        msgspec.ValidationError: the set itself has values that the contract refuses.
    """
    where = f"set {entry.id}"
    found = [_printing(entry, bytes(raw), where, warn) for raw in cards]
    printings = each_number_once((one for one in found if one is not None), where, warn)
    return msgspec.structs.replace(
        convert(
            plain(
                {
                    "id": entry.id,
                    "region": Region.INTERNATIONAL.value,
                    "names": one_line({ENGLISH: entry.name}),
                    "origin": ORIGIN,
                    "printings": [],
                    # Before 2023 no code was printed beside the number.
                    "code": entry.ptcgoCode,
                    "official": entry.printedTotal or 0,
                    "released": entry.released,
                    "series": entry.series,
                    "ids": {"pokemon_tcg": entry.id},
                }
            ),
            CatalogueSet,
        ),
        printings=printings,
    )


def _printing(entry: DataSet, raw: bytes, where: str, warn: Warn) -> Printing | None:
    card = read_card(raw, _Card, where, warn)
    if card is None:
        return None
    return assemble(
        {
            "id": card.id,
            "number": str(card.number),
            "names": one_line({ENGLISH: card.name}),
            "category": _CATEGORIES.get(card.supertype, ""),
            "attacks": _names(card.attacks),
            "abilities": _names(card.abilities),
            "health": "" if card.hp is None else str(card.hp),
            "artist": card.artist or "",
            "rarity": card.rarity or "",
            "regulation_mark": card.regulationMark or "",
            "copyright_year": copyright_year(
                Region.INTERNATIONAL, entry.released, entry.printedTotal or 0
            ),
            "ids": SourceIds(pokemon_tcg=card.id),
        },
        where,
        warn,
    )


def _names(moves: list[_Move] | None) -> list[dict[str, str]]:
    return [names for move in moves or [] if (names := one_line({ENGLISH: move.name}))]

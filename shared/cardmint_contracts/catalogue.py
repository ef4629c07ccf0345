"""The catalogue: sets, their printings, and in which variants a printing exists.

A catalogue is a folder: `catalogue.json` (`CatalogueIndex`) and a file for each set
(`CatalogueSet`). `cardmint-edge catalogue fetch` writes it, stations' packs are built from it, and
the cloud imports it. Unknown fields are ignored, so that an earlier reader takes a later folder.
"""

import hashlib
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Annotated, Literal, TypeAlias

from msgspec import Meta

from cardmint_contracts.cards import Card, CardId, Edition, Finish, Language
from cardmint_contracts.errors import Invalid, LaterFormat
from cardmint_contracts.wire import Count, Downward, Instant, Line, Sha256, decode

MAX_SET_BYTES = 64 << 20
"""Greatest size of a set's file."""

MAX_INDEX_BYTES = 16 << 20

FORMAT = 1
"""Version of the folder's layout. It rises only when an earlier reader would read it wrongly."""

INDEX_FILE = "catalogue.json"
ENGLISH = "en"

Names: TypeAlias = dict[Language, Line]
"""A name by language, such as `{"en": "Charizard", "fr": "Dracaufeu"}`."""

SetId = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._!?-]{0,47}\Z")]


class Region(StrEnum):
    """Where a set is sold: Japan and Asia have sets of their own."""

    INTERNATIONAL = "international"
    ASIA = "asia"


class Variant(Downward, frozen=True):
    """One form in which a printing exists.

    `edition` is None where the printing has no first edition. `subtype` tells print runs apart
    (`shadowless`), `foil` the pattern of a foil (`cosmos`, `pokeball`). No `languages` means all of
    the printing's. `tcgplayer` and `cardmarket` are product numbers; several finishes may share
    one.
    """

    finish: Finish
    edition: Edition | None = None
    stamps: tuple[Line, ...] = ()
    subtype: Line = ""
    foil: Line = ""
    jumbo: bool = False
    languages: tuple[Language, ...] = ()
    tcgplayer: Count | None = None
    cardmarket: Count | None = None


class SourceIds(Downward, frozen=True):
    """The identifiers that others give a set or a printing; empty or None where they have none."""

    tcgdex: Line = ""
    pokemon_tcg: Line = ""
    tcgplayer: Count | None = None
    cardmarket: Count | None = None


class Printing(Downward, frozen=True):
    """One card of a set with one number.

    `names`, and those of `attacks` and `abilities`, are by language: it exists in the languages of
    `names`. No `variants` means that none are known. `copyright_year` is the year printed on the
    card where it can be derived; `image` the address of its picture without size and kind.
    """

    id: CardId
    number: Line
    names: Names
    category: Literal["pokemon", "trainer", "energy", ""] = ""
    attacks: tuple[Names, ...] = ()
    abilities: tuple[Names, ...] = ()
    health: Line = ""
    artist: Line = ""
    rarity: Line = ""
    regulation_mark: Line = ""
    copyright_year: int | None = None
    variants: tuple[Variant, ...] = ()
    ids: SourceIds = SourceIds()
    image: Line = ""


class CatalogueSet(Downward, frozen=True):
    """A set with its printings.

    `code` is the code printed beside the number (PAF, SV4a), `codes` those of languages that print
    their own. `official` is the count printed after the number, 0 where none is. `released` is the
    first day it was sold (YYYY-MM-DD), empty where unknown. `origin` is the kind of source that it
    was read from, such as `tcgdex`.
    """

    id: SetId
    region: Region
    names: Names
    printings: tuple[Printing, ...]
    code: Line = ""
    codes: dict[Language, Line] = {}  # noqa: RUF012 - msgspec copies it
    official: Count = 0
    released: Line = ""
    series: Line = ""
    ids: SourceIds = SourceIds()
    origin: Line = ""


class SetEntry(Downward, frozen=True):
    """A set's file in the folder: `sets/{region}/{id}.json`. `origin` is as in the set."""

    id: SetId
    region: Region
    printings: Count
    sha256: Sha256
    released: Line = ""
    origin: Line = ""

    @property
    def file(self) -> str:
        """The file's path in the folder."""
        return set_file(self.region, self.id)


class CatalogueIndex(Downward, frozen=True):
    """The folder's table of contents.

    `complete` is false while a fetch is under way. `made_at` is when the source was last asked.
    """

    format: int
    source: Line
    made_at: Instant
    languages: tuple[Language, ...]
    complete: bool
    sets: tuple[SetEntry, ...]


def decode_index(content: bytes) -> CatalogueIndex:
    """Read a folder's index.

    Raises:
        Oversized, Malformed, Invalid: as `wire.decode`.
        LaterFormat: an upgrade is needed to read it.
    """
    index = decode(content, CatalogueIndex, max_bytes=MAX_INDEX_BYTES)
    if index.format > FORMAT:
        raise LaterFormat(f"format {index.format}, this program reads {FORMAT}: upgrade it")
    return index


def decode_set(content: bytes, entry: SetEntry) -> CatalogueSet:
    """Read a set's file.

    Raises:
        Oversized, Malformed, Invalid: as `wire.decode`; Invalid for another file than the entry's.
    """
    if hashlib.sha256(content).hexdigest() != entry.sha256:
        raise Invalid("it is not the file that the index names")
    return decode(content, CatalogueSet, max_bytes=MAX_SET_BYTES)


def set_file(region: Region, set_id: str) -> str:
    """Return the path of a set's file in the folder."""
    return f"sets/{region}/{set_id}.json"


def name_in(names: Mapping[str, str], language: str | None) -> str:
    """Return the name in a language; else in its main one (`es` for `es-mx`), in English, in any.

    Empty without any name.
    """
    wanted = [] if language is None else [language, language.partition("-")[0]]
    for one in (*wanted, ENGLISH):
        if one in names:
            return names[one]
    return next(iter(names.values()), "")


def card_in(printing: Printing, of_set: CatalogueSet, language: str | None = None) -> Card:
    """Return a printing as events carry it, named in a language where the catalogue has it."""
    return Card(
        id=printing.id,
        name=name_in(printing.names, language),
        number=printing.number,
        set_id=of_set.id,
        set_name=name_in(of_set.names, language),
    )


def finishes_of(
    variants: Iterable[Variant],
    *,
    language: str | None = None,
    edition: Edition | None = None,
) -> tuple[Finish, ...]:
    """Return the finishes in which a card can exist, in their order; () where none are known.

    `language` and `edition` are what is known of the card. Jumbo cards fit under no camera.
    """
    possible = {
        variant.finish
        for variant in variants
        if not variant.jumbo
        and (not variant.languages or language is None or language in variant.languages)
        and edition in {None, variant.edition}
    }
    return tuple(finish for finish in Finish if finish in possible)


def editions_of(variants: Iterable[Variant]) -> tuple[Edition, ...]:
    """Return the editions in which a card can exist; () where it has none, or none is known."""
    possible = {variant.edition for variant in variants if not variant.jumbo}
    return tuple(edition for edition in Edition if edition in possible)

"""TCGdex's API: a set and its cards, one language an answer, merged into one set."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

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

ORIGIN = "tcgdex"
"""The kind of source, as `CatalogueSet.origin` has it."""

ASIAN_LANGUAGES = frozenset({"ja", "ko", "zh-tw", "zh-cn", "th", "id"})
"""Languages of the Asian sets; all others have the international ones."""


_ApiId = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._!?%-]{0,63}\Z")]
"""An identifier of TCGdex: it becomes part of addresses and file names."""


class ApiSetBrief(Struct, frozen=True):
    """An entry of the list of sets."""

    id: _ApiId
    name: str = ""


class ApiCardBrief(Struct, frozen=True):
    """A card in the answer about a set."""

    id: _ApiId
    localId: str | int = ""  # noqa: N815 - the source's name
    name: str = ""
    image: str | None = None


class _CardCount(Struct, frozen=True):
    official: int = 0
    total: int | None = None


class _Abbreviation(Struct, frozen=True):
    official: str | None = None
    normal: str | None = None


class _Serie(Struct, frozen=True):
    id: str = ""


class _SetFacts(Struct, frozen=True, kw_only=True):
    cardCount: _CardCount = _CardCount()  # noqa: N815 - the source's name
    releaseDate: str | None = None  # noqa: N815 - as above
    serie: _Serie = _Serie()
    abbreviation: _Abbreviation | None = None


_FACTS = frozenset(_SetFacts.__struct_fields__)


class ApiSet(_SetFacts, frozen=True, kw_only=True):
    """The answer about a set."""

    id: _ApiId
    name: str
    cards: tuple[ApiCardBrief, ...] = ()

    @property
    def lacking(self) -> int:
        """How many cards the source counts and does not list."""
        total = self.cardCount.total
        if total is None:  # A set without any card, of which some are counted, is not all there.
            total = 0 if self.cards else self.cardCount.official
        return max(0, total - len(self.cards))


class _Move(Struct, frozen=True):
    name: str | None = None


class _Variant(Struct, frozen=True):
    type: str
    subtype: str | None = None
    size: str | None = None
    stamp: list[str] | None = None
    foil: str | None = None
    languages: list[str] | None = None
    thirdParty: dict[str, Any] | None = None  # noqa: N815 - the source's name


class ApiCard(Struct, frozen=True, omit_defaults=True):
    """The answer about a card, as far as the catalogue keeps it."""

    id: str
    name: str
    category: str = ""
    stage: str | None = None
    hp: int | str | None = None
    illustrator: str | None = None
    rarity: str | None = None
    regulationMark: str | None = None  # noqa: N815 - the source's name
    attacks: list[_Move] | None = None
    abilities: list[_Move] | None = None
    variants: list[_Variant] | dict[str, bool] | None = None
    image: str | None = None
    updated: str | None = None


_NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def read_list(entries: Iterable[msgspec.Raw], where: str, warn: Warn) -> tuple[ApiSetBrief, ...]:
    """Return the entries of a list of sets. `warn` takes a line for each that cannot be used."""
    found = (read_card(bytes(raw), ApiSetBrief, where, warn, "set") for raw in entries)
    return tuple(one for one in found if one is not None)


def read_api_set(raw: bytes, where: str, warn: Warn) -> ApiSet | None:
    """Return the answer about a set; None, and a line, when it is none.

    A card or a fact of it that has another shape is left out with a line.
    """
    try:
        values = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
        listed = msgspec.json.decode(values.pop("cards", b"[]"), type=tuple[msgspec.Raw, ...])
        main = {key: values.pop(key, None) for key in ("id", "name")}
        of_set = msgspec.json.decode(msgspec.json.encode(main), type=ApiSet)
    except _NOT_JSON as error:
        warn(f"{where}: skipped: not an answer about a set ({error})")
        return None
    for key in _FACTS & values.keys():
        try:
            one = msgspec.json.decode(b'{"%s":%s}' % (key.encode(), values[key]), type=_SetFacts)
        except _NOT_JSON as error:
            warn(f"{where}: {key} is left out: {error}")
        else:
            of_set = msgspec.structs.replace(of_set, **{key: getattr(one, key)})
    found = (read_card(bytes(card), ApiCardBrief, where, warn) for card in listed)
    return msgspec.structs.replace(of_set, cards=tuple(one for one in found if one is not None))


class LanguageAnswers(Struct, frozen=True):
    """What the API answered about a set in one language. `cards` may lack some of its cards."""

    of_set: ApiSet
    cards: Mapping[str, ApiCard]


def region_of(language: str) -> Region:
    """Return the region whose sets a language has."""
    return Region.ASIA if language in ASIAN_LANGUAGES else Region.INTERNATIONAL


def merge(answers: Sequence[tuple[str, LanguageAnswers]], warn: Warn) -> CatalogueSet:
    """Return the set that the answers in one or more languages of one region describe.

    Facts are those of the first language that has them. `warn` takes a line for each card that
    cannot be used.

    Raises:
        msgspec.ValidationError: the set itself has values that the contract refuses.
    """
    language, first = answers[0]
    region, main = region_of(language), first.of_set
    where = f"set {main.id} ({region})"
    briefs: dict[str, list[tuple[str, ApiCardBrief]]] = {}
    for one, answer in answers:
        for brief in answer.of_set.cards:
            briefs.setdefault(brief.id, []).append((one, brief))
    found = []
    for card_id, named in briefs.items():
        cards = [(one, answer.cards[card_id]) for one, answer in answers if card_id in answer.cards]
        if not cards:
            warn(f"{where}: skipped card {card_id[:80]!r}: the answer about it is missing")
            continue
        found.append(_printing(main, named, cards, where, warn))
    printings = each_number_once((one for one in found if one is not None), where, warn)
    codes = {
        one: answer.of_set.abbreviation.normal or answer.of_set.abbreviation.official
        for one, answer in answers
        if answer.of_set.abbreviation is not None
    }
    official = main.abbreviation.official if main.abbreviation else None
    return msgspec.structs.replace(
        convert(
            plain(
                {
                    "id": catalogue_set_id(region, main.id),
                    "region": region.value,
                    "names": one_line({one: answer.of_set.name for one, answer in answers}),
                    "origin": ORIGIN,
                    "printings": [],
                    "code": main.id if region is Region.ASIA else official or "",
                    "codes": {
                        one: code for one, code in codes.items() if code and code != official
                    },
                    "official": main.cardCount.official,
                    "released": main.releaseDate or "",
                    "series": main.serie.id,
                    "ids": SourceIds(tcgdex=main.id),
                }
            ),
            CatalogueSet,
        ),
        printings=printings,
    )


def _printing(
    of_set: ApiSet,
    named: list[tuple[str, ApiCardBrief]],
    cards: list[tuple[str, ApiCard]],
    where: str,
    warn: Warn,
) -> Printing | None:
    region = region_of(named[0][0])
    brief, card = named[0][1], cards[0][1]
    local_id = str(brief.localId)
    if not local_id:
        warn(f"{where}: skipped card {brief.id[:80]!r}: it has no number")
        return None
    card_id, number = identify(region, of_set.id, local_id)
    names = one_line({language: one.name for language, one in named})
    released, official = of_set.releaseDate or "", of_set.cardCount.official
    return assemble(
        {
            "id": card_id,
            "number": number,
            "names": printed_names(names, card.stage),
            "category": _CATEGORIES.get(card.category.casefold(), ""),
            "attacks": _moves((language, one.attacks) for language, one in cards),
            "abilities": _moves((language, one.abilities) for language, one in cards),
            "health": "" if card.hp is None else str(card.hp),
            "artist": card.illustrator or "",
            "rarity": card.rarity or "",
            "regulation_mark": card.regulationMark or "",
            "copyright_year": copyright_year(region, released, official),
            "variants": _variants(card),
            "ids": SourceIds(tcgdex=tcgdex_card_id(of_set.id, local_id)),
            "image": card.image or brief.image or "",
        },
        where,
        warn,
    )


_CATEGORIES = {
    "pokemon": "pokemon",
    "pokémon": "pokemon",
    "trainer": "trainer",
    "energy": "energy",
}


def _moves(by_language: Iterable[tuple[str, list[_Move] | None]]) -> list[dict[str, str]]:
    """Return the names by place; a language with another number of them is left out."""
    found: list[dict[str, str]] | None = None
    for language, moves in by_language:
        named = [move.name or "" for move in moves or []]
        if found is None:
            found = [{} for _ in named]
        if len(named) == len(found):
            for names, name in zip(found, named, strict=True):
                names[language] = name
    return [names for one in found or [] if (names := one_line(one))]


def _variants(card: ApiCard) -> tuple[Variant, ...]:
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
        )
        for one in card.variants or ()
    )

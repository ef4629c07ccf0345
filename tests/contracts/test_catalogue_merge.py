"""What a later reading of a set keeps of an earlier one."""

from msgspec.structs import replace

from cardmint_contracts.cards import Finish
from cardmint_contracts.catalogue import CatalogueSet, Printing, Region, SourceIds, Variant
from cardmint_contracts.catalogue_merge import with_known

WICK = Printing(
    id="lan1-1",
    number="1",
    names={"en": "Wick", "fr": "Mèche"},
    attacks=({"en": "Glow", "fr": "Lueur"},),
    abilities=({"en": "Calm", "fr": "Calme"}, {"en": "Bright"}),
    ids=SourceIds(tcgdex="lan1-001"),
)
MOTH = Printing(id="lan1-2", number="2", names={"en": "Moth"}, ids=SourceIds(pokemon_tcg="lan1-2"))
LANTERNS = CatalogueSet(
    id="lan1",
    region=Region.INTERNATIONAL,
    names={"en": "Lanterns", "fr": "Lanternes"},
    printings=(WICK, MOTH),
)


def later(*printings: Printing) -> CatalogueSet:
    return CatalogueSet(
        id="lan1", region=Region.INTERNATIONAL, names={"en": "Lights"}, printings=printings
    )


def test_printings_and_names_that_are_missing_are_kept() -> None:
    now = Printing(
        id="lan1-1",
        number="1",
        names={"en": "Wicks"},
        attacks=({"en": "Glows"},),
        abilities=({"en": "Calm"},),
    )
    merged = with_known(later(now), LANTERNS)
    assert merged.of_set.names == {"en": "Lights", "fr": "Lanternes"}
    wick, moth = merged.of_set.printings
    assert (wick.names, wick.attacks) == (
        {"en": "Wicks", "fr": "Mèche"}, ({"en": "Glows", "fr": "Lueur"},),
    )  # fmt: skip
    assert wick.abilities == ({"en": "Calm"},), "another number of abilities says nothing of places"
    assert moth == MOTH
    assert merged.kept == ("lan1-2",)
    assert merged.languages == {"fr"}


def test_facts_that_are_empty_later_stay_as_they_were() -> None:
    known = replace(
        LANTERNS,
        code="LAN",
        codes={"fr": "LNT"},
        official=40,
        ids=SourceIds(tcgdex="lan1", tcgplayer=7),
        printings=(
            replace(
                WICK, artist="A. Painter", health="60", variants=(Variant(finish=Finish.HOLO),)
            ),
        ),
    )
    now = Printing(id="lan1-1", number="1", names={"en": "Wick"}, health="70")
    given = replace(later(now), official=41, ids=SourceIds(pokemon_tcg="lan1"))
    merged = with_known(given, known).of_set
    assert (merged.code, merged.codes, merged.official) == ("LAN", {"fr": "LNT"}, 41)
    assert merged.ids == SourceIds(tcgdex="lan1", pokemon_tcg="lan1", tcgplayer=7)
    wick = merged.printings[0]
    assert (wick.health, wick.artist, wick.ids) == ("70", "A. Painter", WICK.ids)
    assert (wick.attacks, wick.abilities) == (WICK.attacks, WICK.abilities)
    assert wick.variants == (Variant(finish=Finish.HOLO),)


def test_what_is_whole_is_the_later_reading() -> None:
    merged = with_known(LANTERNS, later())
    assert (merged.of_set, merged.kept, merged.languages) == (LANTERNS, (), frozenset())
    again = with_known(LANTERNS, LANTERNS)
    assert (again.of_set, again.kept, again.languages) == (LANTERNS, (), frozenset())


def test_a_printing_with_another_identifier_now_is_not_kept_beside_itself() -> None:
    moved = Printing(id="lan1-1a", number="1a", names=WICK.names, ids=WICK.ids)
    merged = with_known(later(moved, MOTH), LANTERNS)
    assert merged.of_set.printings == (moved, MOTH)
    assert merged.kept == ()

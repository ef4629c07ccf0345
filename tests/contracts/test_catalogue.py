"""The catalogue's model: names by language, what variants allow, bridged identifiers."""

import pytest

from cardmint_contracts.cards import Card, Edition, Finish
from cardmint_contracts.catalogue import (
    CatalogueSet,
    Printing,
    Region,
    SetEntry,
    Variant,
    card_in,
    editions_of,
    finishes_of,
    name_in,
)
from cardmint_contracts.set_bridge import (
    asian_set,
    plain_number,
    pokemon_tcg_id,
    pokemon_tcg_set,
    tcgdex_id,
    tcgdex_set,
)
from cardmint_contracts.wire import decode, encode

NAMES = {"ja": "リザードン", "en": "Charizard", "fr": "Dracaufeu", "es": "Charizard (es)"}


@pytest.mark.parametrize(
    ("language", "name"),
    [
        ("fr", "Dracaufeu"),
        ("es-mx", "Charizard (es)"),
        ("de", "Charizard"),
        (None, "Charizard"),
        ("ja", "リザードン"),
    ],
)
def test_a_name_falls_back_to_the_main_language_then_to_english(
    language: str | None, name: str
) -> None:
    assert name_in(NAMES, language) == name


def test_a_printing_without_an_english_name_has_another_and_one_without_any_none() -> None:
    assert name_in({"ja": "リザードン", "th": "ลิซาร์ดอน"}, "ko") == "リザードン"
    assert name_in({}, "en") == ""


def test_a_card_is_named_in_the_language_with_its_set() -> None:
    printing = Printing(id="base1-4", number="4", names=NAMES)
    base = CatalogueSet(
        id="base1",
        region=Region.INTERNATIONAL,
        names={"en": "Base Set", "fr": "Set de Base"},
        printings=(printing,),
    )
    assert card_in(printing, base, "fr") == Card(
        id="base1-4", name="Dracaufeu", number="4", set_id="base1", set_name="Set de Base"
    )
    assert card_in(printing, base).set_name == "Base Set"
    assert decode(encode(base), CatalogueSet) == base


def test_finishes_are_those_of_the_language_and_edition_and_never_of_a_jumbo_card() -> None:
    variants = (
        Variant(finish=Finish.REVERSE_HOLO, languages=("de",)),
        Variant(finish=Finish.NORMAL, edition=Edition.UNLIMITED),
        Variant(finish=Finish.HOLO, edition=Edition.FIRST),
        Variant(finish=Finish.HOLO, jumbo=True),
    )
    assert finishes_of(variants) == (Finish.NORMAL, Finish.HOLO, Finish.REVERSE_HOLO)
    assert finishes_of(variants, language="fr") == (Finish.NORMAL, Finish.HOLO)
    assert finishes_of(variants, language="fr", edition=Edition.FIRST) == (Finish.HOLO,)
    assert editions_of(variants) == (Edition.UNLIMITED, Edition.FIRST)
    assert finishes_of(()) == ()
    assert editions_of(variants[:1]) == ()


def test_a_sets_file_lies_by_region() -> None:
    entry = SetEntry(id="SM10", region=Region.ASIA, printings=1, sha256="0" * 64)
    assert entry.file == "sets/asia/SM10.json"


@pytest.mark.parametrize(
    ("set_id", "local_id", "ours"),
    [
        ("base1", "4", "base1-4"),
        ("sv04.5", "007", "sv4pt5-7"),
        ("me03", "084", "me3-84"),
        ("swsh10.5", "011", "pgo-11"),
        ("swsh12.5gg", "GG28", "swsh12pt5gg-GG28"),
        ("ecard2", "H09", "ecard2-H9"),
        ("ecard2", "50a", "ecard2-50"),
        ("ecard2", "50b", "ecard2-50b"),
        ("bwp", "BW04", "bwp-BW004"),
        ("cel25cc", "CC003", "cel25c-15_A1"),
        ("exu", "%3F", "ex10-?"),
        ("new9", "000", "new9-0"),
    ],
)
def test_a_card_of_tcgdex_has_the_identifier_of_pokemon_tcg_data(
    set_id: str, local_id: str, ours: str
) -> None:
    assert pokemon_tcg_id(set_id, local_id) == ours


def test_sets_are_bridged_both_ways() -> None:
    for theirs, ours in (("sv10.5b", "zsv10pt5"), ("me02.5", "me2pt5"), ("base1", "base1")):
        assert (pokemon_tcg_set(theirs), tcgdex_set(ours)) == (ours, theirs)
    assert tcgdex_id("bwp-BW004") == "bwp-BW04"
    assert tcgdex_id("me3-84") == "me03-084"


def test_an_asian_namesake_has_an_identifier_of_its_own() -> None:
    assert (asian_set("neo1"), asian_set("SV4a")) == ("neo1-asia", "SV4a")
    assert plain_number("", "001") == "1"

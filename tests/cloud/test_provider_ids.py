"""What providers call the catalogue's sets and cards."""

import json
from pathlib import Path

import pytest

from cardmint_cloud.domain import provider_ids
from cardmint_contracts.cards import Card
from cardmint_contracts.set_bridge import tcgdex_set


def card(card_id: str, number: str = "", set_name: str = "", set_id: str = "") -> Card:
    return Card(id=card_id, name="X", number=number, set_name=set_name, set_id=set_id)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("base1-4", "base1-4"),
        ("base6-1", "lc-1"),
        ("sv1-1", "sv01-001"),
        ("sv3pt5-199", "sv03.5-199"),
        ("sv10-7", "sv10-007"),
        ("zsv10pt5-34", "sv10.5b-034"),
        ("pgo-11", "swsh10.5-011"),
        ("me1-21", "me01-021"),
        ("me2pt5-3", "me02.5-003"),
        ("svp-1", "svp-001"),
        ("swsh3-136", "swsh3-136"),
        ("swsh9-1", "swsh9-001"),
        ("swsh9tg-TG01", "swsh9tg-TG01"),
        ("swshp-SWSH001", "swshp-SWSH001"),
        ("ex10-?", "exu-?"),
        ("cel25c-15_A1", "cel25cc-CC003"),
        ("tk1a-3", "tk-ex-latia-3"),
        ("mcd19-12", "2019sm-12"),
        ("fic1-7", "fic1-7"),
    ],
)
def test_tcgdex_pads_new_sets_and_names_some_otherwise(ours: str, theirs: str) -> None:
    assert provider_ids.tcgdex_id(card(ours)) == theirs


def test_a_set_and_a_number_are_in_the_identifier_when_the_station_did_not_name_them() -> None:
    assert provider_ids.set_of(card("swsh9tg-TG01")) == "swsh9tg"
    assert provider_ids.number_of(card("swsh9tg-TG01")) == "TG01"
    assert (
        provider_ids.set_of(card("x-1", set_id="base1")),
        provider_ids.number_of(card("x-1", "004/102")),
    ) == (
        "base1",
        "004",
    )


def test_numbers_are_the_same_but_for_totals_and_zeros() -> None:
    assert provider_ids.same_number("004/102", "4")
    assert provider_ids.same_number("TG12/TG30", "tg12")
    assert not provider_ids.same_number("14", "4")
    assert not provider_ids.same_number("0", "")


def test_names_are_the_same_however_they_are_spelt() -> None:
    assert provider_ids.normalised_name("Pokémon GO") == provider_ids.normalised_name("pokemon go")
    assert provider_ids.normalised_name("Scarlet & Violet—151") == provider_ids.normalised_name(
        "Scarlet and Violet 151"
    )
    assert provider_ids.normalised_name("Mew ex") != provider_ids.normalised_name("Mewtwo ex")


def test_pricecharting_files_sets_under_consoles() -> None:
    assert (
        provider_ids.pricecharting_console(card("base1-4", set_name="Base")) == "Pokemon Base Set"
    )
    assert (
        provider_ids.pricecharting_console(card("neo1-4", set_name="Neo Genesis"))
        == "Pokemon Neo Genesis"
    )
    assert (
        provider_ids.pricecharting_console(card("svp-4", set_name="SVP Black Star Promos"))
        == "Pokemon Promo"
    )


@pytest.mark.data
def test_every_set_of_the_catalogue_is_bridged(real_data: Path) -> None:
    sets = json.loads((real_data / "catalogue" / "sets" / "en.json").read_text())
    assert len(sets) == 172
    ids = [one["id"] for one in sets]
    theirs = {set_id: tcgdex_set(set_id) for set_id in ids}
    assert len(set(theirs.values())) == 172  # No two sets become one.
    assert all(name == name.lower() and "pt" not in name for name in theirs.values())
    groups = {set_id: provider_ids.tcgplayer_groups(set_id) for set_id in ids}
    # The five cards of the futsal collection are among TCGplayer's miscellaneous ones, whose
    # numbers clash.
    assert [set_id for set_id, found in groups.items() if not found] == ["fut20"]
    shared: dict[int, list[str]] = {}
    for set_id, found in groups.items():
        for group in found:
            shared.setdefault(group, []).append(set_id)
    # A trainer kit's two decks are one group; the name tells its cards apart.
    assert [names for names in shared.values() if len(names) > 1] == [
        ["tk1a", "tk1b"],
        ["tk2a", "tk2b"],
    ]


@pytest.mark.data
def test_every_card_of_the_catalogue_has_one_name_at_each_provider(real_data: Path) -> None:
    seen: dict[str, str] = {}
    for file in sorted((real_data / "catalogue" / "cards" / "en").glob("*.json")):
        for one in json.loads(file.read_text()):
            theirs = provider_ids.tcgdex_id(card(one["id"], one["number"]))
            assert theirs not in seen, (theirs, one["id"], seen[theirs])
            seen[theirs] = one["id"]
    assert len(seen) > 20_000

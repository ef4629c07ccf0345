"""Sources of the catalogue: their shapes become sets, and what cannot be used is said."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cardmint_contracts.cards import Edition, Finish
from cardmint_contracts.catalogue import (
    CatalogueIndex,
    CatalogueSet,
    Printing,
    Region,
    SourceIds,
    Variant,
)
from cardmint_contracts.set_bridge import tcgdex_id
from cardmint_contracts.wire import decode
from cardmint_edge.adapters.catalogue_folder import (
    open_catalogue,
    read_index,
    write_index,
    write_set,
)
from cardmint_edge.domain.catalogue import pokemon_tcg_data, tcgdex_api, tcgdex_database
from cardmint_edge.domain.catalogue.assembly import variants_of_flags
from cardmint_edge.domain.catalogue.bridge import compare
from cardmint_edge.errors import Stop

PINECO = {
    "localId": "001",
    "name": {"en": "Pineco", "fr": "Pomdepik"},
    "category": "Pokemon",
    "hp": 70,
    "illustrator": "Kouki Saitou",
    "rarity": "Common",
    "regulationMark": "G",
    "attacks": [{"cost": ["Grass"], "name": {"en": "Rollout", "fr": "Roulade"}, "damage": 30}, {}],
    "abilities": [{"name": {"en": "Calm"}}],
    "variants": [
        {"type": "normal", "thirdParty": {"cardmarket": 751527, "tcgplayer": 534132}},
        {"type": "reverse", "foil": "pokeball", "thirdParty": {"tcgplayer": 0}},
        {"type": "holo", "size": "jumbo", "stamp": ["staff"], "languages": ["de"]},
    ],
    "thirdParty": {"tcgplayer": 534132},
}
PALDEAN = {
    "id": "sv04.5",
    "region": "international",
    "name": {"en": "Paldean Fates", "fr": "Destinées de Paldea"},
    "abbreviations": {"official": "PAF", "fr": "DDP"},
    "official": 91,
    "serie": "sv",
    "releaseDate": "2024-01-26",
    "thirdParty": {"cardmarket": 5546, "tcgplayer": 23353},
}


def raws(*cards: Any) -> list[msgspec.Raw]:
    return [msgspec.Raw(json.dumps(card).encode()) for card in cards]


def database_set(entry: dict[str, Any], *cards: Any) -> tuple[CatalogueSet, list[str]]:
    said: list[str] = []
    of_set = msgspec.convert(entry, tcgdex_database.DatabaseSet)
    return tcgdex_database.read_set(of_set, raws(*cards), said.append), said


def test_a_card_of_the_database_has_all_of_the_model() -> None:
    paldean, said = database_set(PALDEAN, PINECO)
    assert said == []
    assert (paldean.id, paldean.code, paldean.codes, paldean.official) == (
        "sv4pt5", "PAF", {"fr": "DDP"}, 91,
    )  # fmt: skip
    assert paldean.printings == (
        Printing(
            id="sv4pt5-1",
            number="1",
            names={"en": "Pineco", "fr": "Pomdepik"},
            category="pokemon",
            attacks=({"en": "Rollout", "fr": "Roulade"},),
            abilities=({"en": "Calm"},),
            health="70",
            artist="Kouki Saitou",
            rarity="Common",
            regulation_mark="G",
            copyright_year=2024,
            variants=(
                Variant(finish=Finish.NORMAL, tcgplayer=534132, cardmarket=751527),
                Variant(finish=Finish.REVERSE_HOLO, foil="pokeball"),
                Variant(finish=Finish.HOLO, jumbo=True, stamps=("staff",), languages=("de",)),
            ),
            ids=SourceIds(tcgdex="sv04.5-001", tcgplayer=534132),
        ),
    )


def test_an_asian_set_prints_its_identifier_and_has_its_first_day_of_sale() -> None:
    entry = {
        "id": "SV4a",
        "region": "asia",
        "name": {"ja": "シャイニートレジャー", "th": "ไชนี"},
        "official": 190,
        "releaseDate": {"ja": "2023-12-01", "th": "2024-01-26"},
    }
    asian, said = database_set(entry, {"localId": "001", "name": {"ja": "リザード\n"}})
    assert said == []
    assert (asian.id, asian.code, asian.released) == ("SV4a", "SV4a", "2023-12-01")
    assert asian.printings[0].names == {"ja": "リザード"}
    assert asian.printings[0].copyright_year is None
    assert (asian.printings[0].id, asian.printings[0].number) == ("SV4a-1", "1")


def test_first_editions_make_the_others_unlimited_and_an_unknown_surface_makes_nothing_sure() -> (
    None
):
    old = {"localId": "4", "name": {"en": "Old"}}
    kinds = [
        {"type": "holo", "subtype": "unlimited"},
        {"type": "holo", "subtype": "shadowless", "stamp": ["1st edition"]},
        {"type": "holo", "stamp": ["winner"]},
        {"type": "metal"},
    ]
    old_set, _ = database_set(
        {"id": "base1", "region": "international", "name": {"en": "Base"}},
        {**old, "variants": kinds},
        {**old, "localId": "5", "variants": [*kinds, {"type": "plastic"}]},
        {**old, "localId": "6", "variants": {"normal": True, "firstEdition": True, "holo": False}},
        {**old, "localId": "7", "stage": "LEVEL-UP"},
        {"localId": "8", "name": {"en": "Old Star"}, "stage": "Basic"},
        {"localId": "9", "name": {"en": "Falling Star"}, "category": "Trainer"},
    )
    first, unknown, flags, level_up, star, trainer = old_set.printings
    assert first.variants == (
        Variant(finish=Finish.HOLO, edition=Edition.UNLIMITED),
        Variant(finish=Finish.HOLO, edition=Edition.FIRST, subtype="shadowless"),
        Variant(finish=Finish.HOLO, stamps=("winner",)),
        Variant(finish=Finish.HOLO, edition=Edition.UNLIMITED, foil="metal"),
    )
    assert unknown.variants == ()
    assert flags.variants == (
        Variant(finish=Finish.NORMAL, edition=Edition.UNLIMITED),
        Variant(finish=Finish.NORMAL, edition=Edition.FIRST),
    )
    assert level_up.names == {"en": "Old LV.X"}
    assert (star.names, trainer.names) == ({"en": "Old ★"}, {"en": "Falling Star"})
    assert old_set.released == ""
    assert variants_of_flags({"wPromo": True})[0].stamps == ("w-promo",)
    assert variants_of_flags({"reverse": True, "firstEdition": True}) == (
        Variant(finish=Finish.REVERSE_HOLO),
    )


def test_a_card_without_a_number_a_second_with_one_number_and_odd_shapes_are_one_line_each() -> (
    None
):
    kept, said = database_set(
        PALDEAN,
        PINECO,
        {"name": {"en": "Numberless"}},
        {**PINECO, "name": {"en": "Second"}},
        {"localId": "3", "name": "no languages"},
        {"localId": "4 ü", "name": {"en": "Odd number"}},
        ["no card"],
    )
    assert [printing.id for printing in kept.printings] == ["sv4pt5-1"]
    assert len(said) == 5
    assert any("'Numberless': it has no number" in line for line in said)
    assert any("'1' ('Second' after 'Pineco')" in line for line in said)
    assert any("card '3'" in line for line in said)
    assert any("an entry that is no card" in line for line in said)


def test_texts_are_in_one_line_without_what_is_invisible_and_a_card_has_a_name() -> None:
    kept, said = database_set(
        {**PALDEAN, "name": {"en": "Paldean\u202e Fates"}, "serie": "s\u200bv"},
        {**PINECO, "name": {"en": "\u202ePine\tco\u2028 \u200b", "fr": "\u200e"},
         "illustrator": "Kouki\ufeff  Saitou\x07", "rarity": "Com\u00admon",
         "attacks": [{"name": {"en": "Roll\u2066out"}}], "abilities": None,
         "variants": [{"type": "normal", "stamp": ["st\u061caff"], "foil": " cosmos "}]},
        {"localId": "2", "name": {}},
        {"localId": "3", "name": {"en": "\u202e \u200b"}},
        {"localId": "4", "name": {"th": "ก\u200dข"}},
    )  # fmt: skip
    pineco, thai = kept.printings
    assert (kept.names, kept.series) == ({"en": "Paldean Fates"}, "sv")
    assert pineco.names == {"en": "Pine co"}
    assert (pineco.artist, pineco.rarity) == ("Kouki Saitou", "Common")
    assert pineco.attacks == ({"en": "Rollout"},)
    assert (pineco.variants[0].stamps, pineco.variants[0].foil) == (("staff",), "cosmos")
    assert thai.names == {"th": "ก\u200dข"}, "scripts need joiners"
    assert said == [
        f"set sv04.5 (international): skipped card 'sv4pt5-{number}': it has no name"
        for number in (2, 3)
    ]


def test_a_card_that_is_not_text_is_one_line() -> None:
    said: list[str] = []
    of_set = msgspec.convert(PALDEAN, tcgdex_database.DatabaseSet)
    cards = [msgspec.Raw(b'{"localId": "\xff", "name": {}}')]
    assert tcgdex_database.read_set(of_set, cards, said.append).printings == ()
    assert len(said) == 1
    assert "a card that is not JSON" in said[0]


def test_pokemon_tcg_data_gives_english_names_and_no_variants() -> None:
    said: list[str] = []
    base = msgspec.convert(
        {"id": "base1", "name": "Base", "printedTotal": 102, "releaseDate": "1999/01/09"},
        pokemon_tcg_data.DataSet,
    )
    read = pokemon_tcg_data.read_set(
        base,
        raws(
            {"id": "base1-4", "name": "Charizard", "number": "4", "supertype": "Pokémon",
             "hp": "120", "attacks": [{"name": "Fire Spin"}, {"name": None}]},
            {"id": "base1-5", "name": "Numberless"},
            {"id": "base1-6"},
            {"id": "base1-7", "name": "Figures", "number": 7, "hp": 60},
            {"id": "bad id!", "name": "X", "number": "8"},
        ),
        said.append,
    )  # fmt: skip
    assert read.released == "1999-01-09"
    assert read.printings[0] == Printing(
        id="base1-4",
        number="4",
        names={"en": "Charizard"},
        category="pokemon",
        attacks=({"en": "Fire Spin"},),
        health="120",
        ids=SourceIds(pokemon_tcg="base1-4"),
    )
    assert [one.id for one in read.printings] == ["base1-4", "base1-7"]
    assert len(said) == 3


def api_answers(language: str, name: str, *cards: dict[str, Any]) -> tuple[str, Any]:
    of_set = {
        "id": "sv04.5",
        "name": name,
        "cardCount": {"official": 91, "total": 245},
        "releaseDate": "2024-01-26",
        "abbreviation": {"official": "PAF", "normal": "DDP"} if language == "fr" else None,
        "serie": {"id": "sv"},
        "cards": [
            {"id": one["id"], "localId": one["localId"], "name": one["name"]} for one in cards
        ],
    }
    whole = {
        one["id"]: msgspec.convert(one, tcgdex_api.ApiCard) for one in cards if "category" in one
    }
    return language, tcgdex_api.LanguageAnswers(msgspec.convert(of_set, tcgdex_api.ApiSet), whole)


def test_answers_in_several_languages_become_one_set() -> None:
    said: list[str] = []
    card = {"category": "Pokemon", "illustrator": "Kouki Saitou", "hp": 70, "regulationMark": "G"}
    merged = tcgdex_api.merge(
        [
            api_answers(
                "en",
                "Paldean Fates",
                {"id": "sv04.5-001", "localId": "001", "name": "Pineco", **card,
                 "attacks": [{"name": "Rollout"}, {"name": "Press"}],
                 "variants": {"normal": True, "reverse": True}, "image": "https://x/001"},
                {"id": "sv04.5-002", "localId": 2, "name": "Unasked"},
            ),
            api_answers(
                "fr",
                "Destinées de Paldea",
                {"id": "sv04.5-001", "localId": "001", "name": "Pomdepik", **card,
                 "attacks": [{"name": "Roulade"}]},
                {"id": "sv04.5-003", "localId": "003", "name": "Seulement", **card,
                 "variants": [{"type": "holo"}]},
                {"id": "sv04.5-", "localId": "", "name": "Sans", **card},
            ),
        ],
        said.append,
    )  # fmt: skip
    assert merged.names == {"en": "Paldean Fates", "fr": "Destinées de Paldea"}
    assert (merged.code, merged.codes) == ("", {"fr": "DDP"})
    both, french = merged.printings
    assert both.names == {"en": "Pineco", "fr": "Pomdepik"}
    assert both.attacks == ({"en": "Rollout"}, {"en": "Press"})
    assert (both.image, both.ids.tcgdex) == ("https://x/001", "sv04.5-001")
    assert [one.finish for one in both.variants] == [Finish.NORMAL, Finish.REVERSE_HOLO]
    assert (french.names, french.variants) == (
        {"fr": "Seulement"},
        (Variant(finish=Finish.HOLO),),
    )
    assert len(said) == 2
    assert tcgdex_api.region_of("ja") is Region.ASIA


def index_of(folder: Path, *sets: CatalogueSet) -> CatalogueIndex:
    index = decode(
        json.dumps(
            {"format": 1, "source": "test", "made_at": "2026-11-27T12:00:00Z",
             "languages": ["en"], "complete": True, "sets": []}
        ).encode(),
        CatalogueIndex,
    )  # fmt: skip
    index = msgspec.structs.replace(index, sets=tuple(write_set(folder, one) for one in sets))
    write_index(folder, index)
    return index


def test_a_folder_gives_back_its_sets_and_says_what_is_damaged(tmp_path: Path) -> None:
    paldean, _ = database_set(PALDEAN, PINECO)
    other = msgspec.structs.replace(paldean, id="other", region=Region.ASIA)
    index = index_of(tmp_path, paldean, other)
    assert read_index(tmp_path) == index
    opened = open_catalogue(tmp_path)
    assert (opened.incomplete, opened.languages) == ("", ("en",))
    assert opened.made_at == index.made_at
    said: list[str] = []
    assert [source.read(said.append) for source in opened.sets] == [paldean, other]
    assert [source.digest for source in opened.sets] == [entry.sha256 for entry in index.sets]
    (tmp_path / "sets/asia/other.json").write_bytes(b"{")
    (tmp_path / "sets/international/sv4pt5.json").unlink()
    assert [source.read(said.append) for source in opened.sets] == [None, None]
    assert len(said) == 2
    assert "fetch` again" in said[0]
    again = write_set(tmp_path, other)
    assert again == index.sets[1], "a damaged file is written again"


def test_an_index_that_cannot_be_read_stops_in_one_line(tmp_path: Path) -> None:
    file = tmp_path / "catalogue.json"
    for content, says in (
        (b"no", "not a catalogue's index"),
        (file_of_format(9), "upgrade it"),
    ):
        file.write_bytes(content)
        with pytest.raises(Stop, match=says):
            open_catalogue(tmp_path)
    file.unlink()
    file.mkdir()
    with pytest.raises(Stop, match=r"--cards .*: it takes a folder"):
        open_catalogue(tmp_path)


def file_of_format(version: int) -> bytes:
    return json.dumps(
        {"format": version, "source": "", "made_at": "2026-11-27T12:00:00Z", "languages": [],
         "complete": True, "sets": []}
    ).encode()  # fmt: skip


def write_database(folder: Path) -> None:
    (folder / "cards" / "international").mkdir(parents=True)
    missing = {**PALDEAN, "id": "jumbo"}
    (folder / "sets.json").write_text(json.dumps([PALDEAN, missing]))
    (folder / "cards/international/sv04.5.json").write_text(json.dumps([PINECO]))


def test_a_folder_of_tcgdex_is_read_and_a_damaged_set_left_out(tmp_path: Path) -> None:
    write_database(tmp_path)
    (source,) = open_catalogue(tmp_path).sets
    said: list[str] = []
    read = source.read(said.append)
    assert read is not None
    assert read.printings[0].id == "sv4pt5-1"
    for damaged in ("[{", "[" * 100_000):
        said.clear()
        (tmp_path / "cards/international/sv04.5.json").write_text(damaged)
        assert open_catalogue(tmp_path).sets[0].read(said.append) is None
        assert len(said) == 1
    (tmp_path / "sets.json").write_text("[{}]")
    with pytest.raises(Stop, match="not TCGdex's sets"):
        open_catalogue(tmp_path)
    (tmp_path / "sets.json").write_text("[]")
    with pytest.raises(Stop, match="no cards"):
        open_catalogue(tmp_path)


def test_a_set_that_the_contract_refuses_is_left_out(tmp_path: Path) -> None:
    write_database(tmp_path)
    (tmp_path / "sets.json").write_text(json.dumps([{**PALDEAN, "official": -1}]))
    said: list[str] = []
    assert open_catalogue(tmp_path).sets[0].read(said.append) is None
    assert "set skipped" in said[0]


def test_a_folder_of_pokemon_tcg_data_is_read_and_others_are_refused(tmp_path: Path) -> None:
    cards = tmp_path / "cards" / "en"
    cards.mkdir(parents=True)
    with pytest.raises(Stop, match=r"--cards .*: it takes a folder"):
        open_catalogue(tmp_path)
    (tmp_path / "sets").mkdir()
    (tmp_path / "sets" / "en.json").write_text(json.dumps([{"id": "base1", "name": "Base"}]))
    with pytest.raises(Stop, match="no cards"):
        open_catalogue(tmp_path)
    (cards / "base1.json").write_text(json.dumps([{"id": "base1-4", "name": "C", "number": "4"}]))
    read = open_catalogue(tmp_path).sets[0].read(pytest.fail)
    assert read is not None
    assert read.names == {"en": "Base"}
    (tmp_path / "sets" / "en.json").write_text("[7]")
    with pytest.raises(Stop, match="not the sets of pokemon-tcg-data"):
        open_catalogue(tmp_path)
    (tmp_path / "sets" / "en.json").write_text("[]")
    (cards / "base1.json").unlink()
    (cards / "base1.json").mkdir()
    with pytest.raises(Stop, match=r"--cards .*: it takes a folder"):
        open_catalogue(tmp_path)


def test_the_bridge_lists_what_it_could_not_map() -> None:
    ours, _ = database_set(
        PALDEAN,
        PINECO,
        {"localId": "2", "name": {"en": "Boss's Orders (Ghetsis)"}},
        {"localId": "3", "name": {"en": "Wholly other"}},
        {"localId": "4", "name": {"en": "New"}},
    )
    alone = msgspec.structs.replace(ours, id="me3", printings=())
    asian = msgspec.structs.replace(ours, region=Region.ASIA)

    def theirs(number: int, name: str) -> Printing:
        return Printing(id=f"sv4pt5-{number}", number=str(number), names={"en": name})

    known = msgspec.structs.replace(
        ours,
        printings=(
            theirs(1, "Pineco"), theirs(2, "Boss's Orders"), theirs(3, "Name"), theirs(9, "Gone"),
        ),
    )  # fmt: skip
    report = compare([ours, alone, asian], [known])
    assert (report.bridged, report.share) == (2, 0.5)
    assert report.other_name == (("sv4pt5-3", "Wholly other", "Name"),)
    assert [one.id for one in report.missing_here] == ["sv4pt5-9"]
    assert [one.id for one in report.missing_there] == ["sv4pt5-4"]
    assert [one.id for one in report.sets_missing_there] == ["me3"]
    assert compare([], []).share == 0.0


@pytest.mark.data
def test_nearly_all_cards_are_bridged_and_the_rest_are_listed(real_data: Path) -> None:
    def sets(folder: Path) -> list[CatalogueSet]:
        said: list[str] = []
        read = [source.read(said.append) for source in open_catalogue(folder).sets]
        assert len(said) <= 1, "one Asian promo comes twice in the data"
        return [one for one in read if one is not None]

    ours = sets(real_data / "tcgdex")
    report = compare(ours, sets(real_data / "catalogue"))
    assert report.share >= 0.995
    assert {"me3", "me4", "me5"} <= {one.id for one in report.sets_missing_there}
    bridged = {
        printing.ids.tcgdex: tcgdex_id(printing.id)
        for one in ours
        if one.region is Region.INTERNATIONAL
        for printing in one.printings
    }
    other = {ours_: theirs for ours_, theirs in bridged.items() if ours_ != theirs}
    assert len(other) <= 20, other
    assert sum(len(one.printings) for one in ours if one.region is Region.ASIA) >= 18_000

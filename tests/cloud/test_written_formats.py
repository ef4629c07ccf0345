"""Files for other programs: what is written is read again, and what cannot be said is left out."""

import asyncio
import csv
from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncEngine

from cardmint_cloud.adapters.card_files import format_of
from cardmint_cloud.adapters.postgres.connection import Pool, TenantDatabase, owner_connection
from cardmint_cloud.catalogue_import import import_catalogue
from cardmint_cloud.domain.item_query import ItemQuery
from cardmint_cloud.domain.written_formats import (
    EBAY,
    EBAY_GRADERS,
    EBAY_GRADES,
    WRITTEN,
    Unsaid,
)
from cardmint_cloud.file_import import import_file
from cardmint_cloud.item_export import format_file
from cardmint_cloud.item_import import import_rows
from cardmint_contracts.cards import Finish
from cardmint_contracts.catalogue import Variant
from tests.cloud.kit.cards import NOW
from tests.cloud.kit.catalogue import BASE, write_catalogue
from tests.cloud.kit.cli import run_command

TODAY = date(2026, 11, 28)
LINE = {
    "card_id": "base1-4",
    "name": "Charizard",
    "number": "4/102",
    "set_id": "base1",
    "set_name": "Base Set",
    "language": "en",
    "finish": "holo",
    "edition": "",
    "condition": "near_mint",
    "grader": "",
    "grade": "",
    "certificate": "",
    "lot": "=Box",
    "note": "",
    "paid_minor": "1250",
    "paid_currency": "USD",
    "minor": "310",
    "count": "2",
    "currency": "USD",
    "code": "BS",
    "official": "102",
    "cardmarket": "273699",
}


def written(form_name: str, /, **more: str) -> dict[str, str]:
    form = WRITTEN[form_name]
    return dict(zip(form.header(TODAY), form.cells(LINE | more), strict=True))


def test_a_line_has_the_columns_that_the_other_program_has() -> None:
    collectr = written("collectr", grader="PSA", grade="10")
    assert (collectr["Portfolio Name"], collectr["Card Number"]) == ("'=Box", "4/102")
    assert (collectr["Variance"], collectr["Grade"]) == ("Holofoil", "PSA 10")
    assert collectr["Market Price (As of 2026-11-28)"] == "3.10"
    assert written("pokecollector") == {
        "set_code": "BS",
        "number": "4",
        "quantity": "2",
        "condition": "NM",
        "variant": "Holofoil",
        "lang": "en",
    }
    cardmarket = written("cardmarket-stock", currency="EUR", finish="reverse_holo")
    assert (cardmarket["idProduct"], cardmarket["price"]) == ("273699", "3.10")
    assert (cardmarket["isReverseHolo"], cardmarket["condition"]) == ("1", "2")
    charted = written("pricecharting", edition="first")
    assert charted["product-name"] == "Charizard [1st Edition Holo] #4"
    assert (charted["console-name"], charted["cost-basis-in-pennies"]) == (
        "Pokemon Base Set",
        "1250",
    )
    ebay = written("ebay")
    assert ebay["*Title"] == "Charizard 4/102 Base Set Holofoil"
    assert ebay["CD:Card Condition - (ID: 40001)"] == "Near mint or better - (ID: 400010)"
    graded = written("ebay", grader="BGS", grade="9.5", certificate="77", name="x" * 90)
    assert (graded["*ConditionID"], graded["CD:Grade - (ID: 27502)"]) == ("2750", "275021")
    assert len(graded["*Title"]) == 80


def test_ebays_numbers_are_those_of_its_documentation() -> None:
    assert {EBAY_GRADERS[one] for one in ("PSA", "CGC", "ISA", "ARK")} == {
        *("275010", "275015", "2750110", "2750122"),
    }
    assert [EBAY_GRADES[one] for one in ("10", "6", "5.5", "5", "1")] == [
        *("275020", "275028", "275029", "2750210", "2750218"),
    ]


@pytest.mark.parametrize(
    ("name", "more", "said"),
    [
        ("collectr", {"language": "ja"}, "language is ja"),
        ("collectr", {"finish": ""}, "finish is open"),
        ("collectr", {"edition": "first"}, "edition is first"),
        ("pokecollector", {"code": ""}, "its set has no code"),
        ("pokecollector", {"grader": "PSA"}, "grader is PSA"),
        ("cardmarket-stock", {}, "no price in EUR"),
        ("cardmarket-stock", {"currency": "EUR", "cardmarket": ""}, "no single product"),
        ("cardmarket-stock", {"condition": "lightly_played"}, "condition is lightly_played"),
        ("ebay", {"condition": "damaged"}, "condition is damaged"),
        ("ebay", {"condition": ""}, "condition is open"),
        ("ebay", {"minor": "0"}, "no price in USD"),
        ("ebay", {"grader": "Who", "grade": "9"}, "eBay has no Who 9"),
        ("ebay", {"grader": "PSA", "grade": "9", "certificate": "7" * 31}, "more than 30"),
    ],
)
def test_what_a_format_cannot_say_is_refused(name: str, more: dict[str, str], said: str) -> None:
    with pytest.raises(Unsaid, match=said):
        written(name, **more)


def test_every_format_says_what_it_loses() -> None:
    for name, form in WRITTEN.items():
        assert form.name == name
        assert form.cannot
        assert set(form.says) <= {*form.keeps}
    assert EBAY.offers


PRODUCTS = replace(
    BASE,
    printings=(
        replace(BASE.printings[0], variants=(Variant(finish=Finish.HOLO, cardmarket=273699),)),
        BASE.printings[1],
    ),
)


@pytest.fixture
async def shop(pool: Pool, owner_database: str, tmp_path: Path) -> Pool:
    async with owner_connection(owner_database) as connection:
        folder = write_catalogue(tmp_path / "catalogue", PRODUCTS)
        await import_catalogue(connection, folder, warn=lambda _: None, now=NOW)
    common = {"language": "en", "condition": "NM", "card_id": "base1-4", "finish": "holo"}
    cards: list[dict[str, str]] = [
        {**common, "quantity": "3", "lot": "Box 1"},
        {**common, "condition": "LP", "note": "@crease"},
        {**common, "language": "ja"},
        {**common, "grader": "PSA", "grade": "9", "certificate": "123"},
        {**common, "stock": "sold"},
        {**common, "stock": "reserved", "lot": "Box 1"},
    ]
    rows = [(n, {"reference": f"card {n}", **one}) for n, one in enumerate(cards)]
    done = await import_rows(pool, "shop", rows, {}, user="ann", now=NOW)
    assert (done.added, done.wrong) == (8, 0), done.faults
    return pool


KEPT = {
    "collectr": ("finish", "condition", "grader", "grade", "lot", "note"),
    "pricecharting": ("finish", "grader", "grade", "certificate", "lot", "note"),
    "pokecollector": ("language", "finish", "condition"),
}
"""What a round trip keeps, besides printing and number."""


@pytest.mark.integration
@pytest.mark.parametrize("name", sorted(KEPT))
async def test_what_is_written_is_read_again(
    name: str, shop: Pool, engine: AsyncEngine, tmp_path: Path
) -> None:
    left_out: Counter[str] = Counter()
    file = tmp_path / "cards.csv"
    pieces = [
        piece
        async for piece in format_file(
            engine, "shop", ItemQuery(), WRITTEN[name], today=TODAY, left_out=left_out
        )
    ]
    file.write_bytes(b"".join(pieces))
    form = format_of(file)
    assert form is not None
    assert form.name == name
    done = await import_file(shop, "other", file, {}, user="ann", now=NOW)
    assert done.wrong == 0, done.faults
    assert done.added + sum(left_out.values()) == 7
    columns = ", ".join(("card_id", *KEPT[name]))
    statement = f"SELECT {columns} FROM items WHERE stock IN ('in-stock', 'reserved')"
    if name != "pokecollector":
        assert left_out == {"language is ja": 1}
        statement += " AND language <> 'ja'"
    else:
        assert left_out == {"grader is PSA": 1}
        statement += " AND grader = ''"
    ours = await TenantDatabase(shop, "shop").fetch(statement)
    theirs = await TenantDatabase(shop, "other").fetch(statement)
    assert Counter(map(tuple, ours)) == Counter(map(tuple, theirs))


@pytest.mark.integration
@pytest.mark.greenlets
async def test_the_command_writes_for_others(shop: Pool, database: str, tmp_path: Path) -> None:
    assert shop is not None

    async def run(*words: Any) -> tuple[int, str]:
        where = {"CARDMINT_CLOUD_DATABASE": database, "CARDMINT_CLOUD_TENANT": "shop"}
        done = await asyncio.to_thread(run_command, "inventory", *map(str, words), **where)
        return done.returncode, done.stdout + done.stderr

    file = tmp_path / "out.csv"
    code, said = await run("export", file, "--format", "cardmarket-stock", "--query", "lang:en")
    assert (code, "left out: 3 cards, no price in EUR" in said) == (0, True), said
    head = next(csv.reader(file.read_text().splitlines(), delimiter=";"))
    assert head[:2] == ["idProduct", "groupCount"]
    code, said = await run("export", tmp_path / "out.xlsx", "--format", "ebay")
    assert (code, "is .csv" in said) == (1, True), said
    code, said = await run("export", file, "--format", "shoebox")
    assert (code, "--format: there are tcgplayer, cardmarket-stock" in said) == (1, True), said

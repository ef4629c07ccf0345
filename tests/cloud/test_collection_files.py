"""Files of Cardmarket and collection apps, with the headings that they really have."""

import csv
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncEngine

from cardmint_cloud.adapters.card_files import format_of, read_rows
from cardmint_cloud.adapters.postgres.connection import Pool, TenantDatabase, owner_connection
from cardmint_cloud.catalogue_import import import_catalogue
from cardmint_cloud.domain.file_formats import FormatReader, heading, own_columns, recognised
from cardmint_cloud.domain.item_query import parse_query
from cardmint_cloud.domain.item_rows import TOLD, CardRow, RowFault, read_row
from cardmint_cloud.domain.market_formats import BY_NAME, FORMATS
from cardmint_cloud.errors import StopService
from cardmint_cloud.file_import import check_file, import_file
from cardmint_cloud.item_export import item_file
from cardmint_cloud.item_import import ImportReport, import_rows
from cardmint_contracts.cards import Condition, Edition, Finish, Money
from cardmint_contracts.catalogue import Printing, Variant
from cardmint_contracts.changes import ItemValues, Slab
from tests.cloud.kit.cards import NOW
from tests.cloud.kit.catalogue import BASE, write_catalogue

CARDMARKET = (
    "idProduct;groupCount;price;idLanguage;condition;isFoil;isSigned;isAltered;isPlayset;"
    "isReverseHolo;isFirstEd;isFullArt;isUberRare;isWithDie"
)
OLD_CARDMARKET = (
    '"idArticle";"idProduct";"English Name";"Local Name";"Exp.";"Exp. Name";"Price";"Language";'
    '"Condition";"Foil?";"Signed?";"Playset?";"Altered?";"Comments";"Amount";"onSale"'
)
PRICECHARTING = (
    "id,product-name,console-name,price-in-pennies,include-string,condition-string,sku,notes,"
    "cost-basis-in-pennies,quantity,date-entered,date-purchased,grading-company,grading-cert-id,"
    "folder"
)
COLLECTR = (
    "Portfolio Name,Category,Set,Product Name,Card Number,Rarity,Variance,Grade,Card Condition,"
    "Average Cost Paid,Quantity,Market Price (As of 2026-11-28),Price Override,Watchlist,"
    "Date Added,Notes"
)
SCANS = (
    "Quantity,Name,Simple Name,Set,Card Number,Set Code,Printing,Condition,Language,Rarity,"
    "Product ID,SKU,Price,Price Each"
)
DRAGON_SHIELD = (
    '"sep=,"\r\nFolder Name,Quantity,Trade Quantity,Card Name,Set Code,Set Name,Card Number,'
    "Condition,Printing,Language,Price Bought,Date Bought,LOW,MID,MARKET"
)
DRAGON_SHIELD_APP = (
    "Quantity, Name, CardNumber, Expansion Code, Expansion Name, PurchasePrice, Foil, Condition,"
    " Language, PurchaseDate, Single Current Price, Total Current Price"
)
HEADS = {
    "cardmarket-purchase": CARDMARKET,
    "cardmarket-old-stock": OLD_CARDMARKET,
    "pricecharting": PRICECHARTING,
    "collectr": COLLECTR,
    "pokecollector": "set_code,number,quantity,condition,variant,lang,purchase_price",
    "tcgplayer-scans": SCANS,
    "dragon-shield": DRAGON_SHIELD,
    "dragon-shield-app": DRAGON_SHIELD_APP,
}


def file_of(path: Path, head: str, *rows: str) -> Path:
    path.write_bytes("\r\n".join([head, *rows, ""]).encode())
    return path


def read(path: Path, name: str, words: Any = None) -> list[CardRow]:
    """Return the rows of a file in our words."""
    reader = FormatReader(BY_NAME[name])
    found = read_rows(path, format_of(path, name))
    return [read_row(reader.read(cells), words or {}) for _, cells in found]


@pytest.mark.parametrize("name", sorted(HEADS))
def test_a_file_is_known_by_its_columns(name: str, tmp_path: Path) -> None:
    file = file_of(tmp_path / "cards.csv", HEADS[name])
    if name.startswith("cardmarket-p"):
        with pytest.raises(StopService, match="may be cardmarket-purchase, cardmarket-stock: say"):
            format_of(file)
        assert format_of(file, "cardmarket-stock") is BY_NAME["cardmarket-stock"]
    else:
        assert format_of(file) is BY_NAME[name]
    assert list(read_rows(file, BY_NAME[name])) == []


def test_every_format_is_named_apart_and_reads_what_it_marks() -> None:
    assert len(BY_NAME) == len(FORMATS) + 1
    for one in FORMATS:
        assert one.marks == {heading(name) for name in one.marks}, one.name
        assert one.identity, one.name
        assert not own_columns(one.marks), one.name
    assert recognised(["shoe"], FORMATS) == []
    assert heading("*Action") == "action"


def test_an_article_of_cardmarket_is_a_product_with_flags(tmp_path: Path) -> None:
    file = file_of(
        tmp_path / "a.csv",
        CARDMARKET,
        "273699;2;1.50;3;2;;;;;1;1;;;",
        "273699;1;0.02;1;1;;1;;;;;;;",
        "273699;1;0.02;1;1;;1;;;;;;;",
    )
    first, second, third = read(file, "cardmarket-purchase")
    assert (first.product, first.quantity) == ("cardmarket:273699", 2)
    assert first.values == ItemValues(
        language="de",
        condition=Condition.NEAR_MINT,
        finish=Finish.REVERSE_HOLO,
        edition=Edition.FIRST,
        paid=Money(minor=150, currency="EUR"),
    )
    assert third.reference == f"{second.reference}#2"
    assert {one.values.paid for one in read(file, "cardmarket-stock")} == {None}


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("1;1;1;1;3;;;;;;;;;", "`condition` has no word 'cardmarket EX'"),
        ("1;1;1;1;LP;;;;;;;;;", "`condition` has no word 'cardmarket LP'"),
        ("1;1;1;99;2;;;;;;;;;", "`language` has no word '99'"),
        ("1;1;1;1;2;1;;;;;;;;", "`finish` has no word 'cardmarket foil'"),
        ("1;1;1;1;2;;;;1;;;;;", "a playset is four cards"),
        ("x;1;1;1;2;;;;;;;;;", "`product` is such as"),
    ],
)
def test_what_cardmarket_says_otherwise_is_asked_about(row: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(RowFault, match=said):
        read(file_of(tmp_path / "a.csv", CARDMARKET, row), "cardmarket-purchase")


def test_a_former_stock_is_read(tmp_path: Path) -> None:
    row = '"9";"273699";"Charizard";"";"BS";"Base Set";"3.00";"1";"NM";"";"";"";"";"nice";"2";"1"'
    (one,) = read(file_of(tmp_path / "a.csv", OLD_CARDMARKET, row), "cardmarket-old-stock")
    assert (one.product, one.quantity, one.values.note) == ("cardmarket:273699", 2, "nice")


def test_a_collection_of_pricecharting_is_read(tmp_path: Path) -> None:
    file = file_of(
        tmp_path / "a.csv",
        PRICECHARTING,
        "630417,Charizard [1st Edition] #4,Pokemon Base Set,29662,Ungraded,Normal wear,,,1250,1,"
        "2026-01-02,,,,Box 3",
        "7,Bulbasaur [Reverse Holo] #44,Pokemon Japanese Base Set,1,Graded 9.5,Normal wear,,,0,1,,,"
        "PSA,123,",
        "8,Bulbasaur #44,Pokemon Base Set,1,Ungraded,,,,300,2,,,,,",
    )
    first, second, third = read(file, "pricecharting")
    assert (first.name, first.number, first.set_name) == ("Charizard", "4", "base set")
    assert first.values == ItemValues(
        edition=Edition.FIRST, lot="Box 3", paid=Money(minor=1250, currency="USD")
    )
    assert second.values == ItemValues(
        language="ja",
        finish=Finish.REVERSE_HOLO,
        slab=Slab(grader="PSA", grade="9.5", certificate="123"),
    )
    assert (third.quantity, third.values) == (2, ItemValues())


@pytest.mark.parametrize(
    ("name", "console", "more", "said"),
    [
        ("Charizard [Shadowless] #4", "Pokemon Base Set", "", "does not keep the variant"),
        ("Booster Box", "Pokemon Base Set", "", "sealed, or no card"),
        ("Mario #4", "Nintendo 64", "", "another game: Nintendo 64"),
        ("Charizard #4", "Pokemon Base Set", "PSA", "no grade: 'Ungraded'"),
    ],
)
def test_what_is_no_card_of_ours_is_not_read_as_one(
    name: str, console: str, more: str, said: str, tmp_path: Path
) -> None:
    row = f"1,{name},{console},1,Ungraded,Normal wear,,,,1,,,{more},,"
    with pytest.raises(RowFault, match=said):
        read(file_of(tmp_path / "a.csv", PRICECHARTING, row), "pricecharting")


def test_a_portfolio_of_collectr_is_read(tmp_path: Path) -> None:
    file = file_of(
        tmp_path / "a.csv",
        COLLECTR,
        "Main,Pokemon,Base Set,Charizard - 004/102,SVP 004/102,Rare,1st Edition Holofoil,PSA 10,"
        "Near Mint,1,2,99.5,,false,2026-01-02,mine",
        "Main,Pokemon,Base Set,Charizard,4,Rare,Holofoil,Ungraded,Near Mint,1,2,9,,false,,",
    )
    first, second = read(file, "collectr")
    assert (first.name, first.number, first.quantity) == ("Charizard", "004/102", 2)
    assert first.values == ItemValues(
        lot="Main",
        note="mine",
        condition=Condition.NEAR_MINT,
        finish=Finish.HOLO,
        edition=Edition.FIRST,
        slab=Slab(grader="PSA", grade="10"),
    )
    assert second.values.slab is None
    for row, said in (
        ("M,Magic,S,N,1,,Normal,,Near Mint,1,1,1,,,,", "another game: Magic"),
        ("M,Pokemon,S,Box,,,Normal,,Near Mint,1,1,1,,,,", "sealed, or no card"),
        ("M,Pokemon,S,N,1,,Normal,,Near Mint,1,0,1,,true,,", "quantity 0"),
        ("M,Pokemon,S,N,1,,Normal,Great,Near Mint,1,1,1,,,,", "no grader and grade"),
        ("M,Pokemon,S,N,1,,Glitter,,Near Mint,1,1,1,,,,", "`finish` has no word 'Glitter'"),
    ):
        with pytest.raises(RowFault, match=said):
            read(file_of(tmp_path / "b.csv", COLLECTR, row), "collectr")


def test_other_apps_are_read(tmp_path: Path) -> None:
    (one,) = read(
        file_of(tmp_path / "a.csv", HEADS["pokecollector"], "ASC,ASC 152,3,NM,Reverse Holo,en,2"),
        "pokecollector",
    )
    assert (one.set_name, one.number, one.quantity) == ("asc", "152", 3)
    assert one.values.finish is Finish.REVERSE_HOLO
    (one,) = read(
        file_of(tmp_path / "a.csv", "set_code,number,variant", "BS,,Normal"), "pokecollector"
    )
    assert (one.number, one.values.finish) == ("", Finish.NORMAL)
    (one,) = read(
        file_of(
            tmp_path / "a.csv",
            SCANS,
            "2,Charizard - 4/102,Charizard,Base Set,4/102,BS,Holofoil,NM,English,R,42382,7,,",
        ),
        "tcgplayer-scans",
    )
    assert (one.product, one.name, one.values.language) == ("tcgplayer:42382", "Charizard", "en")
    (one,) = read(
        file_of(
            tmp_path / "a.csv",
            DRAGON_SHIELD,
            "Box,1,0,Charizard,BS,Base Set,4,NearMint,Normal,English,1,2026-01-02,1,2,3",
        ),
        "dragon-shield",
    )
    assert (one.values.lot, one.values.condition) == ("Box", Condition.NEAR_MINT)
    with pytest.raises(RowFault, match="no word 'dragon shield LightPlayed'"):
        read(
            file_of(
                tmp_path / "a.csv",
                DRAGON_SHIELD_APP,
                "1,Charizard,4,BS,Base Set,1,false,LightPlayed,English,,,",
            ),
            "dragon-shield-app",
        )


PRODUCT = replace(
    BASE,
    printings=(
        replace(
            BASE.printings[0],
            variants=(Variant(finish=Finish.HOLO, cardmarket=273699, tcgplayer=42382),),
        ),
        Printing(id="base1-44", number="44", names={"en": "Bulbasaur"}),
    ),
)


async def put(pool: Pool, path: Path, **more: Any) -> ImportReport:
    checked = await check_file(pool, "shop", path, {}, **more)
    done = await import_file(pool, "shop", path, {}, user="ann", now=NOW, **more)
    checked.change = done.change
    assert checked == done, "the preview says what is done"
    return done


@pytest.mark.integration
async def test_an_export_of_another_deployment_is_new_cards(
    pool: Pool, owner_database: str, engine: AsyncEngine, tmp_path: Path
) -> None:
    async with owner_connection(owner_database) as connection:
        folder = write_catalogue(tmp_path / "catalogue", BASE)
        await import_catalogue(connection, folder, warn=lambda _: None, now=NOW)
    cards: list[dict[str, str]] = [
        {
            "card_id": "base1-4",
            "finish": "holo",
            "bin": "=1",
            "paid": "2.5",
            "paid_currency": "EUR",
        },
        {"card_id": "base1-4", "grader": "PSA", "grade": "9", "stock": "sold", "language": "ja"},
        {"card_id": "base1-44", "edition": "first", "condition": "lp", "note": 'a"b', "lot": "L"},
    ]
    rows = [(n, {"reference": f"card {n}", **one}) for n, one in enumerate(cards)]
    await import_rows(pool, "other", rows, {}, user="ann", now=NOW)

    async def export(tenant: str, form: str) -> bytes:
        pieces = item_file(engine, tenant, parse_query("order:name", NOW.date()), form)
        return b"".join([piece async for piece in pieces])

    for form in ("csv", "xlsx"):
        file = tmp_path / f"cards.{form}"
        file.write_bytes(await export("other", form))
        done = await put(pool, file, named="cardmint")
        assert (done.added + done.there, done.wrong, done.unused) == (3, 0, {}), done.faults
    told = {*TOLD, "item", "version", "confidence"}

    def values(content: bytes) -> Counter[tuple[str, ...]]:
        return Counter(
            tuple(text for name, text in row.items() if name not in told)
            for row in csv.DictReader(content.decode().splitlines())
        )

    theirs, ours = values(await export("other", "csv")), values(await export("shop", "csv"))
    assert (theirs, theirs.total()) == (ours, 3)
    file = tmp_path / "cards.json"
    file.write_bytes(await export("other", "json"))
    with pytest.raises(StopService, match=r"is \.csv or \.xlsx"):
        await put(pool, file, named="cardmint")
    more = tmp_path / "more.csv"
    more.write_bytes((await export("other", "csv")).replace(b"item,", b"comment,item,", 1))
    assert format_of(more) is None, "an export with one more column is not taken for new cards"


@pytest.mark.integration
async def test_files_of_others_add_once(pool: Pool, owner_database: str, tmp_path: Path) -> None:
    async with owner_connection(owner_database) as connection:
        folder = write_catalogue(tmp_path / "catalogue", PRODUCT)
        await import_catalogue(connection, folder, warn=lambda _: None, now=NOW)
    bought = file_of(
        tmp_path / "ArticlesFromShipment7.csv",
        CARDMARKET,
        "273699;2;1.50;3;2;;1;;;;;;;",
        "999;1;1.50;3;2;;;;;;;;;",
    )
    named = {"named": "cardmarket-purchase"}
    first = await put(pool, bought, **named)
    assert (first.added, first.wrong, first.unused) == (2, 1, {"issigned": 1})
    assert first.faults == [
        (3, "the catalogue has no product cardmarket:999; give set and number, too")
    ]
    assert (await put(pool, bought, **named)).there == 2
    other = bought.rename(tmp_path / "ArticlesFromShipment8.csv")
    assert (await put(pool, other, **named)).added == 2, "another shipment with the same cards"
    unnamed = other.rename(tmp_path / "bought.csv")
    assert (await put(pool, unnamed, **named)).added == 2
    assert (await put(pool, unnamed, called="ArticlesFromShipment8.csv", **named)).there == 2
    mine = file_of(
        tmp_path / "mine.csv",
        COLLECTR,
        "Main,Pokemon,Base Set,Charizard,4/102,R,Holofoil,Ungraded,Near Mint,1,1,9,,false,,",
    )
    assert (await put(pool, mine)).added == 1
    grown = mine.read_text().replace("Near Mint,1,1,9", "Near Mint,1,3,12").replace("-28", "-30")
    mine.write_text(grown)
    again = await put(pool, mine)
    assert (again.added, again.there) == (2, 1), "two more of the same are two new ones"
    found = await TenantDatabase(pool, "shop").fetchval(
        "SELECT count(*) FROM items WHERE card_id = 'base1-4'"
    )
    assert found == 9

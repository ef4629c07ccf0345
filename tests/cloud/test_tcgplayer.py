"""TCGplayer: products learned, differences told once, pull sheets taken once, all taken back."""

import asyncio
import csv
import re
from datetime import datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from cardmint_cloud import market_files
from cardmint_cloud.adapters.card_files import format_of, read_rows
from cardmint_cloud.adapters.postgres.connection import Pool, TenantDatabase, owner_connection
from cardmint_cloud.catalogue_import import import_catalogue
from cardmint_cloud.domain.item_rows import RowFault
from cardmint_cloud.errors import Conflict, NotFound, StopService
from cardmint_cloud.file_import import check_file, import_file
from cardmint_cloud.item_changes import change_items, undo_change
from cardmint_cloud.item_import import ImportReport, import_rows
from cardmint_cloud.market_differences import differences, take_listed
from cardmint_cloud.market_files import HEADER
from cardmint_cloud.market_import import read_orders
from cardmint_contracts.changes import ItemValues, Stock
from tests.cloud.kit.cards import NOW
from tests.cloud.kit.catalogue import BASE, write_catalogue
from tests.cloud.kit.cli import run_command
from tests.cloud.kit.market_files import (
    BULBASAUR,
    CHARIZARD,
    pricing_file,
    pricing_row,
    pull_sheet,
)

pytestmark = pytest.mark.integration

LATER = NOW + timedelta(hours=1)


@pytest.fixture
async def shop(pool: Pool, owner_database: str, tmp_path: Path) -> Pool:
    """A tenant's database with the catalogue and seven cards: five sorts of two printings."""
    async with owner_connection(owner_database) as connection:
        folder = write_catalogue(tmp_path / "catalogue", BASE)
        await import_catalogue(connection, folder, warn=lambda _: None, now=NOW)
    common = {"language": "en", "condition": "NM"}
    cards = [
        {"card_id": CHARIZARD, "finish": "holo", "quantity": "3", **common},
        {"card_id": BULBASAUR, "finish": "normal", "edition": "unlimited", **common},
        {"card_id": BULBASAUR, "finish": "normal", "language": "de", "condition": "NM"},
        {"card_id": CHARIZARD, "finish": "holo", "grader": "PSA", "grade": "9", **common},
        {"card_id": CHARIZARD, "finish": "holo", "stock": "reserved", **common},
    ]
    rows = [(n, {"reference": f"card {n}", **one}) for n, one in enumerate(cards)]
    done = await import_rows(pool, "shop", rows, {}, user="ann", now=NOW)
    assert (done.added, done.wrong) == (7, 0), done.faults
    return pool


def listed(path: Path, charizards: int = 1, bulbasaurs: int = 0) -> Path:
    return pricing_file(
        path,
        [
            pricing_row(
                "11",
                "Charizard - 4/102",
                "004/102",
                "Near Mint Holofoil",
                Total_Quantity=str(charizards),
            ),
            pricing_row(
                "12", "Charizard", "4/102", "Lightly Played Holofoil", TCG_Marketplace_Price="0.00"
            ),
            pricing_row(
                "21",
                "Bulbasaur",
                "44/102",
                "Near Mint Unlimited",
                Total_Quantity=str(bulbasaurs),
                TCG_Marketplace_Price="1.2500",
            ),
        ],
    )


async def put(pool: Pool, path: Path, now: datetime = NOW) -> ImportReport:
    checked = await check_file(pool, "shop", path, {})
    done = await import_file(pool, "shop", path, {}, user="ann", now=now)
    checked.change = done.change
    assert checked == done, "the preview says what is done"
    return done


def told(content: bytes) -> dict[str, tuple[str, str, str]]:
    """Return total, difference and price by TCGplayer's id."""
    rows = csv.DictReader(content.decode().splitlines())
    return {
        row["TCGplayer Id"]: (
            row["Total Quantity"],
            row["Add to Quantity"],
            row["TCG Marketplace Price"],
        )
        for row in rows
    }


async def stock(pool: Pool, what: str = "in-stock") -> int:
    statement = "SELECT count(*) FROM items WHERE stock = $1"
    return int(await TenantDatabase(pool, "shop").fetchval(statement, what))


async def test_differences_are_told_once_and_taken_back(shop: Pool, tmp_path: Path) -> None:
    learned = await put(shop, listed(tmp_path / "mine.csv"))
    assert (learned.learned, learned.wrong, learned.effect) == (3, 0, 3), learned.faults
    looked = await market_files.preview_file(shop, "shop")
    made = await market_files.make_file(shop, "shop", NOW)
    assert (looked.rows, looked.more, looked.fewer, looked.file) == (2, 3, 0, None)
    assert (made.rows, made.more, made.fewer) == (2, 3, 0)
    assert (
        made.left_out
        == looked.left_out
        == {
            "graded cards": 1,
            "no known product: import a file of the marketplace that has it": 1,
        }
    )
    assert made.file is not None
    name, content = await market_files.file_content(shop, "shop", made.file)
    assert re.fullmatch(r"tcgplayer-2026-11-22-[0-9a-f]{8}\.csv", name)
    head, first, _ = content.decode().split("\r\n", 2)
    assert head == ",".join(HEADER)
    assert first.startswith('"11","Pokemon","Base Set","Charizard - 4/102","","004/102",')
    assert told(content) == {"11": ("1", "2", "310.00"), "21": ("0", "1", "1.25")}
    again = await market_files.make_file(shop, "shop", NOW)
    assert (again.rows, again.file) == (0, None), "what was told is listed"
    assert (await market_files.file_content(shop, "shop", made.file))[1] == content
    await market_files.take_back(shop, "shop", made.file, NOW)
    with pytest.raises(Conflict, match="taken back"):
        await market_files.take_back(shop, "shop", made.file, NOW)
    with pytest.raises(Conflict, match="taken back"):
        await market_files.file_content(shop, "shop", made.file)
    with pytest.raises(NotFound, match="no file"):
        await market_files.file_content(shop, "shop", uuid4())
    anew = await market_files.make_file(shop, "shop", LATER)
    assert anew.file is not None
    assert told((await market_files.file_content(shop, "shop", anew.file))[1]) == told(content)
    await put(shop, listed(tmp_path / "mine.csv", 3, 1), LATER)
    assert (await market_files.make_file(shop, "shop", LATER)).rows == 0
    await market_files.take_back(shop, "shop", anew.file, LATER)
    assert (await market_files.make_file(shop, "shop", LATER)).rows == 2


async def test_what_was_seen_after_a_file_is_not_taken_back_with_it(
    shop: Pool, tmp_path: Path
) -> None:
    await put(shop, listed(tmp_path / "mine.csv"))
    made = await market_files.make_file(shop, "shop", NOW)
    await put(shop, listed(tmp_path / "mine.csv", 3, 1), LATER)
    assert made.file is not None
    await market_files.take_back(shop, "shop", made.file, LATER)
    assert (await market_files.make_file(shop, "shop", LATER)).rows == 0


async def test_fewer_cards_are_a_negative_number(shop: Pool, tmp_path: Path) -> None:
    await put(shop, listed(tmp_path / "mine.csv", charizards=9, bulbasaurs=1))
    made = await market_files.make_file(shop, "shop", NOW)
    assert made.file is not None
    _, content = await market_files.file_content(shop, "shop", made.file)
    assert told(content) == {"11": ("9", "-6", "310.00")}
    assert b'"-6"' in content


async def test_a_pull_sheet_takes_cards_once(shop: Pool, tmp_path: Path) -> None:
    await put(shop, listed(tmp_path / "mine.csv"))
    sheet = tmp_path / "pull.csv"
    pull_sheet(sheet, [("11", "Charizard", "Near Mint Holofoil", "A-1:1 | B-2:1")])
    first = await put(shop, sheet)
    assert (first.sold, first.there, first.wrong) == (2, 0, 0), first.faults
    assert (await stock(shop, "sold"), await stock(shop, "reserved")) == (2, 1)
    again = await put(shop, sheet)
    assert (again.sold, again.there, again.change) == (0, 2, None)
    pull_sheet(
        sheet,
        [
            ("11", "Charizard", "Near Mint Holofoil", "A-1:2 | C-3:1"),
            ("99", "Bulbasaur", "Near Mint Unlimited", "C-3:1"),
            ("98", "Bulbasaur", "Near Mint Holofoil", "C-3:1"),
            ("11", "Charizard", "Near Mint Holofoil", "D-4:1"),
            ("97", "Bulbasaur", "Near Mint", "no orders"),
        ],
    )
    grown = await put(shop, sheet)
    assert (grown.sold, grown.there, grown.wrong) == (3, 1, 3)
    said = " ".join(fault for _, fault in grown.faults)
    for text in ("order C-3 takes 1 of base1-44, and 0 are", "an earlier row", "such as `ABC-1:2"):
        assert text in said
    assert await stock(shop, "reserved") == 0, "what is reserved is sold last"
    made = await market_files.make_file(shop, "shop", NOW)
    assert made.rows == 0
    assert made.left_out["sold since the last file of the marketplace: import a new one"] == 1
    await put(shop, listed(tmp_path / "mine.csv", charizards=1), LATER)
    assert (await market_files.make_file(shop, "shop", LATER)).fewer == 1


async def test_sales_are_taken_back_and_taken_again(shop: Pool, tmp_path: Path) -> None:
    await put(shop, listed(tmp_path / "mine.csv"))
    sheet = pull_sheet(tmp_path / "pull.csv", [("11", "Charizard", "Near Mint Holofoil", "A-1:2")])
    first = await put(shop, sheet)
    assert first.change is not None
    await undo_change(shop, "shop", first.change, user="ben", now=NOW)
    assert await stock(shop, "sold") == 0
    again = await put(shop, sheet)
    assert (again.sold, await stock(shop, "sold")) == (2, 2)
    rows = await TenantDatabase(shop, "shop").fetch(
        "SELECT item, version FROM items WHERE stock = 'sold'"
    )
    back = ItemValues(stock=Stock.IN_STOCK)
    pins = {row["item"]: row["version"] for row in rows}
    await change_items(shop, "shop", pins, back, user="ben", now=NOW)
    assert (await put(shop, sheet)).sold == 0, "a person put them back: the order takes no others"


async def test_the_number_listed_is_taken_as_one_change(shop: Pool, tmp_path: Path) -> None:
    await put(shop, listed(tmp_path / "mine.csv", charizards=1, bulbasaurs=4))
    found = await differences(shop, "shop")
    assert [(one.sku, one.name, one.listed, one.stock) for one in found] == [
        ("21", "Bulbasaur", 4, 1),
        ("11", "Charizard - 4/102", 1, 3),
    ]
    with pytest.raises(Conflict, match="of none of these"):
        await take_listed(shop, "shop", {"21", "nothing"}, user="ann", now=NOW)
    done = await take_listed(shop, "shop", None, user="ann", now=NOW)
    assert (done.items, await stock(shop, "sold"), await stock(shop, "reserved")) == (2, 2, 1)
    assert [one.sku for one in await differences(shop, "shop")] == ["21"]
    assert done.change is not None
    await undo_change(shop, "shop", done.change, user="ann", now=NOW)
    assert await stock(shop, "sold") == 0


async def test_what_is_not_known_or_no_card_is_said(shop: Pool, tmp_path: Path) -> None:
    rows = [
        pricing_row("1", "Charizard", "4/102", "Near Mint Holofoil", Set_Name="Shiny Vault"),
        pricing_row("2", "Charizard", "4/102", "Crimped"),
        pricing_row("3", "Charizard", "4/102", "Near Mint Holofoil", Total_Quantity="many"),
        pricing_row("4", "Charizard", "4/102", ""),
        pricing_row("", "Charizard", "4/102", "Near Mint"),
        pricing_row("5", "Charizard (Cosmos Holo)", "4/102", "Near Mint Holofoil"),
        pricing_row("6", "Bulbasaur", "4/102", "Near Mint Holofoil"),
        pricing_row("7", "Black Lotus", "1", "Near Mint", Product_Line="Magic"),
        pricing_row("8", "Booster Box", "", "Unopened"),
        pricing_row("9", "Charizard", "4/102", "Near Mint Holofoil", Set_Name="BS: Base Set"),
        pricing_row("9", "Charizard", "4/102", "Near Mint Holofoil"),
    ]
    file = pricing_file(tmp_path / "mine.csv", rows)
    done = await put(shop, file)
    assert (done.learned, done.wrong) == (1, 8)
    assert done.words == {("set", "shiny vault"): 1, ("condition", "crimped"): 1}
    assert done.left_out == {"another game: Magic": 1, "no number: sealed, or no card": 1}
    assert dict(done.faults)[2] == "no set is called 'shiny vault'"
    words = {("set", "shiny vault"): "base1", ("condition", "crimped"): "damaged"}
    mapped = await import_file(shop, "shop", file, words, user="ann", now=NOW)
    assert (mapped.learned, mapped.wrong) == (2, 7)


def test_orders_are_read_or_refused() -> None:
    assert read_orders("A-1:2 | B:2:1|A-1:1") == {"A-1": 3, "B:2": 1}
    for text in ("", "A-1", "A-1:0", "A-1:x", ":1", "x" * 99 + ":1"):
        with pytest.raises(RowFault, match="orders are such as"):
            read_orders(text)


async def test_the_apps_scans_are_added_once(shop: Pool, tmp_path: Path) -> None:
    names = ["Product ID", *HEADER[:8], "Printing", *HEADER[8:]]
    row = pricing_row("11", "Charizard", "4/102", "Near Mint", Add_to_Quantity="2") | {
        "Product ID": "42382",
        "Printing": "Holofoil",
    }
    file = tmp_path / "app.csv"
    with file.open("w", newline="") as out:
        writer = csv.DictWriter(out, names)
        writer.writeheader()
        writer.writerows([row, {**row, "TCGplayer Id": "12", "Add to Quantity": "0"}])
    form = format_of(file)
    assert form is not None
    assert form.name == "tcgplayer-app"
    done = await put(shop, file)
    assert (done.added, done.there, done.left_out) == (2, 0, {"quantity 0": 1}), done.faults
    assert (await put(shop, file)).there == 2


@pytest.mark.greenlets
async def test_the_command_tells_tcgplayer(shop: Pool, database: str, tmp_path: Path) -> None:
    async def run(*words: str) -> tuple[int, str]:
        where = {"CARDMINT_CLOUD_DATABASE": database, "CARDMINT_CLOUD_TENANT": "shop"}
        done = await asyncio.to_thread(run_command, "inventory", *words, **where)
        return done.returncode, done.stdout + done.stderr

    mine, out = listed(tmp_path / "mine.csv"), tmp_path / "out.csv"
    code, said = await run("import", str(mine), "--yes")
    assert (code, "products: 3 are known" in said) == (0, True), said
    code, said = await run("export", str(out), "--format", "tcgplayer", "--dry-run")
    assert (code, "2 products: 3 cards more, 0 fewer" in said) == (0, True), said
    assert not out.exists()
    code, said = await run("export", str(out), "--format", "tcgplayer", "--query", "fox")
    assert (code, "--query" in said) == (1, True)
    code, said = await run("export", str(out), "--format", "tcgplayer")
    assert (code, "left out: 1, graded cards" in said) == (0, True), said
    (file,) = re.findall(r"not-uploaded ([0-9a-f-]{36})", said)
    again = tmp_path / "again.csv"
    assert (await run("again", file, str(again)))[0] == 0
    assert again.read_bytes() == out.read_bytes()
    assert (await run("not-uploaded", file))[0] == 0
    code, said = await run("not-uploaded", file)
    assert (code, "taken back" in said) == (1, True), said
    code, said = await run("import", str(mine), "--format", "tcgplayer-pull-sheet", "--dry-run")
    assert (code, "no TCGplayer pull sheet: there is no column" in said) == (1, True), said
    code, said = await run("import", str(mine), "--format", "ebay")
    assert (code, "there is no format 'ebay'" in said) == (1, True), said
    code, said = await run("differences")
    assert (
        code,
        "11  listed    1  in stock    3  Charizard - 4/102, Near Mint Holofoil" in said,
    ) == (
        0,
        True,
    ), said
    code, said = await run("differences", "--take", "11")
    assert (code, "2 cards are sold; take it back" in said) == (0, True), said
    code, said = await run("formats")
    assert (code, "tcgplayer-pull-sheet" in said) == (0, True)


def test_text_of_older_programs_is_read_and_a_mixture_is_not(tmp_path: Path) -> None:
    file = listed(tmp_path / "mine.csv")
    plain = file.read_bytes().replace(b"Charizard", "Flabébé".encode())
    form = format_of(file)
    for content, name in (
        (plain, "Flabébé"),
        (b"\xef\xbb\xbf" + plain, "Flabébé"),
        (plain.decode().encode("cp1252"), "Flabébé"),
        (b'"sep=,"\r\n' + plain, "Flabébé"),
    ):
        file.write_bytes(content)
        assert format_of(file) == form
        rows = list(read_rows(file, form))
        assert rows[1][1]["product_name"] == name
    file.write_bytes(plain + plain.decode().encode("cp1252").split(b"\r\n", 1)[1])
    with pytest.raises(StopService, match=r"line 2 is UTF-8 and line 5 is not"):
        list(read_rows(file, form))


def test_a_file_that_is_too_large_is_refused_at_once(tmp_path: Path) -> None:
    file = tmp_path / "mine.csv"
    with file.open("wb") as out:
        out.write(",".join(HEADER).encode() + b"\r\n")
        out.truncate(2 << 30)
    with pytest.raises(StopService, match="2,048 MiB are too many: at most 1,024"):
        list(read_rows(file, format_of(file)))


def test_a_sheet_of_a_marketplace_is_read(tmp_path: Path) -> None:
    import xlsxwriter

    file = tmp_path / "pull.xlsx"
    with xlsxwriter.Workbook(str(file)) as book:
        sheet = book.add_worksheet()
        plain = pull_sheet(tmp_path / "p.csv", [("1", "Charizard", "Near Mint", "A:1")])
        for number, row in enumerate(csv.reader(plain.read_text().splitlines())):
            sheet.write_row(number, 0, row)
    form = format_of(file)
    assert form is not None
    assert [row["skuid"] for _, row in read_rows(file, form)] == ["1"]

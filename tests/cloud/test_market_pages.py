"""The page of files for other programs, and the import of theirs."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from cardmint_cloud.adapters.images.folder import FolderStorage
from cardmint_cloud.adapters.postgres.connection import Pool, owner_connection
from cardmint_cloud.catalogue_import import import_catalogue
from cardmint_cloud.item_import import import_rows
from cardmint_cloud.web.routes import build_dashboard
from tests.cloud.kit.cards import NOW
from tests.cloud.kit.catalogue import BASE, write_catalogue
from tests.cloud.kit.market_files import CHARIZARD, pricing_file, pricing_row, pull_sheet
from tests.cloud.kit.web import HTMX_REQUEST, plain, serve

pytestmark = pytest.mark.integration

PART = {**HTMX_REQUEST, "hx-target": "report"}


@pytest.fixture
async def site(
    pool: Pool, engine: AsyncEngine, owner_database: str, tmp_path: Path
) -> AsyncIterator[httpx.AsyncClient]:
    app = build_dashboard(
        engine=engine,
        pool=pool,
        images=FolderStorage(tmp_path / "images"),
        tenant="shop",
        clock=lambda: NOW,
    )
    async with owner_connection(owner_database) as connection:
        folder = write_catalogue(tmp_path / "catalogue", BASE)
        await import_catalogue(connection, folder, warn=lambda _: None, now=NOW)
    cards = [
        {"card_id": CHARIZARD, "finish": "holo", "language": "en", "condition": "NM"},
        {"card_id": CHARIZARD, "finish": "holo", "language": "ja", "condition": "NM"},
    ]
    rows = [(n, {"reference": f"card {n}", "quantity": "3", **one}) for n, one in enumerate(cards)]
    await import_rows(pool, "shop", rows, {}, user="ann", now=NOW)
    async with serve(app) as client:
        yield client


async def put(site: httpx.AsyncClient, path: Path, **data: str) -> str:
    content = path.read_bytes()  # noqa: ASYNC240 - a few rows
    answer = await site.post(
        "/items/import",
        data={"act": "preview", **data},
        files={"file": (path.name, content)},
        headers=PART,
    )
    assert answer.status_code == 200
    return plain(answer)


async def test_each_format_says_what_it_leaves_out(site: httpx.AsyncClient) -> None:
    assert "/items/export?q=lang%3Aen" in (await site.get("/items?q=lang:en")).text
    page = plain(await site.get("/items/export", params={"form": "collectr"}))
    assert "Left out: 3 cards, language is ja" in page
    page = plain(await site.get("/items/export", params={"form": "collectr", "q": "lang:en"}))
    assert "No card is left out." in page
    assert "No pricing file was imported yet." in page
    got = await site.get("/items/download/collectr", params={"q": "lang:en"})
    assert got.headers["content-disposition"] == 'attachment; filename="collectr-2026-11-22.csv"'
    head, line, end = got.text.split("\r\n")
    assert head.startswith("Portfolio Name,Category,Set,Product Name,")
    assert (line.split(",")[3], line.split(",")[10], end) == ("Charizard", "3", "")
    assert (await site.get("/items/download/shoebox")).status_code == 400
    assert (await site.get("/items/export", params={"q": 'bin:"'})).status_code == 400


async def test_tcgplayer_is_told_on_the_page(site: httpx.AsyncClient, tmp_path: Path) -> None:
    mine = pricing_file(
        tmp_path / "mine.csv",
        [
            pricing_row("11", "Charizard", "4/102", "Near Mint Holofoil", Total_Quantity="1"),
            pricing_row("12", "Charizard", "4/102", "Near Mint", Set_Name="Old Set"),
            pricing_row("13", "Lotus", "1", "Near Mint", Product_Line="Magic"),
        ],
    )
    looked = await put(site, mine)
    assert "Read as: TCGplayer pricing file" in looked
    assert "This file would do: 1 products known, 0 cards sold" in looked
    assert "Left out: 1 row, another game: Magic" in looked
    assert '<option value="set:old set=base1">Base Set (base1)</option>' in looked
    assert "Do it" in looked
    done = await put(site, mine, act="import", words="set:old set=base1")
    assert "Done: 2 products known" in done
    page = plain(await site.get("/items/export"))
    assert "Products known: 2. Cards listed: 1, last seen" in page
    assert "To be told: 2 cards more and 0 fewer, of 1 product." in page
    assert "Left out: 3 cards, no known product" in page
    assert re.search(r'value="11"> Charizard</label>.*?<td>1</td><td>3</td>', page, re.DOTALL)
    sold = await site.post("/items/market-differences", data={"sku": "11"})
    assert "2 cards are sold." in plain(sold)
    (undo,) = re.findall(r'action="(/items/undo/[0-9a-f-]{36})"', sold.text)
    none = await site.post("/items/market-differences")
    assert (none.status_code, "Not changed: of none" in plain(none)) == (409, True)
    await site.post(undo)
    made = plain(await site.post("/items/market-files"))
    (path,) = set(re.findall(r'href="(/items/market-files/[0-9a-f-]{36})"', made))
    got = await site.get(path)
    assert got.headers["content-type"] == "text/csv; charset=utf-8"
    assert '"11","Pokemon"' in got.text
    assert "Nothing changed: there is no file." in plain(await site.post("/items/market-files"))
    assert "the next file says it again" in plain(await site.post(f"{path}/take-back"))
    again = await site.post(f"{path}/take-back")
    assert (again.status_code, "Not taken back" in plain(again)) == (409, True)
    assert (await site.get(path)).status_code == 404
    sheet = pull_sheet(tmp_path / "pull.csv", [("11", "Charizard", "Near Mint Holofoil", "A-1:1")])
    assert "0 products known, 1 cards sold" in await put(site, sheet, act="import")


async def test_a_file_that_may_be_two_things_is_said_to_be_one(
    site: httpx.AsyncClient, tmp_path: Path
) -> None:
    file = tmp_path / "a.csv"
    file.write_text(
        "idProduct;groupCount;price;idLanguage;condition;isFoil;isSigned;isAltered;isPlayset;"
        "isReverseHolo;isFirstEd;isFullArt;isUberRare;isWithDie\n5;1;1;1;2;;1;;;;;;;\n"
    )
    assert "may be cardmarket-purchase, cardmarket-stock" in await put(site, file)
    looked = await put(site, file, form="cardmarket-stock")
    assert "Read as: Cardmarket stock" in looked
    assert "Not kept: <code>issigned</code>, which has a value in 1 row" in looked
    assert "the catalogue has no product cardmarket:5" in looked

"""Importing a file of cards on its page: preview, words, import, taking back."""

import asyncio
import io
import json
import re
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import xlsxwriter
from sqlalchemy.ext.asyncio import AsyncEngine

from cardmint_cloud.adapters.images.folder import FolderStorage
from cardmint_cloud.adapters.postgres.connection import Pool
from cardmint_cloud.item_import import check_rows
from cardmint_cloud.web.routes import build_dashboard
from tests.cloud.kit.cards import FOX, NOW, OWL, accepted, send
from tests.cloud.kit.web import HTMX_REQUEST, plain, serve

pytestmark = pytest.mark.integration

PATH = "/items/import"
PART = {**HTMX_REQUEST, "hx-target": "report"}


@pytest.fixture
async def site(pool: Pool, engine: AsyncEngine, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    app = build_dashboard(
        engine=engine,
        pool=pool,
        images=FolderStorage(tmp_path / "images"),
        tenant="shop",
        clock=lambda: NOW,
    )
    await send(pool, accepted(FOX), accepted(OWL))  # So that the tenant knows the printings.
    async with serve(app) as client:
        yield client


async def put(
    site: httpx.AsyncClient,
    content: bytes | str,
    act: str = "preview",
    name: str = "cards.csv",
    words: tuple[str, ...] = (),
) -> str:
    raw = content.encode() if isinstance(content, str) else content
    answer = await site.post(
        PATH, data={"act": act, "words": list(words)}, files={"file": (name, raw)}, headers=PART
    )
    assert answer.status_code == 200
    return plain(answer)


def file(*rows: str) -> str:
    return "\n".join(["reference,card_id,quantity,condition", *rows, ""])


async def count(pool: Pool) -> int:
    async with pool.acquire() as connection:
        await connection.execute("SELECT set_config('cardmint.tenant', 'shop', false)")
        return int(await connection.fetchval("SELECT count(*) FROM items"))


async def test_a_file_is_looked_at_imported_once_and_taken_back(
    pool: Pool, site: httpx.AsyncClient
) -> None:
    cards = file(f"a,{FOX.id},3,nm", f"b,{OWL.id},1,", "c,base9-99,1,nm")
    looked = await put(site, cards)
    assert "This file would do: 4 added, 0 changed, 0 as they are, 1 rows cannot be used" in looked
    assert "<td>4</td><td>no station and no catalogue knows a card &#39;base9-99&#39;" in looked
    assert "Import 4 cards" in looked
    assert await count(pool) == 2
    done = await put(site, cards, "import")
    assert "Done: 4 added" in done
    assert await count(pool) == 6
    again = await put(site, cards, "import")
    assert "Done: 0 added, 0 changed, 4 as they are" in again
    changes = (await site.get("/changes")).text
    undo = re.search(r"/items/undo/[0-9a-f-]{36}", changes)
    assert undo is not None
    assert "Taken back: 4" in plain(await site.post(undo[0]))


async def test_unknown_words_are_asked_about(pool: Pool, site: httpx.AsyncClient) -> None:
    cards = file(f"a,{FOX.id},2,VG+", f"b,{OWL.id},1,nm")
    looked = await put(site, cards)
    assert "condition “vg+”, 1 row<" in looked
    assert '<option value="condition:vg+=lightly_played">' in looked
    told = await put(site, cards, words=("", "condition:vg+=lightly_played"))
    assert "3 added" in told
    assert 'name="words" value="condition:vg+=lightly_played"' in told
    done = await put(site, cards, "import", words=("condition:vg+=lightly_played",))
    assert "Done: 3 added" in done
    assert 'data-total="items">2<' in plain(await site.get("/items", params={"q": "condition:lp"}))
    wrong = await put(site, cards, words=("condition:vg+=new",))
    assert "`condition` knows" in wrong


async def test_a_spreadsheet_is_read(pool: Pool, site: httpx.AsyncClient) -> None:
    sheet = io.BytesIO()
    with xlsxwriter.Workbook(sheet) as book:
        page = book.add_worksheet()
        page.write_row(0, 0, ["Reference", "Card id"])
        page.write_row(1, 0, ["x", FOX.id])
    assert "Done: 1 added" in await put(site, sheet.getvalue(), "import", "Cards of June.XLSX")


@pytest.mark.parametrize(
    ("content", "name", "said"),
    [
        (b"", "cards.csv", "cards.csv: the first row names the columns"),
        (b"a,b\n1,2\n", "cards.csv", "`a`, `b` is none"),
        (b"\xff\xfe\x00", "cards.csv", "cards.csv: not UTF-8 at byte 0"),
        (b"x", "cards.pdf", "cards.pdf: a file of cards is .csv, .json or .xlsx"),
        (b"x", "cards", "cards: a file of cards is .csv, .json or .xlsx"),
        (b"x", "../../etc/cards.xlsx", "cards.xlsx: not an XLSX file"),
        (b"[1]", "cards.json", "cards.json: objects are expected"),
        (b"x", "cards.\x00/..", "a file of cards is .csv, .json or .xlsx"),
    ],
)
async def test_what_is_no_file_of_cards_is_said(
    site: httpx.AsyncClient, content: bytes, name: str, said: str
) -> None:
    shown = await put(site, content, name=name)
    assert said in shown
    assert "/tmp" not in shown


async def test_a_sheet_that_spans_too_much_is_refused(site: httpx.AsyncClient) -> None:
    sheet, far = io.BytesIO(), io.BytesIO()
    with xlsxwriter.Workbook(sheet) as book:
        book.add_worksheet().write_row(0, 0, ["reference", "card_id"])
    with zipfile.ZipFile(sheet) as parts, zipfile.ZipFile(far, "w") as out:
        for name in parts.namelist():
            cell = b'<row r="1048576"><c r="XFD1048576"><v>1</v></c></row></sheetData>'
            out.writestr(name, parts.read(name).replace(b"</sheetData>", cell))
    assert "a sheet of 17,179,869,184 cells is too large" in await put(
        site, far.getvalue(), name="cards.xlsx"
    )


@pytest.mark.parametrize("name", ["note", "reference", "card_id"])
async def test_half_a_character_is_said(site: httpx.AsyncClient, name: str) -> None:
    cells = {"reference": "a", "card_id": FOX.id, name: "\ud800"}
    shown = await put(site, json.dumps([cells]), "import", "cards.json")
    assert "cards.json: row 1: a text has half a character" in shown
    assert "half a character" in await put(site, '[{"\\ud800": "x"}]', name="cards.json")


async def test_others_are_served_while_a_file_of_wrong_rows_is_read(
    pool: Pool, site: httpx.AsyncClient
) -> None:
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    others = asyncio.create_task(count_turns())
    rows = ((number, {"reference": "a", "quantity": "x"}) for number in range(30_000))
    report = await check_rows(pool, "shop", rows, {})
    others.cancel()
    assert report.wrong == 30_000
    assert turns > 10


async def test_without_javascript_it_is_a_page(pool: Pool, site: httpx.AsyncClient) -> None:
    assert 'enctype="multipart/form-data"' in (await site.get(PATH)).text
    assert 'href="/items/import"' in (await site.get("/items")).text
    files = {"file": ("cards.csv", file(f"a,{FOX.id},3,nm").encode())}
    page = await site.post(PATH, data={"act": "preview"}, files=files)
    assert "3 added" in plain(page)
    assert "<h1>Import cards</h1>" in page.text
    none = await site.post(PATH, files={"act": (None, "preview")})
    assert (none.status_code, "Choose a file." in plain(none)) == (422, True)
    assert (await site.post(PATH, content=b"x")).status_code in {400, 422}


async def test_a_file_that_is_too_large_is_refused(
    site: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = await site.post(PATH, files={"file": ("cards.csv", bytes(33 << 20))})
    assert answer.status_code == 413

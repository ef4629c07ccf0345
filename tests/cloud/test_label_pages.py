"""Labels: what a scanner reads from them leads to their page."""

import html
import re
from collections.abc import AsyncIterator
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from cardmint_cloud.adapters.images.folder import FolderStorage
from cardmint_cloud.adapters.postgres.connection import Pool
from cardmint_cloud.web import label_pages
from cardmint_cloud.web.routes import build_dashboard
from cardmint_contracts.cards import ScanDefaults
from tests.cloud.kit.cards import FOX, NOW, OWL, accepted, send
from tests.cloud.kit.web import plain, serve

pytestmark = pytest.mark.integration


@pytest.fixture
async def site(pool: Pool, engine: AsyncEngine, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    app = build_dashboard(
        engine=engine,
        pool=pool,
        images=FolderStorage(tmp_path / "images"),
        tenant="shop",
        base_path="/cards",
        clock=lambda: NOW,
    )
    async with serve(app) as client:
        yield client


def codes(page: str) -> list[str]:
    """Return what a scanner reads from each code of a page."""
    return [_read(drawing) for drawing in re.findall(r"<svg.*?</svg>", page, re.DOTALL)]


def _read(drawing: str) -> str:
    """Draw a code of segno's, horizontal runs of modules, and read it."""
    side = int(re.findall(r'viewBox="0 0 (\d+)', drawing)[0])
    picture = np.full((side, side), 255, np.uint8)
    x, y = 0.0, -0.5
    path = re.findall(r' d="([^"]+)"', drawing)[0]
    for step, first, second in re.findall(r"([MmhH])\s*(-?[\d.]+)[ ,]?(-?[\d.]+)?", path):
        if step == "M":
            x, y = float(first), float(second)
        elif step == "m":
            x, y = x + float(first), y + float(second)
        else:
            picture[int(y), int(x) : int(x + float(first))] = 0
            x += float(first)
    found = ""
    for factor in (8, 5, 3, 11, 6):  # OpenCV's detectors miss a code at one size or another.
        large = cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_NEAREST)
        for detector in (cv2.QRCodeDetector(), cv2.QRCodeDetectorAruco()):
            found = found or str(detector.detectAndDecode(large)[0])
    return found


async def test_a_scanned_label_opens_its_page(pool: Pool, site: httpx.AsyncClient) -> None:
    here = ScanDefaults(bin="A 1, x", lot="june")
    first, second = accepted(FOX, defaults=here), accepted(OWL, defaults=here)
    await send(pool, first, second, accepted(FOX, defaults=ScanDefaults(bin="B2")))
    await send(pool, accepted(OWL, defaults=ScanDefaults(bin='C"3')), accepted(OWL))
    origin = str(site.base_url).rstrip("/")
    bins = await site.get("/cards/items/labels")
    read = codes(bins.text)
    assert len(read) == 2
    assert "a quotation mark cannot be searched for" in plain(bins)
    for address, count in zip(read, (2, 1), strict=True):
        assert address.startswith(f"{origin}/cards/items?q=")
        page = plain(await site.get(address.removeprefix(origin)))
        assert f'data-total="items">{count}<' in page
    lots = await site.get("/cards/items/labels", params={"of": "lot"})
    (lot,) = codes(lots.text)
    assert "/cards/items?q=lot%3Ajune" in lot
    cards = await site.get("/cards/items/labels", params={"of": "card", "q": "lot:june"})
    assert {address.rpartition("/")[2] for address in codes(cards.text)} == {
        str(one.scan) for one in (first, second)
    }
    assert FOX.name in html.unescape(cards.text)


async def test_what_does_not_fit_on_ten_sheets_is_said(
    pool: Pool, site: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(label_pages, "MOST", 2)
    await send(pool, *(accepted(defaults=ScanDefaults(bin=f"B{n}")) for n in range(3)))
    page = await site.get("/cards/items/labels")
    assert len(codes(page.text)) == 2
    assert "There are more: these are the first 2." in plain(page)
    few = await site.get("/cards/items/labels", params={"q": "bin:B1"})
    assert "There are more" not in plain(few)


async def test_nothing_to_label_and_a_query_that_cannot_be_read(site: httpx.AsyncClient) -> None:
    assert "No lot among these cards." in plain(
        await site.get("/cards/items/labels", params={"of": "lot"})
    )
    assert (await site.get("/cards/items/labels", params={"q": "foo:1"})).status_code == 400
    assert (await site.get("/cards/items/labels", params={"of": "x"})).status_code == 400

"""The list for an insurer: a PDF with pictures and values, the same for the same cards."""

import hashlib
import re
import zlib
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from cardmint_cloud.adapters.images.folder import FolderStorage
from cardmint_cloud.adapters.insurance_pdf import ROWS, InsuredCard, insurance_pdf
from cardmint_cloud.adapters.postgres.connection import Pool
from cardmint_cloud.domain.item_query import QueryFault
from cardmint_cloud.errors import Conflict
from cardmint_cloud.insurance_list import MOST, insurance_list
from cardmint_cloud.item_import import import_rows
from cardmint_cloud.pricing.price import price_card
from cardmint_cloud.web.routes import build_dashboard
from cardmint_contracts.cards import Image, ScanDefaults
from tests.cloud.kit.cards import FOX, NOW, OWL, accepted, send
from tests.cloud.kit.images import picture
from tests.cloud.kit.prices import QuoteSourceStub, quote
from tests.cloud.kit.web import serve


def texts(pdf: bytes) -> str:
    """Return the pages' instructions, whose texts are between brackets."""
    streams = re.findall(rb"stream\r?\n(.*?)endstream", pdf, re.DOTALL)
    found = []
    for one in streams:
        try:
            found.append(zlib.decompress(one))
        except zlib.error:
            continue  # A picture.
    return b"\n".join(found).decode("latin-1")


def test_the_list_has_eight_cards_a_page() -> None:
    cards = [
        InsuredCard(title=f"Fox {n}", lines=["set", "near mint"], language="en", picture=picture())
        for n in range(ROWS + 1)
    ]
    pdf = insurance_pdf("Cards of shop", "9 cards", cards, len(cards))
    assert pdf.startswith(b"%PDF-")
    assert pdf == insurance_pdf("Cards of shop", "9 cards", cards, len(cards))
    shown = texts(pdf)
    assert (shown.count("(Fox "), shown.count("(Cards of shop)")) == (9, 2)
    assert "(1 / 2)" in shown
    assert "(2 / 2)" in shown
    assert pdf.count(b"/Subtype /Image") == 1, "equal pictures are stored once"


def test_other_scripts_long_lines_and_broken_pictures_are_no_fault() -> None:
    cards = [
        InsuredCard(title="リザードン", lines=["ж" * 300], language="ja", picture=b"no picture"),
        InsuredCard(title="리자몽", lines=["x" * 300], language="ko"),
        InsuredCard(title="噴火龍", lines=[], language="zh-tw"),
    ]
    pdf = insurance_pdf("", "", cards, 3)
    for font in (b"HeiseiKakuGo-W5", b"HYGothic-Medium", b"STSong-Light"):
        assert font in pdf
    assert b"/Subtype /Image" not in pdf
    assert "(1 / 1)" in texts(insurance_pdf("Cards", "0 cards", [], 0))


@pytest.mark.integration
async def test_what_is_in_stock_is_listed_with_its_value(
    pool: Pool, engine: AsyncEngine, tmp_path: Path
) -> None:
    images = FolderStorage(tmp_path / "images")
    content = picture()
    name = hashlib.sha256(content).hexdigest()
    kept = tmp_path / "images" / "shop" / name[:2] / name
    kept.parent.mkdir(parents=True)
    kept.write_bytes(content)
    seen = Image(sha256=name, width=63, height=88, bytes=len(content))
    missing = Image(sha256="0" * 64, width=63, height=88, bytes=1)
    place = ScanDefaults(lot="Box")
    await send(pool, accepted(FOX, image=seen, defaults=place), accepted(OWL, image=missing))
    rows = [
        (
            1,
            {
                "reference": "a",
                "card_id": OWL.id,
                "grader": "PSA",
                "grade": "9",
                "certificate": "7",
            },
        ),
        (2, {"reference": "b", "card_id": OWL.id, "stock": "sold"}),
        (3, {"reference": "c", "card_id": OWL.id, "paid": "2.5", "paid_currency": "EUR"}),
    ]
    await import_rows(pool, "shop", rows, {}, user="ann", now=NOW)
    await price_card(
        pool, [QuoteSourceStub(answers={FOX.id: [quote(500, "")]})], "shop", FOX.id, NOW
    )
    pdf = await insurance_list(engine, images, "shop", "", NOW.date())
    shown = texts(pdf)
    assert "(4 cards, worth " in shown
    assert "without a price" in shown
    assert "(Ember Fox 007/040)" in shown
    assert "(PSA 9, certificate 7)" in shown
    assert "(bought for EUR 2.50)" in shown
    assert pdf.count(b"/Subtype /Image") == 1
    assert "(1 cards" in texts(await insurance_list(engine, images, "shop", "lot:box", NOW.date()))
    with pytest.raises(QueryFault):
        await insurance_list(engine, images, "shop", "fox or", NOW.date())
    many = [(1, {"reference": f"m{n}", "card_id": FOX.id, "quantity": "999"}) for n in range(3)]
    await import_rows(pool, "shop", many, {}, user="ann", now=NOW)
    with pytest.raises(Conflict, match=f"more than {MOST:,} cards"):
        await insurance_list(engine, images, "shop", "", NOW.date())
    app = build_dashboard(engine=engine, pool=pool, images=images, tenant="shop", clock=lambda: NOW)
    async with serve(app) as site:
        got = await site.get("/items/insurance", params={"q": "lot:box"})
        assert got.headers["content-type"] == "application/pdf"
        assert got.headers["content-disposition"].endswith('"insurance-2026-11-22.pdf"')
        assert got.content == await insurance_list(engine, images, "shop", "lot:box", NOW.date())
        for q in ("fox or", ""):
            assert (await site.get("/items/insurance", params={"q": q})).status_code == 400

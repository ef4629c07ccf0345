"""The pages of items: found, changed, taken back, downloaded; wrong input said where it stands."""

import csv
import io
import re
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from cardmint_cloud.adapters.postgres.connection import Pool, TenantDatabase
from cardmint_cloud.item_changes import change_items
from cardmint_cloud.saved_views import MOST
from cardmint_cloud.web.item_forms import ChangeForm, packed, unpacked
from cardmint_contracts.cards import Card, Condition, Money, ScanDefaults
from cardmint_contracts.changes import ItemValues, Slab, Stock
from tests.cloud.kit.cards import FOX, NOW, OWL, accepted, doubtful, send
from tests.cloud.kit.web import HTMX_REQUEST, plain


@pytest.mark.parametrize(
    ("form", "field"),
    [
        (ChangeForm(condition="shiny"), "condition"),
        (ChangeForm(stock="-"), ""),
        (ChangeForm(stock="gone"), "stock"),
        (ChangeForm(bin="two\nlines"), "bin"),
        (ChangeForm(note="x" * 201), "note"),
        (ChangeForm(language="Klingon!"), "language"),
        (ChangeForm(bin="A", clear="bin"), "bin"),
        (ChangeForm(clear=["bin", "station"]), "clear"),
        (ChangeForm(paid="2.50"), "paid"),
        (ChangeForm(paid="much", currency="EUR"), "paid"),
        (ChangeForm(paid="-1", currency="EUR"), "paid"),
        (ChangeForm(paid="NaN", currency="EUR"), "paid"),
        (ChangeForm(paid="1e400", currency="EUR"), "paid"),
        (ChangeForm(paid="1e999999", currency="EUR"), "paid"),
        (ChangeForm(paid="2.505", currency="EUR"), "paid"),
        (ChangeForm(paid="2", currency="EUR", clear="paid"), "paid"),
        (ChangeForm(grader="PSA"), "grader"),
        (ChangeForm(certificate="7"), "grader"),
        (ChangeForm(grader="PSA", grade="9", clear="slab"), "grader"),
    ],
)
def test_a_form_that_cannot_be_right_names_its_field(form: ChangeForm, field: str) -> None:
    assert list(form.faults()) == ([field] if field else [])


def test_a_sound_form_is_read() -> None:
    form = ChangeForm(
        bin=" B1 ",
        condition="damaged",
        finish="-",
        stock="sold",
        paid="2,50",
        currency="eur",
        grader="PSA",
        grade="9",
        clear=["note", "lot"],
    )
    assert form.faults() == {}
    assert form.values(OWL) == ItemValues(
        bin="B1",
        condition=Condition.DAMAGED,
        stock=Stock.SOLD,
        paid=Money(minor=250, currency="EUR"),
        slab=Slab(grader="PSA", grade="9"),
        card=OWL,
        cleared=("finish", "lot", "note"),
    )
    assert ChangeForm(paid="250", currency="JPY").values(None).paid == Money(
        minor=250, currency="JPY"
    )
    pins = {uuid4(): 1, uuid4(): 2**31}
    assert unpacked(packed(pins)) == pins
    assert ChangeForm(pins=packed(pins)).items() == pins
    one = UUID(int=7)
    assert ChangeForm(chosen=f"{one}/3").items() == {one: 3}
    for wrong in ({"pins": "x"}, {"pins": "!!!!"}, {"chosen": "7/1"}, {"chosen": f"{one}/x"}):
        with pytest.raises(ValueError, match=r"choose them again|badly formed"):
            ChangeForm(**wrong).items()


def chosen_of(page: str) -> list[str]:
    return re.findall(r'name="chosen" value="([^"]+)"', page)


def pins_of(page: str) -> str:
    (pins,) = re.findall(r'name="pins" value="([^"]+)"', page)
    return str(pins)


pytestmark = pytest.mark.integration


async def test_cards_are_found_changed_and_changed_back(
    pool: Pool, site: httpx.AsyncClient
) -> None:
    await send(pool, *(accepted(defaults=ScanDefaults(bin="A1")) for _ in range(3)))
    await send(pool, accepted(OWL), doubtful())
    page = plain(await site.get("/items", params={"q": "fox bin:A1"}))
    assert 'data-total="items">3<' in page
    assert 'hx-get="/items/totals?q=fox+bin%3AA1"' in page
    for path in ("/items/totals", "/items"):
        valued = plain(await site.get(path, params={"q": "fox", "show": "value"}))
        assert "<dt>Without a price</dt><dd>3<" in valued
    assert (await site.get("/items/totals", params={"q": "foo:1"})).status_code == 400
    chosen = chosen_of(page)
    assert len(chosen) == 3
    values = {"bin": "B1", "stock": "sold", "paid": "2.50", "currency": "EUR", "note": "to Ann"}
    preview = await site.post("/items/preview", data={"chosen": chosen[:2], "q": "fox", **values})
    assert preview.status_code == 200
    shown = plain(preview)
    for text in (
        "Change 2 cards",
        "bin B1, note to Ann, paid €2.50, sold",
        "2 leave the inventory",
    ):
        assert text in shown, text
    made = await site.post(
        "/items/change", data={"pins": pins_of(preview.text), "q": "fox", **values}
    )
    assert "2 changed." in plain(made)
    assert 'data-total="cards">2<' in plain(await site.get("/"))
    (undo,) = re.findall(r'action="(/items/undo/[^"]+)"', made.text)
    again = await site.post("/items/change", data={"chosen": chosen[:2], "bin": "C1"})
    assert again.status_code == 409
    assert "changed meanwhile: fic1-7" in plain(again)
    assert "2 cards · bin B1, note to Ann, paid €2.50, sold" in plain(await site.get("/changes"))
    back = await site.post(undo)
    assert "Taken back: 2 are as before." in plain(back)
    assert 'data-total="cards">4<' in plain(await site.get("/"))
    everything = await site.post(
        "/items/preview", data={"everything": "yes", "q": "status:counted", "condition": "damaged"}
    )
    assert "Change 4 cards" in plain(everything)
    lines = plain(await site.get("/changes"))
    assert "Taken back: 2 cards" in lines


async def test_cards_are_counted_by_kind_and_narrowed(pool: Pool, site: httpx.AsyncClient) -> None:
    await send(pool, *(accepted(defaults=ScanDefaults(bin="A 1")) for _ in range(2)))
    await send(pool, accepted(OWL))
    for path in ("/items/facets", "/items"):
        counted = plain(await site.get(path, params={"q": "set:fic1", "show": "facets"}))
        assert '<a href="/items?q=set%3Afic1+bin%3A%22A+1%22">A 1</a> <small>2<' in counted
        assert "facet-set" not in counted, "one set tells no cards apart"
    alone = plain(await site.get("/items/facets", params={"q": "owl"}))
    assert "All of these cards are of one kind." in alone
    assert (await site.get("/items/facets", params={"q": "foo:1"})).status_code == 400
    assert 'hx-get="/items/facets?q=owl"' in plain(await site.get("/items", params={"q": "owl"}))


async def test_a_search_is_kept_under_a_name_and_removed(
    pool: Pool, site: httpx.AsyncClient
) -> None:
    await send(pool, accepted(), accepted(OWL))
    assert "Save this search" not in plain(await site.get("/items")), "everything is no search"
    assert "Save this search" in plain(await site.get("/items", params={"q": "owl"}))
    kept = {"name": " The  owls ", "q": "owl order:name"}
    saved = plain(await site.post("/items/views", data=kept))
    assert "Saved: it is among the views now." in saved
    chip = '<a href="/items?q=owl+order%3Aname"'
    assert chip in plain(await site.get("/items"))
    again = await site.post("/items/views", data=kept)
    assert again.status_code == 409
    assert "there is a view “The owls” already" in plain(again)
    for name, query, why in (
        (" ", "owl", "a name has 1 to 60 letters"),
        ("x" * 61, "owl", "a name has 1 to 60 letters"),
        ("x", "pricy>1", "the search cannot be read"),
        ("x", " ", "search for something first"),
    ):
        refused = await site.post("/items/views", data={"name": name, "q": query})
        assert refused.status_code == 409
        assert why in plain(refused)
    assert (await site.get("/api/v1/shop/views")).json() == {
        "views": [{"name": "The owls", "q": "owl order:name"}]
    }
    shown = plain(await site.get("/items", params={"q": kept["q"]}))
    assert 'action="/items/views/remove"' in shown
    removed = plain(await site.post("/items/views/remove", data={"name": "The owls"}))
    assert "The view is removed." in removed
    assert chip not in removed
    assert (await site.post("/items/views/remove", data={"name": "The owls"})).status_code == 404
    for number in range(MOST):
        await site.post("/items/views", data={"name": f"view {number}", "q": "owl"})
    full = await site.post("/items/views", data={"name": "one more", "q": "owl"})
    assert f"there are {MOST} views" in plain(full)


async def test_a_misspelt_word_is_corrected_where_nothing_is_found(
    pool: Pool, site: httpx.AsyncClient
) -> None:
    await send(pool, accepted(defaults=ScanDefaults(bin="A1")), accepted(OWL))
    (name,) = re.findall(r"[a-z]{4,}", OWL.name.lower())[:1]
    wrong = name[0] + name[2] + name[1] + name[3:]
    page = plain(await site.get("/items", params={"q": f"{wrong} -bin:A1"}))
    assert f"No card fits “{wrong} -bin:A1”. Shown is “{name} -bin:A1”." in page
    assert 'data-total="items">1<' in page
    assert f'value="{wrong} -bin:A1"' in page, "what was typed is kept"
    assert "/items/totals?q=" + name in page, "the links are for what is shown"
    nothing = plain(await site.get("/items", params={"q": f"{wrong} bin:A1"}))
    assert "No card fits." in nothing
    assert "Shown is" not in nothing
    found = (await site.get("/api/v1/shop/cards", params={"q": wrong})).json()
    assert (found["count"], found["meant"]) == (0, name)


async def test_only_what_is_in_the_inventory_leaves_it(pool: Pool, site: httpx.AsyncClient) -> None:
    await send(pool, accepted(), doubtful())
    chosen = chosen_of(plain(await site.get("/items")))
    sold = {"chosen": chosen, "stock": "sold"}
    shown = plain(await site.post("/items/preview", data=sold))
    assert "Change 2 cards" in shown
    assert "1 leave the inventory" in shown


async def test_one_card_is_changed_on_its_page(pool: Pool, site: httpx.AsyncClient) -> None:
    scan = accepted()
    await send(pool, scan, accepted(OWL))
    (chosen,) = chosen_of((await site.get(f"/items/{scan.scan}")).text)
    answer = await site.post(
        "/items/change",
        data={"chosen": chosen, "back": f"/items/{scan.scan}", "card": OWL.id, "note": "<b>"},
    )
    assert (answer.status_code, answer.headers["location"]) == (303, f"/items/{scan.scan}")
    page = plain(await site.get(f"/items/{scan.scan}"))
    for text in ("Dusk Owl", "&lt;b&gt;", "Changed: is Dusk Owl 010/040, note &lt;b&gt;, by"):
        assert text in page
    nowhere = await site.post(
        "/items/change", data={"chosen": chosen[:-1] + "2", "back": "/items/x", "bin": "A"}
    )
    assert (nowhere.status_code, "1 changed." in plain(nowhere)) == (200, True)


@pytest.mark.parametrize(
    ("data", "status", "said"),
    [
        ({}, 409, "nothing is chosen"),
        ({"bin": "A"}, 409, "nothing is chosen"),
        ({"chosen": "x", "bin": "A"}, 409, "Not changed"),
        ({"chosen": f"{uuid4()}/1", "bin": "A"}, 404, "no card"),
        ({"pins": "%%%", "bin": "A"}, 409, "choose them again"),
        ({"chosen": "ITEM", "card": "none-1"}, 422, "knows a card"),
        ({"bin": "typed"}, 409, 'value="typed"'),
        ({"chosen": "ITEM", "card": "none-1", "bin": "typed"}, 422, 'value="typed"'),
        ({"chosen": f"{uuid4()}/x", "bin": "typed"}, 409, 'value="typed"'),
        ({"pins": packed({uuid4(): 1 for _ in range(10_001)}), "bin": "A"}, 409, "too many"),
        ({"pins": packed({uuid4(): 1 for _ in range(33_000)}), "bin": "A"}, 409, "too many"),
        ({"chosen": "ITEM", "paid": "much"}, 422, "a currency of three letters"),
        ({"chosen": "ITEM", "note": "keep me", "finish": "x"}, 422, 'value="keep me"'),
        ({"everything": "yes", "q": "zz:1", "bin": "A"}, 409, "no keyword"),
    ],
)
async def test_what_cannot_be_changed_is_said(
    pool: Pool, site: httpx.AsyncClient, data: dict[str, str], status: int, said: str
) -> None:
    scan = accepted()
    await send(pool, scan)
    sent = {name: f"{scan.scan}/1" if value == "ITEM" else value for name, value in data.items()}
    for path in ("/items/preview", "/items/change"):
        if path == "/items/preview" and status == 404 and "card" not in data:
            continue
        answer = await site.post(path, data=sent)
        assert (answer.status_code, said in plain(answer)) == (status, True), plain(answer)
    assert await TenantDatabase(pool, "shop").fetchval("SELECT version FROM items") == 1
    assert (await site.post(f"/items/undo/{uuid4()}")).status_code == 404


async def test_a_query_that_cannot_be_read_says_where(site: httpx.AsyncClient) -> None:
    page = plain(await site.get("/items", params={"q": "fox pricy>5"}))
    assert "There is no keyword `pricy`; did you mean `price:`?<" in page
    assert '<pre class="where">fox <mark>pricy</mark>&gt;5</pre>' in page
    part = await site.get(
        "/items", params={"q": "fox"}, headers={**HTMX_REQUEST, "hx-target": "items"}
    )
    assert "<html" not in part.text
    assert part.headers["hx-push-url"] == "/items?q=fox"
    for query in ("x" * 20_000, "\x00", "<script>", "﷽", "﻿e\u0301\u200d\u202e", "page"):
        answer = await site.get("/items", params={"q": query})
        assert answer.status_code == 200
        assert "<script>alert" not in answer.text
    assert (await site.get("/items?page=99999999999")).status_code == 200
    assert (await site.get("/items?page=x")).status_code == 400


async def test_what_was_found_is_downloaded(pool: Pool, site: httpx.AsyncClient) -> None:
    sly = Card(id="x-1", name="=HYPERLINK(1)", number="1", set_id="x", set_name='Qu"ote, x')
    scans = [accepted(sly), accepted(), doubtful()]
    await send(pool, *scans)
    paid = ItemValues(paid=Money(minor=123456, currency="EUR"), bin="-B")
    await change_items(pool, "shop", {scans[1].scan: 1}, paid, user="ann", now=NOW)
    answer = await site.get("/items/download/csv", params={"q": "order:name"})
    assert answer.headers["content-disposition"] == 'attachment; filename="cards-2026-11-22.csv"'
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["name"] for row in rows] == ["'=HYPERLINK(1)", "Ember Fox", ""]
    assert (rows[1]["paid"], rows[1]["paid_currency"], rows[1]["bin"]) == ("1234.56", "EUR", "'-B")
    assert rows[0]["set_name"] == 'Qu"ote, x'
    found: list[dict[str, Any]] = (await site.get("/items/download/json?q=fox")).json()
    assert [(one["card_id"], one["bin"]) for one in found] == [(FOX.id, "-B")]
    assert (await site.get("/items/download/json?q=nothing")).json() == []
    assert (await site.get("/items/download/xml")).status_code == 400
    assert (await site.get("/items/download/csv?q=zz:1")).status_code == 400

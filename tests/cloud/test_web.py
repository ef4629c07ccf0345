"""The dashboard on a real Postgres and a real server.

What it shows, what it takes, what it refuses.
"""

import hashlib
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from uuid import UUID, uuid4

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncEngine

from cardmint_cloud.adapters.images.folder import FolderStorage
from cardmint_cloud.adapters.images.intake import MAX_BYTES
from cardmint_cloud.adapters.postgres.connection import Pool, TenantDatabase, tenant_transaction
from cardmint_cloud.adapters.postgres.migrate import engine_for
from cardmint_cloud.adapters.postgres.queries.inventory import InventoryFilter
from cardmint_cloud.domain.items import review_task_id
from cardmint_cloud.ingest.commit import commit
from cardmint_cloud.ingest.read import MqttMessage, read_message
from cardmint_cloud.local.processes import free_port
from cardmint_cloud.reviews.answers import request_rescan
from cardmint_cloud.web.inventory_pages import inventory_address, parse_filter
from cardmint_cloud.web.routes import build_dashboard
from cardmint_contracts.cards import Card, Condition, Finish, Image, ScanDefaults
from cardmint_contracts.events import ImageEvicted, StreamOpened
from cardmint_contracts.http import image_path
from tests.cloud.kit.cards import FOX, NOW, OWL, accepted, doubtful, send
from tests.cloud.kit.images import picture
from tests.cloud.kit.prices import QuoteSourceStub, price_due, quote
from tests.cloud.kit.web import HTMX_REQUEST, plain, serve

pytestmark = pytest.mark.integration


def image_of(content: bytes) -> Image:
    sha256 = hashlib.sha256(content).hexdigest()
    return Image(sha256=sha256, bytes=len(content), width=63, height=88)


async def upload(site: httpx.AsyncClient, content: bytes, item: UUID) -> None:
    path = image_path("shop", image_of(content).sha256, str(item))
    assert (await site.put(path, content=content)).status_code == 201


async def test_every_page_shows_what_is_there_and_escapes_it(
    pool: Pool, site: httpx.AsyncClient
) -> None:
    sly = Card(
        id="x-1!?",
        name="<script>alert(1)</script>",
        number="1",
        set_id="<b>",
        set_name='"><img src=x>',
    )
    image = image_of(picture())
    scan = accepted(
        sly,
        image=image,
        defaults=ScanDefaults(finish=Finish.HOLO, condition=Condition.NEAR_MINT, bin="<i>"),
    )
    await send(pool, scan, accepted(), doubtful(image=image), time=NOW - timedelta(minutes=3))
    await upload(site, picture(), scan.scan)
    provider = QuoteSourceStub(answers={sly.id: [quote(1234, "holo")], FOX.id: [quote(500)]})
    await price_due(pool, provider, NOW - timedelta(days=0))
    for path, expected in {
        "/": "$12.34",
        "/newest": f"/images/shop/{image.sha256}",
        "/waiting": "Reviews",
        "/cards/x-1!%3F": "polyline",
        f"/items/{scan.scan}": "Recognised as",
        "/reviews": "Same art",
        "/stations": "No station",
        "/dead-letters": "Nothing is parked",
    }.items():
        page = await site.get(path)
        assert (page.status_code, page.headers["content-type"]) == (
            200,
            "text/html; charset=utf-8",
        ), path
        assert expected in plain(page), path
        for raw in ("<script>alert", "<img src=x", "<i>"):
            assert raw not in plain(page), path
        assert "default-src 'self'" in page.headers["content-security-policy"]
        assert "unsafe" not in page.headers["content-security-policy"]
        for inline in (" style=", " onclick=", "<style"):
            assert inline not in plain(page), path


async def test_an_open_finish_is_shown_as_from(pool: Pool, site: httpx.AsyncClient) -> None:
    await send(pool, accepted(), accepted())
    await price_due(pool, QuoteSourceStub(answers={FOX.id: [quote(500), quote(900, "holo")]}), NOW)
    page = plain(await site.get("/"))
    assert '<span class="from">from </span>$5.00' in page
    assert '<span class="from">from </span>$10.00' in page


async def test_the_inventory_is_asked_for_in_parts_with_its_address(
    pool: Pool, site: httpx.AsyncClient
) -> None:
    await send(pool, accepted(), accepted(OWL))
    part = await site.get(
        "/?q=fox&sort=name&dir=&set=", headers={**HTMX_REQUEST, "hx-target": "inventory"}
    )
    assert "<html" not in part.text
    assert "Ember Fox" in part.text
    assert "Dusk Owl" not in part.text
    assert part.headers["hx-push-url"] == "/?q=fox"
    live = await site.get(
        "/?q=fox", headers={**HTMX_REQUEST, "hx-target": "inventory", "hx-trigger": "inventory"}
    )
    assert "hx-push-url" not in live.headers
    assert "No card fits" in plain(await site.get("/?q=zebra"))


async def test_a_page_beyond_the_last_is_the_last(pool: Pool, site: httpx.AsyncClient) -> None:
    await send(pool, accepted(), accepted(OWL))
    page = plain(await site.get("/?size=1&page=99"))
    assert "2–2 of 2 lines" in page
    assert 'rel="prev"' in page
    assert 'rel="next"' not in page


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20)


@given(
    want=st.builds(
        InventoryFilter,
        words=TEXTS,
        set_id=TEXTS,
        finish=st.sampled_from(["", "open", *Finish]),
        condition=st.sampled_from(["", "open", *Condition]),
        sort=st.sampled_from(["name", "number", "count", "price", "value"]),
        descending=st.booleans(),
        page=st.integers(1, 1000),
        size=st.integers(1, 500),
    )
)
def test_an_address_says_what_is_wanted_and_nothing_else(want: InventoryFilter) -> None:
    assert (
        parse_filter(
            dict(parse_qsl(urlsplit(inventory_address(want)).query, keep_blank_values=True))
        )
        == want
    )


@given(
    st.dictionaries(
        st.sampled_from(["q", "set", "finish", "condition", "sort", "dir", "page", "size"]), TEXTS
    )
)
def test_any_address_is_a_page(query: dict[str, str]) -> None:
    want = parse_filter(query)
    assert want.page >= 1
    assert 1 <= want.size <= 500


async def test_a_review_is_answered_by_a_click_and_the_second_is_told(
    pool: Pool, owner: Pool, site: httpx.AsyncClient
) -> None:
    scan = doubtful()
    await send(pool, scan)
    url = f"/reviews/{review_task_id(scan.scan)}"
    htmx = {**HTMX_REQUEST, "hx-target": "reviews"}
    done = await site.post(url, data={"version": "1", "card": OWL.id}, headers=htmx)
    assert (done.status_code, "<html" in done.text) == (200, False)
    assert "Answered: Dusk Owl 010/040." in done.text
    late = await site.post(url, data={"version": "1", "card": FOX.id}, headers=htmx)
    assert late.status_code == 409
    assert "dashboard answered first at 12:00:00 UTC: Dusk Owl 010/040" in late.text
    assert await owner.fetchval("SELECT card_id FROM holdings WHERE count > 0") == OWL.id


async def test_a_review_is_answered_without_scripts(
    pool: Pool, owner: Pool, site: httpx.AsyncClient
) -> None:
    first, second = doubtful(), doubtful()
    await send(pool, first, second, accepted(Card(id="other-1", name="Moth")))
    done = await site.post(
        f"/reviews/{review_task_id(first.scan)}", data={"version": "1", "card": ""}
    )
    assert (done.status_code, done.headers["location"]) == (303, "/reviews")
    assert (
        await owner.fetchval("SELECT status FROM items WHERE item = $1", first.scan) == "rejected"
    )
    other = await site.post(
        f"/reviews/{review_task_id(second.scan)}", data={"version": "1", "card": "other-1"}
    )
    assert other.status_code == 303
    assert (
        await owner.fetchval(
            "SELECT name FROM items JOIN printings USING (tenant, card_id) WHERE item = $1",
            second.scan,
        )
        == "Moth"
    )
    item = plain(await site.get(f"/items/{second.scan}"))
    assert "Answered: Moth, by dashboard" in item


async def test_a_wrong_answer_is_a_page_that_says_so(pool: Pool, site: httpx.AsyncClient) -> None:
    scan = doubtful()
    await send(pool, scan)
    url = f"/reviews/{review_task_id(scan.scan)}"
    for headers in (None, {**HTMX_REQUEST, "hx-target": "reviews"}):
        unknown = await site.post(url, data={"version": "1", "card": "no-1\x00"}, headers=headers)
        assert unknown.status_code == 404
        assert "no station and no catalogue knows a card" in unknown.text
        assert ("<html" in unknown.text) == (headers is None)
    assert (await site.post(url, data={"version": "x"})).status_code == 400
    assert (await site.post(f"/reviews/{uuid4()}", data={"version": "1"})).status_code == 404
    for path in (
        "/cards/none",
        f"/items/{uuid4()}",
        "/items/7",
        "/nowhere",
        "/dead-letters/1/payload",
    ):
        page = await site.get(path)
        assert (page.status_code, "Back to the inventory" in plain(page)) == (404, True), path


async def park(pool: Pool) -> int:
    bad = MqttMessage(
        topic="cardmint/v1/shop/left/events", payload=b"<script>\xff{", content_type="text/<b>"
    )
    found = read_message(bad)
    assert found is not None
    async with tenant_transaction(pool, "shop") as connection:
        await commit(connection, [found], NOW)
    number: int = await TenantDatabase(pool, "shop").fetchval("SELECT max(id) FROM dead_letters")
    return number


async def test_a_dead_letter_is_shown_replayed_and_discarded(
    pool: Pool, site: httpx.AsyncClient
) -> None:
    letter = await park(pool)
    page = plain(await site.get("/dead-letters"))
    assert "Malformed" in page
    assert "<script>\ufffd" not in page
    whole = await site.get(f"/dead-letters/{letter}/payload")
    assert (whole.content, whole.headers["content-type"]) == (
        b"<script>\xff{",
        "application/octet-stream",
    )
    assert "attachment" in whole.headers["content-disposition"]
    again = await site.post(
        f"/dead-letters/{letter}/replay", headers={**HTMX_REQUEST, "hx-target": "dead-letters"}
    )
    assert (again.status_code, "It still cannot be used" in again.text) == (409, True)
    gone = await site.post(
        f"/dead-letters/{letter}/discard", headers={**HTMX_REQUEST, "hx-target": "dead-letters"}
    )
    assert (gone.status_code, "Discarded." in gone.text) == (200, True)
    for action in ("replay", "discard"):
        assert (await site.post(f"/dead-letters/{letter}/{action}")).status_code == 404
    letter = await park(pool)
    assert (await site.post(f"/dead-letters/{letter}/discard")).status_code == 303


async def test_a_dead_letter_that_can_be_used_now_is_applied(
    pool: Pool, owner: Pool, site: httpx.AsyncClient
) -> None:
    good = accepted()
    await send(pool, good)
    for headers, status in ((None, 303), ({**HTMX_REQUEST, "hx-target": "dead-letters"}, 200)):
        letter = await park(pool)
        await owner.execute(
            "UPDATE dead_letters SET content_type = 'application/cloudevents+json', payload = $1",
            await replayable(pool),
        )
        assert (
            await site.post(f"/dead-letters/{letter}/replay", headers=headers)
        ).status_code == status


async def replayable(pool: Pool) -> bytes:
    from cardmint_contracts.envelope import seal
    from cardmint_contracts.wire import encode

    envelope = seal(
        accepted(OWL),
        source="/stations/left",
        time=NOW,
        stream=uuid4(),
        sequence=1,
        bootid=UUID(int=1),
        monotonic_ms=1,
        clock_synced=True,
    )
    return encode(envelope)


async def test_stations_are_shown_with_their_state(
    pool: Pool, owner: Pool, site: httpx.AsyncClient
) -> None:
    stream = uuid4()
    await send(pool, accepted(), accepted(), stream=stream)
    health = (
        '{"queued": 12, "oldest_unsent_s": 4.2, "disk_free_bytes": 1500, "clock_synced": true,'
        ' "scanned": 3}'
    )
    for station, online, said in (("left", True, health), ("right", False, None)):
        await owner.execute(
            "INSERT INTO stations VALUES ('shop', $1, $2, 1, $3, $4, '0.1.0', $5, $6, $5)",
            *(
                station,
                online,
                uuid4(),
                stream if online else uuid4(),
                NOW - timedelta(hours=2),
                said,
            ),
        )
    page = await site.get("/stations", headers={**HTMX_REQUEST, "hx-target": "stations"})
    assert "<html" not in plain(page)
    for text in ("Online", "Offline", "up to 2", "nothing yet", "oldest 4 s", "1.5 kB", "2 h ago"):
        assert text in plain(page)
    assert (await site.get("/api/v1/tenant")).json() == {"tenant": "shop"}
    found = (await site.get("/api/v1/shop/stations")).json()["stations"]
    assert [(s["station"], s["sequence"]) for s in found] == [("left", 2), ("right", None)]


async def test_two_boxes_and_new_streams_are_shown(
    pool: Pool, owner: Pool, site: httpx.AsyncClient
) -> None:
    await owner.execute(
        "INSERT INTO stations VALUES ('shop', 'left', true, 1, $1, $1, '0.1.0', $2, NULL, NULL,"
        " NULL, NULL, $1, $2)",
        uuid4(),
        NOW,
    )
    opened = StreamOpened(
        reason="cloud-restored",
        previous=uuid4(),
        acknowledged=1215,
        last=1218,
        resent=1200,
        missing=2,
        missing_first=14,
        missing_last=1215,
    )
    of_other_tenant = replace(opened, reason="renamed", previous=uuid4(), resent=0, missing=0)
    await send(pool, opened, of_other_tenant)
    await owner.execute(
        "INSERT INTO watermarks (tenant, stream, source, sequence, updated_at)"
        " VALUES ('shop', $1, '/stations/left', 13, $2)",
        opened.previous,
        NOW,
    )
    page = plain(await site.get("/stations"))
    for text in ("Two boxes had this name", "Cloud restored", "1,200 events sent again"):
        assert text in page
    assert "missing: 2 events of 14 to 1,215" in page
    assert "since the database" not in page
    await owner.execute("UPDATE watermarks SET sequence = 10 WHERE sequence = 13")
    page = plain(await site.get("/stations"))
    assert "missing since the database was restored: 3 events, 11 to 13" in page


async def test_the_ledger_of_images_given_up_is_shown(
    pool: Pool, owner: Pool, site: httpx.AsyncClient
) -> None:
    await owner.execute(
        "INSERT INTO stations VALUES ('shop', 'left', true, 1, $1, $1, '0.1.0', $2, NULL, NULL)",
        uuid4(),
        NOW,
    )
    assert "Images given up</dt><dd>none" in plain(await site.get("/stations"))
    image = Image(sha256="ab" * 32, bytes=2_000_000, width=63, height=88)
    gone = Image(sha256="cd" * 32, bytes=500_000, width=63, height=88)
    waits, lost = accepted(image=image), accepted(image=gone)
    whole = ImageEvicted(
        sha256=image.sha256, bytes=image.bytes, kind="full", uploaded=True, reason="disk-short"
    )
    before = ImageEvicted(
        sha256=gone.sha256, bytes=gone.bytes, kind="full", uploaded=False, reason="disk-short"
    )
    small = replace(whole, kind="thumbnail")
    await send(pool, waits, lost, whole, small, before, time=NOW - timedelta(minutes=5))
    page = plain(await site.get("/stations"))
    assert (
        "Images given up</dt><dd>2<small>2.5 MB · 1 before their upload · 1 small ones too</small>"
        in page
    )
    assert "Whole, 2.0 MB: Disk short <code>abababababab</code>" in page
    assert "Small one: Disk short <code>abababababab</code>" in page
    assert "Whole, 500 kB, before its upload: Disk short <code>cdcdcdcdcdcd</code>" in page
    assert "image on its way" in plain(await site.get(f"/items/{waits.scan}"))
    assert "given up by the station" in plain(await site.get(f"/items/{lost.scan}"))


async def test_programs_read_the_same_as_json(pool: Pool, site: httpx.AsyncClient) -> None:
    await send(pool, accepted(), accepted(), accepted(OWL), doubtful())
    await price_due(pool, QuoteSourceStub(answers={FOX.id: [quote(500)]}), NOW)
    found = (await site.get("/api/v1/shop/inventory?q=fox")).json()
    assert (found["total"], found["lines"][0]["count"], found["lines"][0]["value"]) == (1, 2, 1000)
    assert found["totals"]["worth"] == [{"currency": "USD", "minor": 1000, "lowest": True}]
    assert len((await site.get("/api/v1/shop/reviews")).json()["reviews"]) == 1
    seen: list[str] = []
    after, more = "", True
    while more:
        answer = (await site.get("/api/v1/shop/items", params={"after": after, "limit": 3})).json()
        after, more = answer["next"], answer["more"]
        seen += [item["item"] for item in answer["items"]]
    assert len(set(seen)) == len(seen) == 4
    assert (await site.get("/api/v1/shop/items", params={"after": after})).json()["next"] == after
    for wrong in ("x", "2026-01-01_7"):
        assert (await site.get("/api/v1/shop/items", params={"after": wrong})).status_code == 400
    assert (await site.get("/api/v1/other/inventory")).json()["total"] == 0
    assert (await site.get("/api/v1/No%20Tenant/inventory")).status_code == 400


async def test_an_image_is_taken_once_checked_and_handed_out_for_ever(
    pool: Pool, site: httpx.AsyncClient
) -> None:
    content, huge = picture("PNG"), b"\xff" * (MAX_BYTES + 1)
    image, wrong_name = image_of(content), Image(sha256="0" * 64, bytes=9, width=9, height=9)
    scan = accepted(image=image)
    await send(pool, scan, accepted(image=wrong_name), accepted(image=image_of(huge)))
    await upload(site, content, scan.scan)
    url = f"/api/v1/shop/images/{image.sha256}"
    assert (await site.put(url, content=content)).status_code == 200
    got = await site.get(f"/images/shop/{image.sha256}")
    assert (got.content, got.headers["content-type"]) == (content, "image/png")
    assert "immutable" in got.headers["cache-control"]
    assert got.headers["x-content-type-options"] == "nosniff"
    wrong = await site.put(f"/api/v1/shop/images/{'0' * 64}", content=content)
    assert (wrong.status_code, wrong.json()["reason"]) == (422, "digest-mismatch")
    large = await site.put(f"/api/v1/shop/images/{image_of(huge).sha256}", content=huge)
    assert (large.status_code, large.json()["reason"]) == (413, "too-large")
    assert (await site.get(f"/images/shop/{'1' * 64}")).status_code == 404
    assert (await site.put("/api/v1/shop/images/..%2F..%2Fx", content=b"")).status_code in {
        400,
        404,
    }
    assert (await site.get("/images/shop/abc")).status_code == 400


async def test_only_an_image_that_an_event_names_is_taken(
    pool: Pool, site: httpx.AsyncClient
) -> None:
    first, again, other = (picture(form) for form in ("JPEG", "PNG", "WEBP"))
    scan = doubtful(image=image_of(first))
    rescan = accepted(image=image_of(again), rescan_of=scan.scan)
    elsewhere = accepted(image=image_of(other))
    await send(pool, scan, rescan)
    await send(pool, elsewhere, tenant="other")

    async def put(content: bytes, item: UUID | None) -> int:
        path = image_path("shop", image_of(content).sha256, str(item or ""))
        answer = await site.put(path, content=content)
        assert answer.is_success or answer.json()["reason"] == "unnamed"
        return answer.status_code

    for item in (scan.scan, rescan.scan, elsewhere.scan, uuid4(), None):
        assert await put(other, item) == 422
    assert await put(again, rescan.scan) == 422, "its event is about the first scan's item"
    assert await put(again, scan.scan) == 201
    assert await put(first, None) == 201, "as stations up to version 0.1.0 ask"
    last = picture("PNG") + b"another one"
    assert await put(last, None) == 422
    await request_rescan(pool, "shop", review_task_id(scan.scan), version=1, user="ann", now=NOW)
    await send(pool, accepted(image=image_of(last), rescan_of=scan.scan))
    assert await put(last, None) == 201, "the re-scan that answered a question"
    url = f"/api/v1/shop/images/{image_of(other).sha256}"
    assert (await site.put(url + "?item=7", content=other)).status_code == 400


async def test_a_thumbnail_is_only_made_of_an_image_that_an_event_names(
    pool: Pool, site: httpx.AsyncClient, tmp_path: Path
) -> None:
    image, scan, named = image_of(picture()), accepted(), doubtful(image=image_of(picture()))
    await send(pool, scan, named)
    await upload(site, picture(), named.scan)
    url = f"/images/shop/{image.sha256}?size=thumbnail"
    thumbnail = tmp_path / "images" / "shop" / image.sha256[:2] / f"{image.sha256}.thumbnail"
    for other in ("", f"&item={scan.scan}", f"&item={uuid4()}"):
        whole = await site.get(url + other)
        assert (whole.content, whole.headers["cache-control"]) == (picture(), "no-store")
    assert not thumbnail.exists()
    page = plain(await site.get("/newest"))
    assert f"{url}&amp;item={named.scan}" in page
    for address in (f"{url}&item={named.scan}", url):
        small = await site.get(address)
        assert small.headers["content-type"] == "image/webp"
        assert "immutable" in small.headers["cache-control"]
    assert thumbnail.exists()
    assert (await site.get(f"{url}&item=7")).status_code == 400


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "evil.example"}, 421),
        ({"host": "127.0.0.1.evil.example:80"}, 421),
        ({"host": ""}, 421),
        ({"host": "localhost:1"}, 404),
        ({"host": "[::1]:1"}, 404),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://127.0.0.1:1"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"sec-fetch-site": "same-origin"}, 404),
        ({"host": "localhost:1", "origin": "http://localhost:1"}, 404),
        ({}, 404),
    ],
)
async def test_only_this_sites_pages_may_change_things(
    site: httpx.AsyncClient, headers: dict[str, str], status: int
) -> None:
    answer = await site.post("/dead-letters/7/discard", headers=headers)
    assert answer.status_code == status
    assert "content-security-policy" in answer.headers


async def test_the_files_are_kept_by_browsers_and_named_by_content(site: httpx.AsyncClient) -> None:
    page = plain(await site.get("/"))
    for name in ("app.css", "app.js", "htmx.js", "sse.js", "icon.svg"):
        url = next(part for part in page.split('"') if part.startswith(f"/static/{name}?v="))
        file = await site.get(url)
        assert (file.status_code, "immutable" in file.headers["cache-control"]) == (200, True)
    assert (await site.get("/static/none.js")).status_code == 404


async def test_health_and_metrics(pool: Pool, site: httpx.AsyncClient) -> None:
    await send(pool, accepted(), doubtful())
    assert (await site.get("/healthz")).json()["database"] is True
    await site.get(f"/items/{uuid4()}")
    text = plain(await site.get("/metrics"))
    for line in (
        'cardmint_items{status="counted"} 1.0',
        'cardmint_items{status="rejected"} 0.0',
        'cardmint_waiting{what="reviews"} 1.0',
        'cardmint_http_requests_total{method="GET",route="/items/{item}",status="404"} 1.0',
        "cardmint_sse_clients 0.0",
    ):
        assert line in text


@pytest.mark.greenlets
async def test_without_a_database_every_page_says_so(pool: Pool, tmp_path: Path) -> None:
    away = engine_for(f"postgresql://nobody@127.0.0.1:{free_port()}/none")
    async with serve(
        build_dashboard(engine=away, pool=pool, images=FolderStorage(tmp_path), tenant="shop")
    ) as site:
        assert (await site.get("/healthz")).status_code == 503
        assert (await site.get("/api/v1/shop/inventory")).status_code == 503
        page = await site.get("/")
        assert (page.status_code, "does not answer" in plain(page)) == (503, True)
    await away.dispose()


async def test_a_fault_is_a_page_and_logged(
    pool: Pool, engine: AsyncEngine, tmp_path: Path
) -> None:
    def broken() -> Any:
        raise ZeroDivisionError

    app = build_dashboard(
        engine=engine, pool=pool, images=FolderStorage(tmp_path), tenant="shop", clock=lambda: NOW
    )
    from litestar import get

    app.register(get("/broken", sync_to_thread=False)(broken))
    async with serve(app) as site:
        page = await site.get("/broken")
        assert (page.status_code, "fault in CardMint" in plain(page)) == (500, True)


async def test_the_navigation_knows_which_page_asks(site: httpx.AsyncClient) -> None:
    for page, current in (("/reviews?x", "/reviews"), ("/?q=fox", "/"), ("/cards/a-1", None)):
        part = plain(
            await site.get(
                "/waiting", headers={**HTMX_REQUEST, "hx-current-url": f"http://localhost:1{page}"}
            )
        )
        assert part.count("aria-current") == (current is not None)
        assert current is None or f'href="{current}" aria-current="page"' in part


async def test_prices_of_two_days_are_a_line_in_each_currency(
    pool: Pool, site: httpx.AsyncClient
) -> None:
    await send(pool, accepted(), now=NOW - timedelta(days=7))
    for day, minor in enumerate((500, 700)):
        await price_due(
            pool,
            QuoteSourceStub(answers={FOX.id: [quote(minor), quote(900, "holo")]}),
            NOW - timedelta(days=6 - 4 * day),
        )
    page = plain(await site.get(f"/cards/{FOX.id}"))
    assert page.count("<polyline") == 2
    assert "Prices in USD from $5.00 to $9.00" in page
    assert "3 prices as the provider gave them" in page
    assert "Asked again" in page

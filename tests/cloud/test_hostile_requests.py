"""Whatever a request carries, it gets the status that fits: never 500, and 503 without a fault."""

import itertools
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from litestar import Litestar, get
from litestar.routes import HTTPRoute
from sqlalchemy.ext.asyncio import AsyncEngine

from cardmint_cloud.adapters.images.folder import FolderStorage
from cardmint_cloud.adapters.postgres.connection import Pool
from cardmint_cloud.domain.items import review_task_id
from cardmint_cloud.web.routes import build_dashboard
from tests.cloud.kit.cards import FOX, NOW, accepted, doubtful, send
from tests.cloud.kit.web import HTMX_REQUEST, serve

pytestmark = [pytest.mark.integration, pytest.mark.long]

NUMBERS = ("1" + "0" * 20, "9223372036854775808", "2147483648", "-1", "9" * 5000)
TEXTS = ("%00", "%FF", "%ED%A0%80", "%25", "'", "a" * 3000, "..%2F..", "NaN", "%C2%B2")
MOMENTS = (
    *("0001-01-01", "9999-12-31", "0001-01-01T00:00:00%2B23:59", "9999-12-31T23:59:59-23:59"),
    *("0000-01-01", "10000-01-01", "2026-W01-1", "2026-11-22T12:00:00%2B00:00:00.000001"),
)
CURSORS = (*(f"{moment}_{uuid4()}" for moment in MOMENTS), "_", "2026-11-22_", f"_{uuid4()}")
HOSTILE = (*NUMBERS, *TEXTS, "", "0001-01-01", str(uuid4()))
FOUND = ("scanned:9999-12-31", "price:1e400", 'bin:"', "a*", "-" * 50, "scanned:0000-00")
INVENTORY: dict[str, tuple[str, ...]] = dict.fromkeys(
    ("q", "set", "finish", "sort", "page", "size"), HOSTILE
)
QUERIES: dict[str, dict[str, tuple[str, ...]]] = {
    "/": INVENTORY,
    "/api/v1/{tenant:str}/inventory": INVENTORY,
    "/api/v1/{tenant:str}/items": {"after": (*CURSORS, *TEXTS), "limit": NUMBERS},
    "/value": {"at": (*MOMENTS, *HOSTILE), "lot": TEXTS, "span": HOSTILE},
    "/api/v1/{tenant:str}/value": {"at": (*MOMENTS, *HOSTILE), "lot": TEXTS, "card": TEXTS},
    "/items": {"q": (*TEXTS, *HOSTILE, *FOUND), "page": NUMBERS},
    "/items/totals": {"q": (*TEXTS, *FOUND)},
    "/items/facets": {"q": (*TEXTS, *FOUND)},
    "/items/labels": {"q": (*TEXTS, *FOUND), "of": TEXTS},
    "/items/download/{form:str}": {"q": (*TEXTS, *FOUND)},
    "/items/insurance": {"q": (*TEXTS, *FOUND)},
    "/items/export": {"q": (*TEXTS, *FOUND), "form": (*TEXTS, "collectr")},
    "/reviews": dict.fromkeys(("reason", "station", "lot", "page"), (*TEXTS, *NUMBERS)),
    "/reviews/cards": dict.fromkeys(("task", "version", "q"), HOSTILE),
    "/images/{tenant:str}/{sha256:str}": {"size": TEXTS, "item": HOSTILE},
}
CHANGE = {
    **dict.fromkeys(("bin", "note", "language", "condition", "stock", "card", "clear"), TEXTS),
    "paid": (*NUMBERS, "NaN", "1e999"),
    "chosen": (*TEXTS, *(f"{uuid4()}/{n}" for n in NUMBERS)),
    "pins": (*TEXTS, "AAAA", "A" * 5000),
    "everything": ("yes",),
}
FORMS: dict[str, dict[str, tuple[str, ...]]] = {
    "/items/preview": CHANGE,
    "/items/change": CHANGE,
    "/items/add": {**CHANGE, "quantity": NUMBERS, "reference": TEXTS},
    "/items/views": {"name": TEXTS, "q": (*TEXTS, *FOUND)},
    "/items/views/remove": {"name": TEXTS},
    "/items/market-differences": {"sku": TEXTS},
    "/reviews": {"verdict": TEXTS, "chosen": (*TEXTS, *(f"{uuid4()}/{n}" for n in NUMBERS))},
    "/reviews/{task:uuid}": {
        "version": HOSTILE,
        "card": TEXTS,
        "lease": TEXTS,
        "finish": TEXTS,
        "edition": TEXTS,
    },
}
HEADERS = (
    *(("origin", value) for value in ("http://[", "http://[::1", "//", "http://a:b:c", "null")),
    *(("hx-current-url", value) for value in ("http://[", "http://[x]/", "", "/" * 3000)),
    *(("range", value) for value in ("bytes=-", f"bytes={'9' * 400}-", "bytes=9-1", "lines=1-")),
    *(("upload-offset", value) for value in ("9" * 400, "²", "-1", "1e9", "")),
    *(("content-type", value) for value in ("", "multipart/form-data", "a/b; charset=\xff", ";")),
    *(("cookie", "=;=" * 300), ("accept", "\xff"), ("hx-target", "\xff"), ("host", "127.0.0.1:[")),
    ("if-none-match", "\xff"),
)


@pytest.fixture
async def app(pool: Pool, engine: AsyncEngine, tmp_path: Any) -> Litestar:
    return build_dashboard(
        engine=engine,
        pool=pool,
        images=FolderStorage(tmp_path / "images"),
        tenant="shop",
        artifacts=tmp_path / "artifacts",
        clock=lambda: NOW,
    )


def routes(app: Litestar) -> Iterator[tuple[str, HTTPRoute]]:
    for route in app.routes:
        if isinstance(route, HTTPRoute) and route.path != "/events":
            for method in sorted(route.methods & {"GET", "POST", "PUT", "PATCH", "HEAD"}):
                yield method, route


def paths(route: HTTPRoute, sound: dict[str, str]) -> Iterator[str]:
    """Give the route's path with sound parameters, and with each hostile value for each one."""
    parts = [part if isinstance(part, str) else part.name for part in route.path_components]
    names = [part.name for part in route.path_components if not isinstance(part, str)]

    def made(values: dict[str, str]) -> str:
        return "/" + "/".join(values.get(p, p) if p in names else p for p in parts)

    known = {name: sound[name] for name in names}
    yield made(known)
    for name, value in itertools.product(names, HOSTILE):
        if value:
            yield made({**known, name: value})


async def test_no_parameter_of_any_route_is_a_fault(pool: Pool, app: Litestar) -> None:
    asked = doubtful()
    await send(pool, accepted(), asked)
    task = str(review_task_id(asked.scan))
    sound = {
        "tenant": "shop",
        "sha256": "0" * 64,
        "card_id": FOX.id,
        "set_id": "base1",
        "item": str(asked.scan),
        "market_file": str(asked.scan),
        "task": task,
        "letter": "1",
        "number": "1",
        "verdict": "take",
        "job": "1",
        "action": "requeue",
        "name": "tcgdex",
        "secret": "x",
        "recovery": "x",
        "view": "x",
        "account": task,
        "change": task,
        "webhook": task,
        "form": "json",
    }
    wrong: list[str] = []
    async with serve(app) as site:

        async def ask(method: str, address: str, **more: Any) -> None:
            answer = await site.request(method, address, **more)
            if answer.status_code >= 500:
                wrong.append(f"{method} {address[:120]} {str(more)[:120]}: {answer.status_code}")

        for method, route in routes(app):
            good = next(paths(route, sound))
            for address in paths(route, sound):
                await ask(method, address)
            if method == "GET":
                for name, values in QUERIES.get(route.path, {}).items():
                    for value in values:
                        await ask(method, f"{good}?{name}={value}")
            if method == "POST":
                kind = {"content-type": "application/x-www-form-urlencoded"}
                usual = {"version": HOSTILE}
                for name, values in FORMS.get(route.path, usual).items():
                    for value in values:
                        form = {"version": "1", "verdict": "first", name: value}
                        body = "&".join(f"{key}={text}" for key, text in form.items())
                        await ask(method, good, content=body, headers=kind)
                for odd in (b"\xff" * 100, b"&" * 9_000, b"version=1&" * 900, b"="):
                    await ask(method, good, content=odd, headers=kind)
            if route.path in {"/waiting", "/reviews", "/api/v1/{tenant:str}/images/{sha256:str}"}:
                for header, value in HEADERS:
                    headers = {**HTMX_REQUEST, header: value.encode("latin-1")}
                    await ask(method, good, headers=headers)
    assert wrong == [], "\n".join(wrong)


@pytest.mark.parametrize(
    ("method", "address", "headers", "status"),
    [
        ("POST", "/dead-letters/7/discard", {"origin": "http://["}, 403),
        ("POST", "/dead-letters/7/discard", {}, 404),
        ("POST", f"/dead-letters/{10**20}/discard", {}, 400),
        ("POST", f"/jobs/{10**20}/requeue", {}, 400),
        ("POST", f"/held-prices/{10**20}/take", {}, 400),
        ("GET", f"/dead-letters/{10**20}/payload", {}, 400),
        ("GET", "/waiting", {"hx-current-url": "http://["}, 200),
        ("GET", "/value?at=0001-01-01", {}, 200),
        ("GET", "/api/v1/shop/value?at=0001-01-01", {}, 400),
        ("GET", "/api/v1/shop/value?at=9999-12-31", {}, 200),
        ("GET", "/api/v1/shop/value?lot=%00", {}, 200),
        ("GET", "/?q=%00", {}, 200),
        ("GET", "/events?tenant=%00", {}, 400),
    ],
)
async def test_a_wrong_value_gets_the_status_that_says_so(
    app: Litestar, method: str, address: str, headers: dict[str, str], status: int
) -> None:
    async with serve(app) as site:
        assert (await site.request(method, address, headers=headers)).status_code == status


async def test_a_value_that_the_database_refuses_is_not_its_absence(
    app: Litestar, owner: Pool
) -> None:
    @get("/unbounded")
    async def unbounded() -> None:
        await owner.fetchval("SELECT $1::int8", 10**20)

    app.register(unbounded)
    async with serve(app) as site:
        assert (await site.get("/unbounded")).status_code == 400

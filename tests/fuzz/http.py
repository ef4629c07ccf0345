"""Targets of HTTP: what providers answer, and what browsers and strangers ask of both pages."""

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import httpx

from cardmint_cloud.adapters.images.folder import FolderStorage
from cardmint_cloud.adapters.postgres.connection import tenant_transaction
from cardmint_cloud.adapters.postgres.migrate import engine_for
from cardmint_cloud.adapters.providers import pokemontcg, pricecharting, tcgcsv, tcgdex
from cardmint_cloud.adapters.providers.http import (
    ProviderHttp,
    ProviderRequest,
    ProviderUnavailable,
    UnusableAnswer,
    decode_json,
)
from cardmint_cloud.domain.price_parsing import ImplausibleAnswer
from cardmint_cloud.errors import NotFound
from cardmint_cloud.ingest.commit import commit
from cardmint_cloud.ingest.read import MqttMessage, read_message
from cardmint_cloud.local.postgres import LocalPostgres
from cardmint_cloud.log_months import make_ahead
from cardmint_cloud.web.routes import build_dashboard
from cardmint_contracts.cards import Card
from cardmint_contracts.envelope import BATCH
from cardmint_contracts.wire import encode
from cardmint_lab.system import installed_script
from tests.cloud.kit.cards import FOX, NOW, accepted, doubtful, send
from tests.cloud.kit.database import pooled
from tests.edge.kit.page import open_page_bench
from tests.edge.kit.scans import STAMP, scan_of
from tests.edge.kit.tasks import task_of
from tests.fuzz.loops import Loop
from tests.fuzz.requests import ask, request_text
from tests.fuzz.target import Run, Target

CARD = Card(id="base1-4", name="Charizard", number="4/102", set_id="base1", set_name="Base")
READERS: dict[bytes, Callable[[object], object]] = {
    b"d": lambda answer: tcgdex.read_quotes(answer, CARD.id, NOW),
    b"p": lambda answer: pokemontcg.read_quotes(answer, CARD.id, NOW),
    b"c": lambda answer: pricecharting.read_quotes(answer, CARD, NOW),
    b"f": lambda answer: tcgcsv.find_product(answer, CARD),
    b"q": lambda answer: tcgcsv.read_quotes(answer, 42, NOW),
}


@contextmanager
def open_quotes(_: Path) -> Iterator[Run]:
    """Read a provider's answer; the first byte names the provider."""

    def run(data: bytes) -> None:
        read = READERS.get(data[:1], READERS[b"d"])
        read(decode_json(data[1:]))

    yield run


def quote_seeds() -> list[bytes]:
    dated = {"updated": "2026-11-20T05:00:00.000Z"}
    holo = {**dated, "unit": "USD", "holofoil": {"marketPrice": 402.79}}
    euros = {**dated, "unit": "EUR", "trend": 1.5, "avg-holo": 2}
    block = {"updatedAt": "2026/11/20", "prices": {"holofoil": {"market": 3.1}, "trendPrice": 2}}
    product = {
        "product-name": "Charizard [Reverse Holo] #4",
        "console-name": "Pokemon Base Set",
        "loose-price": 1732,
        "graded-price": "10",
    }
    number = [{"name": "Number", "value": "004/102"}]
    answers: list[tuple[bytes, dict[str, object]]] = [
        (b"d", {"id": CARD.id, "pricing": {"tcgplayer": holo, "cardmarket": None}}),
        (
            b"d",
            {"id": CARD.id, "variants": {"normal": True}, "pricing": {"cardmarket": euros}},
        ),
        (
            b"p",
            {"data": {"id": CARD.id, "rarity": "Holo", "tcgplayer": block, "cardmarket": block}},
        ),
        (b"p", {"data": {"id": CARD.id, "tcgplayer": None, "cardmarket": block}}),
        (b"c", {"status": "success", "products": [product]}),
        (b"f", {"results": [{"productId": 42, "name": "Charizard", "extendedData": number}]}),
        (b"q", {"results": [{"productId": 42, "subTypeName": "Holofoil", "marketPrice": 4.5}]}),
    ]
    return [name + encode(answer) for name, answer in answers]


@contextmanager
def open_provider(_: Path) -> Iterator[Run]:
    """Fetch from a provider: a line with the status, lines of headers, an empty line, the body."""
    with Loop() as loop:

        async def fetch(data: bytes) -> None:
            head, _, body = data.partition(b"\n\n")
            first, *lines = head.split(b"\n")
            headers = [
                (name, value.strip())
                for name, colon, value in (line.partition(b":") for line in lines)
                if colon and name and not {0, 10, 13} & set(value)
            ]

            def answer(_: httpx.Request) -> httpx.Response:
                status = int(first) if first.isdigit() and len(first) == 3 else 200
                return httpx.Response(status, headers=headers, stream=_Body(body))

            async def without_pause(_: float) -> None: ...

            async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
                asked = ProviderHttp(
                    client, "http://127.0.0.1:9", sleep=without_pause, chance=lambda: 0.0
                )
                await asked.fetch(ProviderRequest(path="/cards/base1-4"))

        yield lambda data: loop.run(fetch(data))


class _Body(httpx.AsyncByteStream):
    def __init__(self, body: bytes) -> None:
        self._body = body

    async def __aiter__(self):  # type: ignore[no-untyped-def]  # an asynchronous generator of bytes
        yield self._body


def provider_seeds() -> list[bytes]:
    return [
        b'200\ncontent-type: application/json\netag: "a"\n\n{"price": 402.79}',
        b"429\nretry-after: 3\n\n",
        b"503\nretry-after: Fri, 27 Nov 2026 10:00:00 GMT\ndate: Fri, 27 Nov 2026 09:59:00 GMT\n\n",
        b"302\nlocation: http://[::1]/x\n\n",
        b"200\ncontent-type: application/json\ncontent-encoding: deflate\n\n{}",
        b"200\ncontent-type: application/json\ncontent-encoding: gzip, br\n\n{}",
        b"304\nlast-modified: x\n\n",
    ]


@contextmanager
def open_page(_: Path) -> Iterator[Run]:
    """Put a request to the station's page."""
    with Loop() as loop, open_page_bench() as bench:
        for number in range(1, 4):
            bench.outbox.record(scan_of(number), STAMP)
            bench.table.put(task_of(number))
        page = bench.page()

        yield lambda data: loop.run(ask(page, data))


def page_seeds() -> list[bytes]:
    task, scan = UUID(int=1), UUID(int=2)
    posts = {
        f"/tasks/{task}": "version=1&card=set1-1",
        **{f"/tasks/{task}/{word}": "" for word in ("skip", "undo", "dismiss", "scan")},
        **{f"/scans/{scan}/{word}": "" for word in ("withdraw", "again")},
        "/capture": "",
        "/uploads": "paused=yes",
        "/defaults": "bin=A3&lot=May&condition=near_mint&language=en",
        "/enter": "pin=123456",
    }
    paths = (
        *("/?saved=true", "/live?have=0123", f"/tasks/{task}/search?version=1&q=card"),
        *("/state", "/metrics", "/camera.jpg", f"/images/{'a' * 64}", "/static/page.css", "/pin"),
    )
    return [
        *(request_text("GET", path) for path in paths),
        *(request_text("POST", path, body) for path, body in posts.items()),
        request_text("POST", "/capture", "", hx_request="true", sec_fetch_site="same-origin"),
        request_text("GET", "/", host="192.0.2.7:8080", cookie="cardmint-station=abc"),
    ]


@contextmanager
def open_dashboard(folder: Path) -> Iterator[Run]:
    """Put a request to the dashboard, over a real Postgres with a few cards."""
    server = LocalPostgres(folder / "postgres").start()
    try:
        subprocess.run(
            installed_script(["cardmint-cloud", "migrate"]),
            env={**os.environ, **server.environment},
            check=True,
            capture_output=True,
            timeout=120,
        )
        with Loop() as loop:
            dashboard = _Dashboard(folder, server.service_address)
            loop.run(dashboard.open())
            try:
                yield lambda data: loop.run(dashboard.request(data))
            finally:
                loop.run(dashboard.close())
    finally:
        server.drop()


class _Dashboard:
    def __init__(self, folder: Path, address: str) -> None:
        self._folder = folder
        self._engine = engine_for(address)
        self._pooled = pooled(address, most=4)

    async def open(self) -> None:
        self._pool = await self._pooled.__aenter__()
        async with self._pool.acquire() as connection:
            for when in (NOW, datetime.now(UTC) + timedelta(days=1)):
                await make_ahead(connection, when)
            await connection.execute("SET TIME ZONE 'UTC'")
            broken = read_message(
                MqttMessage(topic="cardmint/v1/shop/left/events", payload=b"[", content_type=BATCH)
            )
            if broken is not None:
                async with tenant_transaction(connection, "shop"):
                    await commit(connection, [broken], NOW)
        await send(self._pool, accepted(FOX), doubtful())
        self._app = build_dashboard(
            engine=self._engine,
            pool=self._pool,
            images=FolderStorage(self._folder / "images"),
            tenant="shop",
            artifacts=self._folder / "artifacts",
            clock=lambda: NOW,
        )

    async def request(self, data: bytes) -> None:
        if data.split(b"\n", 1)[0].partition(b"?")[0].endswith(b" /events"):
            return  # an endless stream by design
        await ask(self._app, data)

    async def close(self) -> None:
        await self._pooled.__aexit__(None, None, None)
        await self._engine.dispose()


def dashboard_seeds() -> list[bytes]:
    """Return a request to each address of the dashboard."""
    from cardmint_cloud.web import (
        api,
        artifacts,
        dead_letter_pages,
        inventory_pages,
        price_pages,
        review_pages,
        station_pages,
        value_pages,
    )

    parts = (
        *(api, artifacts, dead_letter_pages, inventory_pages),
        *(price_pages, review_pages, station_pages, value_pages),
    )
    seeds = [
        request_text(str(getattr(method, "value", method)), _filled(path))
        for part in parts
        for handler in part.HANDLERS
        for path in sorted(handler.paths)
        for method in sorted(handler.http_methods)
    ]
    queries = (
        "/?q=fox&set=fic1&finish=open&condition=near_mint&sort=name&dir=desc&page=2&size=10",
        "/api/v1/shop/items?after=2026-11-22T12:00:00+00:00_00000000-0000-0000-0000-000000000001&limit=5",
        "/value?at=2026-11-22&currency=USD",
        f"/images/shop/{'a' * 64}?size=thumbnail",
    )
    return [
        *seeds,
        *(request_text("GET", query) for query in queries),
        request_text("PATCH", f"/api/v1/shop/images/{'a' * 64}", "abc", upload_offset="3"),
        request_text("PUT", f"/api/v1/shop/images/{'b' * 64}", "abc", content_type="image/jpeg"),
        request_text("GET", f"/api/v1/shop/artifacts/{'a' * 64}", range="bytes=3-"),
        request_text("POST", "/reviews", "version=1&card=fic1-7&user=alice", hx_request="true"),
    ]


def _filled(path: str) -> str:
    values = {"uuid": str(UUID(int=1)), "int": "1", "path": "page.css"}
    parts = []
    for part in path.split("/"):
        name, _, kind = part.strip("{}").partition(":")
        text = {"tenant": "shop", "sha256": "a" * 64}.get(name, "fic1-7")
        parts.append(values.get(kind, text) if part.startswith("{") else part)
    return "/".join(parts) or "/"


TARGETS = (
    Target(
        name="quotes",
        open=open_quotes,
        seeds=quote_seeds,
        refuses=(UnusableAnswer, ImplausibleAnswer, NotFound),
    ),
    Target(
        name="providers",
        open=open_provider,
        seeds=provider_seeds,
        refuses=(UnusableAnswer, ProviderUnavailable, NotFound),
    ),
    Target(name="page", open=open_page, seeds=page_seeds),
)
DASHBOARD = Target(name="dashboard", open=open_dashboard, seeds=dashboard_seeds)

"""What changes is told at once, bursts are folded, and no new item is left out."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from cardmint_cloud.adapters.images.folder import FolderStorage
from cardmint_cloud.adapters.postgres.connection import Pool
from cardmint_cloud.adapters.postgres.migrate import engine_for
from cardmint_cloud.adapters.postgres.queries.reading import reading
from cardmint_cloud.domain.reach import Reach
from cardmint_cloud.local.processes import free_port
from cardmint_cloud.web.live import MAX_BACKLOG, LiveClient, LiveHub, LiveItem, NewItems
from cardmint_cloud.web.routes import build_dashboard
from tests.cloud.kit.cards import NOW, accepted, doubtful, send
from tests.cloud.kit.web import serve


def told(item: str) -> dict[str, Any]:
    return {"item": item, "captured_at": NOW.isoformat(), "name": "Fox", "status": "counted"}


def live(item: str, *, station: str = "left", lot: str = "") -> LiveItem:
    return LiveItem(told=told(item), station=station, lot=lot)


async def take(client: LiveClient, count: int) -> list[Any]:
    messages = client.messages()
    found = [await anext(messages) for _ in range(count)]
    await messages.aclose()  # type: ignore[attr-defined]
    return found


async def test_a_burst_is_folded_but_every_item_is_told() -> None:
    client = LiveClient("shop")
    for n in range(100):
        client.tell(["inventory", "reviews"], [live(str(n))])
    ready, items, scan, inventory, reviews = await take(client, 5)
    assert (ready[0], inventory, reviews) == ("ready", ("inventory", {}), ("reviews", {}))
    assert [item["item"] for item in items[1]["items"]] == [str(n) for n in range(100)]
    assert (scan[0], scan[1]["item"], scan[1]["count"]) == ("scan", "99", 100)


async def test_items_beyond_a_reach_are_not_told() -> None:
    client = LiveClient("shop", Reach(stations=frozenset({"left"}), lots=frozenset({"june"})))
    client.tell(
        ["reviews"],
        [live("1"), live("2", lot="june"), live("3", station="right", lot="june")],
    )
    _, items, scan, _ = await take(client, 4)
    assert [item["item"] for item in items[1]["items"]] == ["2"]
    assert set(scan[1]) == {"count", "item", "captured_at", "name", "status"}


async def test_the_inventory_is_told_of_less_often_but_never_forgotten() -> None:
    client = LiveClient("shop")
    messages = client.messages()
    assert (await anext(messages))[0] == "ready"
    client.tell(["inventory"], [])
    assert await anext(messages) == ("inventory", {})
    client.tell(["inventory", "reviews"], [])
    assert await anext(messages) == ("reviews", {})
    assert await anext(messages) == ("inventory", {})


async def test_silence_is_broken_by_a_beat() -> None:
    client = LiveClient("shop")
    messages = client.messages(beat_s=0.01)
    assert [(await anext(messages))[0] for _ in range(3)] == ["ready", "beat", "beat"]


async def test_a_client_that_falls_too_far_behind_is_closed() -> None:
    client = LiveClient("shop")
    client.tell([], [live("x")] * (MAX_BACKLOG + 1))
    assert [kind async for kind, _ in client.messages()] == ["ready"]


@given(st.lists(st.lists(st.integers(0, 30), max_size=5), max_size=10))
def test_each_item_is_new_once_in_whatever_order_transactions_commit(
    looks: list[list[int]],
) -> None:
    newest = NewItems([], NOW)
    fresh: list[UUID] = []
    for look in looks:
        rows = [{"item": UUID(int=n), "received_at": NOW + timedelta(seconds=n)} for n in set(look)]
        fresh += [row["item"] for row in newest.fresh(rows)]
    assert sorted(fresh) == sorted({UUID(int=n) for look in looks for n in look})


def test_what_is_long_past_is_forgotten() -> None:
    old, new = ({"item": uuid4(), "received_at": NOW + timedelta(seconds=s)} for s in (0, 90))
    newest = NewItems([old], NOW)
    assert newest.fresh([new]) == [new]
    assert newest.fresh([old]) == [old]


class Stream:
    """The event stream as a program reads it."""

    def __init__(self, lines: AsyncIterator[str]) -> None:
        self.lines = lines
        self.items: list[str] = []
        self.kinds: list[str] = []

    async def until(self, done: Any) -> None:
        kind = ""
        async with asyncio.timeout(20):
            while not done(self):
                line = await anext(self.lines)
                if line.startswith("event: "):
                    kind = line.removeprefix("event: ")
                    self.kinds.append(kind)
                elif line.startswith("data: ") and kind == "items":
                    self.items += [
                        item["item"] for item in json.loads(line.removeprefix("data: "))["items"]
                    ]


@contextlib.asynccontextmanager
async def listening(site: httpx.AsyncClient, tenant: str = "") -> AsyncIterator[Stream]:
    async with site.stream("GET", "/events", params={"tenant": tenant}) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        stream = Stream(response.aiter_lines())
        await stream.until(lambda s: "ready" in s.kinds)
        yield stream


@pytest.fixture
async def site(pool: Pool, engine: AsyncEngine, tmp_path: Any) -> AsyncIterator[httpx.AsyncClient]:
    async with serve(
        build_dashboard(engine=engine, pool=pool, images=FolderStorage(tmp_path), tenant="shop")
    ) as client:
        async with asyncio.timeout(20):
            while not (await client.get("/healthz")).json()["listening"]:  # noqa: ASYNC110  # as another process would
                await asyncio.sleep(0.02)
        yield client


@pytest.mark.integration
async def test_what_is_scanned_is_told_and_only_to_its_tenant(
    pool: Pool, owner: Pool, site: httpx.AsyncClient
) -> None:
    now = datetime.now(UTC)
    await send(pool, accepted(), now=now)
    async with listening(site) as shop, listening(site, "other") as other:
        scans = [accepted() for _ in range(300)]
        for start in range(0, 300, 50):
            await send(pool, *scans[start : start + 50], now=datetime.now(UTC))
        theirs = accepted()
        await send(pool, theirs, tenant="other", now=datetime.now(UTC))
        await shop.until(lambda s: len(s.items) >= 300)
        await other.until(lambda s: s.items)
        assert sorted(shop.items) == sorted(str(scan.scan) for scan in scans)
        assert other.items == [str(theirs.scan)]
        await send(pool, doubtful(), now=datetime.now(UTC))
        await owner.execute("SELECT pg_notify('cardmint', 'shop stations')")
        await owner.execute("SELECT pg_notify('cardmint', 'shop unheard-of')")
        await shop.until(lambda s: {"reviews", "inventory", "scan", "stations"} <= set(s.kinds))


@pytest.mark.integration
async def test_a_commit_that_took_long_is_found_by_the_sweep(
    pool: Pool, site: httpx.AsyncClient
) -> None:
    async with listening(site) as stream:
        await send(pool, accepted(), now=datetime.now(UTC))
        await stream.until(lambda s: len(s.items) == 1)
        await send(pool, accepted(), now=datetime.now(UTC) - timedelta(seconds=10))
        await stream.until(lambda s: len(s.items) == 2)


@pytest.mark.integration
async def test_what_happened_while_the_listener_was_gone_is_told_afterwards(
    pool: Pool, owner: Pool, site: httpx.AsyncClient
) -> None:
    async with listening(site) as stream:
        await owner.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"
        )
        scan = accepted()
        await send(pool, scan, now=datetime.now(UTC))
        await stream.until(lambda s: s.items)
        assert stream.items == [str(scan.scan)]


@pytest.mark.integration
async def test_items_that_cannot_be_read_now_are_told_later(
    pool: Pool, engine: AsyncEngine
) -> None:
    away = engine_for(f"postgresql://nobody@127.0.0.1:{free_port()}/none")
    current = engine

    def connect(tenant: str) -> AbstractAsyncContextManager[AsyncConnection]:
        return reading(current, tenant)

    hub = LiveHub(connect, pool, lambda: NOW)
    with hub.client("shop") as client:
        async with hub.running(), asyncio.timeout(20):
            await hub.begin("shop")
            messages = client.messages()
            assert (await anext(messages))[0] == "ready"
            current = away
            scan = accepted()
            await send(pool, scan, now=NOW)
            while (await anext(messages))[0] != "inventory":
                pass
            current = engine
            while (message := await anext(messages))[0] != "items":
                pass
            assert [item["item"] for item in message[1]["items"]] == [str(scan.scan)]
    await away.dispose()

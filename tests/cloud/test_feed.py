"""The feed between a real broker and a real Postgres, seen from a program that follows it."""

import asyncio
import json
import queue
import re
import subprocess
import sys
from collections.abc import Collection, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import msgspec
import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from cardmint_cloud.adapters.mqtt.connection import MessageProperties
from cardmint_cloud.adapters.postgres import feed as rows
from cardmint_cloud.adapters.postgres.connection import (
    Pool,
    PostgresConnection,
    tenant_transaction,
)
from cardmint_cloud.adapters.postgres.fleet import stations
from cardmint_cloud.domain.feed import MAX_RUN
from cardmint_cloud.domain.items import review_task_id
from cardmint_cloud.domain.rendezvous import SLOTS
from cardmint_cloud.feed.publish import FeedPublisher
from cardmint_cloud.ingest.worker import Worker
from cardmint_cloud.item_changes import change_items
from cardmint_cloud.local.broker import LocalBroker
from cardmint_cloud.pricing.price import price_card
from cardmint_cloud.reviews.answers import submit_answer
from cardmint_contracts import topics
from cardmint_contracts.cards import ScanDefaults
from cardmint_contracts.changes import ItemValues, Stock
from cardmint_contracts.events import ScanWithdrawn
from cardmint_contracts.feed import (
    EVENT,
    FEED_TYPES,
    FeedCounters,
    FeedEvent,
    FeedItem,
    FeedPrice,
    FeedReview,
    FeedStation,
    ReplayRefusal,
)
from cardmint_contracts.stations import StationState
from cardmint_contracts.wire import decode, encode
from cardmint_lab.follower import FeedFollower
from tests.cloud.kit.cards import FOX, NOW, OWL, accepted, doubtful, send
from tests.cloud.kit.cli import run_command
from tests.cloud.kit.prices import QuoteSourceStub, quote

pytestmark = pytest.mark.integration


async def open_feed(pool: Pool, tenant: str = "shop") -> None:
    async with tenant_transaction(pool, tenant) as connection:
        begun = await rows.open_feed(connection, tenant, NOW)
        assert (begun.numbered, begun.published) == (0, 0)
        assert await rows.open_feed(connection, tenant, NOW) == begun


async def put_station(pool: Pool, *, online: bool, epoch: int = 1) -> None:
    """Let station `left` say that it is connected, or the broker that it is gone."""
    state = StationState(
        online=online,
        epoch=epoch,
        bootid=UUID(int=1),
        stream=UUID(int=2),
        time="2026-11-22T12:00:00Z",
        version="9",
    )
    async with tenant_transaction(pool, "shop") as connection:
        await stations.put_state(connection, "shop", "left", state, NOW)


async def told(pool: Pool, tenant: str = "shop") -> list[tuple[int, str, Any]]:
    """Number what the feed has and return number, kind and data of each event."""
    async with tenant_transaction(pool, tenant) as connection:
        mark = await rows.number_new(connection, tenant, 0)
        assert mark is not None
        found = []
        at = 1
        while page := await rows.numbered_entries(connection, tenant, at, mark.numbered):
            found += page
            at = page[-1].number + 1
    assert [number for number, _ in found] == list(range(1, mark.numbered + 1))
    return [
        (
            number,
            FEED_TYPES[one.type].steps,
            msgspec.json.decode(one.data, type=FEED_TYPES[one.type].data),
        )
        for number, one in found
    ]


async def test_what_happens_to_a_card_is_told(pool: Pool) -> None:
    await open_feed(pool)
    first, doubt = accepted(defaults=ScanDefaults(lot="estate", bin="A1")), doubtful()
    await send(pool, first, doubt)
    moved = await change_items(
        pool, "shop", {first.scan: 1}, ItemValues(bin="B2"), user="ann", now=NOW
    )
    assert moved.change
    await submit_answer(
        pool,
        "shop",
        review_task_id(doubt.scan),
        version=1,
        verdict="card",
        card=OWL,
        user="ann",
        now=NOW,
    )
    await change_items(
        pool, "shop", {first.scan: 2}, ItemValues(stock=Stock.SOLD), user="ann", now=NOW
    )
    await change_items(pool, "shop", {first.scan: 3}, ItemValues(note="gone"), user="ann", now=NOW)
    found = await told(pool)
    assert [kind for _, kind, _ in found] == [
        "inventory/added",
        "reviews/opened",
        "inventory/changed",
        "inventory/added",
        "reviews/closed",
        "inventory/removed",
    ]
    added, opened, changed, counted, closed, removed = (data for *_, data in found)
    assert added == FeedItem(
        item=first.scan,
        version=1,
        card_id=FOX.id,
        name=FOX.name,
        number=FOX.number,
        set_id=FOX.set_id,
        set_name=FOX.set_name,
        language="",
        finish="",
        edition="",
        condition="",
        bin="A1",
        lot="estate",
        stock="in-stock",
        status="counted",
        grader="",
        grade="",
        station="left",
        captured=NOW,
    )
    # The printing's name comes from the table where no scan of the transaction has it.
    assert changed == msgspec.structs.replace(added, bin="B2", version=2)
    assert (removed.item, removed.stock, removed.name) == (first.scan, "sold", FOX.name)
    assert (counted.item, counted.card_id, counted.name) == (doubt.scan, OWL.id, OWL.name)
    assert opened == FeedReview(
        task=review_task_id(doubt.scan),
        item=doubt.scan,
        question="printing",
        reasons=("same-art",),
        station="left",
        opened=NOW,
    )
    assert closed == msgspec.structs.replace(opened, verdict="card", card_id=OWL.id)


async def test_a_card_that_comes_and_goes_at_once_was_never_there(pool: Pool) -> None:
    await open_feed(pool)
    card, doubt = accepted(), doubtful()
    await send(
        pool,
        card,
        doubt,
        ScanWithdrawn(scan=card.scan, by="ann"),
        ScanWithdrawn(scan=doubt.scan, by="ann"),
    )
    assert [kind for _, kind, _ in await told(pool)] == ["reviews/opened", "reviews/closed"]


async def test_a_price_is_told_when_it_changes(pool: Pool) -> None:
    await open_feed(pool)
    await send(pool, accepted())
    for minor, days in ((500, 2), (500, 1), (650, 0)):
        source = QuoteSourceStub(answers={FOX.id: [quote(minor)]})
        await price_card(pool, [source], "shop", FOX.id, NOW - timedelta(days=days))
    prices = [data for _, kind, data in await told(pool) if kind == "prices/changed"]
    assert [isinstance(one, FeedPrice) and one.card_id for one in prices] == [FOX.id] * 2
    assert [
        {(line.price.minor, line.before and line.before.minor) for line in one.lines}
        for one in prices
    ] == [{(500, None)}, {(650, 500)}]


async def test_a_station_is_told_when_it_comes_and_goes(pool: Pool) -> None:
    await open_feed(pool)
    for epoch, online in ((1, True), (1, True), (1, False), (0, False)):
        await put_station(pool, online=online, epoch=epoch)
    assert await told(pool) == [
        (1, "stations/up", FeedStation(station="left", online=True, since=NOW, version="9")),
        (2, "stations/down", FeedStation(station="left", online=False, since=NOW, version="9")),
    ]


async def test_without_a_feed_nothing_is_written(pool: Pool) -> None:
    await send(pool, accepted())
    async with tenant_transaction(pool, "shop") as connection:
        assert await rows.number_new(connection, "shop", 0) is None
        assert await connection.fetchval("SELECT count(*) FROM feed_runs") == 0


async def test_runs_are_numbered_in_the_order_of_what_depends_on_each_other(
    pool: Pool,
) -> None:
    """A transaction that began first and commits last is numbered last."""
    await open_feed(pool)
    async with tenant_transaction(pool, "shop") as slow:
        state = StationState(
            online=True,
            epoch=1,
            bootid=UUID(int=1),
            stream=UUID(int=2),
            time="2026-11-22T12:00:00Z",
            version="9",
        )
        await stations.put_state(slow, "shop", "left", state, NOW)
        await send(pool, accepted())
        assert [kind for _, kind, _ in await told(pool)] == ["inventory/added"]
    assert [kind for _, kind, _ in await told(pool)] == ["inventory/added", "stations/up"]


async def test_a_long_run_is_stored_in_parts_and_read_by_pages(pool: Pool) -> None:
    await open_feed(pool)
    most = MAX_RUN + MAX_RUN // 2
    stream = uuid4()
    for start in range(1, most + 1, 500):
        await send(pool, *(accepted() for _ in range(500)), start=start, stream=stream)
    assert len(await told(pool)) == most
    async with tenant_transaction(pool, "shop") as connection:
        page = await rows.numbered_entries(connection, "shop", 750, 1200)
    assert [page[0].number, page[-1].number] == [750, 1200]


async def test_old_events_are_forgotten_once_they_were_published(pool: Pool) -> None:
    await open_feed(pool)
    await send(pool, accepted())
    await send(pool, accepted(), now=NOW + timedelta(days=1))
    await told(pool)
    async with tenant_transaction(pool, "shop") as connection:
        await rows.forget_before(connection, "shop", NOW + timedelta(hours=1))
        assert await rows.oldest_number(connection, "shop") == 1
        await rows.put_published(connection, "shop", 2)
        await rows.forget_before(connection, "shop", NOW + timedelta(hours=1))
        assert await rows.oldest_number(connection, "shop") == 2
        await rows.forget_before(connection, "shop", NOW + timedelta(days=2))
        assert await rows.oldest_number(connection, "shop") == 0


@pytest.fixture
def follower(broker: LocalBroker) -> Iterator[FeedFollower]:
    follower = FeedFollower(broker.port, "shop").start()
    yield follower
    follower.close()


async def heard(follower: FeedFollower, last: int) -> list[FeedEvent]:
    assert await asyncio.to_thread(follower.wait_for, last), follower.last
    return follower.events


async def test_what_is_committed_comes_in_order(
    pool: Pool, worker: Worker, follower: FeedFollower
) -> None:
    await open_feed(pool)
    cards = [accepted() for _ in range(300)]
    await send(pool, *cards)
    await send(pool, doubtful())
    events = await heard(follower, 301)
    assert [event.number for event in events] == list(range(1, 302))
    assert len({event.id for event in events}) == 301
    assert {event.stream for event in events} == {follower.stream}
    assert {event.source for event in events} == {"/tenants/shop"}
    items = [msgspec.json.decode(event.data, type=FeedItem).item for event in events[:300]]
    assert items == [card.scan for card in cards]


async def test_who_was_away_asks_for_what_is_missing(
    pool: Pool, worker: Worker, follower: FeedFollower
) -> None:
    await open_feed(pool)
    await send(pool, accepted())
    await heard(follower, 1)
    follower.leave()
    stream = uuid4()
    for start in range(1, 1500, 500):
        await send(pool, *(accepted() for _ in range(500)), start=start, stream=stream)
    follower.back()
    events = await heard(follower, 1501)
    assert [event.number for event in events] == list(range(1, 1502))


class Asking:
    """A client that asks for replays as it likes, and hears everything of a tenant's feed."""

    def __init__(self, port: int, tenant: str = "shop") -> None:
        self.answers: queue.Queue[mqtt.MQTTMessage] = queue.Queue()
        self.tenant = tenant
        ready = queue.Queue[None]()
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, "asking", protocol=mqtt.MQTTv5)
        self.client.on_message = lambda _client, _data, message: self.answers.put(message)
        self.client.on_subscribe = lambda *_: ready.put(None)
        self.client.connect("127.0.0.1", port)
        self.client.subscribe(topics.feed_filter(tenant), 1)
        self.client.loop_start()
        ready.get(timeout=20)

    def ask(self, payload: bytes, tag: bytes = b"7", *, where: str | None = None) -> None:
        said = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        said.CorrelationData = tag
        if where is not None:
            said.ResponseTopic = where
        topic = f"cardmint/v1/{self.tenant}/feed/replay/graphs"
        self.client.publish(topic, payload, qos=1, properties=said)

    async def answer(self, end: str) -> mqtt.MQTTMessage:
        """Return the next message whose topic ends so."""
        async with asyncio.timeout(30):
            while True:
                message = await asyncio.to_thread(self.answers.get, timeout=20)
                if message.topic.endswith(end):
                    return message

    async def refusal(self, payload: bytes, **asked: Any) -> tuple[str, int, int]:
        """Ask until somebody answers: a worker that is not there yet hears nothing."""
        self.ask(payload, tag := uuid4().bytes, **asked)
        while True:
            try:
                message = await asyncio.to_thread(self.answers.get, timeout=2)
            except queue.Empty:
                self.ask(payload, tag, **asked)
                continue
            answers = message.topic.endswith("/feed/replay/graphs/answer")
            if answers and message.properties.CorrelationData == tag:  # type: ignore[union-attr]
                told = decode(bytes(message.payload), ReplayRefusal)
                return told.reason, told.oldest, told.newest


@pytest.fixture
def asking(broker: LocalBroker) -> Iterator[Asking]:
    client = Asking(broker.port)
    yield client
    client.client.disconnect()
    client.client.loop_stop()


async def test_a_request_that_cannot_be_met_says_why(
    pool: Pool, worker: Worker, asking: Asking, follower: FeedFollower
) -> None:
    assert await asking.refusal(b'{"first": 1}') == ("no-feed", 0, 0)
    await open_feed(pool)
    await send(pool, accepted())
    await send(pool, accepted(), now=NOW + timedelta(days=1))
    await heard(follower, 2)
    for payload, reason in (
        (b'{"first": 4}', "never-was"),
        (b'{"first": 9223372036854775807}', "never-was"),
        (b'{"first": 1, "stream": "%s"}' % str(uuid4()).encode(), "other-stream"),
    ):
        assert await asking.refusal(payload) == (reason, 1, 2)
    for payload in (
        b"",
        b"\xff",
        b"[]",
        b'{"first": 0}',
        b'{"first": "1"}',
        b'{"first": 1, "x": 1}',
    ):
        assert await asking.refusal(payload) == ("unreadable", 0, 0)
    where = "cardmint/v1/rival/feed/replay/graphs/answer"
    assert await asking.refusal(b'{"first": 1}', where=where) == ("wrong-place", 0, 0)
    async with tenant_transaction(pool, "shop") as connection:
        await rows.put_published(connection, "shop", 2)
        await rows.forget_before(connection, "shop", NOW + timedelta(hours=1))
    assert await asking.refusal(b'{"first": 1}') == ("gone", 2, 2)


async def test_a_replay_is_bounded_and_says_where_to_go_on(
    pool: Pool, worker: Worker, asking: Asking, follower: FeedFollower
) -> None:
    await open_feed(pool)
    await send(pool, *(accepted() for _ in range(20)))
    await heard(follower, 20)
    for first, limit, numbers in ((5, 3, [5, 6, 7]), (20, 9, [20]), (21, 9, [])):
        asking.ask(json.dumps({"first": first, "limit": limit}).encode())
        message = await asking.answer("/feed/replay/graphs/answer")
        events = decode(bytes(message.payload), list[FeedEvent])
        assert [event.number for event in events] == numbers
        said = dict(message.properties.UserProperty)  # type: ignore[union-attr]
        assert said == {"next": str(first + len(numbers)), "newest": "20"}


async def test_who_comes_late_has_snapshots(
    pool: Pool, worker: Worker, broker: LocalBroker
) -> None:
    await open_feed(pool)
    await put_station(pool, online=True)
    await send(pool, accepted(), accepted(), doubtful())
    asking = Asking(broker.port)
    try:
        while True:
            message = await asking.answer("/feed/now/counters")
            counters = decode(bytes(message.payload), FeedCounters)
            if int(counters.sequence) == 4:
                break
        assert (counters.cards, counters.reviews, counters.stations) == (2, 1, 1)
        late = Asking(broker.port)
        station = await late.answer("/feed/now/stations/left")
        assert station.retain
        assert decode(bytes(station.payload), FeedStation).online
        late.client.disconnect()
        late.client.loop_stop()
    finally:
        asking.client.disconnect()
        asking.client.loop_stop()


async def test_an_event_is_a_cloudevent_in_structured_mode(
    pool: Pool, worker: Worker, asking: Asking
) -> None:
    await open_feed(pool)
    card = accepted()
    await send(pool, card, now=datetime.now(UTC))
    message = await asking.answer("/feed/inventory/added")
    assert message.properties.ContentType == EVENT  # type: ignore[union-attr]
    assert not message.retain
    event = json.loads(message.payload)
    assert event["specversion"] == "1.0"
    assert event["type"] == "cardmint.feed.item.added.v1"
    assert event["id"] == f"{event['stream']}/1"
    assert event["sequence"] == f"{1:019d}"
    assert event["data"]["item"] == str(card.scan)
    assert encode(decode(bytes(message.payload), FeedEvent)) == bytes(message.payload)


class RefusingBroker:
    """A broker that refuses the third message it gets, and is away while `connection` is 0."""

    def __init__(self) -> None:
        self.connection = 1
        self.numbers: list[int] = []

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        retain: bool = True,
        properties: MessageProperties | None = None,
    ) -> asyncio.Future[None]:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if retain:
            done.set_result(None)
            return done
        self.numbers.append(decode(payload, FeedEvent).number)
        if len(self.numbers) == 3:
            done.cancel()
        else:
            done.set_result(None)
        return done


async def test_a_message_that_the_broker_did_not_take_is_published_again(pool: Pool) -> None:
    await open_feed(pool)
    await send(pool, *(accepted() for _ in range(5)))
    held: set[int] = set()
    fenced: set[int] = set()

    async def lock(_connection: PostgresConnection, slots: Collection[int]) -> set[int]:
        return fenced & set(slots)

    broker = RefusingBroker()
    publisher = FeedPublisher(pool, slots=lambda: held, lock=lock, busy=lambda: True)
    broker.connection = 0
    running = asyncio.create_task(publisher.run(broker))
    publisher.changed("shop")
    await asyncio.sleep(0.2)
    held |= set(range(SLOTS))
    publisher.changed("shop")
    await asyncio.sleep(0.2)
    broker.connection = 1
    publisher.changed("shop")
    await asyncio.sleep(0.2)
    assert broker.numbers == []  # Without the fence it may be another's.
    fenced |= held
    async with asyncio.timeout(30):
        while True:
            async with tenant_transaction(pool, "shop") as connection:
                mark = await rows.mark_of(connection, "shop")
            if mark and mark.published == 5:
                break
            await asyncio.sleep(0.05)
    running.cancel()
    await asyncio.wait([running])
    assert broker.numbers == [1, 2, 3, 4, 5, 3, 4, 5]


def example(name: str, folder: Path) -> Path:
    """Return a program of the documentation, as a file."""
    page = (Path(__file__).parents[2] / "docs" / "feed.md").read_text()
    programs = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (code,) = (one for one in programs if f"{name}.py" in one)
    program = folder / f"{name}.py"
    program.write_text(code)
    return program


async def test_the_example_counts_the_cards_of_a_lot(
    pool: Pool, worker: Worker, broker: LocalBroker, tmp_path: Path
) -> None:
    program = example("lot_counter", tmp_path)
    await open_feed(pool)
    lot = ScanDefaults(lot="estate")
    first, second = accepted(defaults=lot), accepted(defaults=lot)
    await send(pool, first, accepted(), second)
    counter = await asyncio.create_subprocess_exec(
        *(sys.executable, program, "127.0.0.1", str(broker.port), "shop", "wall", "", "estate"),
        stdout=subprocess.PIPE,
    )
    assert counter.stdout is not None

    async def reads(cards: int) -> None:
        assert counter.stdout is not None
        while int(await counter.stdout.readline()) != cards:
            pass

    try:
        async with asyncio.timeout(60):
            await reads(2)
            third = accepted(defaults=lot)
            await send(pool, third)
            await reads(3)
            await change_items(
                pool, "shop", {first.scan: 1}, ItemValues(lot="other"), user="ann", now=NOW
            )
            await reads(2)
            await change_items(
                pool, "shop", {third.scan: 1}, ItemValues(stock=Stock.SOLD), user="ann", now=NOW
            )
            await reads(1)
    finally:
        counter.kill()
        await counter.wait()


async def test_the_example_appends_each_event_once(
    pool: Pool, worker: Worker, broker: LocalBroker, tmp_path: Path
) -> None:
    program, file = example("csv_appender", tmp_path), tmp_path / "events.csv"
    words = (program, "127.0.0.1", str(broker.port), "shop", "wall", "", file)

    async def written(lines: int) -> None:
        async with asyncio.timeout(60):
            while not file.exists() or file.read_text().count("\n") < lines:  # noqa: ASYNC110  # a file has no event
                await asyncio.sleep(0.05)

    await open_feed(pool)
    await send(pool, accepted(), accepted())
    for lines in (2, 4):
        appender = await asyncio.create_subprocess_exec(sys.executable, *words)
        try:
            await written(lines)
            await send(pool, accepted())
            await written(lines + 1)
        finally:
            appender.kill()
            await appender.wait()
        await send(pool, accepted())
        with file.open("a") as out:
            out.write("99,broken o")  # As a power cut leaves it.
    numbers = [line.partition(",")[0] for line in file.read_text().splitlines()[:-1]]
    assert numbers == ["1", "2", "3", "4", "5"]


@pytest.mark.greenlets
async def test_the_feed_is_opened_by_a_command(database: str) -> None:
    first, again = [
        await asyncio.to_thread(run_command, "feed", "open", CARDMINT_CLOUD_DATABASE=database)
        for _ in range(2)
    ]
    assert first.returncode == 0, first.stderr
    assert first.stdout == again.stdout
    assert re.fullmatch(r"[0-9a-f-]{36}  newest 0\n", first.stdout)

"""The worker between a real broker and a real Postgres, seen from a station."""

import asyncio
import queue
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from signal import SIGTERM
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from cardmint_cloud.adapters.mqtt.client import MqttClient
from cardmint_cloud.adapters.postgres.connection import PostgresConnection, fetch_one
from cardmint_cloud.ingest.worker import Worker
from cardmint_cloud.local.broker import BrokerKind, LocalBroker
from cardmint_cloud.local.processes import ChildProcess, free_port
from cardmint_contracts import topics
from cardmint_contracts.envelope import Envelope, encode_batch
from cardmint_contracts.events import ReviewAnswered
from cardmint_contracts.receipts import Receipt
from cardmint_contracts.settings import BrokerSettings
from cardmint_contracts.stations import StationHealth, StationState
from cardmint_contracts.tasks import ReviewOutcome, ReviewTask
from cardmint_contracts.wire import decode, encode
from cardmint_lab.faulty_proxy import FaultyProxy
from tests.cloud.conftest import connected, pooled
from tests.cloud.shop import FOX, STREAM, accepted, doubtful, sealed

pytestmark = pytest.mark.integration


class Station:
    """A station as the broker sees it: publishes batches, hears receipts and tasks."""

    def __init__(self, port: int) -> None:
        self.receipts: queue.Queue[Receipt] = queue.Queue()
        self.tasks: queue.Queue[tuple[UUID, ReviewTask | None]] = queue.Queue()
        self.outcomes: queue.Queue[ReviewOutcome] = queue.Queue()
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, "station-left", protocol=mqtt.MQTTv5)
        self.client.on_message = self._heard
        self.client.on_connect = lambda client, *_: client.subscribe(
            [
                (topics.station_topic("shop", "left", "receipt"), 1),
                (topics.station_tasks("shop", "left"), 1),
                (topics.station_outcomes("shop", "left"), 1),
            ]
        )
        self.client.reconnect_delay_set(1, 1)
        self.client.connect("127.0.0.1", port, clean_start=True)
        self.client.loop_start()

    def _heard(self, _client: mqtt.Client, _userdata: Any, message: mqtt.MQTTMessage) -> None:
        topic = topics.parse(message.topic)
        if topic.kind == "outcomes":
            self.outcomes.put(decode(bytes(message.payload), ReviewOutcome))
        elif topic.kind == "receipt":
            self.receipts.put(decode(bytes(message.payload), Receipt))
        elif topic.task:
            task = decode(bytes(message.payload), ReviewTask) if message.payload else None
            self.tasks.put((topic.task, task))

    def send(self, envelopes: list[Envelope], *, payload: bytes | None = None) -> None:
        body, content_type = encode_batch(envelopes)
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        properties.ContentType = content_type
        properties.UserProperty = [
            ("stream", str(envelopes[0].stream)),
            ("first", str(envelopes[0].number)),
            ("last", str(envelopes[-1].number)),
        ]
        topic = topics.station_topic("shop", "left", "events")
        self.client.publish(
            topic, body if payload is None else payload, qos=1, properties=properties
        )

    def say(self, kind: Any, payload: bytes) -> None:
        self.client.publish(
            topics.station_topic("shop", "left", kind), payload, qos=1, retain=kind == "state"
        )

    async def next_receipt(self) -> Receipt:
        return await asyncio.to_thread(self.receipts.get, timeout=20)

    async def receipt_for(self, sequence: int) -> Receipt:
        while (receipt := await self.next_receipt()).sequence < sequence:
            pass
        return receipt

    async def next_task(self) -> tuple[UUID, ReviewTask | None]:
        return await asyncio.to_thread(self.tasks.get, timeout=20)


def birth(epoch: int, *, online: bool = True) -> bytes:
    return encode(
        StationState(
            online=online,
            epoch=epoch,
            bootid=UUID(int=1),
            stream=STREAM,
            time=datetime(2026, 11, 22, tzinfo=UTC),
            version="test",
        )
    )


async def until(check: Callable[[], Any], timeout_s: float = 20) -> None:
    deadline = time.monotonic() + timeout_s
    while not await check():
        assert time.monotonic() < deadline, "it never became so"
        await asyncio.sleep(0.05)


@pytest.fixture(params=["mosquitto", "iotcore"])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LocalBroker]:
    kind: BrokerKind = request.param
    server = LocalBroker(tmp_path, kind=kind).start()
    yield server
    server.stop()


@pytest.fixture
async def worker(broker: LocalBroker, database: str) -> AsyncIterator[Worker]:
    async with pooled(database, most=5) as pool:
        worker = Worker(pool)
        link = MqttClient(BrokerSettings(port=broker.port), on_message=worker.put)
        link.start()
        running = asyncio.create_task(worker.run(link))
        yield worker
        running.cancel()
        await asyncio.wait([running], timeout=20)
        await asyncio.wait_for(link.stop(), 20)


@pytest.fixture
def station(broker: LocalBroker) -> Iterator[Station]:
    station = Station(broker.port)
    yield station
    station.client.disconnect()
    station.client.loop_stop()


async def ready(station: Station) -> None:
    """Send the first event until its receipt comes: the worker may still be subscribing."""
    while station.receipts.empty():
        station.send(sealed(accepted()))
        await asyncio.sleep(0.2)
    while not station.receipts.empty():
        station.receipts.get()


async def test_a_receipt_follows_the_commit(
    worker: Worker, station: Station, connection: PostgresConnection
) -> None:
    await ready(station)
    station.send(sealed(accepted(), accepted(), start=2))
    assert (await station.receipt_for(3)).sequence == 3
    assert await connection.fetchval("SELECT sum(count) FROM holdings") == 3


async def test_a_gap_is_refused_at_once(worker: Worker, station: Station) -> None:
    await ready(station)
    station.send(sealed(accepted(), start=9))
    receipt = await station.next_receipt()
    assert (receipt.sequence, receipt.refused) == (1, 9)


async def test_poison_is_parked_and_receipted(
    worker: Worker, station: Station, connection: PostgresConnection
) -> None:
    await ready(station)
    station.send(sealed(accepted(), accepted(), start=2), payload=b"nonsense")
    station.send(sealed(accepted(), start=4))
    assert (await station.receipt_for(4)).sequence == 4
    row = await fetch_one(connection, "SELECT reason, payload, first, last FROM dead_letters")
    assert (row["reason"], row["payload"], row["first"], row["last"]) == (
        "malformed",
        b"nonsense",
        2,
        3,
    )


async def test_a_task_goes_down_and_is_cleared_when_answered(
    worker: Worker, station: Station, connection: PostgresConnection
) -> None:
    await ready(station)
    scan = doubtful()
    station.send(sealed(scan, start=2))
    identifier, task = await station.next_task()
    assert task is not None
    assert (task.scan, task.reasons, len(task.candidates)) == (scan.scan, ("same-art",), 2)
    answer = ReviewAnswered(
        task=identifier, task_version=1, scan=scan.scan, verdict="card", card=FOX, by="left"
    )
    station.send(sealed(answer, start=3))
    assert await station.next_task() == (identifier, None)
    outcome = station.outcomes.get(timeout=20)  # It went before the empty payload.
    assert (outcome.task, outcome.version, outcome.verdict, outcome.by) == (
        identifier,
        2,
        "card",
        "left",
    )
    assert outcome.card == FOX
    assert await connection.fetchval("SELECT count FROM holdings WHERE card_id = $1", FOX.id) == 2

    async def told() -> bool:
        return bool(await connection.fetchval("SELECT published_version = version FROM reviews"))

    await until(told)


async def test_a_task_that_the_dashboard_closed_is_cleared(
    worker: Worker, station: Station, connection: PostgresConnection
) -> None:
    await ready(station)
    station.send(sealed(doubtful(), start=2))
    identifier, _ = await station.next_task()
    await connection.execute(
        "UPDATE reviews SET state = 'answered', version = 2, closed_at = now()"
    )
    await connection.execute("SELECT pg_notify('cardmint', 'shop reviews')")
    assert await station.next_task() == (identifier, None)


async def test_a_broker_that_forgot_everything_is_told_again(
    worker: Worker, station: Station, broker: LocalBroker, connection: PostgresConnection
) -> None:
    await ready(station)
    station.say("state", birth(1))
    station.send(sealed(doubtful(), start=2))
    identifier, _ = await station.next_task()
    await asyncio.to_thread(broker.kill)
    await asyncio.to_thread(broker.start)
    await asyncio.to_thread(_wait_connected, station.client)
    station.say("state", birth(1))
    assert (await station.next_task())[0] == identifier
    station.send(sealed(accepted(), start=3))
    assert (await station.receipt_for(3)).sequence == 3


def _wait_connected(client: mqtt.Client) -> None:
    deadline = time.monotonic() + 20
    while not client.is_connected() and time.monotonic() < deadline:
        time.sleep(0.05)


async def test_a_late_will_does_not_mark_a_living_station_dead(
    worker: Worker, station: Station, connection: PostgresConnection
) -> None:
    await ready(station)

    async def state() -> tuple[bool, int] | None:
        row = await connection.fetchrow("SELECT online, epoch, health FROM stations")
        return (row["online"], row["epoch"]) if row else None

    async def is_state(wanted: tuple[bool, int]) -> bool:
        return await state() == wanted

    station.say("state", birth(7))
    await until(lambda: is_state((True, 7)))
    station.say("state", birth(6, online=False))
    station.say("state", b"{}")
    health = StationHealth(
        time=datetime(2026, 11, 22, tzinfo=UTC),
        queued=0,
        oldest_unsent_s=0,
        disk_free_bytes=1,
        clock_synced=True,
    )
    station.say("health", encode(health))

    async def healthy() -> bool:
        return bool(await connection.fetchval("SELECT health IS NOT NULL FROM stations"))

    await until(healthy)
    assert await state() == (True, 7)
    assert await connection.fetchval("SELECT reason FROM dead_letters") == "invalid"
    station.say("state", birth(7, online=False))
    await until(lambda: is_state((False, 7)))


async def test_postgres_away_loses_nothing(
    worker: Worker, station: Station, postgres: Any, connection: PostgresConnection, database: str
) -> None:
    await ready(station)
    await connection.close()
    await asyncio.to_thread(postgres.kill)
    try:
        station.send(sealed(accepted(), accepted(), start=2))
        await asyncio.sleep(0.5)
    finally:
        await asyncio.to_thread(postgres.start)
    assert (await station.receipt_for(3)).sequence == 3
    async with connected(database) as again:
        assert await again.fetchval("SELECT sum(count) FROM holdings") == 3


def command(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    script = Path(sys.executable).with_name("cardmint-cloud")
    return subprocess.run(
        [script, *words], capture_output=True, text=True, env=environment, timeout=60, check=False
    )


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({"CARDMINT_CLOUD_DATABASE": "nonsense"}, "not an address"),
        ({"CARDMINT_CLOUD_COLOUR": "red"}, "colour: there is no such setting"),
        ({"CARDMINT_CLOUD_BROKER_PORT": "0"}, "broker.port"),
    ],
)
def test_a_wrong_setting_is_one_line(environment: dict[str, str], says: str) -> None:
    done = command("work", **environment)
    assert done.returncode == 1
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("what", "ready", "code"), [("work", "broker connected", 0), ("serve", "dashboard", -SIGTERM)]
)
async def test_what_starts_before_its_database_waits_for_it(
    what: str, ready: str, code: int, database: str, broker: LocalBroker, tmp_path: Path
) -> None:
    address, away = urlsplit(database), free_port()
    away_yet = address._replace(netloc=address.netloc.replace(f":{address.port}", f":{away}"))
    environment = {
        "CARDMINT_CLOUD_DATABASE": away_yet.geturl(),
        "CARDMINT_CLOUD_BROKER_PORT": str(broker.port),
        "CARDMINT_CLOUD_WEB_PORT": str(free_port()),
    }
    log = tmp_path / "log"
    child = ChildProcess(
        [str(Path(sys.executable).with_name("cardmint-cloud")), what], log, env=environment
    )
    try:
        await asyncio.to_thread(child.wait_until, lambda: "cannot be reached" in log.read_text())
        with closing(FaultyProxy(address.port or 0, Random(1), port=away)):
            await asyncio.to_thread(child.wait_until, lambda: ready in log.read_text())
            await asyncio.to_thread(child.stop)
        assert child.code == code, log.read_text()
    finally:
        child.kill()


def test_a_database_that_lets_us_not_in_is_one_line(postgres: Any) -> None:
    wrong = postgres.address.replace(":cardmint@", ":wrong@")
    missing = postgres.address + "x"
    empty = postgres.address.removesuffix("/cardmint") + "/postgres"
    for address, says in (
        (wrong, "password"),
        (missing, "no such database"),
        (empty, "cardmint-cloud migrate"),
    ):
        done = command("work", CARDMINT_CLOUD_DATABASE=address)
        assert done.returncode == 1
        assert says in done.stderr
        assert ":wrong@" not in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_a_broker_that_refuses_us_is_one_line(postgres: Any, tmp_path: Path) -> None:
    program = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin")
    assert program is not None, "mosquitto is missing: apt install mosquitto"
    port = free_port()
    config = tmp_path / "closed.conf"
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous false\n")
    closed = subprocess.Popen([program, "-c", str(config)], stderr=subprocess.DEVNULL)
    try:
        done = command(
            "work", CARDMINT_CLOUD_DATABASE=postgres.address, CARDMINT_CLOUD_BROKER_PORT=str(port),
            CARDMINT_CLOUD_BROKER_USERNAME="shop", CARDMINT_CLOUD_BROKER_PASSWORD="hunter2",
        )  # fmt: skip
    finally:
        closed.kill()
        closed.wait(20)
    assert done.returncode == 1
    assert "refuses us" in done.stderr
    assert "'shop'" in done.stderr
    assert "hunter2" not in done.stderr + done.stdout

"""The worker between a real broker and a real Postgres, seen from a station."""

import asyncio
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from random import Random
from signal import SIGTERM
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import paho.mqtt.client as mqtt
import pytest

from cardmint_cloud.adapters.postgres.connection import PostgresConnection, fetch_one
from cardmint_cloud.ingest.worker import Worker
from cardmint_cloud.local.broker import LocalBroker
from cardmint_cloud.local.processes import ChildProcess, free_port
from cardmint_contracts.events import ReviewAnswered
from cardmint_contracts.stations import StationHealth, StationState
from cardmint_contracts.wire import encode
from cardmint_lab.faulty_proxy import FaultyProxy
from tests.cloud.kit.cards import FOX, STREAM, accepted, doubtful, sealed
from tests.cloud.kit.database import connected
from tests.cloud.kit.stations import StationStub, wait_for_worker

pytestmark = pytest.mark.integration


def birth(epoch: int, *, online: bool = True) -> bytes:
    return encode(
        StationState(
            online=online,
            epoch=epoch,
            bootid=UUID(int=1),
            stream=STREAM,
            time="2026-11-22T00:00:00Z",
            version="test",
        )
    )


async def until(check: Callable[[], Any], timeout_s: float = 20) -> None:
    deadline = time.monotonic() + timeout_s
    while not await check():
        assert time.monotonic() < deadline, "it never became so"
        await asyncio.sleep(0.05)


async def test_a_receipt_follows_the_commit(
    worker: Worker, station: StationStub, connection: PostgresConnection
) -> None:
    await wait_for_worker(station)
    station.send(sealed(accepted(), accepted(), start=2))
    assert (await station.receipt_for(3)).sequence == 3
    assert await connection.fetchval("SELECT sum(count) FROM holdings") == 3


async def test_a_gap_is_refused_at_once(worker: Worker, station: StationStub) -> None:
    await wait_for_worker(station)
    station.send(sealed(accepted(), start=9))
    receipt = await station.next_receipt()
    assert (receipt.sequence, receipt.refused) == (1, 9)


async def test_poison_is_parked_and_receipted(
    worker: Worker, station: StationStub, connection: PostgresConnection
) -> None:
    await wait_for_worker(station)
    station.send(sealed(accepted(), accepted(), start=2), payload=b"nonsense")
    station.send(sealed(accepted(), start=2))
    assert (await station.receipt_for(2)).sequence == 2
    row = await fetch_one(connection, "SELECT reason, payload, first, last FROM dead_letters")
    assert (row["reason"], row["payload"], row["first"], row["last"]) == (
        "malformed",
        b"nonsense",
        2,
        3,
    )


async def test_a_task_goes_down_and_is_cleared_when_answered(
    worker: Worker, station: StationStub, connection: PostgresConnection
) -> None:
    await wait_for_worker(station)
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
    worker: Worker, station: StationStub, connection: PostgresConnection
) -> None:
    await wait_for_worker(station)
    station.send(sealed(doubtful(), start=2))
    identifier, _ = await station.next_task()
    await connection.execute(
        "UPDATE reviews SET state = 'answered', version = 2, closed_at = now()"
    )
    await connection.execute("SELECT pg_notify('cardmint', 'shop reviews')")
    assert await station.next_task() == (identifier, None)


async def test_a_broker_that_forgot_everything_is_told_again(
    worker: Worker, station: StationStub, broker: LocalBroker, connection: PostgresConnection
) -> None:
    await wait_for_worker(station)
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
    worker: Worker, station: StationStub, connection: PostgresConnection
) -> None:
    await wait_for_worker(station)

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
        time="2026-11-22T00:00:00Z",
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
    worker: Worker,
    station: StationStub,
    postgres: Any,
    connection: PostgresConnection,
    owner_database: str,
) -> None:
    await wait_for_worker(station)
    await connection.close()
    await asyncio.to_thread(postgres.kill)
    try:
        station.send(sealed(accepted(), accepted(), start=2))
        await asyncio.sleep(0.5)
    finally:
        await asyncio.to_thread(postgres.start)
    assert (await station.receipt_for(3)).sequence == 3
    async with connected(owner_database) as again:
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
        ({"CARDMINT_CLOUD_COLOUR": "red"}, "CARDMINT_CLOUD_COLOUR: there is no such setting"),
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
    address = postgres.service_address
    wrong = address.replace(":cardmint@", ":wrong@")
    missing = address + "x"
    empty = address.removesuffix("/cardmint") + "/postgres"
    for address, says in (
        (wrong, "password"),
        (missing, "no such database"),
        (empty, "cardmint-cloud migrate"),
        (
            postgres.address,
            "do not hold for the user cardmint",
        ),
    ):
        done = command("work", CARDMINT_CLOUD_DATABASE=address)
        assert done.returncode == 1
        assert says in done.stderr
        assert ":wrong@" not in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_a_broker_that_refuses_us_is_named_and_asked_again(postgres: Any, tmp_path: Path) -> None:
    """In an environment whose proxy cannot be used, which stops the lookup of prices only."""
    port, log = free_port(), tmp_path / "log"
    config = tmp_path / "closed.conf"
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous false\n")
    mosquitto = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin")
    assert mosquitto is not None, "mosquitto is missing: apt install mosquitto"
    closed = ChildProcess([mosquitto, "-c", str(config)], tmp_path / "closed.log")
    opened = LocalBroker(tmp_path / "open", kind="mosquitto", port=port)
    environment = {
        **postgres.environment,
        "CARDMINT_CLOUD_BROKER_PORT": str(port),
        "CARDMINT_CLOUD_BROKER_USERNAME": "shop",
        "CARDMINT_CLOUD_BROKER_PASSWORD": "hunter2",
        "ALL_PROXY": "socks://user:hunter3@127.0.0.1:9",
    }
    program = str(Path(sys.executable).with_name("cardmint-cloud"))
    worker = ChildProcess([program, "work"], log, env=environment)
    try:
        worker.wait_until(lambda: "refuses us" in log.read_text())
        closed.stop()
        opened.start()
        worker.wait_until(lambda: "broker connected" in log.read_text())
    finally:
        worker.stop()
        closed.stop()
        opened.stop()
    lines = log.read_text().splitlines()
    assert worker.code == 0
    (refusal,) = [line for line in lines if "refuses us" in line]
    assert '"shop"' in refusal
    (proxy,) = [line for line in lines if "proxy" in line]
    assert "ALL_PROXY" in proxy
    assert "hunter" not in log.read_text()
    assert "Traceback" not in log.read_text()

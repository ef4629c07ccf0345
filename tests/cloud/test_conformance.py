"""The conformance kit against a deployment with a broker's rules, and against poor ones."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cardmint_cloud.adapters.mqtt.client import MqttClient
from cardmint_cloud.adapters.postgres.connection import Pool
from cardmint_cloud.ingest.worker import Worker
from cardmint_cloud.local.broker import BrokerGuard, LocalBroker
from cardmint_cloud.local.broker_users import CLOUD, BrokerUsers
from cardmint_cloud.local.processes import free_port
from cardmint_contracts.settings import BrokerSettings
from cardmint_lab.conformance import CHECKS, Subscriber, run
from tests.cloud.kit.cards import accepted, send
from tests.cloud.test_feed import open_feed, put_station

pytestmark = pytest.mark.integration


@pytest.fixture
async def deployed(pool: Pool, tmp_path: Path) -> AsyncIterator[Subscriber]:
    """Give the login of a reader at a broker with rules, behind which a worker runs."""
    (tmp_path / "broker").mkdir()
    users, cloud_port = BrokerUsers(tmp_path / "broker"), free_port()
    users.set_password(CLOUD, "of the cloud")
    password = users.add_reader("shop", "wall") or ""
    guard = BrokerGuard(rules=users.rules, passwords=users.passwords, cloud_port=cloud_port)
    broker = LocalBroker(tmp_path / "broker", kind="mosquitto", guard=guard).start()
    worker = Worker(pool)
    link = MqttClient(
        BrokerSettings(port=cloud_port, username=CLOUD, password="of the cloud"),
        on_message=worker.put,
    )
    link.start()
    running = asyncio.create_task(worker.run(link))
    yield Subscriber(
        host="127.0.0.1",
        port=broker.port,
        tenant="shop",
        reader="wall",
        password=password,
        wait_s=3.0,
    )
    running.cancel()
    await asyncio.wait([running], timeout=20)
    await asyncio.wait_for(link.stop(), 20)
    broker.stop()


async def checked(who: Subscriber) -> tuple[bool, list[str]]:
    lines: list[str] = []
    return await asyncio.to_thread(run, who, lines.append), lines


async def test_a_sound_deployment_meets_everything(pool: Pool, deployed: Subscriber) -> None:
    await open_feed(pool)
    await put_station(pool, online=True)
    await send(pool, *(accepted() for _ in range(70)))
    end = time.monotonic() + 60
    while not (found := await checked(deployed))[0]:
        assert time.monotonic() < end, found[1]  # The worker takes its slots first.
    _, lines = found
    assert len(lines) == len(CHECKS)
    assert "ok     events come again: 50 of 1 to 71, in order" in lines
    assert "ok     stations are retained: left" in lines


async def test_what_a_deployment_lacks_is_said(pool: Pool, deployed: Subscriber) -> None:
    met, lines = await checked(deployed)
    assert not met
    assert any("the feed was never opened" in line or "nobody answers" in line for line in lines)
    wrong = Subscriber(
        host="127.0.0.1",
        port=deployed.port,
        tenant="shop",
        reader="wall",
        password="another",
        wait_s=3.0,
    )
    assert (await checked(wrong))[1] == [
        "FAILS  connects with MQTT 5: the broker refuses the login: Not authorized"
    ]


async def test_a_broker_without_rules_and_workers_is_said(tmp_path: Path) -> None:
    broker = LocalBroker(tmp_path, kind="mosquitto").start()
    open_to_all = Subscriber(
        host="127.0.0.1", port=broker.port, tenant="shop", reader="wall", wait_s=0.3
    )
    met, lines = await checked(open_to_all)
    broker.stop()
    assert not met
    assert "cardmint/v1/shop/feed/now/counters: nothing is retained" in lines[2]
    assert "nobody answers a request for a replay: does a worker run?" in lines[3]
    assert "a reader may publish on cardmint/v1/shop/feed/inventory/added" in lines[-1]
    gone = await checked(open_to_all)
    assert "FAILS  connects with MQTT 5: 127.0.0.1:" in gone[1][0]

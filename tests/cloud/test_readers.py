"""Readers: logins at the broker for programs that follow the feed, made and ended by an admin."""

import queue
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode
from sqlalchemy.ext.asyncio import AsyncEngine

from cardmint_cloud.adapters.postgres.connection import Pool
from cardmint_cloud.domain.permissions import Role
from cardmint_cloud.local.broker import BrokerGuard, LocalBroker
from cardmint_cloud.local.broker_users import CLOUD, BrokerUsers
from cardmint_cloud.local.processes import free_port
from cardmint_contracts import topics
from tests.cloud.kit.web import plain
from tests.cloud.test_accounts import GuardedSite, guarded_site

pytestmark = pytest.mark.integration

ADDED = topics.feed_topic("shop", "inventory/added")
WAIT_S = 20


@pytest.fixture
def users(tmp_path: Path) -> BrokerUsers:
    (tmp_path / "broker").mkdir()
    users = BrokerUsers(tmp_path / "broker")
    users.set_password(CLOUD, "of the cloud")
    return users


class Program:
    """A client with a login, and what it hears."""

    def __init__(self, port: int, user: str, password: str, *wanted: str) -> None:
        self.heard: queue.Queue[bytes] = queue.Queue()
        self.answers: queue.Queue[ReasonCode] = queue.Queue()
        self.taken: queue.Queue[ReasonCode] = queue.Queue()
        ready: queue.Queue[None] = queue.Queue()
        self.client = mqtt.Client(
            CallbackAPIVersion.VERSION2, user, protocol=mqtt.MQTTv5, reconnect_on_failure=False
        )
        self.client.username_pw_set(user, password)
        self.client.on_message = lambda _client, _data, message: self.heard.put(
            bytes(message.payload)
        )
        self.client.on_connect = lambda _client, _data, _flags, code, _said: self.answers.put(code)
        self.client.on_subscribe = lambda *_: ready.put(None)
        self.client.on_publish = lambda _client, _data, _mid, code, _said: self.taken.put(code)
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        self.answer = self.answers.get(timeout=WAIT_S)
        if wanted and not self.answer.is_failure:
            self.client.subscribe([(topic, 1) for topic in wanted])
            ready.get(timeout=WAIT_S)

    def publish(self, topic: str, payload: bytes) -> ReasonCode:
        self.client.publish(topic, payload, qos=1)
        return self.taken.get(timeout=WAIT_S)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture
def guarded(tmp_path: Path, users: BrokerUsers) -> Iterator[tuple[LocalBroker, int]]:
    cloud_port = free_port()
    guard = BrokerGuard(rules=users.rules, passwords=users.passwords, cloud_port=cloud_port)
    broker = LocalBroker(tmp_path / "broker", kind="mosquitto", guard=guard).start()
    yield broker, cloud_port
    broker.stop()


def test_a_login_is_good_until_it_is_ended(
    users: BrokerUsers, guarded: tuple[LocalBroker, int]
) -> None:
    broker, cloud_port = guarded
    cloud = Program(cloud_port, CLOUD, "of the cloud", topics.EVERY_REPLAY)
    passwords = {name: users.add_reader("shop", name) or "" for name in ("wall", "graphs")}
    theirs = users.add_reader("rival", "wall") or ""
    broker.reload()
    all_of_it = (topics.feed_filter("shop"), topics.feed_filter("rival"))
    deadline = time.monotonic() + WAIT_S
    while (wall := Program(broker.port, "shop/wall", passwords["wall"], *all_of_it)).answer != 0:
        wall.close()
        assert time.monotonic() < deadline
    graphs = Program(broker.port, "shop/graphs", passwords["graphs"], *all_of_it)
    rival = Program(broker.port, "rival/wall", theirs, *all_of_it)
    cloud.publish(ADDED, b"first")
    assert [one.heard.get(timeout=WAIT_S) for one in (wall, graphs)] == [b"first"] * 2
    # Asking: in one's own name at one's own tenant, and nothing else.
    for topic in (
        topics.replay_topic("shop", "wall"),
        topics.replay_topic("rival", "graphs"),
        ADDED,
        topics.replay_answer_topic("shop", "graphs"),
    ):
        assert graphs.publish(topic, b"forged").is_failure
    assert not graphs.publish(topics.replay_topic("shop", "graphs"), b"asked").is_failure
    assert cloud.heard.get(timeout=WAIT_S) == b"asked"
    assert users.remove_reader("shop", "graphs")
    assert not users.remove_reader("shop", "graphs")
    broker.reload()
    while not (
        refused := Program(broker.port, "shop/graphs", passwords["graphs"])
    ).answer.is_failure:
        refused.close()
        assert time.monotonic() < deadline
    while not graphs.heard.empty():
        graphs.heard.get()  # What it asked, which it may read.
    cloud.publish(ADDED, b"second")
    assert wall.heard.get(timeout=WAIT_S) == b"asked"
    assert wall.heard.get(timeout=WAIT_S) == b"second"
    assert wall.client.is_connected()
    assert graphs.heard.empty()
    assert rival.heard.empty()
    for one in (cloud, wall, graphs, rival, refused):
        one.close()


def test_a_name_is_a_stations_or_a_readers(users: BrokerUsers) -> None:
    users.add_station("shop", "left")
    assert users.add_reader("shop", "left") is None
    assert users.add_reader("shop", "graphs")
    assert users.add_reader("rival", "wall")
    assert users.stations == ["shop/left"]
    assert users.readers("shop") == ["graphs"]
    users.add_station("shop", "graphs")
    assert users.stations == ["shop/graphs", "shop/left"]
    assert users.readers("shop") == []
    assert not users.remove_reader("shop", "left")


@pytest.fixture
async def shop(
    pool: Pool, engine: AsyncEngine, tmp_path: Path, users: BrokerUsers
) -> AsyncIterator[GuardedSite]:
    async with guarded_site(pool, engine, tmp_path, broker_users=users) as site:
        await site.join("owl", Role.ADMIN)
        yield site


async def test_an_admin_makes_and_ends_a_login(
    shop: GuardedSite, users: BrokerUsers, owner: Pool
) -> None:
    site = shop.client
    page = plain(await site.post("/people/readers", data={"reader": " graphs "}))
    password = page.split("<code>shop/graphs ")[1].split("<")[0]
    assert users.readers("shop") == ["graphs"]
    assert password not in users.passwords.read_text()
    assert password not in plain(await site.get("/people"))
    assert await owner.fetchval("SELECT numbered FROM feeds WHERE tenant = 'shop'") == 0
    log = plain(await site.get("/people/log"))
    assert "reader made" in log.lower()
    again = plain(await site.post("/people/readers", data={"reader": "graphs"}))
    assert password not in again
    gone = plain(await site.post("/people/readers/remove", data={"reader": "graphs"}))
    assert "graphs has no login any more." in gone
    assert users.readers("shop") == []
    unknown = plain(await site.post("/people/readers/remove", data={"reader": "<b>"}))
    assert "There is no such login." in unknown


@pytest.mark.parametrize("name", ["", "L/ft", "feed", "a" * 64])
async def test_a_name_that_cannot_be_a_readers_is_said(shop: GuardedSite, name: str) -> None:
    page = plain(await shop.client.post("/people/readers", data={"reader": name}))
    assert "That name cannot be a reader's" in page.replace("&#39;", "'")


async def test_a_stations_login_stays_a_stations(shop: GuardedSite, users: BrokerUsers) -> None:
    users.add_station("shop", "left")
    page = plain(await shop.client.post("/people/readers", data={"reader": "left"}))
    assert "A station has the login shop/left" in page
    assert users.stations == ["shop/left"]


async def test_where_the_brokers_users_are_elsewhere_it_is_said(
    pool: Pool, engine: AsyncEngine, tmp_path: Path
) -> None:
    async with guarded_site(pool, engine, tmp_path) as site:
        await site.join("owl", Role.ADMIN)
        for path in ("/people/readers", "/people/readers/remove"):
            page = plain(await site.client.post(path, data={"reader": "graphs"}))
            assert "does not keep the broker" in page

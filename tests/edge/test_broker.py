"""The link against real brokers, with a small cloud at the other end: kills lose nothing."""

import queue
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from paho.mqtt.client import Client, MQTTMessage, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion
from structlog.testing import capture_logs
from tests.edge.brokers import Kind, RealBroker, free_port
from tests.edge.kit import NOW, STAMP, scan_of

from cardmint_contracts import topics
from cardmint_contracts.envelope import decode_batch
from cardmint_contracts.events import CardScanned, decode_data
from cardmint_contracts.receipts import Receipt
from cardmint_contracts.stations import StationHealth, StationState
from cardmint_contracts.wire import decode, encode
from cardmint_edge.adapters.broker import BrokerLink
from cardmint_edge.adapters.outbox import Outbox
from cardmint_edge.errors import Stop
from cardmint_edge.forward import Appended, Connected, Forwarder, News, OutcomeCame, ReceiptCame, TaskCame
from cardmint_edge.settings import Broker, Station

pytestmark = pytest.mark.integration
STATION = Station(tenant="shop", name="left", data=Path("data"))


def until(condition: Callable[[], object], seconds: float = 40) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.01)


class CloudWorker:
    """Ingest in small, over a real broker: commits to memory, then publishes the receipt."""

    def __init__(self, port: int) -> None:
        self.watermarks: dict[UUID, int] = {}
        self.scans: list[UUID] = []
        self.properties: list[dict[str, str]] = []
        self.states: list[StationState] = []
        self.healths: list[StationHealth] = []
        self.deaf = False
        self._client = Client(CallbackAPIVersion.VERSION2, client_id="worker", protocol=MQTTv5)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = self._subscribe
        self._client.on_message = self._take
        self._client.connect("127.0.0.1", port, 15)
        self._client.loop_start()

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def publish_task(self, task: UUID, payload: bytes) -> None:
        self._client.publish(topics.task_topic("shop", "left", task), payload, 1, retain=True)

    def _subscribe(self, client: Client, *_: Any) -> None:
        client.subscribe([(topics.every_station(kind), 1) for kind in ("events", "state", "health")])

    def _take(self, client: Client, _: Any, message: MQTTMessage) -> None:
        kind = topics.parse(message.topic).kind
        if kind == "state":
            self.states.append(decode(bytes(message.payload), StationState))
        elif kind == "health":
            self.healths.append(decode(bytes(message.payload), StationHealth))
        elif not self.deaf:
            properties: Any = message.properties
            self.properties.append(dict(properties.UserProperty))
            self._ingest(client, bytes(message.payload), properties.ContentType)

    def _ingest(self, client: Client, payload: bytes, content_type: str) -> None:
        envelopes = decode_batch(payload, content_type)
        stream, first = envelopes[0].stream, envelopes[0].number
        watermark = self.watermarks.get(stream, 0)
        refused = first if first > watermark + 1 else None
        if refused is None:
            for envelope in envelopes:
                if envelope.number > watermark:
                    event = decode_data(envelope.type, bytes(envelope.data))
                    assert isinstance(event, CardScanned)
                    self.scans.append(event.scan)
            watermark = self.watermarks[stream] = max(watermark, envelopes[-1].number)
        receipt = Receipt(stream=stream, sequence=watermark, refused=refused)
        client.publish(topics.station_topic("shop", "left", "receipt"), encode(receipt), 1, retain=True)


class NoTasks:
    def arrived(self, task: UUID, payload: bytes) -> None: ...

    def ended(self, payload: bytes) -> None:
        return

    def connected(self, now: float) -> None: ...

    def disconnected(self) -> None: ...

    def tick(self, now: float) -> None: ...


class Agent:
    """Outbox, forwarder and link, as the station wires them."""

    def __init__(self, folder: Path, broker: Broker) -> None:
        self.outbox = Outbox.open(folder / "outbox.db")
        epoch = self.outbox.start()
        self.link = link_to(broker, lambda news: self.forwarder.tell(news), self.outbox.mark.stream, epoch)  # noqa: PLW0108 - made below
        self.forwarder = Forwarder(
            outbox=self.outbox, link=self.link, tasks=NoTasks(), source="/stations/left", covered=lambda: None
        )
        self.outbox.listen(lambda: self.forwarder.tell(Appended()))
        self._threads = [threading.Thread(target=part, daemon=True) for part in (self.forwarder.run, self.link.run)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self.link.stop()
        self.forwarder.stop()
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()
        self.outbox.close()

    @property
    def queued(self) -> int:
        mark = self.outbox.mark
        return mark.last - mark.acknowledged


def link_to(broker: Broker, tell: Callable[[News], None], stream: UUID = STAMP.bootid, epoch: int = 1) -> BrokerLink:
    return BrokerLink(
        broker=broker,
        station=STATION,
        state=lambda online: StationState(
            online=online, epoch=epoch, bootid=STAMP.bootid, stream=stream, time=NOW, version="1"
        ),
        health=lambda: StationHealth(time=NOW, queued=0, oldest_unsent_s=0, disk_free_bytes=1, clock_synced=True),
        tell=tell,
    )


@pytest.fixture(params=["mosquitto", "iotcore"])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RealBroker]:
    kind: Kind = request.param
    real = RealBroker(kind, tmp_path)
    real.start()
    yield real
    real.kill()


@pytest.fixture
def worker(broker: RealBroker) -> Iterator[CloudWorker]:
    cloud = CloudWorker(broker.port)
    yield cloud
    cloud.close()


@pytest.fixture
def agent(tmp_path: Path, broker: RealBroker) -> Iterator[Agent]:
    running = Agent(tmp_path, Broker(port=broker.port))
    yield running
    running.stop()


def test_a_broker_killed_mid_stream_loses_nothing(broker: RealBroker, worker: CloudWorker, agent: Agent) -> None:
    wanted = []
    for number in range(1, 401):
        wanted.append(agent.outbox.record(scan_of(number), STAMP).scan.scan)
        if number % 150 == 0:
            broker.kill()
        if number % 150 == 75 and number > 150:
            broker.start()
    until(lambda: agent.queued == 0)
    assert worker.scans == wanted
    assert {entry["stream"] for entry in worker.properties} == {str(agent.outbox.mark.stream)}
    assert worker.properties[0]["first"] == "1"
    assert int(worker.properties[-1]["last"]) == 400


def test_a_worker_that_was_away_gets_it_all(worker: CloudWorker, agent: Agent) -> None:
    worker.deaf = True
    wanted = [agent.outbox.record(scan_of(number), STAMP).scan.scan for number in range(1, 120)]
    time.sleep(0.5)
    assert agent.queued == 119
    worker.deaf = False
    until(lambda: agent.queued == 0)
    assert worker.scans == wanted


def test_birth_and_death_are_told(tmp_path: Path, broker: RealBroker, worker: CloudWorker) -> None:
    running = Agent(tmp_path, Broker(port=broker.port))
    until(lambda: worker.states and worker.healths)
    running.stop()
    until(lambda: len(worker.states) >= 2)
    assert [(state.online, state.epoch) for state in worker.states] == [(True, 1), (False, 1)]


def test_receipts_and_tasks_come_down(broker: RealBroker, worker: CloudWorker) -> None:
    news: queue.Queue[News] = queue.Queue()
    link = link_to(Broker(port=broker.port), news.put)
    thread = threading.Thread(target=link.run, daemon=True)
    thread.start()
    connected = news.get(timeout=20)
    assert isinstance(connected, Connected)
    worker.publish_task(UUID(int=5), b"{}")
    assert news.get(timeout=20) == TaskCame(task=UUID(int=5), payload=b"{}")
    worker._client.publish(topics.outcome_topic("shop", "left", UUID(int=5)), b"o", 1)
    assert news.get(timeout=20) == OutcomeCame(payload=b"o")
    worker._client.publish(topics.station_topic("shop", "left", "receipt"), b"r", 1)
    assert news.get(timeout=20) == ReceiptCame(payload=b"r")
    link.reconnect()
    until(lambda: any(isinstance(n, Connected) and n.connection > connected.connection for n in list(news.queue)))
    link.stop()
    thread.join()
    assert not link.send_health()


def _say(broker: Broker, count: int = 1) -> list[dict[str, Any]]:
    with capture_logs() as logs:
        link = link_to(broker, lambda _: None)
        thread = threading.Thread(target=link.run, daemon=True)
        thread.start()
        until(lambda: sum(1 for entry in logs if entry["log_level"] == "warning") >= count)
        link.stop()
        thread.join()
    return [dict(entry) for entry in logs if entry["log_level"] == "warning"]


def test_no_broker_is_said_with_its_address() -> None:
    port = free_port()
    (line,) = _say(Broker(port=port))
    assert line["broker"] == f"127.0.0.1:{port}"
    assert "refused" in line["reason"]


def test_a_wrong_password_is_said_with_the_user(tmp_path: Path) -> None:
    passwords = tmp_path / "passwords"
    passwords.touch()
    real = RealBroker("mosquitto", tmp_path, f"allow_anonymous false\npassword_file {passwords}\n")
    real.start()
    lines = _say(Broker(port=real.port, username="left", password="wrong"))
    real.kill()
    assert (lines[0]["user"], lines[0]["reason"]) == ("left", "Not authorized")
    assert "password" in lines[0]["mend"]


def test_a_station_with_the_same_name_is_said(tmp_path: Path) -> None:
    real = RealBroker("mosquitto", tmp_path)
    real.start()
    other = link_to(Broker(port=real.port), lambda _: None)
    thread = threading.Thread(target=other.run, daemon=True)
    with capture_logs() as logs:
        thread.start()
        until(lambda: any(entry["event"] == "connected" for entry in logs))
        twin = link_to(Broker(port=real.port), lambda _: None)
        twin_thread = threading.Thread(target=twin.run, daemon=True)
        twin_thread.start()
        until(lambda: any("its own name" in str(entry.get("mend")) for entry in logs))
        for link, run in ((other, thread), (twin, twin_thread)):
            link.stop()
            run.join()
    real.kill()


def test_the_brokers_limits_are_kept(tmp_path: Path) -> None:
    real = RealBroker("mosquitto", tmp_path, "allow_anonymous true\nmax_packet_size 5000\nmax_inflight_messages 3\n")
    real.start()
    news: queue.Queue[News] = queue.Queue()
    link = link_to(Broker(port=real.port), news.put)
    thread = threading.Thread(target=link.run, daemon=True)
    thread.start()
    connected = news.get(timeout=20)
    link.stop()
    thread.join()
    real.kill()
    assert isinstance(connected, Connected)
    assert (connected.limits.in_flight, connected.limits.payload_bytes) == (3, 5000 - 1024)


def test_certificates_that_cannot_be_read(tmp_path: Path) -> None:
    for broken in (
        Broker(tls=True, ca_file=tmp_path / "none.pem"),
        Broker(tls=True, cert_file=tmp_path / "none.pem"),
    ):
        with pytest.raises(Stop, match="ca_file"):
            link_to(broken, lambda _: None)
    link_to(Broker(tls=True), lambda _: None)

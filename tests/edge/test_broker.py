"""The link against real brokers, with a small cloud at the other end: kills lose nothing."""

import queue
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from structlog.testing import capture_logs
from tests.edge.agent import Agent, link_to
from tests.edge.kit import STAMP, scan_of
from tests.edge.worker import CloudWorker, until

from cardmint_cloud.local.broker import Broker as RealBroker
from cardmint_cloud.local.processes import free_port
from cardmint_contracts import topics
from cardmint_edge.errors import Stop
from cardmint_edge.forward import Connected, News, OutcomeCame, ReceiptCame, TaskCame
from cardmint_edge.settings import Broker

pytestmark = pytest.mark.integration
EITHER = pytest.mark.parametrize("broker", ["mosquitto", "iotcore"], indirect=True)


@pytest.fixture
def agent(tmp_path: Path, broker: RealBroker) -> Iterator[Agent]:
    running = Agent(tmp_path, Broker(port=broker.port))
    yield running
    running.stop()


@EITHER
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


@EITHER
def test_a_worker_that_was_away_gets_it_all(worker: CloudWorker, agent: Agent) -> None:
    worker.deaf = True
    wanted = [agent.outbox.record(scan_of(number), STAMP).scan.scan for number in range(1, 120)]
    time.sleep(0.5)
    assert agent.queued == 119
    worker.deaf = False
    until(lambda: agent.queued == 0)
    assert worker.scans == wanted


@EITHER
def test_birth_and_death_are_told(tmp_path: Path, broker: RealBroker, worker: CloudWorker) -> None:
    running = Agent(tmp_path, Broker(port=broker.port))
    until(lambda: worker.states and worker.healths)
    running.stop()
    until(lambda: len(worker.states) >= 2)
    assert [(state.online, state.epoch) for state in worker.states] == [(True, 1), (False, 1)]


@EITHER
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
    until(lambda: OutcomeCame(payload=b"o") in list(news.queue))
    worker._client.publish(topics.station_topic("shop", "left", "receipt"), b"r", 1)
    until(lambda: ReceiptCame(payload=b"r") in list(news.queue))  # a task may come twice: retained, and as it is sent
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
    real = RealBroker(
        tmp_path, kind="mosquitto", extra=f"user root\nallow_anonymous false\npassword_file {passwords}\n"
    )
    real.start()
    lines = _say(Broker(port=real.port, username="left", password="wrong"))
    real.kill()
    assert (lines[0]["user"], lines[0]["reason"]) == ("left", "Not authorized")
    assert "password" in lines[0]["mend"]


def test_a_station_with_the_same_name_is_said(tmp_path: Path) -> None:
    real = RealBroker(tmp_path, kind="mosquitto")
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
    real = RealBroker(tmp_path, kind="mosquitto", extra="max_packet_size 5000\nmax_inflight_messages 3\n")
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

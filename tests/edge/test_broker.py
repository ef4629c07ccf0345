"""The link against real brokers, with a small cloud at the other end. A kill loses nothing."""

import json
import queue
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from structlog.testing import capture_logs
from tests.edge.kit.agent import ForwardingAgent, link_to, linked
from tests.edge.kit.faulty_broker import FaultyBroker, ScriptedBroker
from tests.edge.kit.scans import STAMP, scan_of
from tests.edge.kit.waiting import until
from tests.edge.kit.worker import CloudWorker

from cardmint_cloud.local.broker import LocalBroker
from cardmint_cloud.local.processes import free_port
from cardmint_contracts import topics
from cardmint_contracts.settings import BrokerSettings
from cardmint_edge.adapters.mqtt import MAX_PACKET_BYTES, BrokerLink
from cardmint_edge.domain.delivery.messages import (
    ControlMessage,
    ForwarderMessage,
    LinkConnected,
    LinkDisconnected,
    OutcomeReceived,
    ReceiptReceived,
    TaskReceived,
)
from cardmint_edge.errors import Stop

pytestmark = pytest.mark.integration
EITHER = pytest.mark.parametrize("broker", ["mosquitto", "iotcore"], indirect=True)


@pytest.fixture
def agent(tmp_path: Path, broker: LocalBroker) -> Iterator[ForwardingAgent]:
    running = ForwardingAgent(tmp_path, BrokerSettings(port=broker.port))
    yield running
    running.stop()


@EITHER
def test_a_broker_killed_mid_stream_loses_nothing(
    broker: LocalBroker, worker: CloudWorker, agent: ForwardingAgent
) -> None:
    wanted = []
    for number in range(1, 401):
        wanted.append(agent.outbox.record(scan_of(number), STAMP).scan.scan)
        if number % 150 == 0:
            broker.kill()
        if number % 150 == 75 and number > 150:
            broker.start()
    until(lambda: agent.queued == 0)
    assert worker.scans == wanted
    assert {entry["stream"] for entry in worker.properties} == {
        str(agent.outbox.stream_state.stream)
    }
    assert worker.properties[0]["first"] == "1"
    assert int(worker.properties[-1]["last"]) == 400


@EITHER
def test_a_worker_that_was_away_gets_it_all(worker: CloudWorker, agent: ForwardingAgent) -> None:
    worker.deaf = True
    wanted = [agent.outbox.record(scan_of(number), STAMP).scan.scan for number in range(1, 120)]
    time.sleep(0.5)
    assert agent.queued == 119
    worker.deaf = False
    until(lambda: agent.queued == 0)
    assert worker.scans == wanted


@EITHER
def test_birth_and_death_are_told(tmp_path: Path, broker: LocalBroker, worker: CloudWorker) -> None:
    running = ForwardingAgent(tmp_path, BrokerSettings(port=broker.port))
    try:
        until(lambda: worker.states and worker.healths)
    finally:
        running.stop()
    until(lambda: len(worker.states) >= 2)
    assert [(state.online, state.epoch) for state in worker.states] == [(True, 1), (False, 1)]


@EITHER
def test_receipts_and_tasks_come_down(broker: LocalBroker, worker: CloudWorker) -> None:
    news: queue.Queue[ForwarderMessage] = queue.Queue()
    with linked(link_to(BrokerSettings(port=broker.port), news.put)) as link:
        connected = news.get(timeout=20)
        assert isinstance(connected, LinkConnected)
        worker.publish_task(UUID(int=5), b"{}")
        assert news.get(timeout=20) == TaskReceived(task=UUID(int=5), payload=b"{}")
        worker.publish(topics.outcome_topic("shop", "left", UUID(int=5)), b"o")
        until(lambda: OutcomeReceived(payload=b"o") in list(news.queue))
        worker.publish(topics.station_topic("shop", "left", "receipt"), b"r")
        until(lambda: ReceiptReceived(payload=b"r") in list(news.queue))
        link.reconnect()
        until(
            lambda: any(
                isinstance(n, LinkConnected) and n.connection > connected.connection
                for n in list(news.queue)
            )
        )
    assert not link.send_health()


def test_connected_is_said_when_the_subscriptions_stand(
    broker: LocalBroker, worker: CloudWorker
) -> None:
    news: queue.Queue[ForwarderMessage] = queue.Queue()
    task = UUID(int=5)
    worker.publish_task(task, b"{}")
    with FaultyBroker.before(broker.port) as faulty:
        faulty.mood = "unsubscribed"
        with linked(link_to(BrokerSettings(port=faulty.port), news.put)) as link:
            until(lambda: faulty.kept)
            assert not link.send_birth(), "nobody hears of the station before it can hear"
            worker.publish(topics.outcome_topic("shop", "left", task), b"o")
            with pytest.raises(queue.Empty):
                news.get(timeout=0.3)
            faulty.let_go()
            came = [news.get(timeout=20) for _ in range(3)]
    assert isinstance(came[0], LinkConnected)
    assert TaskReceived(task=task, payload=b"{}") in came
    assert OutcomeReceived(payload=b"o") in came


def test_subscriptions_that_are_not_answered_are_said(broker: LocalBroker) -> None:
    news: queue.Queue[ForwarderMessage] = queue.Queue()
    with FaultyBroker.before(broker.port) as faulty, capture_logs() as logs:
        faulty.mood = "unsubscribed"
        with linked(link_to(BrokerSettings(port=faulty.port), news.put, answer_timeout_s=0.3)):
            until(lambda: faulty.taken >= 2)
            faulty.mood = "pass"
            until(lambda: any(isinstance(came, LinkConnected) for came in list(news.queue)))
    (said,) = [entry for entry in logs if entry["log_level"] == "warning"]
    assert said["reason"] == "it does not answer the subscriptions"


REFUSED = topics.station_topic("shop", "left", "receipt")


@pytest.mark.parametrize(
    ("refused", "says"),
    [
        (REFUSED, f"it refuses to subscribe {REFUSED}"),
        (topics.fleet_topic("shop", "models"), "no commands, settings or packs"),
    ],
)
def test_subscriptions_that_are_refused_are_said(tmp_path: Path, refused: str, says: str) -> None:
    news: queue.Queue[ForwarderMessage] = queue.Queue()
    with (
        dealing_out_rights(tmp_path, refused) as real,
        capture_logs() as logs,
        linked(link_to(BrokerSettings(port=real.port), news.put)),
    ):
        until(lambda: any(entry["log_level"] == "warning" for entry in logs))
        if refused == REFUSED:
            until(
                lambda: (
                    len([came for came in list(news.queue) if isinstance(came, LinkDisconnected)])
                    >= 2
                )
            )
        else:
            assert isinstance(news.get(timeout=20), LinkConnected)
    (said,) = [entry for entry in logs if entry["log_level"] == "warning"]
    assert says in said.get("reason", said["event"])
    assert refused in str(said), "by its name"
    assert "let the station subscribe" in said["remedy"]
    assert not any(isinstance(came, LinkConnected) for came in list(news.queue))


@contextmanager
def dealing_out_rights(folder: Path, refused: str) -> Iterator[LocalBroker]:
    """Run mosquitto with its plugin for rights, which refuses one subscription."""
    (plugin,) = Path("/usr/lib").glob("*/mosquitto_dynamic_security.so")
    rights = folder / "rights.json"
    acls = [
        {"acltype": "subscribeLiteral", "topic": refused, "allow": False, "priority": 2},
        {"acltype": "subscribePattern", "topic": "#", "allow": True, "priority": 1},
    ]
    anybody = {"groupname": "anybody", "roles": [{"rolename": "station"}], "clients": []}
    rights.write_text(
        json.dumps(
            {
                "defaultACLAccess": dict.fromkeys(
                    ("publishClientSend", "publishClientReceive", "subscribe", "unsubscribe"), True
                ),
                "roles": [{"rolename": "station", "acls": acls}],
                "groups": [anybody],
                "anonymousGroup": "anybody",
                "clients": [],
            }
        )
    )
    extra = f"user root\nplugin {plugin}\nplugin_opt_config_file {rights}\n"
    with started(folder / "broker", extra) as real:
        yield real


@contextmanager
def started(folder: Path, extra: str = "") -> Iterator[LocalBroker]:
    """Run mosquitto, and kill it at the end."""
    real = LocalBroker(folder, kind="mosquitto", extra=extra)
    try:
        yield real.start()
    finally:
        real.kill()


def _say(broker: BrokerSettings, count: int = 1) -> list[dict[str, Any]]:
    with capture_logs() as logs, linked(link_to(broker, lambda _: None)):
        until(lambda: sum(1 for entry in logs if entry["log_level"] == "warning") >= count)
    return [dict(entry) for entry in logs if entry["log_level"] == "warning"]


def test_no_broker_is_said_with_its_address() -> None:
    port = free_port()
    (line,) = _say(BrokerSettings(port=port))
    assert line["broker"] == f"127.0.0.1:{port}"
    assert "refused" in line["reason"]


def test_a_wrong_password_is_said_with_the_user(tmp_path: Path) -> None:
    passwords = tmp_path / "passwords"
    passwords.touch()
    with started(
        tmp_path, f"user root\nallow_anonymous false\npassword_file {passwords}\n"
    ) as real:
        lines = _say(BrokerSettings(port=real.port, username="left", password="wrong"))
    assert lines[0]["user"] == "left"
    assert "Not authorized" in lines[0]["reason"]
    assert "password" in lines[0]["remedy"]


def test_a_station_with_the_same_name_is_said(tmp_path: Path) -> None:
    def link() -> BrokerLink:
        return link_to(BrokerSettings(port=real.port), lambda _: None)

    with started(tmp_path) as real, capture_logs() as logs, linked(link()):
        until(lambda: any(entry["event"] == "connected" for entry in logs))
        with linked(link()):
            until(lambda: any("its own name" in str(entry.get("remedy")) for entry in logs))


def test_the_brokers_limits_are_kept(tmp_path: Path) -> None:
    news: queue.Queue[ForwarderMessage] = queue.Queue()
    with (
        started(tmp_path, "max_packet_size 5000\nmax_inflight_messages 3\n") as real,
        linked(link_to(BrokerSettings(port=real.port), news.put)),
    ):
        connected = news.get(timeout=20)
    assert isinstance(connected, LinkConnected)
    assert (connected.limits.in_flight, connected.limits.payload_bytes) == (3, 5000 - 1024)


def test_certificates_that_cannot_be_read(tmp_path: Path) -> None:
    for broken in (
        BrokerSettings(tls=True, ca_file=tmp_path / "none.pem"),
        BrokerSettings(tls=True, cert_file=tmp_path / "none.pem"),
    ):
        with pytest.raises(Stop, match="ca_file"):
            link_to(broken, lambda _: None)
    link_to(BrokerSettings(tls=True), lambda _: None)


def connack(code: int, properties: bytes = b"") -> bytes:
    return bytes([0x20, 3 + len(properties), 0, code, len(properties)]) + properties


RETAIN_AVAILABLE, MAXIMUM_QOS, WILDCARDS = 0x25, 0x24, 0x28


@pytest.mark.parametrize(
    ("answer", "reason", "remedy"),
    [
        (connack(0x84), "does not speak MQTT 5", "switch MQTT 5 on"),
        (connack(0x85), "client identifier", "begin with `cardmint-`"),
        (connack(0x87), "password is wrong", "check broker.username"),
        (connack(0x88), "not available", "wait"),
        (connack(0x89), "busy", "wait"),
        (connack(0x97), "quota", "raise the station's quota"),
        (connack(0x9A), "no retained messages", "switch retained messages on"),
        (connack(0x9B), "QoS 1", "allow QoS 1"),
        (connack(0x9F), "too many connections", "connection rate"),
        (connack(0, bytes([RETAIN_AVAILABLE, 0])), "no retained messages", "switch retained"),
        (connack(0, bytes([MAXIMUM_QOS, 0])), "QoS 1", "allow QoS 1"),
        (connack(0, bytes([WILDCARDS, 0])), "wildcard", "switch wildcard subscriptions on"),
        (bytes([0x20, 2, 0, 1]), "does not speak MQTT 5", "switch MQTT 5 on"),
        (bytes([0x20, 0x7F]) + b"x" * 127, "hangs up before it answers", "MQTT 5 broker listens"),
    ],
)
def test_each_refusal_has_its_advice(answer: bytes, reason: str, remedy: str) -> None:
    """The last two are of a broker of MQTT 3.1.1, and of none at all."""
    with (
        ScriptedBroker.answering(answer) as scripted,
        capture_logs() as logs,
        linked(link_to(BrokerSettings(port=scripted.port), lambda _: None)) as link,
    ):
        until(lambda: len(scripted.taken) >= 2)
        problem = link.problem
    (said,) = [entry for entry in logs if entry["log_level"] == "warning"]
    assert reason in said["reason"]
    assert remedy in said["remedy"]
    assert reason in problem
    assert remedy in problem
    for taken in scripted.taken:
        assert taken[0] == 0x10
        length = (taken[1] & 0x7F) + 128 * taken[2]  # of a CONNECT with a will: two bytes
        assert set(taken[3 + length :]) <= {0xE0, 0x00, 0x04}, "a goodbye, and no publication"


def test_a_large_message_is_not_taken(broker: LocalBroker, worker: CloudWorker) -> None:
    heard: queue.Queue[ControlMessage] = queue.Queue()
    desired = topics.config_topic("shop", "left", "desired")
    with (
        linked(link_to(BrokerSettings(port=broker.port), lambda _: None, to_control=heard.put)),
    ):
        assert heard.get(timeout=20).kind == "connected"
        worker.publish(desired, b"x" * (2 * MAX_PACKET_BYTES))
        worker.publish(desired, b"small")
        assert heard.get(timeout=20).payload == b"small"


def test_a_host_that_cannot_be_one_is_said() -> None:
    (line,) = _say(BrokerSettings(host="a..b"))
    assert "label empty" in line["reason"]


def test_a_state_that_cannot_be_read_is_said_and_tried_again(broker: LocalBroker) -> None:
    failures = [Stop("no space"), KeyError("a bug")]
    news: queue.Queue[ForwarderMessage] = queue.Queue()
    link = link_to(BrokerSettings(port=broker.port), news.put, failures=failures)
    with capture_logs() as logs, linked(link):
        assert isinstance(news.get(timeout=20), LinkConnected)
    reasons = [entry["reason"] for entry in logs if entry["log_level"] == "warning"]
    assert reasons == ["no space", "KeyError('a bug')"]
    assert link.problem == ""


def test_a_callback_that_fails_makes_a_new_connection(broker: LocalBroker) -> None:
    news: queue.Queue[ForwarderMessage] = queue.Queue()

    def take(message: ForwarderMessage) -> None:
        news.put(message)
        if news.qsize() == 1:
            raise KeyError("a bug")

    with capture_logs() as logs, linked(link_to(BrokerSettings(port=broker.port), take)):
        until(lambda: sum(isinstance(one, LinkConnected) for one in list(news.queue)) >= 2)
    assert any("cannot handle (KeyError" in str(entry.get("reason")) for entry in logs)

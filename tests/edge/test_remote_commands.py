"""Commands and settings from the cloud: each is done once and answered, also by a real broker."""

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import pytest
from paho.mqtt.client import Client, MQTTMessage, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from structlog.testing import capture_logs
from tests.edge.kit.agent import link_to, linked
from tests.edge.kit.waiting import until

from cardmint_cloud.local.broker import LocalBroker
from cardmint_contracts import topics
from cardmint_contracts.control import (
    Command,
    CommandReply,
    DesiredConfig,
    Manifest,
    NewestSets,
    ReleasedSet,
    ReportedConfig,
)
from cardmint_contracts.settings import BrokerSettings
from cardmint_contracts.wire import decode, encode
from cardmint_edge.domain.delivery.messages import ControlMessage
from cardmint_edge.errors import Retry
from cardmint_edge.remote_actions import BY_CLOUD, RemoteSettings, actions_of
from cardmint_edge.remote_commands import RemoteControl

MANIFEST = Manifest(
    artifact="models",
    version="2",
    url="http://x/m.zip",
    bytes=1,
    sha256="0" * 64,
    signature="A" * 86 + "==",
)


class ReplyRecorder:
    """A link that records the replies."""

    def __init__(self) -> None:
        self.replies: list[tuple[ControlMessage, CommandReply]] = []
        self.reports: list[ReportedConfig] = []

    def reply(self, told: ControlMessage, payload: bytes) -> bool:
        self.replies.append((told, decode(payload, CommandReply)))
        return True

    def report(self, payload: bytes) -> bool:
        self.reports.append(decode(payload, ReportedConfig))
        return True


class StationStub:
    """A station, as far as the actions need it."""

    def __init__(self, on_manifest: Callable[[Manifest], None] | None = None) -> None:
        self.taken = 0
        self.can = True
        self.camera_error: Exception | None = None
        self.withdrawn: list[tuple[UUID, str]] = []
        self.scan: UUID | None = UUID(int=7)
        self.systemd = True
        self.settings = RemoteSettings(max_kb_per_s=0, reserve_mb=500)
        self.link = ReplyRecorder()
        self.manifests: list[Manifest] = []
        self.remote_control = RemoteControl(
            link=self.link,
            actions=actions_of(
                camera=self,
                last_scan=lambda: self.scan,
                withdraw=self.withdraw,
                reload=lambda: "pack 1 is in use",
                restart=lambda: self.systemd,
                diagnostics=lambda: [DesiredConfig(version=3)],
            ),
            apply=self.settings.apply,
            reported=lambda version, says: self.settings.reported(
                version, says, catalogue="p", models=""
            ),
            on_manifest=on_manifest or self.manifests.append,
        )

    done = False
    name = "fake"

    def next(self, timeout_s: float) -> None: ...

    def capture(self) -> bool:
        if self.camera_error is not None:
            raise self.camera_error
        self.taken += self.can
        return self.can

    def confirm(self) -> None: ...

    def set_aside(self, reason: str, message: str) -> None: ...

    def close(self) -> None: ...

    def withdraw(self, scan: UUID, by: str) -> bool:
        fresh = (scan, by) not in self.withdrawn
        self.withdrawn.append((scan, by))
        return fresh

    def command(
        self, name: str, number: int, scan: UUID | None = None, **more: Any
    ) -> CommandReply:
        message = ControlMessage(
            kind="commands",
            payload=encode(Command(name=name, scan=scan)),
            command=UUID(int=number),
            **more,
        )
        self.remote_control.handle(message)
        return self.link.replies[-1][1]


@pytest.fixture
def station() -> StationStub:
    return StationStub()


def test_each_command_is_done_and_answered(station: StationStub) -> None:
    assert station.command("capture", 1).done
    assert station.command("rescan", 2).done
    assert station.command("rescan", 3).says.endswith("was taken back before")
    assert station.command("rescan", 4, UUID(int=9)).done
    assert station.withdrawn == [
        (UUID(int=7), BY_CLOUD),
        (UUID(int=7), BY_CLOUD),
        (UUID(int=9), BY_CLOUD),
    ]
    assert station.taken == 4
    assert station.command("reload", 5).says == "pack 1 is in use"
    assert station.command("restart", 6).done
    assert "version: 3" in station.command("diagnostics", 7).lines


def test_what_cannot_be_done_is_said(station: StationStub) -> None:
    station.can = station.systemd = False
    assert not station.command("capture", 1).done
    assert not station.command("rescan", 2).done
    station.scan = None
    assert station.command("rescan", 3).says == "nothing was scanned yet"
    assert "systemd" in station.command("restart", 4).says
    assert "knows no command" in station.command("dance", 5).says
    assert station.withdrawn == []
    with capture_logs():
        station.remote_control.handle(
            ControlMessage(kind="commands", payload=b"{", command=UUID(int=6))
        )
    assert "not JSON" in station.link.replies[-1][1].says


def test_a_command_that_comes_twice_is_done_once(station: StationStub) -> None:
    assert station.command("capture", 1) == station.command("capture", 1)
    assert (station.taken, len(station.link.replies)) == (1, 2)
    with capture_logs() as logs:
        station.remote_control.handle(
            ControlMessage(kind="commands", payload=encode(Command(name="capture")), retained=True)
        )
    assert station.taken == 1
    assert "retained" in logs[0]["event"]


def test_an_action_that_fails_is_answered(station: StationStub) -> None:
    station.camera_error = Retry("the camera is asleep")
    reply = station.command("capture", 1)
    assert (reply.done, reply.says) == (False, "the camera is asleep")


def test_settings_are_applied_by_version_and_reported(station: StationStub) -> None:
    def desire(**fields: Any) -> ReportedConfig:
        station.remote_control.handle(
            ControlMessage(kind="config/desired", payload=encode(DesiredConfig(**fields)))
        )
        return station.link.reports[-1]

    first = desire(version=2, max_kb_per_s=100, uploads_paused=True)
    assert (first.version, first.max_kb_per_s, first.reserve_mb, first.uploads_paused) == (
        2,
        100,
        500,
        True,
    )
    assert "not newer" in desire(version=1, max_kb_per_s=5).says
    assert desire(version=2, max_kb_per_s=100).says == "", "a retained message comes again"
    assert desire(version=3, reserve_mb=100).reserve_mb == 100
    assert station.settings.max_kb_per_s == 100, "what is not said stays"
    station.remote_control.handle(ControlMessage(kind="connected", payload=b"1"))
    assert station.link.reports[-1].version == 3
    with capture_logs() as logs:
        station.remote_control.handle(
            ControlMessage(kind="config/desired", payload=b'{"version": 0}')
        )
    assert logs[0]["reason"] == "invalid"


def test_a_command_that_fails_is_answered(station: StationStub) -> None:
    station.camera_error = KeyError("a bug")
    with capture_logs() as logs:
        reply = station.command("capture", 1)
    assert (reply.done, reply.says) == (False, "it failed: KeyError('a bug')")
    assert logs[0]["event"] == "a command failed; this is a bug"


def test_manifests_go_to_the_rollout_and_cleared_topics_nowhere(station: StationStub) -> None:
    station.remote_control.handle(ControlMessage(kind="fleet/models", payload=encode(MANIFEST)))
    station.remote_control.handle(ControlMessage(kind="fleet/models", payload=b""))
    assert station.manifests == [MANIFEST]


def test_the_newest_sets_are_kept_and_what_is_no_list_is_ignored(station: StationStub) -> None:
    control = station.remote_control
    assert control.newest_sets.since("2026-01-01") == []
    came = NewestSets(
        sets=(
            ReleasedSet(id="b", name="Pitch Black", released="2026-07-17"),
            ReleasedSet(id="a", name="Base", released="1999-01-09"),
        )
    )
    control.handle(ControlMessage(kind="fleet/sets", payload=encode(came)))
    with capture_logs() as logs:
        control.handle(ControlMessage(kind="fleet/sets", payload=b'{"sets": 1}'))
    assert logs[0]["reason"] == "invalid"
    assert control.newest_sets.since("2026-07-16") == ["Pitch Black"]
    assert control.newest_sets.since("2026-07-17") == []
    assert control.newest_sets.since("") == []
    assert station.manifests == []


@pytest.mark.parametrize("error", [Retry("disk"), KeyError("a bug"), RecursionError()])
def test_it_runs_until_it_is_stopped_whatever_fails(error: Exception) -> None:
    def fail(_: Manifest) -> None:
        raise error

    station = StationStub(on_manifest=fail)
    thread = threading.Thread(target=station.remote_control.run, daemon=True)
    with capture_logs() as logs:
        thread.start()
        station.remote_control.post(ControlMessage(kind="fleet/models", payload=encode(MANIFEST)))
        until(lambda: logs)
        station.remote_control.post(ControlMessage(kind="connected", payload=b"1"))
        until(lambda: station.link.reports)
        station.remote_control.stop()
        thread.join(10)
    assert not thread.is_alive()


@pytest.mark.integration
def test_through_a_real_broker(broker: LocalBroker) -> None:
    heard: queue.Queue[ControlMessage] = queue.Queue()
    answers: queue.Queue[MQTTMessage] = queue.Queue()
    mine = topics.reply_topic("shop", "left", UUID(int=99))
    reported = topics.config_topic("shop", "left", "reported")
    with (
        linked(
            link_to(BrokerSettings(port=broker.port), lambda _: None, to_control=heard.put)
        ) as link,
        listening_to(broker, [mine, reported], answers.put) as cloud,
    ):
        assert heard.get(timeout=20).kind == "connected"
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        properties.ResponseTopic = mine
        properties.CorrelationData = b"42"
        command = topics.command_topic("shop", "left", UUID(int=5))
        cloud.publish(command, encode(Command(name="capture")), 1, properties=properties)
        told = heard.get(timeout=20)
        assert (told.kind, told.command, told.reply_to, told.correlation) == (
            "commands",
            UUID(int=5),
            mine,
            b"42",
        )
        assert link.reply(told, b"done")
        assert link.report(b"{}")
        cloud.publish(topics.fleet_topic("shop", "catalogue"), b"m", 1, retain=True)
        cloud.publish(topics.config_topic("shop", "left", "desired"), b"c", 1, retain=True)
        assert {heard.get(timeout=20).kind for _ in range(2)} == {
            "fleet/catalogue",
            "config/desired",
        }
        found = {
            message.topic: message for message in (answers.get(timeout=20), answers.get(timeout=20))
        }
        assert set(found) == {mine, reported}
        correlation: Any = found[mine].properties
        assert correlation.CorrelationData == b"42"
        cloud.publish(topics.command_topic("shop", "left", UUID(int=6)), b"{}", 1)
        plain = heard.get(timeout=20)
        assert plain.reply_to == topics.reply_topic("shop", "left", UUID(int=6))
    assert not link.reply(told, b"late")
    assert not link.report(b"late")


@pytest.mark.integration
@pytest.mark.parametrize(
    "reply_to",
    [
        "answers/here",
        topics.station_topic("shop", "left", "receipt"),
        topics.station_topic("shop", "right", "events"),
        topics.command_topic("shop", "left", UUID(int=9)),
        topics.command_topic("shop", "left", UUID(int=9)) + "/reply/#",
        topics.command_topic("shop", "left", UUID(int=9)) + "/+",
    ],
)
def test_a_command_that_wants_its_reply_elsewhere_is_ignored(
    broker: LocalBroker, reply_to: str
) -> None:
    """A topic with a wildcard cannot be published to; mosquitto passes it on all the same."""
    heard: queue.Queue[ControlMessage] = queue.Queue()
    with (
        capture_logs() as logs,
        linked(link_to(BrokerSettings(port=broker.port), lambda _: None, to_control=heard.put)),
        listening_to(broker, ["answers"], lambda _: None) as cloud,
    ):
        assert heard.get(timeout=20).kind == "connected"
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        properties.ResponseTopic = reply_to
        for number in (1, 2):
            cloud.publish(
                topics.command_topic("shop", "left", UUID(int=number)),
                b"{}",
                1,
                properties=properties if number == 1 else None,
            )
        assert heard.get(timeout=20).command == UUID(int=2)
    (ignored,) = [entry for entry in logs if entry["event"] == "message ignored"]
    assert "replies go below" in ignored["detail"]


@contextmanager
def listening_to(
    broker: LocalBroker, subjects: list[str], hear: Callable[[MQTTMessage], None]
) -> Iterator[Client]:
    """Yield a client of the cloud, once its subscriptions are taken; disconnect it at the end."""
    stands = threading.Event()
    cloud = Client(CallbackAPIVersion.VERSION2, client_id="cloud", protocol=MQTTv5)
    cloud.on_message = lambda _client, _data, message: hear(message)

    def subscribe(client: Client, *_: Any) -> None:
        client.subscribe([(subject, 1) for subject in subjects])

    cloud.on_connect = subscribe
    cloud.on_subscribe = lambda *_: stands.set()
    cloud.connect("127.0.0.1", broker.port, 15)
    cloud.loop_start()
    try:
        assert stands.wait(20)
        yield cloud
    finally:
        cloud.disconnect()
        cloud.loop_stop()

"""A real mosquitto, set up by the role, is attacked by everybody whom its rules name, and others.

Each may do what is its own, and nothing else.
"""

import getpass
import json
import os
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.client import Client, MQTTMessage, MQTTv5, topic_matches_sub
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from cardmint_cloud.local.broker import mosquitto_path
from cardmint_cloud.local.postgres import LocalPostgres
from cardmint_cloud.local.processes import ChildProcess, accepts_connections, free_port
from cardmint_contracts.settings import BrokerSettings
from cardmint_lab.folders import temporary_folder
from cardmint_lab.system import installed_script
from tests.edge.kit.agent import ForwardingAgent
from tests.edge.kit.certificates import Authority
from tests.edge.kit.scans import STAMP, scan_of
from tests.edge.kit.waiting import until

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[2]
STATIONS = ("shop/left", "shop/right", "other/left")
READERS = ("shop/graphs", "other/graphs")
STRANGER = "shop/stranger"
"""It can log in, but no rule names it."""

CLOUD = "cloud"
PASSWORD = "correct horse"
TASK = "3f0c1c0e-9f6b-4b8e-8a57-1f1d3c5f7a10"
UP = ("events", "state", "health", f"commands/{TASK}/reply", "config/reported")
DOWN = ("receipt", f"tasks/{TASK}", f"outcomes/{TASK}", f"commands/{TASK}", "config/desired")
TENANTS = ("shop", "other")
ROOT_TOPIC = "cardmint/v1"
TOPICS = (
    *(f"{ROOT_TOPIC}/{station}/{channel}" for station in STATIONS for channel in (*UP, *DOWN)),
    *(
        f"{ROOT_TOPIC}/{tenant}/fleet/{what}"
        for tenant in TENANTS
        for what in ("catalogue", "models", "sets")
    ),
    *(
        f"{ROOT_TOPIC}/{tenant}/feed/{steps}"
        for tenant in TENANTS
        for steps in ("inventory/added", "replay/graphs", "replay/graphs/answer", "replay/other")
    ),
    f"{ROOT_TOPIC}/shop/left",
    f"{ROOT_TOPIC}/shop/left/events/more",
    "cardmint/v2/shop/left/events",
    "elsewhere",
)
WILDCARDS = ("#", "+/#", f"{ROOT_TOPIC}/#", f"{ROOT_TOPIC}/+/+/+", f"$share/all/{ROOT_TOPIC}/#")


def may(user: str, action: str, topic: str) -> bool:
    """Return what the architecture promises, written down a second time."""
    place = topic.removeprefix(f"{ROOT_TOPIC}/")
    tenant = user.partition("/")[0]
    down = any(place == f"{station}/{channel}" for station in STATIONS for channel in DOWN)
    fleet = place in {
        f"{whose}/fleet/{what}" for whose in TENANTS for what in ("catalogue", "models", "sets")
    }
    feed = place.partition("/feed/")[0] in TENANTS and "/feed/" in place
    if user == CLOUD:
        return topic.startswith(ROOT_TOPIC) if action == "read" else down or fleet or feed
    if user in READERS:
        asks = place == user.replace("/", "/feed/replay/")
        return asks if action == "publish" else feed and place.startswith(f"{tenant}/")
    if user in STATIONS:
        channels = UP if action == "publish" else (*DOWN, "state")
        own = {f"{user}/{channel}" for channel in channels}
        return place in own or (action == "read" and fleet and place.startswith(f"{tenant}/"))
    return False


@dataclass(frozen=True, kw_only=True)
class GuardedBroker:
    """A mosquitto with the role's settings. `login` is how stations log in."""

    folder: Path
    login: str
    port: int
    cloud_port: int

    def settings(self, user: str) -> BrokerSettings:
        """Return how a user reaches the broker."""
        ca, cloud = self.folder / "broker-ca.pem", user == CLOUD
        named = cloud or self.login == "password"
        return BrokerSettings(
            host="127.0.0.1",
            port=self.cloud_port if cloud else self.port,
            tls=True,
            ca_file=ca,
            username=user if named else "",
            password=PASSWORD if named else "",
            cert_file=None if named else self.folder / f"{_file(user)}.pem",
            key_file=None if named else self.folder / f"{_file(user)}.key",
        )


def _file(user: str) -> str:
    return user.replace("/", "-")


def play(playbook: str, inventory: Path, variables: dict[str, object]) -> str:
    """Apply a role to a folder, without what needs root, and return what Ansible prints."""
    done = subprocess.run(
        [
            *(str(Path(sys.executable).with_name("ansible-playbook")), "-i", str(inventory)),
            *("-c", "local", "--skip-tags", "system", "-e", json.dumps(variables)),
            str(ROOT / "ansible" / playbook),
        ],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "ANSIBLE_NOCOWS": "1", "LC_ALL": "C.UTF-8"},
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def write_rules(file: Path) -> None:
    """Write the rules by the command that a person runs."""
    readers = [word for reader in READERS for word in ("--reader", reader)]
    command = installed_script(["cardmint-cloud", "broker-rules", *STATIONS, *readers])
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    file.write_text(done.stdout)


def write_passwords(file: Path, *users: str) -> None:
    file.touch(0o600)
    for user in users:
        command = ["mosquitto_passwd", "-b", str(file), user, PASSWORD]
        subprocess.run(command, check=True, capture_output=True, timeout=60)


@contextmanager
def guarded_broker(folder: Path, login: str) -> Iterator[GuardedBroker]:
    """Set a broker up as an operator would, and run it."""
    broker_ca, station_ca, foreign_ca = (Authority(name) for name in ("b", "s", "foreign"))
    broker_ca.write(folder / "broker-ca.pem")
    broker_ca.issue(folder / "broker.pem", folder / "broker.key", "broker")
    station_ca.write(folder / "stations-ca.pem")
    for user in (*STATIONS, *READERS, STRANGER):
        station_ca.issue(folder / f"{_file(user)}.pem", folder / f"{_file(user)}.key", user)
    foreign_ca.issue(folder / "foreign.pem", folder / "foreign.key", "shop/left")
    write_rules(folder / "rules.acl")
    write_passwords(folder / "stations.passwords", *STATIONS, *READERS, STRANGER)
    write_passwords(folder / "cloud.passwords", CLOUD)
    inventory = folder / "inventory.ini"
    inventory.write_text("[broker]\nlocalhost\n")
    broker = GuardedBroker(folder=folder, login=login, port=free_port(), cloud_port=free_port())
    variables: dict[str, object] = {
        "broker_folder": str(folder / "mosquitto"),
        "broker_user": getpass.getuser(),
        "broker_address": "127.0.0.1",
        "broker_port": broker.port,
        "broker_cloud_address": "127.0.0.1",
        "broker_cloud_port": broker.cloud_port,
        "broker_rules": str(folder / "rules.acl"),
        "broker_certificate": str(folder / "broker.pem"),
        "broker_key": str(folder / "broker.key"),
        "broker_station_login": login,
        "broker_station_ca": str(folder / "stations-ca.pem"),
        "broker_station_passwords": str(folder / "stations.passwords"),
        "broker_cloud_passwords": str(folder / "cloud.passwords"),
        "ansible_python_interpreter": sys.executable,
    }
    play("broker.yml", inventory, variables)
    assert "changed=0" in play("broker.yml", inventory, variables), "a second run changes nothing"
    main = folder / "mosquitto.conf"
    main.write_text(f"user {getpass.getuser()}\ninclude_dir {folder}/mosquitto/conf.d\n")
    program = mosquitto_path()
    assert program is not None, "mosquitto is not installed"
    child = ChildProcess(
        [program, "-c", str(main)], folder / "mosquitto.log", stdin=subprocess.DEVNULL
    )
    try:
        child.wait_until(lambda: all(map(accepts_connections, (broker.port, broker.cloud_port))))
        yield broker
    finally:
        child.kill()


@pytest.fixture(scope="module", params=["certificate", "password"])
def broker(request: pytest.FixtureRequest) -> Iterator[GuardedBroker]:
    with temporary_folder() as folder, guarded_broker(folder, request.param) as running:
        yield running


class Peer:
    """An MQTT client that waits for each of its answers."""

    def __init__(
        self, settings: BrokerSettings, client_id: str, *, will: tuple[str, bytes] | None = None
    ) -> None:
        self.heard: list[str] = []
        self.code: ReasonCode | None = None
        self.lost = threading.Event()
        self._answers: dict[int, ReasonCode] = {}
        self._changed = threading.Condition()
        self.client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            protocol=MQTTv5,
            reconnect_on_failure=False,
        )
        if settings.username:
            self.client.username_pw_set(settings.username, settings.password)
        context = ssl.create_default_context(cafile=str(settings.ca_file))
        if settings.cert_file is not None:
            context.load_cert_chain(settings.cert_file, settings.key_file)
        self.client.tls_set_context(context)
        if will is not None:
            self.client.will_set(*will, qos=1, retain=True)
        self.client.on_connect = self._connected
        self.client.on_disconnect = lambda *_: self._end()
        self.client.on_message = self._hear
        self.client.on_publish = lambda _c, _d, mid, reason, _p: self._answer(mid, reason)
        self.client.on_subscribe = lambda _c, _d, mid, reasons, _p: self._answer(mid, reasons[0])
        self.client.on_unsubscribe = lambda _c, _d, mid, reasons, _p: self._answer(mid, reasons[0])
        try:
            self.client.connect("127.0.0.1", settings.port, 15)
        except OSError:
            self.lost.set()
            return
        self.client.loop_start()
        with self._changed:
            assert self._changed.wait_for(lambda: self.code is not None or self.lost.is_set(), 20)

    @property
    def accepted(self) -> bool:
        return self.code is not None and not self.code.is_failure

    def publish(self, topic: str, payload: bytes) -> ReasonCode:
        """Publish, retained, and return the broker's answer."""
        return self._answer_to(self.client.publish(topic, payload, 1, retain=True).mid)

    def subscribe(self, topic: str) -> ReasonCode:
        return self._answer_to(self.client.subscribe(topic, 1)[1])

    def unsubscribe(self, topic: str) -> None:
        self._answer_to(self.client.unsubscribe(topic)[1])

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()

    def die(self) -> None:
        """End without a farewell, so that the broker publishes the will."""
        sock: Any = self.client.socket()
        self.client.loop_stop()
        sock.close()

    def _connected(self, *args: Any) -> None:
        with self._changed:
            self.code = args[3]
            self._changed.notify_all()

    def _end(self) -> None:
        with self._changed:
            self.lost.set()
            self._changed.notify_all()

    def _hear(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        self.heard.append(message.topic)

    def _answer(self, mid: int | None, reason: ReasonCode) -> None:
        with self._changed:
            self._answers[mid or 0] = reason
            self._changed.notify_all()

    def _answer_to(self, mid: int | None) -> ReasonCode:
        number = mid or 0
        with self._changed:
            assert self._changed.wait_for(lambda: number in self._answers, 20), "no answer came"
            return self._answers.pop(number)


@contextmanager
def peer(broker: GuardedBroker, user: str, client_id: str = "") -> Iterator[Peer]:
    client = Peer(broker.settings(user), client_id or f"cardmint-{user}")
    assert client.accepted, f"{user}: {client.code}"
    try:
        yield client
    finally:
        client.close()


def publisher_of(topic: str) -> str | None:
    """Return who may publish on a topic; None for nobody."""
    return next((user for user in (CLOUD, *STATIONS) if may(user, "publish", topic)), None)


def test_nobody_publishes_what_is_anothers(broker: GuardedBroker) -> None:
    attempts = refused = 0
    with peer(broker, CLOUD) as cloud:
        cloud.subscribe(f"{ROOT_TOPIC}/#")
        for user in (*STATIONS, *READERS, STRANGER, CLOUD):
            with peer(broker, user, f"attacker-{_file(user)}") as attacker:
                for topic in TOPICS:
                    cloud.heard.clear()
                    answer = attacker.publish(topic, b"{}")
                    cloud.subscribe(f"{ROOT_TOPIC}/fence")  # What was published has come by now.
                    allowed = may(user, "publish", topic)
                    attempts += 1
                    refused += not allowed
                    assert answer.is_failure != allowed, (user, topic, str(answer))
                    assert cloud.heard == ([topic] if allowed else []), (user, topic)
    print(f"\n{broker.login}: {attempts} publications tried, {refused} refused as they must be")
    assert refused > attempts // 2


def test_nobody_reads_what_is_anothers(broker: GuardedBroker) -> None:
    attempts = refused = 0
    with (
        peer(broker, CLOUD) as cloud,
        peer(broker, "shop/left") as left,
        peer(broker, "shop/right") as right,
        peer(broker, "other/left") as other,
    ):
        owners = {CLOUD: cloud, "shop/left": left, "shop/right": right, "other/left": other}
        for user in (*READERS, STRANGER, *STATIONS):
            reader = owners[user] if user in owners else Peer(broker.settings(user), user)
            assert reader.accepted
            for wanted in (*TOPICS, *WILDCARDS):
                plain = wanted.removeprefix("$share/all/")
                topics = [topic for topic in TOPICS if topic_matches_sub(plain, topic)]
                reader.heard.clear()
                reader.subscribe(wanted)
                for topic in topics:
                    if (owner := publisher_of(topic)) is not None:
                        assert not owners[owner].publish(topic, b"{}").is_failure
                reader.subscribe(f"{ROOT_TOPIC}/fence")  # What it may hear has come by now.
                heard = {topic for topic in topics if may(user, "read", topic)}
                published = {topic for topic in topics if publisher_of(topic)}
                attempts += len(topics)
                refused += len(topics) - len(heard)
                assert set(reader.heard) == heard & published, (user, wanted)
                reader.unsubscribe(wanted)
            if user not in owners:
                reader.close()
    print(f"\n{broker.login}: {attempts} topics wanted to be read, {refused} refused")
    assert refused > attempts // 2


def test_nobody_gets_in_without_the_right_login(broker: GuardedBroker) -> None:
    ca, folder = broker.folder / "broker-ca.pem", broker.folder
    foreign = {"cert_file": folder / "foreign.pem", "key_file": folder / "foreign.key"}
    station = {"cert_file": folder / "shop-left.pem", "key_file": folder / "shop-left.key"}
    logins: list[dict[str, Any]] = [
        {},
        {"username": "shop/left"},
        {"username": "shop/left", "password": "wrong"},
        {"username": "nobody", "password": PASSWORD},
        {"username": CLOUD, "password": PASSWORD, "port": broker.port},
        {"username": "shop/left", "password": PASSWORD, "port": broker.cloud_port},
        foreign,
        {**station, "port": broker.cloud_port},
    ]
    if broker.login == "certificate":
        logins += [
            {"username": "shop/left", "password": PASSWORD},
            {**foreign, "username": "shop/left", "password": PASSWORD},
        ]
    for login in logins:
        for port in (broker.port, broker.cloud_port) if "port" not in login else (login["port"],):
            settings = BrokerSettings(
                **{"host": "127.0.0.1", "tls": True, "ca_file": ca, **login, "port": port}
            )
            client = Peer(settings, "cardmint-shop-left")
            assert not client.accepted, (login, port)
            client.close()
    print(f"\n{broker.login}: {len(logins)} wrong logins refused")


@pytest.mark.parametrize("broker", ["certificate"], indirect=True)
def test_a_certificate_decides_and_not_the_user_that_its_owner_claims(
    broker: GuardedBroker,
) -> None:
    folder = broker.folder
    settings = BrokerSettings(
        port=broker.port,
        tls=True,
        ca_file=folder / "broker-ca.pem",
        username="shop/left",
        password=PASSWORD,
        cert_file=folder / "other-left.pem",
        key_file=folder / "other-left.key",
    )
    client = Peer(settings, "cardmint-shop-left")
    assert client.accepted
    assert client.publish(f"{ROOT_TOPIC}/shop/left/events", b"{}").is_failure
    assert not client.publish(f"{ROOT_TOPIC}/other/left/events", b"{}").is_failure
    client.close()


@pytest.mark.parametrize("attacker", ["shop/right", "other/left", "shop/graphs"])
def test_nobody_takes_anothers_place_or_lets_it_die(broker: GuardedBroker, attacker: str) -> None:
    state = f"{ROOT_TOPIC}/shop/left/state"
    with peer(broker, CLOUD) as cloud, peer(broker, "shop/left") as left:
        assert not left.publish(state, b"alive").is_failure
        cloud.subscribe(state)
        until(lambda: cloud.heard == [state])
        for client_id in ("cardmint-shop-left", "shop/left", f"cardmint-{CLOUD}"):
            thief = Peer(broker.settings(attacker), client_id, will=(state, b"dead"))
            if thief.accepted:
                thief.die()
        with peer(broker, attacker) as again:
            again.subscribe(f"{ROOT_TOPIC}/fence")  # The thieves' ends are dealt with by now.
        assert not left.lost.is_set()
        assert not cloud.lost.is_set()
        cloud.subscribe(f"{ROOT_TOPIC}/fence")
        assert cloud.heard == [state], "no will of another was published"


@pytest.mark.parametrize("broker", ["certificate"], indirect=True)
def test_a_station_and_the_cloud_work_within_their_rights(
    broker: GuardedBroker, tmp_path: Path
) -> None:
    settings = broker.settings("shop/left")
    postgres = LocalPostgres(broker.folder / "postgres").start()
    environment = {
        "CARDMINT_CLOUD_TENANT": "shop",
        **postgres.environment,
        "CARDMINT_CLOUD_BROKER_PORT": str(broker.cloud_port),
        "CARDMINT_CLOUD_BROKER_TLS": "true",
        "CARDMINT_CLOUD_BROKER_CA_FILE": str(broker.folder / "broker-ca.pem"),
        "CARDMINT_CLOUD_BROKER_USERNAME": CLOUD,
        "CARDMINT_CLOUD_BROKER_PASSWORD": PASSWORD,
    }
    subprocess.run(
        installed_script(["cardmint-cloud", "migrate"]),
        env={**os.environ, **environment},
        check=True,
        timeout=120,
    )
    workers = [
        ChildProcess(
            installed_script(["cardmint-cloud", "work"]),
            broker.folder / f"worker-{number}.log",
            env=environment,
        )
        for number in range(2)
    ]
    agent = ForwardingAgent(tmp_path, settings)
    try:
        for number in range(1, 101):
            agent.outbox.record(scan_of(number), STAMP)
        until(lambda: agent.queued == 0)
        assert all(worker.running for worker in workers)
        logs = [(broker.folder / f"worker-{number}.log").read_text() for number in range(2)]
        assert not any("refuses" in log or "connection lost" in log for log in logs), logs
    finally:
        agent.stop()
        for worker in workers:
            worker.stop()
        postgres.drop()

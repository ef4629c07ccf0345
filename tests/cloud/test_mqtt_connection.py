"""The cloud's connection to the broker: with a scripted server, and with mosquitto and TLS."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import mqtt5
import msgspec
import pytest
from structlog.testing import capture_logs

from cardmint_cloud.adapters.mqtt.advice import why_refused
from cardmint_cloud.adapters.mqtt.client import MqttClient
from cardmint_cloud.adapters.mqtt.connection import (
    MAX_PACKET_BYTES,
    MAX_WAITING_BYTES,
    RECEIVE_MAXIMUM,
    InboundMessage,
)
from cardmint_cloud.errors import StopService
from cardmint_cloud.local.broker import LocalBroker
from cardmint_cloud.local.processes import free_port
from cardmint_contracts.settings import BrokerSettings
from cardmint_lab.cloud.packets import PacketReader
from tests.edge.kit.certificates import make_certificates

pytestmark = pytest.mark.integration

TOPIC = "cardmint/v1/shop/left/events"


def publish(mid: int, payload: bytes = b"x", topic: str = TOPIC) -> bytes:
    return mqtt5.PublishPacket(topic, payload, qos=mqtt5.QoS.AT_LEAST_ONCE, packet_id=mid).write()


class Server:
    """One connection at a time, answered with `code`; what came is in `packets`."""

    def __init__(
        self, code: mqtt5.ConnAckReasonCode = mqtt5.ConnAckReasonCode.SUCCESS, **answer: Any
    ) -> None:
        self.code = code
        self.answer = {"receive_max": 100, **answer}
        self.packets: asyncio.Queue[Any] = asyncio.Queue()
        self.connections = 0
        self.writer: asyncio.StreamWriter | None = None

    async def start(self) -> "Server":
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def stop(self) -> None:
        self._server.close()
        if self.writer:
            self.writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writer = writer
        packets = PacketReader(reader)
        while packet := await packets.next():
            if isinstance(packet, mqtt5.ConnectPacket):
                assert packet.clean_start
                assert packet.receive_max == RECEIVE_MAXIMUM
                assert packet.max_packet_size == MAX_PACKET_BYTES
                writer.write(mqtt5.ConnAckPacket(reason_code=self.code, **self.answer).write())
            self.packets.put_nowait(packet)
        writer.close()

    async def next(self, kind: Any) -> Any:
        while not isinstance(packet := await asyncio.wait_for(self.packets.get(), 10), kind):
            pass
        return packet


async def until_logged(logs: Sequence[Any], text: str) -> None:
    async with asyncio.timeout(20):
        while not any(text in entry["event"] for entry in logs):  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.02)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    server = await Server().start()
    yield server
    await server.stop()


class Heard:
    def __init__(self, port: int) -> None:
        self.messages: asyncio.Queue[InboundMessage] = asyncio.Queue()
        self.link = MqttClient(BrokerSettings(port=port), on_message=self.messages.put_nowait)
        self.link.start()

    async def take(self, count: int) -> list[InboundMessage]:
        return [await asyncio.wait_for(self.messages.get(), 10) for _ in range(count)]


@pytest.fixture
async def heard(server: Server) -> AsyncIterator[Heard]:
    heard = Heard(server.port)
    await server.next(mqtt5.SubscribePacket)
    yield heard
    await heard.link.stop()


async def test_acknowledgements_go_out_in_the_order_of_the_messages(
    server: Server, heard: Heard
) -> None:
    assert server.writer
    server.writer.write(b"".join(publish(mid) for mid in (7, 3, 5)))
    seven, three, five = await heard.take(3)
    heard.link.acknowledge([five])
    heard.link.acknowledge([three])
    heard.link.acknowledge([seven])
    assert [(await server.next(mqtt5.PubAckPacket)).packet_id for _ in range(3)] == [7, 3, 5]


async def test_what_waits_is_bounded_and_the_rest_comes_when_there_is_room(
    server: Server, heard: Heard
) -> None:
    writer = server.writer
    assert writer
    size, count = 500_000, 120

    async def write() -> None:
        for mid in range(1, count + 1):
            writer.write(publish(mid, bytes(size)))
            await writer.drain()

    writing = asyncio.create_task(write())
    await asyncio.sleep(1)
    waiting = heard.messages.qsize()
    assert not writing.done()
    assert MAX_WAITING_BYTES < waiting * size < MAX_WAITING_BYTES + 5_000_000
    heard.link.acknowledge(await heard.take(waiting))
    for _ in range(count - waiting):
        heard.link.acknowledge(await heard.take(1))
    await asyncio.wait_for(writing, 10)


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # What mqtt5 panics about is said twice.
@pytest.mark.parametrize("place", ["topic", "properties"])
async def test_a_message_that_breaks_the_protocol_is_passed_over(
    server: Server, heard: Heard, place: str
) -> None:
    assert server.writer
    broken = bytearray(publish(4))
    broken[broken.index(b"left") if place == "topic" else -2] = 0xFF if place == "topic" else 9
    server.writer.write(bytes(broken[:9]))
    await asyncio.sleep(0.05)
    server.writer.write(bytes(broken[9:]) + publish(5))
    (good,) = await heard.take(1)
    heard.link.acknowledge([good])
    assert [(await server.next(mqtt5.PubAckPacket)).packet_id for _ in range(2)] == [4, 5]


@pytest.mark.parametrize(
    "nonsense", [b"\x00\x00\x00\x00", b"\xff" * 8, b"\x30\xff\xff\xff\xff\xff"]
)
async def test_what_is_no_mqtt_ends_the_connection_and_another_is_made(
    server: Server, heard: Heard, nonsense: bytes
) -> None:
    assert server.writer
    server.writer.write(nonsense)
    await server.next(mqtt5.SubscribePacket)
    assert server.connections == 2


async def test_an_acknowledgement_belongs_to_its_connection(server: Server, heard: Heard) -> None:
    assert server.writer
    server.writer.write(publish(1))
    (old,) = await heard.take(1)
    server.writer.transport.abort()
    await server.next(mqtt5.SubscribePacket)
    heard.link.acknowledge([old])
    server.writer.write(publish(9))
    heard.link.acknowledge(await heard.take(1))
    assert (await server.next(mqtt5.PubAckPacket)).packet_id == 9


async def test_no_more_is_published_at_once_than_the_broker_takes() -> None:
    server = await Server(receive_max=2).start()
    heard = Heard(server.port)
    await server.next(mqtt5.SubscribePacket)
    sent = [heard.link.publish("t", bytes([number])) for number in range(5)]
    first = [await server.next(mqtt5.PublishPacket) for _ in range(2)]
    await asyncio.sleep(0.2)
    assert server.packets.empty()
    assert server.writer
    server.writer.write(mqtt5.PubAckPacket(first[0].packet_id).write())
    assert (await server.next(mqtt5.PublishPacket)).payload == b"\x02"
    assert [done.done() for done in sent] == [True, False, False, False, False]
    server.writer.transport.abort()
    await asyncio.wait(sent, timeout=10)
    assert [done.cancelled() for done in sent] == [False, True, True, True, True]
    assert heard.link.publish("t", b"").cancelled()
    await heard.link.stop()
    await server.stop()


CODES = mqtt5.ConnAckReasonCode


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        (CODES.UNSUPPORTED_PROTOCOL_VERSION, "0x84.*does not speak MQTT 5"),
        (CODES.CLIENT_ID_NOT_VALID, "0x85.*client identifiers that begin with `cardmint-cloud-`"),
        (CODES.BAD_USER_NAME_OR_PASSWORD, "0x86.*`broker.password`"),
        (CODES.NOT_AUTHORIZED, "0x87.*allow this user"),
        (CODES.SERVER_UNAVAILABLE, "0x88.*not ready"),
        (CODES.SERVER_BUSY, "0x89.*overloaded"),
        (CODES.BANNED, "0x8A.*lift the ban"),
        (CODES.BAD_AUTHENTICATION_METHOD, "0x8C.*sign-in"),
        (CODES.PACKET_TOO_LARGE, "0x95.*largest packet"),
        (CODES.QUOTA_EXCEEDED, "0x97.*limit of connections"),
        (CODES.PAYLOAD_FORMAT_INVALID, "0x99.*see its log"),
        (CODES.RETAIN_NOT_SUPPORTED, "0x9A.*retained messages"),
        (CODES.QUALITY_NOT_SUPPORTED, "0x9B.*QoS 1"),
        (CODES.USE_ANOTHER_SERVER, "0x9C.*names other.example:1883"),
        (CODES.SERVER_MOVED, "0x9D.*`broker.host`"),
        (CODES.CONNECTION_RATE_EXCEEDED, "0x9F.*in a short time"),
    ],
)
def test_each_refusal_says_what_to_do(code: mqtt5.ConnAckReasonCode, advice: str) -> None:
    named = "other.example:1883" if code == CODES.USE_ANOTHER_SERVER else None
    answer = mqtt5.ConnAckPacket(reason_code=code, server_reference=named, reason_str="so")
    said = why_refused(answer)
    assert re.search(advice, said), said
    assert "it says: so" in said
    if "password" not in advice and code != CODES.NOT_AUTHORIZED:
        assert "password`" not in said


async def test_a_broker_that_refuses_us_once_is_asked_again() -> None:
    server = await Server(code=CODES.NOT_AUTHORIZED).start()
    with capture_logs() as logs:
        heard = Heard(server.port)
        await server.next(mqtt5.ConnectPacket)
        await server.next(mqtt5.ConnectPacket)
        server.code = CODES.SUCCESS
        await server.next(mqtt5.SubscribePacket)
        await heard.link.stop()
    refusals = [entry for entry in logs if "refuses us (not authorized, 0x87)" in entry["event"]]
    assert len(refusals) == 1
    await server.stop()


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ({"retain_available": False}, "keeps no retained messages"),
        ({"max_qos": mqtt5.QoS.AT_MOST_ONCE}, "takes QoS 0 only"),
        ({"wildcard_subscription_available": False}, "allows no wildcards"),
    ],
)
async def test_a_broker_that_cannot_be_used_is_named_before_the_first_publish(
    answer: dict[str, Any], says: str
) -> None:
    server = await Server(**answer).start()
    with capture_logs() as logs:
        heard = Heard(server.port)
        await server.next(mqtt5.DisconnectPacket)
        assert heard.link.publish("t", b"").cancelled()
        await server.next(mqtt5.ConnectPacket)
        await heard.link.stop()
    assert any(says in entry["event"] for entry in logs), logs
    await server.stop()


@pytest.mark.parametrize(
    ("line", "says"),
    [("retain_available false", "keeps no retained"), ("max_qos 0", "takes QoS 0 only")],
)
async def test_mosquitto_that_cannot_be_used_is_named(tmp_path: Path, line: str, says: str) -> None:
    broker = LocalBroker(tmp_path, kind="mosquitto", extra=f"{line}\n")
    await asyncio.to_thread(broker.start)
    link = MqttClient(BrokerSettings(port=broker.port), on_message=lambda _: None)
    with capture_logs() as logs:
        link.start()
        await until_logged(logs, says)
        await link.stop()
    await asyncio.to_thread(broker.stop)


async def test_what_the_broker_refuses_by_rights_is_not_taken_for_published(
    tmp_path: Path,
) -> None:
    rights = tmp_path / "rights"
    rights.write_text("topic read #\ntopic write cardmint/v1/shop/left/receipt\n")
    rights.chmod(0o644)
    extra = f"user root\nacl_file {rights}\n"
    broker = LocalBroker(tmp_path / "broker", kind="mosquitto", extra=extra)
    await asyncio.to_thread(broker.start)
    link = MqttClient(BrokerSettings(port=broker.port), on_message=lambda _: None)
    with capture_logs() as logs:
        link.start()
        await until_logged(logs, "broker connected")
        task = "cardmint/v1/shop/left/tasks/x"
        allowed = link.publish("cardmint/v1/shop/left/receipt", b"x")
        await asyncio.wait([allowed], timeout=10)
        refused = link.publish(task, b"x")
        await asyncio.wait([refused], timeout=10)
        await link.stop()
    assert (allowed.cancelled(), refused.cancelled()) == (False, True)
    (entry,) = [entry for entry in logs if entry["event"] == "the broker refuses a message"]
    assert (entry["topic"], entry["reason"]) == (task, "not authorized, 0x87")
    assert "write" in entry["do"]
    await asyncio.to_thread(broker.stop)


async def test_a_message_larger_than_the_broker_takes_is_not_sent() -> None:
    server = await Server(max_packet_size=100).start()
    heard = Heard(server.port)
    await server.next(mqtt5.SubscribePacket)
    with capture_logs() as logs:
        large, small = heard.link.publish("t", bytes(200)), heard.link.publish("t", b"small")
        sent = await server.next(mqtt5.PublishPacket)
    assert (sent.payload, large.cancelled(), small.done()) == (b"small", True, False)
    assert logs[0]["reason"] == "a packet of 209 bytes; the broker takes 100"
    assert server.writer
    refused = mqtt5.PubAckPacket(
        sent.packet_id, reason_code=mqtt5.PubAckReasonCode.QUOTA_EXCEEDED, reason_str="full"
    )
    with capture_logs() as logs:
        server.writer.write(refused.write())
        await asyncio.wait([small], timeout=10)
    assert small.cancelled()
    assert logs[0]["reason"] == "quota exceeded, 0x97, it says: full"
    await heard.link.stop()
    await server.stop()


async def test_a_refused_subscription_is_named(server: Server) -> None:
    heard = Heard(server.port)
    asked = await server.next(mqtt5.SubscribePacket)
    assert server.writer
    codes = [mqtt5.SubAckReasonCode.NOT_AUTHORIZED] + [
        mqtt5.SubAckReasonCode.GRANTED_QOS_AT_LEAST_ONCE
    ] * 3
    with capture_logs() as logs:
        server.writer.write(mqtt5.SubAckPacket(asked.packet_id, codes).write())
        await until_logged(logs, "refuses a subscription")
    assert logs[0]["refused"] == ["cardmint/v1/+/+/events (not authorized)"]
    await heard.link.stop()


async def test_a_message_larger_than_we_take_ends_the_connection_before_it_is_held(
    server: Server, heard: Heard
) -> None:
    assert server.writer
    with capture_logs() as logs:
        server.writer.write(publish(1, bytes(MAX_PACKET_BYTES))[:1000])
        await server.next(mqtt5.SubscribePacket)
    assert any("at most 2097152 are taken" in entry["event"] for entry in logs), logs
    assert server.connections == 2
    server.writer.write(publish(2, bytes(MAX_PACKET_BYTES - 100)))
    (whole,) = await heard.take(1)
    assert len(whole.payload) == MAX_PACKET_BYTES - 100


async def test_a_broker_discards_what_is_larger_than_we_take(tmp_path: Path) -> None:
    broker = LocalBroker(tmp_path, kind="mosquitto")
    await asyncio.to_thread(broker.start)
    with capture_logs() as logs:
        heard = Heard(broker.port)
        await until_logged(logs, "broker connected")
        for size in (20 << 20, 10):
            await heard.link.publish(TOPIC, bytes(size), retain=False)
        (small,) = await heard.take(1)
    assert len(small.payload) == 10
    assert not any("lost" in entry["event"] for entry in logs)
    await heard.link.stop()
    await asyncio.to_thread(broker.stop)


async def test_two_of_one_name_do_not_spin_and_are_told(tmp_path: Path) -> None:
    broker = LocalBroker(tmp_path, kind="mosquitto")
    await asyncio.to_thread(broker.start)
    name = uuid4()
    twins = [
        MqttClient(BrokerSettings(port=broker.port), on_message=lambda _: None, name=name)
        for _ in range(2)
    ]
    with capture_logs() as logs:
        for twin in twins:
            twin.start()
        await until_logged(logs, "does another process connect under this client's identifier")
        for twin in twins:
            await twin.stop()
    connected = [entry for entry in logs if entry["event"] == "broker connected"]
    assert len(connected) <= 12, "it is said after the third short connection of either"
    assert {entry["client"] for entry in connected} == {f"cardmint-cloud-{name}"}
    await asyncio.to_thread(broker.stop)


async def test_a_session_that_is_taken_over_is_named(server: Server, heard: Heard) -> None:
    assert server.writer
    with capture_logs() as logs:
        for code, says in (
            (mqtt5.DisconnectReasonCode.SESSION_TAKEN_OVER, "0x8E: another client connected"),
            (mqtt5.DisconnectReasonCode.SERVER_SHUTTING_DOWN, "shutting down, 0x8B)"),
        ):
            server.writer.write(mqtt5.DisconnectPacket(reason_code=code).write())
            await until_logged(logs, says)
            await server.next(mqtt5.SubscribePacket)


async def test_the_pauses_grow_over_short_connections(server: Server) -> None:
    pauses = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    link = MqttClient(BrokerSettings(port=server.port), on_message=lambda _: None, sleep=sleep)
    link.start()
    for _ in range(6):
        await server.next(mqtt5.SubscribePacket)
        assert server.writer
        server.writer.transport.abort()
    await server.next(mqtt5.SubscribePacket)
    await link.stop()
    for pause, most in zip(pauses, (0.2, 0.4, 0.8, 1.6, 3.2, 5.0), strict=True):
        assert most / 2 <= pause <= most


async def test_the_brokers_keep_alive_is_obeyed() -> None:
    server = await Server(server_keep_alive=1).start()
    heard = Heard(server.port)
    await server.next(mqtt5.SubscribePacket)
    assert server.writer
    for _ in range(4):
        await asyncio.wait_for(server.next(mqtt5.PingReqPacket), 1)
        server.writer.write(mqtt5.PingRespPacket().write())
    assert server.connections == 1
    await heard.link.stop()
    await server.stop()


async def test_a_host_that_is_no_name_is_named() -> None:
    link = MqttClient(BrokerSettings(host="a" * 64 + ".example"), on_message=lambda _: None)
    with capture_logs() as logs:
        link.start()
        await until_logged(logs, "check `broker.host`")
        await link.stop()


async def test_a_broker_that_is_busy_is_asked_again() -> None:
    server = await Server(code=mqtt5.ConnAckReasonCode.SERVER_BUSY).start()
    heard = Heard(server.port)
    await server.next(mqtt5.ConnectPacket)
    server.code = mqtt5.ConnAckReasonCode.SUCCESS
    await server.next(mqtt5.SubscribePacket)
    await heard.link.stop()
    await server.stop()


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    return make_certificates(tmp_path / "ours")


@pytest.fixture
def encrypted(tmp_path: Path, certificates: Path) -> Iterator[int]:
    """The port of a broker that speaks TLS and asks for a certificate."""
    port = free_port()
    lines = f"user root\nlistener {port} 127.0.0.1\nrequire_certificate true\n"
    lines += f"cafile {certificates / 'ca.pem'}\n"
    lines += f"certfile {certificates / 'cert.pem'}\nkeyfile {certificates / 'key.pem'}\n"
    broker = LocalBroker(tmp_path / "broker", kind="mosquitto", extra=lines)
    broker.start()
    yield port
    broker.kill()


async def test_messages_come_encrypted_to_a_client_with_a_certificate(
    certificates: Path, encrypted: int
) -> None:
    settings = BrokerSettings(
        port=encrypted,
        tls=True,
        ca_file=certificates / "ca.pem",
        cert_file=certificates / "cert.pem",
        key_file=certificates / "key.pem",
    )
    messages: asyncio.Queue[InboundMessage] = asyncio.Queue()
    link = MqttClient(settings, on_message=messages.put_nowait)
    link.start()
    try:
        async with asyncio.timeout(20):
            while (sent := link.publish(TOPIC, b"x")).cancelled():  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0.05)
            await sent
            assert (await messages.get()).payload == b"x"
    finally:
        await link.stop()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"cert_file": None, "key_file": None}, "hung up"),
        ({"ca_file": None}, "certificate that is not trusted"),
        ({"tls": False, "ca_file": None, "cert_file": None, "key_file": None}, "hung up"),
    ],
)
async def test_a_connection_without_the_right_certificates_is_refused(
    certificates: Path, encrypted: int, change: dict[str, Any], says: str
) -> None:
    settings = msgspec.structs.replace(
        BrokerSettings(
            port=encrypted,
            tls=True,
            ca_file=certificates / "ca.pem",
            cert_file=certificates / "cert.pem",
            key_file=certificates / "key.pem",
        ),
        **change,
    )
    with capture_logs() as logs:
        link = MqttClient(settings, on_message=lambda _: None)
        link.start()
        try:
            async with asyncio.timeout(20):
                while not any(says in entry["event"] for entry in logs):  # noqa: ASYNC110 - as above
                    await asyncio.sleep(0.05)
        finally:
            await link.stop()
    assert not any(entry["event"] == "broker connected" for entry in logs)


async def test_a_certificate_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for broken in (
        BrokerSettings(tls=True, ca_file=tmp_path / "none.pem"),
        BrokerSettings(tls=True, cert_file=tmp_path / "none.pem"),
    ):
        with pytest.raises(StopService, match="ca_file"):
            MqttClient(broken, on_message=lambda _: None)

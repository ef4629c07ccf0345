"""The cloud's connection to the broker: with a scripted server, and with mosquitto and TLS."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import mqtt5
import msgspec
import pytest
from structlog.testing import capture_logs

from cardmint_cloud.adapters.mqtt.client import MqttClient
from cardmint_cloud.adapters.mqtt.connection import (
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
        self,
        code: mqtt5.ConnAckReasonCode = mqtt5.ConnAckReasonCode.SUCCESS,
        receive_max: int = 100,
    ) -> None:
        self.code = code
        self.receive_max = receive_max
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
                writer.write(
                    mqtt5.ConnAckPacket(reason_code=self.code, receive_max=self.receive_max).write()
                )
            self.packets.put_nowait(packet)
        writer.close()

    async def next(self, kind: Any) -> Any:
        while not isinstance(packet := await asyncio.wait_for(self.packets.get(), 10), kind):
            pass
        return packet


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


async def test_a_broker_that_turns_us_away_for_who_we_are_is_an_error() -> None:
    server = await Server(code=mqtt5.ConnAckReasonCode.NOT_AUTHORIZED).start()
    heard = Heard(server.port)
    with pytest.raises(StopService, match=r"refuses us \(not authorized\) without a user name"):
        await asyncio.wait_for(heard.link.refused(), 10)
    await heard.link.stop()
    await server.stop()


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

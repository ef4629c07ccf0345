"""One TCP connection to an MQTT 5 broker; the package `mqtt5` encodes and decodes packets.

Messages are acknowledged explicitly, after the commit. Two limits bound the messages in memory: the
broker sends at most `RECEIVE_MAXIMUM` unacknowledged ones, and the socket is not read while
`MAX_WAITING_BYTES` of them wait (docs/decisions/0043).
"""

import asyncio
import contextlib
import os
import socket
from collections import deque
from collections.abc import Callable, Sequence
from typing import Literal, cast

import mqtt5
import structlog
from msgspec import Struct

from cardmint_contracts import topics
from cardmint_contracts.claims import Claim
from cardmint_contracts.settings import BrokerSettings

RECEIVE_MAXIMUM = 2000
MAX_WAITING_BYTES = 16 << 20
KEEP_ALIVE_S = 10
CLOSE_S = 1.0
"""Seconds that the broker gets to agree to the end of an encrypted connection."""

_GRANTED = (
    mqtt5.SubAckReasonCode.GRANTED_QOS_AT_MOST_ONCE,
    mqtt5.SubAckReasonCode.GRANTED_QOS_AT_LEAST_ONCE,
)
_PUBLISH = 3
_log = structlog.get_logger()


class InboundMessage(Struct, frozen=True, kw_only=True, gc=False):
    """A received message. `connection` is the number of its connection."""

    topic: str
    payload: bytes
    retained: bool
    content_type: str | None
    properties: list[tuple[str, str]]
    connection: int
    mid: int | None

    @property
    def claim(self) -> Claim | None:
        """What the sender claims to be inside; None for no claim, or one of too many events."""
        return Claim.read(self.properties)


class MqttConnection(asyncio.Protocol):
    """One TCP connection.

    `answered` is the broker's answer to CONNECT, None when it hung up. `lost` is the reason why the
    connection ended.
    """

    def __init__(
        self, number: int, broker: BrokerSettings, on_message: Callable[[InboundMessage], None]
    ) -> None:
        self.number = number
        self._broker = broker
        self._on_message = on_message
        loop = asyncio.get_running_loop()
        self.answered: asyncio.Future[mqtt5.ConnAckReasonCode | None] = loop.create_future()
        self.lost: asyncio.Future[str] = loop.create_future()
        self._closed: asyncio.Future[None] = loop.create_future()
        self._transport: asyncio.Transport | None = None
        self._beating: asyncio.Task[None] | None = None
        self._buffer = bytearray()
        self._held = 0
        self._paused = False
        self._heard = False
        self._mid = 0
        self._window = 65_535
        self._unacknowledged: deque[int] = deque()
        self._dealt_with: set[int] = set()
        self._sent: dict[int, asyncio.Future[None]] = {}
        self._queued: deque[tuple[str, bytes, bool, asyncio.Future[None]]] = deque()

    def leave(self) -> None:
        """Send DISCONNECT and close."""
        if self._transport and not self._transport.is_closing():
            self._transport.write(mqtt5.DisconnectPacket().write())
            self._transport.close()

    async def close(self) -> None:
        """Leave, and wait until the transport is closed: TLS waits for the broker to agree."""
        self.leave()
        try:
            if self._transport:
                await asyncio.wait([self._closed], timeout=CLOSE_S)
        finally:
            if self._transport:
                self._transport.abort()

    def acknowledge(self, messages: Sequence[InboundMessage]) -> None:
        """Send PUBACKs in the order of the messages, and resume reading when there is room.

        MQTT 5 (4.6) requires that order: a message that was processed before an older one waits for
        it.
        """
        self._held -= sum(len(message.payload) for message in messages)
        self._dealt_with.update(message.mid for message in messages if message.mid is not None)
        acknowledged = bytearray()
        while self._unacknowledged and self._unacknowledged[0] in self._dealt_with:
            mid = self._unacknowledged.popleft()
            self._dealt_with.remove(mid)
            acknowledged += mqtt5.PubAckPacket(mid).write()
        self._write(acknowledged)
        if self._paused and self._held <= MAX_WAITING_BYTES // 2 and self._transport:
            self._paused = False
            self._transport.resume_reading()

    def publish(self, topic: str, payload: bytes, *, retain: bool = True) -> asyncio.Future[None]:
        """Publish, or queue while the broker's receive maximum is reached."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queued.append((topic, payload, retain, done))
        self._flush()
        return done

    def subscribe(self, *kinds: Literal["events", "state", "health", "config/reported"]) -> None:
        """Subscribe to every station's `kinds`."""
        filters = [
            mqtt5.TopicFilter(
                topics.every_station(kind),
                max_qos=mqtt5.QoS.AT_LEAST_ONCE,
                retain_as_published=False,
            )
            for kind in kinds
        ]
        self._write(mqtt5.SubscribePacket(self._next_mid(), filters).write())

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send CONNECT."""
        self._transport = cast("asyncio.Transport", transport)
        packet = mqtt5.ConnectPacket(
            f"cardmint-cloud-{socket.gethostname()}-{os.getpid()}",
            username=self._broker.username or None,
            password=self._broker.password.encode() if self._broker.username else None,
            clean_start=True,
            keep_alive=KEEP_ALIVE_S,
            receive_max=RECEIVE_MAXIMUM,
        )
        self._write(packet.write())
        self._beating = asyncio.create_task(self._beat())

    def data_received(self, data: bytes) -> None:
        """Read all whole packets."""
        self._heard = True
        self._buffer += data
        at = 0
        with memoryview(self._buffer) as view:
            while at < len(view):
                rest = view[at:]
                try:
                    packet, size = mqtt5.read(rest)
                except IndexError:
                    break
                except BaseException as error:
                    # mqtt5 0.8 panics at a text that is not UTF-8, and a panic is no Exception.
                    if (
                        not isinstance(error, ValueError)
                        and type(error).__name__ != "PanicException"
                    ):
                        raise
                    passed = self._pass_over(rest, error)
                    if passed is None:
                        break
                    at += passed
                    continue
                finally:
                    rest.release()
                at += size
                self._take(packet)
        del self._buffer[:at]

    def connection_lost(self, error: Exception | None) -> None:
        """Cancel what was published without a PUBACK."""
        if self._beating:
            self._beating.cancel()
        for future in (*self._sent.values(), *(done for *_, done in self._queued)):
            future.cancel()
        self._sent.clear()
        self._queued.clear()
        self._transport = None
        self._closed.set_result(None)
        if not self.answered.done():
            self.answered.set_result(None)
        if not self.lost.done():
            self.lost.set_result(str(error) if error else "closed by the broker")

    def _take(self, packet: mqtt5.Packet) -> None:
        match packet:
            case mqtt5.PublishPacket():
                self._received(packet)
            case mqtt5.PubAckPacket():
                if (done := self._sent.pop(packet.packet_id, None)) and not done.done():
                    done.set_result(None)
                self._flush()
            case mqtt5.ConnAckPacket():
                self._window = packet.receive_max
                if packet.reason_code == mqtt5.ConnAckReasonCode.SUCCESS:
                    self.subscribe("events", "state", "health", "config/reported")
                if not self.answered.done():
                    self.answered.set_result(packet.reason_code)
            case mqtt5.DisconnectPacket():
                if not self.lost.done():
                    self.lost.set_result(
                        packet.reason_str or packet.reason_code.name.replace("_", " ").lower()
                    )
                self.leave()
            case mqtt5.SubAckPacket():
                if any(code not in _GRANTED for code in packet.reason_codes):
                    _log.warning(
                        "the broker refuses a subscription",
                        codes=[code.name for code in packet.reason_codes],
                    )

    def _received(self, packet: mqtt5.PublishPacket) -> None:
        payload = packet.payload
        self._held += len(payload)
        if packet.packet_id is not None:
            self._unacknowledged.append(packet.packet_id)
        if self._held > MAX_WAITING_BYTES and not self._paused and self._transport:
            self._paused = True
            self._transport.pause_reading()
        self._on_message(
            InboundMessage(
                topic=packet.topic,
                payload=payload,
                retained=packet.retain,
                content_type=packet.content_type,
                properties=packet.user_properties,
                connection=self.number,
                mid=packet.packet_id,
            )
        )

    def _pass_over(self, rest: memoryview, error: BaseException) -> int | None:
        """Acknowledge a PUBLISH that breaks the protocol and return its size; None if incomplete.

        Without the acknowledgement it would come again. Any other unreadable packet ends the
        connection.
        """
        size, at, more = 0, 1, True
        while more and at < min(5, len(rest)):
            size |= (rest[at] & 0x7F) << (7 * (at - 1))
            more, at = rest[at] >= 0x80, at + 1
        if more or rest[0] >> 4 != _PUBLISH or size < 4:
            _log.error("the broker sends what is no MQTT", error=str(error))
            if self._transport:
                self._transport.abort()
            return None
        if len(rest) < at + size:
            return None
        _log.error("a message breaks the protocol and is passed over", error=str(error))
        topic = int.from_bytes(rest[at : at + 2])
        if rest[0] & 0x06:
            mid = int.from_bytes(rest[at + 2 + topic : at + 4 + topic])
            self._unacknowledged.append(mid)
            self._dealt_with.add(mid)
        return at + size

    def _flush(self) -> None:
        while self._queued and len(self._sent) < self._window and self._transport:
            topic, payload, retain, done = self._queued.popleft()
            mid = self._next_mid()
            self._sent[mid] = done
            packet = mqtt5.PublishPacket(
                topic, payload, qos=mqtt5.QoS.AT_LEAST_ONCE, retain=retain, packet_id=mid
            )
            self._write(packet.write())

    def _next_mid(self) -> int:
        while True:
            self._mid = self._mid % 65_535 + 1
            if self._mid not in self._sent:
                return self._mid

    def _write(self, data: bytes | bytearray) -> None:
        if data and self._transport and not self._transport.is_closing():
            self._transport.write(data)

    async def _beat(self) -> None:
        """Send PINGREQ regularly; abort the connection when not even its answer comes."""
        while True:
            self._write(mqtt5.PingReqPacket().write())
            self._heard = False
            await asyncio.sleep(KEEP_ALIVE_S / 2)
            if not self._heard and not self._paused and self._transport:
                with contextlib.suppress(asyncio.InvalidStateError):
                    self.lost.set_result("it does not answer")
                self._transport.abort()

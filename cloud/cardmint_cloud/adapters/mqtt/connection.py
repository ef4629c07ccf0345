"""One TCP connection to an MQTT 5 broker; the package `mqtt5` encodes and decodes packets.

Messages are acknowledged explicitly, after the commit. Three limits bound the messages in memory:
the broker sends at most `RECEIVE_MAXIMUM` unacknowledged ones, none larger than `MAX_PACKET_BYTES`,
and the socket is not read while `MAX_WAITING_BYTES` of them wait (docs/decisions/0043).
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from typing import cast

import mqtt5
import structlog
from msgspec import Struct

from cardmint_cloud.adapters.mqtt import advice
from cardmint_contracts import topics
from cardmint_contracts.claims import Claim
from cardmint_contracts.settings import BrokerSettings
from cardmint_contracts.wire import MAX_MESSAGE_BYTES

RECEIVE_MAXIMUM = 2000
MAX_WAITING_BYTES = 16 << 20
MAX_PACKET_BYTES = 2 * MAX_MESSAGE_BYTES
"""Largest packet that is taken: a station's batch has at most half of that, without its properties.

A broker is told so and discards what is larger. One that sends it nevertheless is hung up on.
"""

KEEP_ALIVE_S = 10
SILENCE_S = 5.0
"""Seconds without any answer, not even to a PINGREQ, after which the connection counts as dead."""

CLOSE_S = 1.0
"""Seconds that the broker gets to agree to the end of an encrypted connection."""

QUIET_S = 1.0
LISTING_S = 30.0
"""Seconds without another retained message after which all have come, and seconds at most."""

MAX_LISTED = 200_000
"""Topics of retained messages that are listed at most."""

_GRANTED = (
    mqtt5.SubAckReasonCode.GRANTED_QOS_AT_MOST_ONCE,
    mqtt5.SubAckReasonCode.GRANTED_QOS_AT_LEAST_ONCE,
)
_HEARD: tuple[topics.Channel, ...] = ("events", "state", "health", "config/reported")
"""Channels of every station that a worker hears, besides requests for a replay."""

_PUBLISH = 3
_log = structlog.get_logger()


class InboundMessage(Struct, frozen=True, kw_only=True, gc=False):
    """A received message. `connection` is the number of its connection.

    `response_topic` and `correlation_data` are a request's.
    """

    topic: str
    payload: bytes
    retained: bool
    content_type: str | None
    properties: list[tuple[str, str]]
    connection: int
    mid: int | None
    response_topic: str | None = None
    correlation_data: bytes | None = None

    @property
    def claim(self) -> Claim | None:
        """What the sender claims to be inside; None for no claim, or one of too many events."""
        return Claim.read(self.properties)


class MessageProperties(Struct, frozen=True, kw_only=True):
    """What an outbound message says of itself besides its payload, a text."""

    content_type: str
    correlation_data: bytes | None = None
    user: tuple[tuple[str, str], ...] = ()


class QueuedMessage(Struct, frozen=True):
    """An outbound message that waits for its turn; `done` is its PUBACK."""

    topic: str
    payload: bytes
    retain: bool
    properties: MessageProperties | None
    done: asyncio.Future[None]


class MqttConnection(asyncio.Protocol):
    """One TCP connection, under the client identifier `name`.

    `answered` is the broker's answer to CONNECT, None when it hung up. `lost` is the reason why the
    connection ended.
    """

    def __init__(
        self,
        number: int,
        broker: BrokerSettings,
        name: str,
        on_message: Callable[[InboundMessage], None],
    ) -> None:
        self.number = number
        self._name = name
        self._broker = broker
        self._on_message = on_message
        loop = asyncio.get_running_loop()
        self.answered: asyncio.Future[mqtt5.ConnAckPacket | None] = loop.create_future()
        self.lost: asyncio.Future[str] = loop.create_future()
        self._closed: asyncio.Future[None] = loop.create_future()
        self._transport: asyncio.Transport | None = None
        self._beating: asyncio.Task[None] | None = None
        self._buffer = bytearray()
        self._held = 0
        self._paused = False
        self._heard_at = loop.time()
        self._beat_s = KEEP_ALIVE_S / 2
        self._mid = 0
        self._window = 65_535
        self._largest = 0
        self._unacknowledged: deque[int] = deque()
        self._dealt_with: set[int] = set()
        self._sent: dict[int, tuple[str, asyncio.Future[None]]] = {}
        self._subscribed: dict[int, tuple[str, ...]] = {}
        self._refused: set[tuple[str, str]] = set()
        self._listed: set[str] | None = None
        self._listed_at = 0.0
        self._listing = asyncio.Lock()
        self._queued: deque[QueuedMessage] = deque()

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
            self._heard_at = asyncio.get_running_loop().time()
            self._transport.resume_reading()

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        retain: bool = True,
        properties: MessageProperties | None = None,
    ) -> asyncio.Future[None]:
        """Publish, or queue while the broker's receive maximum is reached.

        The future is cancelled when the connection is lost or the broker refuses the message.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queued.append(QueuedMessage(topic, payload, retain, properties, done))
        self._flush()
        return done

    def subscribe_to_states(self) -> None:
        """Subscribe to every station's state again: the broker sends the retained ones."""
        self._subscribe([topics.every_station("state")], mqtt5.QoS.AT_LEAST_ONCE)

    async def retained_tasks(self) -> set[str]:
        """Return the topics of the tasks that the broker keeps retained, of every station.

        MQTT does not tell which message is the last: all have come when none follows for a while.
        """
        loop = asyncio.get_running_loop()
        async with self._listing:
            self._listed, self._listed_at = set(), loop.time()
            self._subscribe([topics.EVERY_TASK], mqtt5.QoS.AT_MOST_ONCE)
            ends = loop.time() + LISTING_S
            try:
                while (wait := min(self._listed_at + QUIET_S, ends) - loop.time()) > 0:  # noqa: ASYNC110 - a quiet time
                    await asyncio.sleep(wait)
                return self._listed
            finally:
                self._listed = None
                self._write(mqtt5.UnsubscribePacket(self._next_mid(), [topics.EVERY_TASK]).write())

    def _subscribe(self, filters: Sequence[str], qos: mqtt5.QoS) -> None:
        mid = self._next_mid()
        self._subscribed[mid] = tuple(filters)
        wanted = [
            mqtt5.TopicFilter(text, max_qos=qos, retain_as_published=False) for text in filters
        ]
        self._write(mqtt5.SubscribePacket(mid, wanted).write())

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send CONNECT."""
        self._transport = cast("asyncio.Transport", transport)
        packet = mqtt5.ConnectPacket(
            self._name,
            username=self._broker.username or None,
            password=self._broker.password.encode() if self._broker.username else None,
            clean_start=True,
            keep_alive=KEEP_ALIVE_S,
            receive_max=RECEIVE_MAXIMUM,
            max_packet_size=MAX_PACKET_BYTES,
        )
        self._write(packet.write())
        self._start_beating()

    def data_received(self, data: bytes) -> None:
        """Read all whole packets."""
        self._heard_at = asyncio.get_running_loop().time()
        self._buffer += data
        at = 0
        with memoryview(self._buffer) as view:
            while at < len(view):
                rest = view[at:]
                try:
                    if self._hangs_up_on(rest):
                        break
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

    def _hangs_up_on(self, rest: memoryview) -> bool:
        """End the connection, and return True, if a packet begins that is larger than we take."""
        if (size := _packet_size(rest)) is None or size <= MAX_PACKET_BYTES:
            return False
        reason = f"it sends a packet of {size} bytes; at most {MAX_PACKET_BYTES} are taken"
        if not self.lost.done():
            self.lost.set_result(reason)
        self._write(
            mqtt5.DisconnectPacket(reason_code=mqtt5.DisconnectReasonCode.PACKET_TOO_LARGE).write()
        )
        if self._transport:
            self._transport.abort()
        return True

    def connection_lost(self, error: Exception | None) -> None:
        """Cancel what was published without a PUBACK."""
        if self._beating:
            self._beating.cancel()
        sent = (done for _, done in self._sent.values())
        for future in (*sent, *(queued.done for queued in self._queued)):
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
                self._published(packet)
            case mqtt5.ConnAckPacket():
                self._accepted(packet)
            case mqtt5.DisconnectPacket():
                if not self.lost.done():
                    self.lost.set_result(advice.why_lost(packet))
                self.leave()
            case mqtt5.SubAckPacket():
                filters = self._subscribed.pop(packet.packet_id, ())
                refused = [
                    f"{text} ({code.name.replace('_', ' ').lower()})"
                    for text, code in zip(filters, packet.reason_codes, strict=False)
                    if code not in _GRANTED
                ]
                if refused:
                    _log.warning(
                        "the broker refuses a subscription",
                        refused=refused,
                        do=advice.why_not_subscribed(),
                    )

    def _accepted(self, answer: mqtt5.ConnAckPacket) -> None:
        self._window = answer.receive_max
        self._largest = answer.max_packet_size or 0
        if answer.server_keep_alive:
            self._beat_s = min(self._beat_s, answer.server_keep_alive / 2)
            self._start_beating()
        if (
            answer.reason_code == mqtt5.ConnAckReasonCode.SUCCESS
            and advice.why_unusable(answer) is None
        ):
            self._subscribe(
                [*map(topics.every_station, _HEARD), topics.EVERY_REPLAY],
                mqtt5.QoS.AT_LEAST_ONCE,
            )
        if not self.answered.done():
            self.answered.set_result(answer)

    def _published(self, answer: mqtt5.PubAckPacket) -> None:
        topic, done = self._sent.pop(answer.packet_id, ("", None))
        if done is not None and not done.done():
            if answer.reason_code.value < mqtt5.PubAckReasonCode.UNSPECIFIED_ERROR.value:
                done.set_result(None)
            else:
                done.cancel()
                self._not_published(
                    topic,
                    f"{advice.in_words(answer.reason_code)}"
                    + (f", it says: {answer.reason_str}" if answer.reason_str else ""),
                    advice.why_not_published(answer.reason_code),
                )
        self._flush()

    def _not_published(self, topic: str, reason: str, do: str) -> None:
        """Log a refused message: once a connection for each kind of topic and reason."""
        key = _kind(topic), reason
        if key not in self._refused:
            self._refused.add(key)
            _log.error("the broker refuses a message", topic=topic, reason=reason, do=do)

    def _received(self, packet: mqtt5.PublishPacket) -> None:
        if _kind(packet.topic) == "tasks":
            self._list(packet)
            return
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
                response_topic=packet.response_topic,
                correlation_data=packet.correlation_data,
            )
        )

    def _list(self, packet: mqtt5.PublishPacket) -> None:
        if self._listed is not None and packet.retain and len(self._listed) < MAX_LISTED:
            self._listed.add(packet.topic)
            self._listed_at = asyncio.get_running_loop().time()

    def _pass_over(self, rest: memoryview, error: BaseException) -> int | None:
        """Acknowledge a PUBLISH that breaks the protocol and return its size; None if incomplete.

        Without the acknowledgement it would come again. Any other unreadable packet ends the
        connection.
        """
        whole = _packet_size(rest)
        if whole is None or rest[0] >> 4 != _PUBLISH or whole < 6:
            _log.error("the broker sends what is no MQTT 5", error=str(error))
            if self._transport:
                self._transport.abort()
            return None
        if len(rest) < whole:
            return None
        at = next(place for place in range(1, 5) if rest[place] < 0x80) + 1
        _log.error("a message breaks the protocol and is passed over", error=str(error))
        topic = int.from_bytes(rest[at : at + 2])
        if rest[0] & 0x06:
            mid = int.from_bytes(rest[at + 2 + topic : at + 4 + topic])
            self._unacknowledged.append(mid)
            self._dealt_with.add(mid)
        return whole

    def _flush(self) -> None:
        while self._queued and len(self._sent) < self._window and self._transport:
            queued = self._queued.popleft()
            mid = self._next_mid()
            packet = _publish_packet(queued, mid)
            if 0 < self._largest < len(packet):
                queued.done.cancel()
                self._not_published(
                    queued.topic,
                    f"a packet of {len(packet)} bytes; the broker takes {self._largest}",
                    "raise the broker's largest packet",
                )
                continue
            self._sent[mid] = queued.topic, queued.done
            self._write(packet)

    def _next_mid(self) -> int:
        while True:
            self._mid = self._mid % 65_535 + 1
            if self._mid not in self._sent and self._mid not in self._subscribed:
                return self._mid

    def _write(self, data: bytes | bytearray) -> None:
        if data and self._transport and not self._transport.is_closing():
            self._transport.write(data)

    def _start_beating(self) -> None:
        if self._beating:
            self._beating.cancel()
        self._beating = asyncio.create_task(self._beat())

    async def _beat(self) -> None:
        """Send PINGREQ regularly; abort the connection when not even its answer comes."""
        loop = asyncio.get_running_loop()
        asked_at = self._heard_at
        while True:
            if self._heard_at >= asked_at or self._paused:
                asked_at = loop.time()
            elif loop.time() - asked_at >= SILENCE_S and self._transport:
                with contextlib.suppress(asyncio.InvalidStateError):
                    self.lost.set_result("it does not answer")
                self._transport.abort()
            self._write(mqtt5.PingReqPacket().write())
            await asyncio.sleep(self._beat_s)


def _publish_packet(queued: QueuedMessage, mid: int) -> bytes:
    if (said := queued.properties) is None:
        return mqtt5.PublishPacket(
            queued.topic,
            queued.payload,
            qos=mqtt5.QoS.AT_LEAST_ONCE,
            retain=queued.retain,
            packet_id=mid,
        ).write()
    return mqtt5.PublishPacket(
        queued.topic,
        queued.payload,
        qos=mqtt5.QoS.AT_LEAST_ONCE,
        retain=queued.retain,
        packet_id=mid,
        payload_format_indicator=1,
        content_type=said.content_type,
        correlation_data=said.correlation_data,
        user_properties=list(said.user),
    ).write()


def _kind(topic: str) -> str:
    """Return the level after the station's name, whatever the topic is."""
    return "".join(topic.split("/", 5)[4:5])


def _packet_size(rest: memoryview) -> int | None:
    """Return the size of the packet that begins here; None when its head is cut short or wrong."""
    size = 0
    for at in range(1, min(5, len(rest))):
        size |= (rest[at] & 0x7F) << (7 * (at - 1))
        if rest[at] < 0x80:
            return at + 1 + size
    return None

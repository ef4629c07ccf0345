"""The broker: MQTT 5 through paho.

Each connection is a new client, so that paho resends nothing of an old one.
"""

import socket
import ssl
import threading
import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

import structlog
from paho.mqtt.client import (
    MQTT_ERR_SUCCESS,
    Client,
    ConnectFlags,
    DisconnectFlags,
    MQTTMessage,
    MQTTv5,
)
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from tenacity import Retrying, retry_if_result, stop_when_event_set, wait_random_exponential

from cardmint_contracts import topics
from cardmint_contracts.claims import Claim
from cardmint_contracts.errors import BadTopic
from cardmint_contracts.settings import BrokerSettings
from cardmint_contracts.stations import StationHealth, StationState
from cardmint_contracts.wire import MAX_MESSAGE_BYTES, encode
from cardmint_edge.domain.delivery.batches import PackedBatch
from cardmint_edge.domain.delivery.messages import (
    ControlMessage,
    ForwarderMessage,
    LinkConnected,
    LinkDisconnected,
    MessageDelivered,
    OutcomeReceived,
    ReceiptReceived,
    StateReceived,
    TaskReceived,
)
from cardmint_edge.domain.delivery.reason_codes import (
    SESSION_TAKEN_OVER,
    UNSPECIFIED,
    Refusal,
    login_refusal,
    missing_feature,
    refusal,
    subscription_refusal,
)
from cardmint_edge.domain.delivery.window import BrokerLimits
from cardmint_edge.errors import EdgeError, Stop
from cardmint_edge.settings import StationSettings

KEEPALIVE_S = 15
CONNECT_TIMEOUT_S = 5.0
ANSWER_TIMEOUT_S = 5.0
FIRST_WAIT_S = 0.25
LONGEST_WAIT_S = 10.0
STEADY_CONNECTION_S = 10.0
"""A connection that lasted this long was a good one: the next attempt follows soon."""

FAREWELL_S = 1.0
REQUIRED_SUBSCRIPTIONS = 3
"""The first subscriptions of the list: receipts, tasks and outcomes. Nothing works without them."""

MAX_PACKET_BYTES = MAX_MESSAGE_BYTES + (64 << 10)
"""Maximum Packet Size that the station announces: the broker keeps larger messages to itself."""

MAX_EARLY_BYTES = 16 << 20
"""Bytes of messages kept until the subscriptions are answered, at most."""

MAX_PAYLOAD_BYTES = 512 << 10
HEADROOM_BYTES = 1024
"""Bytes of a packet for its topic and properties."""

log = structlog.get_logger(__name__)


class _WatchedClient(Client):
    """A client of paho whose network thread never ends without a word.

    Packets that paho cannot read, and callbacks that fail, raise in that thread.
    """

    def __init__(self, client_id: str, on_loop_end: Callable[[Exception | None], None]) -> None:
        super().__init__(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            protocol=MQTTv5,
            reconnect_on_failure=False,
        )
        self._on_loop_end = on_loop_end

    def loop_forever(
        self, timeout: float = 1.0, retry_first_connection: bool = False
    ) -> MQTTErrorCode:
        """Serve the connection until it ends."""
        failure: Exception | None = None
        try:
            return super().loop_forever(timeout, retry_first_connection)
        except Exception as error:  # noqa: BLE001 - it is logged by `on_loop_end`
            failure = error
            return MQTTErrorCode.MQTT_ERR_UNKNOWN
        finally:
            self._on_loop_end(failure)


class BrokerLink:
    """The station's connection to the broker.

    `run` keeps a connection until `stop`. Sending is safe from any thread.
    """

    def __init__(
        self,
        *,
        broker: BrokerSettings,
        station: StationSettings,
        bootid: UUID,
        state: Callable[[bool], StationState] | None,
        health: Callable[[], StationHealth] | None,
        to_forwarder: Callable[[ForwarderMessage], None],
        to_control: Callable[[ControlMessage], None] = lambda _: None,
        answer_timeout_s: float = ANSWER_TIMEOUT_S,
    ) -> None:
        """Take the parts.

        `state` and `health` return the station's current state and health; None publishes none.
        `bootid` tells this box from another one of the same name. `to_forwarder` takes
        receipts, tasks and outcomes, `to_control` takes commands, settings and manifests. Both get
        a new connection first, once the broker has taken the subscriptions; the broker has
        `answer_timeout_s` for that.

        Raises:
            Stop: a certificate's file cannot be read.
        """
        self._broker = broker
        self._station = station
        self._client_id = f"cardmint-{station.tenant}-{station.name}-{bootid.hex[:8]}"
        self._state = state
        self._health = health
        self._to_forwarder = to_forwarder
        self._to_control = to_control
        self._answer_timeout_s = answer_timeout_s
        self._topic = {
            kind: topics.station_topic(station.tenant, station.name, kind)
            for kind in ("events", "receipt", "state", "health")
        }
        self._tls = _tls_context(broker)
        self._client: Client | None = None
        self._connection = 0
        self._connected_at: float | None = None
        self._limits = _limits_of(None)
        self._early: list[MQTTMessage] | None = []
        """Messages that came before the broker's answer to the subscriptions; None after it."""
        self._early_bytes = 0
        self._last_problem = ""
        self.problem = ""
        """Why there is no connection, and what to do; empty while there is one."""
        self._answered = threading.Event()
        self._closed = threading.Event()
        self._stopping = threading.Event()

    def run(self) -> None:
        """Connect again and again until `stop`.

        The jittered pauses between attempts grow, and are short again after a steady connection.
        """
        while not self._stopping.is_set():
            Retrying(
                retry=retry_if_result(lambda steady: not steady),
                wait=wait_random_exponential(
                    multiplier=FIRST_WAIT_S, max=LONGEST_WAIT_S, min=FIRST_WAIT_S
                ),
                stop=stop_when_event_set(self._stopping),
                sleep=self._pause,
                retry_error_callback=lambda _: None,
            )(self._attempt)
            self._last_problem = ""
            self._pause(FIRST_WAIT_S)

    def _attempt(self) -> bool:
        """Connect once, wait for the end of the connection, and return whether it was steady."""
        self._answered.clear()
        self._closed.clear()
        self._connected_at = None
        self._early = []
        self._early_bytes = 0
        try:
            self._one_connection()
        except EdgeError as error:
            self._report_problem(str(error), "see the message")
        except Exception as error:
            log.exception("the connection failed; this is a bug")
            self._report_problem(repr(error), "see the log")
        return self._connected_s > STEADY_CONNECTION_S

    @property
    def _connected_s(self) -> float:
        return 0.0 if self._connected_at is None else time.monotonic() - self._connected_at

    def _pause(self, seconds: float) -> None:
        self._stopping.wait(seconds)

    def stop(self) -> None:
        """Publish that the station is offline, and make `run` return."""
        self._stopping.set()
        client = self._client
        if client is not None and client.is_connected():
            if self._state is not None:
                info = client.publish(
                    self._topic["state"], encode(self._state(False)), qos=1, retain=True
                )
                if info.rc == MQTT_ERR_SUCCESS:
                    info.wait_for_publish(FAREWELL_S)
            client.disconnect()
        self._answered.set()
        self._closed.set()

    def reconnect(self) -> None:
        """Drop the connection; `run` makes a new one."""
        self._closed.set()

    def send_birth(self) -> bool | None:
        """Publish, retained, that the station is online."""
        if self._state is None:
            return None
        return self._publish("state", encode(self._state(True)), qos=1, retain=True)

    def send_health(self) -> bool | None:
        """Publish the station's health."""
        if self._health is None:
            return None
        return self._publish("health", encode(self._health()), qos=0)

    def send_events(self, batch: PackedBatch) -> bool:
        """Publish a batch. Its user properties name its events."""
        properties = _properties(PacketTypes.PUBLISH)
        properties.ContentType = batch.content_type
        properties.UserProperty = Claim(
            batch.stream, batch.first, batch.last, batch.before
        ).properties()
        return self._publish("events", batch.payload, qos=1, properties=properties)

    def reply(self, message: ControlMessage, payload: bytes) -> bool:
        """Answer a command on its response topic."""
        client = self._client
        if client is None:
            return False
        properties = _properties(PacketTypes.PUBLISH)
        if message.correlation:
            properties.CorrelationData = message.correlation
        sent = client.publish(message.reply_to, payload, 1, False, properties)
        return sent.rc == MQTT_ERR_SUCCESS

    def report(self, payload: bytes) -> bool:
        """Publish, retained, the settings that the station uses."""
        client = self._client
        topic = topics.config_topic(self._station.tenant, self._station.name, "reported")
        return client is not None and client.publish(topic, payload, 1, True).rc == MQTT_ERR_SUCCESS

    def _publish(
        self,
        kind: str,
        payload: bytes,
        *,
        qos: int,
        retain: bool = False,
        properties: Properties | None = None,
    ) -> bool:
        client = self._client
        if client is None:
            return False
        return (
            client.publish(self._topic[kind], payload, qos, retain, properties).rc
            == MQTT_ERR_SUCCESS
        )

    def _one_connection(self) -> None:
        """Connect, and return at the end of the connection or of the failed attempt."""
        if self._stopping.is_set():
            return
        self._connection += 1
        client = self._new_client()
        properties = _properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = 0
        properties.MaximumPacketSize = MAX_PACKET_BYTES
        try:
            client.connect(
                self._broker.host,
                self._broker.port,
                KEEPALIVE_S,
                clean_start=True,
                properties=properties,
            )
        except (OSError, ValueError) as error:  # a host name that cannot be one is a ValueError
            self._report_problem(
                str(error), "check that the broker runs and that nothing between blocks the port"
            )
            return
        client.loop_start()
        if not self._answered.wait(self._answer_timeout_s):
            if self._connected_at is not None:
                self._report_problem(
                    "it does not answer the subscriptions", "see the broker's own log"
                )
            else:
                self._report_problem(
                    "it takes the connection and does not answer",
                    "check that an MQTT 5 broker listens there",
                )
            self._closed.set()
        self._closed.wait()
        self._client = None
        client.disconnect()
        client.loop_stop()

    def _new_client(self) -> Client:
        client = _WatchedClient(self._client_id, self._on_loop_end)
        client.connect_timeout = CONNECT_TIMEOUT_S
        if self._broker.username:
            client.username_pw_set(self._broker.username, self._broker.password)
        if self._tls is not None:
            client.tls_set_context(self._tls)
        client.on_socket_open = _disable_nagle
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_publish = self._on_publish
        client.on_message = self._on_message
        client.on_disconnect = self._on_disconnect
        if self._state is not None:
            client.will_set(self._topic["state"], encode(self._state(False)), qos=1, retain=True)
        return client

    def _on_connect(
        self,
        client: Client,
        _data: Any,
        _flags: ConnectFlags,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        refused = login_refusal(reason.value) if reason.is_failure else _missing_feature(properties)
        if refused is not None:
            self._answered.set()
            self._report_problem(f"{refused.meaning} ({reason})", refused.remedy)
            self._closed.set()
            return
        self._connected_at = time.monotonic()
        self._limits = _limits_of(properties)
        client.subscribe([(topic, 1) for topic in self._subscriptions])

    def _on_subscribe(
        self,
        client: Client,
        _data: Any,
        _mid: int,
        reasons: list[ReasonCode],
        _properties: Properties | None,
    ) -> None:
        if self._closed.is_set():
            return
        refused = [
            topic
            for topic, reason in zip(self._subscriptions, reasons, strict=False)
            if reason.is_failure
        ]
        if any(reason.is_failure for reason in reasons[:REQUIRED_SUBSCRIPTIONS]):
            why = subscription_refusal(next(one.value for one in reasons if one.is_failure))
            self._report_problem(
                f"it refuses to subscribe {', '.join(refused)}: {why.meaning}", why.remedy
            )
            self._answered.set()
            self._closed.set()
            return
        if refused:
            log.warning(
                "the broker refuses subscriptions; no commands, settings or packs come by them",
                broker=self._address,
                topics=refused,
                remedy="let the station subscribe to its own topics and its fleet's",
            )
        self._client = client
        limits = self._limits
        log.info(
            "connected",
            broker=self._address,
            in_flight=limits.in_flight,
            payload=limits.payload_bytes,
        )
        self.problem = ""
        self._to_forwarder(LinkConnected(connection=self._connection, limits=limits))
        self._to_control(ControlMessage(kind="connected", payload=b"1"))
        self._answered.set()
        early, self._early = self._early, None
        for message in early or []:
            self._dispatch(message)

    def _on_publish(
        self,
        _client: Client,
        _data: Any,
        _mid: int,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        self._to_forwarder(MessageDelivered(connection=self._connection, reason=reason.value))

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        if self._early is None:
            self._dispatch(message)
            return
        self._early.append(message)
        self._early_bytes += len(message.payload)
        if self._early_bytes > MAX_EARLY_BYTES:
            self._report_problem(
                "it sends messages and does not answer the subscriptions",
                "see the broker's own log",
            )
            self._early.clear()
            self._answered.set()
            self._closed.set()

    def _on_disconnect(
        self,
        _client: Client,
        _data: Any,
        _flags: DisconnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        if self._closed.is_set() or self._stopping.is_set():
            pass  # this side ended the connection, and logged why
        elif self._connected_at is not None:
            self._report_problem(f"the connection ended ({reason})", self._remedy_of(reason.value))
        elif not self._answered.is_set():
            self._report_problem(
                f"it hangs up before it answers ({reason})",
                "check that an MQTT 5 broker listens there",
            )
        self._to_forwarder(LinkDisconnected(connection=self._connection))
        self._answered.set()
        self._closed.set()

    def _remedy_of(self, code: int) -> str:
        """Return the remedy for a connection that the broker ended.

        For a second client of the same name a broker sends reason 142, or just hangs up.
        """
        hung_up = code == UNSPECIFIED and self._connected_s < STEADY_CONNECTION_S
        if code == SESSION_TAKEN_OVER or hung_up:
            return (
                "if this goes on, another station has the same name,"
                f" {self._station.name}: give each its own name"
            )
        return refusal(code).remedy

    def _on_loop_end(self, failure: Exception | None) -> None:
        """Note the end of paho's thread. `run` makes a new connection."""
        if failure is not None and not (self._closed.is_set() or self._stopping.is_set()):
            log.error("the broker's packet was not handled", exc_info=failure)
            self._report_problem(
                f"it sends what this station cannot handle ({failure!r})",
                "check that an MQTT 5 broker listens there",
            )
            self._to_forwarder(LinkDisconnected(connection=self._connection))
        self._answered.set()
        self._closed.set()

    def _dispatch(self, message: MQTTMessage) -> None:
        """Hand a message on. Whatever fails, the next message is handled."""
        try:
            self._hand_on(message)
        except BadTopic as error:
            log.warning("message ignored", reason=error.reason, detail=str(error))
        except Exception:
            log.exception("message ignored; this is a bug")

    def _hand_on(self, message: MQTTMessage) -> None:
        """Hand a message on. Raises BadTopic for a topic that is not this station's."""
        payload = bytes(message.payload)
        parsed = topics.parse(message.topic)
        if (parsed.tenant, parsed.station) not in {
            (self._station.tenant, self._station.name),
            (self._station.tenant, ""),
        }:
            detail = f"{message.topic!r} is another station's"
            raise BadTopic(detail)
        if parsed.kind == "outcomes":
            self._to_forwarder(OutcomeReceived(payload=payload))
        elif parsed.kind == "tasks" and parsed.task is not None:
            self._to_forwarder(TaskReceived(task=parsed.task, payload=payload))
        elif parsed.kind == "receipt":
            self._to_forwarder(ReceiptReceived(payload=payload, retained=message.retain))
        elif parsed.kind == "state":
            if payload and not message.retain:
                self._to_forwarder(StateReceived(payload=payload))
        elif parsed.kind == "commands" and parsed.task is not None:
            own = topics.reply_topic(self._station.tenant, self._station.name, parsed.task)
            reply_to = str(getattr(message.properties, "ResponseTopic", own))
            _check_reply_topic(reply_to, self._station)
            correlation = bytes(getattr(message.properties, "CorrelationData", b""))
            self._to_control(
                ControlMessage(
                    kind=parsed.kind,
                    payload=payload,
                    command=parsed.task,
                    reply_to=reply_to,
                    correlation=correlation,
                    retained=message.retain,
                )
            )
        else:
            self._to_control(ControlMessage(kind=parsed.kind, payload=payload))

    @property
    def _subscriptions(self) -> list[str]:
        """The topics to subscribe to, the `REQUIRED_SUBSCRIPTIONS` first."""
        tenant, station = self._station.tenant, self._station.name
        return [
            self._topic["receipt"],
            topics.station_tasks(tenant, station),
            topics.station_outcomes(tenant, station),
            topics.station_commands(tenant, station),
            topics.config_topic(tenant, station, "desired"),
            self._topic["state"],
            topics.fleet_topic(tenant, "catalogue"),
            topics.fleet_topic(tenant, "models"),
            topics.fleet_sets_topic(tenant),
        ]

    @property
    def _address(self) -> str:
        return f"{self._broker.host}:{self._broker.port}"

    def _report_problem(self, problem: str, remedy: str) -> None:
        self.problem = f"{problem}; {remedy}"
        if problem != self._last_problem:
            self._last_problem = problem
            log.warning(
                "no connection to the broker; counting goes on, and the station tries again",
                broker=self._address,
                user=self._broker.username or "(none)",
                reason=problem,
                remedy=remedy,
            )


def _properties(packet: int) -> Properties:
    return Properties(packet)  # type: ignore[no-untyped-call]  # paho has no type for this constructor


def _missing_feature(properties: Properties | None) -> Refusal | None:
    """Return which feature that stations need a broker announces not to have, if any."""
    return missing_feature(
        retain=getattr(properties, "RetainAvailable", 1),
        maximum_qos=getattr(properties, "MaximumQoS", 2),
        wildcards=getattr(properties, "WildcardSubscriptionAvailable", 1),
    )


def _check_reply_topic(reply_to: str, station: StationSettings) -> None:
    """Raise BadTopic unless a reply may go there: the station answers below its own commands."""
    allowed = topics.station_commands(station.tenant, station.name).removesuffix("+")
    rest = reply_to.removeprefix(allowed)
    if rest == reply_to or not rest.partition("/")[2] or set("+#\0") & set(rest):
        raise BadTopic(f"{reply_to!r}: a command's replies go below {allowed}{{id}}/ only")


def _limits_of(properties: Properties | None) -> BrokerLimits:
    packet = getattr(properties, "MaximumPacketSize", MAX_PAYLOAD_BYTES + HEADROOM_BYTES)
    return BrokerLimits(
        in_flight=getattr(properties, "ReceiveMaximum", 65535),
        payload_bytes=min(MAX_PAYLOAD_BYTES, packet - HEADROOM_BYTES),
    )


def _disable_nagle(_client: Client, _data: Any, sock: Any) -> None:
    """Switch Nagle's algorithm off: it delays an event by 40 ms after a receipt."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _tls_context(broker: BrokerSettings) -> ssl.SSLContext | None:
    if not broker.tls:
        return None
    try:
        context = ssl.create_default_context(cafile=str(broker.ca_file) if broker.ca_file else None)
        if broker.cert_file is not None:
            context.load_cert_chain(broker.cert_file, broker.key_file)
    except OSError as error:
        raise Stop(
            f"broker.ca_file, broker.cert_file or broker.key_file cannot be used: {error}"
        ) from error
    return context

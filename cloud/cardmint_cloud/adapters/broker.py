"""The MQTT 5 broker, as the cloud uses it: the only file that knows paho.

Messages are handed over with the connection that brought them and acknowledged by hand, after the commit. The broker
sends at most `RECEIVE_MAXIMUM` unacknowledged messages, which bounds what waits in memory.
"""

import asyncio
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

import paho.mqtt.client as mqtt
import structlog
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from cardmint_cloud.errors import Stop
from cardmint_contracts import topics

RECEIVE_MAXIMUM = 200
_NOT_US = {0x86, 0x87, 0x8A, 0x8C}  # bad user name or password, not authorised, banned, bad authentication method
_log = structlog.get_logger()


class Address(Protocol):
    """Where the broker is and who we are to it."""

    @property
    def host(self) -> str:
        """Host name or address."""
        ...

    @property
    def port(self) -> int:
        """TCP port."""
        ...

    @property
    def user(self) -> str:
        """User name; empty for none."""
        ...

    @property
    def password(self) -> str:
        """Password of the user."""
        ...

    @property
    def ca(self) -> str:
        """File of certificates to trust; empty for no TLS."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Inbound:
    """A message as it came. `connection` counts our connections: an acknowledgement belongs to just one."""

    topic: str
    payload: bytes
    retained: bool
    content_type: str | None
    claim: tuple[UUID, int, int] | None
    connection: int
    mid: int


class Broker:
    """One connection to the broker, made again whenever it is lost, with a clean session each time."""

    def __init__(self, address: Address, *, on_message: Callable[[Inbound], None]) -> None:
        self._address = address
        self._on_message = on_message
        self._connection = 0
        self._waiting: dict[int, asyncio.Future[None]] = {}
        self._loop = asyncio.get_running_loop()
        self._refused: asyncio.Future[None] = self._loop.create_future()
        self._said = ""
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"cardmint-cloud-{socket.gethostname()}-{os.getpid()}",
            protocol=mqtt.MQTTv5,
            manual_ack=True,
        )
        self._client.on_connect = self._connected
        self._client.on_connect_fail = lambda _client, _userdata: self._say("cannot be reached; is it running there?")
        self._client.on_disconnect = self._disconnected
        self._client.on_message = self._received
        self._client.on_publish = self._published
        self._client.reconnect_delay_set(min_delay=1, max_delay=5)
        self._client.max_queued_messages_set(100_000)
        if address.user:
            self._client.username_pw_set(address.user, address.password)
        if address.ca:
            self._client.tls_set(ca_certs=address.ca)

    def start(self) -> None:
        """Connect, and keep connected, in a thread of paho's."""
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.ReceiveMaximum = RECEIVE_MAXIMUM
        properties.SessionExpiryInterval = 0
        self._client.connect_async(
            self._address.host, self._address.port, keepalive=10, clean_start=True, properties=properties
        )
        self._client.loop_start()

    def stop(self) -> None:
        """Disconnect. Nothing is unsubscribed: what is not acknowledged comes again to whoever is next."""
        self._client.disconnect()
        self._client.loop_stop()

    async def refused(self) -> None:
        """Wait until the broker turns us away for who we are, which trying again does not mend.

        Raises:
            Stop: always, then.
        """
        await self._refused

    def acknowledge(self, message: Inbound) -> None:
        """Tell the broker that a message is dealt with, unless the connection that brought it is gone."""
        if message.connection == self._connection:
            self._client.ack(message.mid, 1)

    def publish(self, topic: str, payload: bytes, *, retain: bool = True) -> asyncio.Future[None]:
        """Publish with QoS 1. The future is done at the PUBACK and cancelled when the connection goes."""
        done: asyncio.Future[None] = self._loop.create_future()
        info = self._client.publish(topic, payload, qos=1, retain=retain)
        if info.rc == mqtt.MQTT_ERR_SUCCESS:
            self._waiting[info.mid] = done
        else:
            done.cancel()
        return done

    def refresh(self) -> None:
        """Ask the broker for what stations last said of themselves, once more."""
        self._client.subscribe(topics.every_station("state"), 1)

    def _connected(
        self, client: mqtt.Client, _userdata: Any, _flags: mqtt.ConnectFlags, code: ReasonCode, _p: Any
    ) -> None:
        if code.is_failure:
            trouble = f"refuses us ({code})"
            self._say(trouble)
            if code.value in _NOT_US:
                self._loop.call_soon_threadsafe(self._refuse, trouble)
            return
        self._connection += 1
        self._said = ""
        _log.info("broker connected", host=self._address.host, port=self._address.port)
        filters = [(topics.every_station(kind), 1) for kind in ("events", "state", "health")]
        client.subscribe(filters)

    def _refuse(self, trouble: str) -> None:
        if not self._refused.done():
            where = f"broker {self._address.host}:{self._address.port}"
            who = f"as user {self._address.user!r}" if self._address.user else "without a user name"
            message = f"{where} {trouble} {who}; check `broker.user` and `broker.password` in the settings"
            self._refused.set_exception(Stop(message))

    def _disconnected(self, _client: mqtt.Client, _userdata: Any, _flags: Any, code: ReasonCode, _p: Any) -> None:
        self._connection += 1
        self._loop.call_soon_threadsafe(self._give_up_waiting)
        if code.is_failure:
            self._say(f"connection lost ({code}); connecting again")

    def _give_up_waiting(self) -> None:
        waiting, self._waiting = self._waiting, {}
        for future in waiting.values():
            future.cancel()

    def _received(self, _client: mqtt.Client, _userdata: Any, message: mqtt.MQTTMessage) -> None:
        properties = message.properties
        inbound = Inbound(
            topic=message.topic,
            payload=bytes(message.payload),
            retained=message.retain,
            content_type=getattr(properties, "ContentType", None),
            claim=_claim(getattr(properties, "UserProperty", [])),
            connection=self._connection,
            mid=message.mid,
        )
        self._loop.call_soon_threadsafe(self._on_message, inbound)

    def _published(self, _client: mqtt.Client, _userdata: Any, mid: int, _code: ReasonCode, _p: Any) -> None:
        self._loop.call_soon_threadsafe(self._settle, mid)

    def _settle(self, mid: int) -> None:
        future = self._waiting.pop(mid, None)
        if future is not None and not future.done():
            future.set_result(None)

    def _say(self, what: str) -> None:
        """Log a trouble once, not at each attempt."""
        if what != self._said:
            self._said = what
            _log.warning(f"broker {self._address.host}:{self._address.port} {what}", user=self._address.user)


def _claim(properties: list[tuple[str, str]]) -> tuple[UUID, int, int] | None:
    """Read what the sender says is inside, if it says so plausibly."""
    said = dict(properties)
    try:
        stream, first, last = UUID(said["stream"]), int(said["first"]), int(said["last"])
    except (KeyError, ValueError):
        return None
    return (stream, first, last) if 1 <= first <= last < 2**63 and last - first < 1000 else None

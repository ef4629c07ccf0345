"""The cloud's MQTT 5 client: it reconnects whenever its connection is lost.

Each message carries the number of its connection, because only that one can acknowledge it.
"""

import asyncio
import random
import ssl
from collections.abc import Awaitable, Callable, Sequence
from uuid import UUID, uuid4

import mqtt5
import structlog

from cardmint_cloud.adapters.mqtt import advice
from cardmint_cloud.adapters.mqtt.connection import (
    InboundMessage,
    MessageProperties,
    MqttConnection,
)
from cardmint_cloud.errors import StopService
from cardmint_contracts.settings import BrokerSettings

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 5.0
SHORT_S = 30.0
"""Seconds below which a connection is short: the pauses grow on, as after a failure.

Otherwise two clients of one name, which push each other off, would connect without end.
"""

_CONNECT_S = 10.0
_TWIN = "does another process connect under this client's identifier, or do its rights not suffice?"
_log = structlog.get_logger()


class MqttClient:
    """One connection to the broker at a time, each with a clean session."""

    def __init__(
        self,
        settings: BrokerSettings,
        *,
        on_message: Callable[[InboundMessage], None],
        name: UUID | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Take the settings, the receiver of messages, the worker's own name, and a way to pause.

        Raises:
            StopService: a certificate's file cannot be used.
        """
        self._name = f"cardmint-cloud-{name or uuid4()}"
        self._sleep = sleep
        self._settings = settings
        self._tls = _tls_context(settings)
        self._on_message = on_message
        self._count = 0
        self._connection: MqttConnection | None = None
        self._running: asyncio.Task[None] | None = None
        self._said = ""
        self._short = 0

    def start(self) -> None:
        """Connect, and reconnect after each loss."""
        self._running = asyncio.create_task(self._keep_connected())

    async def stop(self) -> None:
        """Disconnect without unsubscribing.

        The broker sends unacknowledged messages again, to whichever worker connects next.
        """
        if self._running:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)

    def acknowledge(self, messages: Sequence[InboundMessage]) -> None:
        """Acknowledge the messages of the current connection; skip those of earlier ones."""
        if self._connection:
            self._connection.acknowledge(
                [m for m in messages if m.connection == self._connection.number]
            )

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        retain: bool = True,
        properties: MessageProperties | None = None,
    ) -> asyncio.Future[None]:
        """Publish with QoS 1.

        The future is done at the PUBACK, and cancelled when the connection is lost first or the
        broker refuses the message.
        """
        if self._connection:
            return self._connection.publish(topic, payload, retain=retain, properties=properties)
        lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        lost.cancel()
        return lost

    def refresh(self) -> None:
        """Subscribe to the stations' states again, so that the broker sends the retained ones."""
        if self._connection:
            self._connection.subscribe_to_states()

    @property
    def connection(self) -> int:
        """Number of the current connection; 0 while there is none."""
        return self._connection.number if self._connection else 0

    async def retained_tasks(self) -> set[str]:
        """Return the topics of all tasks that the broker keeps retained; none while unconnected."""
        return await self._connection.retained_tasks() if self._connection else set()

    async def _keep_connected(self) -> None:
        pause = FIRST_PAUSE_S
        while True:
            try:
                if await self._connect() >= SHORT_S:
                    pause = FIRST_PAUSE_S
            except ssl.SSLCertVerificationError as error:
                self._say(
                    f"has a certificate that is not trusted ({error.verify_message});"
                    " check `broker.ca_file` and `broker.host`"
                )
            except UnicodeError:
                self._say("has a name that is no host name; check `broker.host`")
            except (OSError, TimeoutError) as error:
                reason = getattr(error, "strerror", None) or "it does not answer"
                self._say(f"cannot be reached ({reason}); is it running there?")
            await self._sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - spreads retries, guards nothing
            pause = min(pause * 2, LONGEST_PAUSE_S)

    async def _connect(self) -> float:
        """Keep one connection until it is lost; return the seconds for which it was in use."""
        where = self._settings
        self._count += 1
        connection = MqttConnection(self._count, where, self._name, self._on_message)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_CONNECT_S):
                await loop.create_connection(
                    lambda: connection, where.host, where.port, ssl=self._tls
                )
                answer = await connection.answered
            if (trouble := _trouble(answer)) is not None:
                self._say(trouble)
                return 0.0
            since = loop.time()
            self._connection, self._said = connection, ""
            _log.info("broker connected", host=where.host, port=where.port, client=self._name)
            reason = await connection.lost
            lasted = loop.time() - since
            self._short = self._short + 1 if lasted < SHORT_S else 0
            doubt = f"; that was short for {self._short} times: {_TWIN}" if self._short > 2 else ""
            self._say(f"connection lost ({reason}); connecting again{doubt}")
            return lasted
        finally:
            self._connection = None
            await connection.close()

    def _say(self, what: str) -> None:
        """Log a problem once, not at each attempt."""
        if what != self._said:
            self._said = what
            _log.warning(
                f"broker {self._settings.host}:{self._settings.port} {what}",
                user=self._settings.username or "(none)",
                client=self._name,
            )


def _trouble(answer: mqtt5.ConnAckPacket | None) -> str | None:
    """Return why a connection cannot be used; None if it can. `answer` is None after a hang-up."""
    if answer is None:
        return "hung up; does it speak MQTT 5, and with TLS where `broker.tls` says so?"
    if answer.reason_code != mqtt5.ConnAckReasonCode.SUCCESS:
        return advice.why_refused(answer)
    return advice.why_unusable(answer)


def _tls_context(broker: BrokerSettings) -> ssl.SSLContext | None:
    if not broker.tls:
        return None
    try:
        context = ssl.create_default_context(cafile=broker.ca_file)
        if broker.cert_file is not None:
            context.load_cert_chain(broker.cert_file, broker.key_file)
    except OSError as error:
        message = f"`broker.ca_file`, `cert_file` or `key_file` cannot be used: {error}"
        raise StopService(message) from error
    return context

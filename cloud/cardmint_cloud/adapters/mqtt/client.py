"""The cloud's MQTT 5 client: it reconnects whenever its connection is lost.

Each message carries the number of its connection, because only that one can acknowledge it.
"""

import asyncio
import random
import ssl
from collections.abc import Callable, Sequence

import mqtt5
import structlog

from cardmint_cloud.adapters.mqtt.connection import InboundMessage, MqttConnection
from cardmint_cloud.errors import StopService
from cardmint_contracts.settings import BrokerSettings

_CONNECT_S = 10.0
_NOT_US = (
    mqtt5.ConnAckReasonCode.BAD_USER_NAME_OR_PASSWORD,
    mqtt5.ConnAckReasonCode.NOT_AUTHORIZED,
    mqtt5.ConnAckReasonCode.BANNED,
    mqtt5.ConnAckReasonCode.BAD_AUTHENTICATION_METHOD,
)
_log = structlog.get_logger()


class MqttClient:
    """One connection to the broker at a time, each with a clean session."""

    def __init__(
        self, settings: BrokerSettings, *, on_message: Callable[[InboundMessage], None]
    ) -> None:
        """Take the settings and the receiver of messages.

        Raises:
            StopService: a certificate's file cannot be used.
        """
        self._settings = settings
        self._tls = _tls_context(settings)
        self._on_message = on_message
        self._count = 0
        self._connection: MqttConnection | None = None
        self._running: asyncio.Task[None] | None = None
        self._refused: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._said = ""

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

    async def refused(self) -> None:
        """Wait until the broker refuses our user, which a retry cannot mend.

        Raises:
            StopService: always, then.
        """
        await self._refused

    def acknowledge(self, messages: Sequence[InboundMessage]) -> None:
        """Acknowledge the messages of the current connection; skip those of earlier ones."""
        if self._connection:
            self._connection.acknowledge(
                [m for m in messages if m.connection == self._connection.number]
            )

    def publish(self, topic: str, payload: bytes, *, retain: bool = True) -> asyncio.Future[None]:
        """Publish with QoS 1.

        The future is done at the PUBACK, and cancelled when the connection is lost first.
        """
        if self._connection:
            return self._connection.publish(topic, payload, retain=retain)
        lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        lost.cancel()
        return lost

    def refresh(self) -> None:
        """Subscribe to the stations' states again, so that the broker sends the retained ones."""
        if self._connection:
            self._connection.subscribe("state")

    async def _keep_connected(self) -> None:
        pause = 0.2
        while True:
            try:
                if await self._connect():
                    pause = 0.2
            except ssl.SSLCertVerificationError as error:
                self._say(
                    f"has a certificate that is not trusted ({error.verify_message});"
                    " check `broker.ca_file` and `broker.host`"
                )
            except (OSError, TimeoutError) as error:
                reason = getattr(error, "strerror", None) or "it does not answer"
                self._say(f"cannot be reached ({reason}); is it running there?")
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - spreads retries, guards nothing
            pause = min(pause * 2, 5.0)

    async def _connect(self) -> bool:
        """Keep one connection until it is lost; return whether the broker accepted it."""
        where = self._settings
        self._count += 1
        connection = MqttConnection(self._count, where, self._on_message)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_CONNECT_S):
                await loop.create_connection(
                    lambda: connection, where.host, where.port, ssl=self._tls
                )
                code = await connection.answered
            return await self._stay_connected(connection, code)
        finally:
            self._connection = None
            await connection.close()

    async def _stay_connected(
        self, connection: MqttConnection, code: mqtt5.ConnAckReasonCode | None
    ) -> bool:
        """Use a connection until it is lost; return whether the broker accepted it (`code`)."""
        if code is None:
            self._say("hung up")
            return False
        if code != mqtt5.ConnAckReasonCode.SUCCESS:
            trouble = f"refuses us ({code.name.replace('_', ' ').lower()})"
            self._say(trouble)
            if code in _NOT_US:
                self._refuse(trouble)
            return False
        self._connection, self._said = connection, ""
        _log.info("broker connected", host=self._settings.host, port=self._settings.port)
        self._say(f"connection lost ({await connection.lost}); connecting again")
        return True

    def _refuse(self, trouble: str) -> None:
        if not self._refused.done():
            where, user = (
                f"broker {self._settings.host}:{self._settings.port}",
                self._settings.username,
            )
            who = f"as user {user!r}" if user else "without a user name"
            message = (
                f"{where} {trouble} {who};"
                " check `broker.username` and `broker.password` in the settings"
            )
            self._refused.set_exception(StopService(message))

    def _say(self, what: str) -> None:
        """Log a problem once, not at each attempt."""
        if what != self._said:
            self._said = what
            _log.warning(
                f"broker {self._settings.host}:{self._settings.port} {what}",
                user=self._settings.username,
            )


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

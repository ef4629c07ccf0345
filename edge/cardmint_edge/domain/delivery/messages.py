"""Messages that the broker's link hands to the forwarder and to remote control."""

from dataclasses import dataclass
from typing import TypeAlias
from uuid import UUID

from cardmint_edge.domain.delivery.window import BrokerLimits

NO_COMMAND = UUID(int=0)


@dataclass(frozen=True, kw_only=True, slots=True)
class LinkConnected:
    """A connection is up and its subscriptions are taken.

    `connection` counts the connections. Messages with another number are out of date.
    """

    connection: int
    limits: BrokerLimits


@dataclass(frozen=True, kw_only=True, slots=True)
class LinkDisconnected:
    """The connection is gone."""

    connection: int


@dataclass(frozen=True, kw_only=True, slots=True)
class MessageDelivered:
    """The broker acknowledged one message, with MQTT's reason code."""

    connection: int
    reason: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ReceiptReceived:
    """A message on the receipt topic. A `retained` one may be old."""

    payload: bytes
    retained: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class StateReceived:
    """A birth or death on the station's own topic, published while the station was connected."""

    payload: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskReceived:
    """A message on a task's topic. An empty payload closes the task."""

    task: UUID
    payload: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class OutcomeReceived:
    """A message about how a task ended."""

    payload: bytes


class EventAppended:
    """The outbox has a new event."""


ForwarderMessage: TypeAlias = (
    LinkConnected
    | LinkDisconnected
    | MessageDelivered
    | ReceiptReceived
    | StateReceived
    | TaskReceived
    | OutcomeReceived
    | EventAppended
)


@dataclass(frozen=True, kw_only=True, slots=True)
class ControlMessage:
    """A command, settings or a manifest from the cloud, or `connected` for a new connection.

    `command`, `reply_to`, `correlation` and `retained` are set for commands only.
    """

    kind: str
    payload: bytes
    command: UUID = NO_COMMAND
    reply_to: str = ""
    correlation: bytes = b""
    retained: bool = False

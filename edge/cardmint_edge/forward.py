"""Forwarding: from the outbox to the broker, and the receipts back.

One thread, one inbox, one place that decides.
"""

import queue
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

import structlog

from cardmint_contracts.errors import ContractError
from cardmint_contracts.receipts import Receipt
from cardmint_contracts.wire import decode
from cardmint_edge.domain.delivery.batches import EventTooLarge, PackedBatch, StoredEvent, pack
from cardmint_edge.domain.delivery.window import BrokerLimits, SendWindow, StreamPosition
from cardmint_edge.errors import EdgeError, Retry

HEALTH_S = 30.0
HOLD_S = 1.0
"""The pause after an error that may go by itself, such as a disk that is full for the moment."""

LONGEST_WAIT_S = 1.0
"""How late health, and tasks that are due, may be."""

NO_SUBSCRIBERS = 16
REFUSED_FROM = 128

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class LinkConnected:
    """A connection stands. `connection` numbers it.

    What later names another number is out of date.
    """

    connection: int
    limits: BrokerLimits


@dataclass(frozen=True, kw_only=True, slots=True)
class LinkDisconnected:
    """The connection is gone."""

    connection: int


@dataclass(frozen=True, kw_only=True, slots=True)
class MessageDelivered:
    """The broker acknowledged a message, with MQTT's reason code."""

    connection: int
    reason: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ReceiptReceived:
    """A message on the receipt topic."""

    payload: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskReceived:
    """A message on a task's topic; an empty payload closes the task."""

    task: UUID
    payload: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class OutcomeReceived:
    """A message that says how a task ended."""

    payload: bytes


class EventAppended:
    """The outbox has a new event."""


ForwarderMessage = (
    LinkConnected
    | LinkDisconnected
    | MessageDelivered
    | ReceiptReceived
    | TaskReceived
    | OutcomeReceived
    | EventAppended
)


class UnsentEvents(Protocol):
    """What forwarding needs of the outbox."""

    @property
    def mark(self) -> StreamPosition:
        """Where the outbox stands."""
        ...

    def events(self, first: int, count: int) -> list[StoredEvent]:
        """Return at most `count` events from sequence `first` on."""
        ...

    def forget(self, stream: UUID, sequence: int) -> StreamPosition:
        """Remove what a receipt covers, and return where the outbox stands then."""
        ...


class EventLink(Protocol):
    """What forwarding needs of the broker.

    Sending says whether the message was taken; it is not when there is no connection. Each that was
    taken is answered by one `MessageDelivered`.
    """

    def send_birth(self) -> bool:
        """Publish that the station is there."""
        ...

    def send_events(self, batch: PackedBatch) -> bool:
        """Publish one batch."""
        ...

    def send_health(self) -> bool:
        """Publish how the station is."""
        ...

    def reconnect(self) -> None:
        """Drop a connection on which nothing moves any more."""
        ...


class TaskReceiver(Protocol):
    """Where tasks that come down go."""

    def arrived(self, task: UUID, payload: bytes) -> None:
        """Take a message on the topic of `task`."""
        ...

    def ended(self, payload: bytes) -> None:
        """Take a message that says how a task ended."""
        ...

    def connected(self, now: float) -> None:
        """Learn that the broker will now send every task that is open."""
        ...

    def disconnected(self) -> None:
        """Learn that what the broker sent so far may not be all."""
        ...

    def tick(self, now: float) -> None:
        """Do what is due."""
        ...


class Forwarder:
    """Drives `SendWindow` with what comes in.

    `turn` does one round; `run` does rounds until `stop`.
    """

    def __init__(
        self,
        *,
        outbox: UnsentEvents,
        link: EventLink,
        tasks: TaskReceiver,
        source: str,
        covered: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
        draw: Callable[[], float] = random.random,
        hold_s: float = HOLD_S,
    ) -> None:
        """Take the parts; `covered` is called after a receipt let events go, `hold_s` is the pause after a fault."""
        self._outbox = outbox
        self._link = link
        self._tasks = tasks
        self._source = source
        self._covered = covered
        self._clock = clock
        self._hold_s = hold_s
        self._state = SendWindow(outbox.mark, draw=draw)
        self._inbox: queue.SimpleQueue[ForwarderMessage] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._connection = 0
        self._health_due: float | None = None
        self._last_reason = 0

    def tell(self, news: ForwarderMessage) -> None:
        """Hand in news, from any thread."""
        self._inbox.put(news)

    def stop(self) -> None:
        """Make `run` return."""
        self._stopping.set()
        self._inbox.put(EventAppended())

    @property
    def state(self) -> str:
        """Where forwarding stands, in words for the operator."""
        if self._state.limits is None:
            return "no connection to the broker; counting goes on"
        if self._last_reason == NO_SUBSCRIBERS:
            return "connected to the broker; the cloud is not listening"
        if self._state.silent:
            return "connected to the broker; the cloud does not answer"
        return "connected"

    @property
    def connected(self) -> bool:
        """Whether a connection to the broker stands."""
        return self._state.limits is not None

    def run(self) -> None:
        """Forward until `stop`. A fault that may go by itself is said once, and tried again."""
        said = ""
        while not self._stopping.is_set():
            try:
                self.turn(self._patience())
                said = ""
            except EdgeError as error:
                if str(error) != said:
                    said = str(error)
                    log.error("forwarding waits", reason=said)
                self._stopping.wait(self._hold_s)

    def turn(self, patience: float | None) -> None:
        """Wait at most `patience` seconds for news (None.

        Until some comes), take in all there is, then send.
        """
        self._take_in(self._gather(patience))
        now = self._clock()
        if self._state.tick(now):
            log.info("no receipt came; sending again", acknowledged=self._state.mark.acknowledged)
            if self._state.stalled:
                log.warning("the broker acknowledges nothing; connecting again")
                self._link.reconnect()
        self._tasks.tick(now)
        self._state.appended(self._outbox.mark)
        self._send_health(now)
        self._send_events()

    def _patience(self) -> float:
        now = self._clock()
        waits = [LONGEST_WAIT_S, self._state.wait(now)]
        return min(wait for wait in waits if wait is not None)

    def _gather(self, patience: float | None) -> list[ForwarderMessage]:
        gathered: list[ForwarderMessage] = []
        try:
            gathered.append(self._inbox.get(timeout=patience))
            while True:
                gathered.append(self._inbox.get_nowait())
        except queue.Empty:
            return gathered

    def _take_in(self, gathered: list[ForwarderMessage]) -> None:
        receipts: list[Receipt] = []
        for news in gathered:
            match news:
                case LinkConnected():
                    self._connect(news)
                case LinkDisconnected() if news.connection == self._connection:
                    self._state.disconnected()
                    self._tasks.disconnected()
                case MessageDelivered() if news.connection == self._connection:
                    self._deliver(news.reason)
                case ReceiptReceived():
                    receipts = _with(receipts, news.payload)
                case TaskReceived():
                    self._tasks.arrived(news.task, news.payload)
                case OutcomeReceived():
                    self._tasks.ended(news.payload)
                case _:  # an event was appended, or the news is of an older connection
                    pass
        for receipt in receipts:
            self._receipt(receipt)

    def _connect(self, news: LinkConnected) -> None:
        self._connection = news.connection
        self._last_reason = 0
        now = self._clock()
        self._state.connected(news.limits)
        self._tasks.connected(now)
        self._health_due = now
        self._published(taken=self._link.send_birth())

    def _deliver(self, reason: int) -> None:
        self._state.delivered()
        if reason != self._last_reason and reason >= REFUSED_FROM:
            log.error(
                "the broker refuses events; check the station's rights and quota there",
                reason=reason,
            )
        self._last_reason = reason

    def _receipt(self, receipt: Receipt) -> None:
        before = self._state.mark
        now = self._clock()
        mark = self._outbox.forget(receipt.stream, receipt.sequence)
        ours = receipt.stream == mark.stream
        if ours and receipt.refused is not None and receipt.sequence < mark.acknowledged:
            # Late, or the cloud was restored from a backup and misses what this station has let go
            # of.
            log.warning(
                "the cloud refuses events although it had receipted more",
                receipt=receipt.sequence,
                acknowledged=mark.acknowledged,
            )
        refused = receipt.refused if ours and receipt.sequence == mark.acknowledged else None
        self._state.receipted(now, mark, refused=refused)
        if mark.acknowledged > before.acknowledged:
            self._covered()

    def _send_events(self) -> None:
        while (wanted := self._state.next()) is not None:
            first, count = wanted
            limits = self._state.limits
            mark = self._state.mark
            events = self._outbox.events(first, count)
            if limits is None or not events or events[0].sequence != first:
                return  # the outbox moved on; the next turn knows
            try:
                batch = pack(
                    events, source=self._source, stream=mark.stream, max_bytes=limits.payload_bytes
                )
            except EventTooLarge as error:
                message = (
                    f"{error}; raise the broker's maximum packet size, nothing leaves until then"
                )
                raise Retry(message) from None
            if not self._link.send_events(batch):
                self._state.disconnected()  # the link tells of the next connection
                return
            self._state.sent(self._clock(), batch.last)

    def _send_health(self, now: float) -> None:
        if self._state.limits is None or self._health_due is None or now < self._health_due:
            return
        self._health_due = now + HEALTH_S
        self._published(taken=self._link.send_health())

    def _published(self, *, taken: bool) -> None:
        if taken:
            self._state.published()
        else:
            self._state.disconnected()


def _with(receipts: list[Receipt], payload: bytes) -> list[Receipt]:
    """Add a receipt; it makes the one before it needless when it covers that one.

    Each costs an fsync.
    """
    try:
        receipt = decode(payload, Receipt)
    except ContractError as error:
        log.warning("receipt ignored", reason=error.reason, detail=str(error))
        return receipts
    if receipts:
        before = receipts[-1]
        if (
            before.refused is None
            and before.stream == receipt.stream
            and before.sequence <= receipt.sequence
        ):
            return [*receipts[:-1], receipt]
    return [*receipts, receipt]

"""Forwarding: events from the outbox to the broker, and receipts back.

One thread takes all messages from one inbox and makes all decisions.
"""

import queue
import random
import threading
import time
from collections.abc import Callable
from typing import Protocol
from uuid import UUID

import structlog

from cardmint_contracts.errors import ContractError
from cardmint_contracts.receipts import Receipt
from cardmint_contracts.wire import decode
from cardmint_edge.domain.delivery.batches import EventTooLarge, PackedBatch, StoredEvent, pack
from cardmint_edge.domain.delivery.messages import (
    EventAppended,
    ForwarderMessage,
    LinkConnected,
    LinkDisconnected,
    MessageDelivered,
    OutcomeReceived,
    ReceiptReceived,
    TaskReceived,
)
from cardmint_edge.domain.delivery.reason_codes import REFUSED_FROM, refusal
from cardmint_edge.domain.delivery.window import SendWindow, StreamState
from cardmint_edge.errors import EdgeError, Retry

HEALTH_S = 30.0
RETRY_S = 1.0
"""Pause after an error that may pass, such as a full disk."""

MAX_WAIT_S = 1.0
"""Delay of the health message, and of tasks that are due, at most."""

NO_SUBSCRIBERS = 16

log = structlog.get_logger(__name__)


class UnsentEvents(Protocol):
    """Events that no receipt covers yet: the outbox, as forwarding needs it."""

    @property
    def stream_state(self) -> StreamState:
        """How far the stream got."""
        ...

    def events(self, first: int, count: int) -> list[StoredEvent]:
        """Return at most `count` events from sequence `first` on."""
        ...

    def apply_receipt(self, stream: UUID, sequence: int) -> StreamState:
        """Remove the events that a receipt covers, and return the stream's new state."""
        ...


class EventLink(Protocol):
    """The broker, as forwarding needs it.

    Each send returns whether the message was taken; without a connection it is not. Each message
    that was taken is followed by one `MessageDelivered`.
    """

    def send_birth(self) -> bool:
        """Publish that the station is online."""
        ...

    def send_events(self, batch: PackedBatch) -> bool:
        """Publish one batch."""
        ...

    def send_health(self) -> bool:
        """Publish the station's health."""
        ...

    def reconnect(self) -> None:
        """Drop a connection on which nothing moves any more."""
        ...


class TaskReceiver(Protocol):
    """The receiver of review tasks from the cloud."""

    def receive_task(self, task: UUID, payload: bytes) -> None:
        """Take a message on the topic of `task`."""
        ...

    def receive_outcome(self, payload: bytes) -> None:
        """Take a message about how a task ended."""
        ...

    def connected(self, now: float) -> None:
        """Expect every open task: the broker sends them all after a new connection."""
        ...

    def disconnected(self) -> None:
        """Stop expecting tasks: those received so far may not be all."""
        ...

    def tick(self, now: float) -> None:
        """Close the tasks that are due to be closed."""
        ...


class Forwarder:
    """Moves events through a `SendWindow`. `step` does one round; `run` repeats it until `stop`."""

    def __init__(
        self,
        *,
        outbox: UnsentEvents,
        link: EventLink,
        tasks: TaskReceiver,
        source: str,
        on_receipt: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
        draw: Callable[[], float] = random.random,
        retry_s: float = RETRY_S,
    ) -> None:
        """Take the parts.

        `on_receipt` is called after a receipt removed events. `retry_s` is the pause after an
        error.
        """
        self._outbox = outbox
        self._link = link
        self._tasks = tasks
        self._source = source
        self._on_receipt = on_receipt
        self._clock = clock
        self._retry_s = retry_s
        self._window = SendWindow(outbox.stream_state, draw=draw)
        self._inbox: queue.SimpleQueue[ForwarderMessage] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._connection = 0
        self._health_due: float | None = None
        self._last_reason = 0
        self._fault = ""

    def post(self, message: ForwarderMessage) -> None:
        """Put a message into the inbox, from any thread."""
        self._inbox.put(message)

    def stop(self) -> None:
        """Make `run` return."""
        self._stopping.set()
        self._inbox.put(EventAppended())

    @property
    def status_text(self) -> str:
        """The state of forwarding, as a sentence for the operator."""
        if self._fault:
            return f"nothing is sent: {self._fault}"
        if self._window.limits is None:
            return "no connection to the broker; counting goes on"
        if self._last_reason >= REFUSED_FROM:
            refused = refusal(self._last_reason)
            return f"the broker refuses the events: {refused.meaning}; {refused.remedy}"
        if self._last_reason == NO_SUBSCRIBERS:
            return "connected to the broker; the cloud is not listening"
        if self._window.silent:
            return "connected to the broker; the cloud does not answer"
        return "connected"

    @property
    def connected(self) -> bool:
        """Whether there is a connection to the broker."""
        return self._window.limits is not None

    def run(self) -> None:
        """Forward until `stop`. An error that may pass is logged once and tried again."""
        last_error = ""
        while not self._stopping.is_set():
            try:
                self.step(self._seconds_to_wait())
                last_error = self._fault = ""
            except EdgeError as error:
                self._fault = str(error)
                if self._fault != last_error:
                    last_error = self._fault
                    log.error("forwarding waits", reason=last_error)
                self._stopping.wait(self._retry_s)
            except Exception as error:
                self._fault = f"this is a bug: {error!r}; see the log"
                if self._fault != last_error:
                    last_error = self._fault
                    log.exception("forwarding failed; it tries again")
                self._stopping.wait(self._retry_s)

    def step(self, timeout_s: float | None) -> None:
        """Wait for a message, handle all that came, and send what is due.

        Waits at most `timeout_s` seconds; None waits without a limit.
        """
        self._handle(self._take_messages(timeout_s))
        now = self._clock()
        if self._window.tick(now):
            log.info(
                "no receipt came; sending again",
                acknowledged=self._window.stream_state.acknowledged,
            )
            if self._window.stalled:
                log.warning("the broker acknowledges nothing; connecting again")
                self._link.reconnect()
        self._tasks.tick(now)
        self._window.appended(self._outbox.stream_state)
        self._send_health(now)
        self._send_events()

    def _seconds_to_wait(self) -> float:
        wait = self._window.seconds_to_tick(self._clock())
        return MAX_WAIT_S if wait is None else min(MAX_WAIT_S, wait)

    def _take_messages(self, timeout_s: float | None) -> list[ForwarderMessage]:
        messages: list[ForwarderMessage] = []
        try:
            messages.append(self._inbox.get(timeout=timeout_s))
            while True:
                messages.append(self._inbox.get_nowait())
        except queue.Empty:
            return messages

    def _handle(self, messages: list[ForwarderMessage]) -> None:
        receipts: list[Receipt] = []
        for message in messages:
            try:
                receipts = self._take(message, receipts)
            except Exception as error:  # noqa: BLE001 - it is logged, and the next one is handled
                _log_failure(type(message).__name__, error)
        for receipt in receipts:
            self._apply(receipt)

    def _take(self, message: ForwarderMessage, receipts: list[Receipt]) -> list[Receipt]:
        """Handle one message, and return the receipts to apply."""
        match message:
            case LinkConnected():
                self._connect(message)
            case LinkDisconnected() if message.connection == self._connection:
                self._window.disconnected()
                self._tasks.disconnected()
            case MessageDelivered() if message.connection == self._connection:
                self._record_delivery(message.reason)
            case ReceiptReceived():
                return _add_receipt(receipts, message.payload)
            case TaskReceived():
                self._tasks.receive_task(message.task, message.payload)
            case OutcomeReceived():
                self._tasks.receive_outcome(message.payload)
            case _:  # an event was appended, or the message is of an older connection
                pass
        return receipts

    def _connect(self, message: LinkConnected) -> None:
        self._connection = message.connection
        self._last_reason = 0
        now = self._clock()
        self._window.connected(message.limits)
        self._tasks.connected(now)
        self._health_due = now
        self._record_publication(taken=self._link.send_birth())

    def _record_delivery(self, reason: int) -> None:
        self._window.delivered()
        if reason != self._last_reason and reason >= REFUSED_FROM:
            refused = refusal(reason)
            log.error(
                "the broker refuses events",
                reason=reason,
                meaning=refused.meaning,
                remedy=refused.remedy,
            )
        self._last_reason = reason

    def _apply(self, receipt: Receipt) -> None:
        before = self._window.stream_state
        now = self._clock()
        state = self._outbox.apply_receipt(receipt.stream, receipt.sequence)
        ours = receipt.stream == state.stream
        if ours and receipt.refused is not None and receipt.sequence < state.acknowledged:
            # The receipt is late, or the cloud was restored from a backup and lacks events that
            # this station has already deleted.
            log.warning(
                "the cloud refuses events although an earlier receipt covered more",
                receipt=receipt.sequence,
                acknowledged=state.acknowledged,
            )
        refused = receipt.refused if ours and receipt.sequence == state.acknowledged else None
        self._window.receipted(now, state, refused=refused)
        if state.acknowledged > before.acknowledged:
            self._on_receipt()

    def _send_events(self) -> None:
        while (next_range := self._window.next_range()) is not None:
            first, count = next_range
            limits = self._window.limits
            stream = self._window.stream_state.stream
            events = self._outbox.events(first, count)
            if limits is None or not events or events[0].sequence != first:
                return  # the outbox changed meanwhile; the next step sees it
            try:
                batch = pack(
                    events, source=self._source, stream=stream, max_bytes=limits.payload_bytes
                )
            except EventTooLarge as error:
                raise Retry(
                    f"{error}; raise the broker's maximum packet size, nothing is sent until then"
                ) from None
            if not self._link.send_events(batch):
                self._window.disconnected()  # the link reports the next connection
                return
            self._window.sent(self._clock(), batch.last)

    def _send_health(self, now: float) -> None:
        if self._window.limits is None or self._health_due is None or now < self._health_due:
            return
        self._health_due = now + HEALTH_S
        self._record_publication(taken=self._link.send_health())

    def _record_publication(self, *, taken: bool) -> None:
        if taken:
            self._window.published()
        else:
            self._window.disconnected()


def _log_failure(kind: str, error: Exception) -> None:
    """Log that one message failed: the next one is handled all the same."""
    if isinstance(error, EdgeError):
        log.error("a message failed", kind=kind, reason=str(error))
    else:
        log.error("a message failed; this is a bug", kind=kind, exc_info=error)


def _add_receipt(receipts: list[Receipt], payload: bytes) -> list[Receipt]:
    """Add a receipt, in place of the last one if it covers that: applying each costs an fsync."""
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

"""Forwarding: events from the outbox to the broker, and receipts back.

One thread takes all messages from one inbox and makes all decisions.
"""

import queue
import random
import threading
import time
from collections.abc import Callable
from typing import Protocol, TypeVar
from uuid import UUID

import structlog

from cardmint_contracts.errors import ContractError
from cardmint_contracts.events import StreamReason
from cardmint_contracts.receipts import Receipt
from cardmint_contracts.stations import StationState
from cardmint_contracts.wire import decode
from cardmint_edge.domain.delivery.batches import (
    EventTooLarge,
    PackedBatch,
    StoredEvent,
    Timestamp,
    pack,
)
from cardmint_edge.domain.delivery.messages import (
    EventAppended,
    ForwarderMessage,
    LinkConnected,
    LinkDisconnected,
    MessageDelivered,
    OutcomeReceived,
    ReceiptReceived,
    StateReceived,
    TaskReceived,
)
from cardmint_edge.domain.delivery.reason_codes import REFUSED_FROM, refusal
from cardmint_edge.domain.delivery.receipt_check import (
    CloudBehind,
    Covered,
    Ignored,
    ReceiptFinding,
    StreamLost,
    check,
)
from cardmint_edge.domain.delivery.twins import TwinWatch
from cardmint_edge.domain.delivery.window import QUIET_S, SendWindow, StreamState
from cardmint_edge.errors import EdgeError, Retry

HEALTH_S = 30.0
STREAM_EVERY_S = 30.0
"""Seconds between two new streams, at least: anybody may publish receipts that do not match."""

RETRY_S = 1.0
"""Pause after an error that may pass, such as a full disk."""

MAX_WAIT_S = 1.0
"""Delay of the health message, and of tasks that are due, at most."""

_CONNECTED = "connected"
NO_SUBSCRIBERS = 16

T = TypeVar("T")

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

    def digest_at(self, sequence: int) -> bytes | None:
        """Return the chain's digest at a sequence from the last receipt on; None if unknown."""
        ...

    def remove_covered(self, sequence: int, database: UUID | None) -> StreamState:
        """Remove the events up to `sequence`, and return the stream's new state."""
        ...

    def open_stream(
        self,
        reason: StreamReason,
        stamp: Timestamp,
        *,
        database: UUID | None,
        cloud_has: int | None = None,
    ) -> StreamState:
        """Go on in a new stream with all unsent events, and return its state."""
        ...


class EventLink(Protocol):
    """The broker, as forwarding needs it.

    Each send returns whether the message was taken; without a connection it is not. Each message
    that was taken is followed by one `MessageDelivered`. None means that there was nothing to send.
    """

    def send_birth(self) -> bool | None:
        """Publish that the station is online."""
        ...

    def send_events(self, batch: PackedBatch) -> bool:
        """Publish one batch."""
        ...

    def send_health(self) -> bool | None:
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
        read_clock: Callable[[], Timestamp],
        on_receipt: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
        draw: Callable[[], float] = random.random,
        retry_s: float = RETRY_S,
    ) -> None:
        """Take the parts.

        `read_clock` dates a new stream, and names this boot. `on_receipt` is called after a receipt
        removed events. `retry_s` is the pause after an error.
        """
        self._outbox = outbox
        self._link = link
        self._tasks = tasks
        self._source = source
        self._read_clock = read_clock
        self._on_receipt = on_receipt
        self._clock = clock
        self._retry_s = retry_s
        self._window = SendWindow(outbox.stream_state, draw=draw)
        self._inbox: queue.SimpleQueue[ForwarderMessage] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._connection = 0
        self._health_due: float | None = None
        self._last_reason = 0
        self._twins = TwinWatch(read_clock().bootid)
        self._receipt_problem = ""
        self._stream_opened_at: float | None = None
        self._behind_since: float | None = None
        self._ask_again_at = 0.0
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
        return _CONNECTED

    @property
    def warnings(self) -> list[str]:
        """Sentences about a second box of this name, and about receipts that do not match."""
        return [text for text in (self._twins.text(self._clock()), self._receipt_problem) if text]

    @property
    def cloud_answers(self) -> bool:
        """Whether the cloud takes the events, so that its questions are known here."""
        return self.status_text == _CONNECTED

    @property
    def connected(self) -> bool:
        """Whether there is a connection to the broker."""
        return self._window.limits is not None

    def run(self) -> None:
        """Forward until `stop`. An error that may pass is logged once and tried again."""
        while not self._stopping.is_set():
            try:
                self.step(self._seconds_to_wait())
                self._fault = ""
            except Exception as error:  # noqa: BLE001 - it is logged, and tried again
                self._report(error)
                self._stopping.wait(self._retry_s)

    def _report(self, error: Exception) -> None:
        """Show an error to the operator, and log it once."""
        known = isinstance(error, EdgeError)
        fault = str(error) if known else f"this is a bug: {error!r}; see the log"
        if fault != self._fault:
            self._fault = fault
            if known:
                log.error("forwarding waits", reason=fault)
            else:
                log.error("forwarding failed; it tries again", exc_info=error)

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
        if self._behind_since is not None and now >= self._ask_again_at:
            self._ask_again_at = now + QUIET_S
            self._record_publication(self._link.send_birth())
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
        receipts: list[tuple[Receipt, bool]] = []
        for message in messages:
            try:
                self._take(message, receipts)
            except Exception as error:  # noqa: BLE001 - it is logged, and the next one is handled
                _log_failure(type(message).__name__, error)
        self._apply_all(receipts)

    def _take(self, message: ForwarderMessage, receipts: list[tuple[Receipt, bool]]) -> None:
        """Handle one message; a receipt, and whether it was retained, is added to `receipts`."""
        match message:
            case LinkConnected():
                self._connect(message)
            case LinkDisconnected() if message.connection == self._connection:
                self._window.disconnected()
                self._tasks.disconnected()
            case MessageDelivered() if message.connection == self._connection:
                self._record_delivery(message.reason)
            case ReceiptReceived():
                if (receipt := _read(message.payload, Receipt)) is not None:
                    receipts.append((receipt, message.retained))
            case StateReceived():
                state = _read(message.payload, StationState)
                if state is not None and self._twins.heard(state, self._clock()):
                    log.warning("another box has this name", boot=str(state.bootid))
                    self._record_publication(self._link.send_birth())
            case TaskReceived():
                self._tasks.receive_task(message.task, message.payload)
            case OutcomeReceived():
                self._tasks.receive_outcome(message.payload)
            case _:  # an event was appended, or the message is of an older connection
                pass

    def _connect(self, message: LinkConnected) -> None:
        self._connection = message.connection
        self._last_reason = 0
        now = self._clock()
        self._window.connected(message.limits)
        self._tasks.connected(now)
        self._health_due = now
        self._record_publication(self._link.send_birth())

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

    def _apply_all(self, receipts: list[tuple[Receipt, bool]]) -> None:
        """Apply receipts in order; of those that only cover events, the last one does for all.

        Each removal costs an fsync.
        """
        covering: Receipt | None = None
        for receipt, retained in receipts:
            finding = check(receipt, self._outbox.stream_state, self._outbox.digest_at)
            if isinstance(finding, Covered):
                if covering is not None and covering.refused is not None:
                    self._remove_covered(covering)
                if covering is None or covering.sequence <= receipt.sequence:
                    covering = receipt
            elif covering is not None:
                self._remove_covered(covering)
                covering = None
            if not isinstance(finding, Covered):
                self._apply(finding, receipt, retained=retained)
        if covering is not None:
            self._remove_covered(covering)

    def _remove_covered(self, receipt: Receipt) -> None:
        before = self._window.stream_state
        state = self._outbox.remove_covered(receipt.sequence, receipt.database)
        refused = receipt.refused if receipt.sequence == state.acknowledged else None
        self._window.receipted(self._clock(), state, refused=refused)
        self._behind_since = None
        if receipt.database == state.database:
            self._receipt_problem = ""
        if state.database != before.database and self._window.limits is not None:
            self._record_publication(self._link.send_birth())  # it names the database
        if state.acknowledged > before.acknowledged:
            self._on_receipt()

    def _apply(self, finding: ReceiptFinding, receipt: Receipt, *, retained: bool) -> None:
        now = self._clock()
        match finding:
            case StreamLost(reason=StreamReason.DATABASE_REPLACED):
                self._open_stream(finding.reason, database=receipt.database, cloud_has=0)
            case StreamLost():
                self._open_stream(finding.reason)
            case CloudBehind() if retained:
                pass  # published before the receipts that this station knows
            case CloudBehind():
                # A message may be late, so the cloud is asked once more, by a birth, before the
                # station takes it that the database went back.
                if self._behind_since is None:
                    self._behind_since, self._ask_again_at = now, now + QUIET_S
                    log.warning("the cloud has less than it had", sequence=finding.sequence)
                elif now - self._behind_since >= QUIET_S:
                    self._open_stream(StreamReason.CLOUD_RESTORED, cloud_has=finding.sequence)
            case Ignored() if finding.problem and finding.problem != self._receipt_problem:
                self._receipt_problem = finding.problem
                log.warning("receipt ignored", reason=finding.problem)
            case _:
                pass

    def _open_stream(
        self,
        reason: StreamReason,
        *,
        database: UUID | None = None,
        cloud_has: int | None = None,
    ) -> None:
        now = self._clock()
        if self._stream_opened_at is not None and now - self._stream_opened_at < STREAM_EVERY_S:
            self._receipt_problem = (
                "receipts of the cloud do not match again and again; somebody may forge them:"
                " check who may publish on the broker"
            )
            return
        self._stream_opened_at, self._behind_since = now, None
        state = self._outbox.open_stream(
            reason,
            self._read_clock(),
            database=database or self._outbox.stream_state.database,
            cloud_has=cloud_has,
        )
        self._window.appended(state)
        if self._window.limits is not None:
            self._record_publication(self._link.send_birth())

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
                    events,
                    source=self._source,
                    stream=stream,
                    max_bytes=limits.payload_bytes,
                    before=self._outbox.digest_at(first - 1),
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
        self._record_publication(self._link.send_health())

    def _record_publication(self, taken: bool | None) -> None:
        if taken:
            self._window.published()
        elif taken is not None:
            self._window.disconnected()


def _log_failure(kind: str, error: Exception) -> None:
    """Log that one message failed: the next one is handled all the same."""
    if isinstance(error, EdgeError):
        log.error("a message failed", kind=kind, reason=str(error))
    else:
        log.error("a message failed; this is a bug", kind=kind, exc_info=error)


def _read(payload: bytes, as_type: type[T]) -> T | None:
    try:
        return decode(payload, as_type)
    except ContractError as error:
        log.warning("message ignored", reason=error.reason, detail=str(error))
        return None

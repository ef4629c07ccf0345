"""Which events to send next, and when to send them again.

These are the forwarder's decisions, without a broker, a disk or a clock.

Events leave in order of their sequence, at most a window ahead of the last receipt. Three things
move the cursor back to the last receipt: a new connection, a refusal (the cloud saw a gap), and a
quiet period without a receipt. Sending twice is safe, because the cloud drops what it has. In doubt
a rule sends again; no rule skips an event (docs/decisions/0020).
"""

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

MAX_BATCH_EVENTS = 50
WINDOW = 1000
"""Events sent and not yet covered by a receipt, at most."""

MAX_IN_FLIGHT = 20
"""Messages published and not yet acknowledged by the broker, at most.

A lower Receive Maximum of the broker takes precedence.
"""

QUIET_S = 2.0
QUIET_MAX_S = 30.0
JITTER = 0.25
"""Share by which a quiet period is lengthened at random: a fleet must not resend in step."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamState:
    """How far the outbox's stream got.

    `acknowledged` is the last sequence that a receipt covers, `last` the last one appended.
    `database` is the cloud's database that committed events of this station; None before the first.
    """

    stream: UUID
    acknowledged: int
    last: int
    database: UUID | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class BrokerLimits:
    """The broker's limits, from its CONNACK.

    `in_flight` counts unacknowledged QoS 1 messages; `payload_bytes` is of one message.
    """

    in_flight: int
    payload_bytes: int


class SendWindow:
    """The events in flight, and the next ones to send.

    `draw` returns a random number in 0..1 for the jitter. Times are seconds of one clock.
    """

    def __init__(
        self, stream_state: StreamState, *, draw: Callable[[], float], window: int = WINDOW
    ) -> None:
        self._stream_state = stream_state
        self._draw = draw
        self._window = window
        self._limits: BrokerLimits | None = None
        self._cursor = stream_state.acknowledged
        self._in_flight = 0
        self._acknowledges = True
        self._quiet_s = QUIET_S
        self._deadline: float | None = None
        self._refused_at: int | None = None

    @property
    def stream_state(self) -> StreamState:
        """The stream's state when it was last passed in."""
        return self._stream_state

    @property
    def limits(self) -> BrokerLimits | None:
        """The broker's limits; None without a connection."""
        return self._limits

    @property
    def silent(self) -> bool:
        """Whether a quiet period passed without a receipt, and none has come since."""
        return self._quiet_s > QUIET_S

    @property
    def stalled(self) -> bool:
        """Whether messages were in flight, and a quiet period passed without an acknowledgement."""
        return not self._acknowledges

    def connected(self, limits: BrokerLimits) -> None:
        """Start again after the last receipt: messages of the old connection may be lost."""
        self._limits = limits
        self._in_flight = 0
        self._acknowledges = True
        self._rewind()

    def disconnected(self) -> None:
        """Stop sending."""
        self._limits = None
        self._deadline = None

    def appended(self, stream_state: StreamState) -> None:
        """Take the stream's state after events were appended."""
        if stream_state.stream != self._stream_state.stream:
            self._cursor = 0
            self._deadline = None
            self._refused_at = None
        self._stream_state = stream_state

    def next_range(self) -> tuple[int, int] | None:
        """Return the first sequence to send now, and the number of events at most.

        None: nothing is to be sent now.
        """
        if self._limits is None or self._in_flight >= min(self._limits.in_flight, MAX_IN_FLIGHT):
            return None
        to = min(self._stream_state.last, self._stream_state.acknowledged + self._window)
        count = min(to - self._cursor, MAX_BATCH_EVENTS)
        return (self._cursor + 1, count) if count > 0 else None

    def sent(self, now: float, last: int) -> None:
        """Record that the events up to `last` were handed to the broker."""
        self._cursor = last
        self._in_flight += 1
        if self._deadline is None:
            self._start_quiet_period(now)

    def published(self) -> None:
        """Record that a message without events was handed to the broker."""
        self._in_flight += 1

    def delivered(self) -> None:
        """Record that the broker acknowledged a message.

        This frees a place in flight. Only a receipt means that events are stored.
        """
        self._in_flight = max(0, self._in_flight - 1)
        self._acknowledges = True

    def receipted(self, now: float, stream_state: StreamState, *, refused: int | None) -> None:
        """Take the stream's state after a receipt.

        `refused` is the first sequence of a batch that the cloud refused because of a gap.

        Only the first refusal at each receipted sequence rewinds: the batches behind the gap are
        refused too, and those refusals are older than the rewind. A refusal of a sequence that was
        not sent since is also older. If a new refusal is mistaken for an old one, the quiet period
        ends and the events are sent again.
        """
        progress = (
            stream_state.stream != self._stream_state.stream
            or stream_state.acknowledged > self._stream_state.acknowledged
        )
        self.appended(stream_state)
        self._cursor = max(self._cursor, stream_state.acknowledged)
        if progress:
            self._quiet_s = QUIET_S
            self._refused_at = None
            self._deadline = None
            if self._cursor > stream_state.acknowledged:
                self._start_quiet_period(now)
        if (
            refused is not None
            and self._refused_at != stream_state.acknowledged
            and refused <= self._cursor
        ):
            self._rewind()
            self._refused_at = stream_state.acknowledged

    def tick(self, now: float) -> bool:
        """Rewind after a quiet period without progress, and return whether that happened."""
        if self._deadline is None or now < self._deadline:
            return False
        self._quiet_s = min(2 * self._quiet_s, QUIET_MAX_S)
        self._rewind()
        return True

    def seconds_to_tick(self, now: float) -> float | None:
        """Return the seconds from `now` until the next tick is due; None when none is."""
        return None if self._deadline is None else max(0.0, self._deadline - now)

    def _rewind(self) -> None:
        self._cursor = self._stream_state.acknowledged
        self._deadline = None
        self._refused_at = None

    def _start_quiet_period(self, now: float) -> None:
        self._acknowledges = self._in_flight == 0
        self._deadline = now + self._quiet_s * (1 + JITTER * self._draw())

"""What to send next, and when to send again.

The forwarder's decisions, without a broker, a disk or a clock.

Events leave in sequence order, ahead of their receipts by a bounded window. Three things move the
cursor back to the last receipt: a new connection, a refusal (the cloud saw a gap), and silence.
Sending twice is always safe, because the cloud drops what it has; so every rule may err on the side
of sending again, and none may skip (docs/decisions/0020).
"""

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

MAX_BATCH_EVENTS = 50
WINDOW = 1000
"""The most events sent and not yet covered by a receipt."""

MAX_IN_FLIGHT = 20
"""The most messages published and not yet acknowledged by the broker, where its Receive Maximum allows more."""

QUIET_S = 2.0
QUIET_MAX_S = 30.0
JITTER = 0.25
"""The share by which a quiet period is stretched at random, so that a fleet does not send again in step."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamPosition:
    """Where the outbox stands.

    Of `stream`, everything up to `acknowledged` is receipted, up to `last` appended.
    """

    stream: UUID
    acknowledged: int
    last: int


@dataclass(frozen=True, kw_only=True, slots=True)
class BrokerLimits:
    """What the broker allows, from its CONNACK.

    Unacknowledged QoS 1 messages, and bytes of one message's payload.
    """

    in_flight: int
    payload_bytes: int


class SendWindow:
    """The state of forwarding.

    `draw` gives a number in 0..1 for the jitter; times are seconds of any one clock.
    """

    def __init__(
        self, mark: StreamPosition, *, draw: Callable[[], float], window: int = WINDOW
    ) -> None:
        self._mark = mark
        self._draw = draw
        self._window = window
        self._limits: BrokerLimits | None = None
        self._cursor = mark.acknowledged
        self._in_flight = 0
        self._acknowledges = True
        self._quiet_s = QUIET_S
        self._deadline: float | None = None
        self._refused_at: int | None = None

    @property
    def mark(self) -> StreamPosition:
        """Where the outbox stood when it was last told."""
        return self._mark

    @property
    def limits(self) -> BrokerLimits | None:
        """What the broker allows; None while there is no connection."""
        return self._limits

    @property
    def silent(self) -> bool:
        """Whether the cloud let a quiet period pass without a receipt, and has sent none since."""
        return self._quiet_s > QUIET_S

    @property
    def stalled(self) -> bool:
        """Whether the broker acknowledged nothing for a whole quiet period, although it owed it."""
        return not self._acknowledges

    def connected(self, limits: BrokerLimits) -> None:
        """Begin again from the last receipt: what the old connection carried may be gone."""
        self._limits = limits
        self._in_flight = 0
        self._acknowledges = True
        self._rewind()

    def disconnected(self) -> None:
        """Stop sending."""
        self._limits = None
        self._deadline = None

    def appended(self, mark: StreamPosition) -> None:
        """Learn where the outbox stands now."""
        if mark.stream != self._mark.stream:
            self._cursor = 0
            self._deadline = None
            self._refused_at = None
        self._mark = mark

    def next(self) -> tuple[int, int] | None:
        """Return what to send now: the sequence to send from, and how many events at most.

        None: nothing.
        """
        if self._limits is None or self._in_flight >= min(self._limits.in_flight, MAX_IN_FLIGHT):
            return None
        to = min(self._mark.last, self._mark.acknowledged + self._window)
        count = min(to - self._cursor, MAX_BATCH_EVENTS)
        return (self._cursor + 1, count) if count > 0 else None

    def sent(self, now: float, last: int) -> None:
        """Learn that the events up to `last` were handed to the broker."""
        self._cursor = last
        self._in_flight += 1
        if self._deadline is None:
            self._listen(now)

    def published(self) -> None:
        """Learn that a message without events was handed to the broker."""
        self._in_flight += 1

    def delivered(self) -> None:
        """Learn that the broker acknowledged a message.

        This frees a place; it says nothing about storage.
        """
        self._in_flight = max(0, self._in_flight - 1)
        self._acknowledges = True

    def receipted(self, now: float, mark: StreamPosition, *, refused: int | None) -> None:
        """Learn where the outbox stands after a receipt, and whether the cloud refused a batch that began at `refused`.

        A refusal counts once for each receipted sequence: everything that was under way behind the
        gap is refused as well, and those refusals are older than the rewind. One that names events
        which were not sent since is older in any case. If a refusal is taken for an old one by
        mistake, the quiet period ends it.
        """
        progress = mark.stream != self._mark.stream or mark.acknowledged > self._mark.acknowledged
        self.appended(mark)
        self._cursor = max(self._cursor, mark.acknowledged)
        if progress:
            self._quiet_s = QUIET_S
            self._refused_at = None
            self._deadline = None
            if self._cursor > mark.acknowledged:
                self._listen(now)
        if (
            refused is not None
            and self._refused_at != mark.acknowledged
            and refused <= self._cursor
        ):
            self._rewind()
            self._refused_at = mark.acknowledged

    def tick(self, now: float) -> bool:
        """Send again when a quiet period has passed without progress; say whether that is so."""
        if self._deadline is None or now < self._deadline:
            return False
        self._quiet_s = min(2 * self._quiet_s, QUIET_MAX_S)
        self._rewind()
        return True

    def wait(self, now: float) -> float | None:
        """Return how many seconds from `now` the next tick is due; None when none is."""
        return None if self._deadline is None else max(0.0, self._deadline - now)

    def _rewind(self) -> None:
        self._cursor = self._mark.acknowledged
        self._deadline = None
        self._refused_at = None

    def _listen(self, now: float) -> None:
        self._acknowledges = self._in_flight == 0
        self._deadline = now + self._quiet_s * (1 + JITTER * self._draw())

"""A circuit breaker as a state machine: calls and their outcomes in, permission to call out.

Closed, it lets every call through and counts the outcomes of the last `window_s` seconds. When too
many failed or were slow, it opens and lets nothing through for `open_s` seconds. Then it is
half-open: `probes` calls are let through at a time. When all of them succeed it closes; when one
fails it opens again. A probe that is never reported counts as failed after `open_s`.
"""

from collections import deque
from dataclasses import dataclass
from enum import StrEnum


class BreakerState(StrEnum):
    """State of a breaker."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


@dataclass(frozen=True, kw_only=True, slots=True)
class BreakerLimits:
    """When a breaker opens. Rates are shares of the window, judged from `least` calls on."""

    window_s: float = 60.0
    least: int = 5
    failure_rate: float = 0.5
    slow_s: float = 2.5
    slow_rate: float = 0.8
    open_s: float = 60.0
    probes: int = 1


@dataclass(frozen=True, slots=True)
class BreakerPass:
    """Permission for one call. It is handed back with the outcome; only the first time counts."""

    number: int
    period: int
    probe: bool
    at: float


@dataclass(frozen=True, kw_only=True, slots=True)
class BreakerView:
    """A breaker's state, and the calls in its window: all, failed and slow ones."""

    state: BreakerState
    since: float
    calls: int
    failed: int
    slow: int


class CircuitBreaker:
    """One provider's breaker, for one event loop.

    Times are seconds of any clock that does not go back.
    """

    def __init__(self, limits: BreakerLimits, now: float) -> None:
        self.limits = limits
        self._state = BreakerState.CLOSED
        self._since = now
        self._until = now
        self._period = 0
        self._numbers = 0
        self._outcomes: deque[tuple[float, bool, bool]] = deque()
        self._out: dict[int, BreakerPass] = {}
        self._succeeded = 0

    def admit(self, now: float) -> BreakerPass | None:
        """Return permission for one call, to be handed back; None when there is none now."""
        self._turn(now)
        probe = self._state is BreakerState.HALF_OPEN
        if self._state is BreakerState.OPEN or (
            probe and len(self._out) + self._succeeded >= self.limits.probes
        ):
            return None
        self._numbers += 1
        leave = BreakerPass(self._numbers, self._period, probe, now)
        self._out[leave.number] = leave
        return leave

    def report(self, leave: BreakerPass, now: float, *, failed: bool, seconds: float) -> None:
        """Record the outcome of a call; passes of an earlier period are ignored."""
        self._turn(now)
        if self._out.pop(leave.number, None) is None or leave.period != self._period:
            return
        slow = seconds > self.limits.slow_s
        if leave.probe:
            self._succeeded += 1
            if failed or slow:
                self._enter(BreakerState.OPEN, now)
            elif self._succeeded >= self.limits.probes:
                self._enter(BreakerState.CLOSED, now)
            return
        self._outcomes.append((now, failed, slow))
        view = self.view(now)
        if view.calls >= self.limits.least and (
            view.failed >= view.calls * self.limits.failure_rate
            or view.slow >= view.calls * self.limits.slow_rate
        ):
            self._enter(BreakerState.OPEN, now)

    def cancel(self, leave: BreakerPass) -> None:
        """Take back a pass whose call was not made."""
        self._out.pop(leave.number, None)

    def stay_away(self, now: float, until: float) -> None:
        """Open until `until`: other workers found the provider dead, or one is probing it."""
        self._enter(BreakerState.OPEN, now)
        self._until = until

    def wait_s(self, now: float) -> float:
        """Return the seconds until a call may be let through; 0 when one may be now."""
        self._turn(now)
        if self._state is BreakerState.OPEN:
            return max(0.0, self._until - now)
        if (
            self._state is BreakerState.HALF_OPEN
            and len(self._out) + self._succeeded >= self.limits.probes
        ):
            return max(
                0.0, min(leave.at for leave in self._out.values()) + self.limits.open_s - now
            )
        return 0.0

    def view(self, now: float) -> BreakerView:
        """Return the state and the counts of the window."""
        self._turn(now)
        return BreakerView(
            state=self._state,
            since=self._since,
            calls=len(self._outcomes),
            failed=sum(failed for _, failed, _ in self._outcomes),
            slow=sum(slow for _, _, slow in self._outcomes),
        )

    def _turn(self, now: float) -> None:
        """Apply the state changes that are due by time alone."""
        while self._outcomes and self._outcomes[0][0] <= now - self.limits.window_s:
            self._outcomes.popleft()
        if self._state is BreakerState.OPEN and now >= self._until:
            self._enter(BreakerState.HALF_OPEN, now)
        lost = [leave for leave in self._out.values() if now >= leave.at + self.limits.open_s]
        for leave in lost:
            del self._out[leave.number]
        if self._state is BreakerState.HALF_OPEN and any(leave.probe for leave in lost):
            self._enter(BreakerState.OPEN, now)

    def _enter(self, state: BreakerState, now: float) -> None:
        self._state, self._since, self._until = state, now, now + self.limits.open_s
        self._period += 1
        self._succeeded = 0
        self._out.clear()
        self._outcomes.clear()

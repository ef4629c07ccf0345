"""The breaker as a state machine.

Whatever calls come, finish, fail, hang or are lost, and however time passes.
"""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from cardmint_cloud.domain.breaker import BreakerLimits, BreakerPass, BreakerState, CircuitBreaker

LIMITS = BreakerLimits(
    window_s=10, least=4, failure_rate=0.5, slow_s=1, slow_rate=0.75, open_s=5, probes=2
)


def test_it_opens_on_failures_and_closes_after_its_probes() -> None:
    breaker = CircuitBreaker(LIMITS, 0)
    for n in range(4):
        leave = breaker.admit(n)
        assert leave
        breaker.report(leave, n, failed=n % 2 == 0, seconds=0)
    assert breaker.view(3).state is BreakerState.OPEN
    assert breaker.admit(7.9) is None
    assert breaker.wait_s(4) == 4
    one, two, three = breaker.admit(8), breaker.admit(8), breaker.admit(8)
    assert one
    assert two
    assert three is None
    assert breaker.wait_s(9) == 4
    breaker.report(one, 9, failed=False, seconds=0.1)
    assert breaker.admit(9) is None
    breaker.report(two, 9, failed=False, seconds=0.1)
    assert breaker.view(9).state is BreakerState.CLOSED
    assert breaker.wait_s(9) == 0


def test_it_opens_on_slow_calls_and_stays_open_while_probes_are_slow() -> None:
    breaker = CircuitBreaker(LIMITS, 0)
    for _ in range(4):
        leave = breaker.admit(0)
        assert leave
        breaker.report(leave, 2, failed=False, seconds=2)
    assert breaker.view(2).state is BreakerState.OPEN
    probe = breaker.admit(7)
    assert probe
    breaker.report(probe, 9, failed=False, seconds=2)
    assert (breaker.view(9).state, breaker.view(9).since) == (BreakerState.OPEN, 9)


def test_old_outcomes_leave_the_window() -> None:
    breaker = CircuitBreaker(LIMITS, 0)
    for n in range(3):
        leave = breaker.admit(n)
        assert leave
        breaker.report(leave, n, failed=True, seconds=0)
    leave = breaker.admit(12)
    assert leave
    breaker.report(leave, 12, failed=True, seconds=0)
    assert breaker.view(12).calls == 1


def test_a_probe_that_never_comes_back_counts_as_failed() -> None:
    breaker = opened(0)
    assert breaker.admit(5)
    assert breaker.view(9.9).state is BreakerState.HALF_OPEN
    assert breaker.view(10).state is BreakerState.OPEN
    assert breaker.admit(15)


def test_a_call_of_an_earlier_period_says_nothing() -> None:
    breaker = CircuitBreaker(LIMITS, 0)
    late = breaker.admit(0)
    assert late
    for _ in range(4):
        leave = breaker.admit(0)
        assert leave
        breaker.report(leave, 0, failed=True, seconds=0)
    breaker.report(late, 6, failed=False, seconds=0)
    assert breaker.view(6).state is BreakerState.HALF_OPEN


def opened(now: float) -> CircuitBreaker:
    breaker = CircuitBreaker(LIMITS, now)
    for _ in range(LIMITS.least):
        leave = breaker.admit(now)
        assert leave
        breaker.report(leave, now, failed=True, seconds=0)
    return breaker


class Provider(RuleBasedStateMachine):
    """Concurrent calls in any order, and a model that counts those the breaker may let through."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.breaker = CircuitBreaker(LIMITS, 0.0)
        self.out: list[BreakerPass] = []
        self.outcomes: list[tuple[float, bool, bool]] = []
        self.until: float | None = None
        self.probes = 0
        self.state = BreakerState.CLOSED

    def look(self) -> BreakerState:
        """Follow the breaker's state, and hold it to the ways in which it may change."""
        view = self.breaker.view(self.now)
        if view.state is not self.state:
            assert (self.state, view.state) in {
                (BreakerState.CLOSED, BreakerState.OPEN),
                (BreakerState.OPEN, BreakerState.HALF_OPEN),
                (BreakerState.HALF_OPEN, BreakerState.OPEN),
                (BreakerState.HALF_OPEN, BreakerState.CLOSED),
            }
            self.outcomes.clear()
            self.probes = 0
            self.state = view.state
            if view.state is BreakerState.OPEN:
                self.until = view.since + LIMITS.open_s
        return self.state

    @rule(seconds=st.sampled_from([0.1, 0.5, 1.0, 2.0, 5.0, 11.0]))
    def time_passes(self, seconds: float) -> None:
        for _ in range(int(seconds * 10)):
            self.now = round(self.now + 0.1, 1)
            self.look()

    @rule()
    def call(self) -> None:
        state = self.look()
        leave = self.breaker.admit(self.now)
        assert (leave is None) == (self.breaker.wait_s(self.now) > 0) or leave is not None
        if state is BreakerState.OPEN:
            assert leave is None
            assert self.until is not None
            assert self.now < self.until
        if state is BreakerState.CLOSED:
            assert leave is not None
        if leave is not None:
            assert leave.probe == (state is BreakerState.HALF_OPEN)
            self.probes += leave.probe
            self.out.append(leave)

    @precondition(lambda self: self.out)
    @rule(data=st.data(), failed=st.booleans(), seconds=st.sampled_from([0.0, 0.9, 1.0, 1.5, 9.0]))
    def report(self, data: st.DataObject, failed: bool, seconds: float) -> None:
        self.look()
        leave = self.out.pop(data.draw(st.integers(0, len(self.out) - 1)))
        before = self.breaker.view(self.now)
        self.breaker.report(leave, self.now, failed=failed, seconds=seconds)
        if (
            before.state is BreakerState.CLOSED
            and not leave.probe
            and self.breaker.view(self.now).state is BreakerState.CLOSED
        ):
            view = self.breaker.view(self.now)
            assert view.calls < LIMITS.least or (
                view.failed < view.calls * LIMITS.failure_rate
                and view.slow < view.calls * LIMITS.slow_rate
            )
        if self.look() is BreakerState.OPEN and before.state is BreakerState.HALF_OPEN:
            assert leave.probe
            assert failed or seconds > LIMITS.slow_s
        self.breaker.report(leave, self.now, failed=not failed, seconds=0)  # Twice says nothing.
        assert self.breaker.view(self.now).state is self.state

    @precondition(lambda self: self.out)
    @rule(data=st.data())
    def call_is_not_made_after_all(self, data: st.DataObject) -> None:
        leave = self.out.pop(data.draw(st.integers(0, len(self.out) - 1)))
        self.look()
        self.probes -= leave.probe and self.state is BreakerState.HALF_OPEN
        self.breaker.cancel(leave)

    @rule(seconds=st.sampled_from([0.0, 1.0, 5.0]))
    def others_find_it_dead(self, seconds: float) -> None:
        self.look()
        self.breaker.stay_away(self.now, self.now + seconds)
        self.state = BreakerState.OPEN
        self.until = self.now + seconds
        self.outcomes.clear()
        self.probes = 0
        self.look()

    @invariant()
    def no_more_probes_than_allowed(self) -> None:
        if self.look() is BreakerState.HALF_OPEN:
            assert self.probes <= LIMITS.probes

    @invariant()
    def it_does_not_stay_open_for_longer(self) -> None:
        if self.look() is BreakerState.OPEN:
            assert self.until is not None
            assert self.now < self.until


Provider.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestProvider = Provider.TestCase

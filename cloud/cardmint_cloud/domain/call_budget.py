"""How often a provider may be asked, and when a day's budget will be used up."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, kw_only=True, slots=True)
class RateLimit:
    """What a provider allows.

    Calls a second over time, how many at once after a pause, and how many in a UTC day.
    """

    per_s: float
    burst: int
    per_day: int

    @property
    def step(self) -> timedelta:
        """How far calls are apart over time."""
        return timedelta(seconds=1 / self.per_s)

    @property
    def lease(self) -> timedelta:
        """How long a worker may hold a turn before the call.

        Half of what a burst is ahead of its time, at most 1 s.
        """
        return min(self.step * (self.burst - 1) / 2, timedelta(seconds=1))

    @property
    def slack(self) -> timedelta:
        """How far calls may be ahead of their time. What turns may be held for is taken off it.

        So that however late turns are used, no span of time has more calls than `burst` and those
        that it earns: a turn is for at most `slack` before its time, and is used at most `lease`
        after that.
        """
        return self.step * (self.burst - 1) - self.lease


@dataclass(frozen=True, kw_only=True, slots=True)
class BudgetForecast:
    """A day's budget: `ends_at` is when the calls that are due will have used it up.

    None when they will not today.
    """

    calls: int
    budget: int
    due: int
    ends_at: datetime | None


def refresh_after(minor: int | None) -> timedelta:
    """Return how long a price is left alone, by what the dearest kind of the card costs (minor units).

    A card from 100.00 on is asked about every 6 hours, from 10.00 on daily, a cheap one every 3
    days; one without a price daily.
    """
    if minor is None:
        return timedelta(hours=24)
    if minor >= 100_00:
        return timedelta(hours=6)
    return timedelta(hours=24) if minor >= 10_00 else timedelta(hours=72)


def forecast_budget(
    *, calls: int, budget: int, due: Sequence[datetime], now: datetime
) -> BudgetForecast:
    """Return when the budget of `now`'s UTC day will be used up, when each of the `due` cards costs a call.

    `due` are the moments at which cards are due before the day ends, in order; those that are past
    are due now.
    """
    left = max(0, budget - calls)
    ends_at = max(now, due[left]) if len(due) > left else None
    return BudgetForecast(calls=calls, budget=budget, due=len(due), ends_at=ends_at)

"""A provider's rate limit and daily budget, and when the budget will be used up."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, kw_only=True, slots=True)
class RateLimit:
    """What a provider allows.

    `per_s` calls a second on average, `burst` calls at once after a pause, `per_day` calls in a UTC
    day.
    """

    per_s: float
    burst: int
    per_day: int

    @property
    def step(self) -> timedelta:
        """Average time between calls."""
        return timedelta(seconds=1 / self.per_s)

    @property
    def lease(self) -> timedelta:
        """Time for which a worker may hold a permit before its call.

        Half of the time that a burst is ahead of the average rate, at most 1 s.
        """
        return min(self.step * (self.burst - 1) / 2, timedelta(seconds=1))

    @property
    def slack(self) -> timedelta:
        """How far ahead of the average rate permits may be granted: the burst's time minus `lease`.

        A permit is granted at most `slack` before its time and used at most `lease` after that.
        This keeps the calls in any span of time within `burst` plus the average rate.
        """
        return self.step * (self.burst - 1) - self.lease


@dataclass(frozen=True, kw_only=True, slots=True)
class BudgetForecast:
    """A day's budget. `ends_at` is when the due calls will have used it up; None for not today."""

    calls: int
    budget: int
    due: int
    ends_at: datetime | None


def refresh_after(minor: int | None) -> timedelta:
    """Return how long a price is kept, by the card's dearest kind in minor units.

    A card from 100.00 on is refreshed every 6 hours, from 10.00 on daily, a cheaper one every 3
    days, and one without a price daily.
    """
    if minor is None:
        return timedelta(hours=24)
    if minor >= 100_00:
        return timedelta(hours=6)
    return timedelta(hours=24) if minor >= 10_00 else timedelta(hours=72)


def forecast_budget(
    *, calls: int, budget: int, due: Sequence[datetime], now: datetime
) -> BudgetForecast:
    """Return when the budget of `now`'s UTC day is used up, at one call for each due card.

    `due` are the moments at which cards are due before the day ends, in order; those that are past
    are due now.
    """
    left = max(0, budget - calls)
    ends_at = max(now, due[left]) if len(due) > left else None
    return BudgetForecast(calls=calls, budget=budget, due=len(due), ends_at=ends_at)

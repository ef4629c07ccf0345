"""The supply of prices: breakers, calls and budgets, due cards, and the queue's lag."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from cardmint_cloud.adapters.postgres import job_queue
from cardmint_cloud.adapters.postgres.connection import PostgresConnection, fetch_one
from cardmint_cloud.domain.call_budget import BudgetForecast, forecast_budget

_STATES = """
SELECT provider, worker, state, since, calls, failed, slow, answered, cached, last_error,
       updated_at, judged, unpriced
  FROM provider_states WHERE updated_at > $1 ORDER BY provider, worker"""
_PAUSED = "SELECT provider, tat FROM provider_rates WHERE tat > $1 AND tat < $2"
_CALLS = "SELECT provider, calls, budget FROM provider_calls WHERE day = $1"
_DUE = "SELECT due_at FROM price_checks WHERE tenant = $3 AND due_at < $1 ORDER BY due_at LIMIT $2"
_AGES = """
SELECT count(*) AS prices, count(*) FILTER (WHERE fetched_at < $2) AS stale, min(fetched_at)
       AS oldest
  FROM current_quotes q WHERE tenant = $1 AND finish = '' AND edition = ''
   AND EXISTS (SELECT FROM holdings h WHERE h.tenant = q.tenant AND h.card_id = q.card_id
          AND h.count > 0)"""
_MOST = 100_000
PAUSE, LONGEST_PAUSE = timedelta(minutes=1), timedelta(hours=25)
"""A wait for the next permit is shorter; a longer one than that is from a wrong clock."""

ENOUGH_JUDGED = 5
LIVING = timedelta(minutes=30)
STALE = timedelta(days=4)
"""Age of a price that has missed even the refresh of cheap cards."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ProviderStatus:
    """A provider with the recent reports of its workers, and the forecast of its budget.

    `paused_until` is when it may be called again, as it asked for.
    """

    name: str
    workers: list[dict[str, Any]]
    forecast: BudgetForecast | None
    paused_until: datetime | None = None

    @property
    def state(self) -> str:
        """The worst state of the workers' breakers."""
        states = {worker["state"] for worker in self.workers}
        return next((state for state in ("open", "half-open", "closed") if state in states), "idle")

    @property
    def judged(self) -> int:
        """Cards that the provider knew, of the last ones that each worker asked about."""
        return sum(worker["judged"] for worker in self.workers)

    @property
    def unpriced(self) -> int:
        """How many of `judged` came without any price that can be read."""
        return sum(worker["unpriced"] for worker in self.workers)

    @property
    def priceless(self) -> bool:
        """Whether so many came without a price that the provider probably writes them otherwise."""
        return self.judged >= ENOUGH_JUDGED and self.unpriced * 2 >= self.judged


@dataclass(frozen=True, kw_only=True, slots=True)
class PriceSupply:
    """The supply of prices.

    `lag` has, by queue, the number of jobs ready to run and the age of the oldest in seconds.
    """

    providers: list[ProviderStatus]
    lag: dict[str, tuple[int, float]]
    jobs: dict[str, int]
    failed: list[dict[str, Any]]
    prices: int
    stale: int
    oldest: datetime | None


async def read_price_supply(
    connection: PostgresConnection, tenant: str, now: datetime
) -> PriceSupply:
    """Return the supply of prices."""
    states: dict[str, list[dict[str, Any]]] = {}
    for row in await connection.fetch(_STATES, now - LIVING):
        states.setdefault(row["provider"], []).append(dict(row))
    day = now.astimezone(UTC).date()
    calls = {row["provider"]: row for row in await connection.fetch(_CALLS, day)}
    paused = {
        row["provider"]: row["tat"]
        for row in await connection.fetch(_PAUSED, now + PAUSE, now + LONGEST_PAUSE)
    }
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)
    due = [row["due_at"] for row in await connection.fetch(_DUE, midnight, _MOST, tenant)]
    ages = await fetch_one(connection, _AGES, tenant, now - STALE)
    return PriceSupply(
        providers=[
            ProviderStatus(
                name=name,
                workers=states.get(name, []),
                forecast=forecast_budget(
                    calls=calls[name]["calls"], budget=calls[name]["budget"], due=due, now=now
                )
                if name in calls
                else None,
                paused_until=paused.get(name),
            )
            for name in sorted({*states, *calls, *paused})
        ],
        lag=await job_queue.queue_lag(connection, now),
        jobs=await job_queue.job_counts(connection),
        failed=await job_queue.failed_jobs(connection, tenant),
        prices=ages["prices"],
        stale=ages["stale"],
        oldest=ages["oldest"],
    )

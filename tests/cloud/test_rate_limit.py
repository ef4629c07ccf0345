"""Turns leased by workers.

Never more in sum than the provider allows, whoever holds, loses or forgets them.
"""

import asyncio
from bisect import bisect_right
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from cardmint_cloud.adapters.postgres.connection import Pool
from cardmint_cloud.adapters.providers.http import CallWithheld
from cardmint_cloud.domain.call_budget import RateLimit
from cardmint_cloud.domain.permits import MAX_BLOCK, LeasedPermits
from cardmint_cloud.pricing.rate_limit import PermitPool
from tests.cloud.kit.database import pooled

TODAY = date(2026, 11, 22)
WORKERS = 3


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 11, 22, 23, 59, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def monotonic(self) -> float:
        return self.now.timestamp()


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("call"), st.integers(0, WORKERS - 1), st.integers(1, 12)),
        st.tuples(st.just("all call"), st.just(0), st.integers(1, 30)),
        st.tuples(st.just("leases pass"), st.sampled_from([0.2, 0.5, 0.95, 1.05]), st.just(0)),
        st.tuples(st.just("pass"), st.sampled_from([0.2, 5.0, 45.0]), st.just(0)),
        st.tuples(st.just("kill"), st.integers(0, WORKERS - 1), st.just(0)),
    ),
    max_size=40,
)
HOARD = [
    *(("call", 0, 1), ("pass", 5.0, 0), ("call", 0, 2), ("pass", 5.0, 0)),
    *(("call", 0, 1), ("leases pass", 0.95, 0), ("all call", 0, 30)),
]
"""A worker leases a large block and uses it when the others may make a burst of their own."""

RATES = [
    RateLimit(per_s=5, burst=10, per_day=50),
    RateLimit(per_s=2, burst=4, per_day=7),
    RateLimit(per_s=1, burst=1, per_day=1000),
    RateLimit(per_s=100, burst=60, per_day=200),
]


@pytest.mark.integration
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(rate=st.sampled_from(RATES), steps=STEPS)
@example(rate=RATES[0], steps=HOARD)
@example(rate=RATES[3], steps=HOARD)
def test_all_workers_together_keep_to_what_is_allowed(
    database: str, rate: RateLimit, steps: list[Any]
) -> None:
    found = asyncio.run(calls(database, rate, steps))
    made = sorted(moment for moment, _ in found)
    for number, first in enumerate(made):
        for span in (0.0, 0.5, 1.0, 3.0, 10.0, 90.0):
            count = bisect_right(made, first + timedelta(seconds=span)) - number
            assert count <= rate.burst + span * rate.per_s + 1e-6
    assert all(count <= rate.per_day for count in Counter(day for _, day in found).values())


async def calls(database: str, rate: RateLimit, steps: list[Any]) -> list[tuple[datetime, date]]:
    """Play the steps with workers that share a database and a clock.

    Return when calls were made, for which day.
    """
    clock = Clock()
    provider = str(uuid4())
    made: list[tuple[datetime, date]] = []
    async with pooled(database, most=4) as pool:

        def worker() -> PermitPool:
            return PermitPool(pool, provider, rate, clock=clock, monotonic=clock.monotonic)

        async def call(permits: PermitPool) -> None:
            day = clock.now.date()
            try:
                wait = await permits.take()
            except CallWithheld:
                return
            made.append((clock.now + timedelta(seconds=wait), day))

        workers = [worker() for _ in range(WORKERS)]
        for kind, value, count in steps:
            if kind == "call":
                await asyncio.gather(*(call(workers[value]) for _ in range(count)))
            elif kind == "all call":
                await asyncio.gather(*(call(permits) for permits in workers for _ in range(count)))
            elif kind.endswith("pass"):
                clock.now += (rate.lease if kind == "leases pass" else timedelta(seconds=1)) * value
            else:
                workers[value] = worker()
        taken = await pool.fetchval(
            "SELECT coalesce(sum(calls), 0) FROM provider_calls WHERE provider = $1", provider
        )
        assert taken >= len(made)
    return made


@pytest.mark.integration
async def test_a_block_serves_many_calls_and_what_lapsed_goes_back_to_the_budget(
    pool: Pool,
    owner: Pool,
) -> None:
    clock = Clock()
    rate = RateLimit(per_s=100, burst=101, per_day=1000)
    permits = PermitPool(pool, "x", rate, clock=clock, monotonic=clock.monotonic)
    for _ in range(1 + 2 + 4 + 1):
        assert await permits.take() == 0
        await permits.idle()
    counted = "SELECT calls FROM provider_calls WHERE provider = 'x'"
    assert await owner.fetchval(counted) == 1 + 2 + 4 + 4  # The last one ahead of its use.
    clock.now += rate.lease
    await permits.take()
    assert await owner.fetchval(counted) == 9
    await permits.hold(clock.now + timedelta(seconds=1))
    assert await permits.take() == pytest.approx(1)


@pytest.mark.integration
async def test_the_next_block_is_fetched_while_the_last_is_used(pool: Pool, owner: Pool) -> None:
    clock = Clock()
    rate = RateLimit(per_s=1000, burst=1001, per_day=5000)
    permits = PermitPool(pool, "x", rate, clock=clock, monotonic=clock.monotonic)
    for _ in range(1 + 2 + 4 + 5):
        await permits.take()
    await permits.idle()
    assert (
        await owner.fetchval("SELECT calls FROM provider_calls WHERE provider = 'x'")
        == 1 + 2 + 4 + 8 + 8
    )


def test_a_worker_holds_more_the_more_it_uses() -> None:
    leased = LeasedPermits()
    for _ in range(10):
        leased.add(leased.want, until=5, day=TODAY, returned=0)
        while leased.take(0, TODAY):
            pass
    assert leased.want == MAX_BLOCK
    leased.add(MAX_BLOCK, until=5, day=TODAY, returned=0)
    assert not leased.take(5, TODAY)
    assert (leased.want, leased.unused(TODAY), leased.unused(date(2026, 11, 23))) == (
        1,
        MAX_BLOCK,
        0,
    )
    leased.add(1, until=9, day=TODAY, returned=MAX_BLOCK)
    assert leased.unused(TODAY) == 0
    assert not leased.take(6, date(2026, 11, 23))  # Counted towards a day that is over.
    leased.add(4, until=9, day=TODAY, returned=0)
    leased.drop()
    assert not leased.take(6, TODAY)
    assert leased.unused(TODAY) == 5

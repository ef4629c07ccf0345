"""The overhead of cache, breaker and permits, and the calls to a provider dead for an hour."""

import contextlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import httpx

from cardmint_cloud.adapters.postgres.connection import Pool
from cardmint_cloud.adapters.providers.http import (
    CallWithheld,
    HttpAnswer,
    ProviderHttp,
    ProviderRequest,
    ProviderUnavailable,
)
from cardmint_cloud.adapters.providers.tcgdex import Tcgdex
from cardmint_cloud.domain.breaker import BreakerLimits
from cardmint_cloud.domain.call_budget import RateLimit
from cardmint_cloud.pricing.provider_client import ProviderClient

WORKERS = 2
LIMITS = BreakerLimits(window_s=60, least=5, open_s=60)
FAST = RateLimit(per_s=10_000, burst=1_000, per_day=1_000_000)


@asynccontextmanager
async def counting_calls(
    client: httpx.AsyncClient, base: str, name: str
) -> AsyncIterator[Callable[[], int]]:
    """Count the calls that a provider's stand-in gets meanwhile."""
    before = (await client.get(f"{base}/calls")).json()[name]
    after: list[int] = []
    yield lambda: after[0] - before
    after.append((await client.get(f"{base}/calls")).json()[name])


class _Timed(ProviderHttp):
    """HTTP calls that add up the provider's own time."""

    provider_s = 0.0

    async def fetch(self, ask: ProviderRequest, **more: Any) -> HttpAnswer:
        fetched = await super().fetch(ask, **more)
        self.provider_s += fetched.seconds
        return fetched


async def measure_overhead(
    pool: Pool, client: httpx.AsyncClient, base: str, times: int
) -> tuple[list[float], ...]:
    """Return seconds of: a cache hit; breaker, permit and hit; a miss; an empty statement.

    A miss is counted without the provider's own time: two lookups, the breaker, a permit, HTTP on
    our side, and the stored answer.
    """
    provider = Tcgdex()
    provider.rate = FAST
    fetcher = _Timed(client, f"{base}/tcgdex/v2/en")
    source = ProviderClient(provider, fetcher, pool)
    ask = ProviderRequest(path="/cards/base1-4")
    await source.get(ask)
    lists: tuple[list[float], ...] = ([], [], [], [])
    for _ in range(times):
        marks = [time.perf_counter()]
        await source.get(ask)
        marks.append(time.perf_counter())
        leave = source.breaker.admit(time.monotonic())
        await source.permits.take()
        await source.get(ask)
        if leave is not None:
            source.breaker.report(leave, time.monotonic(), failed=False, seconds=0.0)
        marks.append(time.perf_counter())
        await pool.fetchval("SELECT 1")
        marks.append(time.perf_counter())
        for kind, (first, last) in zip((0, 1, 3), pairwise(marks), strict=True):
            lists[kind].append(last - first)
    for number in range(times // 10):
        before, start = fetcher.provider_s, time.perf_counter()
        await source.get(ProviderRequest(path=f"/cards/base1-{number}", params={"again": "1"}))
        lists[2].append(time.perf_counter() - start - (fetcher.provider_s - before))
    return lists


async def measure_dead_hour(
    pool: Pool, client: httpx.AsyncClient, base: str
) -> tuple[int, int, float]:
    """Let two workers ask a dead provider for an hour of simulated time, a card each every 10 s.

    Returns:
        The calls it got, the half-open periods in the hour, and how long after its return both had
            answers again.
    """
    moment = datetime.now(UTC)

    async def sleep(seconds: float) -> None:
        nonlocal moment
        moment += timedelta(seconds=seconds)

    def monotonic() -> float:
        return moment.timestamp()

    def worker() -> ProviderClient:
        return ProviderClient(
            Tcgdex(),
            ProviderHttp(client, f"{base}/tcgdex/v2/en", attempts=1, sleep=sleep),
            pool,
            limits=LIMITS,
            clock=lambda: moment,
            monotonic=monotonic,
            sleep=sleep,
        )

    workers = [worker() for _ in range(WORKERS)]
    await client.put(f"{base}/faults/tcgdex/broken")
    ends = moment + timedelta(hours=1)
    number = 0
    async with counting_calls(client, base, "tcgdex") as found:
        while moment < ends:
            number += 1
            for source in workers:
                with contextlib.suppress(ProviderUnavailable):
                    await source.get(ProviderRequest(path=f"/cards/dead-{number}"))
            await sleep(10)
    await client.put(f"{base}/faults/tcgdex/none")
    back = moment
    for source in workers:
        while moment < back + timedelta(hours=1):
            try:
                await source.get(ProviderRequest(path=f"/cards/dead-{number}"), timedelta())
            except CallWithheld:
                await sleep(1)
            else:
                break
    return found(), int(3600 / LIMITS.open_s), (moment - back).total_seconds()

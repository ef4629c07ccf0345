"""A worker's permits for one provider, leased in blocks from those that all workers share.

Thus few calls wait for Postgres.
"""

import asyncio
import contextlib
from collections.abc import Callable
from datetime import UTC, date, datetime

from cardmint_cloud.adapters.postgres.connection import Pool
from cardmint_cloud.adapters.postgres.prices import provider_state
from cardmint_cloud.adapters.postgres.retry import DATABASE_AWAY
from cardmint_cloud.adapters.providers.http import CallWithheld
from cardmint_cloud.domain.call_budget import RateLimit
from cardmint_cloud.domain.permits import LeasedPermits

PATIENCE_S = 2.0
"""Seconds that a call waits for its permit. A job whose call would wait longer is retried later."""


class PermitPool:
    """One provider's rate limit and daily budget, as one worker uses them."""

    def __init__(
        self,
        pool: Pool,
        provider: str,
        rate: RateLimit,
        *,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float],
    ) -> None:
        self._pool = pool
        self._provider = provider
        self._rate = rate
        self._clock = clock
        self._monotonic = monotonic
        self._leased = LeasedPermits()
        self._lock = asyncio.Lock()
        self._fetching: asyncio.Task[None] | None = None

    async def take(self) -> float:
        """Take a permit and return the seconds after which the call may start.

        Raises:
            CallWithheld: that is too long, or the day's budget is used up.
        """
        if not self._use():
            async with self._lock:  # Another call may have leased a block.
                if not self._use():
                    return await self._lease()
        if self._leased.low(self._monotonic(), self._today()) and (
            self._fetching is None or self._fetching.done()
        ):
            self._fetching = asyncio.create_task(self._fetch())
        return 0.0

    async def hold(self, until: datetime) -> None:
        """Let no worker call before `until`.

        Permits that other workers hold stay valid until they lapse, within `rate.lease`.
        """
        self._leased.drop()
        await provider_state.pause_provider(self._pool, self._provider, self._rate, until)

    async def idle(self) -> None:
        """Wait until no block is being fetched in the background."""
        if self._fetching is not None:
            await asyncio.wait([self._fetching])

    def _today(self) -> date:
        return self._clock().astimezone(UTC).date()

    def _use(self) -> bool:
        return self._leased.take(self._monotonic(), self._today())

    async def _lease(self) -> float:
        now = self._clock()
        grant = await self._more(now, patience_s=PATIENCE_S, used=1)
        if grant.until is None:
            return grant.wait_s
        wait = (grant.until - now).total_seconds()
        why = (
            "the day's budget is used up"
            if grant.refused == "budget"
            else "others are before this call"
        )
        raise CallWithheld(grant.refused, f"{self._provider}: {why}; next in {wait:.0f} s", wait)

    async def _fetch(self) -> None:
        """Lease the next block while the last one is in use.

        A call that finds none leases its own.
        """
        async with self._lock:
            with contextlib.suppress(*DATABASE_AWAY):
                await self._more(self._clock(), patience_s=0.0, used=0)

    async def _more(
        self, now: datetime, *, patience_s: float, used: int
    ) -> provider_state.PermitGrant:
        day, until = (
            now.astimezone(UTC).date(),
            self._monotonic() + self._rate.lease.total_seconds(),
        )
        unused, most = self._leased.unused(day), self._leased.want
        grant = await provider_state.take_permits(
            self._pool,
            self._provider,
            self._rate,
            now,
            patience_s=patience_s,
            most=most,
            unused=unused,
        )
        if grant.count:
            self._leased.add(grant.count - used, until=until, day=day, returned=unused)
        return grant

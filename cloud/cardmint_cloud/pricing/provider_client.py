"""One price provider behind a cache, a circuit breaker and a rate limit.

A question that is under way is not asked twice.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Protocol
from uuid import UUID, uuid4

from cardmint_cloud.adapters.postgres.connection import Pool
from cardmint_cloud.adapters.postgres.prices import provider_state
from cardmint_cloud.adapters.postgres.prices.provider_state import BreakerReport, StoredAnswer
from cardmint_cloud.adapters.providers.http import (
    AnswerLoader,
    CallWithheld,
    ProviderAnswer,
    ProviderHttp,
    ProviderRequest,
    ProviderUnavailable,
    UnusableAnswer,
    decode_json,
)
from cardmint_cloud.domain.answer_cache import AnswerCache, CachedAnswer
from cardmint_cloud.domain.breaker import BreakerLimits, BreakerPass, BreakerState, CircuitBreaker
from cardmint_cloud.domain.call_budget import RateLimit
from cardmint_cloud.domain.quotes import Quote
from cardmint_cloud.errors import NotFound
from cardmint_cloud.pricing.rate_limit import PermitPool
from cardmint_contracts.cards import Card

FRESH_FOR = timedelta(hours=24)
RECENT_BYTES = 4 << 20
"""Bytes of one provider's answers that a worker caches, as they came.

Decoded they take several times as much.
"""

JUDGED = 100
"""Cards that a provider knows, of which those without any price are counted."""

_SHOWN_S = 5.0


class PriceProvider(Protocol):
    """A provider: its name, its rate limit, and how it gets a card's quotes."""

    name: str
    rate: RateLimit

    async def quotes(self, card: Card, get: AnswerLoader, now: datetime) -> tuple[Quote, ...]:
        """Return a card's quotes from the answers that `get` loads."""
        ...


class ProviderClient:
    """A provider with cache, breaker and permits; one for each provider and worker process."""

    def __init__(
        self,
        provider: PriceProvider,
        fetcher: ProviderHttp,
        pool: Pool,
        *,
        worker: UUID | None = None,
        budget: int | None = None,
        limits: BreakerLimits | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        rate = provider.rate
        self.name = provider.name
        self.rate = RateLimit(
            per_s=rate.per_s, burst=rate.burst, per_day=min(rate.per_day, budget or rate.per_day)
        )
        self.breaker = CircuitBreaker(limits or BreakerLimits(), monotonic())
        self.answered = 0
        self.cached = 0
        self.permits = PermitPool(pool, self.name, self.rate, clock=clock, monotonic=monotonic)
        self._provider = provider
        self._recent = AnswerCache(RECENT_BYTES)
        self._fetcher = fetcher
        self._pool = pool
        self._worker = worker or uuid4()
        self._clock = clock
        self._monotonic = monotonic
        self._sleep = sleep
        self._unpriced: deque[bool] = deque(maxlen=JUDGED)
        self._under_way: dict[str, asyncio.Task[CachedAnswer]] = {}
        self._last_error = ""
        self._shown: tuple[BreakerState, float] | None = None

    async def quotes(
        self, card: Card, now: datetime, fresh_for: timedelta = FRESH_FOR
    ) -> tuple[Quote, ...]:
        """Return a card's quotes from answers that are not older than `fresh_for`.

        Raises:
            NotFound: the provider has no such card.
            CallWithheld: breaker, rate limit or daily budget did not allow a call.
            ProviderUnavailable, UnusableAnswer, ImplausibleAnswer: there was no usable answer.
        """
        usual = fresh_for

        async def get(ask: ProviderRequest, fresh_for: timedelta | None = None) -> ProviderAnswer:
            return await self.get(ask, usual if fresh_for is None else fresh_for)

        quotes = await self._provider.quotes(card, get, now)
        self._unpriced.append(not quotes)
        await self._show()
        return quotes

    async def get(self, ask: ProviderRequest, fresh_for: timedelta = FRESH_FOR) -> ProviderAnswer:
        """Return an answer; concurrent calls for the same answer share one request.

        An answer that this worker read lately costs no statement, one that another worker fetched
        costs one statement. Neither takes a permit nor asks the breaker.
        """
        if (said := self._recent.get(ask.key, self._clock() - fresh_for)) is not None:
            self.cached += 1
            return _answer(said)
        task = self._under_way.get(ask.key)
        if task is None:
            task = asyncio.create_task(self._answer(ask, fresh_for))
            self._under_way[ask.key] = task
            task.add_done_callback(partial(self._done, ask.key))
        return _answer(await asyncio.shield(task))

    async def idle(self) -> None:
        """Wait until no request is under way, not even one whose callers all gave up."""
        if self._under_way:
            await asyncio.wait(self._under_way.values())

    def _done(self, key: str, task: asyncio.Task[CachedAnswer]) -> None:
        del self._under_way[key]
        if not task.cancelled():
            task.exception()  # Whoever asked may be gone: then nobody else looks at it.

    async def _answer(self, ask: ProviderRequest, fresh_for: timedelta) -> CachedAnswer:
        known = await provider_state.find_answer(self._pool, self.name, ask.key)
        kept = known.kept
        if kept is not None and self._clock() - kept.checked_at < fresh_for:
            self.cached += 1
            return self._held(ask, kept)
        leave = self.breaker.admit(self._monotonic())
        if leave is None:
            raise self._open(self.breaker.wait_s(self._monotonic()))
        try:
            gate = await self._gate() if known.shut_until is not None else None
            return await self._ask(ask, kept, leave, gate)
        finally:
            self.breaker.cancel(leave)
            await self._show()

    def _open(self, wait: float) -> CallWithheld:
        return CallWithheld(
            "open", f"{self.name} fails too often; it is left alone for {wait:.0f} s", wait
        )

    async def _gate(self) -> datetime:
        """Claim the right to probe a provider that a worker found dead; return until when it holds.

        Raises:
            CallWithheld: another worker probes it, or it is not time yet.
        """
        now = self._clock()
        until = now + timedelta(seconds=self.breaker.limits.open_s)
        other = await provider_state.claim_probe(self._pool, self.name, now, until)
        if other is None:
            return until
        wait = min(max(0.0, (other - now).total_seconds()), self.breaker.limits.open_s)
        monotonic = self._monotonic()
        self.breaker.stay_away(monotonic, monotonic + wait)
        raise self._open(wait)

    async def _ask(
        self,
        ask: ProviderRequest,
        kept: StoredAnswer | None,
        leave: BreakerPass,
        gate: datetime | None,
    ) -> CachedAnswer:
        """Call the provider; only once when it is a probe. `gate` is the result of `_gate`."""
        started = self._monotonic()
        waited = 0.0

        async def turn() -> None:
            nonlocal waited
            before = self._monotonic()
            if wait := await self.permits.take():
                await self._sleep(wait)
            waited += self._monotonic() - before

        async def report(*, failed: bool = False) -> None:
            await self._report(leave, gate, started + waited, failed=failed)

        once = leave.probe or gate is not None
        etag, last_modified = (kept.etag, kept.last_modified) if kept is not None else ("", "")
        try:
            fetched = await self._fetcher.fetch(
                ask, etag=etag, last_modified=last_modified, before=turn, once=once
            )
        except CallWithheld:
            if gate is not None:
                await provider_state.release_probe(self._pool, self.name, gate, self._clock())
            raise
        except NotFound:
            await report()
            return await self._keep(
                ask,
                StoredAnswer(
                    status=404, body=b"", etag="", last_modified="", checked_at=self._clock()
                ),
            )
        except (ProviderUnavailable, UnusableAnswer) as error:
            self._last_error = f"{error.reason}: {error}"
            await report(failed=True)
            if isinstance(error, ProviderUnavailable) and error.retry_after_s:
                await self.permits.hold(self._clock() + timedelta(seconds=error.retry_after_s))
            raise
        await report()
        now = self._clock()
        if fetched.status == 304 and kept is not None:
            await provider_state.confirm_answer(self._pool, self.name, ask.key, now)
            return self._held(ask, replace(kept, checked_at=now))
        fresh = StoredAnswer(
            status=200,
            body=fetched.body,
            etag=fetched.etag,
            last_modified=fetched.last_modified,
            checked_at=now,
        )
        return await self._keep(ask, fresh)

    async def _report(
        self, leave: BreakerPass, gate: datetime | None, started: float, *, failed: bool
    ) -> None:
        """Report a call to the breaker, and to all workers when the provider died or recovered."""
        now = self._monotonic()
        self.answered += not failed
        self.breaker.report(leave, now, failed=failed, seconds=now - started)
        if self.breaker.view(now).state is BreakerState.OPEN:
            until = self._clock() + timedelta(seconds=self.breaker.wait_s(now))
            await provider_state.close_gate(self._pool, self.name, until)
        elif gate is not None and not failed:
            await provider_state.open_gate(self._pool, self.name)

    async def _keep(self, ask: ProviderRequest, kept: StoredAnswer) -> CachedAnswer:
        await provider_state.keep_answer(self._pool, self.name, ask.key, kept)
        return self._held(ask, kept)

    def _held(self, ask: ProviderRequest, kept: StoredAnswer) -> CachedAnswer:
        found = kept.status != 404
        said = CachedAnswer(
            found=found, value=decode_json(kept.body) if found else None, at=kept.checked_at
        )
        self._recent.put(ask.key, said, len(kept.body))
        return said

    async def _show(self) -> None:
        """Write the breaker's report: at once when its state changed, else every few seconds."""
        now = self._monotonic()
        view = self.breaker.view(now)
        if (
            self._shown is not None
            and self._shown[0] is view.state
            and now - self._shown[1] < _SHOWN_S
        ):
            return
        self._shown = (view.state, now)
        moment = self._clock()
        standing = BreakerReport(
            provider=self.name,
            worker=self._worker,
            view=view,
            since=moment - timedelta(seconds=now - view.since),
            answered=self.answered,
            cached=self.cached,
            last_error=self._last_error,
            judged=len(self._unpriced),
            unpriced=sum(self._unpriced),
        )
        await provider_state.put_breaker_report(self._pool, standing, moment)


def _answer(said: CachedAnswer) -> ProviderAnswer:
    if not said.found:
        raise NotFound("the provider knows no such card")
    return ProviderAnswer(value=said.value, at=said.at)

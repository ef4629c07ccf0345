"""One price provider, asked with care: cached, each question asked once, behind a breaker, within its rate."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Protocol
from uuid import UUID, uuid4

from cardmint_cloud.adapters.fetch import Answer, Ask, Fetcher, Get, Unanswered, Unusable, Withheld, decoded
from cardmint_cloud.adapters.postgres import providers
from cardmint_cloud.adapters.postgres.providers import Kept, Standing
from cardmint_cloud.domain.breaker import Breaker, Limits, Pass, State
from cardmint_cloud.domain.quotes import Quote
from cardmint_cloud.domain.rates import Rate
from cardmint_cloud.errors import NotFound
from cardmint_contracts.cards import Card

FRESH_FOR = timedelta(hours=24)
PATIENCE_S = 2.0
"""How long a call waits for its turn; a longer wait is left to the job that asked."""

_SHOWN_S = 5.0


class Provider(Protocol):
    """What a provider is: its name, what it allows, and how a card's quotes are had of it."""

    name: str
    rate: Rate

    async def quotes(self, card: Card, get: Get, now: datetime) -> tuple[Quote, ...]:
        """Return a card's quotes, getting what they need with `get`."""
        ...


class Source:
    """A provider and all that stands before it. One for each provider in each worker process."""

    def __init__(
        self,
        provider: Provider,
        fetcher: Fetcher,
        pool: Any,
        *,
        worker: UUID | None = None,
        budget: int | None = None,
        limits: Limits | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        rate = provider.rate
        self.name = provider.name
        self.rate = Rate(per_s=rate.per_s, burst=rate.burst, per_day=min(rate.per_day, budget or rate.per_day))
        self.breaker = Breaker(limits or Limits(), monotonic())
        self.answered = 0
        self.cached = 0
        self._provider = provider
        self._fetcher = fetcher
        self._pool = pool
        self._worker = worker or uuid4()
        self._clock = clock
        self._monotonic = monotonic
        self._sleep = sleep
        self._under_way: dict[str, asyncio.Task[Answer]] = {}
        self._last_error = ""
        self._shown: tuple[State, float] | None = None

    async def quotes(self, card: Card, now: datetime, fresh_for: timedelta = FRESH_FOR) -> tuple[Quote, ...]:
        """Return the provider's quotes for a card, from answers that are not older than `fresh_for`.

        Raises:
            NotFound: the provider knows no such card.
            Withheld: it was not asked, because of its breaker, its rate or the day's budget.
            Unanswered, Unusable, Refused: it gave no answer, or none that can be used.
        """
        usual = fresh_for

        async def get(ask: Ask, fresh_for: timedelta | None = None) -> Answer:
            return await self.get(ask, usual if fresh_for is None else fresh_for)

        return await self._provider.quotes(card, get, now)

    async def get(self, ask: Ask, fresh_for: timedelta = FRESH_FOR) -> Answer:
        """Return an answer; whoever asks for the same while it is under way gets the same one."""
        task = self._under_way.get(ask.key)
        if task is None:
            task = asyncio.create_task(self._answer(ask, fresh_for))
            self._under_way[ask.key] = task
            task.add_done_callback(partial(self._done, ask.key))
        return await asyncio.shield(task)

    def _done(self, key: str, task: asyncio.Task[Answer]) -> None:
        del self._under_way[key]
        if not task.cancelled():
            task.exception()  # Whoever asked may be gone: then nobody else looks at it.

    async def _answer(self, ask: Ask, fresh_for: timedelta) -> Answer:
        kept = await providers.find(self._pool, self.name, ask.key)
        if kept is not None and self._clock() - kept.checked_at < fresh_for:
            self.cached += 1
            return _read(kept)
        leave = self.breaker.admit(self._monotonic())
        if leave is None:
            wait = self.breaker.wait_s(self._monotonic())
            raise Withheld("open", f"{self.name} fails too often; it is left alone for {wait:.0f} s", wait)
        try:
            return await self._ask(ask, kept, leave)
        finally:
            self.breaker.cancel(leave)
            await self._show()

    async def _ask(self, ask: Ask, kept: Kept | None, leave: Pass) -> Answer:
        started = self._monotonic()
        waited = 0.0

        async def turn() -> None:
            nonlocal waited
            before = self._monotonic()
            await self._turn()
            waited += self._monotonic() - before

        etag, last_modified = (kept.etag, kept.last_modified) if kept is not None else ("", "")
        try:
            fetched = await self._fetcher.fetch(ask, etag=etag, last_modified=last_modified, before=turn)
        except Withheld:
            raise
        except NotFound:
            self._report(leave, started + waited)
            await self._keep(ask, Kept(status=404, body=b"", etag="", last_modified="", checked_at=self._clock()))
            raise
        except (Unanswered, Unusable) as error:
            self._last_error = f"{error.reason}: {error}"
            self._report(leave, started + waited, failed=True)
            if isinstance(error, Unanswered) and error.retry_after_s:
                until = self._clock() + timedelta(seconds=error.retry_after_s)
                await providers.hold(self._pool, self.name, self.rate, until)
            raise
        self._report(leave, started + waited)
        now = self._clock()
        if fetched.status == 304 and kept is not None:
            await providers.confirm(self._pool, self.name, ask.key, now)
            return Answer(value=decoded(kept.body), at=now)
        fresh = Kept(
            status=200, body=fetched.body, etag=fetched.etag, last_modified=fetched.last_modified, checked_at=now
        )
        await self._keep(ask, fresh)
        return _read(fresh)

    async def _turn(self) -> None:
        """Wait for the call's turn among all workers.

        Raises:
            Withheld: it would not come soon, or the day's budget is used up.
        """
        now = self._clock()
        turn = await providers.take(self._pool, self.name, self.rate, now, patience_s=PATIENCE_S)
        if turn.until is not None:
            wait = (turn.until - now).total_seconds()
            why = "the day's budget is used up" if turn.refused == "budget" else "others are before this call"
            raise Withheld(turn.refused, f"{self.name}: {why}; next in {wait:.0f} s", wait)
        if turn.wait_s:
            await self._sleep(turn.wait_s)

    def _report(self, leave: Pass, started: float, *, failed: bool = False) -> None:
        now = self._monotonic()
        self.answered += not failed
        self.breaker.report(leave, now, failed=failed, seconds=now - started)

    async def _keep(self, ask: Ask, kept: Kept) -> None:
        await providers.keep(self._pool, self.name, ask.key, kept)

    async def _show(self) -> None:
        """Let the dashboard know how the breaker stands: at once when that changed, else every few seconds."""
        now = self._monotonic()
        view = self.breaker.view(now)
        if self._shown is not None and self._shown[0] is view.state and now - self._shown[1] < _SHOWN_S:
            return
        self._shown = (view.state, now)
        moment = self._clock()
        standing = Standing(
            provider=self.name,
            worker=self._worker,
            view=view,
            since=moment - timedelta(seconds=now - view.since),
            answered=self.answered,
            cached=self.cached,
            last_error=self._last_error,
        )
        await providers.put_standing(self._pool, standing, moment)


def _read(kept: Kept) -> Answer:
    if kept.status == 404:
        raise NotFound("the provider knows no such card")
    return Answer(value=decoded(kept.body), at=kept.checked_at)

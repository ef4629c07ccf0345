"""Background jobs: one durable queue in Postgres for pricing, retries and scheduled work.

Jobs run at least once, so running a job twice must do no harm. When a worker dies, its heartbeat
stops and the others put its jobs back into the queue.
"""

import asyncio
import functools
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import procrastinate
import psycopg
import psycopg_pool
import structlog
from procrastinate import BaseRetryStrategy, JobContext, RetryDecision, jobs

from cardmint_cloud.adapters.postgres import across, clock_jumps, feed, job_queue
from cardmint_cloud.adapters.postgres.address import DatabaseAddress
from cardmint_cloud.adapters.postgres.connection import Pool, tenant_transaction
from cardmint_cloud.adapters.postgres.prices import provider_state
from cardmint_cloud.pricing.price import PriceUnavailable, QuoteSource, price_card
from cardmint_cloud.reviews import opening
from cardmint_cloud.settings import ReviewSettings

ATTEMPTS = 6
FIRST_WAIT_S = 10.0
"""Upper bound of the first random pause before a retry; it doubles each time.

The last of six attempts comes within about ten minutes.
"""

BATCH = 200
CHECK_AGAIN = timedelta(hours=24)
HEARTBEAT_S, STALLED_S = 5.0, 15.0
LONGEST = timedelta(minutes=2)
"""Longest time that a job can take: it asks each provider at most once, for seconds."""

KEPT_H = 24 * 30
ANSWERS_FOR = timedelta(days=60)
FEED_FOR = timedelta(days=30)
"""How long published events of the feed are kept for replays."""

_AWAY = (
    psycopg.Error,
    psycopg_pool.PoolTimeout,
    procrastinate.exceptions.ConnectorException,
    OSError,
)
_log = structlog.get_logger()

for _name in (
    "procrastinate",
    "psycopg.pool",
):  # They log tracebacks; what failed, and why, is logged and kept here.
    logging.getLogger(_name).setLevel(logging.CRITICAL)


class JobRetryStrategy(BaseRetryStrategy):
    """Retries after a growing random pause, or as long as the error asks for.

    An attempt in which no provider was called does not count.
    """

    def __init__(self, chance: Callable[[], float] = random.random) -> None:
        self._chance = chance

    def get_retry_decision(
        self, *, exception: BaseException, job: jobs.Job
    ) -> RetryDecision | None:
        """Return when to try again; None to give up."""
        if isinstance(exception, PriceUnavailable) and exception.withheld:
            # Spread a little: many jobs wait for the same breaker, rate or midnight.
            return _retry_after(exception.retry_after_s + 1 + 9 * self._chance())
        if job.attempts + 1 >= ATTEMPTS:
            return None
        asked = exception.retry_after_s if isinstance(exception, PriceUnavailable) else 0.0
        return _retry_after(max(asked, FIRST_WAIT_S * 2**job.attempts * self._chance()))


def _retry_after(seconds: float) -> RetryDecision:
    return RetryDecision(retry_in={"seconds": round(seconds)})


Step = Callable[..., Awaitable[None]]


def build_queue(
    address: str,
    pool: Pool,
    sources: Sequence[QuoteSource],
    *,
    every_s: int = 5,
    reviews: ReviewSettings | None = None,
    connections: int = 4,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> procrastinate.App:
    """Return the queue of the database at `address` with all its tasks, which use `pool`.

    The queue itself opens `connections` at most, two or more: one listens, outside of its pool.
    """
    connector = procrastinate.PsycopgConnector(
        conninfo=DatabaseAddress.read(address, "database_direct").libpq,
        kwargs={"application_name": "cardmint jobs"},
        min_size=1,
        max_size=connections - 1,
        timeout=10,
    )
    app = procrastinate.App(connector=connector)
    reviews = reviews or ReviewSettings()
    rules = reviews.rules()
    reasoned = functools.partial(_keep_reason, pool, clock)

    async def price_due_card(*, tenant: str, card_id: str) -> None:
        done = await price_card(pool, sources, tenant, card_id, clock())
        if done.changed:
            await opening.open_for_printing(pool, rules, tenant, card_id, clock())

    async def due() -> None:
        now = clock()
        tenants = await across.tenants_with_due_cards(pool, now)
        for tenant in tenants:
            async with tenant_transaction(pool, tenant) as connection:
                await job_queue.enqueue_due(
                    connection, tenant, now, limit=-(-BATCH // len(tenants)), again=CHECK_AGAIN
                )

    async def age() -> None:
        escalate, expire = timedelta(hours=reviews.escalate_h), timedelta(hours=reviews.expire_h)
        await opening.age_reviews(pool, clock(), escalate=escalate, expire=expire)

    async def recall() -> None:
        if rows := await clock_jumps.recall(pool, clock()):
            _log.warning("the clock was ahead: what would wait too long is due now", rows=rows)

    async def ask_new() -> None:
        await opening.open_for_new_cards(pool, rules, clock())

    async def tidy() -> None:
        await provider_state.forget_before(pool, clock() - ANSWERS_FOR)
        for tenant in await across.tenants_with_feeds(pool):
            async with tenant_transaction(pool, tenant) as connection:
                await feed.forget_before(connection, tenant, clock() - FEED_FOR)
        await app.job_manager.delete_old_jobs(
            nb_hours=KEPT_H, include_failed=True, include_cancelled=True
        )

    app.task(name="price", queue="prices", pass_context=True, retry=JobRetryStrategy())(
        reasoned(price_due_card)
    )
    for name, cron, step in (
        ("due", cron_every(every_s), due),
        ("ask", "* * * * * */10", ask_new),
        ("rescue", "* * * * * */5", functools.partial(_rescue, pool, clock)),
        ("age", "* * * * *", age),
        ("recall", "* * * * *", recall),
        ("tidy", "17 3 * * *", tidy),
    ):
        task = app.task(name=name, queue="clock", queueing_lock=name, pass_context=True)(
            reasoned(_without_timestamp(step))
        )
        app.periodic(cron=cron)(task)
    return app


def _without_timestamp(step: Step) -> Step:
    """Return a step that ignores the scheduled moment, which the library passes."""

    async def run(*, timestamp: int) -> None:  # noqa: ARG001 - the library hands it over
        await step()

    return run


def _keep_reason(pool: Pool, clock: Callable[[], datetime], step: Step) -> Step:
    """Return a step that stores the reason of its failure until it succeeds or is discarded."""

    async def kept(context: JobContext, **args: Any) -> None:
        try:
            await step(**args)
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            _log.warning(
                "job failed", job=context.job.id, task=context.job.task_name, reason=reason[:300]
            )
            if context.job.id is not None:
                await job_queue.note_failure(pool, context.job.id, reason, clock())
            raise

    return kept


async def _rescue(pool: Pool, clock: Callable[[], datetime]) -> None:
    """Requeue the jobs of dead workers, and jobs that a living worker never ended.

    A worker that lost the database while it wrote a job's end lives on, and the job would stay
    running for ever.
    """
    stalled = timedelta(seconds=STALLED_S)
    for job, task in await job_queue.rescue_jobs(pool, clock(), stalled=stalled, longest=LONGEST):
        _log.warning("job taken from a worker that is gone", job=job, task=task)


def cron_every(seconds: int) -> str:
    """Return the cron expression for every so many seconds, up to an hour."""
    if seconds < 60:
        return f"* * * * * */{seconds}"
    return f"*/{seconds // 60} * * * *" if seconds < 3600 else "0 * * * *"


async def run_worker(app: procrastinate.App) -> None:
    """Run jobs until cancelled.

    The library's worker ends when it loses the database; a new one is started then.
    """
    pause = 0.5
    while True:
        started = asyncio.get_running_loop().time()
        try:
            try:
                await app.open_async()
                await app.run_worker_async(
                    concurrency=8,
                    fetch_job_polling_interval=1.0,
                    shutdown_graceful_timeout=1.0,
                    install_signal_handlers=False,
                    delete_jobs=jobs.DeleteJobCondition.SUCCESSFUL,
                    update_heartbeat_interval=HEARTBEAT_S,
                    stalled_worker_timeout=STALLED_S,
                )
            finally:
                # Also when it was being opened: its connections' tasks would keep the process from
                # ending.
                await app.close_async()
            reason = "the worker ended"
        except _AWAY as error:
            reason = (
                str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            )
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            # It was lost while the worker ended for a reason of its own.
            raise asyncio.CancelledError
        if asyncio.get_running_loop().time() - started > 60:
            pause = 0.5
        _log.warning("jobs: the database does not answer; trying again", reason=reason, in_s=pause)
        await asyncio.sleep(pause)
        pause = min(pause * 2, 5.0)

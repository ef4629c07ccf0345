"""The queue on a real Postgres.

Due cards become jobs once, failures come back, the dead are kept.
"""

import asyncio
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import procrastinate
import pytest
from procrastinate import jobs as library

from cardmint_cloud import background_jobs
from cardmint_cloud.adapters.postgres import clock_jumps, job_queue
from cardmint_cloud.adapters.postgres.connection import Pool, fetch_one, tenant_transaction
from cardmint_cloud.adapters.providers.http import ProviderUnavailable
from cardmint_cloud.background_jobs import ATTEMPTS, CHECK_AGAIN, JobRetryStrategy
from cardmint_cloud.domain.items import review_task_id
from cardmint_cloud.domain.permissions import Role
from cardmint_cloud.local.processes import ChildProcess
from cardmint_cloud.pricing.price import PriceUnavailable
from cardmint_cloud.reviews.answers import lease_question
from tests.cloud.kit.accounts import accounts_of, join, webhooks_of
from tests.cloud.kit.cards import doubtful, send
from tests.cloud.kit.prices import QuoteSourceStub, add_printings, quote

pytestmark = pytest.mark.integration


def now() -> datetime:
    return datetime.now(UTC)


async def due(pool: Pool, limit: int = 100) -> int:
    async with tenant_transaction(pool, "shop") as connection:
        return await job_queue.enqueue_due(
            connection, "shop", now(), limit=limit, again=CHECK_AGAIN
        )


async def caught_up(app: procrastinate.App) -> None:
    """Work until nothing is left that could run now."""
    async with app.open_async():
        await app.run_worker_async(
            wait=False,
            queues=["prices"],
            install_signal_handlers=False,
            delete_jobs="successful",
            concurrency=4,
        )


async def statuses(pool: Pool) -> dict[str, int]:
    sql = """
        SELECT status::text, count(*) FROM procrastinate_jobs
        WHERE queue_name = 'prices' GROUP BY status
    """
    return {row[0]: row[1] for row in await pool.fetch(sql)}


async def test_a_due_card_becomes_one_job_and_is_due_again_a_day_later(
    pool: Pool, owner: Pool, database: str
) -> None:
    await add_printings(pool, "a", "b", at=now())
    await add_printings(pool, "c", at=now() + timedelta(hours=1))
    first, second = await asyncio.gather(due(pool, 1), due(pool, 1))
    assert first + second == 2
    assert await due(pool) == 0
    row = await fetch_one(
        owner,
        "SELECT args::text, queueing_lock, lock, priority FROM procrastinate_jobs ORDER BY id",
    )
    assert row["queueing_lock"] == row["lock"] == "price/shop/a"
    assert row["priority"] == 2
    at = await owner.fetchval("SELECT due_at FROM price_checks WHERE card_id = 'a'")
    assert timedelta(hours=23) < at - now() < timedelta(hours=25)
    source = QuoteSourceStub(a=[quote(500)], b=[quote(2000)])
    await caught_up(background_jobs.build_queue(database, pool, [source]))
    assert sorted(card.id for card, _ in source.asked) == ["a", "b"]
    assert await statuses(pool) == {}
    await owner.execute("UPDATE price_checks SET due_at = $1 WHERE card_id <> 'c'", now())
    assert await due(pool) == 2
    priorities = await owner.fetch(
        "SELECT priority FROM procrastinate_jobs WHERE queue_name = 'prices' ORDER BY 1"
    )
    assert [row[0] for row in priorities] == [0, 1]  # Dear cards before cheap ones.
    await owner.execute("UPDATE price_checks SET due_at = $1", now())
    assert await due(pool) == 1  # A card whose job still waits gets no second one.


async def test_a_failure_comes_back_until_it_is_given_up_with_its_reason(
    pool: Pool, owner: Pool, database: str
) -> None:
    await add_printings(pool, "a", at=now())
    await due(pool)
    source = QuoteSourceStub(a=ProviderUnavailable("timeout", "no answer within 5 s"))
    app = background_jobs.build_queue(database, pool, [source])
    for attempt in range(ATTEMPTS):
        assert await statuses(pool) == {"todo": 1}
        await owner.execute("UPDATE procrastinate_jobs SET scheduled_at = NULL")
        await caught_up(app)
        assert len(source.asked) == attempt + 1
    (dead,) = await job_queue.failed_jobs(pool, "shop")
    assert (dead["task"], dead["attempts"]) == ("price", ATTEMPTS)
    assert dead["reason"] == "PriceUnavailable: tcgdex: timeout (no answer within 5 s)"
    assert await job_queue.failed_jobs(pool, "another") == []
    assert not await requeued(pool, "another", dead["id"])
    assert not await job_queue.discard_job(pool, "another", dead["id"])

    assert await requeued(pool, "shop", dead["id"])
    assert not await requeued(pool, "shop", dead["id"])
    source.answers = {"a": [quote(500)]}
    await caught_up(app)
    assert (await statuses(pool), await owner.fetchval("SELECT count(*) FROM job_failures")) == (
        {},
        0,
    )
    assert (
        await owner.fetchval(
            "SELECT minor FROM current_quotes WHERE finish = 'normal'  AND edition = ''"
        )
        == 500
    )


async def test_a_dead_job_can_be_discarded(pool: Pool, owner: Pool, database: str) -> None:
    await add_printings(pool, "a", at=now())
    await due(pool)
    await owner.execute("UPDATE procrastinate_jobs SET attempts = 99")
    await caught_up(
        background_jobs.build_queue(
            database, pool, [QuoteSourceStub(a=ProviderUnavailable("x", "y"))]
        )
    )
    (dead,) = await job_queue.failed_jobs(pool, "shop")
    assert await job_queue.discard_job(pool, "shop", dead["id"])
    assert await statuses(pool) == {}


async def test_the_lag_is_that_of_the_oldest_job_that_could_run(pool: Pool, owner: Pool) -> None:
    await add_printings(pool, "a", "b", at=now())
    await due(pool)
    later = now() + timedelta(minutes=5)
    lag = await job_queue.queue_lag(pool, later)
    assert lag["prices"][0] == 2
    assert 299 < lag["prices"][1] < 330
    await owner.execute(
        "UPDATE procrastinate_jobs SET scheduled_at = $1", later + timedelta(hours=1)
    )
    assert await job_queue.queue_lag(pool, later) == {}


async def requeued(pool: Pool, tenant: str, job: int) -> bool:
    async with pool.acquire() as connection, connection.transaction():
        return await job_queue.requeue_job(connection, tenant, job, now())


async def begun(pool: Pool, owner: Pool, *cards: str) -> None:
    """Begin the pricing jobs of some cards by a worker that then is gone."""
    await add_printings(pool, *cards, at=now())
    await due(pool)
    worker = await owner.fetchval("SELECT worker_id FROM procrastinate_register_worker_v1()")
    for _ in cards:
        await owner.execute("SELECT procrastinate_fetch_job_v2(NULL, $1)", worker)


async def rescued(pool: Pool, at: datetime | None = None) -> list[str]:
    found = await job_queue.rescue_jobs(
        pool, at or now(), stalled=timedelta(minutes=1), longest=timedelta(minutes=10)
    )
    return [task for _, task in found]


async def test_a_job_that_never_ends_is_begun_again(pool: Pool, owner: Pool) -> None:
    await begun(pool, owner, "a")
    assert await rescued(pool) == []
    assert await rescued(pool, now() + timedelta(minutes=11)) == ["price"]
    assert await statuses(pool) == {"todo": 1}


@pytest.mark.parametrize("jump", [timedelta(days=-40), timedelta(days=40)])
async def test_jobs_of_dead_workers_come_back_whatever_the_clock_was(
    pool: Pool, owner: Pool, jump: timedelta
) -> None:
    await begun(pool, owner, "a")
    await owner.execute("UPDATE procrastinate_workers SET last_heartbeat = now() + $1", jump)
    await owner.execute("UPDATE procrastinate_events SET at = at + $1", jump)
    assert await rescued(pool) == ["price"]
    assert await statuses(pool) == {"todo": 1}


async def test_what_a_clock_ahead_put_off_is_due_when_it_is_right_again(
    pool: Pool, owner: Pool
) -> None:
    accounts = accounts_of(pool)
    _, admin = await join(accounts, "owl", Role.ADMIN, now())
    scan = doubtful()
    await send(pool, scan)
    await add_printings(pool, "a", "b", at=now())
    await due(pool)
    assert await clock_jumps.recall(pool, now()) == 0
    ahead = now() + timedelta(days=365)
    await webhooks_of(accounts).make("https://3221225991/", (), by=admin.account, now=ahead)
    await lease_question(pool, "shop", review_task_id(scan.scan), user="owl", now=ahead)
    await owner.execute("UPDATE procrastinate_jobs SET scheduled_at = $1", ahead)
    await owner.execute("UPDATE webhooks SET leased_until = $1", ahead)
    checks = await owner.fetchval("SELECT count(*) FROM price_checks")
    await owner.execute("UPDATE price_checks SET due_at = $1", ahead)
    assert await clock_jumps.recall(pool, now()) == checks + 5
    for question in (
        "SELECT max(due_at) FROM price_checks",
        "SELECT max(greatest(due_at, leased_until)) FROM webhooks",
        "SELECT max(until) FROM review_leases",
        "SELECT max(scheduled_at) FROM procrastinate_jobs",
    ):
        assert await owner.fetchval(question) <= now(), question


async def test_one_job_that_waits_already_holds_up_no_other(pool: Pool, owner: Pool) -> None:
    await begun(pool, owner, "a", "b")
    await owner.execute(
        "INSERT INTO procrastinate_jobs (queue_name, task_name, lock, queueing_lock, args)"
        " SELECT queue_name, task_name, lock, queueing_lock, args FROM procrastinate_jobs"
        " WHERE args ->> 'card_id' = 'a'"
    )
    await owner.execute(
        "UPDATE procrastinate_workers SET last_heartbeat = now() - '1 hour'::interval"
    )
    assert await rescued(pool) == ["price", "price"]
    assert await statuses(pool) == {"todo": 2}
    assert await rescued(pool) == []


async def test_a_failed_job_that_waits_already_is_not_queued_twice(pool: Pool, owner: Pool) -> None:
    await begun(pool, owner, "a")
    failed = await owner.fetchval("UPDATE procrastinate_jobs SET status = 'failed' RETURNING id")
    await owner.execute("UPDATE price_checks SET due_at = now()")
    await due(pool)
    assert await statuses(pool) == {"failed": 1, "todo": 1}
    assert await requeued(pool, "shop", failed)
    assert await statuses(pool) == {"todo": 1}


def decided(error: Exception, attempts: int, chance: float = 0.5) -> Any:
    job = library.Job(
        id=1,
        queue="prices",
        lock=None,
        queueing_lock=None,
        task_name="price",
        attempts=attempts,
        priority=0,
    )
    return JobRetryStrategy(lambda: chance).get_retry_decision(exception=error, job=job)


def waits(decision: Any) -> float:
    return float((decision.retry_at - now()).total_seconds())


def test_retries_wait_longer_each_time_and_end() -> None:
    error = PriceUnavailable("x", 0, withheld=False)
    for attempt in range(ATTEMPTS - 1):
        assert waits(decided(error, attempt)) == pytest.approx(5 * 2**attempt, abs=2)
    assert decided(error, ATTEMPTS - 1) is None
    assert waits(decided(PriceUnavailable("x", 500, withheld=False), 0)) == pytest.approx(
        500, abs=2
    )
    assert waits(decided(KeyError("bug"), 0, 1.0)) == pytest.approx(10, abs=2)


def test_what_was_withheld_waits_and_does_not_count() -> None:
    assert waits(decided(PriceUnavailable("x", 60, withheld=True), 99)) == pytest.approx(
        65.5, abs=2
    )


async def test_the_clock_gives_due_cards_to_the_queue_and_survives_a_lost_database(
    pool: Pool, owner: Pool, database: str
) -> None:
    await add_printings(pool, "a", at=now())
    source = QuoteSourceStub(a=[quote(500)])
    running = asyncio.create_task(
        background_jobs.run_worker(background_jobs.build_queue(database, pool, [source], every_s=1))
    )
    try:
        async with asyncio.timeout(30):
            while not source.asked or await statuses(pool):  # noqa: ASYNC110 - the library has no event for this
                await asyncio.sleep(0.05)
        name = database.rsplit("/", 1)[-1]
        ended = """SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                    WHERE datname = $1 AND application_name LIKE 'cardmint jobs%'"""
        assert await owner.fetchval(ended, name) > 0
        await owner.execute("UPDATE price_checks SET due_at = $1", now())
        async with asyncio.timeout(40):
            while len(source.asked) < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
    finally:
        running.cancel()
        await asyncio.wait([running], timeout=30)


HANGS = """
import asyncio, sys
import asyncpg
from cardmint_cloud.background_jobs import build_queue, run_worker

class Hangs:
    name = "hangs"
    async def quotes(self, card, now, fresh_for=None):
        print("asked", flush=True)
        await asyncio.sleep(600)

async def main():
    async with asyncpg.create_pool(sys.argv[1], min_size=1, max_size=2) as pool:
        await run_worker(build_queue(sys.argv[1], pool, [Hangs()], every_s=1))

asyncio.run(main())
"""


async def test_a_killed_workers_job_is_done_by_another(
    pool: Pool, owner: Pool, database: str, tmp_path: Path
) -> None:
    await add_printings(pool, "a", at=now())
    child = ChildProcess([sys.executable, "-c", HANGS, database], tmp_path / "log")
    try:
        await asyncio.to_thread(child.wait_until, lambda: "asked" in (tmp_path / "log").read_text())
    finally:
        child.kill()
    assert (
        await owner.fetchval(
            "SELECT status::text FROM procrastinate_jobs WHERE task_name = 'price'"
        )
        == "doing"
    )
    # The dead worker's last sign of life is made old, instead of waiting for it.
    await owner.execute(
        "UPDATE procrastinate_workers SET last_heartbeat = now() - interval '1 hour'"
    )
    source = QuoteSourceStub(a=[quote(500)])
    running = asyncio.create_task(
        background_jobs.run_worker(background_jobs.build_queue(database, pool, [source]))
    )
    try:
        async with asyncio.timeout(40):
            while not source.asked:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
    finally:
        running.cancel()
        await asyncio.wait([running], timeout=30)


def test_what_runs_by_the_clock_may_be_a_matter_of_minutes() -> None:
    assert (
        background_jobs.cron_every(5),
        background_jobs.cron_every(59),
        background_jobs.cron_every(60),
        background_jobs.cron_every(3600),
    ) == (
        "* * * * * */5",
        "* * * * * */59",
        "*/1 * * * *",
        "0 * * * *",
    )


async def test_tidying_forgets_old_answers_and_jobs(pool: Pool, owner: Pool, database: str) -> None:
    await owner.execute(
        "INSERT INTO provider_answers VALUES ('x', 'k', 200, '', '', '', $1)",
        now() - CHECK_AGAIN * 100,
    )
    app = background_jobs.build_queue(database, pool, [])
    async with app.open_async():
        await app.configure_task("tidy").defer_async(timestamp=0)
        await app.run_worker_async(
            wait=False, queues=["clock"], install_signal_handlers=False, delete_jobs="successful"
        )
    assert await owner.fetchval("SELECT count(*) FROM provider_answers") == 0
    assert "failed" not in await job_queue.job_counts(pool)

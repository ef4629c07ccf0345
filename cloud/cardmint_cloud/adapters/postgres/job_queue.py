"""The tables and SQL functions of procrastinate, the library of the job queue.

Only this module and migration 0003 name them. The functions are private to the library, so the
version in `LIBRARY_VERSION` is pinned and the schema's digest is checked before it is installed.
"""

import hashlib
from datetime import datetime, timedelta
from importlib import metadata
from typing import Any

import asyncpg
import structlog
from procrastinate.schema import SchemaManager

from cardmint_cloud.adapters.postgres.connection import Executor, Pool, PostgresConnection
from cardmint_cloud.errors import StopService

_log = structlog.get_logger(__name__)

LIBRARY_VERSION = "3.10.0"
TABLES = (
    "procrastinate_events",
    "procrastinate_jobs",
    "procrastinate_periodic_defers",
    "procrastinate_workers",
)
_SCHEMA_SHA256 = "c70ec4b400a60ad9592787653aae5ae77ae41bf801d56b5bd2712751a07f2009"

# Due cards become jobs and are due again a day later, in one statement: all or nothing. Cards
# without a price come first, then dear ones.
_ENQUEUE_DUE = """
WITH due AS (
    SELECT p.tenant, p.card_id, (SELECT max(minor) FROM current_quotes q
                                  WHERE q.tenant = p.tenant AND q.card_id = p.card_id) AS dearest
      FROM price_checks p
     WHERE p.tenant = $4 AND p.due_at <= $1 AND NOT EXISTS (
           SELECT FROM procrastinate_jobs j
            WHERE j.status = 'todo' AND j.queueing_lock = 'price/' || p.tenant || '/' || p.card_id)
     ORDER BY p.due_at, p.card_id LIMIT $2 FOR UPDATE OF p SKIP LOCKED),
moved AS (
    UPDATE price_checks p SET due_at = $1::timestamptz + $3::interval FROM due
     WHERE p.tenant = due.tenant AND p.card_id = due.card_id
    RETURNING p.tenant, p.card_id,
              CASE WHEN due.dearest IS NULL THEN 2 WHEN due.dearest >= 1000 THEN 1 ELSE 0 END
                     AS priority)
SELECT cardinality(procrastinate_defer_jobs_v1(array_agg(ROW(
           'prices', 'price', priority, 'price/' || tenant || '/' || card_id,
                  'price/' || tenant || '/' || card_id,
           jsonb_build_object('tenant', tenant, 'card_id', card_id),
                  NULL)::procrastinate_job_to_defer_v1)))
       AS jobs
  FROM moved"""
_NOTE_FAILURE = """
INSERT INTO job_failures (job, reason, failed_at) VALUES ($1, $2, $3)
ON CONFLICT (job) DO UPDATE SET reason = excluded.reason, failed_at = excluded.failed_at"""
_FAILED = """
SELECT j.id, j.task_name AS task, j.args, j.attempts, f.reason, f.failed_at
  FROM procrastinate_jobs j LEFT JOIN job_failures f ON f.job = j.id
 WHERE j.status = 'failed' AND coalesce(j.args ->> 'tenant', $1) = $1
 ORDER BY f.failed_at DESC NULLS LAST, j.id LIMIT $2"""
_LAG = """
SELECT j.queue_name AS queue, count(*) AS waiting, min(coalesce(j.scheduled_at, e.at)) AS oldest
  FROM procrastinate_jobs j
  LEFT JOIN LATERAL (SELECT at FROM procrastinate_events e WHERE e.job_id = j.id
                      ORDER BY e.id LIMIT 1) e ON true
 WHERE j.status = 'todo' AND (j.scheduled_at IS NULL OR j.scheduled_at <= $1)
 GROUP BY j.queue_name"""
_COUNTS = "SELECT status::text, count(*) AS jobs FROM procrastinate_jobs GROUP BY status"
_IS_FAILED = """
SELECT id FROM procrastinate_jobs
 WHERE id = $1 AND status = 'failed' AND coalesce(args ->> 'tenant', $2) = $2 FOR UPDATE"""
# Times in the future are those of a clock that was set back since.
_STUCK = """
SELECT j.id, j.task_name AS task
  FROM procrastinate_jobs j LEFT JOIN procrastinate_workers w ON w.id = j.worker_id
 WHERE j.status = 'doing'
   AND (w.id IS NULL OR now() - w.last_heartbeat NOT BETWEEN -$1::interval AND $1::interval
        OR NOT EXISTS (SELECT FROM procrastinate_events e WHERE e.job_id = j.id
                          AND e.type = 'started' AND e.at BETWEEN $2 AND $3))
 ORDER BY j.id"""
_SAME_WAITS = """
SELECT EXISTS (SELECT FROM procrastinate_jobs j JOIN procrastinate_jobs other USING (queueing_lock)
                WHERE j.id = $1 AND other.status = 'todo')"""
_PUT_BACK = "SELECT procrastinate_retry_job_v2($1, $2, NULL, NULL, NULL)"
_DROP = "DELETE FROM procrastinate_jobs WHERE id = $1 AND status IN ('doing', 'failed')"
_BRING_FORWARD = """
UPDATE procrastinate_jobs SET scheduled_at = $1
 WHERE queue_name = 'prices' AND status = 'todo' AND scheduled_at > $1 AND args ->> 'tenant' = $2
RETURNING id"""
_RECALL = """
UPDATE procrastinate_jobs SET scheduled_at = $1 WHERE status = 'todo' AND scheduled_at > $2
RETURNING id"""
_DISCARD = """
DELETE FROM procrastinate_jobs
 WHERE id = $1 AND status = 'failed' AND coalesce(args ->> 'tenant', $2) = $2
RETURNING id"""


def library_schema() -> str:
    """Return the installed library's schema, one SQL script.

    Raises:
        StopService: it is not the schema of `LIBRARY_VERSION`.
    """
    schema = SchemaManager.get_schema()
    if hashlib.sha256(schema.encode()).hexdigest() != _SCHEMA_SHA256:
        installed = metadata.version("procrastinate")
        raise StopService(
            f"procrastinate {installed} has another schema than {LIBRARY_VERSION}, for which the"
            f" migrations were written; install procrastinate=={LIBRARY_VERSION}"
        )
    return schema


async def enqueue_due(
    connection: PostgresConnection, tenant: str, now: datetime, *, limit: int, again: timedelta
) -> int:
    """Enqueue a pricing job for each card of a tenant that is due, and due next after `again`.

    Return the number of jobs.
    """
    rows = await connection.fetch(_ENQUEUE_DUE, now, limit, again, tenant)
    return rows[0]["jobs"] or 0


async def note_failure(pool: Pool, job: int, reason: str, now: datetime) -> None:
    """Store the reason of a job's last failure."""
    await pool.execute(
        _NOTE_FAILURE, job, reason.replace("\x00", "\N{REPLACEMENT CHARACTER}")[:1000], now
    )


async def failed_jobs(executor: Executor, tenant: str, limit: int = 50) -> list[dict[str, Any]]:
    """Return the failed jobs of a tenant, and those without a tenant, the newest first."""
    return [dict(row) for row in await executor.fetch(_FAILED, tenant, limit)]


async def queue_lag(executor: Executor, now: datetime) -> dict[str, tuple[int, float]]:
    """Return, by queue, how many jobs are ready to run, and the age in seconds of the oldest."""
    rows = await executor.fetch(_LAG, now)
    return {
        row["queue"]: (row["waiting"], max(0.0, (now - row["oldest"]).total_seconds()))
        for row in rows
    }


async def job_counts(executor: Executor) -> dict[str, int]:
    """Return the number of jobs by status."""
    return {row["status"]: row["jobs"] for row in await executor.fetch(_COUNTS)}


async def requeue_job(connection: PostgresConnection, tenant: str, job: int, now: datetime) -> bool:
    """Put a failed job back into the queue; False when there is no such failed job."""
    if not await connection.fetch(_IS_FAILED, job, tenant):
        return False
    await _put_back(connection, job, now)
    return True


async def bring_prices_forward(executor: Executor, tenant: str, now: datetime) -> int:
    """Let a tenant's pricing jobs that wait for their next attempt run now; return how many."""
    return len(await executor.fetch(_BRING_FORWARD, now, tenant))


async def recall_jobs(pool: Pool, now: datetime, *, longest: timedelta) -> int:
    """Let jobs that would wait longer than `longest` run now; return how many."""
    return len(await pool.fetch(_RECALL, now, now + longest))


async def rescue_jobs(
    pool: Pool, now: datetime, *, stalled: timedelta, longest: timedelta
) -> list[tuple[int, str]]:
    """Requeue jobs of workers without a heartbeat for `stalled`, and those begun `longest` ago.

    Return number and task of each. One that cannot be put back holds up no other.
    """
    rescued = []
    for row in await pool.fetch(_STUCK, stalled, now - longest, now + longest):
        try:
            async with pool.acquire() as connection, connection.transaction():
                await _put_back(connection, row["id"], now)
        except asyncpg.PostgresError as error:  # It ended meanwhile, or the same one came.
            _log.info("a job is not put back now", job=row["id"], reason=str(error))
        else:
            rescued.append((row["id"], row["task"]))
    return rescued


async def _put_back(connection: PostgresConnection, job: int, now: datetime) -> None:
    """Put a job back into the queue, or drop it where the same one waits there already."""
    if await connection.fetchval(_SAME_WAITS, job):
        await connection.execute(_DROP, job)
    else:
        await connection.execute(_PUT_BACK, job, now)


async def discard_job(executor: Executor, tenant: str, job: int) -> bool:
    """Delete a failed job; False when there is no such failed job."""
    return bool(await executor.fetch(_DISCARD, job, tenant))

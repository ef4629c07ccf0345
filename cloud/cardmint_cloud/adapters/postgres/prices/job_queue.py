"""The queue of jobs as people look at it.

How far behind it is, what failed for good, put back or given up.
"""

from datetime import datetime
from typing import Any

from cardmint_cloud.adapters.postgres.connection import Executor, Pool

_NOTE = """
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
  LEFT JOIN LATERAL (SELECT at FROM procrastinate_events e WHERE e.job_id = j.id ORDER BY e.id LIMIT 1) e ON true
 WHERE j.status = 'todo' AND (j.scheduled_at IS NULL OR j.scheduled_at <= $1)
 GROUP BY j.queue_name"""
_COUNTS = "SELECT status::text, count(*) AS jobs FROM procrastinate_jobs GROUP BY status"
_REQUEUE = """
SELECT procrastinate_retry_job_v2(id, $3, NULL, NULL, NULL) FROM procrastinate_jobs
 WHERE id = $1 AND status = 'failed' AND coalesce(args ->> 'tenant', $2) = $2"""
_RESCUE = """
SELECT procrastinate_retry_job_v2(j.id, $2, NULL, NULL, NULL) FROM procrastinate_jobs j
 WHERE j.status = 'doing' AND (SELECT max(at) FROM procrastinate_events e
                                WHERE e.job_id = j.id AND e.type = 'started') < $1"""
_DISCARD = """
DELETE FROM procrastinate_jobs WHERE id = $1 AND status = 'failed' AND coalesce(args ->> 'tenant', $2) = $2
RETURNING id"""


async def note_failure(pool: Pool, job: int, reason: str, now: datetime) -> None:
    """Keep why a job failed the last time."""
    await pool.execute(_NOTE, job, reason.replace("\x00", "�")[:1000], now)


async def failed_jobs(connection: Executor, tenant: str, limit: int = 50) -> list[dict[str, Any]]:
    """Return the jobs that were given up, of a tenant and of nobody, the newest first."""
    return [dict(row) for row in await connection.fetch(_FAILED, tenant, limit)]


async def queue_lag(connection: Executor, now: datetime) -> dict[str, tuple[int, float]]:
    """Return how many jobs of each queue could run and do not yet, and for how many seconds the oldest of them."""
    rows = await connection.fetch(_LAG, now)
    return {
        row["queue"]: (row["waiting"], max(0.0, (now - row["oldest"]).total_seconds()))
        for row in rows
    }


async def job_counts(connection: Executor) -> dict[str, int]:
    """Return how many jobs there are by status."""
    return {row["status"]: row["jobs"] for row in await connection.fetch(_COUNTS)}


async def requeue_job(connection: Executor, tenant: str, job: int, now: datetime) -> bool:
    """Put a job that was given up back into the queue; False when there is no such one."""
    return bool(await connection.fetch(_REQUEUE, job, tenant, now))


async def rescue_jobs(pool: Pool, *, before: datetime, now: datetime) -> int:
    """Put jobs back into the queue that were begun before `before` and never ended.

    Return how many.
    """
    return len(await pool.fetch(_RESCUE, before, now))


async def discard_job(connection: Executor, tenant: str, job: int) -> bool:
    """Give a job up for good; False when there is no such one."""
    return bool(await connection.fetch(_DISCARD, job, tenant))

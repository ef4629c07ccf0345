"""What a clock that was ahead for a while leaves: work that would wait for months or years.

Nothing here waits longer than a day and a bit. What is due later than that was put there by a clock
that has been set back since, and is due now.
"""

from datetime import datetime, timedelta

from cardmint_cloud.adapters.postgres import across, job_queue
from cardmint_cloud.adapters.postgres.connection import Pool, tenant_transaction

LONGEST_WAIT = timedelta(days=2)
LONGEST_LEASE = timedelta(hours=1)

_OF_TENANTS = (
    ("UPDATE price_checks SET due_at = $2 WHERE tenant = $1 AND due_at > $3", LONGEST_WAIT),
    ("UPDATE webhooks SET due_at = $2 WHERE tenant = $1 AND due_at > $3", LONGEST_WAIT),
    (
        "UPDATE webhooks SET leased_until = $2 WHERE tenant = $1 AND leased_until > $3",
        LONGEST_LEASE,
    ),
    ("UPDATE review_leases SET until = $2 WHERE tenant = $1 AND until > $3", LONGEST_LEASE),
)


async def recall(pool: Pool, now: datetime) -> int:
    """Make everything due that is due later than it can be; return how many rows that were."""
    rows = await job_queue.recall_jobs(pool, now, longest=LONGEST_WAIT)
    for tenant in await across.list_tenants(pool):
        async with tenant_transaction(pool, tenant) as connection:
            for statement, longest in _OF_TENANTS:
                done = await connection.execute(statement, tenant, now, now + longest)
                rows += int(done.rpartition(" ")[2])
    return rows

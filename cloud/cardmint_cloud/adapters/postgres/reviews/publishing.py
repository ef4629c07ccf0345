"""Reviews that stations must get, and which version of each the broker has taken."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from cardmint_cloud.adapters.postgres.connection import PostgresConnection
from cardmint_cloud.adapters.postgres.ingest.inventory import review_from_row
from cardmint_cloud.domain.items import Review

_TASKS = """
SELECT * FROM reviews WHERE tenant = $1 AND task = ANY($2::uuid[]) AND published_version < version
 ORDER BY opened_at"""
_OF_STATION = """
SELECT * FROM reviews WHERE tenant = $1 AND station = $2 AND (state = 'open'
       OR closed_at > $3) ORDER BY opened_at"""
# Without a wait for the disk, which would hold up the next question. A version that is forgotten in
# a crash is published once more.
_MARK = """
WITH quick AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true))
UPDATE reviews r SET published_version = n.version
  FROM quick, unnest($2::uuid[], $3::int[]) AS n (task, version)
 WHERE r.tenant = $1 AND r.task = n.task AND r.published_version < n.version"""
_OPEN = """
SELECT task, state = 'open' AS open FROM reviews WHERE tenant = $1 AND task = ANY($2::uuid[])"""
_FORGET = """
UPDATE reviews SET published_version = 0 WHERE tenant = $1 AND task = ANY($2::uuid[])
RETURNING task"""
_WITH_EVENTS = """
SELECT DISTINCT n.station FROM watermarks w
  JOIN unnest($2::text[]) AS n (station) ON w.source = '/stations/' || n.station
 WHERE w.tenant = $1"""

REMEMBERED = timedelta(days=7)
"""Age up to which a closed task is published again to a station that was offline."""


async def unpublished_tasks(
    connection: PostgresConnection, tenant: str, tasks: Collection[UUID]
) -> list[Review]:
    """Return, of a tenant's tasks, those whose latest version has not reached the broker."""
    return [review_from_row(row) for row in await connection.fetch(_TASKS, tenant, list(tasks))]


async def reviews_of_station(
    connection: PostgresConnection, tenant: str, station: str, now: datetime
) -> list[Review]:
    """Return a station's open reviews and those closed within `REMEMBERED`."""
    return [
        review_from_row(row)
        for row in await connection.fetch(_OF_STATION, tenant, station, now - REMEMBERED)
    ]


async def mark_published(
    connection: PostgresConnection, tenant: str, published: Sequence[tuple[UUID, int]]
) -> None:
    """Remember which version of each review the broker has taken."""
    if published:
        tasks, versions = (list(column) for column in zip(*published, strict=True))
        await connection.execute(_MARK, tenant, tasks, versions)


async def tasks_open(
    connection: PostgresConnection, tenant: str, tasks: Collection[UUID]
) -> dict[UUID, bool]:
    """Return, of a tenant's tasks, those that exist, and whether each is open."""
    rows = await connection.fetch(_OPEN, tenant, list(tasks))
    return {row["task"]: row["open"] for row in rows}


async def forget_published(
    connection: PostgresConnection, tenant: str, tasks: Collection[UUID]
) -> int:
    """Have the dispatcher publish tasks again, whatever version it had; return how many exist."""
    return len(await connection.fetch(_FORGET, tenant, list(tasks)))


async def stations_with_events(
    connection: PostgresConnection, tenant: str, stations: Collection[str]
) -> set[str]:
    """Return, of a tenant's stations, those with events in this database."""
    rows = await connection.fetch(_WITH_EVENTS, tenant, list(stations))
    return {row["station"] for row in rows}

"""Reviews that stations must get, and which version of each the broker has taken."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from cardmint_cloud.adapters.postgres.connection import PostgresConnection
from cardmint_cloud.adapters.postgres.ingest.inventory import review_from_row
from cardmint_cloud.adapters.postgres.ingest.leases import SLOT
from cardmint_cloud.domain.items import Review

_UNPUBLISHED = (
    f"SELECT * FROM reviews WHERE published_version < version AND {SLOT} = ANY($1::int[])"  # noqa: S608 - a constant
    " ORDER BY opened_at LIMIT $2"
)
_OF_STATION = """
SELECT * FROM reviews WHERE tenant = $1 AND station = $2 AND (state = 'open'
       OR closed_at > $3) ORDER BY opened_at"""
# Without a wait for the disk, which would hold up the next question. A version that is forgotten in
# a crash is published once more.
_MARK = """
WITH quick AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true))
UPDATE reviews r SET published_version = n.version FROM quick, unnest($1::text[], $2::uuid[],
       $3::int[])
    AS n (tenant, task, version) WHERE r.tenant = n.tenant AND r.task = n.task
           AND r.published_version < n.version"""
_OPEN = """
SELECT tenant, task, state = 'open' AS open FROM reviews r
  JOIN unnest($1::text[], $2::uuid[]) AS n (tenant, task) USING (tenant, task)"""
_FORGET = """
UPDATE reviews r SET published_version = 0 FROM unnest($1::text[], $2::uuid[]) AS n (tenant, task)
 WHERE r.tenant = n.tenant AND r.task = n.task RETURNING r.task"""
_WITH_EVENTS = """
SELECT DISTINCT w.tenant, n.station FROM watermarks w
  JOIN unnest($1::text[], $2::text[]) AS n (tenant, station)
    ON w.tenant = n.tenant AND w.source = '/stations/' || n.station"""

REMEMBERED = timedelta(days=7)
"""Age up to which a closed task is published again to a station that was offline."""


async def unpublished_reviews(
    connection: PostgresConnection, slots: Collection[int], limit: int
) -> list[Review]:
    """Return reviews of the stations in `slots` whose latest version has not reached the broker."""
    return [
        review_from_row(row) for row in await connection.fetch(_UNPUBLISHED, list(slots), limit)
    ]


async def reviews_of_station(
    connection: PostgresConnection, tenant: str, station: str, now: datetime
) -> list[Review]:
    """Return a station's open reviews and those closed within `REMEMBERED`."""
    return [
        review_from_row(row)
        for row in await connection.fetch(_OF_STATION, tenant, station, now - REMEMBERED)
    ]


async def mark_published(
    connection: PostgresConnection, published: Sequence[tuple[str, UUID, int]]
) -> None:
    """Remember which version of each review the broker has taken."""
    if published:
        tenants, tasks, versions = (list(column) for column in zip(*published, strict=True))
        await connection.execute(_MARK, tenants, tasks, versions)


async def tasks_open(
    connection: PostgresConnection, tasks: Collection[tuple[str, UUID]]
) -> dict[tuple[str, UUID], bool]:
    """Return, of the given (tenant, task), those that exist, and whether each is open."""
    rows = await connection.fetch(_OPEN, [key[0] for key in tasks], [key[1] for key in tasks])
    return {(row["tenant"], row["task"]): row["open"] for row in rows}


async def forget_published(
    connection: PostgresConnection, tasks: Collection[tuple[str, UUID]]
) -> int:
    """Have the dispatcher publish tasks again, whatever version it had; return how many exist."""
    if not tasks:
        return 0
    return len(
        await connection.fetch(_FORGET, [key[0] for key in tasks], [key[1] for key in tasks])
    )


async def stations_with_events(
    connection: PostgresConnection, stations: Collection[tuple[str, str]]
) -> set[tuple[str, str]]:
    """Return, of the given (tenant, station), those with events in this database."""
    rows = await connection.fetch(
        _WITH_EVENTS, [key[0] for key in stations], [key[1] for key in stations]
    )
    return {(row["tenant"], row["station"]) for row in rows}

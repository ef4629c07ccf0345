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

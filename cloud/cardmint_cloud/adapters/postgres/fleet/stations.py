"""What stations say of themselves, and which tasks they have been told of, written and read on asyncpg."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from cardmint_cloud.adapters.postgres.ingest.event_log import PostgresConnection
from cardmint_cloud.adapters.postgres.ingest.inventory import review_from_row
from cardmint_cloud.adapters.postgres.ingest.leases import SLOT
from cardmint_cloud.domain.items import Review
from cardmint_contracts.control import ReportedConfig
from cardmint_contracts.stations import StationHealth, StationState
from cardmint_contracts.wire import encode

# A will with a lower epoch than the last birth's came late: the station lives.
_PUT_STATE = """
INSERT INTO stations AS s (tenant, station, online, epoch, bootid, stream, version, since)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (tenant, station) DO UPDATE
   SET online = excluded.online, epoch = excluded.epoch, bootid = excluded.bootid, stream = excluded.stream,
       version = excluded.version, since = excluded.since
 WHERE excluded.epoch >= s.epoch
   AND (s.online, s.epoch, s.stream) IS DISTINCT FROM (excluded.online, excluded.epoch, excluded.stream)
RETURNING station"""
_PUT_HEALTH = "UPDATE stations SET health = $3::jsonb, health_at = $4 WHERE tenant = $1 AND station = $2 RETURNING station"
_PUT_REPORTED = "UPDATE stations SET reported = $3::jsonb, reported_at = $4 WHERE tenant = $1 AND station = $2 RETURNING station"
_UNTOLD = (
    f"SELECT * FROM reviews WHERE published_version < version AND {SLOT} = ANY($1::int[])"  # noqa: S608 - a constant
    " ORDER BY opened_at LIMIT $2"
)
_OF_STATION = """
SELECT * FROM reviews WHERE tenant = $1 AND station = $2 AND (state = 'open' OR closed_at > $3) ORDER BY opened_at"""
# Not worth a wait for the disk, during which the next question would wait too: what is forgotten is
# told once more.
_TOLD = """
WITH quick AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true))
UPDATE reviews r SET published_version = n.version FROM quick, unnest($1::text[], $2::uuid[], $3::int[])
    AS n (tenant, task, version) WHERE r.tenant = n.tenant AND r.task = n.task AND r.published_version < n.version"""

REMEMBERED = timedelta(days=7)
"""How long a station that was away is told, when it comes back, that a task was closed."""


async def put_state(
    connection: PostgresConnection, tenant: str, station: str, state: StationState, now: datetime
) -> bool:
    """Keep a birth or death; False when it says nothing new, or came late."""
    rows = await connection.fetch(
        _PUT_STATE,
        *(
            tenant,
            station,
            state.online,
            state.epoch,
            state.bootid,
            state.stream,
            state.version,
            now,
        ),
    )
    return bool(rows)


async def put_health(
    connection: PostgresConnection, tenant: str, station: str, health: StationHealth, now: datetime
) -> bool:
    """Keep how a station is; False when it has never said that it is there."""
    return bool(await connection.fetch(_PUT_HEALTH, tenant, station, encode(health).decode(), now))


async def put_reported(
    connection: PostgresConnection,
    tenant: str,
    station: str,
    reported: ReportedConfig,
    now: datetime,
) -> bool:
    """Keep what a station says that it uses; False when it has never said that it is there."""
    return bool(
        await connection.fetch(_PUT_REPORTED, tenant, station, encode(reported).decode(), now)
    )


async def unpublished_reviews(
    connection: PostgresConnection, slots: Collection[int], limit: int
) -> list[Review]:
    """Return reviews of the stations in `slots` whose latest version has not reached the broker."""
    return [review_from_row(row) for row in await connection.fetch(_UNTOLD, list(slots), limit)]


async def reviews_of_station(
    connection: PostgresConnection, tenant: str, station: str, now: datetime
) -> list[Review]:
    """Return a station's open reviews, and those closed of late, for it to be told again."""
    return [
        review_from_row(row)
        for row in await connection.fetch(_OF_STATION, tenant, station, now - REMEMBERED)
    ]


async def mark_published(
    connection: PostgresConnection, told: Sequence[tuple[str, UUID, int]]
) -> None:
    """Remember which version of each review the broker has taken."""
    if told:
        tenants, tasks, versions = (list(column) for column in zip(*told, strict=True))
        await connection.execute(_TOLD, tenants, tasks, versions)

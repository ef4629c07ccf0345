"""The reports of stations: state, health and settings in use."""

from datetime import datetime

from cardmint_cloud.adapters.postgres import feed
from cardmint_cloud.adapters.postgres.connection import PostgresConnection
from cardmint_cloud.domain.feed import station_entry
from cardmint_contracts.control import ReportedConfig
from cardmint_contracts.stations import StationHealth, StationState
from cardmint_contracts.wire import encode

# Epochs count the starts of one outbox, so they compare within one stream only. A birth in another
# stream is of a new disk, or of a station that began a new stream. A death counts for the boot that
# is online; one with a lower epoch came late: the station lives.
# A boot that comes back after another one is no restart: two boxes have this name.
_PUT_STATE = """
INSERT INTO stations AS s (tenant, station, online, epoch, bootid, stream, version, since)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (tenant, station) DO UPDATE
   SET online = excluded.online, epoch = excluded.epoch, bootid = excluded.bootid,
          stream = excluded.stream, version = excluded.version, since = excluded.since,
          other_bootid = CASE WHEN s.bootid = excluded.bootid THEN s.other_bootid
                              ELSE s.bootid END,
          twins_at = CASE WHEN excluded.online AND s.bootid <> excluded.bootid
                               AND s.other_bootid = excluded.bootid THEN excluded.since
                          ELSE s.twins_at END
 WHERE CASE WHEN excluded.online
            THEN s.stream <> excluded.stream OR excluded.epoch >= s.epoch
                 OR excluded.bootid = s.other_bootid
            ELSE (s.bootid, s.epoch) = (excluded.bootid, excluded.epoch)
                 OR s.stream = excluded.stream AND excluded.epoch > s.epoch END
   AND (s.online, s.epoch, s.stream, s.bootid) IS DISTINCT FROM (excluded.online,
          excluded.epoch, excluded.stream, excluded.bootid)
RETURNING station"""
_PUT_HEALTH = """
UPDATE stations SET health = $3::jsonb, health_at = $4
 WHERE tenant = $1 AND station = $2 RETURNING station"""
_PUT_REPORTED = """
UPDATE stations SET reported = $3::jsonb, reported_at = $4
 WHERE tenant = $1 AND station = $2 RETURNING station"""


async def put_state(
    connection: PostgresConnection, tenant: str, station: str, state: StationState, now: datetime
) -> bool:
    """Store a birth or death, and tell the feed; False when it changes nothing or came late."""
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
    if rows and await feed.is_open(connection, tenant):
        told = station_entry(station, online=state.online, since=now, version=state.version)
        await feed.write(connection, tenant, [told], now)
    return bool(rows)


async def put_health(
    connection: PostgresConnection, tenant: str, station: str, health: StationHealth, now: datetime
) -> bool:
    """Store a station's health; False when its birth is unknown."""
    return bool(await connection.fetch(_PUT_HEALTH, tenant, station, encode(health).decode(), now))


async def put_reported(
    connection: PostgresConnection,
    tenant: str,
    station: str,
    reported: ReportedConfig,
    now: datetime,
) -> bool:
    """Store the settings that a station uses; False when its birth is unknown."""
    return bool(
        await connection.fetch(_PUT_REPORTED, tenant, station, encode(reported).decode(), now)
    )

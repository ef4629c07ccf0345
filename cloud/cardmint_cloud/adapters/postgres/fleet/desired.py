"""The artifacts and settings that stations should use."""

from datetime import datetime
from typing import Any, NamedTuple

from cardmint_cloud.adapters.postgres.connection import PostgresConnection
from cardmint_cloud.adapters.postgres.ingest.event_log import notify
from cardmint_contracts.control import DesiredConfig, Manifest, decode_manifest
from cardmint_contracts.notifications import Subject
from cardmint_contracts.wire import decode, encode

_PUBLISH = """
INSERT INTO fleet_artifacts AS a (tenant, artifact, manifest, published_at)
VALUES ($1, $2, $3::jsonb, $4)
ON CONFLICT (tenant, artifact) DO UPDATE SET manifest = excluded.manifest,
       published_at = excluded.published_at"""
_CONFIGURE = """
INSERT INTO desired_configs AS c (tenant, station, desired, desired_at)
VALUES ($1, $2, $3::jsonb || '{"version": 1}', $4)
ON CONFLICT (tenant, station) DO UPDATE
   SET desired = c.desired || $3::jsonb || jsonb_build_object('version',
          (c.desired->>'version')::int + 1),
       desired_at = excluded.desired_at
RETURNING desired::text"""


class DesiredFleet(NamedTuple):
    """Everything that must be retained at the broker."""

    artifacts: list[Manifest]
    configs: list[tuple[str, DesiredConfig]]


async def put_artifact(
    connection: PostgresConnection, tenant: str, manifest: Manifest, now: datetime
) -> None:
    """Make the tenant's stations use the artifact of a manifest."""
    async with connection.transaction():
        await connection.execute(
            _PUBLISH, tenant, manifest.artifact, encode(manifest).decode(), now
        )
        await notify(connection, tenant, Subject.FLEET)


async def configure_station(
    connection: PostgresConnection,
    tenant: str,
    station: str,
    changes: dict[str, Any],
    now: datetime,
) -> DesiredConfig:
    """Change desired settings of a station, keep the others, and return their new version."""
    async with connection.transaction():
        ((text,),) = await connection.fetch(
            _CONFIGURE, tenant, station, encode(changes).decode(), now
        )
        await notify(connection, tenant, Subject.FLEET)
    return decode(text.encode(), DesiredConfig)


async def desired_fleet(connection: PostgresConnection, tenant: str) -> DesiredFleet:
    """Return the desired artifacts and settings of a tenant."""
    artifacts = await connection.fetch(
        "SELECT manifest::text FROM fleet_artifacts WHERE tenant = $1 ORDER BY artifact", tenant
    )
    configs = await connection.fetch(
        "SELECT station, desired::text FROM desired_configs WHERE tenant = $1 ORDER BY 1", tenant
    )
    return DesiredFleet(
        artifacts=[decode_manifest(text.encode()) for (text,) in artifacts],
        configs=[(station, decode(text.encode(), DesiredConfig)) for station, text in configs],
    )

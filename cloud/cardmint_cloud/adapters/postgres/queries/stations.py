"""Stations, the artifacts published for them, and the images they gave up."""

from collections.abc import Mapping
from typing import Any, cast
from uuid import UUID

from sqlalchemy import BigInteger, RowMapping, and_, func, literal_column, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from cardmint_cloud.adapters.postgres.queries.inventory import rows
from cardmint_cloud.adapters.postgres.tables import (
    desired_configs,
    events,
    fleet_artifacts,
    stations,
    watermarks,
)
from cardmint_contracts.events import ImageEvicted, StreamOpened, StreamReason
from cardmint_contracts.upcasters import decode_data


async def list_stations(connection: AsyncConnection, tenant: str) -> list[RowMapping]:
    """Return the stations with their last health and their stream's watermark."""
    marked = and_(
        watermarks.c.tenant == stations.c.tenant, watermarks.c.stream == stations.c.stream
    )
    wanted = and_(
        desired_configs.c.tenant == stations.c.tenant,
        desired_configs.c.station == stations.c.station,
    )
    statement = (
        select(
            stations,
            watermarks.c.sequence,
            watermarks.c.updated_at.label("committed_at"),
            desired_configs.c.desired,
            desired_configs.c.desired_at,
        )
        .select_from(stations.outerjoin(watermarks, marked).outerjoin(desired_configs, wanted))
        .where(stations.c.tenant == tenant)
        .order_by(stations.c.station)
    )
    return rows(await connection.execute(statement))


async def list_artifacts(connection: AsyncConnection, tenant: str) -> list[RowMapping]:
    """Return the artifacts that the tenant's stations should use."""
    statement = (
        select(fleet_artifacts)
        .where(fleet_artifacts.c.tenant == tenant)
        .order_by(fleet_artifacts.c.artifact)
    )
    return rows(await connection.execute(statement))


async def list_evictions(
    connection: AsyncConnection, tenant: str, *, latest: int = 10
) -> dict[str, dict[str, Any]]:
    """Return each station's eviction ledger.

    It has the number and bytes of whole images that were evicted, how many of those the cloud never
    had (`lost`), the number of `thumbnails`, and the `latest` evictions as events. Postgres adds up
    rows that differ only in image and size.
    """
    said = events.c.data.cast(JSONB)
    alike = said.op("-")(literal_column("'{sha256,bytes}'::text[]"))
    count = said["bytes"].as_string().cast(BigInteger)
    evicted = (
        events.c.tenant == tenant,
        events.c.type.like(literal_column("'cardmint.image.evicted.v%'")),
    )
    columns = (events.c.source, events.c.type, func.min(events.c.data).label("data"))
    statement = select(
        *columns, func.count().label("images"), func.sum(count).label("bytes")
    ).where(*evicted)
    found: dict[str, dict[str, Any]] = {}
    for row in await connection.execute(statement.group_by(events.c.source, events.c.type, alike)):
        one = cast("ImageEvicted", decode_data(row.type, row.data.encode()))
        none = {"images": 0, "bytes": 0, "lost": 0, "thumbnails": 0}
        ledger = found.setdefault(row.source.removeprefix("/stations/"), none)
        if one.kind == "thumbnail":
            ledger["thumbnails"] += row.images
        else:
            ledger["images"] += row.images
            ledger["bytes"] += int(row.bytes)
            ledger["lost"] += 0 if one.uploaded else row.images
    for name, ledger in found.items():
        newest = select(events.c.occurred_at, events.c.type, events.c.data).where(
            *evicted, events.c.source == f"/stations/{name}"
        )
        newest = newest.order_by(events.c.position.desc()).limit(latest)
        ledger["latest"] = [
            {"occurred_at": row.occurred_at, "image": decode_data(row.type, row.data.encode())}
            for row in await connection.execute(newest)
        ]
    return found


async def list_new_streams(
    connection: AsyncConnection, tenant: str, *, latest: int = 50
) -> dict[str, list[dict[str, Any]]]:
    """Return the latest streams that each station opened, the newest first, with the reason.

    `lost` is the range of events that this database had when the stream was opened, and has no more
    because it was restored since; None where it has them all.
    """
    statement = (
        select(events.c.source, events.c.received_at, events.c.type, events.c.data)
        .where(
            events.c.tenant == tenant,
            events.c.type.like(literal_column("'cardmint.stream.opened.v%'")),
        )
        .order_by(events.c.position.desc())
        .limit(latest)
    )
    lines = [
        (row, opened)
        for row in await connection.execute(statement)
        if isinstance(opened := decode_data(row.type, row.data.encode()), StreamOpened)
    ]
    has = await _watermarks(connection, tenant, [opened.previous for _, opened in lines])
    found: dict[str, list[dict[str, Any]]] = {}
    for row, opened in lines:
        station = row.source.removeprefix("/stations/")
        line = {"at": row.received_at, "opened": opened, "lost": _lost(opened, has)}
        found.setdefault(station, []).append(line)
    return found


async def _watermarks(
    connection: AsyncConnection, tenant: str, streams: list[UUID]
) -> dict[UUID, int]:
    statement = select(watermarks.c.stream, watermarks.c.sequence).where(
        watermarks.c.tenant == tenant, watermarks.c.stream.in_(streams)
    )
    return {row.stream: row.sequence for row in await connection.execute(statement)}


def _lost(opened: StreamOpened, has: Mapping[UUID, int]) -> range | None:
    if opened.reason == StreamReason.RENAMED and opened.previous not in has:
        return None  # it was another tenant's
    had = opened.acknowledged - opened.resent - opened.missing
    lost = range(has.get(opened.previous, 0) + 1, had + 1)
    return lost or None


async def was_given_up(connection: AsyncConnection, tenant: str, station: str, sha256: str) -> bool:
    """Whether a station evicted an image before the cloud had it."""
    statement = select(events.c.type, events.c.data).where(
        events.c.tenant == tenant,
        events.c.type.like(literal_column("'cardmint.image.evicted.v%'")),
        events.c.source == f"/stations/{station}",
        events.c.data.contains(sha256, autoescape=True),
    )
    said = [decode_data(row.type, row.data.encode()) for row in await connection.execute(statement)]
    return any(isinstance(one, ImageEvicted) and not one.uploaded for one in said)

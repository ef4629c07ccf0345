"""What waits for a person, and how the stations are."""

from collections.abc import Sequence
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import JSON, BigInteger, RowMapping, Uuid, and_, func, literal_column, select
from sqlalchemy.ext.asyncio import AsyncConnection

from cardmint_cloud.adapters.postgres.reads import rows
from cardmint_cloud.adapters.postgres.tables import (
    dead_letters,
    desired_configs,
    events,
    fleet_wares,
    held_quotes,
    items,
    review_leases,
    reviews,
    stations,
    watermarks,
)

_FIRST = {
    "open": (reviews.c.escalated.desc(), reviews.c.opened_at),
    "answered": (reviews.c.closed_at.desc(),),
}


async def asked(
    connection: AsyncConnection, tenant: str, state: Literal["open", "answered"], *, limit: int = 20
) -> list[RowMapping]:
    """Return review tasks: open ones as they came, the escalated first; closed ones the newest first."""
    batch = (items.c.condition, items.c.finish, items.c.edition, items.c.language, items.c.bin, items.c.lot)
    scanned = and_(items.c.tenant == reviews.c.tenant, items.c.item == reviews.c.item)
    leased = and_(review_leases.c.tenant == reviews.c.tenant, review_leases.c.task == reviews.c.task)
    statement = (
        select(
            reviews,
            items.c.captured_at,
            func.coalesce(reviews.c.image["sha256"].astext, items.c.image).label("sha256"),
            review_leases.c.holder,
            review_leases.c.until,
            *batch,
        )
        .select_from(reviews.join(items, scanned).outerjoin(review_leases, leased))
        .where(reviews.c.tenant == tenant, reviews.c.state == state)
        .order_by(*_FIRST[state], reviews.c.task)
    )
    return rows(await connection.execute(statement.limit(limit)))


async def before(connection: AsyncConnection, tenant: str, scans: Sequence[UUID]) -> dict[UUID, RowMapping]:
    """Return, by scan, the earlier one whose card it perhaps shows again, as far as the station named it."""
    named = events.c.data.cast(JSON)["possible_duplicate_of"].as_string().cast(Uuid)
    earlier = and_(items.c.tenant == events.c.tenant, items.c.item == named)
    statement = (
        select(events.c.subject.label("again"), items)
        .select_from(events.join(items, earlier))
        .where(
            events.c.tenant == tenant,
            events.c.subject.in_(scans),
            events.c.type == literal_column("'cardmint.card.scanned.v1'"),
        )
    )
    return {row["again"]: row for row in rows(await connection.execute(statement))}


async def review(connection: AsyncConnection, tenant: str, task: UUID) -> RowMapping | None:
    """Return one review task; None when there is no such one."""
    statement = select(reviews).where(reviews.c.tenant == tenant, reviews.c.task == task)
    return (await connection.execute(statement)).mappings().one_or_none()


async def waiting(connection: AsyncConnection, tenant: str) -> dict[str, int]:
    """Count what waits: `reviews` open, prices to be judged among them, and `letters` parked."""
    opened = select(func.count()).select_from(reviews).where(reviews.c.tenant == tenant, reviews.c.state == "open")
    held = (
        select(func.count())
        .select_from(held_quotes)
        .where(held_quotes.c.tenant == tenant, held_quotes.c.state == "open")
    )
    parked = select(func.count()).select_from(dead_letters).where(dead_letters.c.tenant == tenant)
    row = (
        await connection.execute(
            select(
                (opened.scalar_subquery() + held.scalar_subquery()).label("reviews"),
                parked.scalar_subquery().label("letters"),
            )
        )
    ).one()
    return {"reviews": row.reviews, "letters": row.letters}


async def states(connection: AsyncConnection, tenant: str) -> list[RowMapping]:
    """Return the stations with their last health and how far their stream is committed."""
    marked = and_(watermarks.c.tenant == stations.c.tenant, watermarks.c.stream == stations.c.stream)
    wanted = and_(desired_configs.c.tenant == stations.c.tenant, desired_configs.c.station == stations.c.station)
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


async def published(connection: AsyncConnection, tenant: str) -> list[RowMapping]:
    """Return the packs and models that the tenant's stations are to use."""
    statement = select(fleet_wares).where(fleet_wares.c.tenant == tenant).order_by(fleet_wares.c.ware)
    return rows(await connection.execute(statement))


async def evictions(connection: AsyncConnection, tenant: str, *, latest: int = 10) -> dict[str, dict[str, Any]]:
    """Return, by station, what its eviction ledger says: how many images went, of how many bytes, and the latest."""
    said = events.c.data.cast(JSON)
    kind = func.coalesce(said["kind"].as_string(), "full").label("kind")
    count = said["bytes"].as_string().cast(BigInteger)
    evicted = (events.c.tenant == tenant, events.c.type == literal_column("'cardmint.image.evicted.v1'"))
    station = func.split_part(events.c.source, "/", 3).label("station")
    statement = select(station, kind, func.count().label("images"), func.sum(count).label("bytes")).where(*evicted)
    found: dict[str, dict[str, Any]] = {}
    for row in rows(await connection.execute(statement.group_by(station, kind).order_by(station, kind))):
        ledger = found.setdefault(row["station"], {"images": 0, "bytes": 0, "kinds": {}, "latest": []})
        ledger["images"] += row["images"]
        ledger["bytes"] += int(row["bytes"])
        ledger["kinds"][row["kind"]] = row["images"]
    digest, reason = said["sha256"].as_string(), said["reason"].as_string()
    for name, ledger in found.items():
        newest = select(
            digest.label("sha256"), kind, count.label("bytes"), reason.label("reason"), events.c.occurred_at
        )
        newest = newest.where(*evicted, events.c.source == f"/stations/{name}").order_by(events.c.position.desc())
        ledger["latest"] = rows(await connection.execute(newest.limit(latest)))
    return found


async def letters(connection: AsyncConnection, tenant: str, *, limit: int = 50) -> list[RowMapping]:
    """Return dead letters, the newest first, with the beginning of each payload and its size."""
    columns = [column for column in dead_letters.c if column.name != "payload"]
    preview = (
        func.substring(dead_letters.c.payload, 1, 4096).label("preview"),
        func.length(dead_letters.c.payload).label("bytes"),
    )
    statement = select(*columns, *preview).where(dead_letters.c.tenant == tenant)
    return rows(
        await connection.execute(statement.order_by(dead_letters.c.last_at.desc(), dead_letters.c.id).limit(limit))
    )


async def letter(connection: AsyncConnection, tenant: str, which: int) -> RowMapping | None:
    """Return one dead letter whole; None when there is no such one."""
    statement = select(dead_letters).where(dead_letters.c.tenant == tenant, dead_letters.c.id == which)
    return (await connection.execute(statement)).mappings().one_or_none()


async def status_counts(connection: AsyncConnection, tenant: str) -> dict[str, int]:
    """Count physical cards by status."""
    statement = select(items.c.status, func.count()).where(items.c.tenant == tenant).group_by(items.c.status)
    return {row[0]: row[1] for row in await connection.execute(statement)}

"""What waits for a person, and how the stations are."""

from collections.abc import Sequence
from typing import Any, Literal, cast
from uuid import UUID

from sqlalchemy import BigInteger, RowMapping, and_, func, literal_column, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from cardmint_cloud.adapters.postgres.queries.inventory import rows
from cardmint_cloud.adapters.postgres.tables import (
    dead_letters,
    desired_configs,
    events,
    fleet_artifacts,
    held_quotes,
    items,
    review_leases,
    reviews,
    stations,
    watermarks,
)
from cardmint_contracts.events import CardScanned, ImageEvicted
from cardmint_contracts.upcasters import decode_data

_FIRST = {
    "open": (reviews.c.escalated.desc(), reviews.c.opened_at),
    "answered": (reviews.c.closed_at.desc(),),
}


async def list_reviews(
    connection: AsyncConnection, tenant: str, state: Literal["open", "answered"], *, limit: int = 20
) -> list[RowMapping]:
    """Return review tasks: open ones as they came, the escalated first.

    Closed ones the newest first.
    """
    batch = (
        items.c.condition,
        items.c.finish,
        items.c.edition,
        items.c.language,
        items.c.bin,
        items.c.lot,
    )
    scanned = and_(items.c.tenant == reviews.c.tenant, items.c.item == reviews.c.item)
    leased = and_(
        review_leases.c.tenant == reviews.c.tenant, review_leases.c.task == reviews.c.task
    )
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


async def earlier_scans(
    connection: AsyncConnection, tenant: str, scans: Sequence[UUID]
) -> dict[UUID, RowMapping]:
    """Return, by scan, the earlier one whose card it perhaps shows again, as far as the station named it."""
    statement = select(events.c.type, events.c.data).where(
        events.c.tenant == tenant,
        events.c.subject.in_(scans),
        events.c.type.like(literal_column("'cardmint.card.scanned.v%'")),
    )
    named: dict[UUID, UUID] = {}
    for row in await connection.execute(statement):
        scan = cast("CardScanned", decode_data(row.type, row.data.encode()))
        if scan.possible_duplicate_of is not None:
            named[scan.scan] = scan.possible_duplicate_of
    wanted = select(items).where(items.c.tenant == tenant, items.c.item.in_(named.values()))
    found = {row["item"]: row for row in rows(await connection.execute(wanted))}
    return {scan: found[earlier] for scan, earlier in named.items() if earlier in found}


async def find_review(connection: AsyncConnection, tenant: str, task: UUID) -> RowMapping | None:
    """Return one review task; None when there is no such one."""
    statement = select(reviews).where(reviews.c.tenant == tenant, reviews.c.task == task)
    return (await connection.execute(statement)).mappings().one_or_none()


async def count_waiting(connection: AsyncConnection, tenant: str) -> dict[str, int]:
    """Count what waits: `reviews` open, prices to be judged among them, and `letters` parked."""
    opened = (
        select(func.count())
        .select_from(reviews)
        .where(reviews.c.tenant == tenant, reviews.c.state == "open")
    )
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


async def list_stations(connection: AsyncConnection, tenant: str) -> list[RowMapping]:
    """Return the stations with their last health and how far their stream is committed."""
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
    """Return the packs and models that the tenant's stations are to use."""
    statement = (
        select(fleet_artifacts)
        .where(fleet_artifacts.c.tenant == tenant)
        .order_by(fleet_artifacts.c.artifact)
    )
    return rows(await connection.execute(statement))


async def list_evictions(
    connection: AsyncConnection, tenant: str, *, latest: int = 10
) -> dict[str, dict[str, Any]]:
    """Return, by station, what its eviction ledger says.

    Of whole images: how many of how many bytes went, and how many of them the cloud never had,
    `lost`. Then how many `thumbnails`, and the `latest` of either kind as events. Postgres adds up
    what differs only in image and size.
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


async def was_given_up(connection: AsyncConnection, tenant: str, station: str, sha256: str) -> bool:
    """Whether a station says that it gave up an image that the cloud does not have."""
    statement = select(events.c.type, events.c.data).where(
        events.c.tenant == tenant,
        events.c.type.like(literal_column("'cardmint.image.evicted.v%'")),
        events.c.source == f"/stations/{station}",
        events.c.data.contains(sha256, autoescape=True),
    )
    said = [decode_data(row.type, row.data.encode()) for row in await connection.execute(statement)]
    return any(isinstance(one, ImageEvicted) and not one.uploaded for one in said)


async def list_dead_letters(
    connection: AsyncConnection, tenant: str, *, limit: int = 50
) -> list[RowMapping]:
    """Return dead letters, the newest first, with the beginning of each payload and its size."""
    columns = [column for column in dead_letters.c if column.name != "payload"]
    preview = (
        func.substring(dead_letters.c.payload, 1, 4096).label("preview"),
        func.length(dead_letters.c.payload).label("bytes"),
    )
    statement = select(*columns, *preview).where(dead_letters.c.tenant == tenant)
    return rows(
        await connection.execute(
            statement.order_by(dead_letters.c.last_at.desc(), dead_letters.c.id).limit(limit)
        )
    )


async def find_dead_letter(
    connection: AsyncConnection, tenant: str, which: int
) -> RowMapping | None:
    """Return one dead letter whole; None when there is no such one."""
    statement = select(dead_letters).where(
        dead_letters.c.tenant == tenant, dead_letters.c.id == which
    )
    return (await connection.execute(statement)).mappings().one_or_none()


async def count_by_status(connection: AsyncConnection, tenant: str) -> dict[str, int]:
    """Count physical cards by status."""
    statement = (
        select(items.c.status, func.count())
        .where(items.c.tenant == tenant)
        .group_by(items.c.status)
    )
    return {row[0]: row[1] for row in await connection.execute(statement)}

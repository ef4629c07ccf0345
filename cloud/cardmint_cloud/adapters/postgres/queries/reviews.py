"""Review tasks as the dashboard shows them, and how much waits for a person."""

from collections.abc import Sequence
from typing import Literal, cast
from uuid import UUID

from sqlalchemy import RowMapping, and_, func, literal_column, select
from sqlalchemy.ext.asyncio import AsyncConnection

from cardmint_cloud.adapters.postgres.queries.inventory import rows
from cardmint_cloud.adapters.postgres.tables import (
    dead_letters,
    events,
    held_quotes,
    items,
    review_leases,
    reviews,
)
from cardmint_contracts.events import CardScanned
from cardmint_contracts.upcasters import decode_data

_FIRST = {
    "open": (reviews.c.escalated.desc(), reviews.c.opened_at),
    "answered": (reviews.c.closed_at.desc(),),
}


async def list_reviews(
    connection: AsyncConnection, tenant: str, state: Literal["open", "answered"], *, limit: int = 20
) -> list[RowMapping]:
    """Return open reviews, escalated and oldest first, or closed ones, the newest first."""
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
    """Return, by scan, the item that it may show again according to its station."""
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
    """Return one review; None when it does not exist."""
    statement = select(reviews).where(reviews.c.tenant == tenant, reviews.c.task == task)
    return (await connection.execute(statement)).mappings().one_or_none()


async def count_waiting(connection: AsyncConnection, tenant: str) -> dict[str, int]:
    """Count open reviews and held quotes (`reviews`), and dead letters (`letters`)."""
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

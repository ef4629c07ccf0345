"""Review tasks as the dashboard shows them, and how much waits for a person."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast
from uuid import UUID

from sqlalchemy import ColumnElement, RowMapping, and_, func, literal_column, select
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

SHOWN = 20
"""Reviews of a page."""

CHIPS = 8
"""Reasons, stations and lots that are offered as filters, at most."""

_FIRST = {
    "open": (reviews.c.escalated.desc(), reviews.c.opened_at),
    "answered": (reviews.c.closed_at.desc(),),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class ReviewFilter:
    """Which open reviews: with a reason, of a station, of a lot; empty is any. Pages are from 1."""

    reason: str = ""
    station: str = ""
    lot: str = ""
    page: int = 1


async def open_counts(connection: AsyncConnection, tenant: str) -> dict[str, dict[str, int]]:
    """Count the open reviews by `reason`, `station` and `lot`, the most first."""
    opened = and_(reviews.c.tenant == tenant, reviews.c.state == "open")
    with_item = reviews.join(
        items, and_(items.c.tenant == reviews.c.tenant, items.c.item == reviews.c.item)
    )
    reason = func.unnest(reviews.c.reasons)
    parts = {
        "reason": select(reason, func.count()).select_from(reviews).group_by(reason),
        "station": select(reviews.c.station, func.count()).group_by(reviews.c.station),
        "lot": select(items.c.lot, func.count())
        .select_from(with_item)
        .where(items.c.lot != "")
        .group_by(items.c.lot),
    }
    return {
        name: {
            row[0]: row[1]
            for row in await connection.execute(
                counted.where(opened).order_by(func.count().desc()).limit(CHIPS)
            )
        }
        for name, counted in parts.items()
    }


async def count_open(connection: AsyncConnection, tenant: str, wanted: ReviewFilter) -> int:
    """Count the open reviews that a filter leaves."""
    scanned = and_(items.c.tenant == reviews.c.tenant, items.c.item == reviews.c.item)
    statement = (
        select(func.count())
        .select_from(reviews.join(items, scanned))
        .where(reviews.c.tenant == tenant, reviews.c.state == "open", *_wanted(wanted))
    )
    return int(await connection.scalar(statement) or 0)


def _wanted(wanted: ReviewFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if wanted.reason:
        conditions.append(reviews.c.reasons.contains([wanted.reason]))
    if wanted.station:
        conditions.append(reviews.c.station == wanted.station)
    if wanted.lot:
        conditions.append(items.c.lot == wanted.lot)
    return conditions


async def list_reviews(
    connection: AsyncConnection,
    tenant: str,
    state: Literal["open", "answered"],
    *,
    limit: int = SHOWN,
    wanted: ReviewFilter | None = None,
) -> list[RowMapping]:
    """Return open reviews, escalated and oldest first, or closed ones, the newest first."""
    wanted = wanted or ReviewFilter()
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
        .where(reviews.c.tenant == tenant, reviews.c.state == state, *_wanted(wanted))
        .order_by(*_FIRST[state], reviews.c.task)
    )
    page = statement.limit(limit).offset((wanted.page - 1) * limit)
    return rows(await connection.execute(page))


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

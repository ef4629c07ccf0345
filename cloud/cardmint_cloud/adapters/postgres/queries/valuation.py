"""Counted cards at a moment, and the history of their quotes."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from cardmint_cloud.adapters.postgres.tables import items, quotes
from cardmint_cloud.domain.items import HELD
from cardmint_cloud.domain.quotes import Quote
from cardmint_cloud.domain.valuation import ValuedLine

_HELD = (items.c.status == "counted", items.c.stock.in_(sorted(HELD)))
_KIND = (
    quotes.c.finish,
    quotes.c.edition,
    quotes.c.source,
    quotes.c.basis,
    quotes.c.minor,
    quotes.c.currency,
)


async def counted_lines(
    connection: AsyncConnection,
    tenant: str,
    at: datetime,
    *,
    lot: str | None = None,
    card_id: str | None = None,
) -> list[ValuedLine]:
    """Return the cards received by a moment that are there now, with today's descriptions."""
    kind = (items.c.card_id, items.c.finish, items.c.edition, items.c.lot)
    statement = select(*kind, func.count().label("count")).where(
        items.c.tenant == tenant, *_HELD, items.c.received_at <= at
    )
    if lot is not None:
        statement = statement.where(items.c.lot == lot)
    if card_id is not None:
        statement = statement.where(items.c.card_id == card_id)
    found = await connection.execute(statement.group_by(*kind).order_by(*kind))
    return [ValuedLine(**row) for row in found.mappings()]


async def list_lots(connection: AsyncConnection, tenant: str) -> list[str]:
    """Return the lots that cards which are there belong to."""
    statement = select(items.c.lot).where(items.c.tenant == tenant, *_HELD, items.c.lot != "")
    return list(await connection.scalars(statement.distinct().order_by(items.c.lot)))


async def quote_histories(
    connection: AsyncConnection, tenant: str, card_ids: Sequence[str], until: datetime
) -> dict[str, list[tuple[Quote, datetime]]]:
    """Return each card's ungraded quotes with the moments of their fetching, the oldest first."""
    statement = (
        select(quotes.c.card_id, quotes.c.fetched_at, quotes.c.as_of, *_KIND)
        .where(
            quotes.c.tenant == tenant,
            quotes.c.card_id == func.any(list(card_ids)),
            quotes.c.fetched_at <= until,
            quotes.c.grade == "",
        )
        .order_by(quotes.c.fetched_at, quotes.c.id)
    )
    found: dict[str, list[tuple[Quote, datetime]]] = {}
    for row in (await connection.execute(statement)).mappings():
        values: dict[str, Any] = dict(row)
        fetched_at = values.pop("fetched_at")
        found.setdefault(values.pop("card_id"), []).append((Quote(**values), fetched_at))
    return found

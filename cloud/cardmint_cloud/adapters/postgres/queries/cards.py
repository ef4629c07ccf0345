"""Queries about one printing and one physical card, with their history."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import RowMapping, and_, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from cardmint_cloud.adapters.postgres.columns import printing_of
from cardmint_cloud.adapters.postgres.queries.inventory import like_pattern, rows
from cardmint_cloud.adapters.postgres.tables import (
    current_quotes,
    events,
    holdings,
    items,
    price_checks,
    printings,
    quotes,
    reviews,
)
from cardmint_cloud.domain.catalogue_words import query_words
from cardmint_contracts.cards import Card
from cardmint_contracts.upcasters import decode_data

_NAMED = (printings.c.name, printings.c.number, printings.c.set_id, printings.c.set_name)
_ITEMS = select(
    items, *(func.coalesce(column, "").label(column.name) for column in _NAMED)
).select_from(
    items.outerjoin(
        printings,
        and_(printings.c.tenant == items.c.tenant, printings.c.card_id == items.c.card_id),
    )
)
"""Items with the names of their printings; empty names without a printing."""


async def newest_items(
    connection: AsyncConnection, tenant: str, *, limit: int = 12
) -> list[RowMapping]:
    """Return the items that were received last, the newest first."""
    statement = _ITEMS.where(items.c.tenant == tenant)
    return rows(
        await connection.execute(
            statement.order_by(
                items.c.received_at.desc(), items.c.captured_at.desc(), items.c.item
            ).limit(limit)
        )
    )


async def items_after(
    connection: AsyncConnection, tenant: str, after: tuple[datetime, UUID] | None, *, limit: int
) -> list[RowMapping]:
    """Return items in the order of their receipt, those after the cursor `after`."""
    statement = _ITEMS.where(items.c.tenant == tenant)
    if after is not None:
        moment, item = after
        statement = statement.where(
            items.c.received_at >= moment,
            (items.c.received_at > moment) | (items.c.item > item),
        )
    return rows(
        await connection.execute(statement.order_by(items.c.received_at, items.c.item).limit(limit))
    )


async def received_since(
    connection: AsyncConnection, tenant: str, since: datetime
) -> list[RowMapping]:
    """Return the items received at or after `since`, in order."""
    statement = _ITEMS.where(items.c.tenant == tenant, items.c.received_at >= since)
    return rows(await connection.execute(statement.order_by(items.c.received_at, items.c.item)))


async def search_printings(
    connection: AsyncConnection, tenant: str, text: str, *, limit: int
) -> list[RowMapping]:
    """Find printings that stations have named by what is printed on them."""
    words = query_words(text)
    if not words:
        return []
    statement = select(printings).where(
        printings.c.tenant == tenant,
        *(printings.c.words.like(like_pattern(word), escape="\\") for word in words),
    )
    ordered = statement.order_by(func.length(printings.c.name), printings.c.card_id)
    return rows(await connection.execute(ordered.limit(limit)))


async def find_printing(connection: AsyncConnection, tenant: str, card_id: str) -> Card | None:
    """Return a printing as stations have named it; None when none has."""
    statement = select(printings).where(
        printings.c.tenant == tenant, printings.c.card_id == card_id
    )
    row = (await connection.execute(statement)).mappings().one_or_none()
    if row is None:
        return None
    return printing_of(row)


async def holdings_of(connection: AsyncConnection, tenant: str, card_id: str) -> list[RowMapping]:
    """Return the holdings of a printing, each with its price."""
    priced = and_(
        current_quotes.c.tenant == holdings.c.tenant,
        current_quotes.c.card_id == holdings.c.card_id,
        current_quotes.c.finish == holdings.c.finish,
        current_quotes.c.edition == holdings.c.edition,
    )
    quoted = [column for column in current_quotes.c if column.name not in holdings.c]
    statement = (
        select(holdings, *quoted)
        .select_from(holdings.outerjoin(current_quotes, priced))
        .where(holdings.c.tenant == tenant, holdings.c.card_id == card_id, holdings.c.count > 0)
        .order_by(holdings.c.finish, holdings.c.edition, holdings.c.condition, holdings.c.language)
    )
    return rows(await connection.execute(statement))


async def items_of_printing(
    connection: AsyncConnection, tenant: str, card_id: str, *, limit: int = 60
) -> list[RowMapping]:
    """Return the items of a printing, the newest first."""
    statement = select(items).where(items.c.tenant == tenant, items.c.card_id == card_id)
    return rows(
        await connection.execute(
            statement.order_by(items.c.captured_at.desc(), items.c.item).limit(limit)
        )
    )


async def quote_history(
    connection: AsyncConnection, tenant: str, card_id: str, *, limit: int = 200
) -> list[RowMapping]:
    """Return the changed quotes of a printing, the newest first."""
    statement = select(quotes).where(quotes.c.tenant == tenant, quotes.c.card_id == card_id)
    return rows(
        await connection.execute(
            statement.order_by(quotes.c.fetched_at.desc(), quotes.c.id.desc()).limit(limit)
        )
    )


async def find_price_check(
    connection: AsyncConnection, tenant: str, card_id: str
) -> RowMapping | None:
    """Return when a printing is priced next, and the last problem; None when unknown."""
    statement = select(price_checks).where(
        price_checks.c.tenant == tenant, price_checks.c.card_id == card_id
    )
    return (await connection.execute(statement)).mappings().one_or_none()


async def find_item(connection: AsyncConnection, tenant: str, which: UUID) -> RowMapping | None:
    """Return one item; None when it does not exist."""
    statement = _ITEMS.where(items.c.tenant == tenant, items.c.item == which)
    return (await connection.execute(statement)).mappings().one_or_none()


async def has_image(connection: AsyncConnection, tenant: str, which: UUID, sha256: str) -> bool:
    """Whether a station named this image for an item."""
    statement = select(items.c.item).where(
        items.c.tenant == tenant, items.c.item == which, items.c.image == sha256
    )
    return (await connection.execute(statement)).first() is not None


async def event_names_image(
    connection: AsyncConnection, tenant: str, which: UUID, sha256: str
) -> bool:
    """Whether an event about an item names this image.

    Of events whose month was retired from the log the item itself remembers the first image.
    """
    statement = select(events.c.sequence).where(
        events.c.tenant == tenant, events.c.subject == which, events.c.data.contains(sha256)
    )
    if (await connection.execute(statement)).first() is not None:
        return True
    return await has_image(connection, tenant, which, sha256)


async def any_item_has_image(connection: AsyncConnection, tenant: str, sha256: str) -> bool:
    """Whether any item, review or re-scan names this image.

    Reads every item: no index serves it. The image of a re-scan that answered its question only the
    log names, about the item of a review.
    """
    of_items = select(items.c.item).where(items.c.tenant == tenant, items.c.image == sha256)
    of_reviews = select(reviews.c.item).where(
        reviews.c.tenant == tenant, reviews.c.image["sha256"].astext == sha256
    )
    asked = select(reviews.c.item).where(reviews.c.tenant == tenant, reviews.c.state != "open")
    of_rescans = select(events.c.subject).where(
        events.c.tenant == tenant, events.c.subject.in_(asked), events.c.data.contains(sha256)
    )
    found = await connection.execute(of_items.union_all(of_reviews, of_rescans).limit(1))
    return found.first() is not None


async def item_history(
    connection: AsyncConnection, tenant: str, subjects: list[UUID], *, limit: int = 100
) -> list[dict[str, Any]]:
    """Return the events about items, the last applied first, decoded as of today's versions."""
    columns = (
        events.c.type,
        events.c.source,
        events.c.occurred_at,
        events.c.received_at,
        events.c.sequence,
    )
    statement = (
        select(*columns, events.c.subject, events.c.clock_synced, events.c.data)
        .where(events.c.tenant == tenant, events.c.subject.in_(subjects))
        .order_by(events.c.position.desc())
        .limit(limit)
    )
    found = rows(await connection.execute(statement))
    return [{**row, "data": decode_data(row["type"], row["data"].encode())} for row in found]


async def review_of_item(
    connection: AsyncConnection, tenant: str, which: UUID
) -> RowMapping | None:
    """Return the review of an item; None when there was none."""
    statement = select(reviews).where(reviews.c.tenant == tenant, reviews.c.item == which)
    return (await connection.execute(statement)).mappings().first()

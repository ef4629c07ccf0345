"""The inventory as pages show it: lines, totals and filters."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Numeric,
    RowMapping,
    Select,
    and_,
    asc,
    cast,
    desc,
    func,
    select,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from cardmint_cloud.adapters.postgres.tables import current_quotes as q
from cardmint_cloud.adapters.postgres.tables import holdings as h
from cardmint_cloud.adapters.postgres.tables import (
    items,
)
from cardmint_cloud.adapters.postgres.tables import printings as p

SortKey = Literal["name", "number", "count", "price", "value"]
MAX_WORDS = 12


@dataclass(frozen=True, kw_only=True, slots=True)
class InventoryFilter:
    """Which lines of the inventory, in which order, and which page of them.

    Pages count from 1; an empty filter matches everything.
    """

    words: str = ""
    set_id: str = ""
    finish: str = ""
    condition: str = ""
    sort: SortKey = "name"
    descending: bool = False
    page: int = 1
    size: int = 50


@dataclass(frozen=True, kw_only=True, slots=True)
class CurrencyTotal:
    """A sum in one currency, in minor units. `lowest` when a part of it is a lowest price."""

    currency: str
    minor: int
    lowest: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class InventoryTotals:
    """Totals: items, printings, value by currency, and the number of items without a price."""

    cards: int
    printings: int
    unpriced: int
    worth: tuple[CurrencyTotal, ...]


def _held() -> FromClause:
    return h.join(p, and_(p.c.tenant == h.c.tenant, p.c.card_id == h.c.card_id)).outerjoin(
        q,
        and_(
            q.c.tenant == h.c.tenant,
            q.c.card_id == h.c.card_id,
            q.c.finish == h.c.finish,
            q.c.edition == h.c.edition,
        ),
    )


def like_pattern(word: str) -> str:
    """Return the ILIKE pattern that finds `word` anywhere, with its wildcards escaped."""
    escaped = word.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"


def _narrowed(statement: Select[Any], tenant: str, wanted: InventoryFilter) -> Select[Any]:
    statement = statement.select_from(_held()).where(h.c.tenant == tenant, h.c.count > 0)
    for word in wanted.words.replace("\x00", " ").split()[:MAX_WORDS]:
        text = func.concat_ws(" ", p.c.name, p.c.number, p.c.set_name, p.c.set_id, p.c.card_id)
        statement = statement.where(text.ilike(like_pattern(word), escape="\\"))
    if wanted.set_id:
        statement = statement.where(p.c.set_id == wanted.set_id)
    if wanted.finish:
        statement = statement.where(
            h.c.finish == ("" if wanted.finish == "open" else wanted.finish)
        )
    if wanted.condition:
        statement = statement.where(
            h.c.condition == ("" if wanted.condition == "open" else wanted.condition)
        )
    return statement


NUMBER_LETTERS = func.lower(func.regexp_replace(p.c.number, "[0-9].*$", ""))
NUMBER_DIGITS = cast(func.nullif(func.substring(p.c.number, "[0-9]+"), ""), Numeric)
"""A collector number's letters and digits apart: TG2 sorts before TG10, and 9/40 before 10/40."""
_NUMBER = (
    func.lower(p.c.set_name),
    p.c.set_id,
    NUMBER_LETTERS,
    func.coalesce(NUMBER_DIGITS, -1),
    p.c.number,
)
_VALUE = h.c.count * q.c.minor
_KEY = (h.c.card_id, h.c.language, h.c.finish, h.c.edition, h.c.condition)


def _order(wanted: InventoryFilter) -> tuple[ColumnElement[Any], ...]:
    """Return the order. Prices of different currencies are not compared, but grouped."""
    direction = desc if wanted.descending else asc
    name = func.lower(p.c.name)
    match wanted.sort:
        case "name":
            return (direction(name), *_NUMBER, *_KEY)
        case "number":
            return (*(direction(part) for part in _NUMBER), *_KEY)
        case "count":
            return (direction(h.c.count), name, *_KEY)
        case "price" | "value":
            amount = q.c.minor if wanted.sort == "price" else _VALUE
            return (q.c.currency.desc().nulls_last(), direction(amount), name, *_KEY)


async def inventory_page(
    connection: AsyncConnection, tenant: str, wanted: InventoryFilter
) -> tuple[list[RowMapping], int]:
    """Return one page of the inventory's lines, and the number of all lines."""
    columns = (
        *(p.c.name, p.c.number, p.c.set_id, p.c.set_name),
        *(h.c.card_id, h.c.language, h.c.finish, h.c.edition, h.c.condition, h.c.count),
        *(q.c.minor, q.c.currency, q.c.lowest, q.c.source, q.c.basis, q.c.as_of, q.c.fetched_at),
        _VALUE.label("value"),
    )
    page = (
        _narrowed(select(*columns), tenant, wanted)
        .order_by(*_order(wanted))
        .limit(wanted.size)
        .offset((wanted.page - 1) * wanted.size)
    )
    total = await connection.scalar(_narrowed(select(func.count()), tenant, wanted))
    return rows(await connection.execute(page)), int(total or 0)


async def inventory_totals(
    connection: AsyncConnection, tenant: str, wanted: InventoryFilter | None = None
) -> InventoryTotals:
    """Return the totals of all lines that match the filter, on every page."""
    statement = _narrowed(
        select(
            q.c.currency,
            func.sum(h.c.count).label("cards"),
            func.sum(_VALUE).label("minor"),
            func.bool_or(q.c.lowest).label("lowest"),
        ),
        tenant,
        wanted or InventoryFilter(),
    ).group_by(q.c.currency)
    found = rows(await connection.execute(statement.order_by(q.c.currency.desc())))
    printings = await connection.scalar(
        _narrowed(select(func.count(h.c.card_id.distinct())), tenant, wanted or InventoryFilter())
    )
    return InventoryTotals(
        cards=sum(int(row["cards"]) for row in found),
        printings=int(printings or 0),
        unpriced=sum(int(row["cards"]) for row in found if row["currency"] is None),
        worth=sums_by_currency(found),
    )


def sums_by_currency(found: Sequence[RowMapping]) -> tuple[CurrencyTotal, ...]:
    """Return rows with `currency`, `minor` and `lowest` as sums, without those of no currency."""
    return tuple(
        CurrencyTotal(currency=row["currency"], minor=int(row["minor"]), lowest=row["lowest"])
        for row in found
        if row["currency"] is not None
    )


async def held_sets(connection: AsyncConnection, tenant: str) -> list[RowMapping]:
    """Return the sets with at least one printing, by name."""
    statement = (
        select(p.c.set_id, func.max(p.c.set_name).label("set_name"))
        .where(p.c.tenant == tenant, p.c.set_id != "")
        .group_by(p.c.set_id)
        .order_by(func.lower(func.max(p.c.set_name)), p.c.set_id)
    )
    return rows(await connection.execute(statement))


def rows(result: Any) -> list[RowMapping]:
    """Return a result's rows by column."""
    return list(result.mappings().all())


async def count_by_status(connection: AsyncConnection, tenant: str) -> dict[str, int]:
    """Return the number of items by status."""
    statement = (
        select(items.c.status, func.count())
        .where(items.c.tenant == tenant)
        .group_by(items.c.status)
    )
    return {row[0]: row[1] for row in await connection.execute(statement)}

"""Items that a query finds, as pages, exports and programs list them."""

import re
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal, cast
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Numeric,
    RowMapping,
    Select,
    and_,
    case,
    false,
    func,
    literal,
    literal_column,
    not_,
    or_,
    select,
    true,
    tuple_,
)
from sqlalchemy import cast as sql_cast
from sqlalchemy.ext.asyncio import AsyncConnection

from cardmint_cloud.adapters.postgres.queries.inventory import (
    NUMBER_DIGITS,
    NUMBER_LETTERS,
    CurrencyTotal,
    like_pattern,
    rows,
    sums_by_currency,
)
from cardmint_cloud.adapters.postgres.tables import catalogue_printings as cp
from cardmint_cloud.adapters.postgres.tables import catalogue_sets as cs
from cardmint_cloud.adapters.postgres.tables import current_quotes as q
from cardmint_cloud.adapters.postgres.tables import events as e
from cardmint_cloud.adapters.postgres.tables import items as i
from cardmint_cloud.adapters.postgres.tables import printings as p
from cardmint_cloud.domain.catalogue_words import query_words
from cardmint_cloud.domain.folding import folded
from cardmint_cloud.domain.item_query import KEYWORDS, ItemQuery, Kind, Operator, Term, Value
from cardmint_contracts.changes import AddedGroup
from cardmint_contracts.currencies import DECIMALS
from cardmint_contracts.events import ItemsAdded, ItemsChanged
from cardmint_contracts.upcasters import decode_data

_CHANGES = ("cardmint.items.changed.v%", "cardmint.items.added.v%")
"""Kinds of events about changes, as their indexes name them."""

FETCHED = 1000
"""Rows that an export reads at a time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ItemTotals:
    """How many items a query finds, how many have no price, and what the others are worth."""

    items: int
    unpriced: int
    worth: tuple[CurrencyTotal, ...]


def _listed(tenant: str) -> FromClause:
    return i.outerjoin(p, and_(p.c.tenant == i.c.tenant, p.c.card_id == i.c.card_id)).outerjoin(
        q,
        and_(
            q.c.tenant == tenant,
            q.c.card_id == i.c.card_id,
            q.c.finish == i.c.finish,
            q.c.edition == i.c.edition,
        ),
    )


def _whole(minor: ColumnElement[Any], currency: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return an amount in the currency's own unit."""
    divisor = case(
        *((currency == one, literal(10**decimals, Numeric)) for one, decimals in DECIMALS.items()),
        else_=literal(100, Numeric),
    )
    return sql_cast(minor, Numeric) / divisor


_PRICE = _whole(q.c.minor, q.c.currency)
_PAID = _whole(i.c.paid_minor, i.c.paid_currency)
_WITHOUT = re.compile("^0+(?=[0-9])|/.*$")
"""What a number is compared without: zeros before it, and the size of the set."""
_NUMBER = func.regexp_replace(func.lower(p.c.number), _WITHOUT.pattern, "", "g")
_FLAGS: dict[str, ColumnElement[bool]] = {
    "priced": q.c.minor.is_not(None),
    "unpriced": q.c.minor.is_(None),
    "graded": i.c.grader != "",
    "noted": i.c.note != "",
    "changed": func.cardinality(i.c.changes) > 0,
    "pictured": i.c.image != "",
    "paid": i.c.paid_minor.is_not(None),
}
_TEXTS: dict[str, ColumnElement[Any]] = {
    "number": _NUMBER,
    "card": func.cardmint_folded(i.c.card_id),
    "lang": func.cardmint_folded(i.c.language),
    "bin": func.cardmint_folded(i.c.bin),
    "lot": func.cardmint_folded(i.c.lot),
    "note": func.cardmint_folded(i.c.note),
    "station": func.cardmint_folded(i.c.station),
    "grader": func.cardmint_folded(i.c.grader),
    "grade": func.cardmint_folded(i.c.grade),
}
_CODES: dict[str, ColumnElement[Any]] = {
    "finish": i.c.finish,
    "edition": i.c.edition,
    "condition": i.c.condition,
    "status": i.c.status,
    "stock": i.c.stock,
}
_NUMBERS: dict[str, ColumnElement[Any]] = {
    "price": _PRICE,
    "paid": _PAID,
    "confidence": sql_cast(i.c.confidence, Numeric),
}
_ORDERS: dict[str, tuple[ColumnElement[Any], ...]] = {
    "name": (func.lower(p.c.name),),
    "set": (func.lower(p.c.set_name), p.c.set_id, NUMBER_LETTERS, func.coalesce(NUMBER_DIGITS, -1)),
    "number": (NUMBER_LETTERS, func.coalesce(NUMBER_DIGITS, -1)),
    "price": (_PRICE,),
    "paid": (_PAID,),
    "bin": (i.c.bin, i.c.received_at),
    "lot": (i.c.lot, i.c.received_at),
    "scanned": (i.c.captured_at,),
    "received": (),
    "confidence": (i.c.confidence,),
}
_COLUMNS = (
    *(one for one in i.c if one is not i.c.written),
    *(func.coalesce(one, "").label(one.name) for one in (p.c.name, p.c.number)),
    *(func.coalesce(one, "").label(one.name) for one in (p.c.set_id, p.c.set_name)),
    *(q.c.minor, q.c.currency, q.c.lowest, q.c.source, q.c.basis, q.c.as_of, q.c.fetched_at),
)

_NOT_EXPORTED = frozenset(
    {"tenant", "received_at", "margin", "image", "changes", "lowest", "basis", "fetched_at"}
)
_EXPORTED = tuple(one for one in _COLUMNS if one.name not in _NOT_EXPORTED)


async def item_page(
    connection: AsyncConnection, tenant: str, query: ItemQuery, *, limit: int, offset: int = 0
) -> list[RowMapping]:
    """Return one page of the items that a query finds, in its order."""
    statement = _ordered(_found(select(*_COLUMNS), tenant, query), query)
    return rows(await connection.execute(statement.limit(limit).offset(offset)))


async def item_count(connection: AsyncConnection, tenant: str, query: ItemQuery) -> int:
    """Return how many items a query finds: without their prices, which take most of the time."""
    statement = _found(select(func.count()), tenant, query)
    return int(await connection.scalar(statement) or 0)


_FACETS: dict[str, ColumnElement[Any]] = {
    "set": func.coalesce(p.c.set_id, ""),
    "lang": i.c.language,
    "finish": i.c.finish,
    "edition": i.c.edition,
    "condition": i.c.condition,
    "status": i.c.status,
    "stock": i.c.stock,
    "bin": i.c.bin,
    "lot": i.c.lot,
    "station": i.c.station,
}
"""Keywords whose values are counted."""

FACET_VALUES = 50
Facets = dict[str, list[dict[str, Any]]]
"""Values of each keyword, with their `count`."""


async def item_facets(connection: AsyncConnection, tenant: str, query: ItemQuery) -> Facets:
    """Return the values of the items that a query finds, by keyword, with the number of each.

    The most frequent come first, 50 at most.
    """
    found = _found(select(*(one.label(name) for name, one in _FACETS.items())), tenant, query).cte(
        "found"
    )
    names = list(_FACETS)
    statement = select(
        *found.c, func.count().label("count"), func.grouping(*found.c).label("grouped")
    ).group_by(func.grouping_sets(*(tuple_(column) for column in found.c)))
    facets: Facets = {name: [] for name in names}
    ordered = statement.order_by(func.count().desc(), *found.c)
    for row in (await connection.execute(ordered)).mappings():
        # Of the bits, the one of the column that was grouped by is 0; the first is the highest.
        bits = f"{row['grouped']:0{len(names)}b}"
        name = names[bits.index("0")]
        if len(facets[name]) < FACET_VALUES:
            facets[name].append({"value": row[name], "count": row["count"]})
    return facets


async def places(
    connection: AsyncConnection,
    tenant: str,
    query: ItemQuery,
    kind: Literal["bin", "lot"],
    *,
    limit: int,
) -> list[RowMapping]:
    """Return the bins or lots of the items that a query finds, in order, with their `count`."""
    value = _FACETS[kind]
    statement = _found(select(value.label("value"), func.count().label("count")), tenant, query)
    statement = statement.where(value != "").group_by(value).order_by(value).limit(limit)
    return rows(await connection.execute(statement))


async def set_names(connection: AsyncConnection, tenant: str, facets: Facets) -> dict[str, str]:
    """Return the names of the sets that facets count, by their ids."""
    ids = [one["value"] for one in facets["set"]]
    statement = select(p.c.set_id, func.max(p.c.set_name)).where(
        p.c.tenant == tenant, p.c.set_id.in_(ids), p.c.set_name != ""
    )
    named = await connection.execute(statement.group_by(p.c.set_id))
    return {row[0]: row[1] for row in named}


async def item_totals(connection: AsyncConnection, tenant: str, query: ItemQuery) -> ItemTotals:
    """Return the totals of all items that a query finds."""
    statement = _found(
        select(
            q.c.currency,
            func.count().label("items"),
            func.sum(q.c.minor).label("minor"),
            func.bool_or(q.c.lowest).label("lowest"),
        ),
        tenant,
        query,
    ).group_by(q.c.currency)
    found = rows(await connection.execute(statement.order_by(q.c.currency.desc())))
    return ItemTotals(
        items=sum(int(row["items"]) for row in found),
        unpriced=sum(int(row["items"]) for row in found if row["currency"] is None),
        worth=sums_by_currency(found),
    )


async def item_versions(
    connection: AsyncConnection, tenant: str, query: ItemQuery, *, limit: int
) -> dict[UUID, int]:
    """Return the items that a query finds, in its order, each with its version; `limit` at most."""
    statement = _ordered(_found(select(i.c.item, i.c.version), tenant, query), query).limit(limit)
    return {row.item: row.version for row in await connection.execute(statement)}


async def chosen_items(
    connection: AsyncConnection, tenant: str, chosen: Sequence[UUID]
) -> list[RowMapping]:
    """Return the chosen items that the tenant has, in the order of their receipt."""
    statement = (
        select(*_COLUMNS)
        .select_from(_listed(tenant))
        .where(i.c.tenant == tenant, i.c.item.in_(chosen))
        .order_by(i.c.received_at, i.c.item)
    )
    return rows(await connection.execute(statement))


def worth_of(found: Sequence[RowMapping]) -> tuple[CurrencyTotal, ...]:
    """Return the sum of items' prices, by currency."""
    sums: dict[str, CurrencyTotal] = {}
    for row in found:
        if row["currency"] is not None:
            before = sums.get(row["currency"])
            sums[row["currency"]] = CurrencyTotal(
                currency=row["currency"],
                minor=row["minor"] + (before.minor if before else 0),
                lowest=row["lowest"] or bool(before and before.lowest),
            )
    return tuple(sums.values())


async def latest_changes(
    connection: AsyncConnection, tenant: str, *, latest: int = 50
) -> list[dict[str, Any]]:
    """Return the changes and additions of the latest events about them, the newest first.

    `after` is what the first of its items got, `added` how many were added, `count` the number of
    items, and `undoes` the change that it took back.
    """
    read = [
        row for kind in _CHANGES for row in await _latest_events(connection, tenant, kind, latest)
    ]
    read.sort(key=lambda row: row.position, reverse=True)
    found: dict[UUID, dict[str, Any]] = {}
    for row in read:
        data = decode_data(row.type, row.data.encode())
        if isinstance(data, ItemsChanged | ItemsAdded):
            count = sum(len(group.items) for group in data.groups)
            added = isinstance(data, ItemsAdded)
            first = data.groups[0]
            line = found.setdefault(
                data.change,
                {
                    "change": data.change,
                    "at": row.received_at,
                    "by": data.by,
                    "after": first.values if isinstance(first, AddedGroup) else first.after,
                    "undoes": None if isinstance(data, ItemsAdded) else data.undoes,
                    "added": 0,
                    "count": 0,
                },
            )
            line["count"] += count
            line["added"] += count if added else 0
    return list(found.values())


async def _latest_events(
    connection: AsyncConnection, tenant: str, kind: str, latest: int
) -> list[Any]:
    """Return the latest events of a kind, with all those of the same changes."""
    statement = select(e.c.position, e.c.subject, e.c.received_at, e.c.type, e.c.data).where(
        e.c.tenant == tenant, e.c.type.like(literal_column(f"'{kind}'"))
    )
    newest = statement.order_by(e.c.position.desc())
    read = list(await connection.execute(newest.limit(latest)))
    if len(read) == latest:  # The first events of a change may lie before them.
        same = e.c.subject.in_({row.subject for row in read})
        rest = newest.where(same, e.c.position < read[-1].position)
        read += await connection.execute(rest)
    return read


async def stream_items(
    connection: AsyncConnection, tenant: str, query: ItemQuery
) -> AsyncIterator[dict[str, Any]]:
    """Yield all items that a query finds, in its order, without holding them.

    As dictionaries of what a file needs: SQLAlchemy's mappings of all columns took more time than
    the rest of an export.
    """
    statement = _ordered(_found(select(*_EXPORTED), tenant, query), query)
    result = await connection.stream(statement, execution_options={"yield_per": FETCHED})
    names = tuple(result.keys())
    async for some in result.partitions():
        for row in some:
            yield dict(zip(names, row, strict=True))


async def stream_sorts(
    connection: AsyncConnection,
    tenant: str,
    query: ItemQuery,
    columns: Sequence[str],
    stocks: Sequence[str],
) -> AsyncIterator[RowMapping]:
    """Yield the counted cards that a query finds, those with the same values in one row.

    `columns` are columns of items; `count` is how many cards a row stands for. `stocks` are the
    values of `stock` that count.
    """
    values = [
        i.c.card_id,
        *(i.c[name] for name in columns),
        *(func.coalesce(one, "").label(one.name) for one in (p.c.name, p.c.number)),
        *(func.coalesce(one, "").label(one.name) for one in (p.c.set_id, p.c.set_name)),
        *(q.c.minor, q.c.currency),
    ]
    statement = _found(select(*values, func.count().label("count")), tenant, query)
    statement = (
        statement.where(i.c.status == "counted", i.c.card_id != "", i.c.stock.in_(stocks))
        .group_by(*values)
        .order_by(*values[: len(columns) + 1])
    )
    result = await connection.stream(statement, execution_options={"yield_per": FETCHED})
    async for some in result.mappings().partitions():
        for row in some:
            yield row


def _found(statement: Select[Any], tenant: str, query: ItemQuery) -> Select[Any]:
    statement = statement.select_from(_listed(tenant)).where(i.c.tenant == tenant)
    for term in query.terms:
        statement = statement.where(or_(*(_holding(one, tenant) for one in (term, *term.others))))
    return statement


def _holding(term: Term, tenant: str) -> ColumnElement[bool]:
    """Return whether a term holds: what is unknown does not, and so its negation does.

    Without `coalesce` Postgres estimates well how few items a condition finds.
    """
    held = _condition(term, tenant)
    return not_(func.coalesce(held, false())) if term.negated else held


def _ordered(statement: Select[Any], query: ItemQuery) -> Select[Any]:
    """Order rows. Amounts of different currencies are not compared, but grouped."""
    first = {"price": (q.c.currency.desc(),), "paid": (i.c.paid_currency.desc(),)}
    columns = (
        one.desc().nulls_last() if query.descending else one.asc().nulls_last()
        for one in _ORDERS[query.order]
    )
    grouped = (one.nulls_last() for one in first.get(query.order, ()))
    last = (i.c.received_at, i.c.item)  # in one direction, as the index has them
    ties = (one.desc() if query.descending else one.asc() for one in last)
    return statement.order_by(*grouped, *columns, *ties)


def _condition(term: Term, tenant: str) -> ColumnElement[bool]:
    if term.keyword == "":
        return _word(str(term.values[0]), tenant)
    if KEYWORDS[term.keyword].kind is Kind.DAY:
        spans = zip(cast("tuple[datetime, ...]", term.values), term.ends, strict=True)
        return or_(*(_when(term.operator, first, after) for first, after in spans))
    return or_(*(_holds(term.keyword, term.operator, value, tenant) for value in term.values))


def _holds(name: str, operator: Operator, value: Value, tenant: str) -> ColumnElement[bool]:
    kind = KEYWORDS[name].kind
    if name == "set":
        return _of_set(str(value), tenant)
    if kind is Kind.NUMBER:
        return _COMPARISONS[operator](_NUMBERS[name], cast("Decimal", value))
    if kind is Kind.FLAG:
        return _FLAGS[str(value)]
    if kind is Kind.CODE:
        return _CODES[name] == str(value)
    if name == "number":
        return _equal(_TEXTS[name], _WITHOUT.sub("", str(value)))
    compare = _contains if kind is Kind.PART else _equal
    return compare(_TEXTS[name], str(value))


_COMPARISONS: dict[Operator, Callable[[ColumnElement[Any], Decimal], ColumnElement[bool]]] = {
    "=": lambda column, value: column == value,
    "<": lambda column, value: column < value,
    "<=": lambda column, value: column <= value,
    ">": lambda column, value: column > value,
    ">=": lambda column, value: column >= value,
}


def _when(operator: Operator, first: datetime, after: datetime) -> ColumnElement[bool]:
    """Compare with a span of time: after it is past its end, before it is ahead of its start."""
    at = i.c.captured_at
    match operator:
        case "=":
            return and_(at >= first, at < after)
        case "<":
            return at < first
        case "<=":
            return at < after
        case ">":
            return at >= after
        case ">=":
            return at >= first


def _equal(column: ColumnElement[Any], text: str) -> ColumnElement[bool]:
    """Compare with a folded column; `*` at the end stands for any rest."""
    if text.endswith("*"):
        return column.like(like_pattern(folded(text[:-1]))[1:], escape="\\")
    return column == folded(text)


def _contains(column: ColumnElement[Any], text: str) -> ColumnElement[bool]:
    return column.like(like_pattern(folded(text)), escape="\\")


def _word(text: str, tenant: str) -> ColumnElement[bool]:
    """Find a text in what is printed on a card, in its bin, lot, and note.

    What is printed is found by identifier, so that the policies of tenants leave its index in use.
    """
    words = query_words(text)
    if not words:
        return true()
    named = select(p.c.card_id).where(p.c.tenant == tenant, *_all_in(p.c.words, words))
    known = select(cp.c.card_id).where(*_all_in(cp.c.words, words))
    return or_(i.c.card_id.in_(named.union_all(known)), _contains(i.c.written, text))


def _all_in(column: ColumnElement[Any], words: tuple[str, ...]) -> list[ColumnElement[bool]]:
    return [column.like(like_pattern(word), escape="\\") for word in words]


def _of_set(text: str, tenant: str) -> ColumnElement[bool]:
    texts = (func.cardmint_folded(one) for one in (p.c.set_id, p.c.set_name))
    named = select(p.c.card_id).where(
        p.c.tenant == tenant, or_(*(_equal(one, text) for one in texts))
    )
    known = (
        select(cp.c.card_id)
        .join(cs, cs.c.set_id == cp.c.set_id)
        .where(
            or_(
                *(
                    _equal(func.cardmint_folded(one), text)
                    for one in (cs.c.set_id, cs.c.code, cs.c.name)
                )
            )
        )
    )
    return i.c.card_id.in_(named.union(known))

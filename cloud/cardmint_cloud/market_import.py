"""Files of marketplaces that add no cards: what is on sale there, and what was sold.

Stock teaches which product is whose and how many are listed. Sales take cards out of stock, once
for each order and listing. Both are checked and done by the same code, in blocks of rows.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import cast
from uuid import UUID, uuid4

from cardmint_cloud.adapters.card_files import Row
from cardmint_cloud.adapters.postgres import markets
from cardmint_cloud.adapters.postgres.connection import Pool, PostgresConnection, tenant_transaction
from cardmint_cloud.adapters.postgres.ingest import changed_items, inventory
from cardmint_cloud.domain.file_formats import Cells, FileFormat, FormatReader, NotACard
from cardmint_cloud.domain.item_changes import grouped, in_events
from cardmint_cloud.domain.item_rows import (
    CardRow,
    RowFault,
    count_of,
    read_amount,
    read_row,
)
from cardmint_cloud.domain.market_stock import Listing, Sort
from cardmint_cloud.errors import Conflict
from cardmint_cloud.item_import import BLOCK, ImportReport, Words, in_thread
from cardmint_cloud.reviews.answers import append_user_events, lock_user_stream
from cardmint_cloud.row_printings import PrintingFinder
from cardmint_contracts.cards import Card
from cardmint_contracts.changes import ItemValues, Stock

MAX_SKU = 60
_SOLD = re.compile(r"(?P<order>.{1,60}):(?P<cards>[1-9][0-9]{0,5})")
Sold = tuple[str, str]
"""An order's number, and what of it was sold."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _MarketRow:
    """A row of a marketplace's file: which listing, in our words, and as it stands there."""

    number: int
    sku: str
    row: CardRow
    cells: dict[str, str]


async def read_stock(
    pool: Pool,
    tenant: str,
    form: FileFormat,
    rows: Iterable[Row],
    words: Words,
    *,
    now: datetime | None,
) -> ImportReport:
    """Learn which products are whose, and how many are listed; only check without `now`."""
    report, finder = ImportReport(form=form), PrintingFinder(tenant)
    async for block in in_thread(_blocks(form, rows, words, report)):
        async with tenant_transaction(pool, tenant) as connection:
            printings = await finder.find(connection, [one.row for one in block])
            learned: list[tuple[Listing, dict[str, str]]] = []
            for one in block:
                try:
                    card = printings.of_row(one.row)
                    learned.append((_listing(form, one, card), one.cells))
                except RowFault as fault:
                    report.refuse(one.number, fault)
            if now is not None:
                await markets.lock_market(connection, tenant, form.market)
                await markets.learn(
                    connection, tenant, form.market, learned, currency=form.currency, now=now
                )
            report.learned += len(learned)
    return report


async def read_sales(
    pool: Pool,
    tenant: str,
    form: FileFormat,
    rows: Iterable[Row],
    words: Words,
    *,
    user: str,
    now: datetime | None,
) -> ImportReport:
    """Take what was sold out of stock, as one change; only check without `now`.

    Raises:
        Conflict: the log did not take the change; blocks before it stay.
    """
    report, change = ImportReport(form=form), uuid4()
    taken: set[UUID] = set()
    async for block in in_thread(_blocks(form, rows, words, report)):
        async with tenant_transaction(pool, tenant) as connection:
            sequence = await lock_user_stream(connection, tenant, user, now) if now else 0
            await markets.lock_market(connection, tenant, form.market)
            sales = await _sales(connection, tenant, block, report, taken)
            if now is None or not sales:
                continue
            items = [item for _, some in sales for item in some]
            await sell(connection, tenant, items, change, user=user, now=now, sequence=sequence)
            for sold, some in sales:
                await markets.add_sale(
                    connection, tenant, form.market, sold, change=change, items=some, now=now
                )
            report.change = change
    return report


def _blocks(
    form: FileFormat, rows: Iterable[Row], words: Words, report: ImportReport
) -> Iterator[list[_MarketRow]]:
    reader, block, named = FormatReader(form), list[_MarketRow](), set[str]()
    report.unused = reader.unused
    for number, cells in rows:
        try:
            block.append(_market_row(reader, number, cells, words, named))
        except NotACard as other:
            report.left_out[str(other)] += 1
        except RowFault as fault:
            report.refuse(number, fault)
        if len(block) == BLOCK:
            yield block
            block = []
    if block:
        yield block


def _market_row(
    reader: FormatReader, number: int, cells: Cells, words: Words, named: set[str]
) -> _MarketRow:
    """Return what a row is about.

    Raises:
        RowFault: it cannot be used, or an earlier one is about the same.
    """
    sku = "/".join(cells.get(name, "").strip() for name in reader.form.sku)
    if not sku.strip("/") or len(sku) > MAX_SKU:
        raise RowFault(f"`{reader.form.sku[0]}` is the number of what is on sale, not {sku[:60]!r}")
    if sku in named:
        raise RowFault(f"an earlier row has `{sku}`, too")
    named.add(sku)
    row = read_row(reader.read(cells), words)
    return _MarketRow(number=number, sku=sku, row=row, cells=dict(cells))


def _sort(one: _MarketRow, card: Card | None) -> Sort:
    values = one.row.values
    if card is None:
        raise RowFault("which card? set and number are missing")
    found = Sort(
        card_id=card.id,
        language=values.language or "",
        finish=values.finish or "",
        edition=values.edition or "",
        condition=values.condition or "",
    )
    if found.open:
        raise RowFault(f"its {found.open} is empty")
    return found


def _listing(form: FileFormat, one: _MarketRow, card: Card | None) -> Listing:
    """Return what a row says is listed.

    Raises:
        RowFault: it cannot be used.
    """
    price = read_amount(form.price, one.cells.get(form.price, ""), form.currency)
    return Listing(
        sku=one.sku,
        sort=_sort(one, card),
        listed=count_of(form.listed, one.cells.get(form.listed, "")),
        price=price if price and price.minor else None,
    )


async def _sales(
    connection: PostgresConnection,
    tenant: str,
    block: Sequence[_MarketRow],
    report: ImportReport,
    taken: set[UUID],
) -> list[tuple[Sold, list[UUID]]]:
    """Return the items that each order takes besides those that it took before.

    `taken` are those of earlier blocks; more are put there.
    """
    form = cast("FileFormat", report.form)
    sorts = await markets.sorts_of(connection, tenant, form.market, [one.sku for one in block])
    printings = await PrintingFinder(tenant).find(connection, [one.row for one in block])
    wanted: list[tuple[_MarketRow, Sort, dict[str, int]]] = []
    for one in block:
        try:
            sort = sorts.get(one.sku) or _sort(one, printings.of_row(one.row))
            wanted.append((one, sort, read_orders(one.cells.get(form.orders, ""))))
        except RowFault as fault:
            report.refuse(one.number, fault)
    asked = [(order, one.sku) for one, _, orders in wanted for order in orders]
    before = await _taken_before(connection, tenant, form.market, asked)
    sales: list[tuple[Sold, list[UUID]]] = []
    for one, sort, orders in wanted:
        for order, quantity in orders.items():
            sold = (order, one.sku)
            missing = max(0, quantity - before[sold])
            items = await markets.sellable(connection, tenant, sort, but=taken, most=missing)
            taken.update(items)
            report.there += quantity - missing
            report.sold += len(items)
            sales += [(sold, items)] if items else []
            if len(items) < missing:
                short = RowFault(
                    f"order {order} takes {missing} of {sort.card_id}, and {len(items)} are in"
                    " stock like that"
                )
                report.refuse(one.number, short)
    return sales


async def _taken_before(
    connection: PostgresConnection, tenant: str, market: str, sold: Sequence[tuple[str, str]]
) -> Counter[tuple[str, str]]:
    """Return how many cards each order took, without those of a change that was taken back.

    A card that a person put back into stock stays taken: its order does not take another one.
    """
    rows = await markets.sales_of(connection, tenant, market, sold) if sold else []
    back = await markets.returned(
        connection, tenant, {item for row in rows for item in row["items"]}
    )
    undone = await changed_items.undone_by(
        connection, tenant, {change for changes in back.values() for change in changes}
    )
    before: Counter[tuple[str, str]] = Counter()
    for row in rows:
        before[row["order_number"], row["sku"]] += sum(
            row["change"] not in {undone.get(one) for one in back.get(item, ())}
            for item in row["items"]
        )
    return before


async def sell(
    connection: PostgresConnection,
    tenant: str,
    items: Sequence[UUID],
    change: UUID,
    *,
    user: str,
    now: datetime,
    sequence: int,
) -> None:
    """Take items out of stock as sold, as part of a change.

    Raises:
        Conflict: the log did not take it.
    """
    found, _ = await inventory.load_touched(connection, [(tenant, one) for one in items], [])
    groups = grouped(list(found.values()), ItemValues(stock=Stock.SOLD), {})
    done = await append_user_events(
        connection, tenant, user, in_events(change, user, groups), now=now, sequence=sequence
    )
    if done.parked:
        raise Conflict("the log did not take these sales, and nothing was changed")


def read_orders(text: str) -> dict[str, int]:
    """Return the orders of a pull sheet's cell: `ABC-1:2 | ABC-2:1`, each with its quantity.

    Raises:
        RowFault: it cannot be read.
    """
    orders: Counter[str] = Counter()
    for part in text.split("|"):
        found = _SOLD.fullmatch(part.strip())
        if found is None:
            raise RowFault(f"orders are such as `ABC-1:2 | ABC-2:1`, not {text[:60]!r}")
        orders[found["order"].strip()] += int(found["cards"])
    return dict(orders)

"""Items as files: what a query finds, as CSV, JSON or XLSX, or as other programs take it."""

import asyncio
import csv
import io
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import date
from typing import Any

from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from cardmint_cloud.adapters.card_files import WRITERS
from cardmint_cloud.adapters.postgres.queries import catalogue, item_list
from cardmint_cloud.adapters.postgres.queries.reading import reading
from cardmint_cloud.domain.item_query import ItemQuery
from cardmint_cloud.domain.item_rows import COLUMNS
from cardmint_cloud.domain.items import HELD
from cardmint_cloud.domain.written_formats import Line, Unsaid, WrittenFormat
from cardmint_contracts.changes import Stock
from cardmint_contracts.currencies import digits

WRITTEN = 500
"""Rows that are written at a time, in a thread."""


async def item_file(
    engine: AsyncEngine, tenant: str, query: ItemQuery, form: str
) -> AsyncIterator[bytes]:
    """Yield a file of the items that a query finds; `form` is `csv`, `json` or `xlsx`."""
    writer = WRITERS[form]()
    rows: list[dict[str, Any]] = []
    async with reading(engine, tenant) as connection:
        async for row in item_list.stream_items(connection, tenant, query):
            rows.append(file_row(row))
            if len(rows) == WRITTEN:
                await asyncio.to_thread(writer.add, rows)
                rows = []
                if piece := writer.take():
                    yield piece
    writer.add(rows)
    yield await asyncio.to_thread(writer.end)


def file_row(row: RowMapping | Mapping[str, Any]) -> dict[str, Any]:
    """Return an item as a row of a file; amounts are in the currency's own unit."""
    have = dict(row)
    have["paid"] = _amount(have["paid_minor"], have["paid_currency"])
    have["price"] = _amount(have["minor"], have["currency"])
    have["price_currency"] = have["currency"] or ""
    have["price_source"] = have["source"] or ""
    have["price_as_of"] = have["as_of"].isoformat() if have["as_of"] else ""
    have["scanned"] = have["captured_at"].isoformat()
    have["item"] = str(have["item"])
    return {name: have[name] for name in COLUMNS}


def _amount(minor: int | None, currency: str | None) -> str:
    return "" if minor is None or not currency else digits(minor, currency).replace(",", "")


async def format_file(
    engine: AsyncEngine,
    tenant: str,
    query: ItemQuery,
    form: WrittenFormat,
    *,
    today: date,
    left_out: Counter[str],
) -> AsyncIterator[bytes]:
    """Yield a file of the cards in stock that a query finds, as another program takes it.

    `left_out` gets the number of cards that the format cannot say, by reason.
    """
    stocks = [Stock.IN_STOCK.value] if form.offers else sorted(HELD)
    async with reading(engine, tenant) as connection:
        prints = await catalogue.set_prints(connection)
        writer = _LineWriter(form=form, prints=prints, left_out=left_out, today=today)
        rows: list[RowMapping] = []
        async for row in item_list.stream_sorts(connection, tenant, query, form.keeps, stocks):
            rows.append(row)
            if len(rows) == WRITTEN:
                yield writer.written(rows, await _products(connection, form, rows))
                rows = []
        yield writer.written(rows, await _products(connection, form, rows))


class _LineWriter:
    """Writes lines of a format; what it cannot say is counted."""

    def __init__(
        self,
        *,
        form: WrittenFormat,
        prints: Mapping[str, tuple[str, str]],
        left_out: Counter[str],
        today: date,
    ) -> None:
        self._form, self._prints, self._left_out = form, prints, left_out
        self._text = io.StringIO()
        self._csv = csv.writer(self._text, delimiter=form.delimiter, lineterminator=form.line_end)
        self._csv.writerow(form.header(today))

    def written(self, rows: Sequence[RowMapping], products: Mapping[str, str]) -> bytes:
        """Return lines, the first time after the one of names."""
        for row in rows:
            line: Line = {name: "" if value is None else str(value) for name, value in row.items()}
            line["code"], line["official"] = self._prints.get(row["set_id"], ("", ""))
            line["cardmarket"] = products.get(row["card_id"], "")
            try:
                self._csv.writerow(self._form.cells(line))
            except Unsaid as reason:
                self._left_out[str(reason)] += row["count"]
        text = self._text.getvalue()
        self._text.seek(0)
        self._text.truncate()
        return text.encode()


async def _products(
    connection: AsyncConnection, form: WrittenFormat, rows: Sequence[RowMapping]
) -> Mapping[str, str]:
    if not any("{cardmarket}" in text for text in form.columns.values()):
        return {}
    return await catalogue.cardmarket_products(connection, {row["card_id"] for row in rows})

"""Items as files: what a query finds, as CSV, JSON or XLSX."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncEngine

from cardmint_cloud.adapters.card_files import WRITERS
from cardmint_cloud.adapters.postgres.queries import item_list
from cardmint_cloud.adapters.postgres.queries.reading import reading
from cardmint_cloud.domain.item_query import ItemQuery
from cardmint_cloud.domain.item_rows import COLUMNS
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
    named = {
        "paid": _amount(row["paid_minor"], row["paid_currency"]),
        "price": _amount(row["minor"], row["currency"]),
        "price_currency": row["currency"] or "",
        "price_source": row["source"] or "",
        "price_as_of": row["as_of"].isoformat() if row["as_of"] else "",
        "scanned": row["captured_at"].isoformat(),
        "item": str(row["item"]),
    }
    return {name: named[name] if name in named else row[name] for name in COLUMNS}


def _amount(minor: int | None, currency: str | None) -> str:
    return "" if minor is None or not currency else digits(minor, currency).replace(",", "")

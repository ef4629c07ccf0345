"""Items as files to download: rows for a spreadsheet, objects for a program."""

import csv
import io
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from sqlalchemy import RowMapping

from cardmint_cloud.adapters.postgres.queries import item_list
from cardmint_cloud.adapters.postgres.queries.reading import reading
from cardmint_cloud.domain.item_query import ItemQuery
from cardmint_cloud.web.context import PageContext
from cardmint_contracts.currencies import digits

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_FILE_COLUMNS = (
    *("item", "card_id", "name", "number", "set_id", "set_name", "language", "finish", "edition"),
    *("condition", "bin", "lot", "note", "status", "stock", "grader", "grade", "certificate"),
    *("paid", "paid_currency", "price", "price_currency", "price_source", "price_as_of"),
    *("station", "scanned", "confidence"),
)


async def csv_rows(shop: PageContext, query: ItemQuery) -> AsyncIterator[str]:
    """Yield the items as rows, after one of names; no spreadsheet takes a text for a formula."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(_FILE_COLUMNS)
    async for row in _file_rows(shop, query):
        writer.writerow(defused(value) for value in row.values())
        if buffer.tell() > 1 << 16:
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue()


async def json_rows(shop: PageContext, query: ItemQuery) -> AsyncIterator[bytes]:
    """Yield the items as an array of objects."""
    yield b"["
    first = True
    async for row in _file_rows(shop, query):
        yield (b"" if first else b",\n") + msgspec.json.encode(row)
        first = False
    yield b"]\n"


async def _file_rows(shop: PageContext, query: ItemQuery) -> AsyncIterator[dict[str, Any]]:
    async with reading(shop.engine, shop.tenant) as connection:
        async for row in item_list.stream_items(connection, shop.tenant, query):
            yield file_row(row)


def file_row(row: RowMapping) -> dict[str, Any]:
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
    return {name: named.get(name, row[name] if name not in named else "") for name in _FILE_COLUMNS}


def defused(value: Any) -> Any:
    """Return a cell that no spreadsheet takes for a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _amount(minor: int | None, currency: str | None) -> str:
    return "" if minor is None or not currency else digits(minor, currency).replace(",", "")

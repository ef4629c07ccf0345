"""A second inventory, folded from the log in one snapshot, and its differences to the live one.

Its tables are temporary and have the live tables' names, so that Postgres finds them first. So the
same statements write both inventories.
"""

import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from cardmint_cloud.adapters.postgres.columns import ITEM_EDITS, ITEMS
from cardmint_cloud.adapters.postgres.connection import (
    PostgresConnection,
    fetch_one,
    owner_connection,
)

PAGE = 1000
_WRITTEN = ("items", "reviews", "holdings", "printings", "price_checks")
_LOG = """
SELECT position, tenant, source, type, occurred_at, received_at, clock_synced, data FROM events
 WHERE $1::timestamptz IS NULL OR received_at <= $1 ORDER BY position"""
_STATUSES = "SELECT status AS name, count(*) AS count FROM items GROUP BY status"
_TOTALS = """
SELECT (SELECT coalesce(sum(count), 0)::bigint FROM holdings) AS holdings,
       (SELECT count(*) FROM reviews WHERE state = 'open') AS open_reviews"""

_REVIEW = (
    "station, item, version, state, reasons, candidates, image, opened_at, closed_at, verdict,"
    " card, answered_by,"
    " place, escalated, counted, recogniser, question, prior"
)
_COMPARED = {
    "items": (
        ", ".join(ITEMS.keys),
        ", ".join(dict.fromkeys([*ITEMS.values, *ITEM_EDITS.values, "changes"])),
        "",
    ),
    "reviews": ("tenant, task", _REVIEW, ""),
    "holdings": (
        "tenant, card_id, language, finish, edition, condition",
        "count",
        "WHERE count <> 0",
    ),
}
"""By table: its key, the folded columns, and which rows count.

The published version of a review is not folded, and a holding of 0 cards is no holding.
"""

# `*<>` compares the bytes as they are stored, not what they mean: "bit for bit".
_DIFFER = """
SELECT concat_ws('/', {key}) AS key, to_jsonb(live) ->> 'row' AS live, to_jsonb(again) ->> 'row'
       AS again
  FROM (SELECT {key}, ROW({columns}) AS row FROM public.{table} {where}) live
  FULL JOIN (SELECT {key}, ROW({columns}) AS row FROM pg_temp.{table} {where}) again USING ({key})
 WHERE live.row IS NULL OR again.row IS NULL OR live.row *<> again.row
 ORDER BY {key}"""
_MARGINS = """
SELECT tenant, item, again.margin FROM public.items live JOIN pg_temp.items again
 USING (tenant, item) WHERE live.margin <> again.margin"""
_SET_MARGINS = """
UPDATE public.items SET margin = m.margin
  FROM unnest($1::text[], $2::uuid[], $3::float8[]) AS m (tenant, item, margin)
 WHERE items.tenant = m.tenant AND items.item = m.item"""
_COUNT = """
SELECT (SELECT count(*) FROM public.{table} {where}) AS live,
       (SELECT count(*) FROM ({differ}) d) AS differ"""


@dataclass(frozen=True, kw_only=True, slots=True)
class RowDifference:
    """One row that differs. `live` and `again` are its columns as JSON; None for no row."""

    table: str
    key: str
    live: str | None
    again: str | None


@contextlib.asynccontextmanager
async def snapshot(address: str) -> AsyncIterator[PostgresConnection]:
    """Give the owner's connection with one snapshot of all tenants and an empty shadow.

    Everything that is written on it is rolled back.
    """
    async with owner_connection(address) as connection:
        transaction = connection.transaction(isolation="repeatable_read")
        await transaction.start()
        for table in _WRITTEN:
            divided = "PARTITION BY HASH (tenant)" if table == "items" else ""
            await connection.execute(
                f"CREATE TEMP TABLE {table} (LIKE public.{table} INCLUDING ALL) {divided}"
                " ON COMMIT DROP"
            )
        # The one that COPY writes to, so that it is found before the live one.
        await connection.execute(
            "CREATE TEMP TABLE items_rows PARTITION OF items"
            " FOR VALUES WITH (MODULUS 1, REMAINDER 0) ON COMMIT DROP"
        )
        yield connection
        await transaction.rollback()


async def read_log(
    connection: PostgresConnection, archived: Iterator[Mapping[str, Any]], until: datetime | None
) -> AsyncIterator[list[Any]]:
    """Yield the log page by page in the order of its application, up to a time of receipt.

    `archived` are the events of retired months, in that order.
    """
    page: list[Any] = []
    async for row in _merged(connection, archived, until):
        page.append(row)
        if len(page) == PAGE:
            yield page
            page = []
    if page:
        yield page


async def _merged(
    connection: PostgresConnection, archived: Iterator[Mapping[str, Any]], until: datetime | None
) -> AsyncIterator[Any]:
    old = next(archived, None)
    cursor = await connection.cursor(_LOG, until)
    while rows := await cursor.fetch(PAGE):
        for row in rows:
            while old is not None and old["position"] < row["position"]:
                if until is None or old["received_at"] <= until:
                    yield old
                old = next(archived, None)
            yield row
    while old is not None:
        if until is None or old["received_at"] <= until:
            yield old
        old = next(archived, None)


async def snapshot_totals(connection: PostgresConnection) -> tuple[dict[str, int], int, int]:
    """Return the shadow's items by status, its number of held cards, and its open reviews."""
    statuses = {row["name"]: row["count"] for row in await connection.fetch(_STATUSES)}
    row = await fetch_one(connection, _TOTALS)
    return statuses, row["holdings"], row["open_reviews"]


async def differing_margins(connection: PostgresConnection) -> list[tuple[str, UUID, float]]:
    """Return tenant, item and the log's margin of each item that has another one."""
    return [tuple(row) for row in await connection.fetch(_MARGINS)]


async def set_margins(address: str, margins: Sequence[tuple[str, UUID, float]]) -> None:
    """Set the margins of live items: tenant, item, margin."""
    async with owner_connection(address) as connection:
        await connection.execute(_SET_MARGINS, *map(list, zip(*margins, strict=True)))


async def compare_table(
    connection: PostgresConnection, table: str, limit: int
) -> tuple[int, int, list[RowDifference]]:
    """Return the live table's row count, its number of differences, and the first of them."""
    key, columns, where = _COMPARED[table]
    differ = _DIFFER.format(key=key, columns=columns, table=table, where=where)
    row = await fetch_one(connection, _COUNT.format(table=table, where=where, differ=differ))
    first = await connection.fetch(f"{differ} LIMIT {limit:d}") if row["differ"] else []
    return row["live"], row["differ"], [RowDifference(table=table, **dict(one)) for one in first]

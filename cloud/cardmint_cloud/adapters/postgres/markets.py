"""Marketplaces' listings, the files made for them, and their sales: statements for asyncpg."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from cardmint_cloud.adapters.postgres.connection import Executor, PostgresConnection
from cardmint_cloud.domain.market_stock import Listing, Offer, Sort
from cardmint_contracts.cards import Money

_LEARN = """
INSERT INTO market_listings (tenant, market, sku, card_id, language, finish, edition, condition,
       cells, listed, price_minor, price_currency, seen_at)
SELECT $1, $2, n.sku, n.card_id, n.language, n.finish, n.edition, n.condition, n.cells, n.listed,
       n.price, $11, $12
  FROM unnest($3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
              $9::jsonb[], $10::int[], $13::bigint[])
       AS n (sku, card_id, language, finish, edition, condition, cells, listed, price)
ON CONFLICT (tenant, market, sku) DO UPDATE
   SET card_id = excluded.card_id, language = excluded.language, finish = excluded.finish,
       edition = excluded.edition, condition = excluded.condition, cells = excluded.cells,
       listed = excluded.listed, price_minor = excluded.price_minor,
       price_currency = excluded.price_currency, seen_at = excluded.seen_at"""
_LISTINGS = """
SELECT sku, card_id, language, finish, edition, condition, listed, price_minor, price_currency
  FROM market_listings
 WHERE tenant = $1 AND market = $2 ORDER BY sku"""
_KNOWN = """
SELECT sku, card_id, language, finish, edition, condition FROM market_listings
 WHERE tenant = $1 AND market = $2 AND sku = ANY($3::text[])"""
_CELLS = """
SELECT sku, cells FROM market_listings
 WHERE tenant = $1 AND market = $2 AND sku = ANY($3::text[])"""
_STOCK = """
SELECT card_id, language, finish, edition, condition, count(*) FROM items
 WHERE tenant = $1 AND status = 'counted' AND stock = 'in-stock' AND grader = ''
       AND card_id <> ''
 GROUP BY card_id, language, finish, edition, condition"""
_GRADED = """
SELECT count(*) FROM items
 WHERE tenant = $1 AND status = 'counted' AND stock = 'in-stock' AND grader <> ''"""
_UNSURE = """
SELECT DISTINCT s.sku FROM market_sales s JOIN market_listings l USING (tenant, market, sku)
 WHERE s.tenant = $1 AND s.market = $2 AND s.taken_at >= l.seen_at"""
_PRICES = """
SELECT l.card_id, l.language, l.finish, l.edition, l.condition, q.minor, q.currency
  FROM market_listings l
       JOIN current_quotes q ON q.tenant = l.tenant AND q.card_id = l.card_id
            AND q.finish = l.finish AND q.edition = l.edition AND q.currency = $3
 WHERE l.tenant = $1 AND l.market = $2 AND l.price_minor IS NULL"""
_MAKE = "INSERT INTO market_files (tenant, file, market, made_at) VALUES ($1, $2, $3, $4)"
_MAKE_ROWS = """
INSERT INTO market_file_rows (tenant, file, sku, listed, delta, price_minor, price_currency)
SELECT $1, $2, * FROM unnest($3::text[], $4::int[], $5::int[], $6::bigint[], $7::text[])"""
_TELL = """
UPDATE market_listings l SET listed = greatest(l.listed + $4 * r.delta, 0)
  FROM market_file_rows r
 WHERE r.tenant = $1 AND r.file = $2 AND l.tenant = $1 AND l.market = $3 AND l.sku = r.sku
       AND l.seen_at <= $5"""
_FILES = """
SELECT f.file, f.market, f.made_at, f.taken_back_at, count(r.sku) AS rows,
       coalesce(sum(r.delta) FILTER (WHERE r.delta > 0), 0)::int AS more,
       coalesce(-sum(r.delta) FILTER (WHERE r.delta < 0), 0)::int AS fewer
  FROM market_files f LEFT JOIN market_file_rows r USING (tenant, file)
 WHERE f.tenant = $1 GROUP BY f.tenant, f.file ORDER BY f.made_at DESC, f.file LIMIT $2"""
_FILE = "SELECT * FROM market_files WHERE tenant = $1 AND file = $2 FOR UPDATE"
_FILE_ROWS = """
SELECT r.sku, r.listed, r.delta, r.price_minor, r.price_currency, l.cells
  FROM market_file_rows r
       JOIN market_listings l ON l.tenant = r.tenant AND l.market = $3 AND l.sku = r.sku
 WHERE r.tenant = $1 AND r.file = $2 ORDER BY r.sku"""
_TAKE_BACK = "UPDATE market_files SET taken_back_at = $3 WHERE tenant = $1 AND file = $2"
_SEEN = """
SELECT market, count(*) AS products, sum(listed)::bigint AS listed, max(seen_at) AS seen_at
  FROM market_listings WHERE tenant = $1 GROUP BY market ORDER BY market"""
_SALES = """
SELECT order_number, sku, change, items FROM market_sales
 WHERE tenant = $1 AND market = $2
       AND (order_number, sku) IN (SELECT * FROM unnest($3::text[], $4::text[]))"""
_ADD_SALES = """
INSERT INTO market_sales (tenant, market, order_number, sku, change, items, taken_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)"""
_RETURNED = """
SELECT item, changes FROM items
 WHERE tenant = $1 AND item = ANY($2::uuid[]) AND stock IN ('in-stock', 'reserved')"""
_SELLABLE = """
SELECT item FROM items
 WHERE tenant = $1 AND card_id = $2 AND language = $3 AND finish = $4 AND edition = ANY($5::text[])
       AND condition = $6 AND status = 'counted' AND stock IN ('in-stock', 'reserved')
       AND grader = '' AND NOT item = ANY($7::uuid[])
 ORDER BY stock, received_at, item LIMIT $8"""


async def learn(
    connection: PostgresConnection,
    tenant: str,
    market: str,
    listings: Sequence[tuple[Listing, Mapping[str, str]]],
    *,
    currency: str,
    now: datetime,
) -> None:
    """Keep listings as a marketplace has them, each with the cells of its row."""
    sorts = [one.sort for one, _ in listings]
    await connection.execute(
        _LEARN,
        tenant,
        market,
        [one.sku for one, _ in listings],
        *([getattr(sort, name) for sort in sorts] for name in Sort._fields),
        [msgspec.json.encode(cells).decode() for _, cells in listings],
        [one.listed for one, _ in listings],
        currency,
        now,
        [one.price.minor if one.price else None for one, _ in listings],
    )


async def lock_market(connection: PostgresConnection, tenant: str, market: str) -> None:
    """Let no other transaction tell this market anything until this one ends."""
    await connection.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended($1, 27))", f"{tenant} {market}"
    )


async def listings_of(executor: Executor, tenant: str, market: str) -> list[Listing]:
    """Return all listings of a market."""
    return [
        Listing(sku=row["sku"], sort=_sort(row), listed=row["listed"], price=_price(row))
        for row in await executor.fetch(_LISTINGS, tenant, market)
    ]


async def sorts_of(
    executor: Executor, tenant: str, market: str, skus: Collection[str]
) -> dict[str, Sort]:
    """Return whose cards some listings are."""
    found = await executor.fetch(_KNOWN, tenant, market, list(skus))
    return {row["sku"]: _sort(row) for row in found}


async def cells_of(
    executor: Executor, tenant: str, market: str, skus: Collection[str]
) -> dict[str, dict[str, str]]:
    """Return the cells of listings as the marketplace's file had them."""
    found = await executor.fetch(_CELLS, tenant, market, list(skus))
    return {row["sku"]: msgspec.json.decode(row["cells"], type=dict[str, str]) for row in found}


async def stock_of(executor: Executor, tenant: str) -> tuple[dict[Sort, int], int]:
    """Return how many cards of each sort are in stock, and how many are graded."""
    found = await executor.fetch(_STOCK, tenant)
    graded = await executor.fetchval(_GRADED, tenant)
    return {_sort(row): row["count"] for row in found}, graded


async def unsure_of(executor: Executor, tenant: str, market: str) -> set[str]:
    """Return the listings of which cards were sold since their number was seen."""
    return {row["sku"] for row in await executor.fetch(_UNSURE, tenant, market)}


async def prices_of(
    executor: Executor, tenant: str, market: str, currency: str
) -> dict[Sort, Money]:
    """Return the last quotes for listings without a price of the seller's."""
    found = await executor.fetch(_PRICES, tenant, market, currency)
    return {_sort(row): Money(minor=row["minor"], currency=row["currency"]) for row in found}


async def make_file(
    connection: PostgresConnection,
    tenant: str,
    market: str,
    file: UUID,
    told: Sequence[Offer],
    *,
    now: datetime,
) -> None:
    """Keep what a file tells a market, and count it as listed."""
    await connection.execute(_MAKE, tenant, file, market, now)
    await connection.execute(
        _MAKE_ROWS,
        tenant,
        file,
        [one.sku for one in told],
        [one.listed for one in told],
        [one.delta for one in told],
        [one.price.minor for one in told],
        [one.price.currency for one in told],
    )
    await connection.execute(_TELL, tenant, file, market, 1, now)


async def latest_files(executor: Executor, tenant: str, latest: int = 20) -> list[Any]:
    """Return the latest files with how many cards they add and take away."""
    return await executor.fetch(_FILES, tenant, latest)


async def locked_file(connection: PostgresConnection, tenant: str, file: UUID) -> Any | None:
    """Return a file, locked; None where there is none."""
    return await connection.fetchrow(_FILE, tenant, file)


async def file_rows(
    executor: Executor, tenant: str, file: UUID, market: str
) -> list[tuple[Offer, dict[str, str]]]:
    """Return the rows of a file, each with the cells of its listing."""
    return [
        (
            Offer(
                sku=row["sku"],
                listed=row["listed"],
                delta=row["delta"],
                price=Money(minor=row["price_minor"], currency=row["price_currency"]),
            ),
            msgspec.json.decode(row["cells"], type=dict[str, str]),
        )
        for row in await executor.fetch(_FILE_ROWS, tenant, file, market)
    ]


async def take_back(
    connection: PostgresConnection,
    tenant: str,
    file: UUID,
    market: str,
    *,
    made_at: datetime,
    now: datetime,
) -> None:
    """Note that a file was not uploaded; listings seen since stay as they were seen."""
    await connection.execute(_TELL, tenant, file, market, -1, made_at)
    await connection.execute(_TAKE_BACK, tenant, file, now)


async def markets_seen(executor: Executor, tenant: str) -> list[Any]:
    """Return each market with how many products are known, what is listed, and when it was seen."""
    return await executor.fetch(_SEEN, tenant)


async def sales_of(
    executor: Executor, tenant: str, market: str, sold: Sequence[tuple[str, str]]
) -> list[Any]:
    """Return what was taken already for orders and listings."""
    orders, skus = [one for one, _ in sold], [one for _, one in sold]
    return await executor.fetch(_SALES, tenant, market, orders, skus)


async def add_sale(
    connection: PostgresConnection,
    tenant: str,
    market: str,
    sold: tuple[str, str],
    *,
    change: UUID,
    items: Sequence[UUID],
    now: datetime,
) -> None:
    """Note which items an order took."""
    await connection.execute(_ADD_SALES, tenant, market, *sold, change, list(items), now)


async def returned(
    executor: Executor, tenant: str, items: Collection[UUID]
) -> dict[UUID, set[UUID]]:
    """Return which of some items are in stock, each with the changes that it was part of."""
    found = await executor.fetch(_RETURNED, tenant, list(items)) if items else []
    return {row["item"]: set(row["changes"]) for row in found}


async def sellable(
    executor: Executor, tenant: str, sort: Sort, *, but: Collection[UUID], most: int
) -> list[UUID]:
    """Return items of a sort, those first that are not reserved, then those received first."""
    editions = [sort.edition] if sort.edition else ["", "unlimited"]
    found = await executor.fetch(
        _SELLABLE,
        tenant,
        *(sort.card_id, sort.language, sort.finish, editions, sort.condition),
        *(list(but), most),
    )
    return [row["item"] for row in found]


def _sort(row: Any) -> Sort:
    return Sort(*(row[name] for name in Sort._fields))


def _price(row: Any) -> Money | None:
    if row["price_minor"] is None:
        return None
    return Money(minor=row["price_minor"], currency=row["price_currency"])

"""Files that tell a marketplace what changed in stock, and the ledger of what was told.

TCGplayer takes differences only, so that the same file uploaded twice doubles what is on sale. What
a file says is kept, counted as listed from then on, and given out again as it was; a file that was
not uploaded is taken back.
"""

import csv
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from cardmint_cloud.adapters.postgres import markets
from cardmint_cloud.adapters.postgres.connection import Pool, PostgresConnection, tenant_transaction
from cardmint_cloud.domain.item_rows import defused
from cardmint_cloud.domain.market_stock import Comparison, Offer, compared, offers
from cardmint_cloud.errors import Conflict, NotFound
from cardmint_contracts.currencies import digits

TCGPLAYER = "tcgplayer"
CURRENCY = "USD"
HEADER = (
    *("TCGplayer Id", "Product Line", "Set Name", "Product Name", "Title", "Number", "Rarity"),
    *("Condition", "TCG Market Price", "TCG Direct Low", "TCG Low Price With Shipping"),
    *("TCG Low Price", "Total Quantity", "Add to Quantity", "TCG Marketplace Price", "Photo URL"),
)
"""The columns of TCGplayer's import: another order, case or column is refused whole."""

_TEXTS = (
    *("product_line", "set_name", "product_name", "title", "number", "rarity", "condition"),
    *("tcg_market_price", "tcg_direct_low", "tcg_low_price_with_shipping", "tcg_low_price"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class MarketFile:
    """What a marketplace is told: cards more and fewer, and cards left out, by reason.

    `file` is None where nothing is to be told, or for a preview.
    """

    file: UUID | None
    rows: int
    more: int
    fewer: int
    left_out: Counter[str] = field(default_factory=Counter)


async def preview_file(pool: Pool, tenant: str) -> MarketFile:
    """Return what a file for TCGplayer would say now."""
    async with tenant_transaction(pool, tenant) as connection:
        return preview_of(await comparison_of(connection, tenant))


def preview_of(comparison: Comparison) -> MarketFile:
    """Return what a file that tells of a comparison would say."""
    told, left_out = offers(comparison)
    return _summary(None, told, left_out)


async def make_file(pool: Pool, tenant: str, now: datetime) -> MarketFile:
    """Make a file for TCGplayer, and count what it says as listed."""
    async with tenant_transaction(pool, tenant) as connection:
        await markets.lock_market(connection, tenant, TCGPLAYER)
        told, left_out = offers(await comparison_of(connection, tenant))
        file = uuid4() if told else None
        if file is not None:
            await markets.make_file(connection, tenant, TCGPLAYER, file, told, now=now)
    return _summary(file, told, left_out)


async def comparison_of(connection: PostgresConnection, tenant: str) -> Comparison:
    """Return where TCGplayer has another number than there are in stock."""
    stock, graded = await markets.stock_of(connection, tenant)
    return compared(
        await markets.listings_of(connection, tenant, TCGPLAYER),
        stock,
        unsure=await markets.unsure_of(connection, tenant, TCGPLAYER),
        prices=await markets.prices_of(connection, tenant, TCGPLAYER, CURRENCY),
        graded=graded,
    )


async def file_content(pool: Pool, tenant: str, file: UUID) -> tuple[str, bytes]:
    """Return a file's name and content, the same each time.

    Raises:
        NotFound: there is none such.
        Conflict: it was taken back.
    """
    async with tenant_transaction(pool, tenant) as connection:
        found = await _found(connection, tenant, file)
        rows = await markets.file_rows(connection, tenant, file, found["market"])
    name = f"tcgplayer-{found['made_at']:%Y-%m-%d}-{str(file)[:8]}.csv"
    return name, tcgplayer_csv(rows)


async def take_back(pool: Pool, tenant: str, file: UUID, now: datetime) -> None:
    """Count a file as never uploaded: the next one says the same again.

    Raises:
        NotFound: there is none such.
        Conflict: it was taken back already.
    """
    async with tenant_transaction(pool, tenant) as connection:
        await markets.lock_market(connection, tenant, TCGPLAYER)
        found = await _found(connection, tenant, file)
        await markets.take_back(
            connection, tenant, file, found["market"], made_at=found["made_at"], now=now
        )


def tcgplayer_csv(rows: Sequence[tuple[Offer, dict[str, str]]]) -> bytes:
    """Return TCGplayer's import: names without quotes, values in quotes, CRLF.

    Numbers stay numbers, a negative difference too; texts that begin like a formula do not.
    """
    text = io.StringIO()
    text.write(",".join(HEADER) + "\r\n")
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    for offer, cells in rows:
        price = digits(offer.price.minor, offer.price.currency).replace(",", "")
        told = [offer.listed, offer.delta, price, defused(cells.get("photo_url", ""))]
        writer.writerow([offer.sku, *(defused(cells.get(one, "")) for one in _TEXTS), *told])
    return text.getvalue().encode()


async def _found(connection: PostgresConnection, tenant: str, file: UUID) -> Any:
    found = await markets.locked_file(connection, tenant, file)
    if found is None:
        raise NotFound(f"there is no file {file}")
    if found["taken_back_at"] is not None:
        raise Conflict("this file was taken back: make another one")
    return found


def _summary(file: UUID | None, told: Sequence[Offer], left_out: Counter[str]) -> MarketFile:
    return MarketFile(
        file=file,
        rows=len(told),
        more=sum(one.delta for one in told if one.delta > 0),
        fewer=-sum(one.delta for one in told if one.delta < 0),
        left_out=left_out,
    )

"""Where a marketplace lists another number than there is in stock, and taking its number for ours.

Fewer listed than in stock: cards may have been sold without a pull sheet; a person takes the
marketplace's number, and the rest is sold. More listed than in stock: no card comes from nothing,
and the next file tells the marketplace.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid4

from cardmint_cloud.adapters.postgres import markets
from cardmint_cloud.adapters.postgres.connection import Pool, PostgresConnection, tenant_transaction
from cardmint_cloud.domain.market_stock import Comparison
from cardmint_cloud.errors import Conflict
from cardmint_cloud.item_changes import MAX_CHANGED, ChangeOutcome
from cardmint_cloud.market_files import TCGPLAYER, MarketFile, comparison_of, preview_of
from cardmint_cloud.market_import import sell
from cardmint_cloud.reviews.answers import lock_user_stream


@dataclass(frozen=True, kw_only=True, slots=True)
class ShownDifference:
    """A product of which another number is listed than there is in stock, as a person knows it."""

    sku: str
    name: str
    condition: str
    listed: int
    stock: int


async def overview(pool: Pool, tenant: str) -> tuple[MarketFile, list[ShownDifference]]:
    """Return what a file for TCGplayer would say now, and the differences, of one comparison."""
    async with tenant_transaction(pool, tenant) as connection:
        compared = await comparison_of(connection, tenant)
        return preview_of(compared), await _shown(connection, tenant, compared)


async def differences(pool: Pool, tenant: str) -> list[ShownDifference]:
    """Return where TCGplayer lists another number, those with most cards first."""
    async with tenant_transaction(pool, tenant) as connection:
        return await _shown(connection, tenant, await comparison_of(connection, tenant))


async def _shown(
    connection: PostgresConnection, tenant: str, compared: Comparison
) -> list[ShownDifference]:
    found = compared.differences
    cells = await markets.cells_of(connection, tenant, TCGPLAYER, [one.sku for one in found])
    shown = [
        ShownDifference(
            sku=one.sku,
            name=cells[one.sku].get("product_name", ""),
            condition=cells[one.sku].get("condition", ""),
            listed=one.listed,
            stock=one.stock,
        )
        for one in found
    ]
    return sorted(shown, key=lambda one: (-abs(one.stock - one.listed), one.name, one.sku))


async def take_listed(
    pool: Pool, tenant: str, skus: Collection[str] | None, *, user: str, now: datetime
) -> ChangeOutcome:
    """Sell what is in stock beyond what is listed, of some products, or of all (None), as one.

    Raises:
        Conflict: nothing is beyond, or there are too many cards; nothing was changed.
    """
    async with tenant_transaction(pool, tenant) as connection:
        sequence = await lock_user_stream(connection, tenant, user, now)
        await markets.lock_market(connection, tenant, TCGPLAYER)
        found = (await comparison_of(connection, tenant)).differences
        beyond = [
            one for one in found if one.stock > one.listed and (skus is None or one.sku in skus)
        ]
        if not beyond:
            raise Conflict("of none of these products more is in stock than is listed")
        if sum(one.stock - one.listed for one in beyond) > MAX_CHANGED:
            raise Conflict(f"these are more than {MAX_CHANGED:,} cards: choose fewer products")
        items: list[UUID] = []
        for one in beyond:
            items += await markets.sellable(
                connection, tenant, one.sort, but=(), most=one.stock - one.listed
            )
        change = uuid4()
        await sell(connection, tenant, items, change, user=user, now=now, sequence=sequence)
    return ChangeOutcome(change=change, items=len(items))

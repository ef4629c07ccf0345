"""Printings that people and programs name by their id."""

from cardmint_cloud.adapters.postgres.queries import cards, catalogue
from cardmint_cloud.adapters.postgres.queries.reading import reading
from cardmint_cloud.errors import NotFound
from cardmint_cloud.web.context import PageContext
from cardmint_cloud.web.inventory_pages import sound_text
from cardmint_contracts.cards import Card


async def known_printing(shop: PageContext, card_id: str) -> Card:
    """Return a printing that a station or the catalogue knows.

    Raises:
        NotFound: neither does.
    """
    wanted = sound_text(card_id)
    async with reading(shop.engine, shop.tenant) as connection:
        found = await cards.find_printing(
            connection, shop.tenant, wanted
        ) or await catalogue.find_card(connection, wanted)
    if found is None:
        raise NotFound(f"no station and no catalogue knows a card {wanted[:80]!r}")
    return found

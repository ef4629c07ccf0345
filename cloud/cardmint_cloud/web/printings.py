"""Printings that people and programs name by their id, or look for by what is printed on them."""

from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from cardmint_cloud.adapters.postgres.queries import cards, catalogue
from cardmint_cloud.adapters.postgres.queries.reading import reading
from cardmint_cloud.domain.spelling import corrected
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


async def search_printings(
    connection: AsyncConnection, shop: PageContext, text: str, *, limit: int
) -> tuple[list[RowMapping], str]:
    """Return the printings that a text finds, and the text as it was probably meant.

    The catalogue's come first; without any, those that stations have named. Misspelt words are
    corrected only where nothing is found.
    """
    if found := await _search(connection, shop.tenant, text, limit):
        return found, text
    words = await shop.vocabulary.words(connection, shop.tenant) if text else ()
    meant = corrected(text, text.split(), words)
    return (await _search(connection, shop.tenant, meant, limit) if meant != text else []), meant


async def _search(
    connection: AsyncConnection, tenant: str, text: str, limit: int
) -> list[RowMapping]:
    return await catalogue.search(connection, text, limit=limit) or await cards.search_printings(
        connection, tenant, text, limit=limit
    )

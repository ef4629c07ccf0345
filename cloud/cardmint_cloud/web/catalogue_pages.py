"""The pages of the catalogue: search, all sets, and one set."""

from collections.abc import Callable
from datetime import timedelta

from litestar import get
from litestar.di import NamedDependency
from litestar.exceptions import NotFoundException
from litestar.params import FromPath
from litestar.response import Template

from cardmint_cloud.adapters.postgres.queries import catalogue
from cardmint_cloud.adapters.postgres.queries.reading import reading
from cardmint_cloud.domain.set_completion import completion
from cardmint_cloud.web.context import PageContext, PageRequest
from cardmint_cloud.web.inventory_pages import sound_text
from cardmint_cloud.web.printings import search_printings
from cardmint_cloud.web.rendering import render_page

FOUND = 60
"""Printings that a search shows."""
SHOWN: dict[str, Callable[[int], bool]] = {
    "held": lambda held: held > 0,
    "missing": lambda held: held <= 0,
}
"""What the printings of a set are narrowed to, by how many of each are held."""

OLD = timedelta(days=45)
"""Age from which the page asks to fetch the catalogue again: sets come out every two months."""


@get("/catalogue")
async def catalogue_page(request: PageRequest, shop: NamedDependency[PageContext]) -> Template:
    """Show all sets, and the printings that a search finds."""
    query = sound_text(request.query_params.get("q", ""))
    async with reading(shop.engine, shop.tenant) as connection:
        found, meant = await search_printings(connection, shop, query, limit=FOUND)
        return await render_page(
            connection,
            shop,
            "catalogue.html",
            query=query,
            found=found,
            meant=meant,
            sets=await catalogue.list_sets(connection, shop.tenant),
            imported=await catalogue.last_import(connection),
            old=OLD,
        )


@get("/catalogue/{set_id:str}")
async def catalogue_set(
    set_id: FromPath[str], request: PageRequest, shop: NamedDependency[PageContext]
) -> Template:
    """Show one set: how complete it is, and its printings with how many of each are held.

    `show` of the address narrows the printings to those that are `held` or `missing`.
    """
    show = request.query_params.get("show", "")
    async with reading(shop.engine, shop.tenant) as connection:
        found = await catalogue.find_set(connection, sound_text(set_id))
        if found is None:
            raise NotFoundException(f"The catalogue has no set {set_id}.")
        printings = await catalogue.printings_of(connection, shop.tenant, found["set_id"])
        shown = [one for one in printings if show not in SHOWN or SHOWN[show](one["held"])]
        counts = [(one["number"], one["held"]) for one in printings]
        return await render_page(
            connection,
            shop,
            "catalogue_set.html",
            set=found,
            printings=shown,
            show=show if show in SHOWN else "",
            completion=completion(counts, found["official"]),
        )


HANDLERS = (catalogue_page, catalogue_set)

"""The pages of read-only links: what one shows to whoever has it, and making and revoking them."""

from dataclasses import dataclass
from uuid import UUID

from litestar import get, post
from litestar.di import NamedDependency
from litestar.exceptions import NotFoundException
from litestar.params import FromPath, FromQuery, URLEncodedBody
from litestar.response import Template

from cardmint_cloud.adapters.postgres.queries import item_list
from cardmint_cloud.adapters.postgres.queries.reading import reading
from cardmint_cloud.domain.item_query import QueryFault, parse_query
from cardmint_cloud.errors import Conflict
from cardmint_cloud.view_links import ViewLinks
from cardmint_cloud.web.account_pages import people
from cardmint_cloud.web.context import PageContext, PageRequest
from cardmint_cloud.web.entry import accounts_of, entry_page, who_is
from cardmint_cloud.web.parameters import MAX_PAGE

PAGE = 50


@dataclass(frozen=True, kw_only=True)
class ViewForm:
    """A link's name, the query of its cards, and for how many days it is good."""

    name: str
    q: str = ""
    days: int = 30


@dataclass(frozen=True, kw_only=True)
class RevokeForm:
    """The link to revoke."""

    link: UUID


@get("/view/{view:str}")
async def view_page(
    view: FromPath[str], shop: NamedDependency[PageContext], page: FromQuery[int] = 1
) -> Template:
    """Show a link's cards to whoever has it."""
    found = await ViewLinks(accounts_of(shop)).open(view, shop.clock())
    if found is None:
        raise NotFoundException("This link was revoked or is too old.")
    try:
        query = parse_query(found.query, shop.clock().date())
    except QueryFault:
        raise NotFoundException("This link's list cannot be read any more.") from None
    async with shop.searching, reading(shop.engine, shop.tenant) as connection:
        totals = await item_list.item_totals(connection, shop.tenant, query)
        last = max(1, -(-totals.items // PAGE))
        page = min(MAX_PAGE, max(1, page), last)
        lines = await item_list.item_page(
            connection, shop.tenant, query, limit=PAGE, offset=(page - 1) * PAGE
        )
    return entry_page(
        shop,
        "view.html",
        now=shop.clock(),
        view=found,
        secret=view,
        lines=lines,
        totals=totals,
        page=page,
        last=last,
        size=PAGE,
    )


@post("/people/views", status_code=200)
async def make_view(
    data: URLEncodedBody[ViewForm], request: PageRequest, shop: NamedDependency[PageContext]
) -> Template:
    """Make a read-only link. It is shown once."""
    try:
        secret = await ViewLinks(accounts_of(shop)).make(
            data.name, data.q, data.days, by=who_is(request).account, now=shop.clock()
        )
    except Conflict as problem:
        return await people(shop, problem=str(problem))
    told = "Whoever has it sees that list, and nothing else"
    return await people(shop, link=shop.link(request, f"/view/{secret}"), told=told)


@post("/people/views/revoke", status_code=200)
async def revoke_view(
    data: URLEncodedBody[RevokeForm], request: PageRequest, shop: NamedDependency[PageContext]
) -> Template:
    """Revoke a read-only link."""
    await ViewLinks(accounts_of(shop)).remove(
        data.link, by=who_is(request).account, now=shop.clock()
    )
    return await people(shop, notice="Revoked.")


HANDLERS = (view_page, make_view, revoke_view)

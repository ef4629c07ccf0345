"""The page of files for marketplaces and other programs: what each holds and leaves out."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.exceptions import ValidationException
from litestar.params import FromPath, FromQuery, URLEncodedBody
from litestar.response import Template

from cardmint_cloud import market_differences, market_files
from cardmint_cloud.adapters.postgres import markets
from cardmint_cloud.adapters.postgres.queries.reading import reading
from cardmint_cloud.domain.item_query import QueryFault, parse_query
from cardmint_cloud.domain.written_formats import WRITTEN
from cardmint_cloud.errors import Conflict, NotFound
from cardmint_cloud.insurance_list import insurance_list
from cardmint_cloud.item_export import format_file
from cardmint_cloud.web.context import PageContext, PageRequest, user_of
from cardmint_cloud.web.rendering import attachment, render_page

SHOWN = 100
"""Differences that the page shows."""


@get("/items/export")
async def export_page(
    shop: NamedDependency[PageContext], q: FromQuery[str] = "", form: FromQuery[str] = ""
) -> Template:
    """Show the formats, and of one of them which cards it leaves out and why."""
    return await _page(shop, q, form=form)


@get("/items/insurance")
async def insurance(shop: NamedDependency[PageContext], q: FromQuery[str] = "") -> Response[bytes]:
    """Download the cards in stock that a query finds as a list for an insurer."""
    today = shop.clock().date()
    try:
        async with shop.searching:
            content = await insurance_list(shop.engine, shop.images, shop.tenant, q, today)
    except (QueryFault, Conflict) as problem:
        raise ValidationException(str(problem)) from None
    return Response(
        content,
        media_type="application/pdf",
        headers=attachment(f"insurance-{today}.pdf"),
    )


@post("/items/market-files", status_code=200)
async def make_file(shop: NamedDependency[PageContext]) -> Template:
    """Make a file for TCGplayer of what changed in stock."""
    made = await market_files.make_file(shop.pool, shop.tenant, shop.clock())
    said = "Nothing changed: there is no file." if made.file is None else ""
    return await _page(shop, "", notice=said, made=made.file)


@get("/items/market-files/{market_file:uuid}")
async def download_file(
    market_file: FromPath[UUID], shop: NamedDependency[PageContext]
) -> Response[bytes]:
    """Return a file as it was made."""
    try:
        name, content = await market_files.file_content(shop.pool, shop.tenant, market_file)
    except Conflict as gone:
        raise NotFound(str(gone)) from None
    return Response(
        content,
        media_type="text/csv",
        headers=attachment(name),
    )


@post("/items/market-files/{market_file:uuid}/take-back", status_code=200)
async def take_back(market_file: FromPath[UUID], shop: NamedDependency[PageContext]) -> Template:
    """Count a file as never uploaded."""
    try:
        await market_files.take_back(shop.pool, shop.tenant, market_file, shop.clock())
    except Conflict as problem:
        return await _refused(shop, f"Not taken back: {problem}.")
    return await _page(shop, "", notice="Taken back: the next file says it again.")


@dataclass(frozen=True, kw_only=True)
class ListedForm:
    """Products of which the marketplace's number is taken."""

    sku: list[str] | str = field(default_factory=list)


@post("/items/market-differences", status_code=200)
async def take_listed(
    data: URLEncodedBody[ListedForm], request: PageRequest, shop: NamedDependency[PageContext]
) -> Template:
    """Sell what is in stock beyond what TCGplayer lists, of the chosen products."""
    chosen = {data.sku} if isinstance(data.sku, str) else set(data.sku)
    try:
        done = await market_differences.take_listed(
            shop.pool, shop.tenant, chosen, user=user_of(request), now=shop.clock()
        )
    except Conflict as problem:
        return await _refused(shop, f"Not changed: {problem}.")
    said = f"{done.items:,} {'card is' if done.items == 1 else 'cards are'} sold."
    return await _page(shop, "", notice=said, undo=done.change)


async def _refused(shop: PageContext, notice: str) -> Template:
    page = await _page(shop, "", notice=notice, tone="conflict")
    page.status_code = 409
    return page


async def _page(
    shop: PageContext,
    q: str,
    *,
    form: str = "",
    notice: str = "",
    tone: str = "done",
    made: UUID | None = None,
    undo: UUID | None = None,
) -> Template:
    try:
        query = parse_query(q, shop.clock().date())
    except QueryFault as fault:
        raise ValidationException(str(fault)) from None
    left_out: Counter[str] = Counter()
    if chosen := WRITTEN.get(form):
        async with shop.searching:
            today = shop.clock().date()
            async for _ in format_file(
                shop.engine, shop.tenant, query, chosen, today=today, left_out=left_out
            ):
                pass
    context: dict[str, Any] = {
        "markets": await markets.markets_seen(shop.database, shop.tenant),
        "files": await markets.latest_files(shop.database, shop.tenant),
    }
    if context["markets"]:
        preview, differences = await market_differences.overview(shop.pool, shop.tenant)
        context |= {"preview": preview, "differences": differences}
    async with reading(shop.engine, shop.tenant) as connection:
        return await render_page(
            connection,
            shop,
            "item_export.html",
            q=q,
            formats=WRITTEN.values(),
            form=form if chosen else "",
            left_out=left_out.most_common(),
            made=made,
            undo=undo,
            most=SHOWN,
            notice=notice,
            tone=tone,
            **context,
        )


HANDLERS = (export_page, insurance, make_file, download_file, take_back, take_listed)

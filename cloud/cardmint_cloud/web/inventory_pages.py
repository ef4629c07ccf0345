"""The pages of the inventory, of one printing and of one item."""

from dataclasses import replace
from typing import Any, get_args
from urllib.parse import urlsplit
from uuid import UUID

from litestar import get
from litestar.di import NamedDependency
from litestar.exceptions import NotFoundException
from litestar.params import FromPath
from litestar.response import Template

from cardmint_cloud.adapters.postgres.queries import cards, catalogue
from cardmint_cloud.adapters.postgres.queries import inventory as inventory_queries
from cardmint_cloud.adapters.postgres.queries.inventory import InventoryFilter, SortKey
from cardmint_cloud.adapters.postgres.queries.provider_status import STALE
from cardmint_cloud.adapters.postgres.queries.reading import reading
from cardmint_cloud.adapters.postgres.queries.stations import was_given_up
from cardmint_cloud.web.chart import charts
from cardmint_cloud.web.context import PageContext, PageRequest
from cardmint_cloud.web.event_texts import describe_events
from cardmint_cloud.web.item_forms import FIELD_CHOICES, ChangeForm
from cardmint_cloud.web.parameters import MAX_PAGE, address, whole_number
from cardmint_cloud.web.rendering import htmx_target, render_page
from cardmint_contracts.cards import Condition, Finish
from cardmint_contracts.catalogue import finishes_of
from cardmint_contracts.events import (
    CardScanned,
)

MAX_SIZE = 500


def parse_filter(query: Any) -> InventoryFilter:
    """Return the filter of a query; unknown values are ignored, so every address is a page."""
    sort = query.get("sort", "")
    return InventoryFilter(
        words=sound_text(query.get("q", "")),
        set_id=sound_text(query.get("set", "")),
        finish=query.get("finish", "") if query.get("finish") in {"open", *Finish} else "",
        condition=query.get("condition", "")
        if query.get("condition") in {"open", *Condition}
        else "",
        sort=sort if sort in get_args(SortKey) else "name",
        descending=query.get("dir") == "desc",
        page=whole_number(query.get("page", ""), 1, MAX_PAGE),
        size=whole_number(query.get("size", ""), 50, MAX_SIZE),
    )


def sound_text(text: str) -> str:
    """Return a text as Postgres can take it: without NUL, and no longer than any that is known."""
    return text.replace("\x00", "")[:200]


def inventory_address(want: InventoryFilter, **changes: Any) -> str:
    """Return the inventory's address for a filter with changes, without default values."""
    want = replace(want, **changes)
    usual = InventoryFilter()
    values = {
        "q": want.words,
        "set": want.set_id,
        "finish": want.finish,
        "condition": want.condition,
        "sort": want.sort if want.sort != usual.sort else "",
        "dir": "desc" if want.descending else "",
        "page": want.page if want.page != usual.page else "",
        "size": want.size if want.size != usual.size else "",
    }
    return address("/", values)


@get("/")
async def inventory(request: PageRequest, shop: NamedDependency[PageContext]) -> Template:
    """Show the inventory with the filter, order and page of the address."""
    want = parse_filter(request.query_params)
    async with reading(shop.engine, shop.tenant) as connection:
        lines, total = await inventory_queries.inventory_page(connection, shop.tenant, want)
        last = max(1, -(-total // want.size))
        if want.page > last:
            want = replace(want, page=last)
            lines, total = await inventory_queries.inventory_page(connection, shop.tenant, want)
        context = {
            "want": want,
            "lines": lines,
            "total": total,
            "last": last,
            "totals": await inventory_queries.inventory_totals(connection, shop.tenant, want),
            "narrowed": bool(want.words or want.set_id or want.finish or want.condition),
            "address": inventory_address,
        }
        if htmx_target(request) == "inventory":
            answer = await render_page(connection, shop, "_inventory.html", **context)
            if request.headers.get("hx-trigger") != "inventory":
                answer.headers["HX-Push-Url"] = inventory_address(want)
            return answer
        return await render_page(
            connection,
            shop,
            "inventory.html",
            **context,
            sets=await inventory_queries.held_sets(connection, shop.tenant),
            newest=await cards.newest_items(connection, shop.tenant),
            has_image=lambda sha256: shop.images.has(shop.tenant, sha256),
            finishes=list(Finish),
            conditions=list(Condition),
        )


@get("/newest")
async def newest(shop: NamedDependency[PageContext]) -> Template:
    """Show the newest scans, a part of the inventory's page."""
    async with reading(shop.engine, shop.tenant) as connection:
        return await render_page(
            connection,
            shop,
            "_newest_scans.html",
            newest=await cards.newest_items(connection, shop.tenant),
            has_image=lambda sha256: shop.images.has(shop.tenant, sha256),
        )


@get("/waiting")
async def waiting(request: PageRequest, shop: NamedDependency[PageContext]) -> Template:
    """Show the navigation with the number of waiting reviews and dead letters."""
    try:
        path = urlsplit(request.headers.get("hx-current-url", "/none")).path
    except ValueError:  # Such as a bracket that is not closed.
        path = "/none"
    here = "inventory" if path == "/" else path.strip("/")
    async with reading(shop.engine, shop.tenant) as connection:
        return await render_page(connection, shop, "_navigation.html", here=here)


@get("/cards/{card_id:str}")
async def card(card_id: FromPath[str], shop: NamedDependency[PageContext]) -> Template:
    """Show one printing: holdings, prices, scans and events."""
    async with reading(shop.engine, shop.tenant) as connection:
        wanted = sound_text(card_id)
        facts = await catalogue.find_facts(connection, wanted)
        found = await cards.find_printing(
            connection, shop.tenant, wanted
        ) or await catalogue.find_card(connection, wanted)
        if found is None:
            raise NotFoundException(
                f"No station has seen a card {card_id}, and the catalogue has none."
            )
        scans = await cards.items_of_printing(connection, shop.tenant, found.id)
        quotes = await cards.quote_history(connection, shop.tenant, found.id)
        pictured = [
            scan for scan in scans if scan["image"] and shop.images.has(shop.tenant, scan["image"])
        ]
        return await render_page(
            connection,
            shop,
            "card.html",
            card=found,
            facts=facts,
            exists_as=finishes_of(facts.variants) if facts else (),
            lines=await cards.holdings_of(connection, shop.tenant, found.id),
            scans=scans,
            picture_of=pictured[0]["image"] if pictured else None,
            quotes=quotes,
            charts=charts(quotes, shop.clock()),
            stale_after=STALE,
            check=await cards.find_price_check(connection, shop.tenant, found.id),
            events=describe_events(
                await cards.item_history(
                    connection, shop.tenant, [scan["item"] for scan in scans], limit=20
                ),
                await shop.names(),
            ),
        )


@get("/items/{item:uuid}")
async def item(item: FromPath[UUID], shop: NamedDependency[PageContext]) -> Template:
    """Show one item: image, decision, reasons and events."""
    async with reading(shop.engine, shop.tenant) as connection:
        found = await cards.find_item(connection, shop.tenant, item)
        if found is None:
            raise NotFoundException(f"There is no card {item}.")
        events = await cards.item_history(connection, shop.tenant, [item, *found["changes"]])
        image, station = found["image"], found["station"]
        pictured = bool(image) and shop.images.has(shop.tenant, image)
        return await render_page(
            connection,
            shop,
            "item.html",
            item=found,
            **_station_decision(events),
            review=await cards.review_of_item(connection, shop.tenant, item),
            has_image=pictured,
            lost=bool(image)
            and not pictured
            and await was_given_up(connection, shop.tenant, station, image),
            events=describe_events(events, await shop.names()),
            form=ChangeForm(),
            faults={},
            **FIELD_CHOICES,
        )


def _station_decision(events: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the reasons and candidates of the station's last scan, which only the log has."""
    scans = [event["data"] for event in events if isinstance(event["data"], CardScanned)]
    return {
        "reasons": scans[-1].reasons if scans else (),
        "candidates": scans[-1].candidates if scans else (),
    }


HANDLERS = (inventory, newest, waiting, card, item)

"""The pages that show: the inventory, a printing, a physical card."""

from dataclasses import replace
from typing import Any, get_args
from urllib.parse import urlencode, urlsplit
from uuid import UUID

from litestar import get
from litestar.di import NamedDependency
from litestar.exceptions import NotFoundException
from litestar.params import FromPath
from litestar.response import Template
from sqlalchemy.ext.asyncio import AsyncConnection

from cardmint_cloud.adapters.postgres.queries import cards, desk
from cardmint_cloud.adapters.postgres.queries import inventory as inventory_queries
from cardmint_cloud.adapters.postgres.queries.inventory import InventoryFilter, SortKey
from cardmint_cloud.adapters.postgres.queries.provider_status import STALE
from cardmint_cloud.web.chart import charts
from cardmint_cloud.web.context import PageContext, PageRequest
from cardmint_cloud.web.filters import code_in_words
from cardmint_contracts.cards import Card, Condition, Decision, Finish
from cardmint_contracts.events import (
    CardScanned,
    Question,
    RescanRequested,
    ReviewAged,
    ReviewAnswered,
    ReviewOpened,
    ReviewUndone,
    ScanWithdrawn,
)

MAX_PAGE = 100_000
MAX_SIZE = 500
_QUESTION_TEXTS = {
    Question.PRINTING: "Asked which card it is",
    Question.DUPLICATE: "Asked whether it is the same card again",
    Question.AUDIT: "Asked whether it was counted rightly",
}
_ItemEvent = (
    CardScanned
    | ReviewOpened
    | ReviewAnswered
    | ReviewUndone
    | RescanRequested
    | ReviewAged
    | ScanWithdrawn
)


async def render_page(
    connection: AsyncConnection, shop: PageContext, template: str, **context: Any
) -> Template:
    """Return a page with what all pages need.

    The moment, the tenant, and what waits for a person.
    """
    waiting = await desk.count_waiting(connection, shop.tenant)
    return Template(
        template,
        context={"now": shop.clock(), "tenant": shop.tenant, "waiting": waiting, **context},
    )


def htmx_target(request: PageRequest) -> str | None:
    """Return the id of the part that htmx asks for anew; None for a whole page."""
    return request.headers.get("hx-target") if "hx-request" in request.headers else None


def parse_filter(query: Any) -> InventoryFilter:
    """Read what the address asks for.

    Anything else than is known is passed over, so that every address is a page.
    """
    sort = query.get("sort", "")
    return InventoryFilter(
        words=query.get("q", "")[:200],
        set_id=query.get("set", "")[:200],
        finish=query.get("finish", "") if query.get("finish") in {"open", *Finish} else "",
        condition=query.get("condition", "")
        if query.get("condition") in {"open", *Condition}
        else "",
        sort=sort if sort in get_args(SortKey) else "name",
        descending=query.get("dir") == "desc",
        page=_number(query.get("page", ""), 1, MAX_PAGE),
        size=_number(query.get("size", ""), 50, MAX_SIZE),
    )


def _number(text: str, otherwise: int, most: int) -> int:
    return (
        min(most, max(1, int(text)))
        if text.isascii() and text.isdigit() and len(text) < 10
        else otherwise
    )


def inventory_address(want: InventoryFilter, **changes: Any) -> str:
    """Return the inventory's address for what is wanted, with changes.

    What is as usual is left out.
    """
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
    query = urlencode({name: value for name, value in values.items() if value})
    return f"/?{query}" if query else "/"


@get("/")
async def inventory(request: PageRequest, shop: NamedDependency[PageContext]) -> Template:
    """Show the inventory: live, narrowed, sorted and paged as the address says."""
    want = parse_filter(request.query_params)
    async with shop.engine.connect() as connection:
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
    """Show the newest scans, as a part of the inventory's page."""
    async with shop.engine.connect() as connection:
        return await render_page(
            connection,
            shop,
            "_newest.html",
            newest=await cards.newest_items(connection, shop.tenant),
            has_image=lambda sha256: shop.images.has(shop.tenant, sha256),
        )


@get("/waiting")
async def waiting(request: PageRequest, shop: NamedDependency[PageContext]) -> Template:
    """Show how much waits for a person, as a part of every page: of the one that asks."""
    path = urlsplit(request.headers.get("hx-current-url", "/none")).path
    here = "inventory" if path == "/" else path.strip("/")
    async with shop.engine.connect() as connection:
        return await render_page(connection, shop, "_waiting.html", here=here)


@get("/cards/{card_id:str}")
async def card(card_id: FromPath[str], shop: NamedDependency[PageContext]) -> Template:
    """Show one printing: what is held of it, what it is worth and was worth, its scans and what happened to them."""
    async with shop.engine.connect() as connection:
        found = await cards.find_printing(connection, shop.tenant, card_id.replace("\x00", ""))
        if found is None:
            raise NotFoundException(f"No station has seen a card {card_id}.")
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
                )
            ),
        )


@get("/items/{item:uuid}")
async def item(item: FromPath[UUID], shop: NamedDependency[PageContext]) -> Template:
    """Show one physical card: its image, the decision and why, and what happened to it."""
    async with shop.engine.connect() as connection:
        found = await cards.find_item(connection, shop.tenant, item)
        if found is None:
            raise NotFoundException(f"There is no card {item}.")
        events = await cards.item_history(connection, shop.tenant, [item])
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
            and await desk.was_given_up(connection, shop.tenant, station, image),
            events=describe_events(events),
        )


def _station_decision(events: list[dict[str, Any]]) -> dict[str, Any]:
    """Return why the station decided as it did, which only the log says."""
    scans = [event["data"] for event in events if isinstance(event["data"], CardScanned)]
    return {
        "reasons": scans[-1].reasons if scans else (),
        "candidates": scans[-1].candidates if scans else (),
    }


def describe_events(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return events in words: what happened, who or what did it, when."""
    return [{**event, "said": _event_text(event["data"])} for event in events]


def _event_text(data: _ItemEvent) -> str:  # noqa: PLR0911 - one for each kind of event
    match data:
        case CardScanned():
            again = "Scanned again: " if data.rescan_of else ""
            found = {
                Decision.ACCEPT: f"Recognised as {_card_title(data.card)}",
                Decision.REVIEW: "Not certain: a person was asked",
                Decision.REJECT: "Found to be no card",
            }
            return again + found[data.decision]
        case ReviewOpened():
            why = (
                ""
                if data.question is Question.AUDIT
                else ": " + ", ".join(code_in_words(one).lower() for one in data.reasons)
            )
            return _QUESTION_TEXTS[data.question] + why
        case ReviewUndone():
            return f"Answer taken back, by {data.by}"
        case RescanRequested():
            return f"Asked for the card itself: {data.place}, by {data.by}"
        case ReviewAged():
            return "Waited too long" if data.outcome == "escalated" else "Given up: nobody looked"
        case ScanWithdrawn():
            return f"Taken back, by {data.by}"
        case ReviewAnswered():
            return f"Answered: {_card_title(data.card) or 'no card'}, by {data.by}"


def _card_title(card: Card | None) -> str:
    return f"{card.name} {card.number}".strip() if card else ""


HANDLERS = (inventory, newest, waiting, card, item)

"""The pages of items: found by a query, changed one by one or together, downloaded."""

import re
from collections import Counter
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID, uuid4

from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.exceptions import ValidationException
from litestar.params import FromPath, FromQuery, URLEncodedBody
from litestar.response import Redirect, Stream, Template

from cardmint_cloud.adapters.card_files import MEDIA_TYPES
from cardmint_cloud.adapters.postgres import saved_views
from cardmint_cloud.adapters.postgres.queries import item_list
from cardmint_cloud.adapters.postgres.queries.reading import reading
from cardmint_cloud.domain.item_query import KEYWORDS, ItemQuery, QueryFault, parse_query, with_term
from cardmint_cloud.domain.items import HELD, ItemStatus
from cardmint_cloud.domain.person_references import with_names
from cardmint_cloud.domain.spelling import corrected, plain_words
from cardmint_cloud.domain.written_formats import WRITTEN
from cardmint_cloud.errors import Conflict, NotFound
from cardmint_cloud.item_changes import MAX_CHANGED, change_items, undo_change
from cardmint_cloud.item_export import format_file, item_file
from cardmint_cloud.item_import import add_cards
from cardmint_cloud.saved_views import save_view
from cardmint_cloud.web.context import PageContext, PageRequest, user_of
from cardmint_cloud.web.event_texts import values_in_words
from cardmint_cloud.web.inventory_pages import sound_text
from cardmint_cloud.web.item_forms import FIELD_CHOICES, AddForm, ChangeForm, packed
from cardmint_cloud.web.parameters import MAX_PAGE, address
from cardmint_cloud.web.printings import known_printing
from cardmint_cloud.web.rendering import attachment, htmx_target, render_page
from cardmint_cloud.web.sign_in import reach_of_asker
from cardmint_contracts.cards import Card
from cardmint_contracts.changes import ItemValues, Stock

PAGE = 50
SHOWN = 12
"""Items of a change that its preview shows."""

MAX_FORM = 1 << 20
_ITEM_PAGE = re.compile(r"/items/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")


@get("/items")
async def item_list_page(
    request: PageRequest,
    shop: NamedDependency[PageContext],
    q: FromQuery[str] = "",
    page: FromQuery[int] = 1,
    show: FromQuery[str] = "",
) -> Template:
    """Show the items that a query finds, with its order; a query that cannot be read says why.

    `show` is `value` or `facets`: what they are worth, how many of each kind there are; a page
    asks for both by itself.
    """
    answer = await _items(request, shop, q, page=page, show=show)
    if htmx_target(request) == "items":
        answer.headers["HX-Push-Url"] = items_address(q)
    return answer


def items_address(q: str, page: int = 1, **more: str) -> str:
    """Return the address of the items that a query finds."""
    values = {"q": q, "page": "" if page == 1 else str(page), **more}
    return address("/items", values)


async def _items(
    request: PageRequest,
    shop: PageContext,
    q: str,
    *,
    page: int = 1,
    show: str = "",
    notice: str = "",
    tone: Literal["done", "conflict"] = "done",
    undo: UUID | None = None,
    form: ChangeForm | None = None,
) -> Template:
    query, fault = _parsed(shop, q)
    page = min(MAX_PAGE, max(1, page))
    async with reading(shop.engine, shop.tenant) as connection:
        count = await item_list.item_count(connection, shop.tenant, query) if query else 0
        typed = q
        if query and not count and (words := plain_words(query)):
            q = corrected(q, words, await shop.vocabulary.words(connection, shop.tenant))
            query, fault = _parsed(shop, q)
            count = await item_list.item_count(connection, shop.tenant, query) if query else 0
            q = q if count else typed
        last = max(1, -(-count // PAGE))
        page = min(page, last)
        lines = (
            await item_list.item_page(
                connection, shop.tenant, query, limit=PAGE, offset=(page - 1) * PAGE
            )
            if query
            else []
        )
        counted = query if show == "facets" else None
        facets = counted and await item_list.item_facets(connection, shop.tenant, counted)
        return await render_page(
            connection,
            shop,
            "_items.html" if htmx_target(request) == "items" else "items.html",
            q=q,
            typed=typed,
            fault=fault,
            lines=lines,
            count=count,
            totals=await item_list.item_totals(connection, shop.tenant, query)
            if query and show == "value"
            else None,
            facets=facets and _narrowing(q, facets),
            set_names=facets and await item_list.set_names(connection, shop.tenant, facets),
            page=page,
            last=last,
            size=PAGE,
            most=MAX_CHANGED,
            views=await _views(request, shop),
            keywords=KEYWORDS,
            address=items_address,
            has_image=lambda sha256: shop.images.has(shop.tenant, sha256),
            form=form or ChangeForm(q=q),
            faults={},
            notice=notice,
            tone=tone,
            undo=undo,
            **FIELD_CHOICES,
        )


async def _views(request: PageRequest, shop: PageContext) -> list[Any]:
    """Return the kept queries; to somebody with a limited reach their names are not shown."""
    if reach_of_asker(request.scope) is not None:
        return []
    return await saved_views.list_all(shop.database, shop.tenant)


def _parsed(shop: PageContext, q: str) -> tuple[ItemQuery | None, QueryFault | None]:
    try:
        return parse_query(q, shop.clock().date()), None
    except QueryFault as fault:
        return None, fault


@get("/items/totals")
async def item_totals(shop: NamedDependency[PageContext], q: FromQuery[str] = "") -> Template:
    """Return what the items are worth that a query finds, as a part of their page."""
    query, fault = _parsed(shop, q)
    if query is None:
        raise ValidationException(str(fault))
    async with reading(shop.engine, shop.tenant) as connection:
        totals = await item_list.item_totals(connection, shop.tenant, query)
        return await render_page(connection, shop, "_item_totals.html", totals=totals)


@get("/items/facets")
async def item_facets(shop: NamedDependency[PageContext], q: FromQuery[str] = "") -> Template:
    """Return how many items of each kind a query finds, as a part of their page."""
    query, fault = _parsed(shop, q)
    if query is None:
        raise ValidationException(str(fault))
    async with shop.searching, reading(shop.engine, shop.tenant) as connection:
        facets = await item_list.item_facets(connection, shop.tenant, query)
        return await render_page(
            connection,
            shop,
            "_item_facets.html",
            facets=_narrowing(q, facets),
            set_names=await item_list.set_names(connection, shop.tenant, facets),
            address=items_address,
        )


def _narrowing(q: str, facets: item_list.Facets) -> dict[str, list[dict[str, Any]]]:
    """Return the facets that tell items apart, each value with the query that it narrows."""
    return {
        name: [{**one, "narrower": with_term(q, name, one["value"])} for one in values]
        for name, values in facets.items()
        if len(values) > 1
    }


@get("/items/add")
async def add_page(shop: NamedDependency[PageContext], card: FromQuery[str] = "") -> Template:
    """Show the form that adds cards which no camera saw."""
    form = AddForm(card=sound_text(card), reference=f"by hand {uuid4()}")
    return await _add_page(shop, form, {})


@post("/items/add", status_code=200, request_max_body_size=MAX_FORM)
async def add_by_hand(
    data: URLEncodedBody[AddForm], request: PageRequest, shop: NamedDependency[PageContext]
) -> Response[Any]:
    """Add cards; the same form, sent twice, adds once."""
    card, faults = await _read(shop, data)
    if card is None and "card" not in faults:
        faults["card"] = "which printing is it? give its id, such as base1-4"
    if faults:
        answer = await _add_page(shop, data, faults)
        answer.status_code = 422
        return answer
    try:
        outcome = await add_cards(
            shop.pool,
            shop.tenant,
            data.values(card),
            reference=data.reference,
            quantity=int(data.quantity),
            user=user_of(request),
            now=shop.clock(),
        )
    except (Conflict, ValueError) as problem:
        answer = await _add_page(shop, data, {}, f"Not added: {problem}.")
        answer.status_code = 409
        return answer
    said = f"{outcome.items:,} added."
    return await _items(request, shop, "", notice=said, undo=outcome.change)


async def _add_page(
    shop: PageContext, form: AddForm, faults: dict[str, str], problem: str = ""
) -> Template:
    async with reading(shop.engine, shop.tenant) as connection:
        return await render_page(
            connection,
            shop,
            "item_add.html",
            form=form,
            faults=faults,
            problem=problem,
            **FIELD_CHOICES,
        )


@post("/items/preview", status_code=200, request_max_body_size=MAX_FORM)
async def preview_change(
    data: URLEncodedBody[ChangeForm], request: PageRequest, shop: NamedDependency[PageContext]
) -> Response[Any]:
    """Show what a change will do, with the items pinned in the versions that the person saw."""
    card, faults = await _read(shop, data)
    return await _preview(data, card, faults, request, shop)


async def _preview(
    data: ChangeForm,
    card: Card | None,
    faults: dict[str, str],
    request: PageRequest,
    shop: PageContext,
) -> Response[Any]:
    try:
        pins = await _pins(shop, data)
        after = ItemValues() if faults else data.values(card)
    except (Conflict, ValueError) as problem:
        return await _refused(request, shop, data, problem)
    if not pins or not (faults or after.fields):
        nothing = Conflict("nothing is chosen: choose cards, and what to set or clear")
        return await _refused(request, shop, data, nothing)
    async with reading(shop.engine, shop.tenant) as connection:
        chosen = await item_list.chosen_items(connection, shop.tenant, list(pins))
        moved = [row for row in chosen if row["version"] != pins[row["item"]]]
        held = sum(row["stock"] in HELD and row["status"] == ItemStatus.COUNTED for row in chosen)
        answer = await render_page(
            connection,
            shop,
            "item_change.html",
            form=data,
            faults=faults,
            words=values_in_words(after),
            count=len(chosen),
            sums=item_list.worth_of(chosen),
            leaving=held if after.stock in {Stock.SOLD, Stock.REMOVED} else 0,
            sample=chosen[:SHOWN],
            stale=moved,
            pins=packed(pins),
            back=items_address(data.q),
            **FIELD_CHOICES,
        )
    answer.status_code = 422 if faults else 409 if moved else 200
    return answer


@post("/items/change", status_code=200, request_max_body_size=MAX_FORM)
async def make_change(
    data: URLEncodedBody[ChangeForm], request: PageRequest, shop: NamedDependency[PageContext]
) -> Response[Any]:
    """Change items; what cannot be right is shown beside its field, with all that was typed."""
    card, faults = await _read(shop, data)
    if faults:
        return await _preview(data, card, faults, request, shop)
    try:
        outcome = await change_items(
            shop.pool,
            shop.tenant,
            await _pins(shop, data),
            data.values(card),
            user=user_of(request),
            now=shop.clock(),
        )
    except (Conflict, NotFound, ValueError) as problem:
        return await _refused(request, shop, data, problem)
    if _ITEM_PAGE.match(data.back):
        return Redirect(data.back, status_code=303)
    said = f"{outcome.items:,} changed." if outcome.change else "All of them had these values."
    return await _items(request, shop, data.q, notice=said, undo=outcome.change)


@post("/items/undo/{change:uuid}", status_code=200)
async def take_back(
    change: FromPath[UUID], request: PageRequest, shop: NamedDependency[PageContext]
) -> Response[Any]:
    """Take a change back; that can be taken back, too."""
    try:
        outcome = await undo_change(
            shop.pool, shop.tenant, change, user=user_of(request), now=shop.clock()
        )
    except (Conflict, NotFound) as problem:
        return await _refused(request, shop, ChangeForm(), problem)
    kept = f" {outcome.kept:,} keep what they got since." if outcome.kept else ""
    said = f"Taken back: {outcome.items:,} are as before.{kept}"
    return await _items(request, shop, "", notice=said, undo=outcome.change)


@dataclass(frozen=True, kw_only=True)
class KeepForm:
    """The name of a view, and the query that it keeps."""

    name: str
    q: str = ""


@dataclass(frozen=True, kw_only=True)
class RemoveForm:
    """The view to remove, by its name, and the query that is shown."""

    name: str
    q: str = ""


@post("/items/views", status_code=200)
async def keep_view(
    data: URLEncodedBody[KeepForm], request: PageRequest, shop: NamedDependency[PageContext]
) -> Response[Any]:
    """Keep a query under a name, for all who see the shop's cards."""
    query, name = sound_text(data.q), sound_text(data.name)
    try:
        await save_view(shop.database, shop.tenant, name, query, now=shop.clock())
    except Conflict as problem:
        page = await _items(request, shop, data.q, notice=f"Not saved: {problem}.", tone="conflict")
        page.status_code = 409
        return page
    return await _items(request, shop, data.q, notice="Saved: it is among the views now.")


@post("/items/views/remove", status_code=200)
async def remove_view(
    data: URLEncodedBody[RemoveForm], request: PageRequest, shop: NamedDependency[PageContext]
) -> Response[Any]:
    """Remove a kept query."""
    if await saved_views.remove(shop.database, shop.tenant, sound_text(data.name)):
        return await _items(request, shop, data.q, notice="The view is removed.")
    page = await _items(
        request, shop, data.q, notice="There is no such view any more.", tone="conflict"
    )
    page.status_code = 404
    return page


@get("/changes")
async def changes(shop: NamedDependency[PageContext]) -> Template:
    """Show the latest changes of items, each with a button that takes it back."""
    async with reading(shop.engine, shop.tenant) as connection:
        found = await item_list.latest_changes(connection, shop.tenant)
        names = await shop.names()
        lines = [
            {**one, "by": with_names(one["by"], names), "words": values_in_words(one["after"])}
            for one in found
        ]
        return await render_page(connection, shop, "changes.html", changes=lines)


@get("/items/download/{form:str}")
async def download(
    form: FromPath[str], shop: NamedDependency[PageContext], q: FromQuery[str] = ""
) -> Response[Any]:
    """Download all items that a query finds, as `csv`, `json` or `xlsx`, or in another's format."""
    query, fault = _parsed(shop, q)
    if query is None:
        raise ValidationException(str(fault))
    written = WRITTEN.get(form)
    if written is None and form not in MEDIA_TYPES:
        raise ValidationException(f"A download is csv, json, xlsx, {', '.join(WRITTEN)}.")
    today, kind = shop.clock().date(), "csv" if written else form
    pieces = (
        format_file(shop.engine, shop.tenant, query, written, today=today, left_out=Counter())
        if written
        else item_file(shop.engine, shop.tenant, query, form)
    )
    name = f"{written.name if written else 'cards'}-{today}.{kind}"
    return Stream(
        pieces,
        media_type=MEDIA_TYPES[kind],
        headers=attachment(name),
    )


async def _pins(shop: PageContext, data: ChangeForm) -> dict[UUID, int]:
    if not data.everything:
        chosen = data.items()
        if len(chosen) > MAX_CHANGED:
            raise Conflict(f"{len(chosen):,} cards are too many: at most {MAX_CHANGED:,}")
        return chosen
    query, fault = _parsed(shop, data.q)
    if query is None:
        raise Conflict(str(fault))
    async with reading(shop.engine, shop.tenant) as connection:
        found = await item_list.item_versions(connection, shop.tenant, query, limit=MAX_CHANGED + 1)
    if len(found) > MAX_CHANGED:
        raise Conflict(f"more than {MAX_CHANGED:,} cards fit: narrow the search")
    return found


async def _read(shop: PageContext, data: ChangeForm) -> tuple[Card | None, dict[str, str]]:
    """Return the printing that a form names, and what cannot be right in the form, by field."""
    faults = data.faults()
    try:
        named = data.card.strip()
        return (await known_printing(shop, named) if named else None), faults
    except NotFound as unknown:
        return None, {**faults, "card": str(unknown)}


async def _refused(
    request: PageRequest, shop: PageContext, form: ChangeForm, problem: Exception
) -> Response[Any]:
    """Say why nothing was changed, beside all that was typed."""
    said = f"Not changed: {problem}."
    page = await _items(request, shop, form.q, notice=said, tone="conflict", form=form)
    page.status_code = 404 if isinstance(problem, NotFound) else 409
    return page


HANDLERS = (
    *(
        item_list_page,
        item_totals,
        item_facets,
        add_page,
        add_by_hand,
        preview_change,
        make_change,
        take_back,
    ),
    *(keep_view, remove_view, changes, download),
)

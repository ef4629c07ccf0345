"""What the page of cards can do, for programs: find, count, change, take back, add, answer.

Every change names the versions that were seen: what somebody else changed meanwhile is answered
with 409 and its reason, and nothing is changed.
"""

from typing import Annotated, Any, Literal, TypeVar
from uuid import UUID

from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.exceptions import NotFoundException, ValidationException
from litestar.params import FromPath, FromQuery
from msgspec import Meta, Struct
from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncConnection

from cardmint_cloud.adapters.postgres import saved_views
from cardmint_cloud.adapters.postgres.connection import tenant_transaction
from cardmint_cloud.adapters.postgres.queries import item_list, provider_status
from cardmint_cloud.adapters.postgres.queries.reading import reading
from cardmint_cloud.adapters.postgres.reviews import questions
from cardmint_cloud.domain.item_query import ItemQuery, QueryFault, parse_query
from cardmint_cloud.domain.item_rows import MAX_QUANTITY
from cardmint_cloud.domain.person_references import with_names
from cardmint_cloud.domain.spelling import corrected, plain_words
from cardmint_cloud.errors import Conflict
from cardmint_cloud.item_changes import MAX_CHANGED, change_items, undo_change
from cardmint_cloud.item_export import file_row
from cardmint_cloud.item_import import add_cards
from cardmint_cloud.reviews.answers import submit_answer
from cardmint_cloud.web.api import Tenant
from cardmint_cloud.web.context import PageContext, PageRequest, user_of
from cardmint_cloud.web.parameters import MAX_PAGE
from cardmint_cloud.web.printings import known_printing
from cardmint_contracts.cards import CardId, Language
from cardmint_contracts.changes import ItemValues
from cardmint_contracts.errors import ContractError
from cardmint_contracts.wire import Line, decode

MAX_BODY = 1 << 20
MAX_PAGE_SIZE = 500

T = TypeVar("T", bound=Struct)


class SeenItem(Struct, frozen=True, forbid_unknown_fields=True):
    """An item in the version in which it was seen."""

    item: UUID
    version: Annotated[int, Meta(ge=1, le=2**31 - 1)]


class ChangeRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """What to change: `values` to set or clear, and the printing `card_id`, of `items`.

    A preview takes the query `q` in place of items.
    """

    values: ItemValues = ItemValues()
    card_id: CardId | None = None
    items: Annotated[tuple[SeenItem, ...], Meta(max_length=MAX_CHANGED)] = ()
    q: str | None = None


class AddRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Cards to add: the printing, how many, their values; the same `reference` adds once."""

    card_id: CardId
    reference: Annotated[Line, Meta(min_length=1)]
    quantity: Annotated[int, Meta(ge=1, le=MAX_QUANTITY)] = 1
    values: ItemValues = ItemValues()


class AnswerRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """An answer to version `version` of a question; `card_id` exactly with the verdict `card`."""

    version: Annotated[int, Meta(ge=1, le=2**31 - 1)]
    verdict: Literal["card", "no_card"]
    card_id: CardId | None = None
    language: Language | None = None


@get("/api/v1/{tenant:str}/cards")
async def find_cards(
    tenant: Tenant,
    shop: NamedDependency[PageContext],
    q: FromQuery[str] = "",
    page: FromQuery[int] = 1,
    size: FromQuery[int] = 100,
) -> dict[str, Any]:
    """Return a page of the cards that a query finds, in its order, and how many there are.

    Where there are none, `meant` is the query with its misspelt words corrected, if that finds any.
    """
    query = _query(shop, q)
    page, size = min(MAX_PAGE, max(1, page)), min(MAX_PAGE_SIZE, max(1, size))
    async with reading(shop.engine, tenant) as connection:
        count = await item_list.item_count(connection, tenant, query)
        found = await item_list.item_page(
            connection, tenant, query, limit=size, offset=(page - 1) * size
        )
        answer: dict[str, Any] = {"count": count, "page": page, "size": size}
        if not count:
            answer["meant"] = await _meant(connection, shop, q, query)
    return {**answer, "cards": [file_row(row) for row in found]}


@get("/api/v1/{tenant:str}/views")
async def views(tenant: Tenant, shop: NamedDependency[PageContext]) -> dict[str, Any]:
    """Return the queries that the shop keeps under a name."""
    kept = await saved_views.list_all(shop.database, tenant)
    return {"views": [{"name": one["name"], "q": one["query"]} for one in kept]}


async def _meant(connection: AsyncConnection, shop: PageContext, q: str, query: ItemQuery) -> str:
    """Return a query with its misspelt words corrected, if that finds anything; else the query."""
    known = await shop.vocabulary.words(connection, shop.tenant)
    meant = corrected(q, plain_words(query), known)
    found = meant != q and await item_list.item_count(connection, shop.tenant, _query(shop, meant))
    return meant if found else q


@get("/api/v1/{tenant:str}/cards/facets")
async def facets(
    tenant: Tenant, shop: NamedDependency[PageContext], q: FromQuery[str] = ""
) -> dict[str, Any]:
    """Return how many of the cards that a query finds have which set, language, condition, …."""
    query = _query(shop, q)
    async with shop.searching, reading(shop.engine, tenant) as connection:
        return {"facets": await item_list.item_facets(connection, tenant, query)}


@post("/api/v1/{tenant:str}/changes/preview", status_code=200, request_max_body_size=MAX_BODY)
async def preview(
    tenant: Tenant, request: PageRequest, shop: NamedDependency[PageContext]
) -> Response[dict[str, Any]]:
    """Return what a change would do: its items with their versions, and those that have changed."""
    _own(shop, tenant)
    asked = await _body(request, ChangeRequest)
    values = await _values(shop, asked.values, asked.card_id)
    seen = {one.item: one.version for one in asked.items}
    async with reading(shop.engine, tenant) as connection:
        if asked.q is not None:
            query = _query(shop, asked.q)
            seen = await item_list.item_versions(connection, tenant, query, limit=MAX_CHANGED + 1)
        if len(seen) > MAX_CHANGED:
            return _refused(Conflict(f"more than {MAX_CHANGED:,} cards fit: narrow the search"))
        chosen = await item_list.chosen_items(connection, tenant, list(seen))
    return Response(
        {
            "items": [{"item": one["item"], "version": one["version"]} for one in chosen],
            "changed_meanwhile": [
                one["item"] for one in chosen if one["version"] != seen[one["item"]]
            ],
            "fields": sorted(values.fields),
            "worth": item_list.worth_of(chosen),
        }
    )


@post("/api/v1/{tenant:str}/changes", status_code=200, request_max_body_size=MAX_BODY)
async def change(
    tenant: Tenant, request: PageRequest, shop: NamedDependency[PageContext]
) -> Response[dict[str, Any]]:
    """Change items, all or none; `change` is null where all of them had these values."""
    _own(shop, tenant)
    asked = await _body(request, ChangeRequest)
    if asked.q is not None:
        raise ValidationException("A change names its items; a preview of `q` returns them.")
    values = await _values(shop, asked.values, asked.card_id)
    try:
        done = await change_items(
            shop.pool,
            tenant,
            {one.item: one.version for one in asked.items},
            values,
            user=user_of(request),
            now=shop.clock(),
        )
    except Conflict as problem:
        return _refused(problem)
    return Response({"change": done.change, "items": done.items})


@get("/api/v1/{tenant:str}/changes")
async def latest(tenant: Tenant, shop: NamedDependency[PageContext]) -> dict[str, Any]:
    """Return the latest changes, the newest first."""
    async with reading(shop.engine, tenant) as connection:
        found = await item_list.latest_changes(connection, tenant)
    names = await shop.names()
    return {"changes": [{**one, "by": with_names(one["by"], names)} for one in found]}


@post("/api/v1/{tenant:str}/changes/{change:uuid}/undo", status_code=200)
async def undo(
    tenant: Tenant,
    change: FromPath[UUID],
    request: PageRequest,
    shop: NamedDependency[PageContext],
) -> Response[dict[str, Any]]:
    """Take a change back; `kept` items keep what they got since."""
    _own(shop, tenant)
    try:
        done = await undo_change(shop.pool, tenant, change, user=user_of(request), now=shop.clock())
    except Conflict as problem:
        return _refused(problem)
    return Response({"change": done.change, "items": done.items, "kept": done.kept})


@post("/api/v1/{tenant:str}/cards", status_code=201, request_max_body_size=MAX_BODY)
async def add(
    tenant: Tenant, request: PageRequest, shop: NamedDependency[PageContext]
) -> Response[dict[str, Any]]:
    """Add cards that no camera saw; 409 where those of this reference are there already."""
    _own(shop, tenant)
    asked = await _body(request, AddRequest)
    if asked.values.cleared:
        raise ValidationException("cleared: a new card has nothing to clear")
    values = await _values(shop, asked.values, asked.card_id)
    try:
        done = await add_cards(
            shop.pool,
            tenant,
            values,
            reference=asked.reference,
            quantity=asked.quantity,
            user=user_of(request),
            now=shop.clock(),
        )
    except Conflict as problem:
        return _refused(problem)
    return Response({"change": done.change, "items": done.items}, status_code=201)


@post(
    "/api/v1/{tenant:str}/reviews/{task:uuid}/answer",
    status_code=200,
    request_max_body_size=MAX_BODY,
)
async def answer(
    tenant: Tenant,
    task: FromPath[UUID],
    request: PageRequest,
    shop: NamedDependency[PageContext],
) -> Response[dict[str, Any]]:
    """Answer a question; 409 with the answer that was first."""
    _own(shop, tenant)
    asked = await _body(request, AnswerRequest)
    if (asked.card_id is not None) != (asked.verdict == "card"):
        raise ValidationException("card_id: it is given exactly with the verdict `card`")
    card = await known_printing(shop, asked.card_id) if asked.card_id is not None else None
    try:
        await submit_answer(
            shop.pool,
            tenant,
            task,
            version=asked.version,
            verdict=asked.verdict,
            card=card,
            user=user_of(request),
            now=shop.clock(),
            language=asked.language,
        )
    except Conflict as problem:
        return _refused(Conflict(with_names(str(problem), await shop.names())))
    return Response({"task": task, "verdict": asked.verdict})


@get("/api/v1/accuracy/status")
async def accuracy(shop: NamedDependency[PageContext]) -> dict[str, Any]:
    """Return how often counted cards were right, by audits drawn by chance, with 95 % bounds."""
    async with tenant_transaction(shop.pool, shop.tenant) as connection:
        measured = await questions.audit_precisions(connection, shop.tenant)
    return {"as_of": shop.clock(), "recognisers": measured}


@get("/api/v1/health/circuits")
async def circuits(shop: NamedDependency[PageContext]) -> dict[str, Any]:
    """Return the state of each price provider's breaker: `closed`, `open`, `half-open`, `idle`."""
    async with tenant_transaction(shop.pool, shop.tenant) as connection:
        supply = await provider_status.read_price_supply(connection, shop.tenant, shop.clock())
    return {
        "as_of": shop.clock(),
        "circuits": [
            {
                "provider": one.name,
                "state": one.state,
                "paused_until": one.paused_until,
                "workers": [
                    {
                        name: worker[name]
                        for name in ("worker", "state", "since", "calls", "failed", "slow")
                    }
                    for worker in one.workers
                ],
            }
            for one in supply.providers
        ],
    }


def _own(shop: PageContext, tenant: str) -> None:
    if tenant != shop.tenant:
        raise NotFoundException("There is nothing under that address.")


async def _body(request: PageRequest, kind: type[T]) -> T:
    try:
        return decode(await request.body(), kind)
    except ContractError as error:
        raise ValidationException(str(error)) from None


def _query(shop: PageContext, q: str) -> ItemQuery:
    try:
        return parse_query(q, shop.clock().date())
    except QueryFault as fault:
        raise ValidationException(f"q: {fault}, from {fault.start} to {fault.end}") from None


async def _values(shop: PageContext, values: ItemValues, card_id: str | None) -> ItemValues:
    if values.card is not None:
        raise ValidationException("values: a printing is named by `card_id`")
    return values if card_id is None else replace(values, card=await known_printing(shop, card_id))


def _refused(problem: Conflict) -> Response[dict[str, Any]]:
    return Response({"reason": str(problem)}, status_code=409)


HANDLERS = (
    *(find_cards, facets, views, preview, change, latest, undo, add, answer),
    *(accuracy, circuits),
)

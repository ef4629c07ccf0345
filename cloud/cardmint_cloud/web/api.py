"""The interface for programs: JSON, images, the event stream, health and metrics."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from litestar import MediaType, Response, get, head, patch, post, put
from litestar.di import NamedDependency
from litestar.exceptions import (
    NotFoundException,
    ServiceUnavailableException,
    ValidationException,
)
from litestar.params import FromQuery, PathParameter, QueryParameter
from litestar.response import ServerSentEvent, ServerSentEventMessage
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from cardmint_cloud.adapters.postgres.connection import reach_in_force, tenant_transaction
from cardmint_cloud.adapters.postgres.ingest import event_log
from cardmint_cloud.adapters.postgres.queries import cards, provider_status
from cardmint_cloud.adapters.postgres.queries import inventory as inventory_queries
from cardmint_cloud.adapters.postgres.queries.inventory import count_by_status
from cardmint_cloud.adapters.postgres.queries.reading import reading
from cardmint_cloud.adapters.postgres.queries.reviews import count_waiting, list_reviews
from cardmint_cloud.adapters.postgres.queries.stations import list_stations
from cardmint_cloud.adapters.postgres.reviews import questions
from cardmint_cloud.domain.person_references import with_names
from cardmint_cloud.domain.reach import Reach
from cardmint_cloud.images import (
    SILENCE_S,
    KeptImage,
    RefusedImage,
    load_image,
    load_thumbnail,
    make_thumbnail,
    receive_image,
    upload_offset,
)
from cardmint_cloud.web.context import PageContext, PageRequest
from cardmint_cloud.web.inventory_pages import parse_filter
from cardmint_cloud.web.metrics import Metrics
from cardmint_contracts.errors import ContractError
from cardmint_contracts.http import (
    IMAGE_PATH,
    STATION_CODE_PATH,
    TENANT_PATH,
    UPLOAD_COMPLETE,
    UPLOAD_OFFSET,
)
from cardmint_contracts.notifications import Subject
from cardmint_contracts.station_codes import StationCode
from cardmint_contracts.wire import decode, encode

Tenant = Annotated[str, PathParameter(pattern=r"^[a-z0-9][a-z0-9-]{0,62}\Z")]
Sha256 = Annotated[str, PathParameter(pattern=r"^[0-9a-f]{64}\Z")]

EventTenant = Annotated[str, QueryParameter(pattern=r"^([a-z0-9][a-z0-9-]{0,62})?\Z")]

MAX_ITEMS = 500
MAX_STATION_CODE = 1 << 10


def route(path: str) -> str:
    """Return a path of the contract as a route of Litestar's, whose parameters are typed."""
    return path.replace("}", ":str}")


_IMAGE = route(IMAGE_PATH)
_NO_IMAGE = "That image has not come yet, or was given up."


@post(STATION_CODE_PATH, status_code=200, request_max_body_size=MAX_STATION_CODE)
async def station_code(request: PageRequest, shop: NamedDependency[PageContext]) -> Response[bytes]:
    """Trade a code for a station's credentials."""
    try:
        asked = decode(await request.body(), StationCode)
    except ContractError as error:
        raise ValidationException(str(error)) from None
    found = await shop.station_codes.take(asked.code, shop.clock()) if shop.station_codes else None
    if found is None:
        raise NotFoundException("That code is wrong, was used, or is too old.")
    return Response(encode(found), media_type=MediaType.JSON)


@get("/api/v1/{tenant:str}/inventory")
async def inventory(
    tenant: Tenant, request: PageRequest, shop: NamedDependency[PageContext]
) -> dict[str, Any]:
    """Return one page of the inventory and its totals, with the same filters as the page `/`."""
    want = parse_filter(request.query_params)
    async with reading(shop.engine, tenant) as connection:
        lines, total = await inventory_queries.inventory_page(connection, tenant, want)
        sums = await inventory_queries.inventory_totals(connection, tenant, want)
    return {
        "page": want.page,
        "size": want.size,
        "total": total,
        "totals": sums,
        "lines": _plain(lines),
    }


@get("/api/v1/{tenant:str}/items")
async def items(
    tenant: Tenant,
    shop: NamedDependency[PageContext],
    after: FromQuery[str] = "",
    limit: FromQuery[int] = 100,
) -> dict[str, Any]:
    """Return physical cards in the order of their receipt.

    `next` is the `after` of the next page.
    """
    limit = min(MAX_ITEMS, max(1, limit))
    async with reading(shop.engine, tenant) as connection:
        found = await cards.items_after(connection, tenant, _cursor(after), limit=limit)
    last = found[-1] if found else None
    return {
        "items": _plain(found),
        "next": f"{last['received_at'].isoformat()}_{last['item']}" if last else after,
        "more": len(found) == limit,
    }


@get("/api/v1/{tenant:str}/reviews")
async def reviews(tenant: Tenant, shop: NamedDependency[PageContext]) -> dict[str, Any]:
    """Return the open reviews, escalated and oldest first."""
    async with reading(shop.engine, tenant) as connection:
        found = await list_reviews(connection, tenant, "open", limit=MAX_ITEMS)
    names = await shop.names()
    told = (
        {**row, **{key: with_names(row[key] or "", names) for key in ("holder", "answered_by")}}
        for row in found
    )
    return {"reviews": list(told)}


@get("/api/v1/{tenant:str}/stations")
async def stations(tenant: Tenant, shop: NamedDependency[PageContext]) -> dict[str, Any]:
    """Return the stations with their state, last health and watermark."""
    async with reading(shop.engine, tenant) as connection:
        return {"stations": _plain(await list_stations(connection, tenant))}


@get(TENANT_PATH)
async def tenant_name(shop: NamedDependency[PageContext]) -> dict[str, str]:
    """Return whose cards the dashboard shows, so that a station can compare its setting."""
    return {"tenant": shop.tenant}


@put(_IMAGE, request_max_body_size=None)
async def put_image(
    tenant: Tenant,
    sha256: Sha256,
    request: PageRequest,
    shop: NamedDependency[PageContext],
    item: FromQuery[UUID | None] = None,
) -> Response[dict[str, str]]:
    """Store an image: 201 when it is new, 200 when it was there, 413 or 422 when refused.

    Only an image that an event names is taken; `item` says about which item that event is. The
    bytes of an upload that breaks off stay for a day, and `PATCH` continues it.
    """
    return await _take(shop, tenant, sha256, request, item=item, offset=0)


@head(_IMAGE)
async def image_offset(
    tenant: Tenant, sha256: Sha256, shop: NamedDependency[PageContext]
) -> Response[None]:
    """Report an upload's progress: 204 with `Upload-Complete`, and `Upload-Offset` until then."""
    offset = await asyncio.to_thread(upload_offset, shop.images, tenant, sha256)
    headers = (
        {UPLOAD_COMPLETE: "?1"}
        if offset is None
        else {UPLOAD_COMPLETE: "?0", UPLOAD_OFFSET: str(offset)}
    )
    return Response(None, status_code=204, headers={**headers, "cache-control": "no-store"})


@patch(_IMAGE, request_max_body_size=None)
async def patch_image(
    tenant: Tenant,
    sha256: Sha256,
    request: PageRequest,
    shop: NamedDependency[PageContext],
    item: FromQuery[UUID | None] = None,
) -> Response[dict[str, str]]:
    """Continue an upload from `Upload-Offset`; 409 with the right offset if it differs.

    This follows the IETF's draft of resumable uploads for HTTP, except that the image's own address
    is that of its upload.
    """
    offset = request.headers.get(UPLOAD_OFFSET, "")
    if not offset.isdecimal() or len(offset) > 12:
        raise ValidationException("Upload-Offset: the count of bytes that came before is expected")
    return await _take(shop, tenant, sha256, request, item=item, offset=int(offset))


async def _take(
    shop: PageContext,
    tenant: str,
    sha256: str,
    request: PageRequest,
    *,
    item: UUID | None,
    offset: int,
) -> Response[dict[str, str]]:
    if not await _is_named(shop, tenant, sha256, item):
        said = {"reason": "unnamed", "detail": "no event of this tenant names this image"}
        return Response(said, status_code=422)
    try:
        taken = await receive_image(shop.images, tenant, sha256, request.stream(), offset)
    except TimeoutError:
        return Response(
            {"reason": "silence", "detail": f"nothing came for {SILENCE_S:.0f} s"}, status_code=408
        )
    match taken:
        case KeptImage(fresh=fresh):
            if fresh:
                async with shop.pool.acquire() as connection:
                    await event_log.notify(connection, tenant, Subject.IMAGES)
            return Response({"sha256": sha256}, status_code=201 if fresh else 200)
        case RefusedImage(reason="moved", offset=found):
            said = {"reason": "moved", "detail": taken.detail}
            return Response(said, status_code=409, headers={UPLOAD_OFFSET: str(found)})
        case refusal:
            status = 413 if refusal.reason == "too-large" else 422
            return Response(
                {"reason": refusal.reason, "detail": refusal.detail}, status_code=status
            )


async def _is_named(shop: PageContext, tenant: str, sha256: str, item: UUID | None) -> bool:
    """Return whether an event names an image, so that nobody can fill the storage with others."""
    if item is not None:
        async with reading(shop.engine, tenant) as connection:
            return await cards.event_names_image(connection, tenant, item, sha256)
    async with shop.searching, reading(shop.engine, tenant) as connection:
        return await cards.any_item_has_image(connection, tenant, sha256)


@get("/images/{tenant:str}/{sha256:str}")
async def image(
    tenant: Tenant,
    sha256: Sha256,
    shop: NamedDependency[PageContext],
    size: FromQuery[Literal["full", "thumbnail"]] = "full",
    item: FromQuery[UUID | None] = None,
) -> Response[bytes]:
    """Return an image or its thumbnail. Its name is its content, so it may be cached for ever.

    A thumbnail is made at the first request that names an `item` with this image; until then, and
    where it cannot be drawn, the whole image is returned.
    """
    if reach_in_force() is not None and not await _is_named(shop, tenant, sha256, item):
        raise NotFoundException(_NO_IMAGE)
    found = await _thumbnail(shop, tenant, sha256, item) if size == "thumbnail" else None
    lasting = found is not None or size == "full"
    found = found or await asyncio.to_thread(load_image, shop.images, tenant, sha256)
    if found is None:
        raise NotFoundException(_NO_IMAGE)
    content, media_type = found
    return Response(
        content,
        media_type=media_type,
        headers={"cache-control": "private, max-age=31536000, immutable"} if lasting else {},
    )


async def _thumbnail(
    shop: PageContext, tenant: str, sha256: str, item: UUID | None
) -> tuple[bytes, str] | None:
    found = await asyncio.to_thread(load_thumbnail, shop.images, tenant, sha256)
    if found is None and item is not None:
        async with reading(shop.engine, tenant) as connection:
            named = await cards.has_image(connection, tenant, item, sha256)
        if named:
            async with shop.drawing:
                found = await asyncio.to_thread(make_thumbnail, shop.images, tenant, sha256)
    return (found, "image/webp") if found is not None else None


@get("/events")
async def events(shop: NamedDependency[PageContext], tenant: EventTenant = "") -> ServerSentEvent:
    """Stream changes as server-sent events, beginning with `ready`.

    Kinds: `items`, `scan`, `inventory`, `reviews`, `stations` and more.
    """
    if shop.hub.full:
        raise ServiceUnavailableException("Too many pages are open; close some, and try again.")
    return ServerSentEvent(_stream(shop, tenant or shop.tenant, reach_in_force()))


async def _stream(
    shop: PageContext, tenant: str, reach: Reach | None
) -> AsyncGenerator[ServerSentEventMessage, None]:
    with shop.hub.client(tenant, reach) as client:
        await shop.hub.begin(tenant)
        async for kind, data in client.messages():
            yield ServerSentEventMessage(event=kind, data=msgspec.json.encode(data).decode())


@get("/healthz")
async def healthz(shop: NamedDependency[PageContext]) -> Response[dict[str, Any]]:
    """Report whether the database answers and changes are listened to; 503 without the database."""
    try:
        async with shop.engine.connect() as connection:
            await connection.execute(text("SELECT 1"))
    except (SQLAlchemyError, OSError) as error:
        return Response({"database": False, "reason": type(error).__name__}, status_code=503)
    return Response({"database": True, "listening": shop.hub.listening})


@get("/metrics")
async def metrics(
    shop: NamedDependency[PageContext], figures: NamedDependency[Metrics]
) -> Response[bytes]:
    """Return the process's metrics for Prometheus."""
    async with tenant_transaction(shop.pool, shop.tenant) as raw:
        supplied = await provider_status.read_price_supply(raw, shop.tenant, shop.clock())
        precisions = await questions.audit_precisions(raw, shop.tenant)
    async with reading(shop.engine, shop.tenant) as connection:
        content = figures.text(
            items=await count_by_status(connection, shop.tenant),
            waiting=await count_waiting(connection, shop.tenant),
            clients=len(shop.hub.clients),
            listening=shop.hub.listening,
            supply=supplied,
            precisions=precisions,
        )
    return Response(content, media_type="text/plain; version=0.0.4; charset=utf-8")


def _plain(rows: list[Any]) -> list[dict[str, Any]]:
    return [dict(row) for row in rows if isinstance(row, Mapping)]


def _cursor(after: str) -> tuple[datetime, UUID] | None:
    if not after:
        return None
    moment, _, item = after.partition("_")
    try:
        return datetime.fromisoformat(moment.replace(" ", "+")).astimezone(UTC), UUID(item)
    except (ValueError, OverflowError):
        raise ValidationException("after: the `next` of an earlier page is expected") from None


HANDLERS = (
    *(
        inventory,
        items,
        reviews,
        stations,
        tenant_name,
        station_code,
        put_image,
        image_offset,
        patch_image,
        image,
    ),
    *(events, healthz, metrics),
)

"""The page of dead letters, which are replayed or discarded there."""

from typing import Any, Literal

from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.exceptions import NotFoundException
from litestar.response import Redirect, Template

from cardmint_cloud.adapters.postgres.queries.dead_letters import (
    find_dead_letter,
    list_dead_letters,
)
from cardmint_cloud.adapters.postgres.queries.reading import reading
from cardmint_cloud.errors import NotFound, ParkItem
from cardmint_cloud.ingest.dead_letters import discard, replay
from cardmint_cloud.web.context import PageContext, PageRequest
from cardmint_cloud.web.parameters import RowNumber
from cardmint_cloud.web.rendering import htmx_target, render_page


@get("/dead-letters")
async def dead_letters(request: PageRequest, shop: NamedDependency[PageContext]) -> Template:
    """Show the dead letters with their reasons."""
    return await _letters(request, shop)


async def _letters(
    request: PageRequest,
    shop: PageContext,
    *,
    notice: str = "",
    tone: Literal["done", "conflict"] = "done",
) -> Template:
    async with reading(shop.engine, shop.tenant) as connection:
        found = await list_dead_letters(connection, shop.tenant)
        template = (
            "_dead_letters.html" if htmx_target(request) == "dead-letters" else "dead_letters.html"
        )
        return await render_page(
            connection,
            shop,
            template,
            letters=found,
            notice=notice,
            tone=tone,
            oob=htmx_target(request) is not None,
        )


@post("/dead-letters/{letter:int}/replay", status_code=200)
async def replay_letter(
    letter: RowNumber, request: PageRequest, shop: NamedDependency[PageContext]
) -> Response[Any]:
    """Put a dead letter through ingest again."""
    try:
        done = await replay(shop.pool, shop.tenant, letter, shop.clock())
    except NotFound as missing:
        return _with_status(
            await _letters(request, shop, notice=f"{missing}.", tone="conflict"), 404
        )
    except ParkItem as parked:
        notice = f"It still cannot be used: {parked}"
        return _with_status(await _letters(request, shop, notice=notice, tone="conflict"), 409)
    if htmx_target(request) is None:
        return Redirect("/dead-letters", status_code=303)
    return _with_status(
        await _letters(request, shop, notice=f"Replayed: {done.applied} events applied."), 200
    )


@post("/dead-letters/{letter:int}/discard", status_code=200)
async def discard_letter(
    letter: RowNumber, request: PageRequest, shop: NamedDependency[PageContext]
) -> Response[Any]:
    """Delete a dead letter."""
    try:
        await discard(shop.pool, shop.tenant, letter)
    except NotFound as missing:
        return _with_status(
            await _letters(request, shop, notice=f"{missing}.", tone="conflict"), 404
        )
    if htmx_target(request) is None:
        return Redirect("/dead-letters", status_code=303)
    return _with_status(await _letters(request, shop, notice="Discarded."), 200)


@get("/dead-letters/{letter:int}/payload")
async def payload(letter: RowNumber, shop: NamedDependency[PageContext]) -> Response[bytes]:
    """Return a dead letter's payload as a download, which the browser does not display."""
    async with reading(shop.engine, shop.tenant) as connection:
        found = await find_dead_letter(connection, shop.tenant, letter)
    if found is None:
        raise NotFoundException(f"There is no dead letter {letter}.")
    return Response(
        bytes(found["payload"]),
        media_type="application/octet-stream",
        headers={"content-disposition": f'attachment; filename="dead-letter-{letter}"'},
    )


def _with_status(template: Template, status: int) -> Template:
    template.status_code = status
    return template


HANDLERS = (dead_letters, replay_letter, discard_letter, payload)

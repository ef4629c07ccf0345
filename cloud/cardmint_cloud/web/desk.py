"""The pages where something is done: reviews answered, dead letters replayed or discarded; and the stations."""

from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.exceptions import NotFoundException
from litestar.params import FromPath, URLEncodedBody
from litestar.response import Redirect, Template

from cardmint_cloud.adapters.postgres import card_reads, desk_reads
from cardmint_cloud.dead_letters import discard, replay
from cardmint_cloud.errors import Conflict, NotFound, Park
from cardmint_cloud.reviews import answer
from cardmint_cloud.web.pages import page, part
from cardmint_cloud.web.shop import USER, Asked, Shop
from cardmint_contracts.cards import Candidate, Card


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The form of one review. `card` is a printing's id; empty means that no card of the catalogue is shown."""

    version: int
    card: str = ""


@get("/reviews")
async def reviews(request: Asked, shop: NamedDependency[Shop]) -> Template:
    """Show the cards that a person must look at, the oldest first, and the last answers."""
    return await _reviews(request, shop)


async def _reviews(
    request: Asked, shop: Shop, *, told: str = "", tone: Literal["done", "conflict"] = "done"
) -> Template:
    async with shop.engine.connect() as connection:
        opened = await desk_reads.asked(connection, shop.tenant, "open")
        context = {
            "open": [_question(row, shop) for row in opened],
            "answered": [_question(row, shop) for row in await desk_reads.asked(connection, shop.tenant, "answered")],
            "told": told,
            "tone": tone,
            "oob": part(request) is not None,
        }
        template = "_reviews.html" if part(request) == "reviews" else "reviews.html"
        return await page(connection, shop, template, **context)


@post("/reviews/{task:uuid}", status_code=200)
async def answer_review(
    task: FromPath[UUID], data: URLEncodedBody[Answer], request: Asked, shop: NamedDependency[Shop]
) -> Response[Any]:
    """Answer a review. Who comes second is told who was first, and with what."""
    try:
        card = await _chosen(shop, task, data.card)
        await answer(
            shop.pool,
            shop.tenant,
            task,
            version=data.version,
            verdict="card" if card else "no_card",
            card=card,
            user=USER,
            now=shop.clock(),
        )
    except (NotFound, Conflict) as problem:
        told = await _reviews(request, shop, told=f"Not taken: {problem}.", tone="conflict")
        return _with_status(told, 404 if isinstance(problem, NotFound) else 409)
    if part(request) is None:
        return Redirect("/reviews", status_code=303)
    return _with_status(await _reviews(request, shop, told=f"Answered: {_name(card)}."), 200)


@get("/stations")
async def stations(request: Asked, shop: NamedDependency[Shop]) -> Template:
    """Show the stations: there or not since when, what they have not sent yet, how far they are committed."""
    async with shop.engine.connect() as connection:
        found = await desk_reads.states(connection, shop.tenant)
        template = "_stations.html" if part(request) == "stations" else "stations.html"
        evicted = await desk_reads.evictions(connection, shop.tenant)
        return await page(connection, shop, template, stations=found, evicted=evicted)


@get("/dead-letters")
async def dead_letters(request: Asked, shop: NamedDependency[Shop]) -> Template:
    """Show what could not be used, and why."""
    return await _letters(request, shop)


async def _letters(
    request: Asked, shop: Shop, *, told: str = "", tone: Literal["done", "conflict"] = "done"
) -> Template:
    async with shop.engine.connect() as connection:
        found = await desk_reads.letters(connection, shop.tenant)
        template = "_dead_letters.html" if part(request) == "dead-letters" else "dead_letters.html"
        return await page(
            connection, shop, template, letters=found, told=told, tone=tone, oob=part(request) is not None
        )


@post("/dead-letters/{letter:int}/replay", status_code=200)
async def replay_letter(letter: FromPath[int], request: Asked, shop: NamedDependency[Shop]) -> Response[Any]:
    """Put a dead letter through ingest again."""
    try:
        done = await replay(shop.pool, shop.tenant, letter, shop.clock())
    except NotFound as missing:
        return _with_status(await _letters(request, shop, told=f"{missing}.", tone="conflict"), 404)
    except Park as parked:
        told = f"It still cannot be used: {parked}"
        return _with_status(await _letters(request, shop, told=told, tone="conflict"), 409)
    if part(request) is None:
        return Redirect("/dead-letters", status_code=303)
    return _with_status(await _letters(request, shop, told=f"Replayed: {done.applied} events applied."), 200)


@post("/dead-letters/{letter:int}/discard", status_code=200)
async def discard_letter(letter: FromPath[int], request: Asked, shop: NamedDependency[Shop]) -> Response[Any]:
    """Give a dead letter up for good."""
    try:
        await discard(shop.pool, shop.tenant, letter)
    except NotFound as missing:
        return _with_status(await _letters(request, shop, told=f"{missing}.", tone="conflict"), 404)
    if part(request) is None:
        return Redirect("/dead-letters", status_code=303)
    return _with_status(await _letters(request, shop, told="Discarded."), 200)


@get("/dead-letters/{letter:int}/payload")
async def payload(letter: FromPath[int], shop: NamedDependency[Shop]) -> Response[bytes]:
    """Hand out a dead letter's payload as it came, to be saved and never to be shown by the browser."""
    async with shop.engine.connect() as connection:
        found = await desk_reads.letter(connection, shop.tenant, letter)
    if found is None:
        raise NotFoundException(f"There is no dead letter {letter}.")
    return Response(
        bytes(found["payload"]),
        media_type="application/octet-stream",
        headers={"content-disposition": f'attachment; filename="dead-letter-{letter}"'},
    )


async def _chosen(shop: Shop, task: UUID, card_id: str) -> Card | None:
    """Return the printing that was chosen: one of the candidates, or another that a station has named before."""
    if not card_id:
        return None
    async with shop.engine.connect() as connection:
        review = await desk_reads.review(connection, shop.tenant, task)
        for candidate in msgspec.convert(review["candidates"] if review else [], list[Candidate]):
            if candidate.card.id == card_id:
                return candidate.card
        known = await card_reads.printing(connection, shop.tenant, card_id.replace("\x00", ""))
    if known is None:
        raise NotFound(f"no station has named a card {card_id[:80]!r} yet")
    return known


def _question(row: Any, shop: Shop) -> dict[str, Any]:
    image = row["sha256"]
    return {
        **row,
        "candidates": msgspec.convert(row["candidates"], list[Candidate]),
        "card": msgspec.convert(row["card"], Card) if row["card"] else None,
        "pictured": bool(image) and shop.images.has(shop.tenant, image),
    }


def _name(card: Card | None) -> str:
    return f"{card.name} {card.number}".strip() if card else "not a card"


def _with_status(template: Template, status: int) -> Template:
    template.status_code = status
    return template


HANDLERS = (
    *(reviews, answer_review, stations, dead_letters),
    *(replay_letter, discard_letter, payload),
)

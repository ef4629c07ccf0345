"""The page of reviews and held quotes: answered one by one or together, and undone."""

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Literal, TypeVar
from uuid import UUID

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.exceptions import NotFoundException
from litestar.params import FromPath, FromQuery, URLEncodedBody
from litestar.response import Redirect, Template
from sqlalchemy import RowMapping

from cardmint_cloud.adapters.postgres.connection import tenant_transaction
from cardmint_cloud.adapters.postgres.prices import held_quotes
from cardmint_cloud.adapters.postgres.queries import catalogue
from cardmint_cloud.adapters.postgres.queries.reading import reading
from cardmint_cloud.adapters.postgres.queries.reviews import (
    SHOWN,
    ReviewFilter,
    count_open,
    earlier_scans,
    find_review,
    list_reviews,
    open_counts,
)
from cardmint_cloud.adapters.postgres.reviews import questions as reads
from cardmint_cloud.domain.person_references import with_names
from cardmint_cloud.errors import Conflict, NotFound
from cardmint_cloud.pricing.held_quotes import QuoteVerdict, judge_quote
from cardmint_cloud.reviews.answers import (
    lease_question,
    request_rescan,
    submit_answer,
    undo_answer,
)
from cardmint_cloud.web.context import PageContext, PageRequest, user_of
from cardmint_cloud.web.inventory_pages import sound_text
from cardmint_cloud.web.parameters import MAX_PAGE, RowNumber, Version, address, whole_number
from cardmint_cloud.web.printings import known_printing, search_printings
from cardmint_cloud.web.rendering import htmx_target, render_page
from cardmint_contracts.cards import Candidate, Card, Edition, Finish, Language
from cardmint_contracts.events import Question
from cardmint_contracts.reasons import Reason
from cardmint_contracts.wire import convert

LATELY = timedelta(days=7)
FOUND = 12
"""Printings that a search on the desk shows."""

Variant = TypeVar("Variant", Finish, Edition)

_WORDS: dict[QuoteVerdict, str] = {
    "take": "The new price counts now.",
    "refuse": "Kept out.",
    "undo": "Asked again.",
}


@dataclass(frozen=True, kw_only=True)
class AnswerForm:
    """The form of one answer.

    `card` is a printing's id; empty means no card of the catalogue. `language`, `finish` and
    `edition` are empty where the answer does not say them. `lease` is the token of the question's
    lease, if there is one.
    """

    version: Version
    card: str = ""
    language: str = ""
    finish: str = ""
    edition: str = ""
    lease: str = ""


@dataclass(frozen=True, kw_only=True)
class VersionForm:
    """The form of other actions on a review."""

    version: Version


@dataclass(frozen=True, kw_only=True)
class BulkAnswerForm:
    """The form of many answers: `chosen` are one or more `TASK/VERSION`.

    `verdict` is `first` or `none`.
    """

    verdict: str
    chosen: list[str] | str = field(default_factory=list)


@get("/reviews")
async def reviews(request: PageRequest, shop: NamedDependency[PageContext]) -> Template:
    """Show open reviews, escalated and oldest first, the last answers and the audits' precision."""
    return await _reviews(request, shop)


async def _reviews(
    request: PageRequest,
    shop: PageContext,
    *,
    notice: str = "",
    tone: Literal["done", "conflict"] = "done",
    leases: dict[UUID, UUID] | None = None,
) -> Template:
    now, wanted, names = shop.clock(), _parsed_filter(request), await shop.names()
    async with tenant_transaction(shop.pool, shop.tenant) as raw:
        doubted = await held_quotes.list_waiting(raw, shop.tenant, now - LATELY)
        audits = await reads.audit_precisions(raw, shop.tenant)
    async with reading(shop.engine, shop.tenant) as connection:
        total = await count_open(connection, shop.tenant, wanted)
        last = max(1, -(-total // SHOWN))
        wanted = replace(wanted, page=min(wanted.page, last))
        opened = await list_reviews(connection, shop.tenant, "open", wanted=wanted)
        again = [row["item"] for row in opened if row["question"] == Question.DUPLICATE]
        context = {
            "open": [_question(row, shop, names, leases or {}) for row in opened],
            "before": {
                scan: {
                    **row,
                    "pictured": bool(row["image"]) and shop.images.has(shop.tenant, row["image"]),
                }
                for scan, row in (await earlier_scans(connection, shop.tenant, again)).items()
            },
            "answered": [
                _question(row, shop, names, {})
                for row in await list_reviews(connection, shop.tenant, "answered")
            ],
            "doubted": [
                {**one, "judged_by": with_names(one["judged_by"], names)} for one in doubted
            ],
            "audits": audits,
            "unclear": Reason.LANGUAGE_UNCLEAR,
            "variants": {
                Reason.OTHER_FINISH: ("finish", Finish),
                Reason.OTHER_EDITION: ("edition", Edition),
            },
            "exists_as": await catalogue.finishes_by_card(connection, _named_cards(opened)),
            "user": with_names(user_of(request), names),
            "want": wanted,
            "total": total,
            "last": last,
            "size": SHOWN,
            "chips": await open_counts(connection, shop.tenant),
            "address": review_address,
            "notice": with_names(notice, names),
            "tone": tone,
            "oob": htmx_target(request) is not None,
        }
        template = "_reviews.html" if htmx_target(request) == "reviews" else "reviews.html"
        return await render_page(connection, shop, template, **context)


def _parsed_filter(request: PageRequest) -> ReviewFilter:
    """Return the filter of an address; what is not understood is any."""
    query = request.query_params
    return ReviewFilter(
        reason=sound_text(query.get("reason", "")),
        station=sound_text(query.get("station", "")),
        lot=sound_text(query.get("lot", "")),
        page=whole_number(query.get("page", ""), 1, MAX_PAGE),
    )


def review_address(want: ReviewFilter, path: str = "/reviews", **changes: Any) -> str:
    """Return an address with a filter, some of it changed, without what is usual."""
    want = replace(want, **changes)
    values = {"reason": want.reason, "station": want.station, "lot": want.lot}
    values |= {"page": str(want.page) if want.page > 1 else ""}
    return address(path, values)


@get("/reviews/cards")
async def find_cards(
    request: PageRequest,
    shop: NamedDependency[PageContext],
    task: FromQuery[UUID],
    version: FromQuery[int],
    q: FromQuery[str] = "",
) -> Template:
    """Show the printings that a text finds, each as an answer to a question."""
    async with reading(shop.engine, shop.tenant) as connection:
        found, meant = await search_printings(connection, shop, sound_text(q), limit=FOUND)
        return await render_page(
            connection,
            shop,
            "_found_cards.html",
            found=found,
            task=task,
            version=version,
            q=q,
            meant=meant,
            want=_parsed_filter(request),
            address=review_address,
        )


@post("/reviews/{task:uuid}", status_code=200)
async def answer_review(
    task: FromPath[UUID],
    data: URLEncodedBody[AnswerForm],
    request: PageRequest,
    shop: NamedDependency[PageContext],
) -> Response[Any]:
    """Answer a review. When another answer was first, the page says whose and which."""
    try:
        card = await _chosen(shop, task, data.card)
        await submit_answer(
            shop.pool,
            shop.tenant,
            task,
            version=data.version,
            verdict="card" if card else "no_card",
            card=card,
            user=user_of(request),
            now=shop.clock(),
            lease=_lease(data.lease),
            language=_language(data.language),
            finish=_variant(data.finish, Finish),
            edition=_variant(data.edition, Edition),
        )
    except (NotFound, Conflict) as problem:
        return await _refused(request, shop, problem)
    return await _done(request, shop, f"Answered: {_name(card)}.")


@post("/reviews/{task:uuid}/undo", status_code=200)
async def undo_review(
    task: FromPath[UUID],
    data: URLEncodedBody[VersionForm],
    request: PageRequest,
    shop: NamedDependency[PageContext],
) -> Response[Any]:
    """Undo an answer, whoever gave it."""
    try:
        await undo_answer(
            shop.pool,
            shop.tenant,
            task,
            version=data.version,
            user=user_of(request),
            now=shop.clock(),
        )
    except (NotFound, Conflict) as problem:
        return await _refused(request, shop, problem)
    return await _done(request, shop, "Taken back: the question is open again.")


@post("/reviews/{task:uuid}/rescan", status_code=200)
async def rescan_review(
    task: FromPath[UUID],
    data: URLEncodedBody[VersionForm],
    request: PageRequest,
    shop: NamedDependency[PageContext],
) -> Response[Any]:
    """Ask the station for the card itself."""
    try:
        place = await request_rescan(
            shop.pool,
            shop.tenant,
            task,
            version=data.version,
            user=user_of(request),
            now=shop.clock(),
        )
    except (NotFound, Conflict) as problem:
        return await _refused(request, shop, problem)
    return await _done(request, shop, f"The station is asked to scan it again: {place}.")


@post("/reviews/{task:uuid}/hand", status_code=200)
async def take_review(
    task: FromPath[UUID], request: PageRequest, shop: NamedDependency[PageContext]
) -> Response[Any]:
    """Lease a question for two minutes, which other people see."""
    try:
        token = await lease_question(
            shop.pool, shop.tenant, task, user=user_of(request), now=shop.clock()
        )
    except (NotFound, Conflict) as problem:
        return await _refused(request, shop, problem)
    return await _done(request, shop, "Yours for two minutes.", leases={task: token})


@post("/reviews", status_code=200)
async def answer_many(
    data: URLEncodedBody[BulkAnswerForm], request: PageRequest, shop: NamedDependency[PageContext]
) -> Response[Any]:
    """Answer many reviews alike: each with its first candidate, or with no card.

    Each answer is an event and can be undone.
    """
    if data.verdict not in {"first", "none"}:
        raise NotFoundException(
            "Many at once are answered with their first candidate, or with no card."
        )
    taken = 0
    problems: list[str] = []
    for chosen in [data.chosen] if isinstance(data.chosen, str) else data.chosen:
        text, _, version = chosen.partition("/")
        try:
            task = UUID(text)
            card = await _first(shop, task) if data.verdict == "first" else None
            await submit_answer(
                shop.pool,
                shop.tenant,
                task,
                version=msgspec.convert(version, Version, strict=False),
                verdict="card" if card else "no_card",
                card=card,
                user=user_of(request),
                now=shop.clock(),
            )
            taken += 1
        except (NotFound, Conflict, ValueError, msgspec.ValidationError) as problem:
            problems.append(str(problem))
    notice = f"{taken} answered." + (
        f" Not taken: {len(problems)} ({problems[0]})." if problems else ""
    )
    return await _done(request, shop, notice, tone="conflict" if problems else "done")


@post("/held-prices/{number:int}/{verdict:str}", status_code=200)
async def judge_price(
    number: RowNumber,
    verdict: FromPath[str],
    request: PageRequest,
    shop: NamedDependency[PageContext],
) -> Response[Any]:
    """Take or refuse a held quote, or undo that."""
    word = next((known for known in _WORDS if known == verdict), None)
    if word is None:
        raise NotFoundException("A price is taken or refused, or that is undone.")
    try:
        await judge_quote(
            shop.pool, shop.tenant, number, word, user=user_of(request), now=shop.clock()
        )
    except (NotFound, Conflict) as problem:
        return await _refused(request, shop, problem)
    return await _done(request, shop, _WORDS[word])


async def _refused(request: PageRequest, shop: PageContext, problem: Exception) -> Response[Any]:
    page = await _reviews(request, shop, notice=f"Not taken: {problem}.", tone="conflict")
    page.status_code = 404 if isinstance(problem, NotFound) else 409
    return page


async def _done(
    request: PageRequest,
    shop: PageContext,
    notice: str,
    *,
    tone: Literal["done", "conflict"] = "done",
    leases: dict[UUID, UUID] | None = None,
) -> Response[Any]:
    if htmx_target(request) is None and leases is None:
        return Redirect(review_address(_parsed_filter(request)), status_code=303)
    page = await _reviews(request, shop, notice=notice, tone=tone, leases=leases)
    page.status_code = 200
    return page


async def _chosen(shop: PageContext, task: UUID, card_id: str) -> Card | None:
    """Return the chosen printing: a candidate, or another that a station has named before."""
    if not card_id:
        return None
    async with reading(shop.engine, shop.tenant) as connection:
        review = await find_review(connection, shop.tenant, task)
        for candidate in msgspec.convert(review["candidates"] if review else [], list[Candidate]):
            if candidate.card.id == card_id:
                return candidate.card
    return await known_printing(shop, card_id)


async def _first(shop: PageContext, task: UUID) -> Card:
    async with reading(shop.engine, shop.tenant) as connection:
        review = await find_review(connection, shop.tenant, task)
    candidates = msgspec.convert(review["candidates"] if review else [], list[Candidate])
    if not candidates:
        raise NotFound(f"task {task} has no candidates")
    return candidates[0].card


def _lease(text: str) -> UUID | None:
    try:
        return UUID(text) if text else None
    except ValueError:
        raise Conflict("that is no lease; take the question in hand again") from None


def _language(text: str) -> Language | None:
    try:
        return convert(text.strip().lower(), Language) if text.strip() else None
    except msgspec.ValidationError:
        raise Conflict("a language is a code such as fr or de") from None


def _variant(text: str, kind: type[Variant]) -> Variant | None:
    try:
        return kind(text) if text else None
    except ValueError:
        raise Conflict(f"{kind.__name__.lower()}: one of {', '.join(kind)}") from None


def _question(
    row: Any, shop: PageContext, names: dict[str, str], leases: dict[UUID, UUID]
) -> dict[str, Any]:
    image = row["sha256"]
    in_hand = row["until"] is not None and row["until"] > shop.clock()
    return {
        **row,
        "candidates": msgspec.convert(row["candidates"], list[Candidate]),
        "card": msgspec.convert(row["card"], Card) if row["card"] else None,
        "pictured": bool(image) and shop.images.has(shop.tenant, image),
        "holder": with_names(row["holder"], names) if in_hand else "",
        "answered_by": with_names(row["answered_by"], names),
        "lease": leases.get(row["task"], ""),
    }


def _named_cards(opened: list[RowMapping]) -> list[str]:
    """Return the printings among the candidates of open reviews."""
    return sorted(
        {
            candidate.card.id
            for row in opened
            for candidate in msgspec.convert(row["candidates"], list[Candidate])
        }
    )


def _name(card: Card | None) -> str:
    return f"{card.name} {card.number}".strip() if card else "not counted"


HANDLERS = (
    *(reviews, find_cards, answer_review, undo_review, rescan_review),
    *(take_review, answer_many, judge_price),
)

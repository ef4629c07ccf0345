"""The page of the inventory's value, now or at any moment."""

from datetime import UTC, datetime, timedelta
from typing import Any

from litestar import get
from litestar.di import NamedDependency
from litestar.exceptions import ValidationException
from litestar.response import Template

from cardmint_cloud.adapters.postgres.queries import valuation
from cardmint_cloud.adapters.postgres.queries.reading import reading
from cardmint_cloud.pricing.valuation import ValuationHistory, value_inventory
from cardmint_cloud.web.api import Tenant
from cardmint_cloud.web.chart import charts
from cardmint_cloud.web.context import PageContext, PageRequest
from cardmint_cloud.web.inventory_pages import sound_text
from cardmint_cloud.web.rendering import render_page

SPANS = {"7": "a week", "30": "30 days", "90": "90 days", "365": "a year"}

EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)


@get("/value")
async def worth(request: PageRequest, shop: NamedDependency[PageContext]) -> Template:
    """Show the value of the cards held at a moment by the prices known then, and its course."""
    asked = request.query_params
    at = _moment(asked.get("at", ""), shop) or shop.clock()
    lot, span = sound_text(asked.get("lot", "")), asked.get("span", "30")
    span = span if span in SPANS else "30"
    async with reading(shop.engine, shop.tenant) as connection:
        found = await value_inventory(
            connection, shop.tenant, at, lot=lot or None, since=timedelta(days=int(span))
        )
        return await render_page(
            connection,
            shop,
            "value.html",
            found=found,
            day=f"{at:%Y-%m-%d}",
            lot=lot,
            lots=await valuation.list_lots(connection, shop.tenant),
            span=span,
            spans=SPANS,
            charts=charts(_course(found), at),
        )


@get("/api/v1/{tenant:str}/value")
async def value_json(
    tenant: Tenant, request: PageRequest, shop: NamedDependency[PageContext]
) -> dict[str, Any]:
    """Return the value of the inventory, a `lot` or a `card` at a moment `at`, as JSON."""
    asked = request.query_params
    at = _moment(asked.get("at", ""), shop)
    if at is None:
        raise ValidationException("at: a day such as 2026-11-22, or a moment, is expected")
    async with reading(shop.engine, shop.tenant) as connection:
        found = await value_inventory(
            connection,
            tenant,
            at,
            lot=_sound(asked.get("lot")),
            card_id=_sound(asked.get("card")),
        )
    return {"at": found.at, "worth": found.whole, "lots": found.by_lot}


def _moment(text: str, shop: PageContext) -> datetime | None:
    """Read a day (its end) or a moment since `EARLIEST`; now for none, or one in the future."""
    now = shop.clock()
    if not text:
        return now
    try:
        at = datetime.fromisoformat(text)
        at = (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    if at < EARLIEST:
        return None
    at = min(at, now)
    if len(text) == len("2026-11-22"):
        at += timedelta(days=1) - timedelta(microseconds=1)
    return min(at, now)


def _sound(text: str | None) -> str | None:
    return None if text is None else sound_text(text)


def _course(found: ValuationHistory) -> list[dict[str, Any]]:
    """Return the course as `charts` takes prices: a line for each currency."""
    return [
        {
            "finish": "",
            "edition": "",
            "grade": "",
            "currency": one.currency,
            "minor": one.minor,
            "fetched_at": moment,
        }
        for moment, worth in found.course
        for one in worth.sums
    ]


HANDLERS = (worth, value_json)

"""Rendering of pages, whole or the part that htmx asks for."""

from typing import Any

from litestar.response import Template
from sqlalchemy.ext.asyncio import AsyncConnection

from cardmint_cloud.adapters.postgres.queries.reviews import count_waiting
from cardmint_cloud.web.context import PageContext, PageRequest


async def render_page(
    connection: AsyncConnection, shop: PageContext, template: str, **context: Any
) -> Template:
    """Return a page with the values that all pages need: time, tenant and waiting counts."""
    waiting = await count_waiting(connection, shop.tenant)
    return Template(
        template,
        context={"now": shop.clock(), "tenant": shop.tenant, "waiting": waiting, **context},
    )


def htmx_target(request: PageRequest) -> str | None:
    """Return the id of the part that htmx replaces; None for a whole page."""
    return request.headers.get("hx-target") if "hx-request" in request.headers else None


def attachment(name: str) -> dict[str, str]:
    """Return the headers of an answer that a browser keeps as a file of this name, and no cache."""
    return {
        "content-disposition": f'attachment; filename="{name}"',
        "cache-control": "no-store",
    }

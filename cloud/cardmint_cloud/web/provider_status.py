"""The page of where prices come from: providers, budgets, the queue and its dead jobs."""

from typing import Any, Literal

from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.exceptions import NotFoundException
from litestar.params import FromPath
from litestar.response import Redirect, Template

from cardmint_cloud.adapters.postgres.prices import job_queue
from cardmint_cloud.adapters.postgres.queries.provider_status import STALE, supply
from cardmint_cloud.web.context import Asked, Shop
from cardmint_cloud.web.inventory_pages import page, part


@get("/prices")
async def prices(request: Asked, shop: NamedDependency[Shop]) -> Template:
    """Show the providers with their breakers and budgets, how far behind the queue is, and the jobs given up."""
    return await _prices(request, shop)


async def _prices(
    request: Asked, shop: Shop, *, told: str = "", tone: Literal["done", "conflict"] = "done"
) -> Template:
    async with shop.pool.acquire() as connection:
        found = await supply(connection, shop.tenant, shop.clock())
    async with shop.engine.connect() as connection:
        template = "_prices.html" if part(request) == "prices" else "prices.html"
        oob = part(request) is not None
        return await page(
            connection,
            shop,
            template,
            supply=found,
            stale_days=STALE.days,
            told=told,
            tone=tone,
            oob=oob,
        )


@post("/jobs/{job:int}/{action:str}", status_code=200)
async def settle_job(
    job: FromPath[int], action: FromPath[str], request: Asked, shop: NamedDependency[Shop]
) -> Response[Any]:
    """Put a job that was given up back into the queue, or discard it."""
    if action not in {"requeue", "discard"}:
        raise NotFoundException("A job can be requeued or discarded.")
    async with shop.pool.acquire() as connection:
        if action == "requeue":
            done = await job_queue.requeue(connection, shop.tenant, job, shop.clock())
        else:
            done = await job_queue.discard(connection, shop.tenant, job)
    if not done:
        told = await _prices(
            request, shop, told=f"There is no job {job} that was given up.", tone="conflict"
        )
        told.status_code = 404
        return told
    if part(request) is None:
        return Redirect("/prices", status_code=303)
    page = await _prices(
        request, shop, told="Put back into the queue." if action == "requeue" else "Discarded."
    )
    page.status_code = 200
    return page


HANDLERS = (prices, settle_job)

"""The page of the price supply: providers, budgets, the job queue and its failed jobs."""

from typing import Any, Literal, get_args

from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.exceptions import NotFoundException
from litestar.params import FromPath
from litestar.response import Redirect, Template

from cardmint_cloud.adapters.postgres import job_queue
from cardmint_cloud.adapters.postgres.connection import tenant_transaction
from cardmint_cloud.adapters.postgres.prices import provider_state
from cardmint_cloud.adapters.postgres.queries.provider_status import STALE, read_price_supply
from cardmint_cloud.adapters.postgres.queries.reading import reading
from cardmint_cloud.settings import ProviderName
from cardmint_cloud.web.context import PageContext, PageRequest
from cardmint_cloud.web.parameters import RowNumber
from cardmint_cloud.web.rendering import htmx_target, render_page


@get("/prices")
async def prices(request: PageRequest, shop: NamedDependency[PageContext]) -> Template:
    """Show the providers with breakers and budgets, the queue's lag, and the failed jobs."""
    return await _prices(request, shop)


async def _prices(
    request: PageRequest,
    shop: PageContext,
    *,
    notice: str = "",
    tone: Literal["done", "conflict"] = "done",
) -> Template:
    async with tenant_transaction(shop.pool, shop.tenant) as connection:
        found = await read_price_supply(connection, shop.tenant, shop.clock())
    async with reading(shop.engine, shop.tenant) as connection:
        template = "_prices.html" if htmx_target(request) == "prices" else "prices.html"
        oob = htmx_target(request) is not None
        return await render_page(
            connection,
            shop,
            template,
            supply=found,
            stale_days=STALE.days,
            notice=notice,
            tone=tone,
            oob=oob,
        )


@post("/jobs/{job:int}/{action:str}", status_code=200)
async def settle_job(
    job: RowNumber,
    action: FromPath[str],
    request: PageRequest,
    shop: NamedDependency[PageContext],
) -> Response[Any]:
    """Put a failed job back into the queue, or delete it."""
    if action not in {"requeue", "discard"}:
        raise NotFoundException("A job can be requeued or discarded.")
    async with shop.pool.acquire() as connection, connection.transaction():
        if action == "requeue":
            done = await job_queue.requeue_job(connection, shop.tenant, job, shop.clock())
        else:
            done = await job_queue.discard_job(connection, shop.tenant, job)
    if not done:
        page = await _prices(
            request, shop, notice=f"There is no job {job} that was given up.", tone="conflict"
        )
        page.status_code = 404
        return page
    if htmx_target(request) is None:
        return Redirect("/prices", status_code=303)
    page = await _prices(
        request, shop, notice="Put back into the queue." if action == "requeue" else "Discarded."
    )
    page.status_code = 200
    return page


@post("/providers/{name:str}/ask", status_code=200)
async def ask_now(
    name: FromPath[str], request: PageRequest, shop: NamedDependency[PageContext]
) -> Response[Any]:
    """Let a provider in again that asked for a pause or failed, and run the jobs that wait."""
    now = shop.clock()
    known = next((one for one in get_args(ProviderName) if one == name), None)
    async with shop.pool.acquire() as connection, connection.transaction():
        done = known is not None and await provider_state.let_in(connection, known, now)
        if done:
            await job_queue.bring_prices_forward(connection, shop.tenant, now)
    if not done:
        page = await _prices(
            request, shop, notice="That provider was not asked yet.", tone="conflict"
        )
        page.status_code = 404
        return page
    if htmx_target(request) is None:
        return Redirect("/prices", status_code=303)
    page = await _prices(request, shop, notice=f"{known} is asked again from now on.")
    page.status_code = 200
    return page


HANDLERS = (prices, settle_job, ask_now)

"""The dashboard as one ASGI application, wired by hand."""

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import structlog
from litestar import Litestar, MediaType, Response
from litestar.datastructures import State
from litestar.di import Provide
from litestar.exceptions import HTTPException
from litestar.plugins.jinja import JinjaTemplateEngine
from litestar.response import Template
from litestar.template import TemplateConfig
from litestar.types import ASGIApp
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from cardmint_cloud.accounts import Accounts
from cardmint_cloud.adapters.oidc import OidcProvider
from cardmint_cloud.adapters.postgres.connection import Pool
from cardmint_cloud.adapters.postgres.queries.reading import reading
from cardmint_cloud.adapters.postgres.retry import DATABASE_AWAY
from cardmint_cloud.domain.quota import Quotas
from cardmint_cloud.errors import NotFound, StopService
from cardmint_cloud.images import ImageStorage
from cardmint_cloud.local.broker_users import BrokerUsers
from cardmint_cloud.provider_sign_in import ProviderSignIn
from cardmint_cloud.readers import Readers
from cardmint_cloud.station_codes import StationCodes
from cardmint_cloud.web import (
    account_pages,
    api,
    assets,
    catalogue_pages,
    dead_letter_pages,
    factor_pages,
    import_pages,
    inventory_pages,
    item_api,
    item_pages,
    label_pages,
    market_pages,
    price_pages,
    provider_pages,
    reader_pages,
    review_pages,
    station_pages,
    value_pages,
    view_pages,
    webhook_pages,
)
from cardmint_cloud.web import artifacts as fleet_files
from cardmint_cloud.web.base_path import BasePath
from cardmint_cloud.web.context import PageContext, PageRequest
from cardmint_cloud.web.filters import template_environment
from cardmint_cloud.web.guards import LOOPBACK, RequestGuard
from cardmint_cloud.web.live import LiveHub
from cardmint_cloud.web.metrics import MeasuredApp, Metrics, MetricsPort
from cardmint_cloud.web.proxies import ClientHeader, ProxyGuard
from cardmint_cloud.web.sign_in import KnownPrograms, SignInGuard, who_asks
from cardmint_cloud.web.unchanged import UnchangedAnswers
from cardmint_cloud.webhooks import Webhooks

_log = structlog.get_logger(__name__)


def _now() -> datetime:
    return datetime.now(UTC)


def build_dashboard(
    *,
    engine: AsyncEngine,
    pool: Pool,
    images: ImageStorage,
    tenant: str,
    artifacts: Path = Path("artifacts"),
    hosts: Iterable[str] = LOOPBACK,
    accounts: Accounts | None = None,
    secure: bool = False,
    listening: Pool | None = None,
    quotas: Quotas | None = None,
    base_path: str = "",
    proxies: Iterable[str] = (),
    client_header: ClientHeader = "x-forwarded-for",
    broker_users: BrokerUsers | None = None,
    broker_port: int = 0,
    provider: OidcProvider | None = None,
    metrics_port: int = 0,
    webhooks: Webhooks | None = None,
    clock: Callable[[], datetime] = _now,
) -> Litestar:
    """Return the dashboard of one tenant; the caller owns and closes engine and pool.

    One connection of `listening`, else of `pool`, listens for changes. Requests must name one of
    `hosts`, without a port. Without `accounts` nobody signs in: serve it on loopback only. `secure`
    says that browsers come by HTTPS. `proxies` are believed who the client is, in `client_header`;
    without `quotas` nobody waits. `provider` is another way to sign in. `metrics_port` serves
    `/metrics` alone, to everybody. `webhooks` are shown and changed, not sent.
    """
    hosts = frozenset(hosts)
    hub = LiveHub(partial(reading, engine), listening or pool, clock)
    shop = PageContext(
        tenant=tenant,
        engine=engine,
        pool=pool,
        images=images,
        artifacts=artifacts,
        hub=hub,
        clock=clock,
        accounts=accounts,
        secure=secure,
        base_path=base_path,
        readers=Readers(accounts, broker_users) if accounts else None,
        webhooks=webhooks,
        station_codes=StationCodes(accounts, broker_users, broker_port) if accounts else None,
        provider=ProviderSignIn(accounts, provider) if accounts and provider else None,
    )
    metrics = Metrics()
    files = assets.Assets()

    @asynccontextmanager
    async def hearing(_app: Litestar) -> AsyncIterator[None]:
        if accounts is None:
            _log.warning("without accounts: on loopback only", tenant=tenant, hosts=sorted(hosts))
        async with hub.running():
            yield

    def failed(request: PageRequest, error: Exception) -> Response[Any]:
        return _failed(shop, request, error)

    parts: tuple[Any, ...] = (
        inventory_pages,
        item_pages,
        import_pages,
        label_pages,
        market_pages,
        item_api,
        review_pages,
        catalogue_pages,
        value_pages,
        price_pages,
        station_pages,
        dead_letter_pages,
        api,
        fleet_files,
        account_pages,
        reader_pages,
        factor_pages,
        provider_pages,
        view_pages,
        webhook_pages,
    )
    app = Litestar(
        [handler for part in parts for handler in part.HANDLERS] + [assets.handler(files)],
        dependencies={
            "shop": Provide(lambda: shop, sync_to_thread=False),
            "figures": Provide(lambda: metrics, sync_to_thread=False),
        },
        exception_handlers={HTTPException: failed, Exception: failed},
        lifespan=[hearing],
        state=State({"tenant": tenant}),
        template_config=TemplateConfig(
            instance=JinjaTemplateEngine.from_environment(template_environment(files.address))
        ),
        openapi_config=None,
        logging_config=None,
    )
    inner: ASGIApp = UnchangedAnswers(app.asgi_handler, hub.mark, clock)
    if accounts is not None:
        programs = KnownPrograms(accounts, partial(hub.mark, tenant))
        inner = SignInGuard(inner, accounts, tenant, clock, programs, secure=secure, quotas=quotas)
    inner = MeasuredApp(inner, metrics)
    if base_path:
        inner = BasePath(inner, base_path)
    outer: ASGIApp = ProxyGuard(RequestGuard(inner, hosts, secure=secure), proxies, client_header)
    if metrics_port:
        outer = MetricsPort(outer, app.asgi_handler, metrics_port)
    app.asgi_handler = outer
    return app


def _failed(shop: PageContext, request: PageRequest, error: Exception) -> Response[Any]:
    """Return an error as JSON to programs and as a page to people."""
    if isinstance(error, HTTPException):
        status, detail = error.status_code, error.detail
    elif isinstance(error, NotFound):
        status, detail = 404, str(error)
    elif isinstance(error, StopService):
        _log.error("a setting does not work", path=request.scope["path"], error=str(error))
        status, detail = 503, f"This server lacks something: {error}"
    elif _refused_value(error):
        # Each parameter has bounds of its own; one that lacks them is not the database's absence.
        _log.error(
            "a parameter reached the database", path=request.scope["path"], error=str(error)[:300]
        )
        status, detail = 400, "A value in the address or in the form cannot be right."
    elif not isinstance(error, (*DATABASE_AWAY, SQLAlchemyError)):
        _log.error("a page failed", path=request.scope["path"], exc_info=error)
        status, detail = 500, "That is a fault in CardMint, and it was logged."
    else:
        _log.warning(
            "database away",
            error=str(error).splitlines()[0] if str(error) else type(error).__name__,
        )
        status, detail = (
            503,
            "The database does not answer. Stations keep counting; try again in a moment.",
        )
    path = request.scope["path"]  # the whole URL may be none, by its host or query
    if path.startswith(("/api/", "/images/")) or path in {"/healthz", "/metrics", "/events"}:
        headers = error.headers if isinstance(error, HTTPException) else None
        return Response(
            {"reason": detail}, status_code=status, media_type=MediaType.JSON, headers=headers
        )
    nothing = {"reviews": 0, "letters": 0}
    stranger = shop.accounts is not None and who_asks(request.scope) is None
    context = {
        "layout": "entry.html" if stranger else "base.html",
        "now": shop.clock(),
        "tenant": shop.tenant,
        "waiting": nothing,
        "status": status,
        "detail": detail,
    }
    page = Template("error.html", context=context)
    page.status_code = status
    return page


def _refused_value(error: Exception) -> bool:
    """Whether Postgres refused a value: SQLSTATE class 22, from asyncpg or SQLAlchemy."""
    code = getattr(getattr(error, "orig", error), "sqlstate", None)
    return isinstance(code, str) and code.startswith("22")

"""The worker process and the database pool, wired by hand."""

import asyncio
import contextlib
import gc
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import partial
from uuid import uuid4

import asyncpg
import httpx
import structlog

from cardmint_cloud import __version__, background_jobs
from cardmint_cloud import settings as configuration
from cardmint_cloud.adapters.mqtt.client import MqttClient
from cardmint_cloud.adapters.postgres import catalogue
from cardmint_cloud.adapters.postgres.address import DatabaseAddress
from cardmint_cloud.adapters.postgres.connection import Pool, PostgresConnection
from cardmint_cloud.adapters.postgres.failures import explain_failure
from cardmint_cloud.adapters.postgres.ingest import leases
from cardmint_cloud.adapters.postgres.migrate import check_revision, engine_for
from cardmint_cloud.adapters.postgres.retry import DATABASE_AWAY, retry_until_done
from cardmint_cloud.adapters.providers.http import ProviderHttp
from cardmint_cloud.adapters.providers.pokemontcg import PokemonTcg
from cardmint_cloud.adapters.providers.pricecharting import PriceCharting
from cardmint_cloud.adapters.providers.tcgcsv import TcgCsv
from cardmint_cloud.adapters.providers.tcgdex import Tcgdex
from cardmint_cloud.errors import StopService
from cardmint_cloud.ingest.worker import Worker
from cardmint_cloud.pricing.provider_client import PriceProvider, ProviderClient
from cardmint_cloud.settings import CloudSettings, PriceSettings, ProviderKeys
from cardmint_cloud.watchdog import watchdog

CANCEL_WAIT_S = 1.5
CANCEL_ATTEMPTS = 5
"""Seconds that the parts of a process get to end after each of so many cancellations.

Other workers take over what they had begun.
"""

COMMAND_S = 30.0
"""Seconds after which a statement without an answer is given up as lost in the network."""

_HTTP_VARIABLES = frozenset(
    {"ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"}
)
_log = structlog.get_logger()


def log_as_json() -> None:
    """Log one JSON object a line to standard output."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(20),
    )


async def work(settings: CloudSettings) -> None:
    """Run ingest, dispatch and pricing until SIGTERM or SIGINT.

    Raises:
        StopService: the settings of the database, or the files of the broker, do not work.
    """
    log_as_json()
    gc.freeze()
    # A group of events is thousands of objects that are freed together.
    gc.set_threshold(50_000, 50, 50)
    name = uuid4()
    jobs = max(2, settings.database_connections // 4)
    connections = settings.database_connections - jobs - settings.pooled
    session = leases.session_name(name)
    async with (
        watchdog(),
        database(settings, wait=True, connections=connections, application_name=session) as pool,
        listening_pool(settings, pool) as listening,
        price_http_client() as client,
    ):
        queue = background_jobs.build_queue(
            settings.direct,
            pool,
            provider_clients(
                settings.prices,
                configuration.load_keys(),
                client,
                pool,
                await retry_until_done("catalogue", partial(catalogue.tcgplayer_groups, pool)),
            ),
            every_s=settings.prices.every_s,
            reviews=settings.reviews,
            connections=jobs,
        )
        worker = Worker(pool, listening=listening, name=name)
        broker = MqttClient(settings.broker, on_message=worker.put, name=name)
        broker.start()
        try:
            await until_stopped(worker.run(broker), background_jobs.run_worker(queue))
        finally:
            await broker.stop()
    _log.info("worker stopped")


def price_http_client() -> httpx.AsyncClient:
    """Return the HTTP client for price providers.

    If the environment names a proxy or certificates that cannot be used, that is logged and every
    call fails: prices wait, and everything else goes on.
    """
    headers = {"User-Agent": f"cardmint/{__version__}"}
    try:
        return httpx.AsyncClient(headers=headers)
    except (ImportError, OSError, ValueError, httpx.InvalidURL) as error:
        # Not the error's text: a proxy's address may carry a password.
        _log.error(
            "no prices are looked up: a proxy, or a file of certificates, that the environment"
            " names cannot be used; correct or unset these variables and start the worker again",
            variables=sorted(name for name in os.environ if name.upper() in _HTTP_VARIABLES),
            error=type(error).__name__,
        )
        return httpx.AsyncClient(transport=_NoProxy(), trust_env=False)


class _NoProxy(httpx.AsyncBaseTransport):
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        raise httpx.ProxyError("the environment's proxy cannot be used", request=request)


def provider_clients(
    settings: PriceSettings,
    keys: ProviderKeys,
    client: httpx.AsyncClient,
    pool: Pool,
    groups: Mapping[str, int],
) -> list[ProviderClient]:
    """Return a client for each price provider, in the order in which they are asked.

    `groups` are TCGplayer's groups of the catalogue's sets.

    Raises:
        StopService: a provider needs a key that the environment does not have.
    """
    known: dict[str, tuple[Callable[[], PriceProvider], str]] = {
        "tcgdex": (Tcgdex, settings.tcgdex_url),
        "pokemontcg": (lambda: PokemonTcg(keys.pokemontcg), settings.pokemontcg_url),
        "pricecharting": (lambda: PriceCharting(keys.pricecharting), settings.pricecharting_url),
        "tcgcsv": (lambda: TcgCsv(groups), settings.tcgcsv_url),
    }
    if "pricecharting" in settings.order and not keys.pricecharting:
        raise StopService(
            "prices.order names pricecharting, which needs a token:"
            " set CARDMINT_PRICECHARTING_TOKEN"
        )
    worker = uuid4()
    return [
        ProviderClient(
            provider(),
            ProviderHttp(client, url),
            pool,
            worker=worker,
            budget=settings.calls_a_day,
        )
        for provider, url in (known[name] for name in settings.order)
    ]


@contextlib.asynccontextmanager
async def database(
    settings: CloudSettings,
    *,
    command_s: float | None = COMMAND_S,
    wait: bool = False,
    connections: int = 8,
    **server_settings: str,
) -> AsyncIterator[Pool]:
    """Give the service's pool of connections to a database that has this version's tables.

    It opens `connections` at most. A statement may take `command_s` seconds; None sets no limit.
    With `wait`, a database that is away is waited for.

    Raises:
        RetryLater: the database is away, and `wait` is not set.
        StopService: the settings of the database do not work.
    """
    engine = engine_for(settings.database, pooled=settings.pooled, connections=1)
    address = DatabaseAddress.read(settings.database)

    async def connect() -> Pool:
        try:
            await check_revision(engine, as_service=True)
        finally:
            await engine.dispose()
        try:
            return await asyncpg.create_pool(
                **address.asyncpg,
                min_size=min(2, connections),
                max_size=connections,
                command_timeout=command_s,
                server_settings=server_settings,
                reset=_keep,
                statement_cache_size=0 if settings.pooled else 100,
            )
        except DATABASE_AWAY as error:
            raise explain_failure(engine, error) from error

    pool = await (retry_until_done("start", connect) if wait else connect())
    try:
        yield pool
    finally:
        pool.terminate()


@contextlib.asynccontextmanager
async def listening_pool(settings: CloudSettings, pool: Pool) -> AsyncIterator[Pool]:
    """Give the pool whose connections listen: `pool`, or one past the pooler before it."""
    if not settings.pooled:
        yield pool
        return
    address = DatabaseAddress.read(settings.direct, "database_direct")
    direct = await asyncpg.create_pool(**address.asyncpg, min_size=0, max_size=1)
    try:
        yield direct
    finally:
        direct.terminate()


async def _keep(_connection: PostgresConnection) -> None:
    """Reset nothing when a connection goes back to the pool: no transaction leaves anything."""


async def until_stopped(*parts: Awaitable[None]) -> None:
    """Run `parts` until SIGTERM or SIGINT comes or one of them fails; raise its error."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    tasks = [asyncio.ensure_future(part) for part in parts]
    tasks.append(asyncio.ensure_future(_wait(stopped)))
    done, running = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    # More than once: a library that was waiting may swallow a cancellation, and the process would
    # never end.
    for _ in range(CANCEL_ATTEMPTS):
        for task in running:
            task.cancel()
        if running:
            _, running = await asyncio.wait(running, timeout=CANCEL_WAIT_S)
    for task in done:
        task.result()


async def _wait(event: asyncio.Event) -> None:
    await event.wait()

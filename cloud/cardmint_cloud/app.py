"""The processes, wired by hand."""

import asyncio
import contextlib
import gc
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import asyncpg
import httpx
import structlog

from cardmint_cloud import __version__, background_jobs, fleet, log_months
from cardmint_cloud import settings as configuration
from cardmint_cloud.adapters.mqtt.client import MqttClient
from cardmint_cloud.adapters.postgres.connection import Pool, PostgresConnection
from cardmint_cloud.adapters.postgres.fleet import desired as fleet_rows
from cardmint_cloud.adapters.postgres.ingest import dead_letters as dead_letter_rows
from cardmint_cloud.adapters.postgres.ingest import leases
from cardmint_cloud.adapters.postgres.ingest.log_months import RetiredMonth
from cardmint_cloud.adapters.postgres.migrate import (
    check_revision,
    engine_for,
    explain_failure,
    migrate,
)
from cardmint_cloud.adapters.postgres.prices import quotes
from cardmint_cloud.adapters.postgres.retry import DATABASE_AWAY, retry_until_done
from cardmint_cloud.adapters.providers.http import ProviderHttp
from cardmint_cloud.adapters.providers.pokemontcg import PokemonTcg
from cardmint_cloud.adapters.providers.pricecharting import PriceCharting
from cardmint_cloud.adapters.providers.tcgcsv import TcgCsv
from cardmint_cloud.adapters.providers.tcgdex import Tcgdex
from cardmint_cloud.errors import StopService
from cardmint_cloud.ingest import dead_letters as dead
from cardmint_cloud.ingest.worker import Worker
from cardmint_cloud.pricing.provider_client import PriceProvider, ProviderClient
from cardmint_cloud.settings import CloudSettings, PriceSettings, ProviderKeys
from cardmint_contracts.control import DesiredConfig, Manifest
from cardmint_contracts.prices import LastPrice

T = TypeVar("T")
PATIENCE_S, PATIENCE = 1.5, 5
"""How long the parts of a process may take to end in order, and how often they are told to.

What they had begun is given back to the others anyway."""

COMMAND_S = 30.0
"""A statement that has no answer for so long never will: the network swallowed it."""

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


async def migrate_database(settings: CloudSettings) -> str:
    """Bring the database to this version's tables and return their revision."""
    engine = engine_for(settings.database)
    try:
        return await migrate(engine)
    finally:
        await engine.dispose()


def run_once(address: str, work: Coroutine[Any, Any, T]) -> T:
    """Run `work`, which connects to the database at `address` by itself, and return what it returns.

    Raises:
        Retry, Stop: the database cannot be used as it is set.
    """

    async def checked() -> T:
        engine = engine_for(address)
        try:
            await check_revision(engine)
        finally:
            await engine.dispose()
        return await work

    try:
        return asyncio.run(checked())
    finally:
        work.close()


def dead_letters(settings: CloudSettings, limit: int) -> list[dict[str, Any]]:
    """Return what is known of the tenant's oldest dead letters.

    Raises:
        Retry, Stop: the database cannot be used as it is set.
    """

    async def found() -> list[dict[str, Any]]:
        async with database(settings) as pool, pool.acquire() as connection:
            return await dead_letter_rows.list_oldest(connection, settings.tenant, limit)

    return asyncio.run(found())


def replay(settings: CloudSettings, letter: int) -> int:
    """Put a dead letter of the tenant through ingest again and return how many events it brought.

    Raises:
        NotFound, Park: there is no such one, or it still cannot be used.
        Retry, Stop: the database cannot be used as it is set.
    """

    async def done() -> int:
        async with database(settings) as pool:
            return (await dead.replay(pool, settings.tenant, letter, datetime.now(UTC))).applied

    return asyncio.run(done())


def discard(settings: CloudSettings, letter: int) -> None:
    """Give a dead letter of the tenant up for good.

    Raises:
        NotFound: there is no such one.
        Retry, Stop: the database cannot be used as it is set.
    """

    async def done() -> None:
        async with database(settings) as pool:
            await dead.discard(pool, settings.tenant, letter)

    asyncio.run(done())


def months(settings: CloudSettings) -> log_months.LogMonths:
    """Return where the log's months are.

    Raises:
        Retry, Stop: the database cannot be used as it is set.
    """
    return asyncio.run(_once(settings, log_months.list_all))


def make_months(settings: CloudSettings, ahead: int) -> None:
    """Make the log's partitions from this month to `ahead` months on.

    Raises:
        Retry, Stop: the database cannot be used as it is set.
    """
    asyncio.run(
        _once(
            settings,
            lambda connection: log_months.make_ahead(connection, datetime.now(UTC), ahead=ahead),
        )
    )


def retire_months(settings: CloudSettings, keep_months: int) -> list[RetiredMonth]:
    """Move the log's older months to files.

    Raises:
        Retry, Stop: the database cannot be used as it is set, or as `partitions.retire`.
    """
    archive, now = Path(settings.archive), datetime.now(UTC)
    return asyncio.run(
        _once(
            settings,
            lambda connection: log_months.retire_before(
                connection, archive, now, keep_months=keep_months
            ),
        )
    )


def last_prices(settings: CloudSettings) -> list[LastPrice]:
    """Return what the tenant's cards are worth now.

    Raises:
        Retry, Stop: the database cannot be used as it is set.
    """
    return asyncio.run(
        _once(settings, lambda connection: quotes.last_prices(connection, settings.tenant))
    )


def publish(settings: CloudSettings, manifest: bytes, file: Path, url: str) -> Manifest:
    """Keep a pack or models, and have the tenant's stations use them.

    Raises:
        Retry, Stop: the file is not what the manifest names, or the database cannot be used as it
            is set.
    """
    signed = fleet.store_artifact(Path(settings.artifacts), settings.tenant, manifest, file, url)
    now = datetime.now(UTC)
    asyncio.run(
        _once(
            settings,
            lambda connection: fleet_rows.put_artifact(connection, settings.tenant, signed, now),
        )
    )
    return signed


def configure(settings: CloudSettings, station: str, changes: dict[str, Any]) -> DesiredConfig:
    """Want settings of a station of the tenant.

    Raises:
        Retry, Stop: the database cannot be used as it is set.
    """
    tenant, now = settings.tenant, datetime.now(UTC)
    return asyncio.run(
        _once(
            settings,
            lambda connection: fleet_rows.configure_station(
                connection, tenant, station, changes, now
            ),
        )
    )


async def _once(settings: CloudSettings, use: Callable[[PostgresConnection], Awaitable[T]]) -> T:
    async with database(settings, patience_s=None) as pool, pool.acquire() as connection:
        return await use(connection)


async def work(settings: CloudSettings) -> None:
    """Run ingest, dispatch and pricing until SIGTERM or SIGINT.

    Raises:
        Stop: the database or the broker cannot be used as it is set.
    """
    log_as_json()
    gc.freeze()
    gc.set_threshold(
        50_000, 50, 50
    )  # A group of events is thousands of objects that all go at once.
    headers = {"User-Agent": f"cardmint/{__version__}"}
    name = uuid4()
    async with (
        database(settings, wait=True, application_name=leases.session_name(name)) as pool,
        httpx.AsyncClient(headers=headers) as client,
    ):
        asked = sources(settings.prices, configuration.load_keys(), client, pool)
        queue = background_jobs.build_queue(
            settings.database,
            pool,
            asked,
            every_s=settings.prices.every_s,
            reviews=settings.reviews,
        )
        worker = Worker(pool, name=name)
        broker = MqttClient(settings.broker, on_message=worker.put)
        broker.start()
        try:
            await until_stopped(
                worker.run(broker), broker.refused(), background_jobs.run_worker(queue)
            )
        finally:
            await broker.stop()
    _log.info("worker stopped")


def sources(
    settings: PriceSettings, keys: ProviderKeys, client: httpx.AsyncClient, pool: Pool
) -> list[ProviderClient]:
    """Return the price providers in the order in which they are asked.

    Raises:
        Stop: one of them needs a key that the environment does not have.
    """
    known: dict[str, tuple[Callable[[], PriceProvider], str]] = {
        "tcgdex": (Tcgdex, settings.tcgdex_url),
        "pokemontcg": (lambda: PokemonTcg(keys.pokemontcg), settings.pokemontcg_url),
        "pricecharting": (lambda: PriceCharting(keys.pricecharting), settings.pricecharting_url),
        "tcgcsv": (TcgCsv, settings.tcgcsv_url),
    }
    if "pricecharting" in settings.order and not keys.pricecharting:
        raise StopService(
            "prices.order names pricecharting, which needs a token: set CARDMINT_PRICECHARTING_TOKEN"
        )
    worker = uuid4()
    return [
        ProviderClient(
            provider(), ProviderHttp(client, url), pool, worker=worker, budget=settings.calls_a_day
        )
        for provider, url in (known[name] for name in settings.order)
    ]


@contextlib.asynccontextmanager
async def database(
    settings: CloudSettings,
    *,
    patience_s: float | None = COMMAND_S,
    wait: bool = False,
    **server: str,
) -> AsyncIterator[Pool]:
    """Give a pool of connections to a database that has this version's tables.

    `server` is set for each of them.

    A statement may take `patience_s`, any time without. What runs for ever waits for a database
    that is away.

    Raises:
        Retry: the database is away, unless it is waited for.
        Stop: the database cannot be used as it is set.
    """
    engine = engine_for(settings.database)

    async def connect() -> Pool:
        await check_revision(engine)
        try:
            return await asyncpg.create_pool(
                settings.database,
                min_size=2,
                max_size=8,
                command_timeout=patience_s,
                server_settings=server,
            )
        except DATABASE_AWAY as error:
            raise explain_failure(engine, error) from error

    try:
        pool = await (retry_until_done("start", connect) if wait else connect())
        try:
            yield pool
        finally:
            pool.terminate()
    finally:
        await engine.dispose()


async def until_stopped(*works: Awaitable[None]) -> None:
    """Run `works` until SIGTERM or SIGINT comes, or one of them fails; its error is raised."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    tasks = [asyncio.ensure_future(work) for work in works]
    tasks.append(asyncio.ensure_future(_wait(stopped)))
    done, rest = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    # More than once: a library that was just waiting may swallow a cancellation, and the process
    # would never end.
    for _ in range(PATIENCE):
        for task in rest:
            task.cancel()
        if rest:
            _, rest = await asyncio.wait(rest, timeout=PATIENCE_S)
    for task in done:
        task.result()


async def _wait(event: asyncio.Event) -> None:
    await event.wait()

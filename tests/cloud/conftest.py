"""One real Postgres server a test run, one database a test, made from a migrated template.

Also a broker with a worker and a station, and the dashboard.
"""

import asyncio
import itertools
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from cardmint_cloud.adapters.images.folder import FolderStorage
from cardmint_cloud.adapters.mqtt.client import MqttClient
from cardmint_cloud.adapters.postgres.connection import Pool, PostgresConnection
from cardmint_cloud.adapters.postgres.migrate import engine_for
from cardmint_cloud.ingest.worker import Worker
from cardmint_cloud.local.broker import BrokerKind, LocalBroker
from cardmint_cloud.local.postgres import LocalPostgres, service_address
from cardmint_cloud.log_months import make_ahead
from cardmint_cloud.web.routes import build_dashboard
from cardmint_contracts.settings import BrokerSettings
from cardmint_lab.folders import temporary_folder
from tests.cloud.kit.cards import NOW
from tests.cloud.kit.database import connected, pooled
from tests.cloud.kit.stations import StationStub
from tests.cloud.kit.web import serve

_numbers = itertools.count(1)


def _migrate(settings: dict[str, str]) -> None:
    """Make the tables in another process: SQLAlchemy's greenlets must not run in a measured one."""
    program = Path(sys.executable).with_name("cardmint-cloud")
    environment = {**os.environ, **settings}
    done = subprocess.run(
        [program, "migrate"],
        capture_output=True,
        text=True,
        env=environment,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr


async def _run(address: str, statement: str) -> None:
    async with connected(address) as connection:
        await connection.execute(statement)


@pytest.fixture(scope="session")
def postgres() -> Iterator[LocalPostgres]:
    # Not below pytest's folder, which every run of pytest makes private to its user again: Postgres
    # runs as another.
    with temporary_folder() as folder:
        server = LocalPostgres(folder).start()
        try:
            _migrate(server.environment)
            yield server
        finally:
            server.drop()


@pytest.fixture
async def owner_database(postgres: LocalPostgres) -> AsyncIterator[str]:
    """Address of the test's database as its owner, a superuser."""
    name = f"test_{next(_numbers)}"
    server = postgres.address.removesuffix("/cardmint")
    await _run(f"{server}/postgres", f"CREATE DATABASE {name} TEMPLATE cardmint")
    yield f"{server}/{name}"
    await _run(f"{server}/postgres", f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def database(owner_database: str) -> str:
    """Address of the test's database as the service, which the policies hold."""
    return service_address(owner_database)


@pytest.fixture
async def connection(database: str) -> AsyncIterator[PostgresConnection]:
    """Give the service's connection, which is the tenant `shop`'s until the test ends."""
    async with connected(database) as connection:
        await connection.execute("SET TIME ZONE 'UTC'")
        await connection.execute("SELECT set_config('cardmint.tenant', 'shop', false)")
        yield connection


@pytest.fixture
async def owner(owner_database: str) -> AsyncIterator[Pool]:
    """Give a pool of the owner, for what a test prepares and looks at by itself."""
    async with pooled(owner_database, most=2, tenant="*") as pool:
        yield pool


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    async with pooled(database, most=6) as pool:
        async with pool.acquire() as connection:
            await make_ahead(connection, NOW)
            await make_ahead(connection, datetime.now(UTC))
        yield pool


@pytest.fixture
async def engine(database: str) -> AsyncIterator[AsyncEngine]:
    engine = engine_for(database)
    yield engine
    await asyncio.wait_for(engine.dispose(), 20)


@pytest.fixture
async def owner_engine(owner_database: str) -> AsyncIterator[AsyncEngine]:
    engine = engine_for(owner_database)
    yield engine
    await asyncio.wait_for(engine.dispose(), 20)


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    return tmp_path / "logs"


@pytest.fixture(params=["mosquitto", "iotcore"])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LocalBroker]:
    kind: BrokerKind = request.param
    server = LocalBroker(tmp_path, kind=kind).start()
    yield server
    server.stop()


@pytest.fixture
async def worker(broker: LocalBroker, database: str) -> AsyncIterator[Worker]:
    async with pooled(database, most=5) as pool:
        worker = Worker(pool)
        link = MqttClient(BrokerSettings(port=broker.port), on_message=worker.put)
        link.start()
        running = asyncio.create_task(worker.run(link))
        yield worker
        running.cancel()
        await asyncio.wait([running], timeout=20)
        await asyncio.wait_for(link.stop(), 20)


@pytest.fixture
def station(broker: LocalBroker) -> Iterator[StationStub]:
    station = StationStub(broker.port)
    yield station
    station.client.disconnect()
    station.client.loop_stop()


@pytest.fixture
async def site(pool: Pool, engine: AsyncEngine, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    app = build_dashboard(
        engine=engine,
        pool=pool,
        images=FolderStorage(tmp_path / "images"),
        tenant="shop",
        clock=lambda: NOW,
    )
    async with serve(app) as client:
        yield client


@pytest.fixture
async def partitions(connection: PostgresConnection) -> None:
    """Make the months of the log that the tests' events fall into."""
    await make_ahead(connection, NOW)

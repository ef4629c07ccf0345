"""One real Postgres server a test run, one database a test, made from a migrated template."""

import asyncio
import itertools
import tempfile
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from cardmint_cloud.adapters.postgres.migrate import engine_for, migrate
from cardmint_cloud.local.postgres import Postgres
from cardmint_cloud.partitions import make_ahead
from tests.cloud.shop import NOW

_numbers = itertools.count(1)


async def _migrate(address: str) -> None:
    engine = engine_for(address)
    await migrate(engine)
    await engine.dispose()


async def _run(address: str, statement: str) -> None:
    connection = await asyncpg.connect(address)
    await connection.execute(statement)
    await connection.close()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    # Not below pytest's folder, which every run of pytest makes private to its user again: Postgres runs as another.
    with tempfile.TemporaryDirectory(prefix="cardmint-", ignore_cleanup_errors=True) as folder:
        server = Postgres(Path(folder)).start()
        asyncio.run(_migrate(server.address))
        yield server
        server.drop()


@pytest.fixture
async def database(postgres: Postgres) -> AsyncIterator[str]:
    name = f"test_{next(_numbers)}"
    server = postgres.address.removesuffix("/cardmint")
    await _run(f"{server}/postgres", f"CREATE DATABASE {name} TEMPLATE cardmint")
    yield f"{server}/{name}"
    await _run(f"{server}/postgres", f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def connection(database: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database)
    await connection.execute("SET TIME ZONE 'UTC'")
    yield connection
    await connection.close()


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Any]:
    async with asyncpg.create_pool(database, min_size=1, max_size=6) as pool:
        async with pool.acquire() as connection:
            await make_ahead(connection, NOW)
            await make_ahead(connection, datetime.now(UTC))
        yield pool


@pytest.fixture
async def engine(database: str) -> AsyncIterator[AsyncEngine]:
    engine = engine_for(database)
    yield engine
    await engine.dispose()


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    return tmp_path / "logs"

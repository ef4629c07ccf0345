"""One real Postgres server a test run, one database a test, made from a migrated template."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from cardmint_cloud.adapters.postgres.migrate import engine_for, migrate
from cardmint_cloud.local.postgres import Postgres

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
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    server = Postgres(tmp_path_factory.mktemp("postgres")).start()
    asyncio.run(_migrate(server.address))
    yield server
    server.stop()


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
def logs(tmp_path: Path) -> Path:
    return tmp_path / "logs"

"""One real Postgres server a test run, one database a test, made from a migrated template."""

import asyncio
import contextlib
import itertools
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from cardmint_cloud.adapters.postgres.connection import Pool, PostgresConnection
from cardmint_cloud.adapters.postgres.migrate import engine_for
from cardmint_cloud.local.postgres import LocalPostgres
from cardmint_cloud.log_months import make_ahead
from tests.cloud.shop import NOW

_numbers = itertools.count(1)


def _migrate(address: str) -> None:
    """Make the tables in a process of its own: a measured one must not run SQLAlchemy's greenlets."""
    program = Path(sys.executable).with_name("cardmint-cloud")
    environment = {**os.environ, "CARDMINT_CLOUD_DATABASE": address}
    done = subprocess.run(
        [program, "migrate"],
        capture_output=True,
        text=True,
        env=environment,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@contextlib.asynccontextmanager
async def connected(address: str) -> AsyncIterator[PostgresConnection]:
    """Give a connection that waits for nothing longer than a minute, and is cut when the test is over."""
    connection = await asyncpg.connect(address, command_timeout=60)
    try:
        yield connection
    finally:
        connection.terminate()


@contextlib.asynccontextmanager
async def pooled(address: str, *, most: int) -> AsyncIterator[Pool]:
    """Give a pool whose connections wait for nothing longer than a minute, and that a failed test may still hold."""
    pool = await asyncpg.create_pool(address, min_size=1, max_size=most, command_timeout=60)
    try:
        yield pool
    finally:
        try:
            await asyncio.wait_for(pool.close(), 10)
        except TimeoutError:
            pool.terminate()


async def _run(address: str, statement: str) -> None:
    async with connected(address) as connection:
        await connection.execute(statement)


@pytest.fixture(scope="session")
def postgres() -> Iterator[LocalPostgres]:
    # Not below pytest's folder, which every run of pytest makes private to its user again: Postgres
    # runs as another.
    with tempfile.TemporaryDirectory(prefix="cardmint-", ignore_cleanup_errors=True) as folder:
        server = LocalPostgres(Path(folder)).start()
        try:
            _migrate(server.address)
            yield server
        finally:
            server.drop()


@pytest.fixture
async def database(postgres: LocalPostgres) -> AsyncIterator[str]:
    name = f"test_{next(_numbers)}"
    server = postgres.address.removesuffix("/cardmint")
    await _run(f"{server}/postgres", f"CREATE DATABASE {name} TEMPLATE cardmint")
    yield f"{server}/{name}"
    await _run(f"{server}/postgres", f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def connection(database: str) -> AsyncIterator[PostgresConnection]:
    async with connected(database) as connection:
        await connection.execute("SET TIME ZONE 'UTC'")
        yield connection


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
def logs(tmp_path: Path) -> Path:
    return tmp_path / "logs"

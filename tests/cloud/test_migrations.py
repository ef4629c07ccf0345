"""The migrations and the tables that queries are written against are one and the same, on every Postgres we name."""

import asyncio
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection

from cardmint_cloud.adapters.postgres.migrate import check_revision, engine_for, migrate
from cardmint_cloud.adapters.postgres.tables import metadata
from cardmint_cloud.local.postgres import Postgres

pytestmark = pytest.mark.integration

DEBIAN = Path("/usr/lib/postgresql/15/bin")


def ours(name: str | None, kind: str, parents: Any) -> bool:
    """Whether autogenerate should look: not at the log's partitions, nor at the tables of the library's queue."""
    if kind == "foreign_key_constraint":
        return not (name or "").startswith("job_failures")  # It points at a table of the queue's.
    return not (kind == "table" and (name or "").startswith(("events_", "procrastinate_")))


def default(_context: Any, _found: Any, column: Any, *_: Any) -> bool | None:
    """Compare defaults as Alembic does, but for the log's position, whose sequence it takes for a serial column's."""
    return False if column.name == "position" else None


def differences(connection: Connection) -> list[Any]:
    context = MigrationContext.configure(
        connection, opts={"include_name": ours, "compare_type": True, "compare_server_default": default}
    )
    return list(compare_metadata(context, metadata))


async def compared(address: str) -> list[Any]:
    engine = engine_for(address)
    try:
        await migrate(engine)
        await check_revision(engine)
        async with engine.connect() as connection:
            return await connection.run_sync(differences)
    finally:
        await engine.dispose()


async def test_the_tables_are_what_the_migrations_make(database: str) -> None:
    assert await compared(database) == []


def test_the_migrations_run_on_debians_postgres() -> None:
    if not DEBIAN.exists() and not os.environ.get("CI"):
        pytest.skip("Debian's Postgres 15 is not installed; CI has it")
    with tempfile.TemporaryDirectory(prefix="cardmint-", ignore_cleanup_errors=True) as folder:
        server = Postgres(Path(folder), binaries=DEBIAN).start()
        try:
            assert asyncio.run(compared(server.address)) == []
        finally:
            server.stop()

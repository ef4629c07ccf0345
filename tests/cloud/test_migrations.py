"""Migrations make exactly the tables that the queries are written for, on each Postgres version."""

import asyncio
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, text
from sqlalchemy.engine import make_url

from cardmint_cloud import migrations
from cardmint_cloud.adapters.postgres.migrate import check_revision, engine_for, migrate
from cardmint_cloud.adapters.postgres.tables import metadata
from cardmint_cloud.errors import StopService
from cardmint_cloud.local.postgres import LocalPostgres, service_address
from cardmint_lab.folders import temporary_folder
from tests.cloud.kit.database import connected

pytestmark = [pytest.mark.integration, pytest.mark.greenlets]

DEBIAN = Path("/usr/lib/postgresql/15/bin")


def ours(name: str | None, kind: str, parents: Any) -> bool:
    """Whether autogenerate should look.

    Not at the log's partitions, nor at the tables of the library's queue.
    """
    if kind == "foreign_key_constraint":
        return not (name or "").startswith("job_failures")  # It points at a table of the queue's.
    others = ("events_", "items_", "procrastinate_")
    return not (kind == "table" and (name or "").startswith(others))


def default(_context: Any, _found: Any, column: Any, *_: Any) -> bool | None:
    """Compare defaults as Alembic does, except that of `position`.

    Alembic takes its sequence for that of a serial column.
    """
    return False if column.name == "position" else None


def compared_column(_column: Any, name: str | None, kind: str, *_: Any) -> bool:
    """Whether Alembic can compare it: not the column that the database computes."""
    return (kind, name) != ("column", "written")


def differences(connection: Connection) -> list[Any]:
    context = MigrationContext.configure(
        connection,
        opts={
            "include_name": ours,
            "include_object": compared_column,
            "compare_type": True,
            "compare_server_default": default,
        },
    )
    return list(compare_metadata(context, metadata))


async def compared(address: str) -> list[Any]:
    engine = engine_for(address)
    try:
        await migrate(engine, service_address(address))
        await check_revision(engine)
        async with engine.connect() as connection:
            return await connection.run_sync(differences)
    finally:
        await engine.dispose()


async def test_the_tables_are_what_the_migrations_make(owner_database: str) -> None:
    assert await compared(owner_database) == []


async def test_a_log_of_the_first_version_is_read_as_it_was(postgres: LocalPostgres) -> None:
    server = postgres.address.removesuffix("/cardmint")
    await _admin(f"{server}/postgres", "CREATE DATABASE aged")
    engine = engine_for(f"{server}/aged")
    try:
        async with engine.connect() as connection:
            await connection.run_sync(_first_version)
            await connection.commit()
        await migrate(engine, service_address(f"{server}/aged"))
        async with engine.connect() as connection:
            (event,) = (await connection.execute(text("SELECT * FROM events"))).mappings()
            assert (event["type"], msgspec.json.decode(event["data"])) == (
                "t",
                {"b": 1, "a": [2.50]},
            )
            (item,) = (await connection.execute(text("SELECT * FROM items"))).mappings()
            assert (item["bin"], "candidates" in item) == ("A3", False)
    finally:
        await engine.dispose()
        await _admin(f"{server}/postgres", "DROP DATABASE aged WITH (FORCE)")


async def _admin(address: str, statement: str) -> None:
    async with connected(address) as connection:
        await connection.execute(statement)


def _first_version(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__path__[0])))
    config.attributes["connection"] = connection
    command.upgrade(config, "0001")
    connection.execute(
        text(
            "CREATE TABLE events_2026_11 PARTITION OF events FOR VALUES FROM ('2026-11-01"
            " 00:00+00')"
            " TO ('2026-12-01 00:00+00')"
        )
    )
    connection.execute(
        text(
            "INSERT INTO events (tenant, stream, sequence, received_at, source, type,"
            " occurred_at, bootid,"
            " monotonic_ms, clock_synced, data) VALUES ('shop', gen_random_uuid(), 1,"
            " '2026-11-22', '/stations/left',"
            """ 't', '2026-11-22', gen_random_uuid(), 1, true, '{"b": 1, "a": [2.50]}')"""
        )
    )
    connection.execute(
        text(
            "INSERT INTO items (tenant, item, station, captured_at, received_at, status, bin,"
            " confidence, margin,"
            " reasons, candidates, version) VALUES ('shop', gen_random_uuid(), 'left', now(),"
            " now(), 'counted',"
            " 'A3', 1, 1, '{}', '[]', 1)"
        )
    )


async def test_a_user_without_rights_is_told_so(postgres: LocalPostgres) -> None:
    server = postgres.address.removesuffix("/cardmint")
    await _admin(f"{server}/postgres", "CREATE DATABASE bare")
    await _admin(f"{server}/postgres", "CREATE ROLE reader LOGIN PASSWORD 'reader'")
    address = make_url(f"{server}/bare").set(username="reader", password="reader")
    engine = engine_for(address.render_as_string(hide_password=False))
    try:
        with pytest.raises(
            StopService, match=r"reader lacks a right \(.*permission denied.*OWNER TO"
        ):
            await migrate(engine, service_address(f"{server}/bare"))
    finally:
        await engine.dispose()
        await _admin(f"{server}/postgres", "DROP DATABASE bare WITH (FORCE)")
        await _admin(f"{server}/postgres", "DROP ROLE reader")


def test_the_migrations_run_on_debians_postgres() -> None:
    if not DEBIAN.exists() and not os.environ.get("CI"):
        pytest.skip("Debian's Postgres 15 is not installed; CI has it")
    with temporary_folder() as folder:
        server = LocalPostgres(folder, binaries=DEBIAN).start()
        try:
            assert asyncio.run(compared(server.address)) == []
        finally:
            server.drop()

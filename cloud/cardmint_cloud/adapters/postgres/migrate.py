"""Migration of the database, and one-line explanations of why it cannot be used."""

from pathlib import Path
from typing import Any

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from cardmint_cloud.adapters.postgres import row_security
from cardmint_cloud.adapters.postgres.address import DatabaseAddress
from cardmint_cloud.adapters.postgres.connection import PostgresConnection
from cardmint_cloud.adapters.postgres.failures import explain_failure, named
from cardmint_cloud.adapters.postgres.row_security import ServiceLogin, service_problem
from cardmint_cloud.errors import CloudError, StopService

_MIGRATIONS = Path(__file__).parents[2] / "migrations"
_LOCK = 0x63617264  # One migration at a time, whoever starts first.


def engine_for(database: str, *, pooled: bool = False, connections: int = 10) -> AsyncEngine:
    """Return an engine for an address, of at most so many connections. It connects on first use.

    `pooled` says that the address leads through a pooler in transaction mode: the next transaction
    may have another session, so that no statement stays prepared.

    Raises:
        StopService: the address cannot be read.
    """
    address = DatabaseAddress.read(database)
    asked = address.asyncpg | ({"statement_cache_size": 0} if pooled else {})

    async def connect(**_parts: object) -> PostgresConnection:
        connection: PostgresConnection = await asyncpg.connect(**asked)
        return connection

    arguments: dict[str, Any] = {"async_creator_fn": connect}
    if pooled:
        arguments |= {
            "prepared_statement_cache_size": 0,
            "prepared_statement_name_func": lambda: "",
        }
    return create_async_engine(
        address.url.set(drivername="postgresql+asyncpg"),
        pool_size=connections,
        max_overflow=0,
        connect_args=arguments,
    )


async def migrate(engine: AsyncEngine, service: str) -> str:
    """Apply the missing migrations and policies, and return the database's revision.

    `engine` connects as the tables' owner, `service` is the address of worker and dashboard, whose
    user is made if need be.

    Raises:
        RetryLater: the database cannot be reached.
        StopService: it refuses the user, or a newer version made it.
    """
    login = ServiceLogin.of(DatabaseAddress.read(service))
    try:
        async with engine.connect() as connection:
            revision = await connection.run_sync(_upgrade)
            await connection.run_sync(row_security.secure, login)
            await connection.commit()
            return revision
    except CloudError as error:
        raise StopService(f"database {named(engine)}: {error}") from None
    except CommandError as error:
        raise StopService(
            f"database {named(engine)}: made by another version of CardMint ({error}); upgrade"
            " the service"
        ) from None
    except Exception as error:
        raise explain_failure(engine, error) from error


async def check_revision(engine: AsyncEngine, *, as_service: bool = False) -> None:
    """Check that the database has this version's tables.

    With `as_service`, also that the policies hold for its user, who has the rights of the service.

    Raises:
        RetryLater: the database cannot be reached.
        StopService: it has other tables.
    """
    try:
        async with engine.connect() as connection:
            found = await connection.run_sync(
                lambda sync: MigrationContext.configure(sync).get_current_revision()
            )
            head = ScriptDirectory.from_config(_config()).get_current_head()
            current = as_service and found == head
            problem = await connection.run_sync(service_problem) if current else None
    except Exception as error:
        raise explain_failure(engine, error) from error
    if found != head:
        raise StopService(
            f"database {named(engine)}: has the tables of revision {found or 'none'}, this"
            f" service needs {head};"
            " run `cardmint-cloud migrate`"
        )
    if problem is not None:
        raise StopService(f"database {named(engine)}: {problem}")


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    return config


def _upgrade(connection: Connection) -> str:
    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    # Each migration is a transaction; each sees the rows of all tenants.
    connection.execute(text("SELECT set_config('cardmint.tenant', '*', false)"))
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    return ScriptDirectory.from_config(config).get_current_head() or ""

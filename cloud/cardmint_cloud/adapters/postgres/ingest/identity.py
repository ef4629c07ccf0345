"""The name of this database, which every receipt carries.

The first migration that knows it makes it. A backup that is restored keeps it, so a copy that runs
beside the original must get a new one (`cardmint-cloud identity --new`).
"""

from collections.abc import Collection
from typing import NamedTuple
from uuid import UUID

from cardmint_cloud.adapters.postgres.connection import Executor, PostgresConnection, fetch_one

_READ = "SELECT id, replaces FROM database_identity"
_RENEW = "UPDATE database_identity SET id = gen_random_uuid(), replaces = '{}'"
_REPLACE = """
UPDATE database_identity SET replaces = ARRAY(SELECT DISTINCT unnest(replaces || $1::uuid[]))"""


class DatabaseIdentity(NamedTuple):
    """A database's name, and the databases whose stations may go on with this one."""

    id: UUID
    replaces: tuple[UUID, ...]


async def read_identity(executor: Executor) -> DatabaseIdentity:
    """Return this database's identity."""
    row = await fetch_one(executor, _READ)
    return DatabaseIdentity(row["id"], tuple(row["replaces"]))


async def renew_identity(connection: PostgresConnection) -> None:
    """Give a copy of a database a name of its own."""
    await connection.execute(_RENEW)


async def replace_databases(connection: PostgresConnection, replaced: Collection[UUID]) -> None:
    """Let the stations of other databases, which are gone, go on with this one."""
    await connection.execute(_REPLACE, list(replaced))

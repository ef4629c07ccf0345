"""The keys of persons, wrapped by a master key: statements for asyncpg."""

from typing import Any
from uuid import UUID

from cardmint_cloud.adapters.postgres.connection import Executor

_FIND = "SELECT master, wrapped FROM person_keys WHERE tenant = $1 AND account = $2"
_ADD = """
INSERT INTO person_keys (tenant, account, master, wrapped) VALUES ($1, $2, $3, $4)
    ON CONFLICT DO NOTHING"""
_SET = "UPDATE person_keys SET master = $3, wrapped = $4 WHERE tenant = $1 AND account = $2"


async def find(executor: Executor, tenant: str, account: UUID) -> Any:
    """Return a person's key; None where there is none."""
    return await executor.fetchrow(_FIND, tenant, account)


async def add(
    executor: Executor, tenant: str, account: UUID, *, master: str, wrapped: bytes
) -> None:
    """Add a person's key, unless there is one."""
    await executor.execute(_ADD, tenant, account, master, wrapped)


async def wrap_again(
    executor: Executor, tenant: str, account: UUID, *, master: str, wrapped: bytes
) -> None:
    """Store a person's key as another master key wraps it."""
    await executor.execute(_SET, tenant, account, master, wrapped)


async def list_all(executor: Executor, tenant: str) -> list[Any]:
    """Return the keys of all persons, locked."""
    statement = "SELECT account, master, wrapped FROM person_keys WHERE tenant = $1 FOR UPDATE"
    return await executor.fetch(statement, tenant)


async def masters(executor: Executor, tenant: str) -> list[str]:
    """Return the names of the master keys that wrap any."""
    statement = "SELECT DISTINCT master FROM person_keys WHERE tenant = $1 ORDER BY 1"
    return [row["master"] for row in await executor.fetch(statement, tenant)]


async def remove(executor: Executor, tenant: str, account: UUID) -> None:
    """Destroy a person's key: what it sealed is noise from now on."""
    await executor.execute(
        "DELETE FROM person_keys WHERE tenant = $1 AND account = $2", tenant, account
    )

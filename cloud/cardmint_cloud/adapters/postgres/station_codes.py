"""Codes by which stations get their credentials: statements for asyncpg."""

from datetime import datetime

from cardmint_cloud.adapters.postgres.connection import Executor

_ADD = """
INSERT INTO station_codes (tenant, digest, station, expires_at) VALUES ($1, $2, $3, $4)"""
_TAKE = """
DELETE FROM station_codes WHERE tenant = $1 AND digest = $2 AND expires_at > $3
RETURNING station"""


async def add(
    executor: Executor, tenant: str, digest: bytes, station: str, expires_at: datetime
) -> None:
    """Add a code for a station."""
    await executor.execute(_ADD, tenant, digest, station, expires_at)


async def take(executor: Executor, tenant: str, digest: bytes, now: datetime) -> str | None:
    """Use a code up, and return its station; None if it is not good, or not any more."""
    found: str | None = await executor.fetchval(_TAKE, tenant, digest, now)
    return found


async def remove_old(executor: Executor, tenant: str, station: str, now: datetime) -> None:
    """Remove the codes that have expired, and earlier ones of a station."""
    statement = "DELETE FROM station_codes WHERE tenant = $1 AND (station = $2 OR expires_at <= $3)"
    await executor.execute(statement, tenant, station, now)

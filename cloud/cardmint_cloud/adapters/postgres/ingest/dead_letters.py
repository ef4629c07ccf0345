"""Dead letters, read under a lock to be replayed or discarded."""

from typing import Any
from uuid import UUID

from cardmint_cloud.adapters.postgres.connection import PostgresConnection
from cardmint_cloud.adapters.postgres.ingest.event_log import DeadLetter

_TAKE = """
DELETE FROM dead_letters WHERE tenant = $1 AND id = $2
RETURNING tenant, station, topic, reason, detail, content_type, payload, stream, first, last"""
_WAITING = """
SELECT id, station, reason, detail, stream, first, last, times, first_at, last_at,
       length(payload) AS bytes
  FROM dead_letters WHERE tenant = $1 ORDER BY id LIMIT $2"""
_NEWEST = (
    "SELECT detail FROM dead_letters WHERE tenant = $1 AND stream = $2 ORDER BY id DESC LIMIT 1"
)
_IDS = """
SELECT id FROM dead_letters WHERE tenant = $1 AND ($2::text IS NULL OR reason = $2) ORDER BY id"""


async def take_letter(
    connection: PostgresConnection, tenant: str, letter: int
) -> DeadLetter | None:
    """Delete a dead letter and return it; None when it does not exist.

    It is gone once the transaction commits.
    """
    rows: list[Any] = await connection.fetch(_TAKE, tenant, letter)
    return DeadLetter(**dict(rows[0])) if rows else None


async def list_oldest(
    connection: PostgresConnection, tenant: str, limit: int
) -> list[dict[str, Any]]:
    """Return a tenant's oldest dead letters without their payloads."""
    return [dict(row) for row in await connection.fetch(_WAITING, tenant, limit)]


async def letter_ids(connection: PostgresConnection, tenant: str, reason: str | None) -> list[int]:
    """Return the dead letters of a tenant, the oldest first; with `reason` those alone."""
    return [row["id"] for row in await connection.fetch(_IDS, tenant, reason)]


async def newest_detail(connection: PostgresConnection, tenant: str, stream: UUID) -> str:
    """Return the detail of the newest dead letter of a stream, which must have one."""
    rows: list[Any] = await connection.fetch(_NEWEST, tenant, stream)
    detail: str = rows[0]["detail"]
    return detail

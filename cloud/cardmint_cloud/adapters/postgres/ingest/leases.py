"""Leases of station slots. Postgres is also their clock.

A worker's identifier is made when its process starts and is its fencing token. Ingest locks the
lease in the transaction that writes (`lock_held_slots`), so that a paused worker cannot write for
slots that it has lost.
"""

from collections.abc import Collection
from uuid import UUID

from cardmint_cloud.adapters.postgres.connection import PostgresConnection
from cardmint_cloud.domain.rendezvous import SLOTS

DEAD_AFTER_S = 1.2
SLOT = f"get_byte(decode(md5(tenant || '/' || station), 'hex'), 0) % {SLOTS}"
"""SQL expression for a station's slot."""

_BEAT = """
INSERT INTO workers (worker, seen_at) VALUES ($1, clock_timestamp())
ON CONFLICT (worker) DO UPDATE SET seen_at = excluded.seen_at"""
_BURY = "DELETE FROM workers WHERE seen_at < clock_timestamp() - $1 * interval '1 second'"
_LIVING = "SELECT worker FROM workers"
_OPEN = """
INSERT INTO slot_leases (slot) SELECT * FROM generate_series(0, $1::int - 1) ON CONFLICT DO NOTHING
"""
_RELEASE = "UPDATE slot_leases SET worker = NULL WHERE worker = $1 AND NOT slot = ANY($2::int[])"
_CLAIM = """
UPDATE slot_leases SET worker = $1, since = clock_timestamp()
 WHERE slot IN (SELECT slot FROM slot_leases l
                 WHERE slot = ANY($2::int[]) AND worker IS DISTINCT FROM $1
                   AND NOT EXISTS (SELECT FROM workers w WHERE w.worker = l.worker)
                 ORDER BY slot FOR UPDATE SKIP LOCKED)
RETURNING slot"""
_IN_THE_WAY = """
SELECT DISTINCT worker FROM slot_leases l
 WHERE slot = ANY($2::int[]) AND worker IS DISTINCT FROM $1
   AND NOT EXISTS (SELECT FROM workers w WHERE w.worker = l.worker)"""
_END = """
SELECT pg_terminate_backend(pid, 500) FROM pg_stat_activity
 WHERE application_name = ANY($1::text[]) AND xact_start IS NOT NULL
   AND state_change < clock_timestamp() - $2 * interval '1 second'"""
_MINE = "SELECT slot FROM slot_leases WHERE worker = $1"
_HELD = """
SELECT slot FROM slot_leases WHERE worker = $1 AND slot = ANY($2::int[]) ORDER BY slot FOR SHARE"""
_LEAVE = "DELETE FROM workers WHERE worker = $1"


async def record_heartbeat(connection: PostgresConnection, worker: UUID) -> set[UUID]:
    """Record a worker's heartbeat, delete dead workers, and return the living ones."""
    await connection.execute(_BEAT, worker)
    await connection.execute(_BURY, DEAD_AFTER_S)
    return {row["worker"] for row in await connection.fetch(_LIVING)}


async def settle_leases(
    connection: PostgresConnection, worker: UUID, share: Collection[int]
) -> tuple[set[int], set[int]]:
    """Release slots outside `share`, take those in it that no living worker holds.

    Return the slots held now, and the new ones. A worker that was paused in a transaction still
    locks slots, so its sessions are terminated. Postgres would do that itself only between two
    statements, not between preparing and executing one.
    """
    await connection.execute(_OPEN, SLOTS)
    await connection.execute(_RELEASE, worker, list(share))
    taken = await _claim(connection, worker, share)
    mine = {row["slot"] for row in await connection.fetch(_MINE, worker)}
    if not mine.issuperset(share):
        silent = [
            session_name(row["worker"])
            for row in await connection.fetch(_IN_THE_WAY, worker, list(share))
        ]
        if silent and await connection.fetch(_END, silent, DEAD_AFTER_S):
            taken |= await _claim(connection, worker, share)
    return mine | taken, taken


async def _claim(connection: PostgresConnection, worker: UUID, share: Collection[int]) -> set[int]:
    return {row["slot"] for row in await connection.fetch(_CLAIM, worker, list(share))}


def session_name(worker: UUID) -> str:
    """Return the `application_name` of a worker's database sessions."""
    return f"cardmint worker {worker}"


async def lock_held_slots(
    connection: PostgresConnection, worker: UUID, slots: Collection[int]
) -> set[int]:
    """Return which of `slots` the worker holds, and lock those until the transaction ends."""
    return {row["slot"] for row in await connection.fetch(_HELD, worker, list(slots))}


async def remove_worker(connection: PostgresConnection, worker: UUID) -> None:
    """Delete a worker that ends, so that the others need not wait for its silence."""
    await connection.execute(_LEAVE, worker)


def station_of(source: str) -> str:
    """Return the station of a source."""
    return source.removeprefix("/stations/")

"""The event log's monthly partitions: listed, created ahead, read and dropped."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import asyncpg

from cardmint_cloud.adapters.postgres.columns import ARCHIVED_EVENTS
from cardmint_cloud.adapters.postgres.connection import PostgresConnection, fetch_one
from cardmint_cloud.errors import RetryLater

PAGE = 5000
_PARTITIONS = """
SELECT c.relname AS name, pg_total_relation_size(c.oid) AS bytes
  FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
 WHERE i.inhparent = 'events'::regclass ORDER BY 1"""
_RETIRED = (
    "SELECT month, file, events, last_position, retired_at FROM retired_months ORDER BY month"
)
_COLUMNS = ", ".join(column.name for column in ARCHIVED_EVENTS)
_RETIRE = """
INSERT INTO retired_months (month, file, events, last_position, retired_at)
VALUES ($1, $2, $3, $4, $5)"""
LOCK_S = 3
"""Seconds that dropping a partition may wait for a lock, and so hold up ingest."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LogMonth:
    """A month in the database: its first day and its size in bytes."""

    month: date
    bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class RetiredMonth:
    """A month that is a file now, named relative to the archive."""

    month: date
    file: str
    events: int
    last_position: int
    retired_at: datetime


def next_month(month: date) -> date:
    """Return the first day of the month after."""
    return date(month.year + month.month // 12, month.month % 12 + 1, 1)


def month_of(moment: datetime) -> date:
    """Return the first day of a moment's month in UTC."""
    return moment.astimezone(UTC).date().replace(day=1)


async def make_month(connection: PostgresConnection, month: date) -> None:
    """Create a month's partition if it does not exist: a function does, with its owner's rights."""
    await connection.execute("SELECT make_log_month($1)", month)


async def list_months(connection: PostgresConnection) -> list[LogMonth]:
    """Return the months in the database, the oldest first."""
    rows = await connection.fetch(_PARTITIONS)
    return [
        LogMonth(month=date(int(row["name"][7:11]), int(row["name"][12:14]), 1), bytes=row["bytes"])
        for row in rows
    ]


async def list_retired(connection: PostgresConnection) -> list[RetiredMonth]:
    """Return the months that are files, the oldest first."""
    return [RetiredMonth(**dict(row)) for row in await connection.fetch(_RETIRED)]


async def read_month(connection: PostgresConnection, month: date) -> AsyncIterator[list[Any]]:
    """Yield a month's events page by page, in the order of their application, in one snapshot."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        query = f"SELECT {_COLUMNS} FROM {month_name(month)} ORDER BY position"  # noqa: S608
        cursor = await connection.cursor(query)
        while rows := await cursor.fetch(PAGE):
            yield rows


async def drop_month(connection: PostgresConnection, done: RetiredMonth) -> bool:
    """Drop a month and record the file that replaces it; False when the month has changed.

    Raises:
        RetryLater: another session holds a lock on the log for long, such as a rebuild.
    """
    name = month_name(done.month)
    try:
        async with connection.transaction():
            await connection.execute(f"SET LOCAL lock_timeout = '{LOCK_S}s'")
            await connection.execute("LOCK TABLE events IN ACCESS EXCLUSIVE MODE")
            row = await fetch_one(
                connection,
                f"SELECT count(*) AS events, coalesce(max(position), 0) AS last FROM {name}",  # noqa: S608 - a date
            )
            if (row["events"], row["last"]) != (done.events, done.last_position):
                return False
            await connection.execute(f"ALTER TABLE events DETACH PARTITION {name}")
            await connection.execute(f"DROP TABLE {name}")
            await connection.execute(
                _RETIRE, done.month, done.file, done.events, done.last_position, done.retired_at
            )
    except asyncpg.LockNotAvailableError:
        raise RetryLater(
            f"the log was in use for {LOCK_S} s, perhaps by a rebuild; nothing was taken away"
        ) from None
    return True


def month_name(month: date) -> str:
    """Return the table of a month."""
    return f"events_{month:%Y_%m}"

"""The feed in Postgres: runs of events, written with what they tell and numbered afterwards.

`write` takes no lock, so that nobody who writes waits for another. Numbers are given by whoever
publishes, under a lock on the tenant's row of `feeds`: `id` rises with what depends on each other,
because the one that came second waited for the rows of the first.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import msgspec
from msgspec import Raw, Struct

from cardmint_cloud.adapters.postgres.connection import PostgresConnection, fetch_one
from cardmint_cloud.domain.feed import MAX_RUN, FeedEntry, runs_of
from cardmint_contracts.wire import encode

_OPEN = """
INSERT INTO feeds (tenant, stream, opened_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING"""
_IS_OPEN = "SELECT EXISTS (SELECT FROM feeds WHERE tenant = $1)"
_WRITE = """
INSERT INTO feed_runs (tenant, written_at, count, entries)
SELECT $1, $2, n.count, n.entries FROM unnest($3::int[], $4::bytea[])
       WITH ORDINALITY AS n (count, entries, at) ORDER BY n.at"""
_MARK = "SELECT stream, numbered, published FROM feeds WHERE tenant = $1"
_NUMBER = """
WITH new AS (
    SELECT id, count, sum(count) OVER (ORDER BY id) AS upto
      FROM (SELECT id, count FROM feed_runs WHERE tenant = $1 AND first IS NULL
             ORDER BY id LIMIT $3) n),
numbered AS (
    UPDATE feed_runs r SET first = $2 + new.upto - new.count + 1 FROM new
     WHERE r.tenant = $1 AND r.id = new.id
    RETURNING new.upto)
SELECT coalesce(max(upto), 0)::bigint FROM numbered"""
_MOVE = """
UPDATE feeds SET numbered = $2, published = greatest(published, $3) WHERE tenant = $1"""
_PUBLISHED = """
UPDATE feeds SET published = $2 WHERE tenant = $1 AND published < $2"""
_RUNS = """
SELECT first, entries
  FROM (SELECT first, entries, sum(count) OVER (ORDER BY first) - count AS before
          FROM (SELECT first, count, entries FROM feed_runs
                 WHERE tenant = $1 AND first > $2 - $4::bigint AND first + count - 1 >= $2
                   AND first <= $3
                 ORDER BY first LIMIT 50) r) p
 WHERE before < $4::bigint ORDER BY first"""
_OLDEST = """
SELECT first FROM feed_runs WHERE tenant = $1 AND first IS NOT NULL ORDER BY first LIMIT 1"""
_FORGET = """
DELETE FROM feed_runs r USING feeds f
 WHERE f.tenant = $1 AND r.tenant = f.tenant AND r.first + r.count - 1 <= f.published
   AND r.written_at < $2"""
_COUNTERS = """
SELECT (SELECT coalesce(sum(count), 0)::bigint FROM holdings WHERE tenant = $1) AS cards,
       (SELECT count(*) FROM reviews WHERE tenant = $1 AND state = 'open') AS reviews"""
_STATIONS = """
SELECT station, online, since, version FROM stations WHERE tenant = $1 ORDER BY station"""

MAX_NUMBERED = 200
"""Runs that are numbered at a time."""


class FeedMark(NamedTuple):
    """A feed's name, and the last events that have a number and that the broker has."""

    stream: UUID
    numbered: int
    published: int


class StoredEntry(Struct, frozen=True, array_like=True, gc=False):
    """One event as it is stored: its data stays raw."""

    type: str
    time: datetime
    data: Raw


class NumberedEntry(NamedTuple):
    """One event with its number."""

    number: int
    entry: StoredEntry


async def open_feed(connection: PostgresConnection, tenant: str, now: datetime) -> FeedMark:
    """Begin a tenant's feed with what is committed from now on, and return how far it is.

    A tenant that has a feed keeps it.
    """
    await connection.execute(_OPEN, tenant, uuid4(), now)
    return FeedMark(*await fetch_one(connection, _MARK, tenant))


async def is_open(connection: PostgresConnection, tenant: str) -> bool:
    """Return whether a tenant has a feed."""
    return bool(await connection.fetchval(_IS_OPEN, tenant))


async def write(
    connection: PostgresConnection, tenant: str, entries: Sequence[FeedEntry], now: datetime
) -> None:
    """Add events to a tenant's feed, in the transaction that makes them true.

    What they tell must be written before them, so that the rows of it are locked.
    """
    if entries:
        runs = list(runs_of(entries))
        counts, contents = [len(run) for run in runs], [encode(run) for run in runs]
        await connection.execute(_WRITE, tenant, now, counts, contents)


async def number_new(
    connection: PostgresConnection, tenant: str, published: int
) -> FeedMark | None:
    """Number new events, record that the broker has those up to `published`; None for no feed."""
    row = await connection.fetchrow(f"{_MARK} FOR UPDATE", tenant)
    if row is None:
        return None
    mark = FeedMark(*row)
    more: int = await connection.fetchval(_NUMBER, tenant, mark.numbered, MAX_NUMBERED)
    numbered = mark.numbered + more
    mark = FeedMark(mark.stream, numbered, min(numbered, max(mark.published, published)))
    if mark != FeedMark(*row):
        await connection.execute(_MOVE, tenant, mark.numbered, mark.published)
    return mark


async def mark_of(connection: PostgresConnection, tenant: str) -> FeedMark | None:
    """Return how far a tenant's feed is; None where it has none."""
    row = await connection.fetchrow(_MARK, tenant)
    return FeedMark(*row) if row else None


async def put_published(connection: PostgresConnection, tenant: str, published: int) -> None:
    """Record that the broker has the events up to `published`."""
    await connection.execute(_PUBLISHED, tenant, published)


async def numbered_entries(
    connection: PostgresConnection, tenant: str, first: int, last: int
) -> list[NumberedEntry]:
    """Return numbered events from `first` on, up to `last`: a page, in order."""
    return [
        NumberedEntry(number, entry)
        for row in await connection.fetch(_RUNS, tenant, first, last, MAX_RUN)
        for number, entry in enumerate(
            msgspec.json.decode(row["entries"], type=list[StoredEntry]), start=row["first"]
        )
        if first <= number <= last
    ]


async def oldest_number(connection: PostgresConnection, tenant: str) -> int:
    """Return the number of the oldest event that is kept; 0 for none."""
    return int(await connection.fetchval(_OLDEST, tenant) or 0)


async def forget_before(connection: PostgresConnection, tenant: str, moment: datetime) -> None:
    """Delete the published events that were written before a moment."""
    await connection.execute(_FORGET, tenant, moment)


async def counters(connection: PostgresConnection, tenant: str) -> tuple[int, int]:
    """Return how many cards are in the inventory, and how many questions are open."""
    row = await connection.fetchrow(_COUNTERS, tenant)
    return (row["cards"], row["reviews"]) if row else (0, 0)


async def stations(connection: PostgresConnection, tenant: str) -> list[Any]:
    """Return station, online, since and version of each station."""
    return await connection.fetch(_STATIONS, tenant)

"""What workers ask of all tenants at once: names and keys alone, never what a tenant has.

Each question is a function in the database that runs with its owner's rights (migration 0015). What
follows from an answer is done in that tenant's own transaction.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from cardmint_cloud.adapters.postgres.connection import Executor
from cardmint_cloud.adapters.postgres.ingest.event_log import StreamKey
from cardmint_cloud.domain.stream_position import StreamMark

Key = TypeVar("Key", bound="tuple[str, *tuple[object, ...]]")


async def list_tenants(executor: Executor) -> list[str]:
    """Return every tenant with a stream."""
    return [row[0] for row in await executor.fetch("SELECT across_tenants()")]


async def tenants_with_due_cards(executor: Executor, now: datetime) -> list[str]:
    """Return the tenants with cards that are due to be priced."""
    return [row[0] for row in await executor.fetch("SELECT across_due($1)", now)]


async def tenants_with_fleets(executor: Executor) -> list[str]:
    """Return the tenants that want artifacts or settings of their stations."""
    return [row[0] for row in await executor.fetch("SELECT across_fleets()")]


async def tenants_with_feeds(executor: Executor) -> list[str]:
    """Return the tenants that have a feed."""
    return [row[0] for row in await executor.fetch("SELECT across_feeds()")]


async def unpublished_reviews(
    executor: Executor, slots: Collection[int], limit: int
) -> list[tuple[str, UUID]]:
    """Return tenant and task of reviews of the stations in `slots` that the broker lacks."""
    rows = await executor.fetch("SELECT * FROM across_unpublished($1, $2)", list(slots), limit)
    return [(row["tenant"], row["task"]) for row in rows]


async def recent_watermarks(executor: Executor) -> dict[StreamKey, StreamMark]:
    """Return the watermarks of the stations' streams that moved in the last 15 minutes."""
    rows = await executor.fetch("SELECT * FROM across_streams()")
    return {
        (row["tenant"], row["stream"]): StreamMark(row["source"], row["sequence"], row["digest"])
        for row in rows
    }


def by_tenant(keys: Iterable[Key]) -> dict[str, list[Key]]:
    """Return keys that begin with a tenant by that tenant, in the order of their names."""
    found: dict[str, list[Key]] = defaultdict(list)
    for key in keys:
        found[key[0]].append(key)
    return dict(sorted(found.items()))

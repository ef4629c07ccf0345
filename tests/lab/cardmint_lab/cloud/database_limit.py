"""The limit of Postgres: the rows that ingest writes, by INSERT … SELECT unnest, from memory.

The tables are copies with indexes in a schema of their own, which the statements find first and
which is dropped afterwards.
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg

from cardmint_cloud.adapters.postgres.columns import EVENTS, ITEMS
from cardmint_cloud.adapters.postgres.ingest import event_log, inventory
from cardmint_cloud.domain.fold import fold
from cardmint_cloud.domain.items import InventoryChanges, LoggedEvent
from cardmint_contracts.envelope import Envelope
from cardmint_contracts.events import EventData
from cardmint_contracts.upcasters import decode_data

ROWS = 2000
_SCHEMA = "measured_limit"
_TABLES = ("items", "holdings", "printings", "price_checks", "reviews")
_MAKE = (
    f"CREATE SCHEMA {_SCHEMA};"
    f"SET search_path = {_SCHEMA}, public;"
    f"CREATE TABLE {_SCHEMA}.events (LIKE public.events INCLUDING ALL) PARTITION BY RANGE"
    " (received_at);"
    f"CREATE TABLE {_SCHEMA}.events_all PARTITION OF {_SCHEMA}.events DEFAULT;"
    + "".join(
        f"CREATE TABLE {_SCHEMA}.{table} (LIKE public.{table} INCLUDING ALL);" for table in _TABLES
    )
    + f"ALTER TABLE {_SCHEMA}.holdings SET (fillfactor = 50)"
)
_INSERT_EVENTS = EVENTS.insert_from_arrays(scalar="received_at")
_INSERT_ITEMS = ITEMS.insert_from_arrays()

_Group = tuple[list[Any], list[Any], InventoryChanges]


@dataclass(frozen=True, kw_only=True, slots=True)
class DatabaseLimit:
    """Events a second that one connection commits: all rows of ingest, and the log's alone."""

    everything: float
    log: float


async def measure_limit(
    address: str, tenant: str, envelopes: Sequence[Envelope], now: datetime
) -> DatabaseLimit:
    """Measure by committing rows of new events, `ROWS` at a time; only statements are timed."""
    events = [
        (tenant, envelope, decode_data(envelope.type, envelope.data)) for envelope in envelopes
    ]
    groups = [_group(events[at : at + ROWS], now) for at in range(0, len(events), ROWS)]
    return DatabaseLimit(
        everything=len(events) / await _seconds(address, tenant, groups, now),
        log=len(events) / await _seconds(address, tenant, groups, now, log_only=True),
    )


async def _seconds(
    address: str, tenant: str, groups: Iterable[_Group], now: datetime, *, log_only: bool = False
) -> float:
    connection = await asyncpg.connect(address)
    known: set[inventory.PrintingKey] = set()
    try:
        await connection.execute(_MAKE)
        await connection.execute("SELECT set_config('cardmint.tenant', $1, false)", tenant)
        start = time.monotonic()
        for events, items, rest in groups:
            async with connection.transaction():
                await connection.execute(_INSERT_EVENTS, *events, now)
                if not log_only:
                    await connection.execute(_INSERT_ITEMS, *items)
                    await inventory.put_changes(connection, {}, {}, rest, now, known=known)
                    await inventory.add_holdings(connection, rest)
                    known.update(rest.printings)
        return time.monotonic() - start
    finally:
        await connection.execute(f"DROP SCHEMA IF EXISTS {_SCHEMA} CASCADE")
        await connection.close()


def _group(events: Sequence[tuple[str, Envelope, EventData]], now: datetime) -> _Group:
    """Return the arrays of the events' rows, those of their items, and the other changes."""
    changes = fold(
        {},
        {},
        (
            LoggedEvent(
                tenant=tenant,
                origin=envelope.source.rsplit("/", 1)[-1],
                occurred_at=envelope.happened(now).moment,
                received_at=now,
                data=data,
            )
            for tenant, envelope, data in events
        ),
    )
    rows = [event_log.row(tenant, envelope, data, now) for tenant, envelope, data in events]
    items = ITEMS.arrays(changes.items.values())
    changes.items.clear()
    return EVENTS.arrays(rows, scalar="received_at"), items, changes

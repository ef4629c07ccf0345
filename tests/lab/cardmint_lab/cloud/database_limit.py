"""What Postgres can do at most.

The rows that ingest writes, by INSERT … SELECT unnest, with everything in memory.

The tables are copies in a schema of their own, indexes and all, which the statements find first;
they are dropped then.
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg

from cardmint_cloud.adapters.postgres.ingest import inventory
from cardmint_cloud.domain.fold import fold
from cardmint_cloud.domain.items import InventoryChanges, Item, LoggedEvent, subject_of
from cardmint_contracts.envelope import Envelope
from cardmint_contracts.events import EventData
from cardmint_contracts.upcasters import decode_data

ROWS = 2000
_SCHEMA = "measured_limit"
_TABLES = ("items", "holdings", "printings", "price_checks", "reviews")
_MAKE = (
    f"CREATE SCHEMA {_SCHEMA};"
    f"SET search_path = {_SCHEMA}, public;"
    f"CREATE TABLE {_SCHEMA}.events (LIKE public.events INCLUDING ALL) PARTITION BY RANGE (received_at);"
    f"CREATE TABLE {_SCHEMA}.events_all PARTITION OF {_SCHEMA}.events DEFAULT;"
    + "".join(
        f"CREATE TABLE {_SCHEMA}.{table} (LIKE public.{table} INCLUDING ALL);" for table in _TABLES
    )
    + f"ALTER TABLE {_SCHEMA}.holdings SET (fillfactor = 50)"
)
_EVENTS = """
INSERT INTO events (tenant, source, stream, sequence, type, subject, occurred_at, bootid, monotonic_ms, clock_synced,
                    data, received_at)
SELECT *, $12::timestamptz FROM unnest($1::text[], $2::text[], $3::uuid[], $4::bigint[], $5::text[], $6::uuid[],
    $7::timestamptz[], $8::uuid[], $9::bigint[], $10::boolean[], $11::text[])"""
_ITEMS = """
INSERT INTO items (tenant, item, station, captured_at, received_at, status, card_id, language, finish, edition,
                   condition, bin, lot, confidence, margin, image, version)
SELECT * FROM unnest($1::text[], $2::uuid[], $3::text[], $4::timestamptz[], $5::timestamptz[], $6::text[], $7::text[],
    $8::text[], $9::text[], $10::text[], $11::text[], $12::text[], $13::text[], $14::float8[], $15::float8[],
    $16::text[], $17::int[])"""

_Group = tuple[list[Any], list[Any], InventoryChanges]


@dataclass(frozen=True, kw_only=True, slots=True)
class DatabaseLimit:
    """Events a second that one connection commits.

    Everything that ingest writes, and the log's rows alone.
    """

    everything: float
    log: float


async def measure_limit(
    address: str, tenant: str, envelopes: Sequence[Envelope], now: datetime
) -> DatabaseLimit:
    """Measure by committing new events' rows, `ROWS` at a time; only the statements are timed."""
    events = [
        (tenant, envelope, decode_data(envelope.type, envelope.data)) for envelope in envelopes
    ]
    groups = [_group(events[at : at + ROWS], now) for at in range(0, len(events), ROWS)]
    return DatabaseLimit(
        everything=len(events) / await _seconds(address, groups, now),
        log=len(events) / await _seconds(address, groups, now, log_only=True),
    )


async def _seconds(
    address: str, groups: Iterable[_Group], now: datetime, *, log_only: bool = False
) -> float:
    connection = await asyncpg.connect(address)
    known: set[inventory.PrintingKey] = set()
    try:
        await connection.execute(_MAKE)
        start = time.monotonic()
        for events, items, rest in groups:
            async with connection.transaction():
                await connection.execute(_EVENTS, *events, now)
                if not log_only:
                    await connection.execute(_ITEMS, *items)
                    await inventory.put_changes(connection, {}, {}, rest, now, known=known)
                    await inventory.add_holdings(connection, rest)
                    known.update(rest.printings)
        return time.monotonic() - start
    finally:
        await connection.execute(f"DROP SCHEMA IF EXISTS {_SCHEMA} CASCADE")
        await connection.close()


def _group(events: Sequence[tuple[str, Envelope, EventData]], now: datetime) -> _Group:
    logged = [
        (
            *(
                t,
                e.source,
                e.stream,
                e.number,
                e.type,
                subject_of(data),
                e.time,
                e.bootid,
                int(e.monotonicms),
            ),
            *(e.clocksynced, str(e.data, "utf-8")),
        )
        for t, e, data in events
    ]
    changes = fold(
        {},
        {},
        (
            LoggedEvent(
                tenant=t,
                origin=e.source.rsplit("/", 1)[-1],
                occurred_at=e.time,
                received_at=now,
                data=data,
            )
            for t, e, data in events
        ),
    )
    items = [_item(item) for item in changes.items.values()]
    changes.items.clear()
    return _columns(logged), _columns(items), changes


def _item(i: Item) -> tuple[Any, ...]:
    return (
        *(
            i.tenant,
            i.item,
            i.station,
            i.captured_at,
            i.received_at,
            i.status,
            i.card_id,
            i.language,
            i.finish,
        ),
        *(i.edition, i.condition, i.bin, i.lot, i.confidence, i.margin, i.image, i.version),
    )


def _columns(rows: Iterable[Sequence[Any]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]

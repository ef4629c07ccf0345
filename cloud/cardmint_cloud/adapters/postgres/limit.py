"""What Postgres can do at most: the log's own INSERT, on a table like the log, with everything ready in memory."""

import time
from collections.abc import Sequence
from datetime import datetime

import asyncpg

from cardmint_cloud.adapters.postgres import log
from cardmint_contracts.envelope import Envelope
from cardmint_contracts.events import decode_data

ROWS = 500
_TABLE = "limit_events"


async def limit(address: str, tenant: str, envelopes: Sequence[Envelope], now: datetime) -> float:
    """Return how many events a second one connection commits, `ROWS` at a time; the table is dropped again."""
    events = [(tenant, envelope, decode_data(envelope.type, bytes(envelope.data))) for envelope in envelopes]
    groups = [log.event_columns(events[at : at + ROWS]) for at in range(0, len(events), ROWS)]
    statement = log.APPEND.replace("INSERT INTO events", f"INSERT INTO {_TABLE}")
    connection = await asyncpg.connect(address)
    try:
        await connection.execute(
            f"CREATE TABLE {_TABLE} (LIKE events INCLUDING ALL) PARTITION BY RANGE (received_at);"
            f"CREATE TABLE {_TABLE}_all PARTITION OF {_TABLE} DEFAULT"
        )
        start = time.monotonic()
        for columns in groups:
            await connection.execute(statement, *columns, now)
        return len(events) / (time.monotonic() - start)
    finally:
        await connection.execute(f"DROP TABLE IF EXISTS {_TABLE}")
        await connection.close()

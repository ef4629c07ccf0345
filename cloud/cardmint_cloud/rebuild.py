"""The inventory folded again from the log: compared with the live one, or as of a time."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from cardmint_cloud.adapters.postgres.connection import PostgresConnection
from cardmint_cloud.adapters.postgres.ingest import inventory, log_months, shadow
from cardmint_cloud.adapters.postgres.ingest.shadow import RowDifference
from cardmint_cloud.domain.fold import fold
from cardmint_cloud.domain.items import LoggedEvent, touched_keys
from cardmint_cloud.errors import StopService
from cardmint_cloud.log_months import read_archive
from cardmint_contracts.errors import ContractError
from cardmint_contracts.upcasters import decode_data

TABLES = ("items", "reviews", "holdings")
SHOWN = 10
"""Differences of a table that are listed one by one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LogComparison:
    """Rows of each live table, how many of them differ from the log, and the first of those."""

    events: int
    rows: dict[str, int]
    differences: dict[str, int]
    first: tuple[RowDifference, ...]

    @property
    def equal(self) -> bool:
        """Whether the live inventory equals the fold of the log, bit for bit."""
        return not any(self.differences.values())


@dataclass(frozen=True, kw_only=True, slots=True)
class InventorySnapshot:
    """Figures of the inventory as of everything received by a time."""

    at: datetime
    events: int
    items: dict[str, int]
    holdings: int
    open_reviews: int


async def compare_with_log(address: str, archive: Path = Path()) -> LogComparison:
    """Fold the whole log and compare it with the live tables, in one snapshot.

    The service may run meanwhile. Retired months are read from their files in `archive`.

    Raises:
        StopService: an event cannot be read or contradicts earlier ones, or a month's file is
            missing.
    """
    async with shadow.snapshot(address) as connection:
        events = await _fold(connection, archive, None)
        rows: dict[str, int] = {}
        differences: dict[str, int] = {}
        first: list[RowDifference] = []
        for table in TABLES:
            rows[table], differences[table], some = await shadow.compare_table(
                connection, table, SHOWN
            )
            first += some
        return LogComparison(events=events, rows=rows, differences=differences, first=tuple(first))


async def take_margins(address: str, archive: Path = Path()) -> int:
    """Give each item the margin that the log gives it; return how many had another.

    Items that version 0.1 wrote may have one: it is never changed after an item's first scan.

    Raises:
        StopService: as `compare_with_log`.
    """
    async with shadow.snapshot(address) as connection:
        await _fold(connection, archive, None)
        margins = await shadow.differing_margins(connection)
    if margins:
        await shadow.set_margins(address, margins)
    return len(margins)


async def snapshot_at(address: str, at: datetime, archive: Path = Path()) -> InventorySnapshot:
    """Fold the log up to what had been received at `at`.

    Raises:
        StopService: as `compare_with_log`.
    """
    async with shadow.snapshot(address) as connection:
        events = await _fold(connection, archive, at)
        items, holdings, open_reviews = await shadow.snapshot_totals(connection)
        return InventorySnapshot(
            at=at, events=events, items=items, holdings=holdings, open_reviews=open_reviews
        )


async def _fold(connection: PostgresConnection, archive: Path, until: datetime | None) -> int:
    count = 0
    old = read_archive(archive, await log_months.list_retired(connection))
    async for rows in shadow.read_log(connection, old, until):
        events = [_event(row) for row in rows]
        items, reviews = await inventory.load_touched(
            connection, *touched_keys((event.tenant, event.data) for event in events)
        )
        changes = fold(items, reviews, events)
        for number, error in changes.refused.items():
            raise StopService(
                f"the log contradicts itself at position {rows[number]['position']}: {error}"
            )
        await inventory.put_changes(connection, items, reviews, changes, rows[-1]["received_at"])
        await inventory.add_holdings(connection, changes)
        count += len(rows)
    return count


def _event(row: Any) -> LoggedEvent:
    try:
        data = decode_data(row["type"], row["data"].encode())
    except ContractError as error:
        raise StopService(
            f"the event at position {row['position']} of the log cannot be read: {error}"
        ) from None
    origin = row["source"].rsplit("/", 1)[-1]
    return LoggedEvent(
        tenant=row["tenant"],
        origin=origin,
        occurred_at=row["occurred_at"],
        received_at=row["received_at"],
        data=data,
    )


def comparison_lines(comparison: LogComparison) -> Sequence[str]:
    """Return a comparison as lines for a person."""
    lines = [f"{comparison.events} events folded"]
    lines += [
        f"{name:9s} {rows:9d} live, {comparison.differences[name]} differ"
        for name, rows in comparison.rows.items()
    ]
    for one in comparison.first:
        lines.append(
            f"{one.table} {one.key}\n  live    {one.live or 'is not there'}\n  the log"
            f" {one.again or 'is not there'}"
        )
    lines.append(
        "the inventory is what the log says"
        if comparison.equal
        else "THE INVENTORY IS NOT WHAT THE LOG SAYS"
    )
    return lines


def snapshot_lines(view: InventorySnapshot) -> Sequence[str]:
    """Return a snapshot as lines for a person."""
    items = ", ".join(f"{count} {status}" for status, count in sorted(view.items.items())) or "none"
    return [
        f"as of {view.at.isoformat()}, after {view.events} events",
        f"items: {items}",
        f"cards held: {view.holdings}",
        f"open reviews: {view.open_reviews}",
    ]

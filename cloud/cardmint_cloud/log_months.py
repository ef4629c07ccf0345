"""The months of the event log: made ahead of time, and retired to files when old enough."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from heapq import merge
from operator import itemgetter
from pathlib import Path
from typing import Any

from cardmint_cloud.adapters import parquet
from cardmint_cloud.adapters.postgres.connection import PostgresConnection
from cardmint_cloud.adapters.postgres.ingest import log_months
from cardmint_cloud.adapters.postgres.ingest.log_months import LogMonth, RetiredMonth
from cardmint_cloud.errors import StopService

MONTHS_AHEAD = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class LogMonths:
    """The months of the log in the database, and those in files."""

    present: tuple[LogMonth, ...]
    retired: tuple[RetiredMonth, ...]


async def list_all(connection: PostgresConnection) -> LogMonths:
    """Return the months of the log."""
    return LogMonths(
        present=tuple(await log_months.list_months(connection)),
        retired=tuple(await log_months.list_retired(connection)),
    )


async def make_ahead(
    connection: PostgresConnection, now: datetime, *, ahead: int = MONTHS_AHEAD
) -> None:
    """Make the partitions from this month to `ahead` months from now."""
    month = log_months.month_of(now)
    for _ in range(ahead + 1):
        await log_months.make_month(connection, month)
        month = log_months.next_month(month)


async def retire_before(
    connection: PostgresConnection, archive: Path, now: datetime, *, keep_months: int
) -> list[RetiredMonth]:
    """Move all but the last `keep_months` whole months to files in `archive`.

    A month leaves the database only after its file is on the disk and was read back equal, row by
    row.

    Raises:
        RetryLater: the log is in use for long.
        StopService: a file is not what was written, or pyarrow is not installed.
    """
    oldest_kept = log_months.month_of(now)
    for _ in range(keep_months):
        oldest_kept = date(
            oldest_kept.year - (oldest_kept.month == 1), (oldest_kept.month - 2) % 12 + 1, 1
        )
    old = [one.month for one in await log_months.list_months(connection) if one.month < oldest_kept]
    return [await _retire(connection, archive, month, now) for month in old]


async def _retire(
    connection: PostgresConnection, archive: Path, month: date, now: datetime
) -> RetiredMonth:
    file = archive / f"events-{month:%Y-%m}.parquet"
    writer = parquet.MonthWriter(file)
    events = last = 0
    try:
        async for page in log_months.read_month(connection, month):
            writer.write([dict(row) for row in page])
            events, last = events + len(page), page[-1]["position"]
    except BaseException:
        writer.abandon()
        raise
    writer.finish()
    written = parquet.read_file(file)
    async for page in log_months.read_month(connection, month):
        for row in page:
            if next(written, None) != dict(row):
                raise StopService(
                    f"{file}: the event at position {row['position']} was not written as it is;"
                    " nothing is lost"
                )
    if next(written, None) is not None:
        raise StopService(f"{file}: has more events than the month; nothing is lost")
    entry = RetiredMonth(
        month=month, file=file.name, events=events, last_position=last, retired_at=now
    )
    if not await log_months.drop_month(connection, entry):
        raise StopService(
            f"{file}: events came into {month:%Y-%m} meanwhile; nothing was taken away, run it"
            " again"
        )
    return entry


def read_archive(
    archive: Path, retired: tuple[RetiredMonth, ...] | list[RetiredMonth]
) -> Iterator[Mapping[str, Any]]:
    """Yield the events of all retired months in the order in which they were applied.

    Raises:
        StopService: a file is missing or cannot be read.
    """
    return merge(
        *(parquet.read_file(archive / one.file) for one in retired), key=itemgetter("position")
    )


def month_lines(log: LogMonths) -> list[str]:
    """Return the months as lines for a person."""
    lines = [
        f"{one.month:%Y-%m}  {one.events} events in {one.file} since {one.retired_at:%Y-%m-%d}"
        for one in log.retired
    ]
    return [
        *lines,
        *(f"{one.month:%Y-%m}  in the database, {one.bytes / 2**20:.1f} MB" for one in log.present),
    ]

"""The months of the event log: made ahead, and retired to files once they are old enough."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from heapq import merge
from operator import itemgetter
from pathlib import Path
from typing import Any

from cardmint_cloud.adapters import parquet
from cardmint_cloud.adapters.postgres.ingest import log_months
from cardmint_cloud.adapters.postgres.ingest.log_months import Month, Retired
from cardmint_cloud.errors import Stop

MONTHS_AHEAD = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Log:
    """Where the log's months are: in the database, or in files."""

    present: tuple[Month, ...]
    retired: tuple[Retired, ...]


async def found(connection: Any) -> Log:
    """Return where the log's months are."""
    return Log(
        present=tuple(await log_months.present(connection)),
        retired=tuple(await log_months.retired(connection)),
    )


async def make_ahead(connection: Any, now: datetime, *, ahead: int = MONTHS_AHEAD) -> None:
    """Make the partitions from this month to `ahead` months on."""
    month = log_months.first_of(now)
    for _ in range(ahead + 1):
        await log_months.make(connection, month)
        month = log_months.following(month)


async def retire(
    connection: Any, archive: Path, now: datetime, *, keep_months: int
) -> list[Retired]:
    """Write the months before the last `keep_months` whole ones to files in `archive`, check them, take them away.

    A month is gone from the database only once its file is on the disk and was read back equal, row
    by row.

    Raises:
        Retry: the log is in use for long.
        Stop: a file is not what was written, or pyarrow is not there.
    """
    oldest_kept = log_months.first_of(now)
    for _ in range(keep_months):
        oldest_kept = date(
            oldest_kept.year - (oldest_kept.month == 1), (oldest_kept.month - 2) % 12 + 1, 1
        )
    old = [one.month for one in await log_months.present(connection) if one.month < oldest_kept]
    return [await _retire(connection, archive, month, now) for month in old]


async def _retire(connection: Any, archive: Path, month: date, now: datetime) -> Retired:
    file = archive / f"events-{month:%Y-%m}.parquet"
    writer = parquet.Writer(file)
    events = last = 0
    try:
        async for page in log_months.pages(connection, month):
            writer.write([dict(row) for row in page])
            events, last = events + len(page), page[-1]["position"]
    except BaseException:
        writer.abandon()
        raise
    writer.finish()
    written = parquet.read(file)
    async for page in log_months.pages(connection, month):
        for row in page:
            if next(written, None) != dict(row):
                raise Stop(
                    f"{file}: the event at position {row['position']} was not written as it is; nothing is lost"
                )
    if next(written, None) is not None:
        raise Stop(f"{file}: has more events than the month; nothing is lost")
    entry = Retired(month=month, file=file.name, events=events, last_position=last, retired_at=now)
    if not await log_months.retire(connection, entry):
        raise Stop(
            f"{file}: events came into {month:%Y-%m} meanwhile; nothing was taken away, run it again"
        )
    return entry


def archived(
    archive: Path, retired: tuple[Retired, ...] | list[Retired]
) -> Iterator[Mapping[str, Any]]:
    """Read every retired month's events in the order in which they were applied.

    Raises:
        Stop: a file is not there, or cannot be read.
    """
    return merge(*(parquet.read(archive / one.file) for one in retired), key=itemgetter("position"))


def told(log: Log) -> list[str]:
    """Return the months as lines for a person."""
    lines = [
        f"{one.month:%Y-%m}  {one.events} events in {one.file} since {one.retired_at:%Y-%m-%d}"
        for one in log.retired
    ]
    return [
        *lines,
        *(f"{one.month:%Y-%m}  in the database, {one.bytes / 2**20:.1f} MB" for one in log.present),
    ]

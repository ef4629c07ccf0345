"""`cloud files`: times of files of cards with many items, and that a round trip loses nothing."""

import asyncio
import random
import resource
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
from sqlalchemy.ext.asyncio import AsyncEngine

from cardmint_cloud import log_months
from cardmint_cloud.adapters.card_files import read_rows
from cardmint_cloud.adapters.postgres.connection import Pool
from cardmint_cloud.adapters.postgres.migrate import engine_for
from cardmint_cloud.domain.item_query import ItemQuery
from cardmint_cloud.domain.item_rows import TOLD
from cardmint_cloud.domain.market_formats import CARDMINT
from cardmint_cloud.domain.written_formats import WRITTEN
from cardmint_cloud.file_import import check_file, import_file
from cardmint_cloud.item_export import format_file, item_file
from cardmint_lab.cloud import grown_log
from cardmint_lab.cloud.test_bed import GivenServers, RunningServers, running_servers

IMPORTED = 10_000
_OTHERWISE = frozenset({*TOLD, "item", "version", "confidence"})
"""Columns that say which item it is and what a file does not decide."""

Cells = tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class FilesReport:
    """Seconds, and megabytes by which the peak of memory rose.

    `format_s` writes all items for another program, `format_check_s` checks `rows` lines of that
    file, of which `format_wrong` cannot be read again. `check_s` and `import_s` are of `rows` new
    rows. `lost` are cards that a round trip into an empty tenant lost, changed or added.
    """

    items: int
    export_s: float
    export_mb: float
    memory_grown_mb: float
    format_s: float
    format_check_s: float
    format_wrong: int
    rows: int
    check_s: float
    import_s: float
    round_trip_s: float
    lost: int


def run(*, items: int, given: GivenServers, say: Callable[[str], None]) -> FilesReport:
    """Make an inventory of `items`, write it, read it into another tenant, and compare.

    Raises:
        StopService, RetryLater: a server did not start or cannot be reached.
    """
    with running_servers(given, pipe=False) as where:
        return asyncio.run(_run(where, items, say))


async def _run(where: RunningServers, items: int, say: Callable[[str], None]) -> FilesReport:
    number = random.SystemRandom().getrandbits(32)
    tenants = [f"files-{number:08x}-{name}" for name in ("full", "new", "empty")]
    start = datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    engine = engine_for(where.service)
    connection = await asyncpg.connect(where.database)
    try:
        for tenant in tenants:
            await connection.execute("SELECT set_config('cardmint.tenant', $1, false)", tenant)
            await grown_log.make_printings(connection, tenant, start)
        await connection.execute("SELECT set_config('cardmint.tenant', $1, false)", tenants[0])
        await log_months.make_ahead(connection, start)
        await grown_log.grow_log(connection, tenants[0], start, 0, items)
        say(f"{items:,} items of {grown_log.PRINTINGS:,} printings")
        async with asyncpg.create_pool(where.service, min_size=1, max_size=2) as pool:
            return await _measure(engine, pool, tenants, where.folder, say)
    finally:
        await connection.close()
        await engine.dispose()


async def _measure(
    engine: AsyncEngine,
    pool: Pool,
    tenants: Sequence[str],
    folder: Path,
    say: Callable[[str], None],
) -> FilesReport:
    full, new, empty = tenants
    query, now = ItemQuery(), datetime.now(UTC)
    ours, back = folder / "ours.csv", folder / "back.csv"
    before = _peak_mb()
    export_s = await _timed_write(ours, item_file(engine, full, query, "csv"))
    grown = _peak_mb() - before
    say(f"written in {export_s:.1f} s")
    written = format_file(
        engine, full, query, WRITTEN["pricecharting"], today=now.date(), left_out=Counter()
    )
    theirs, some = folder / "theirs.csv", folder / "some.csv"
    format_s = await _timed_write(theirs, written)
    _head(theirs, some, IMPORTED)
    began = time.monotonic()
    read = await check_file(pool, new, some, {})
    format_check_s = time.monotonic() - began
    say(f"{read.added:,} cards of another program's file checked in {format_check_s:.1f} s")
    _head(ours, some, IMPORTED)
    began = time.monotonic()
    checked = await check_file(pool, new, some, {}, named=CARDMINT.name)
    check_s = time.monotonic() - began
    began = time.monotonic()
    await import_file(pool, new, some, {}, named=CARDMINT.name, user="bench", now=now)
    import_s = time.monotonic() - began
    say(f"{checked.added:,} rows checked in {check_s:.1f} s, imported in {import_s:.1f} s")
    began = time.monotonic()
    await import_file(pool, empty, ours, {}, named=CARDMINT.name, user="bench", now=now)
    await _timed_write(back, item_file(engine, empty, query, "csv"))
    had, have = Counter(_values(ours)), Counter(_values(back))
    return FilesReport(
        items=had.total(),
        export_s=export_s,
        export_mb=ours.stat().st_size / 1e6,
        memory_grown_mb=grown,
        format_s=format_s,
        format_check_s=format_check_s,
        format_wrong=read.wrong,
        rows=checked.added,
        check_s=check_s,
        import_s=import_s,
        round_trip_s=export_s + time.monotonic() - began,
        lost=(had - have).total() + (have - had).total(),
    )


async def _timed_write(file: Path, pieces: AsyncIterator[bytes]) -> float:
    began = time.monotonic()
    with file.open("wb") as out:
        async for piece in pieces:
            out.write(piece)
    return time.monotonic() - began


def _head(file: Path, into: Path, rows: int) -> None:
    with file.open() as lines, into.open("w") as out:
        for number, line in enumerate(lines):
            if number <= rows:
                out.write(line)


def _values(file: Path) -> Iterator[Cells]:
    for _, cells in read_rows(file):
        yield tuple((name, text) for name, text in cells.items() if name not in _OTHERWISE)


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def report_lines(report: FilesReport) -> Sequence[str]:
    """Return a report as lines for a person."""
    size = f"{report.export_mb:.0f} MB, +{report.memory_grown_mb:.0f} MB memory"
    return [
        f"items                       {report.items:,}",
        f"export as CSV               {report.export_s:.1f} s, {size} (target 5 s)",
        f"export for another program  {report.format_s:.1f} s",
        f"check of its first lines    {report.format_check_s:.1f} s, {report.format_wrong} wrong",
        f"check of {report.rows:6,} new rows    {report.check_s:.1f} s (target 5 s)",
        f"import of {report.rows:6,} new rows   {report.import_s:.1f} s (target 5 s)",
        f"round trip of all           {report.round_trip_s:.0f} s, {report.lost:,} cards lost",
    ]

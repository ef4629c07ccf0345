"""`cloud desk`: times of the inventory desk with many items: find, change, take back, download."""

import asyncio
import random
import resource
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import quantiles
from uuid import UUID

import asyncpg
from sqlalchemy.ext.asyncio import AsyncEngine

from cardmint_cloud import log_months
from cardmint_cloud.adapters.postgres.connection import Pool
from cardmint_cloud.adapters.postgres.migrate import engine_for
from cardmint_cloud.adapters.postgres.queries import item_list
from cardmint_cloud.adapters.postgres.queries.reading import reading
from cardmint_cloud.domain.item_query import parse_query
from cardmint_cloud.item_changes import change_items, undo_change
from cardmint_cloud.item_export import item_file
from cardmint_contracts.changes import ItemValues
from cardmint_lab.cloud import grown_log
from cardmint_lab.cloud.test_bed import GivenServers, RunningServers, running_servers

TIMES = 60
PAGES = (
    "set:set{n} price>5 order:-price",
    "bin:B{n} condition:nm order:name",
    "finish:holo -condition:nm order:-scanned",
    "",
)
SEARCHES = ("fox {n}", "owl", "grown moth 1{n}", "{n}/100", "B{n}", "no such card {n}")


@dataclass(frozen=True, kw_only=True, slots=True)
class DeskReport:
    """Milliseconds (p50, p99) of page, search and value of what is found; seconds of the rest."""

    items: int
    page_ms: tuple[float, float]
    search_ms: tuple[float, float]
    value_ms: tuple[float, float]
    changed: int
    change_s: float
    undo_s: float
    download_s: float
    download_mb: float
    memory_grown_mb: float


def run(*, items: int, changed: int, given: GivenServers, say: Callable[[str], None]) -> DeskReport:
    """Make an inventory of `items`, and time the desk's work on it.

    Raises:
        StopService, RetryLater: a server did not start or cannot be reached.
    """
    with running_servers(given, pipe=False) as where:
        return asyncio.run(_run(where, items, changed, say))


async def _run(
    where: RunningServers, items: int, changed: int, say: Callable[[str], None]
) -> DeskReport:
    tenant = f"desk-{random.SystemRandom().getrandbits(32):08x}"
    start = datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    engine = engine_for(where.service)
    connection = await asyncpg.connect(where.database)
    try:
        await connection.execute("SELECT set_config('cardmint.tenant', $1, false)", tenant)
        await log_months.make_ahead(connection, start)
        await grown_log.make_printings(connection, tenant, start)
        await grown_log.grow_log(connection, tenant, start, 0, items)
        say(f"{items:,} items of {grown_log.PRINTINGS:,} printings")
        async with asyncpg.create_pool(where.service, min_size=1, max_size=2) as pool:
            return await _measure(engine, pool, tenant, items, changed)
    finally:
        await connection.close()
        await engine.dispose()


async def _measure(
    engine: AsyncEngine, pool: Pool, tenant: str, items: int, changed: int
) -> DeskReport:
    now = datetime.now(UTC)

    async def page(text: str) -> None:
        query = parse_query(text, now.date())
        async with reading(engine, tenant) as connection:
            await item_list.item_count(connection, tenant, query)
            await item_list.item_page(connection, tenant, query, limit=50)

    async def value(text: str) -> None:
        query = parse_query(text, now.date())
        async with reading(engine, tenant) as connection:
            await item_list.item_totals(connection, tenant, query)

    page_ms = await _times(page, PAGES)
    search_ms = await _times(page, SEARCHES)
    value_ms = await _times(value, (*PAGES, *SEARCHES))
    async with reading(engine, tenant) as connection:
        pins: dict[UUID, int] = await item_list.item_versions(
            connection, tenant, parse_query("order:scanned", now.date()), limit=changed
        )
    began = time.monotonic()
    after = ItemValues(bin="moved", note="by the bench")
    done = await change_items(pool, tenant, pins, after, user="bench", now=now)
    change_s = time.monotonic() - began
    began = time.monotonic()
    if done.change is not None:
        await undo_change(pool, tenant, done.change, user="bench", now=now)
    undo_s = time.monotonic() - began
    before, size, began = _peak_mb(), 0, time.monotonic()
    async for piece in item_file(engine, tenant, parse_query("", now.date()), "csv"):
        size += len(piece)
    return DeskReport(
        items=items,
        page_ms=page_ms,
        search_ms=search_ms,
        value_ms=value_ms,
        changed=done.items,
        change_s=change_s,
        undo_s=undo_s,
        download_s=time.monotonic() - began,
        download_mb=size / 1e6,
        memory_grown_mb=_peak_mb() - before,
    )


async def _times(
    ask: Callable[[str], Awaitable[None]], texts: Sequence[str]
) -> tuple[float, float]:
    taken: list[float] = []
    for number in range(TIMES):
        for text in texts:
            began = time.monotonic()
            await ask(text.format(n=number % 40))
            taken.append(1000 * (time.monotonic() - began))
    cuts = quantiles(taken, n=100)
    return cuts[49], cuts[98]


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def report_lines(report: DeskReport) -> Sequence[str]:
    """Return a report as lines for a person."""
    page, search, value = report.page_ms, report.search_ms, report.value_ms
    change = f"{report.change_s:.2f} s, taken back in {report.undo_s:.2f} s"
    grown = f"+{report.memory_grown_mb:.0f} MB memory"
    download = f"{report.download_s:.1f} s, {report.download_mb:.0f} MB, {grown}"
    return [
        f"items                       {report.items:,}",
        f"page, filtered and sorted   p50 {page[0]:.0f} ms, p99 {page[1]:.0f} ms (targets 30, 100)",
        f"search                      p50 {search[0]:.0f} ms, p99 {search[1]:.0f} ms (target 100)",
        f"value of what is found      p50 {value[0]:.0f} ms, p99 {value[1]:.0f} ms",
        f"change of {report.changed:6,} items      {change} (target 2)",
        f"download as CSV             {download} (target 5 s)",
    ]

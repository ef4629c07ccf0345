"""`cloud log`: times of the pages' own queries while the log grows."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
from sqlalchemy.ext.asyncio import AsyncConnection

from cardmint_cloud import log_months
from cardmint_cloud.adapters.postgres.migrate import engine_for
from cardmint_cloud.adapters.postgres.queries import cards, inventory
from cardmint_cloud.adapters.postgres.queries.inventory import InventoryFilter
from cardmint_cloud.adapters.postgres.queries.reading import reading
from cardmint_lab.cloud import grown_log
from cardmint_lab.cloud.test_bed import GivenServers, RunningServers, running_servers

TIMES = 30
Question = Callable[[AsyncConnection, str, int], Awaitable[Any]]


@dataclass(frozen=True, kw_only=True, slots=True)
class LogQueriesReport:
    """Milliseconds of each query at each size of the log, and the last size's ratio to the first's.

    Each time is the least of `TIMES` runs, because other load can only make a run slower. `ratio`
    is that of the inventory with filter and sort.
    """

    events: tuple[int, ...]
    lines: tuple[int, ...]
    milliseconds: dict[str, tuple[float, ...]]
    ratios: dict[str, float]
    ratio: float


async def _filtered(connection: AsyncConnection, tenant: str, number: int) -> None:
    want = InventoryFilter(
        set_id=f"set{number % grown_log.SETS}", condition="near_mint", sort="value", descending=True
    )
    await inventory.inventory_page(connection, tenant, want)


async def _whole(connection: AsyncConnection, tenant: str, number: int) -> None:
    await inventory.inventory_page(
        connection, tenant, InventoryFilter(sort=("name", "value", "count")[number % 3])
    )


async def _totals(connection: AsyncConnection, tenant: str, _number: int) -> None:
    await inventory.inventory_totals(connection, tenant)


async def _newest(connection: AsyncConnection, tenant: str, _number: int) -> None:
    await cards.newest_items(connection, tenant)


async def _scans(connection: AsyncConnection, tenant: str, number: int) -> None:
    await cards.items_of_printing(connection, tenant, f"set{number % grown_log.SETS}-{number}")


async def _page(connection: AsyncConnection, tenant: str, number: int) -> None:
    newest = await cards.newest_items(connection, tenant, limit=1)
    middle = newest[0]["received_at"] - timedelta(seconds=1 + number % 30)
    await cards.items_after(connection, tenant, (middle, newest[0]["item"]), limit=100)


async def _history(connection: AsyncConnection, tenant: str, _number: int) -> None:
    newest = await cards.newest_items(connection, tenant, limit=1)
    await cards.item_history(connection, tenant, [newest[0]["item"]])


FILTERED = "inventory with filter and sort"
QUESTIONS: dict[str, Question] = {
    FILTERED: _filtered,
    "whole inventory, sorted": _whole,
    "totals": _totals,
    "newest cards": _newest,
    "cards of a printing": _scans,
    "a page from the middle": _page,
    "history of a card": _history,
}


def run(
    *, sizes: Sequence[int], given: GivenServers, say: Callable[[str], None]
) -> LogQueriesReport:
    """Grow a log to each of `sizes` and time the queries.

    Raises:
        StopService, RetryLater: a server did not start or cannot be reached.
    """
    with running_servers(given, pipe=False) as where:
        return asyncio.run(_run(where, sorted(sizes), say))


async def _run(
    where: RunningServers, sizes: Sequence[int], say: Callable[[str], None]
) -> LogQueriesReport:
    tenant = f"bench-{random.SystemRandom().getrandbits(32):08x}"
    start = datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    connection = await asyncpg.connect(where.database)
    engine = engine_for(where.service)
    lines: list[int] = []
    taken: dict[str, list[float]] = {name: [] for name in QUESTIONS}
    try:
        await connection.execute("SELECT set_config('cardmint.tenant', $1, false)", tenant)
        await log_months.make_ahead(connection, start)
        await grown_log.make_printings(connection, tenant, start)
        for have, want in zip([0, *sizes], sizes, strict=False):
            began = time.monotonic()
            await grown_log.grow_log(connection, tenant, start, have, want)
            say(f"{want} events after {time.monotonic() - began:.0f} s more")
            lines.append(
                await connection.fetchval("SELECT count(*) FROM holdings WHERE tenant = $1", tenant)
            )
            async with reading(engine, tenant) as asking:
                for name, question in QUESTIONS.items():
                    taken[name].append(await _least(question, asking, tenant))
    finally:
        await connection.close()
        await engine.dispose()
    ratios = {name: round(all_[-1] / all_[0], 2) for name, all_ in taken.items()}
    return LogQueriesReport(
        events=tuple(sizes),
        lines=tuple(lines),
        milliseconds={name: tuple(round(one, 2) for one in all_) for name, all_ in taken.items()},
        ratios=ratios,
        ratio=ratios[FILTERED],
    )


async def _least(question: Question, connection: AsyncConnection, tenant: str) -> float:
    seconds = []
    for number in range(-3, TIMES):  # The first three only warm up.
        start = time.perf_counter()
        await question(connection, tenant, 7 * (number + 3))
        seconds.append(time.perf_counter() - start)
    return min(seconds[3:]) * 1000


def report_lines(report: LogQueriesReport) -> list[str]:
    """Return a report as lines for a person."""
    head = (
        f"{'least ms at … events':32s}"
        + "".join(f"{size:>11,}" for size in report.events)
        + "   ratio"
    )
    rows = [
        f"{name:32s}" + "".join(f"{one:11.2f}" for one in all_) + f"{report.ratios[name]:8.2f}"
        for name, all_ in report.milliseconds.items()
    ]
    return [
        head,
        *rows,
        f"{'lines of the inventory':32s}" + "".join(f"{count:>11,}" for count in report.lines),
    ]

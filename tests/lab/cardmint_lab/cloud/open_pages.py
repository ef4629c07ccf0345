"""`cloud pages`: what open pages cost the dashboard, and how soon all are back after a restart."""

import asyncio
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

import asyncpg
import psutil

from cardmint_cloud.accounts import Accounts
from cardmint_cloud.adapters.sealing import MasterKeys
from cardmint_cloud.domain.permissions import Role
from cardmint_cloud.local.processes import ChildProcess, accepts_connections, free_port
from cardmint_contracts.notifications import CHANNEL, Subject, payload
from cardmint_lab.census import quantile
from cardmint_lab.cloud.test_bed import (
    GivenServers,
    RunningServers,
    raise_connection_limit,
    running_servers,
)
from cardmint_lab.system import installed_script

TENANT = "bench"
PEOPLE = 25
AT_ONCE = 100
"""Pages that open at the same time before the restart."""

RETRY_S = 3.0
"""Browsers open a broken stream again after about so long; here each after a random part of it."""

TARGET_MB, TARGET_S = 400, 10


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenPagesReport:
    """Memory (MB) before, with all pages, and after the storm; seconds until all were back.

    `told_ms` is the 99th percentile from a commit to the pages. `refused` are answers other than
    200, `away` connections that did not come about: both were tried again.
    """

    pages: int
    idle_mb: float
    open_mb: float
    told_ms: float
    back_s: float
    storm_mb: float
    refused: int
    away: int

    @property
    def meets_targets(self) -> bool:
        """Whether memory and time are within the targets, and no page was refused."""
        return (
            max(self.open_mb, self.storm_mb) <= TARGET_MB
            and self.back_s <= TARGET_S
            and not self.refused
        )


@dataclass(slots=True)
class _Pages:
    """All pages, as browsers keep them open."""

    port: int
    cookies: Sequence[str]
    ready: set[int] = field(default_factory=set)
    told: dict[int, float] = field(default_factory=dict)
    refused: int = 0
    away: int = 0
    ended: bool = False

    async def keep_open(self, number: int, opening: asyncio.Semaphore) -> None:
        """Open a page's stream, read it, and open it again when it breaks."""
        first = True
        while not self.ended:
            try:
                if first:
                    async with opening:
                        reader, writer = await self._opened(number)
                else:
                    reader, writer = await self._opened(number)
            except (OSError, asyncio.IncompleteReadError, TimeoutError):
                self.away += 1
                await asyncio.sleep(random.SystemRandom().random() * RETRY_S)
                continue
            first = False
            try:
                while line := await reader.readline():
                    if line == b"event: ready\r\n":
                        self.ready.add(number)
                    elif line == b"event: reviews\r\n":
                        self.told.setdefault(number, time.monotonic())
            except OSError:
                pass
            finally:
                writer.close()
                self.ready.discard(number)
            await asyncio.sleep(random.SystemRandom().random() * RETRY_S)

    async def _opened(self, number: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        async with asyncio.timeout(20):
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            writer.write(
                f"GET /events HTTP/1.1\r\nhost: 127.0.0.1:{self.port}\r\n"
                f"cookie: session={self.cookies[number % len(self.cookies)]}\r\n\r\n".encode()
            )
            head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            self.refused += 1
            writer.close()
            raise OSError(head.splitlines()[0].decode())
        return reader, writer


def run(*, pages: int, given: GivenServers, say: Callable[[str], None]) -> OpenPagesReport:
    """Open the pages, tell them something, and start the dashboard again under them.

    Raises:
        StopService, RetryLater: a server did not start or cannot be reached.
    """
    raise_connection_limit()
    masters = MasterKeys.new()
    with running_servers(given, pipe=False) as where:
        return asyncio.run(_measured(where, masters, pages, say))


async def _measured(
    where: RunningServers, masters: MasterKeys, count: int, say: Callable[[str], None]
) -> OpenPagesReport:
    cookies = await _signed_in(where.service, masters)
    port = free_port()
    pages = _Pages(port, cookies)
    opening = asyncio.Semaphore(AT_ONCE)
    with _dashboard(where, masters, port) as dashboard:
        idle = _megabytes(dashboard)
        tasks = [asyncio.create_task(pages.keep_open(one, opening)) for one in range(count)]
        try:
            took = await _until_ready(pages, count, dashboard)
            say(f"{count} pages open after {took:.1f} s")
            told = await _told(where.database, pages, count, dashboard)
            opened = _megabytes(dashboard)
            await asyncio.to_thread(dashboard.stop)
            refused, away = pages.refused, pages.away
            with _dashboard(where, masters, port) as again:
                back = await _until_ready(pages, count, again)
                storm = _megabytes(again)
                pages.ended = True
                return OpenPagesReport(
                    pages=count,
                    idle_mb=round(idle, 1),
                    open_mb=round(opened, 1),
                    told_ms=round(told * 1000, 1),
                    back_s=round(back, 2),
                    storm_mb=round(storm, 1),
                    refused=pages.refused - refused,
                    away=pages.away - away,
                )
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def report_lines(report: OpenPagesReport) -> list[str]:
    """Return a report as lines for a person."""
    r = report
    memory = f"{r.idle_mb:.0f} MB idle, {r.open_mb:.0f} MB with them, {r.storm_mb:.0f} MB after"
    tried = f"{r.refused} refused, {r.away} connections tried again"
    return [
        f"pages open at once          {r.pages:,}",
        f"memory of the dashboard     {memory} its restart (target {TARGET_MB})",
        f"a change on every page      p99 {r.told_ms:.0f} ms",
        f"all back after its restart  {r.back_s:.1f} s (target {TARGET_S}); {tried}",
    ]


async def _signed_in(service: str, masters: MasterKeys) -> list[str]:
    """Make people who are signed in; return their sessions."""
    pool = await asyncpg.create_pool(service, min_size=1, max_size=2)
    try:
        accounts = Accounts(pool, TENANT, masters)
        await accounts.vault.check(pool)
        now = datetime.now(UTC)
        return [
            await accounts.join(
                await accounts.invite(Role.VIEWER, now),
                f"person {number}",
                f"a long sentence about herons {number}",
                address="127.0.0.1",
                agent="bench",
                now=now,
            )
            for number in range(PEOPLE)
        ]
    finally:
        pool.terminate()


@contextmanager
def _dashboard(where: RunningServers, masters: MasterKeys, port: int) -> Iterator[ChildProcess]:
    settings = {
        "CARDMINT_CLOUD_DATABASE": where.service,
        "CARDMINT_CLOUD_TENANT": TENANT,
        "CARDMINT_CLOUD_WEB_PORT": str(port),
        "CARDMINT_CLOUD_WEB_ACCOUNTS": "true",
        "CARDMINT_MASTER_KEYS": masters.lines(),
    }
    child = ChildProcess(
        installed_script(["cardmint-cloud", "serve"]),
        where.folder / f"serve-{time.monotonic_ns()}.log",
        env=settings,
    )
    try:
        child.wait_until(lambda: accepts_connections(port))
        yield child
    finally:
        child.stop()


async def _until_ready(pages: _Pages, count: int, dashboard: ChildProcess) -> float:
    began = time.monotonic()
    await asyncio.to_thread(_checked, dashboard)
    async with asyncio.timeout(120):
        while len(pages.ready) < count:  # noqa: ASYNC110 - the pages share no event
            await asyncio.sleep(0.02)
    return time.monotonic() - began


def _checked(dashboard: ChildProcess) -> None:
    dashboard.wait_until(lambda: dashboard.running, timeout_s=1)


async def _told(database: str, pages: _Pages, count: int, dashboard: ChildProcess) -> float:
    """Return the 99th percentile of the seconds from a commit to each page."""
    await asyncio.sleep(1)  # What comes with the opening is past.
    pages.told.clear()
    connection = await asyncpg.connect(database)
    try:
        begun = time.monotonic()
        await connection.execute(
            "SELECT pg_notify($1, $2)", CHANNEL, payload(TENANT, Subject.REVIEWS)
        )
        async with asyncio.timeout(60):
            while len(pages.told) < count:  # noqa: ASYNC110 - the pages share no event
                await asyncio.sleep(0.02)
    finally:
        await connection.close()
    return quantile([at - begun for at in pages.told.values()], 0.99)


def _megabytes(child: ChildProcess) -> float:
    return float(psutil.Process(child.process.pid).memory_info().rss / 2**20)

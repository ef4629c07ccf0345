"""`cloud policies`: what the policies of tenants cost, against the same services without them.

Ingest and the read API run in turn with and without: the same code, the same database, the same
messages. Without, the policies and the checks of the partitions are off, and no transaction names a
tenant (`unguarded`).
"""

import asyncio
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median
from typing import Literal

import asyncpg

from cardmint_cloud.accounts import Accounts
from cardmint_cloud.adapters.postgres.row_security import COPIED, TENANT_TABLES
from cardmint_cloud.adapters.sealing import MasterKeys
from cardmint_cloud.domain.permissions import Scope
from cardmint_cloud.errors import StopService
from cardmint_cloud.local.processes import ChildProcess, accepts_connections, free_port
from cardmint_lab.census import quantile
from cardmint_lab.cloud import scans
from cardmint_lab.cloud.senders import StationSenders
from cardmint_lab.cloud.test_bed import (
    GivenServers,
    RunningServers,
    measure_cpu,
    running_servers,
)
from cardmint_lab.system import installed_script

TARGET = 1.1
CONNECTIONS = 32
Manner = Literal["made", "same", "tag"]
"""How programs ask: for another address each time, so that each answer is made; for the same one
again; or with the tag of the answer before."""

PATHS = ("/api/v1/{tenant}/items?limit=50", "/api/v1/{tenant}/stations", "/api/v1/{tenant}/reviews")
OTHERS = 20
"""Other tenants with rows in the same tables."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PoliciesReport:
    """Medians of the rounds, with policies and without; a ratio over 1 is what they cost.

    CPU is that of service and Postgres together, in microseconds an event or a request. On a
    machine that does other things, too, its ratio says more than that of the speeds; it is held to
    the target.
    """

    rounds: int
    events: int
    ingest_with: float
    ingest_without: float
    ingest_ratio: float
    ingest_cpu_with: float
    ingest_cpu_without: float
    ingest_cpu_ratio: float
    requests_with: float
    requests_without: float
    requests_ratio: float
    requests_cpu_with: float
    requests_cpu_without: float
    requests_cpu_ratio: float
    p99_with_ms: float
    p99_without_ms: float

    @property
    def meets_target(self) -> bool:
        """Whether both cost at most a tenth."""
        return max(self.ingest_cpu_ratio, self.requests_cpu_ratio) <= TARGET


def run(
    *, events: int, rounds: int, read_s: float, given: GivenServers, say: Callable[[str], None]
) -> PoliciesReport:
    """Start the servers that are not given, measure in turn, and stop what was started.

    Raises:
        StopService, RetryLater: a server did not start or cannot be reached.
    """
    ingested: dict[bool, list[tuple[float, float]]] = {True: [], False: []}
    asked: dict[bool, list[tuple[float, float, float]]] = {True: [], False: []}
    with running_servers(given) as where:
        tenant = "bench"
        with serving(where, "work", guarded=True):
            for number in range(OTHERS):
                send_events(where, f"other-{number}", 100)
            send_events(where, tenant, 2000)
        token = asyncio.run(make_token(where.service, tenant))
        checks = asyncio.run(_checks(where.database))
        for number in range(rounds):
            for guarded in (True, False) if number % 2 == 0 else (False, True):
                asyncio.run(_switch(where.database, checks, guarded=guarded))
                name = f"bench-{number}-{guarded:d}"
                ingested[guarded].append(_ingest(where, name, events, guarded=guarded))
                asked[guarded].append(_read(where, tenant, token, read_s, guarded=guarded))
                said = "with policies" if guarded else "without"
                say(
                    f"{said:14s} {ingested[guarded][-1][0]:9.0f} events/s"
                    f" {asked[guarded][-1][0]:7.0f} requests/s"
                )
        asyncio.run(_switch(where.database, checks, guarded=True))
    ingest = {
        key: [median(one) for one in zip(*all_, strict=True)] for key, all_ in ingested.items()
    }
    reads = {key: [median(one) for one in zip(*all_, strict=True)] for key, all_ in asked.items()}
    return PoliciesReport(
        rounds=rounds,
        events=events,
        ingest_with=round(ingest[True][0], 1),
        ingest_without=round(ingest[False][0], 1),
        ingest_ratio=round(ingest[False][0] / ingest[True][0], 3),
        ingest_cpu_with=round(ingest[True][1], 1),
        ingest_cpu_without=round(ingest[False][1], 1),
        ingest_cpu_ratio=round(ingest[True][1] / ingest[False][1], 3),
        requests_with=round(reads[True][0], 1),
        requests_without=round(reads[False][0], 1),
        requests_ratio=round(reads[False][0] / reads[True][0], 3),
        requests_cpu_with=round(reads[True][1], 1),
        requests_cpu_without=round(reads[False][1], 1),
        requests_cpu_ratio=round(reads[True][1] / reads[False][1], 3),
        p99_with_ms=round(reads[True][2], 1),
        p99_without_ms=round(reads[False][2], 1),
    )


def report_lines(report: PoliciesReport) -> list[str]:
    """Return a report as lines for a person."""
    r = report
    rows = (
        ("ingest, events/s", r.ingest_with, r.ingest_without, r.ingest_ratio),
        ("  CPU, µs an event", r.ingest_cpu_with, r.ingest_cpu_without, r.ingest_cpu_ratio),
        ("read API, requests/s", r.requests_with, r.requests_without, r.requests_ratio),
        ("  CPU, µs a request", r.requests_cpu_with, r.requests_cpu_without, r.requests_cpu_ratio),
        ("  p99, ms", r.p99_with_ms, r.p99_without_ms, r.p99_with_ms / r.p99_without_ms),
    )
    return [
        f"{f'median of {r.rounds} rounds':24s}{'with policies':>14s}{'without':>12s}{'ratio':>8s}",
        *(
            f"{name:24s}{with_:14.1f}{without:12.1f}{ratio:8.3f}"
            for name, with_, without, ratio in rows
        ),
        f"target: {TARGET} at most, of the CPU",
    ]


_CHECK = """
SELECT pg_get_constraintdef(oid) FROM pg_constraint
 WHERE conname = $1 AND conrelid = $2::regclass"""


async def _checks(database: str) -> dict[str, str]:
    """Return the check of each table whose partitions take COPY."""
    connection = await asyncpg.connect(database)
    try:
        return {
            table: await connection.fetchval(_CHECK, f"{table}_own_tenant", table)
            for table in COPIED
        }
    finally:
        await connection.close()


async def _switch(database: str, checks: dict[str, str], *, guarded: bool) -> None:
    """Switch policies and checks on or off, and make the planner know the tables."""
    verb = "ENABLE" if guarded else "DISABLE"
    connection = await asyncpg.connect(database)
    try:
        for table in TENANT_TABLES:
            await connection.execute(f"ALTER TABLE {table} {verb} ROW LEVEL SECURITY")
        for table, check in checks.items():
            name = f"{table}_own_tenant"
            await connection.execute(f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {name}")
            if guarded:
                statement = f"ALTER TABLE {table} ADD CONSTRAINT {name} {check} NOT VALID"
                await connection.execute(statement)
        await connection.execute("VACUUM ANALYZE")
    finally:
        await connection.close()


async def make_token(service: str, tenant: str) -> str:
    pool = await asyncpg.create_pool(service, min_size=1, max_size=1)
    try:
        return await Accounts(pool, tenant, MasterKeys.new()).add_token(
            "bench", Scope.READ, datetime.now(UTC), per_minute=10**9
        )
    finally:
        pool.terminate()


@contextmanager
def serving(
    where: RunningServers, command: str, *, guarded: bool, **settings: str
) -> Iterator[ChildProcess]:
    """Run a worker or a dashboard, with the policies or without."""
    words = (
        installed_script(["cardmint-cloud", command])
        if guarded
        else [sys.executable, "-m", "cardmint_lab.cloud.unguarded", command]
    )
    log = where.folder / f"{command}-{time.monotonic_ns()}.log"
    child = ChildProcess(words, log, env={**where.environment, **settings})
    try:
        if command == "work":
            child.wait_until(lambda: "broker connected" in log.read_text())
        else:
            port = int(settings["CARDMINT_CLOUD_WEB_PORT"])
            child.wait_until(lambda: accepts_connections(port))
        yield child
    finally:
        child.stop()


def _ingest(
    where: RunningServers, tenant: str, events: int, *, guarded: bool
) -> tuple[float, float]:
    """Return events a second from MQTT to the inventory, and the CPU of an event in µs."""
    with serving(where, "work", guarded=guarded) as worker, _cpu(where, worker) as cpu:
        seconds = send_events(where, tenant, events)
    return events / seconds, sum(cpu) / events * 1e6


def send_events(where: RunningServers, tenant: str, events: int) -> float:
    """Send events as stations do; return the seconds until all were receipted."""
    seed = random.SystemRandom().getrandbits(32)
    work = scans.divide_work(seed, 10, events, datetime.now(UTC), size=50)
    senders = StationSenders(where.host, where.port, tenant, work)
    seconds = senders.run(check=where.check)
    senders.close()
    return seconds


def _read(
    where: RunningServers, tenant: str, token: str, seconds: float, *, guarded: bool
) -> tuple[float, float, float]:
    """Return requests a second, the CPU of a request in µs, and the 99th percentile in ms."""
    port = free_port()
    settings = {
        "CARDMINT_CLOUD_TENANT": tenant,
        "CARDMINT_CLOUD_WEB_PORT": str(port),
        "CARDMINT_CLOUD_WEB_ACCOUNTS": "true",
        "CARDMINT_MASTER_KEYS": MasterKeys.new().lines(),
    }
    paths = [path.format(tenant=tenant) for path in PATHS]
    with serving(where, "serve", guarded=guarded, **settings) as dashboard:
        asyncio.run(ask_all([port], paths, token, min(1.0, seconds)))  # Warms up.
        with _cpu(where, dashboard) as cpu:
            took = asyncio.run(ask_all([port], paths, token, seconds))
    return len(took) / seconds, sum(cpu) / len(took) * 1e6, quantile(took, 0.99) * 1000


@contextmanager
def _cpu(where: RunningServers, service: ChildProcess) -> Iterator[list[float]]:
    """Give, afterwards, the CPU seconds of a service and of Postgres, where it is ours."""
    server = where.postgres.pid if where.postgres else None
    used: list[float] = []
    with measure_cpu(server) as of_server, measure_cpu(service.process.pid) as of_service:
        yield used
    used += of_server + of_service


async def ask_all(
    ports: Sequence[int], paths: list[str], token: str, seconds: float, manner: Manner = "made"
) -> list[float]:
    """Ask over all connections until the time is over; return how long each answer took.

    The connections are divided among the ports and the paths.
    """
    end = time.monotonic() + seconds
    found = await asyncio.gather(
        *(
            _ask(ports[number % len(ports)], paths[number % len(paths)], token, end, manner)
            for number in range(CONNECTIONS)
        )
    )
    return [one for some in found for one in some]


async def _ask(port: int, path: str, token: str, end: float, manner: Manner) -> list[float]:
    """Ask one thing over one connection, again and again, with as little work as possible."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    rest = f" HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nauthorization: Bearer {token}\r\n"
    apart = f"{path}{'&' if '?' in path else '?'}asked={id(writer)}-"
    extra, took = "", list[float]()
    try:
        while (start := time.monotonic()) < end:
            where = f"{apart}{len(took)}" if manner == "made" else path
            writer.write(f"GET {where}{rest}{extra}\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            status, low = head[9:12], head.lower()
            if status not in {b"200", b"304"}:
                raise StopService(f"{path}: {head.splitlines()[0].decode()}")
            if status == b"200":
                length = low.partition(b"content-length: ")[2].partition(b"\r\n")[0]
                await reader.readexactly(int(length))
            if manner == "tag":
                tag = head[low.index(b"etag: ") + 6 :].partition(b"\r\n")[0].decode()
                extra = f"if-none-match: {tag}\r\n"
            took.append(time.monotonic() - start)
    finally:
        writer.close()
    return took

"""`cloud reads`: how fast programs read, beside the least that could answer them on this machine.

The limit is measured in the same run: a route of Litestar alone, then with the token checked in
memory, then with one row of the database (`bare_server`); with the servers that uvicorn has.

Each path is asked for again while nothing changes, as programs do that look for changes; then with
the tag of the answer before; then so that each answer is made anew.
"""

import asyncio
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from operator import attrgetter

from cardmint_cloud.adapters.sealing import MasterKeys
from cardmint_cloud.local.processes import ChildProcess, accepts_connections, free_port
from cardmint_lab.census import quantile
from cardmint_lab.cloud.bare_server import STEPS
from cardmint_lab.cloud.policies import (
    CONNECTIONS,
    PATHS,
    Manner,
    ask_all,
    make_token,
    send_events,
    serving,
)
from cardmint_lab.cloud.test_bed import (
    GivenServers,
    RunningServers,
    measure_cpu,
    running_servers,
)

TARGET, TARGET_P99_MS = 2000, 50.0
EVENTS = 2000
_BARE = "/api/v1/bench/x"
_Server = tuple[int, ChildProcess]
TENANT = "bench"
SERVERS = (("h11", "asyncio"), ("httptools", "asyncio"), ("httptools", "uvloop"))
"""Of uvicorn; the first is the dashboard's. Those whose package is missing are left out."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadLine:
    """One thing that was asked over 32 connections. CPU is in microseconds a request."""

    what: str
    requests: float
    p99_ms: float
    service_cpu: float
    postgres_cpu: float


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadsReport:
    """What was asked, the limits first; `ratio` is the slowest path to the best with a row."""

    lines: tuple[ReadLine, ...]
    ratio: float

    @property
    def meets_target(self) -> bool:
        """Whether each path of the dashboard is fast enough."""
        own = [line for line in self.lines if line.what in PATHS]
        return all(one.requests >= TARGET and one.p99_ms <= TARGET_P99_MS for one in own)


def run(*, read_s: float, given: GivenServers, say: Callable[[str], None]) -> ReadsReport:
    """Start the servers that are not given, measure, and stop what was started.

    Raises:
        StopService, RetryLater: a server did not start or cannot be reached.
    """
    lines: list[ReadLine] = []
    with running_servers(given) as where:
        with serving(where, "work", guarded=True):
            send_events(where, TENANT, EVENTS)
        token = asyncio.run(make_token(where.service, TENANT))

        def measured(
            what: str, path: str, servers: Sequence[_Server], manner: Manner = "same"
        ) -> None:
            ports = [port for port, _ in servers]
            asyncio.run(ask_all(ports, [path], token, min(1.0, read_s), manner))  # Warms up.
            server = where.postgres.pid if where.postgres else None
            of_service: list[float] = []
            with ExitStack() as stack:
                of_server = stack.enter_context(measure_cpu(server))
                used = [stack.enter_context(measure_cpu(one.process.pid)) for _, one in servers]
                took = asyncio.run(ask_all(ports, [path], token, read_s, manner))
            of_service += [seconds for one in used for seconds in one]
            each = 1e6 / len(took)
            lines.append(
                ReadLine(
                    what=what,
                    requests=round(len(took) / read_s, 1),
                    p99_ms=round(quantile(took, 0.99) * 1000, 1),
                    service_cpu=round(sum(of_service) * each, 1),
                    postgres_cpu=round(sum(of_server) * each, 1),
                )
            )
            say(_line(lines[-1]))

        for http, loop in SERVERS:
            for step in STEPS if find_spec(http) and find_spec(loop) else ():
                with _bare(where, http, loop, step, token) as one:
                    measured(f"{step}, {http}, {loop}", _BARE, [one])
        least = (where, *SERVERS[0], STEPS[-1], token)
        with _bare(*least) as one, _bare(*least) as other:
            measured("row, two processes", _BARE, [one, other])
        with _dashboard(where) as one:
            for path in PATHS:
                own = path.format(tenant=TENANT)
                measured(path, own, [one])
                measured(f"{path}, tag", own, [one], "tag")
                measured(f"{path}, made", own, [one], "made")
            with _dashboard(where) as other:
                for path in PATHS:
                    measured(f"{path}, made, two", path.format(tenant=TENANT), [one, other], "made")
    limit = max((one for one in lines if one.what.startswith("row")), key=attrgetter("requests"))
    slowest = min(line.requests for line in lines if line.what in PATHS)
    return ReadsReport(lines=tuple(lines), ratio=round(slowest / limit.requests, 3))


@contextmanager
def _dashboard(where: RunningServers) -> Iterator[_Server]:
    port = free_port()
    settings = {
        "CARDMINT_CLOUD_TENANT": TENANT,
        "CARDMINT_CLOUD_WEB_PORT": str(port),
        "CARDMINT_CLOUD_WEB_ACCOUNTS": "true",
        "CARDMINT_MASTER_KEYS": MasterKeys.new().lines(),
    }
    with serving(where, "serve", guarded=True, **settings) as child:
        yield port, child


@contextmanager
def _bare(where: RunningServers, http: str, loop: str, step: str, token: str) -> Iterator[_Server]:
    port = free_port()
    words = [sys.executable, "-m", "cardmint_lab.cloud.bare_server", "--port", str(port)]
    words += ["--http", http, "--loop", loop, "--step", step, "--token", token]
    log = where.folder / f"bare-{time.monotonic_ns()}.log"
    child = ChildProcess([*words, "--database", where.service], log, env=where.environment)
    try:
        child.wait_until(lambda: accepts_connections(port))
        yield port, child
    finally:
        child.stop()


def report_lines(report: ReadsReport) -> list[str]:
    """Return a report as lines for a person."""
    return [
        (
            f"{f'{CONNECTIONS} connections':40s}{'requests/s':>12s}{'p99, ms':>10s}"
            f"{'service, µs':>13s}{'Postgres, µs':>14s}"
        ),
        *(_line(line) for line in report.lines),
        f"the slowest path to the best of the bare ones with a row: {report.ratio}",
        f"target: {TARGET} requests/s, p99 {TARGET_P99_MS:.0f} ms",
    ]


def _line(line: ReadLine) -> str:
    return (
        f"{line.what:40s}{line.requests:12.0f}{line.p99_ms:10.1f}"
        f"{line.service_cpu:13.0f}{line.postgres_cpu:14.0f}"
    )

"""The servers of a benchmark: broker, Postgres and workers, started unless they are given."""

import asyncio
import resource
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from cardmint_cloud.adapters.postgres.migrate import engine_for, migrate
from cardmint_cloud.errors import StopService
from cardmint_cloud.local.broker import LocalBroker
from cardmint_cloud.local.postgres import LocalPostgres, service_address
from cardmint_cloud.local.processes import ChildProcess
from cardmint_lab.folders import temporary_folder
from cardmint_lab.system import installed_script


@dataclass(frozen=True, kw_only=True, slots=True)
class GivenServers:
    """Servers that run already: a database's address as its owner, a broker as `HOST:PORT`."""

    database: str | None = None
    broker: str | None = None


@dataclass(slots=True)
class RunningServers:
    """Addresses of all servers. `broker` and `postgres` are None when they were given.

    `database` is the database's address as its owner, `service` as worker and dashboard.
    """

    folder: Path
    database: str
    service: str
    host: str
    port: int
    broker: LocalBroker | None
    postgres: LocalPostgres | None
    workers: list[ChildProcess] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        """The worker's settings."""
        return {
            "CARDMINT_CLOUD_DATABASE": self.service,
            "CARDMINT_CLOUD_BROKER_HOST": self.host,
            "CARDMINT_CLOUD_BROKER_PORT": str(self.port),
            # No card is due at the start, and no price is asked for later.
            "CARDMINT_CLOUD_PRICES_EVERY_S": "3600",
        }

    def work(self, **settings: str) -> ChildProcess:
        """Start a worker with more settings and wait until it is connected to the broker."""
        log = self.folder / f"worker-{len(self.workers)}.log"
        worker = ChildProcess(
            installed_script(["cardmint-cloud", "work"]), log, env={**self.environment, **settings}
        )
        self.workers.append(worker)
        worker.wait_until(lambda: "broker connected" in log.read_text())
        return worker

    def stop(self) -> None:
        """Stop all workers, even if one does not end."""
        with ExitStack() as stack:
            for worker in self.workers:
                stack.callback(worker.stop)

    def check(self) -> None:
        """Check that the workers run.

        Raises:
            StopService: one ended; the message has its last output.
        """
        for worker in self.workers:
            if not worker.running:
                raise StopService(f"a worker ended with code {worker.code}: {worker.last_words()}")


@contextmanager
def running_servers(given: GivenServers, *, pipe: bool = True) -> Iterator[RunningServers]:
    """Start the servers that are not given, migrate the database, and stop what was started.

    Without `pipe` there is no broker.

    Raises:
        StopService, RetryLater: a server did not start or cannot be reached, or `broker` is not
            HOST:PORT.
    """
    with ExitStack() as stack:
        folder = stack.enter_context(temporary_folder())
        postgres = broker = None
        database = given.database
        if database is None:
            postgres = LocalPostgres(folder / "postgres").start()
            stack.callback(postgres.drop)
            database = postgres.address
        host, _, port = (given.broker or "").rpartition(":")
        if not pipe:
            host, port = "", "0"
        elif given.broker is None:
            broker = LocalBroker(folder / "broker").start()
            stack.callback(broker.stop)
            host, port = "127.0.0.1", str(broker.port)
        elif not (host and port.isdecimal()):
            raise StopService(f"broker {given.broker!r}: not of the form HOST:PORT")
        asyncio.run(_migrate(database))
        where = RunningServers(
            folder=folder,
            database=database,
            service=service_address(database),
            host=host,
            port=int(port),
            broker=broker,
            postgres=postgres,
        )
        stack.callback(where.stop)
        yield where


async def _migrate(database: str) -> None:
    engine = engine_for(database)
    try:
        await migrate(engine, service_address(database))
    finally:
        await engine.dispose()


def raise_connection_limit() -> None:
    """Raise the limit of open files of this process and its children to the maximum."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


@contextmanager
def watch_memory(child: ChildProcess) -> Iterator[list[int]]:
    """Record the bytes of memory of a process, ten times a second."""
    process = psutil.Process(child.process.pid)
    seen = [process.memory_info().rss]
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.1):
            try:
                seen.append(process.memory_info().rss)
            except psutil.NoSuchProcess:
                return

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join(10)


@contextmanager
def measure_cpu(pid: int | None) -> Iterator[list[float]]:
    """Give, afterwards, the CPU seconds that a process and its children used meanwhile."""
    before = _times(pid)
    used: list[float] = []
    yield used
    used += [seconds - before.get(number, 0.0) for number, seconds in _times(pid).items()]


def _times(pid: int | None) -> dict[int, float]:
    if pid is None:
        return {}
    parent = psutil.Process(pid)
    times: dict[int, float] = {}
    for process in (parent, *parent.children()):
        try:
            spent = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        times[process.pid] = spent.user + spent.system
    return times

"""`bench ingest`: stations' messages through a real broker and the real worker into a real Postgres."""

import asyncio
import random
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil

from cardmint_cloud import rebuild
from cardmint_cloud.adapters.postgres.limit import limit
from cardmint_cloud.bench import cards
from cardmint_cloud.bench.senders import Senders
from cardmint_cloud.local.broker import Broker
from cardmint_cloud.local.census import census, quantile
from cardmint_cloud.local.postgres import Postgres
from cardmint_cloud.local.processes import Child
from cardmint_cloud.local.system import script

PACED_PER_S = 500.0
PACED_S = 8.0
LIMIT_EVENTS = 20_000
"""The limit is measured with at most so many events before the run, and again after it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """What was measured. The milliseconds are from publish to receipt, which is later than visible, at a steady pace.

    `busy_…` are the same flat out, where they are mostly the time in the queue. CPU is in microseconds an event.
    """

    events: int
    stations: int
    batch: int
    events_per_second: float
    limit_events_per_second: float
    ratio: float
    publish_to_visible_p50_ms: float
    publish_to_visible_p99_ms: float
    busy_p50_ms: float
    busy_p99_ms: float
    paced_events: int
    rss_mb: float
    worker_cpu_us: float
    postgres_cpu_us: float
    broker: str
    sent_again: int
    lost: int
    duplicated: int
    parked: int
    equals_log: bool


def run(*, events: int, stations: int, batch: int, say: Callable[[str], None]) -> Report:
    """Start everything on free ports of loopback, measure, and stop everything.

    Raises:
        Stop: a server did not start, or receipts stopped coming.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cardmint-", ignore_cleanup_errors=True)))
        postgres = Postgres(folder / "postgres").start()
        stack.callback(postgres.stop)
        broker = Broker(folder / "broker").start()
        stack.callback(broker.stop)
        environment = {
            "CARDMINT_CLOUD_DATABASE": postgres.address,
            "CARDMINT_CLOUD_BROKER_PORT": str(broker.port),
            "CARDMINT_CLOUD_PRICES_EVERY_S": "3600",  # Nothing is due at the start, and nobody is asked later.
        }
        migration = Child(script(["cardmint-cloud", "migrate"]), folder / "migrate.log", env=environment)
        migration.wait_until(lambda: not migration.running or migration.process.poll() == 0)
        worker = Child(script(["cardmint-cloud", "work"]), folder / "worker.log", env=environment)
        stack.callback(worker.stop)
        worker.wait_until(lambda: "broker connected" in worker.log.read_text())
        return _measure(postgres, broker, worker, events=events, stations=stations, batch=batch, say=say)


def _measure(
    postgres: Postgres,
    broker: Broker,
    worker: Child,
    *,
    events: int,
    stations: int,
    batch: int,
    say: Callable[[str], None],
) -> Report:
    seed = random.SystemRandom().getrandbits(32)
    now = datetime.now(UTC)
    shares = [events // stations + (number < events % stations) for number in range(stations)]
    paced = min(events, int(PACED_PER_S * PACED_S))
    sample = [
        e for _, e in zip(range(min(events, LIMIT_EVENTS)), cards.scans(seed, stations + 1, events, now), strict=False)
    ]
    say(f"{events} events of {len(bytes(sample[0].data))} B from {stations} stations, {batch} a message …")
    work = {
        cards.name(n): (cards.stream(seed, n), cards.parcels(seed, n, share, now, size=batch))
        for n, share in enumerate(shares)
        if share
    }
    slow = {cards.name(stations): (cards.stream(seed, stations), cards.parcels(seed, stations, paced, now, size=batch))}
    limits = [asyncio.run(limit(postgres.address, "limit", sample, now))]
    senders = Senders("127.0.0.1", broker.port, "bench", work)
    with _memory(worker) as rss, _cpu(worker.process.pid) as worker_cpu, _cpu(postgres.pid) as postgres_cpu:
        seconds = senders.run()
    senders.close()
    limits.append(asyncio.run(limit(postgres.address, "limit", sample, now)))
    steady = Senders("127.0.0.1", broker.port, "bench", slow)
    steady.run(per_second=PACED_PER_S)
    steady.close()
    counted = asyncio.run(census(postgres.address, "bench"))
    most = sum(limits) / len(limits)
    return Report(
        events=events,
        stations=stations,
        batch=batch,
        events_per_second=round(events / seconds, 1),
        limit_events_per_second=round(most, 1),
        ratio=round(events / seconds / most, 3),
        publish_to_visible_p50_ms=_ms(steady.seconds, 0.5),
        publish_to_visible_p99_ms=_ms(steady.seconds, 0.99),
        busy_p50_ms=_ms(senders.seconds, 0.5),
        busy_p99_ms=_ms(senders.seconds, 0.99),
        paced_events=paced,
        rss_mb=round(max(rss) / 2**20, 1),
        worker_cpu_us=round(sum(worker_cpu) / events * 1e6, 1),
        postgres_cpu_us=round(sum(postgres_cpu) / events * 1e6, 1),
        broker=broker.kind,
        sent_again=senders.sent - events,
        lost=events + paced - counted.cards,
        duplicated=counted.doubled,
        parked=counted.parked,
        equals_log=asyncio.run(rebuild.compare(postgres.address)).equal,
    )


def told(report: Report) -> list[str]:
    """Return a report as lines for a person."""
    r = report
    steady = (r.publish_to_visible_p50_ms, r.publish_to_visible_p99_ms)
    return [
        f"{r.events_per_second:.0f} events/s, MQTT to committed and folded",
        f"{r.limit_events_per_second:.0f} events/s, the same rows by INSERT … SELECT unnest, one connection",
        f"ratio {r.ratio:.2f}",
        f"at {PACED_PER_S:.0f} events/s publish to receipt p50 {steady[0]} ms, p99 {steady[1]} ms",
        f"flat out publish to receipt p50 {r.busy_p50_ms:.0f} ms, p99 {r.busy_p99_ms:.0f} ms",
        f"worker at most {r.rss_mb:.0f} MB; CPU an event: worker {r.worker_cpu_us} µs, Postgres {r.postgres_cpu_us} µs",
        f"lost {r.lost}, duplicated {r.duplicated}, parked {r.parked}, sent again {r.sent_again}",
        "the inventory is what the log says" if r.equals_log else "THE INVENTORY IS NOT WHAT THE LOG SAYS",
    ]


def good(report: Report) -> bool:
    """Whether every event is in the inventory once."""
    return report.equals_log and report.lost == report.duplicated == report.parked == 0


def _ms(seconds: list[float], share: float) -> float:
    return round(quantile(seconds, share) * 1000, 1)


@contextmanager
def _memory(child: Child) -> Iterator[list[int]]:
    """Watch how much memory a process has, ten times a second."""
    process = psutil.Process(child.process.pid)
    seen = [process.memory_info().rss]
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.1):
            seen.append(process.memory_info().rss)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    yield seen
    ended.set()
    thread.join()


@contextmanager
def _cpu(pid: int) -> Iterator[list[float]]:
    """Give, afterwards, the seconds of CPU that a process and the children it still has used meanwhile."""
    before = _times(pid)
    used: list[float] = []
    yield used
    used += [seconds - before.get(number, 0.0) for number, seconds in _times(pid).items()]


def _times(pid: int) -> dict[int, float]:
    parent = psutil.Process(pid)
    times: dict[int, float] = {}
    for process in (parent, *parent.children()):
        try:
            spent = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        times[process.pid] = spent.user + spent.system
    return times

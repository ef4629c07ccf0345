"""`cloud ingest`: stations' messages through a real broker and worker into a real Postgres."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from cardmint_cloud import rebuild
from cardmint_cloud.local.processes import ChildProcess
from cardmint_lab.census import quantile, take_census
from cardmint_lab.cloud import scans
from cardmint_lab.cloud.database_limit import measure_limit
from cardmint_lab.cloud.senders import StationSenders
from cardmint_lab.cloud.test_bed import (
    GivenServers,
    RunningServers,
    measure_cpu,
    running_servers,
    watch_memory,
)

PACED_PER_S = 500.0
PACED_S = 8.0
LIMIT_EVENTS = 20_000
"""Most events with which the limit is measured, before the run and again after it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class IngestReport:
    """Results.

    The milliseconds are from publish to receipt, which is later than visible, at a steady pace;
    `busy_…` are those of the run at full speed, mostly time in the queue. CPU is in microseconds an
    event; that of a given Postgres is unknown, and 0.
    """

    events: int
    stations: int
    batch: int
    events_per_second: float
    limit_events_per_second: float
    ratio: float
    log_only_events_per_second: float
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


def run(
    *, events: int, stations: int, batch: int, given: GivenServers, say: Callable[[str], None]
) -> IngestReport:
    """Start the servers that are not given, measure, and stop what was started.

    Raises:
        StopService, RetryLater: a server did not start or cannot be reached, or receipts stopped
            coming.
    """
    with running_servers(given) as where:
        return _measure(where, where.work(), events=events, stations=stations, batch=batch, say=say)


def _measure(
    where: RunningServers,
    worker: ChildProcess,
    *,
    events: int,
    stations: int,
    batch: int,
    say: Callable[[str], None],
) -> IngestReport:
    seed = random.SystemRandom().getrandbits(32)
    tenant = f"bench-{seed:08x}"
    now = datetime.now(UTC)
    paced = min(events, int(PACED_PER_S * PACED_S))
    sample = [
        e
        for _, e in zip(
            range(min(events, LIMIT_EVENTS)),
            scans.make_scans(seed, stations + 1, events, now),
            strict=False,
        )
    ]
    say(
        f"{events} events of {len(bytes(sample[0].data))} B from {stations} stations, {batch} a"
        " message …"
    )
    work = scans.divide_work(seed, stations, events, now, size=batch)
    slow = {
        scans.station_name(stations): (
            scans.station_stream(seed, stations),
            scans.make_messages(seed, stations, paced, now, size=batch),
        )
    }
    limits = [asyncio.run(measure_limit(where.database, tenant, sample, now))]
    senders = StationSenders(where.host, where.port, tenant, work)
    server = where.postgres.pid if where.postgres else None
    with (
        watch_memory(worker) as rss,
        measure_cpu(worker.process.pid) as worker_cpu,
        measure_cpu(server) as postgres_cpu,
    ):
        seconds = senders.run(check=where.check)
    senders.close()
    limits.append(asyncio.run(measure_limit(where.database, tenant, sample, now)))
    steady = StationSenders(where.host, where.port, tenant, slow)
    steady.run(per_second=PACED_PER_S, check=where.check)
    steady.close()
    counted = asyncio.run(take_census(where.database, tenant))
    most = sum(one.everything for one in limits) / len(limits)
    return IngestReport(
        events=events,
        stations=stations,
        batch=batch,
        events_per_second=round(events / seconds, 1),
        limit_events_per_second=round(most, 1),
        ratio=round(events / seconds / most, 3),
        log_only_events_per_second=round(sum(one.log for one in limits) / len(limits), 1),
        publish_to_visible_p50_ms=_ms(steady.seconds, 0.5),
        publish_to_visible_p99_ms=_ms(steady.seconds, 0.99),
        busy_p50_ms=_ms(senders.seconds, 0.5),
        busy_p99_ms=_ms(senders.seconds, 0.99),
        paced_events=paced,
        rss_mb=round(max(rss) / 2**20, 1),
        worker_cpu_us=round(sum(worker_cpu) / events * 1e6, 1),
        postgres_cpu_us=round(sum(postgres_cpu) / events * 1e6, 1),
        broker=where.broker.kind if where.broker else "given",
        sent_again=senders.sent - events,
        lost=events + paced - counted.cards,
        duplicated=counted.doubled,
        parked=counted.parked,
        equals_log=asyncio.run(rebuild.compare_with_log(where.database)).equal,
    )


def report_lines(report: IngestReport) -> list[str]:
    """Return a report as lines for a person."""
    r = report
    steady = (r.publish_to_visible_p50_ms, r.publish_to_visible_p99_ms)
    return [
        f"{r.events_per_second:.0f} events/s, MQTT to committed and folded",
        (
            f"{r.limit_events_per_second:.0f} events/s, the same rows by INSERT … SELECT unnest,"
            " one"
            " connection"
        ),
        (
            f"{r.log_only_events_per_second:.0f} events/s, the log's rows alone, which nobody could"
            " count from"
        ),
        f"ratio {r.ratio:.2f}",
        f"at {PACED_PER_S:.0f} events/s publish to receipt p50 {steady[0]} ms, p99 {steady[1]} ms",
        f"flat out publish to receipt p50 {r.busy_p50_ms:.0f} ms, p99 {r.busy_p99_ms:.0f} ms",
        (
            f"worker at most {r.rss_mb:.0f} MB; CPU an event: worker {r.worker_cpu_us} µs, Postgres"
            f" {r.postgres_cpu_us} µs"
        ),
        f"lost {r.lost}, duplicated {r.duplicated}, parked {r.parked}, sent again {r.sent_again}",
        "the inventory is what the log says"
        if r.equals_log
        else "THE INVENTORY IS NOT WHAT THE LOG SAYS",
    ]


def _ms(seconds: list[float], share: float) -> float:
    return round(quantile(seconds, share) * 1000, 1)

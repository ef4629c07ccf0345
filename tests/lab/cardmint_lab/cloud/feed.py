"""`cloud feed`: how soon a program hears of a commit, what the feed costs ingest, and replay."""

import asyncio
import random
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from cardmint_cloud.adapters.postgres import feed as rows
from cardmint_cloud.adapters.postgres.connection import owner_connection
from cardmint_cloud.errors import StopService
from cardmint_lab.census import quantile
from cardmint_lab.cloud import scans
from cardmint_lab.cloud.senders import StationSenders
from cardmint_lab.cloud.test_bed import (
    GivenServers,
    RunningServers,
    measure_cpu,
    running_servers,
)
from cardmint_lab.follower import FeedFollower

PACED_PER_S = 500.0
BATCH = 10
PATIENCE_S = 120.0


@dataclass(frozen=True, kw_only=True, slots=True)
class FeedReport:
    """Results.

    The milliseconds are from the begin of the transaction, a little before its commit, to the
    message at a program, at 500 events a second. `ratio` is the median over the rounds of ingest
    with the feed on by ingest with it off, in turns; nobody follows meanwhile, and `behind_s` is
    how long the feed then took to be published, by round, and `worker_cpu_us` the worker's CPU an
    event, with what it published. `missing` counts events that never came, and
    `out_of_order` those that came before one of a lower number: what comes live is meant, without
    replay.
    """

    events: int
    rounds: int
    paced_events: int
    commit_to_message_p50_ms: float
    commit_to_message_p99_ms: float
    off_events_per_second: float
    on_events_per_second: float
    ratio: float
    ratios: list[float]
    behind_s: list[float]
    worker_cpu_us: dict[str, float]
    replayed: int
    replayed_per_second: float
    missing: int
    out_of_order: int
    repeated: int


def run(
    *,
    events: int,
    stations: int,
    rounds: int,
    paced_s: float,
    given: GivenServers,
    say: Callable[[str], None],
) -> FeedReport:
    """Start the servers that are not given, measure, and stop what was started.

    `events` are those of a round, `paced_s` the seconds at a steady pace.

    Raises:
        StopService, RetryLater: a server did not start or cannot be reached, or receipts or events
            stopped coming.
    """
    with running_servers(given) as where:
        worker = where.work()
        seed = random.SystemRandom().getrandbits(32)
        say(f"{PACED_PER_S:.0f} events a second for {paced_s:.0f} s …")
        paced, follower = _measure_latency(
            where, f"feed-{seed:08x}", seed, int(PACED_PER_S * paced_s)
        )
        speeds: dict[str, list[float]] = {"off": [], "on": []}
        spent: dict[str, list[float]] = {"off": [], "on": []}
        behind: list[float] = []
        wanted, tenant = 0, ""
        for number in range(rounds):
            say(f"round {number + 1}: {events} events without the feed, and with it …")
            for kind in ("off", "on") if number % 2 else ("on", "off"):
                name = f"{kind}-{seed + number:08x}"
                with measure_cpu(worker.process.pid) as cpu:
                    speeds[kind].append(_ingest(where, name, seed + number, events, stations))
                    if kind == "on":
                        tenant, started = name, time.monotonic()
                        wanted = _wait_published(where, name)
                        behind.append(time.monotonic() - started)
                spent[kind].append(sum(cpu) / events * 1e6)
        say("replay from 1 …")
        started = time.monotonic()
        replaying = FeedFollower(where.port, tenant, host=where.host).start()
        if not replaying.wait_for(wanted, PATIENCE_S):
            raise StopService(f"the replay ended at {replaying.last} of {wanted}")
        replay_s = time.monotonic() - started
        replaying.close()
        waits = [
            heard - event.time.timestamp()
            for event, heard in zip(follower.events, follower.heard_at, strict=True)
        ]
        ratios = [on / off for off, on in zip(speeds["off"], speeds["on"], strict=True)]
        return FeedReport(
            events=events,
            rounds=rounds,
            paced_events=paced,
            commit_to_message_p50_ms=round(quantile(waits, 0.5) * 1000, 1),
            commit_to_message_p99_ms=round(quantile(waits, 0.99) * 1000, 1),
            off_events_per_second=round(statistics.median(speeds["off"]), 1),
            on_events_per_second=round(statistics.median(speeds["on"]), 1),
            ratio=round(statistics.median(ratios), 3),
            ratios=[round(one, 3) for one in ratios],
            behind_s=[round(one, 2) for one in behind],
            worker_cpu_us={kind: round(statistics.median(us), 1) for kind, us in spent.items()},
            replayed=wanted,
            replayed_per_second=round(wanted / replay_s, 1),
            missing=paced - len(follower.events),
            out_of_order=follower.out_of_order,
            repeated=follower.repeated,
        )


def report_lines(report: FeedReport) -> list[str]:
    """Return a report as lines for a person."""
    r = report
    return [
        (
            f"at {PACED_PER_S:.0f} events/s commit to message p50 {r.commit_to_message_p50_ms} ms,"
            f" p99 {r.commit_to_message_p99_ms} ms ({r.paced_events} events)"
        ),
        (
            f"ingest {r.off_events_per_second:.0f} events/s without the feed,"
            f" {r.on_events_per_second:.0f} with it: ratio {r.ratio:.2f}, of {r.ratios}"
        ),
        f"published {r.behind_s} s after the last receipt",
        f"worker's CPU an event: {r.worker_cpu_us} µs, with its publication",
        f"replay {r.replayed_per_second:.0f} events/s ({r.replayed} events)",
        f"missing {r.missing}, out of order {r.out_of_order}, repeated {r.repeated}",
    ]


def _measure_latency(
    where: RunningServers, tenant: str, seed: int, paced: int
) -> tuple[int, FeedFollower]:
    asyncio.run(open_feed(where.database, tenant))
    follower = FeedFollower(where.port, tenant, host=where.host).start()
    # Until the worker knows of the feed: `feed.publish.SWEEP_S`.
    time.sleep(2.5)
    work = scans.divide_work(seed, 1, paced, datetime.now(UTC), size=BATCH)
    senders = StationSenders(where.host, where.port, tenant, work)
    senders.run(per_second=PACED_PER_S, check=where.check)
    senders.close()
    wanted = _wait_published(where, tenant)
    if not follower.wait_for(wanted, PATIENCE_S):
        raise StopService(f"the feed ended at {follower.last} of {wanted}")
    follower.close()
    return wanted, follower


def _ingest(where: RunningServers, tenant: str, seed: int, events: int, stations: int) -> float:
    """Return the events a second of a tenant, whose feed is open if its name begins with `on`."""
    if tenant.startswith("on"):
        asyncio.run(open_feed(where.database, tenant))
    time.sleep(1.5)
    work = scans.divide_work(seed, stations, events, datetime.now(UTC), size=50)
    senders = StationSenders(where.host, where.port, tenant, work)
    seconds = senders.run(check=where.check)
    senders.close()
    return events / seconds


async def open_feed(database: str, tenant: str) -> None:
    """Open a tenant's feed in the database at the owner's address."""
    async with owner_connection(database) as connection:
        await rows.open_feed(connection, tenant, datetime.now(UTC))


def _wait_published(where: RunningServers, tenant: str) -> int:
    """Wait until a tenant's feed is published, and return its newest number."""
    deadline = time.monotonic() + PATIENCE_S
    while (newest := asyncio.run(_published(where.database, tenant))) is None:
        where.check()
        if time.monotonic() > deadline:
            raise StopService(f"the feed of {tenant} is not published after {PATIENCE_S:.0f} s")
        time.sleep(0.1)
    return newest


async def _published(database: str, tenant: str) -> int | None:
    async with owner_connection(database) as connection:
        waiting = await connection.fetchval(
            "SELECT EXISTS (SELECT FROM feed_runs WHERE tenant = $1 AND first IS NULL)", tenant
        )
        mark = await rows.mark_of(connection, tenant)
    return mark.numbered if mark and not waiting and mark.published == mark.numbered else None

"""`cloud drain`: a backlog that was sent without a worker, to a broker that then crashed.

It measures the time from a worker's start to the last receipt.
"""

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from cardmint_cloud import rebuild
from cardmint_lab.census import take_census
from cardmint_lab.cloud import scans
from cardmint_lab.cloud.senders import StationSenders, sending
from cardmint_lab.cloud.test_bed import GivenServers, running_servers, watch_memory

AWAY_S = 2.0


@dataclass(frozen=True, kw_only=True, slots=True)
class DrainReport:
    """Results, counted from the worker's start.

    `sent_in_vain` counts events that were sent while no worker ran.
    """

    events: int
    stations: int
    batch: int
    broker_killed: bool
    sent_in_vain: int
    seconds: float
    events_per_second: float
    rss_mb: float
    lost: int
    duplicated: int
    parked: int
    equals_log: bool


def run(
    *, events: int, stations: int, batch: int, given: GivenServers, say: Callable[[str], None]
) -> DrainReport:
    """Send without a worker, kill our broker, start a worker, wait for every receipt.

    Raises:
        StopService, RetryLater: a server did not start or cannot be reached, or receipts stopped
            coming.
    """
    seed = random.SystemRandom().getrandbits(32)
    tenant = f"bench-{seed:08x}"
    work = scans.divide_work(seed, stations, events, datetime.now(UTC), size=batch)
    with running_servers(given) as where:
        senders = StationSenders(where.host, where.port, tenant, work)
        say(
            f"{events} events from {stations} stations, {batch} a message, and no worker for"
            f" {AWAY_S:.0f} s …"
        )
        with sending([senders], timeout_s=600, check=where.check) as (sent,):
            time.sleep(AWAY_S)
            if where.broker:
                where.broker.kill()
                where.broker.start()
            vain = senders.sent
            start = time.monotonic()
            with watch_memory(where.work()) as rss:
                sent.result()
            seconds = time.monotonic() - start
        counted = asyncio.run(take_census(where.database, tenant))
        return DrainReport(
            events=events,
            stations=stations,
            batch=batch,
            broker_killed=where.broker is not None,
            sent_in_vain=vain,
            seconds=round(seconds, 2),
            events_per_second=round(events / seconds, 1),
            rss_mb=round(max(rss) / 2**20, 1),
            lost=events - counted.cards,
            duplicated=counted.doubled,
            parked=counted.parked,
            equals_log=asyncio.run(rebuild.compare_with_log(where.database)).equal,
        )


def report_lines(report: DrainReport) -> list[str]:
    """Return a report as lines for a person."""
    r = report
    killed = ", and the broker was killed" if r.broker_killed else ""
    return [
        f"{r.sent_in_vain} events were sent in vain{killed}",
        (
            f"{r.seconds} s from the worker's start to the last receipt, {r.events_per_second:.0f}"
            " events/s"
        ),
        f"worker at most {r.rss_mb:.0f} MB",
        f"lost {r.lost}, duplicated {r.duplicated}, parked {r.parked}",
        "the inventory is what the log says"
        if r.equals_log
        else "THE INVENTORY IS NOT WHAT THE LOG SAYS",
    ]

"""Stations send while everything fails at random; in the end each event is there once, in order.

`cardmint-lab chaos` is the long form, `tests/cloud/test_chaos.py` the short one.
"""

import asyncio
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from uuid import UUID

import asyncpg
import msgspec

from cardmint_cloud import rebuild
from cardmint_cloud.adapters.postgres import feed as rows
from cardmint_cloud.local.broker import BrokerKind, LocalBroker
from cardmint_cloud.local.postgres import LocalPostgres
from cardmint_cloud.local.processes import ChildProcess
from cardmint_contracts.envelope import BATCH, decode_batch
from cardmint_contracts.feed import FeedItem
from cardmint_lab.cloud import scans
from cardmint_lab.cloud.feed import open_feed
from cardmint_lab.cloud.senders import StationSenders, sending
from cardmint_lab.cloud.test_bed import GivenServers, running_servers
from cardmint_lab.faulty_proxy import FaultyProxy
from cardmint_lab.folders import temporary_folder
from cardmint_lab.follower import FeedFollower
from cardmint_lab.system import installed_script

TENANT = "chaos"
PATIENCE_S = 120.0


@dataclass(frozen=True, kw_only=True)
class ChaosOutcome:
    """What was sent, what failed meanwhile, what the feed told, and what is wrong in the end."""

    seed: int
    events: int
    seconds: float
    faults: Counter[str]
    connects: int
    sent: int
    told: int
    wrong: tuple[str, ...]


class ChaosSystem:
    """Every part, and how each of them fails.

    Workers reach broker and Postgres through proxies, and stations the broker. `cloud_port` is
    where workers reach the broker, if it is another port, and `worker_settings` are theirs.
    """

    def __init__(
        self,
        stack: ExitStack,
        draw: random.Random,
        *,
        postgres: LocalPostgres,
        broker: LocalBroker,
        cloud_port: int | None = None,
        worker_settings: Mapping[str, str] | None = None,
    ) -> None:
        self.draw = draw
        self.postgres = postgres.start()
        stack.callback(self.postgres.drop)
        self.broker = broker.start()
        stack.callback(self.broker.stop)
        self._worker_settings = dict(worker_settings or {})
        self.proxies = {
            "stations to broker": FaultyProxy(self.broker.port, draw),
            "workers to broker": FaultyProxy(cloud_port or self.broker.port, draw),
            "workers to Postgres": FaultyProxy(self.postgres.port, draw),
        }
        for proxy in self.proxies.values():
            stack.callback(proxy.close)
        through = self.postgres.service_address.replace(
            f":{self.postgres.port}/", f":{self.proxies['workers to Postgres'].port}/"
        )
        given = GivenServers(
            database=self.postgres.address,
            broker=f"127.0.0.1:{self.proxies['workers to broker'].port}",
        )
        self._where = stack.enter_context(running_servers(given))
        self._where.service = through
        self.workers: list[ChildProcess] = [
            self._where.work(**self._worker_settings) for _ in range(2)
        ]

    def check(self) -> None:
        """Check that no worker ended by itself.

        Raises:
            StopService: a worker ended.
        """
        self._where.check()

    def fail(self) -> str:
        """Let one random part fail and recover; return its name."""
        faults = self.faults()
        name = self.draw.choice(sorted(faults))
        faults[name]()
        return name

    def faults(self) -> dict[str, Callable[[], None]]:
        """Return how parts fail and recover, by name."""
        faults: dict[str, Callable[[], None]] = {
            "broker killed": self._kill_broker,
            "worker 1 killed": lambda: self._kill_worker(0),
            "worker 2 killed": lambda: self._kill_worker(1),
            "worker 1 paused": lambda: self._pause_worker(0),
            "worker 2 paused": lambda: self._pause_worker(1),
            "Postgres stopped at once": self._kill_postgres,
        }
        for name, proxy in self.proxies.items():
            faults[f"{name}: cut"] = proxy.cut
            faults[f"{name}: held"] = partial(self._hold, proxy)
            faults[f"{name}: half closed"] = proxy.half_close
        return faults

    def _hold(self, proxy: FaultyProxy) -> None:
        proxy.hold(self.draw.uniform(0.1, 2.5))

    def _kill_broker(self) -> None:
        self.broker.kill()
        time.sleep(self.draw.uniform(0, 0.5))
        self.broker.start()

    def _kill_postgres(self) -> None:
        self.postgres.kill()
        time.sleep(self.draw.uniform(0, 0.5))
        self.postgres.start()

    def _kill_worker(self, number: int) -> None:
        self.stop_worker(number)
        time.sleep(self.draw.uniform(0, 0.5))
        self.start_worker(number)

    def stop_worker(self, number: int) -> None:
        """Kill a worker, which `check` does not expect to run any more."""
        self._where.workers.remove(self.workers[number])
        self.workers[number].kill()

    def start_worker(self, number: int, **environment: str) -> None:
        """Start a worker in place of one that was stopped, with more of an environment."""
        self.workers[number] = ChildProcess(
            installed_script(["cardmint-cloud", "work"]),
            self._where.folder / f"worker-{number}-again.log",
            env={**self._where.environment, **self._worker_settings, **environment},
        )
        self._where.workers.append(self.workers[number])

    def _pause_worker(self, number: int) -> None:
        os.kill(self.workers[number].process.pid, signal.SIGSTOP)
        time.sleep(self.draw.uniform(0.1, 2.5))
        os.kill(self.workers[number].process.pid, signal.SIGCONT)


def run(
    *,
    events: int,
    stations: int,
    batch: int,
    faults_s: float,
    seed: int,
    kind: BrokerKind,
    say: Callable[[str], None],
) -> ChaosOutcome:
    """Send `events` while parts fail for `faults_s` seconds, wait for the receipts, and compare."""
    say(f"seed {seed}")
    draw = random.Random(seed)
    work = scans.divide_work(seed, stations, events, datetime.now(UTC), size=batch)
    with ExitStack() as stack:
        folder = stack.enter_context(temporary_folder())
        stage = ChaosSystem(
            stack,
            draw,
            postgres=LocalPostgres(folder / "postgres"),
            broker=LocalBroker(folder / "broker", kind=kind),
        )
        port = stage.proxies["stations to broker"].port
        asyncio.run(open_feed(stage.postgres.address, TENANT))
        follower = FeedFollower(stage.broker.port, TENANT).start()
        stack.callback(follower.close)
        senders = [
            StationSenders("127.0.0.1", port, TENANT, {name: own}, quiet_s=1.0)
            for name, own in work.items()
        ]
        pace = events / stations / faults_s
        start = time.monotonic()
        counted: Counter[str] = Counter()
        with sending(
            senders, per_second=pace, timeout_s=faults_s + PATIENCE_S, check=stage.check
        ) as running:
            while time.monotonic() < start + faults_s:
                stage.check()
                fault = stage.fail() if draw.random() < 0.9 else _away(follower, draw)
                counted[fault] += 1
                say(f"{time.monotonic() - start:6.1f} s  {fault}")
                threading.Event().wait(draw.uniform(0.0, 1.0))
            for sent in running:
                sent.result()
        seconds = time.monotonic() - start
        wrong = asyncio.run(_wrong(stage.postgres.address, work))
        wrong += asyncio.run(_wrong_feed(stage.postgres.address, follower))
        return ChaosOutcome(
            seed=seed,
            events=events,
            seconds=seconds,
            faults=counted,
            connects=sum(one.connects for one in senders),
            sent=sum(one.sent for one in senders),
            told=len(follower.events),
            wrong=tuple(wrong),
        )


def _away(follower: FeedFollower, draw: random.Random) -> str:
    follower.leave()
    time.sleep(draw.uniform(0.1, 2.5))
    follower.back()
    return "program away"


async def _wrong_feed(address: str, follower: FeedFollower) -> list[str]:
    """Compare what a program heard with what the feed has, and that with the inventory."""
    connection = await asyncpg.connect(address, command_timeout=60)
    try:
        deadline = time.monotonic() + PATIENCE_S
        while await connection.fetchval(
            "SELECT EXISTS (SELECT FROM feed_runs WHERE first IS NULL)"
        ):
            if time.monotonic() > deadline:
                return ["the feed has events without a number"]
            await asyncio.sleep(0.1)
        mark = await rows.mark_of(connection, TENANT)
        newest = mark.numbered if mark else 0
        if not await asyncio.to_thread(follower.wait_for, newest, PATIENCE_S):
            return [f"a program has the feed up to {follower.last} of {newest}"]
        wrong: list[str] = []
        stored: list[tuple[int, str, bytes]] = []
        while page := await rows.numbered_entries(connection, TENANT, len(stored) + 1, newest):
            stored += [(number, one.type, bytes(one.data)) for number, one in page]
        heard = [(one.number, one.type, bytes(one.data)) for one in follower.events[:newest]]
        if heard != stored:
            wrong.append(f"{len(heard)} events that a program heard are not the {len(stored)} told")
        held: dict[UUID, FeedItem] = {}
        for event in follower.events:
            if event.type.startswith("cardmint.feed.item."):
                item = msgspec.json.decode(event.data, type=FeedItem)
                if event.type.endswith(".removed.v1"):
                    del held[item.item]
                elif (item.item in held) == event.type.endswith(".changed.v1"):
                    held[item.item] = item
                else:
                    wrong.append(f"{event.type} of {item.item} comes at the wrong place")
        there = {
            row["item"]: tuple(row)[1:]
            for row in await connection.fetch(
                "SELECT item, card_id, bin, lot, version FROM items WHERE tenant = $1"
                " AND status = 'counted' AND card_id <> '' AND stock IN ('in-stock', 'reserved')",
                TENANT,
            )
        }
        told = {key: (one.card_id, one.bin, one.lot, one.version) for key, one in held.items()}
        if told != there:
            wrong.append(f"{len(told)} items by the feed are not the {len(there)} of the inventory")
        return wrong
    finally:
        connection.terminate()


async def _wrong(address: str, work: dict[str, tuple[UUID, list[scans.EventMessage]]]) -> list[str]:
    """Compare the log with what was sent, byte by byte in order, and the inventory with the log."""
    wrong: list[str] = []
    connection = await asyncpg.connect(address, command_timeout=60)
    try:
        for name, (stream, parcels) in work.items():
            sent = [
                (envelope.number, bytes(envelope.data).decode())
                for parcel in parcels
                for envelope in decode_batch(parcel.payload, BATCH)
            ]
            rows = await connection.fetch(
                "SELECT sequence, data FROM events WHERE tenant = $1 AND stream = $2 ORDER BY"
                " position",
                TENANT,
                stream,
            )
            if [tuple(row) for row in rows] != sent:
                wrong.append(
                    f"{name}: {len(rows)} events in the log are not the {len(sent)} that were"
                    " sent, in order"
                )
        total = sum(parcels[-1].last for _, parcels in work.values())
        # What the cloud itself says, such as an audit that it opens, is in the log too, but came
        # from no station.
        streams = [stream for stream, _ in work.values()]
        logged = await connection.fetchval(
            "SELECT count(*) FROM events WHERE stream = ANY($1)", streams
        )
        for table, count in (
            ("events", logged),
            ("items", await connection.fetchval("SELECT count(*) FROM items")),
        ):
            if count != total:
                wrong.append(
                    f"{count} rows in {table} came from stations, and {total} events were sent"
                )
        if parked := await connection.fetchval("SELECT count(*) FROM dead_letters"):
            wrong.append(f"{parked} dead letters")
    finally:
        connection.terminate()
    comparison = await rebuild.compare_with_log(address)
    return wrong if comparison.equal else [*wrong, *rebuild.comparison_lines(comparison)]

"""Stations are divided among workers.

Whoever dies, is paused or comes anew, everything counts once.
"""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardmint_cloud import log_months, rebuild
from cardmint_cloud.adapters.mqtt.connection import InboundMessage, MessageProperties
from cardmint_cloud.adapters.postgres.connection import Pool, PostgresConnection, TenantDatabase
from cardmint_cloud.adapters.postgres.ingest import leases
from cardmint_cloud.domain.rendezvous import SLOTS, owner_of, share_of, slot_of
from cardmint_cloud.ingest.read import read_message
from cardmint_cloud.ingest.worker import PendingMessage, Worker
from cardmint_cloud.local.broker import LocalBroker
from cardmint_cloud.local.processes import ChildProcess
from cardmint_contracts.envelope import encode_batch
from cardmint_lab.census import take_census
from cardmint_lab.cloud import scans
from cardmint_lab.cloud.senders import StationSenders, sending
from tests.cloud.kit.cards import accepted, sealed

EVENTS, STATIONS, PER_SECOND = 3000, 12, 400.0
everyone = st.sets(st.uuids(version=4), min_size=1, max_size=6)


@given(everyone)
def test_every_slot_has_one_owner(workers: set[UUID]) -> None:
    shares = [share_of(worker, workers) for worker in workers]
    assert sum(len(one) for one in shares) == SLOTS
    assert frozenset().union(*shares) == frozenset(range(SLOTS))


@given(everyone, st.uuids(version=4))
def test_a_new_worker_takes_slots_only_for_itself(workers: set[UUID], new: UUID) -> None:
    for number in range(SLOTS):
        assert owner_of(number, workers | {new}) in {owner_of(number, workers), new}


@pytest.mark.integration
async def test_postgres_computes_the_same_slot(owner: Pool) -> None:
    names = [("shop", f"station-{number}") for number in range(2000)]
    found = await owner.fetch(
        f"SELECT {leases.SLOT} AS slot FROM unnest($1::text[], $2::text[]) AS t (tenant, station)",
        *([list(column) for column in zip(*names, strict=True)]),
    )
    assert [row["slot"] for row in found] == [slot_of(*name) for name in names]
    assert {row["slot"] for row in found} == set(range(SLOTS))


class Deaf:
    """A link that only notes what goes out."""

    connection = 1

    def __init__(self) -> None:
        self.published: list[str] = []
        self.heard = asyncio.Event()

    def acknowledge(self, messages: Sequence[InboundMessage]) -> None:
        self.heard.set()

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        retain: bool = True,
        properties: MessageProperties | None = None,
    ) -> asyncio.Future[None]:
        self.published.append(topic)
        return asyncio.get_running_loop().create_future()

    def refresh(self) -> None:
        pass

    async def retained_tasks(self) -> set[str]:
        return set()


@pytest.mark.integration
async def test_a_worker_that_lost_its_stations_without_knowing_cannot_write(
    pool: Pool, owner: Pool
) -> None:
    worker, link = Worker(pool), Deaf()
    await worker.leases.renew(link)
    assert worker.leases.slots == set(range(SLOTS))
    await owner.execute(
        "UPDATE slot_leases SET worker = $1", uuid4()
    )  # What happens while it is paused.
    message = first_event()
    pending = PendingMessage(
        message=message, route=worker.route(message.topic), batch=read_message(message)
    )
    await worker.commit_group([pending], link)
    assert await owner.fetchval("SELECT count(*) FROM events") == 0
    assert link.published == []
    await owner.execute("DELETE FROM workers")
    await worker.leases.renew(link)
    await worker.commit_group([pending], link)
    assert await owner.fetchval("SELECT count(*) FROM events") == 1


@pytest.mark.integration
@pytest.mark.parametrize("prepares", [True, False])
async def test_what_a_paused_worker_locks_is_taken_from_it(database: str, prepares: bool) -> None:
    paused, worker, link = (
        uuid4(),
        Worker(pool := await asyncpg.create_pool(database, min_size=1, max_size=3)),
        Deaf(),
    )
    settings = {"application_name": leases.session_name(paused)}
    session = await asyncpg.connect(database, command_timeout=60, server_settings=settings)
    try:
        await leases.settle_leases(session, paused, range(SLOTS))
        await session.execute("BEGIN")
        assert await leases.lock_held_slots(session, paused, {7}) == {7}
        if prepares:
            await session.prepare(
                "SELECT $1::int"
            )  # Postgres waits for what is to be done with it.
        async with asyncio.timeout(20):
            while len(worker.leases.slots) < SLOTS:
                await worker.leases.renew(link)
                await asyncio.sleep(0.1)
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError)):
            await session.fetch("SELECT 1")
    finally:
        session.terminate()
        pool.terminate()


def first_event() -> InboundMessage:
    payload, content_type = encode_batch(sealed(accepted(), time=datetime.now(UTC)))
    return InboundMessage(
        topic="cardmint/v1/shop/left/events",
        payload=payload,
        retained=False,
        content_type=content_type,
        properties=[],
        connection=1,
        mid=1,
    )


@pytest.mark.integration
async def test_the_first_event_of_a_new_database_finds_its_month(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def slowly(connection: PostgresConnection, now: datetime) -> None:
        await asyncio.sleep(0.5)
        await make_ahead(connection, now)

    make_ahead = log_months.make_ahead
    monkeypatch.setattr(log_months, "make_ahead", slowly)
    async with asyncpg.create_pool(database, min_size=1, max_size=5) as pool:
        worker, link = Worker(pool), Deaf()
        worker.put(first_event())
        running = asyncio.create_task(worker.run(link))
        async with asyncio.timeout(20):
            await link.heard.wait()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        shop = TenantDatabase(pool, "shop")
        assert await shop.fetchval("SELECT count(*) FROM events") == 1
        assert await shop.fetchval("SELECT count(*) FROM dead_letters") == 0


@pytest.mark.integration
async def test_a_worker_ends_when_a_review_changes_in_the_same_moment(pool: Pool) -> None:
    worker = Worker(pool)
    running = asyncio.create_task(worker.run(Deaf()))
    async with asyncio.timeout(20):
        await asyncio.sleep(1)  # All is quiet: it waits for reviews.
        worker.dispatcher.wake()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert running.cancelled()


async def _held(address: str) -> dict[UUID, int]:
    connection = await asyncpg.connect(address, command_timeout=20)
    try:
        rows = await connection.fetch(
            "SELECT worker, count(*) AS slots FROM slot_leases GROUP BY worker"
        )
        return {row["worker"]: row["slots"] for row in rows if row["worker"] is not None}
    finally:
        connection.terminate()


def until(address: str, so: Callable[[dict[UUID, int]], bool]) -> tuple[float, dict[UUID, int]]:
    """Wait until the slots are held so; return the seconds that it took, and who holds how many."""
    start = time.monotonic()
    while not (so(held := asyncio.run(_held(address))) and sum(held.values()) == SLOTS):
        assert time.monotonic() < start + 30, f"it never became so: {held}"
        time.sleep(0.02)
    return time.monotonic() - start, held


class Crew:
    """Workers as child processes."""

    def __init__(self, folder: Path, database: str, broker: LocalBroker) -> None:
        self._folder = folder
        self._environment = {
            "CARDMINT_CLOUD_DATABASE": database,
            "CARDMINT_CLOUD_BROKER_PORT": str(broker.port),
            "CARDMINT_CLOUD_PRICES_EVERY_S": "3600",
        }
        self.children: list[ChildProcess] = []

    def add(self) -> ChildProcess:
        log = self._folder / f"worker-{len(self.children)}.log"
        child = ChildProcess(
            [str(Path(sys.executable).with_name("cardmint-cloud")), "work"],
            log,
            env=self._environment,
        )
        self.children.append(child)
        child.wait_until(lambda: "broker connected" in log.read_text())
        return child


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[LocalBroker]:
    server = LocalBroker(tmp_path / "broker").start()
    yield server
    server.stop()


@pytest.fixture
def crew(tmp_path: Path, database: str, broker: LocalBroker) -> Iterator[Crew]:
    crew = Crew(tmp_path, database, broker)
    yield crew
    with ExitStack() as stack:
        for child in crew.children:
            stack.callback(child.kill)


@pytest.mark.integration
@pytest.mark.parametrize("fault", ["killed", "paused", "stopped"])
def test_whatever_becomes_of_a_worker_everything_counts_once(
    fault: str, crew: Crew, database: str, owner_database: str, broker: LocalBroker
) -> None:
    now = datetime.now(UTC)
    work = {
        scans.station_name(n): (
            scans.station_stream(1, n),
            scans.make_messages(1, n, EVENTS // STATIONS, now, size=5),
        )
        for n in range(STATIONS)
    }
    victim = crew.add()
    crew.add()
    until(database, lambda held: len(held) == 2)
    senders = StationSenders("127.0.0.1", broker.port, "shop", work)
    with sending([senders], per_second=PER_SECOND, timeout_s=100) as (sent,):
        time.sleep(1.5)
        match fault:
            case "killed":
                victim.kill()
            case "paused":
                os.kill(victim.process.pid, signal.SIGSTOP)
            case _:
                victim.process.terminate()
        seconds, _ = until(database, lambda held: len(held) == 1)
        print(f"a worker was {fault}; the other had its stations after {seconds:.2f} s")
        time.sleep(0.5)
        if fault == "paused":
            os.kill(victim.process.pid, signal.SIGCONT)
        else:
            crew.add()
        seconds, held = until(database, lambda held: len(held) == 2)
        print(
            f"a worker came; the stations were divided anew after {seconds:.2f} s:"
            f" {sorted(held.values())}"
        )
        sent.result()
    counted = asyncio.run(take_census(owner_database, "shop"))
    assert (counted.scans, counted.cards, counted.items, counted.doubled, counted.parked) == (
        EVENTS,
    ) * 3 + (0, 0)
    assert asyncio.run(rebuild.compare_with_log(owner_database)).equal

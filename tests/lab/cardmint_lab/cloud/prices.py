"""`cloud prices`: the cost of pricing for providers and us, and proof that it delays no scan."""

import asyncio
import random
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import httpx

from cardmint_cloud.adapters.postgres.connection import Pool, tenant_transaction
from cardmint_cloud.adapters.providers.http import ProviderHttp
from cardmint_cloud.adapters.providers.tcgcsv import TcgCsv
from cardmint_cloud.adapters.providers.tcgdex import Tcgdex
from cardmint_cloud.ingest.commit import commit
from cardmint_cloud.ingest.read import EventBatch
from cardmint_cloud.local.processes import ChildProcess, accepts_connections, free_port
from cardmint_cloud.log_months import make_ahead
from cardmint_cloud.pricing.price import price_card
from cardmint_cloud.pricing.provider_client import ProviderClient
from cardmint_contracts.cards import Card, Decision
from cardmint_contracts.envelope import Envelope, seal
from cardmint_contracts.events import CardScanned, RecogniserIdentity
from cardmint_lab.census import quantile
from cardmint_lab.cloud.paced_sender import seconds_to_receipt
from cardmint_lab.cloud.provider_overhead import (
    FAST,
    LIMITS,
    WORKERS,
    counting_calls,
    measure_dead_hour,
    measure_overhead,
)
from cardmint_lab.cloud.test_bed import GivenServers, running_servers
from cardmint_lab.system import installed_script

SETS = ("base1", "base2", "base3", "base4", "gym1", "gym2", "neo1", "neo2", "ecard1", "ecard3")
"""Sets that every provider knows; the stand-in for TCGCSV has cards 1 to 300 in each."""

ROUNDS = 4
PER_SECOND = 60.0


@dataclass(frozen=True, kw_only=True, slots=True)
class PricesReport:
    """Results. Milliseconds are from publish to receipt.

    The ratio is that of the rounds' medians.
    """

    healthy_p50_ms: float
    hanging_p50_ms: float
    healthy_p99_ms: float
    hanging_p99_ms: float
    hanging_to_healthy: float
    calls_hanging: int
    scans: int
    printings: int
    single_calls: int
    bulk_calls: int
    bulk_sets: int
    priced_single: int
    priced_bulk: int
    hit_p50_ms: float
    hit_p99_ms: float
    overhead_p50_ms: float
    overhead_p99_ms: float
    miss_p50_ms: float
    miss_p99_ms: float
    statement_p50_ms: float
    statement_p99_ms: float
    dead_hour_calls: int
    dead_hour_periods: int
    recovered_after_s: float


def run(*, scans: int, printings: int, events: int, say: Callable[[str], None]) -> PricesReport:
    """Start everything on free ports of loopback, measure, and stop everything.

    Raises:
        StopService: a server did not start, or receipts stopped coming.
    """
    with running_servers(GivenServers()) as where, ExitStack() as stack:
        port = free_port()
        stand_in = ChildProcess(
            installed_script(["cardmint-lab", "stand-ins", "--port", str(port), "--slow-s", "30"]),
            where.folder / "stand-in.log",
        )
        stack.callback(stand_in.stop)
        stand_in.wait_until(lambda: accepts_connections(port))
        base = f"http://127.0.0.1:{port}"
        say(
            f"{ROUNDS} rounds of {events} scans with every provider answering, and hanging, in"
            " turn …"
        )
        worker = where.work(
            CARDMINT_CLOUD_PRICES_ORDER="tcgdex,pokemontcg,tcgcsv",
            CARDMINT_CLOUD_PRICES_TCGDEX_URL=f"{base}/tcgdex/v2/en",
            CARDMINT_CLOUD_PRICES_POKEMONTCG_URL=f"{base}/pokemontcg/v2",
            CARDMINT_CLOUD_PRICES_TCGCSV_URL=f"{base}/tcgcsv",
            CARDMINT_CLOUD_PRICES_EVERY_S="1",
        )
        healthy, hanging, calls = _scans(base, where.port, events)
        worker.stop()
        httpx.put(f"{base}/faults/all/none").raise_for_status()
        say(f"calls for {scans} scans of {printings} printings …")
        return asyncio.run(
            _measure_calls(
                where.service,
                base,
                scans,
                printings,
                healthy=healthy,
                hanging=hanging,
                calls_hanging=calls,
            )
        )


def _scans(base: str, port: int, events: int) -> tuple[list[list[float]], list[list[float]], int]:
    """Return the seconds to receipt of each round, and the number of calls to hanging providers."""
    healthy: list[list[float]] = []
    hanging: list[list[float]] = []
    calls = 0
    seconds_to_receipt(
        port, "bench", _made(0, events), per_second=PER_SECOND
    )  # Everything is warm after it.
    for number in range(1, 2 * ROUNDS + 1):
        hangs = number % 2 == 0
        httpx.put(f"{base}/faults/all/{'slow' if hangs else 'none'}").raise_for_status()
        before = sum(httpx.get(f"{base}/calls").json().values())
        found = seconds_to_receipt(port, "bench", _made(number, events), per_second=PER_SECOND)
        calls += (sum(httpx.get(f"{base}/calls").json().values()) - before) if hangs else 0
        (hanging if hangs else healthy).append(found)
    return healthy, hanging, calls


def _card(number: int) -> Card:
    set_id, place = SETS[number % len(SETS)], number // len(SETS) + 1
    return Card(
        id=f"{set_id}-{place}",
        name=f"Card {place}",
        number=str(place),
        set_id=set_id,
        set_name=set_id,
    )


def _made(seed: int, count: int, printings: int = 2000) -> list[Envelope]:
    """Return a station's accepted scans of random printings."""
    draw = random.Random(seed)
    now = datetime.now(UTC)
    stream = UUID(int=random.SystemRandom().getrandbits(128), version=4)
    order = [
        *range(printings),
        *(draw.randrange(printings) for _ in range(max(0, count - printings))),
    ]
    draw.shuffle(order)
    return [
        seal(
            CardScanned(
                scan=UUID(int=random.SystemRandom().getrandbits(128), version=4),
                decision=Decision.ACCEPT,
                recogniser=RecogniserIdentity(method="classical", pack="bench"),
                card=_card(order[number - 1]),
                confidence=0.98,
                margin=0.4,
            ),
            source=f"/stations/bench-{seed}",
            time=now,
            stream=stream,
            sequence=number,
            bootid=UUID(int=1),
            monotonic_ms=number,
            clock_synced=True,
        )
        for number in range(1, count + 1)
    ]


async def _measure_calls(
    address: str,
    base: str,
    scans: int,
    printings: int,
    *,
    healthy: Sequence[list[float]],
    hanging: Sequence[list[float]],
    calls_hanging: int,
) -> PricesReport:
    async with (
        httpx.AsyncClient() as client,
        asyncpg.create_pool(address, min_size=4, max_size=20) as pool,
    ):
        single_calls, priced_single, _ = await _calls(
            pool, client, base, "tcgdex", scans=scans, printings=printings
        )
        bulk_calls, priced_bulk, sets = await _calls(
            pool, client, base, "tcgcsv", scans=scans, printings=printings
        )
        hit, passage, miss, statement = [
            (_ms(seconds, 0.5), _ms(seconds, 0.99))
            for seconds in await measure_overhead(pool, client, base, min(3000, scans))
        ]
        dead_calls, periods, recovered = await measure_dead_hour(pool, client, base)
    p50 = [
        quantile([quantile(found, 0.5) for found in rounds], 0.5) * 1000
        for rounds in (healthy, hanging)
    ]
    p99 = [
        quantile([second for found in rounds for second in found], 0.99) * 1000
        for rounds in (healthy, hanging)
    ]
    return PricesReport(
        healthy_p50_ms=round(p50[0], 2),
        hanging_p50_ms=round(p50[1], 2),
        healthy_p99_ms=round(p99[0], 1),
        hanging_p99_ms=round(p99[1], 1),
        hanging_to_healthy=round(p50[1] / p50[0], 3),
        calls_hanging=calls_hanging,
        scans=scans,
        printings=printings,
        single_calls=single_calls,
        bulk_calls=bulk_calls,
        bulk_sets=sets,
        priced_single=priced_single,
        priced_bulk=priced_bulk,
        hit_p50_ms=hit[0],
        hit_p99_ms=hit[1],
        overhead_p50_ms=passage[0],
        overhead_p99_ms=passage[1],
        miss_p50_ms=miss[0],
        miss_p99_ms=miss[1],
        statement_p50_ms=statement[0],
        statement_p99_ms=statement[1],
        dead_hour_calls=dead_calls,
        dead_hour_periods=periods,
        recovered_after_s=recovered,
    )


def _ms(seconds: list[float], share: float) -> float:
    return round(quantile(seconds, share) * 1000, 3)


async def _calls(
    pool: Pool, client: httpx.AsyncClient, base: str, name: str, *, scans: int, printings: int
) -> tuple[int, int, int]:
    """Scan for a new tenant and price its cards; return calls, priced cards and sets."""
    provider = Tcgdex() if name == "tcgdex" else TcgCsv()
    provider.rate = FAST  # Calls are counted here; how fast they may come is another matter.
    folder = {"tcgdex": "/tcgdex/v2/en", "tcgcsv": "/tcgcsv"}[name]
    sources = [ProviderClient(provider, ProviderHttp(client, base + folder, deadline_s=60), pool)]
    now = datetime.now(UTC)
    async with pool.acquire() as connection:
        await make_ahead(connection, now)
        for table in ("provider_answers", "provider_gates"):
            await connection.execute(f"DELETE FROM {table}")  # The worker found them hanging.
    async with tenant_transaction(pool, name) as shop:
        events = _made(99, scans, printings)
        for first in range(0, len(events), 500):
            part = events[first : first + 500]
            batch = EventBatch(
                tenant=name,
                origin="bench",
                stream=part[0].stream,
                first=part[0].number,
                last=part[-1].number,
                source=part[0].source,
                topic="",
                envelopes=part,
            )
            await commit(shop, [batch], now)
        cards = await shop.fetch("SELECT card_id FROM price_checks WHERE tenant = $1", name)
        sets = await shop.fetchval(
            "SELECT count(DISTINCT set_id) FROM printings WHERE tenant = $1", name
        )
    slots = asyncio.Semaphore(8)

    async def one(card_id: str) -> None:
        async with slots:
            await price_card(pool, sources, name, card_id, now)

    async with counting_calls(client, base, name) as found:
        await asyncio.gather(*(one(row["card_id"]) for row in cards))
        # Every printing once more within the day, and by another worker: nothing is asked again.
        again = [ProviderClient(provider, ProviderHttp(client, base + folder), pool)]
        for row in cards[:50]:
            await price_card(pool, again, name, row["card_id"], now)
    async with tenant_transaction(pool, name) as shop:
        await shop.execute(
            "UPDATE price_checks SET due_at = $2 WHERE tenant = $1", name, now + timedelta(days=9)
        )
        priced = await shop.fetchval(
            "SELECT count(DISTINCT card_id) FROM current_quotes WHERE tenant = $1", name
        )
    return found(), int(priced), int(sets)


def report_lines(report: PricesReport) -> list[str]:
    """Return a report as lines for a person, with the targets."""
    r = report
    scans = (
        f"scan to inventory p50: {r.healthy_p50_ms} ms with healthy, {r.hanging_p50_ms} ms with"
        " hanging providers;"
        f" ratio {r.hanging_to_healthy} (target 0.95 to 1.05); p99 {r.healthy_p99_ms} and"
        f" {r.hanging_p99_ms} ms;"
        f" {r.calls_hanging} calls hung meanwhile"
    )
    calls = (
        f"{r.scans} scans of {r.printings} printings: {r.single_calls} single calls (target"
        f" {r.printings}),"
        f" {r.priced_single} priced; {r.bulk_calls} calls in bulk for {r.bulk_sets} sets (target"
        " 60),"
        f" {r.priced_bulk} priced"
    )
    passages = (
        f"p50 and p99 of a cache hit: {r.hit_p50_ms} and {r.hit_p99_ms} ms; of breaker, turn and"
        " cache hit:"
        f" {r.overhead_p50_ms} and {r.overhead_p99_ms} ms (target 1); of a miss without the"
        " provider's own time:"
        f" {r.miss_p50_ms} and {r.miss_p99_ms} ms; of an empty statement: {r.statement_p50_ms} and"
        f" {r.statement_p99_ms} ms"
    )
    dead = (
        f"a provider dead for an hour, {WORKERS} workers: {r.dead_hour_calls} calls in"
        f" {r.dead_hour_periods} half-open"
        f" periods, up to {WORKERS * LIMITS.least} that opened the breakers among them; both had"
        " answers again"
        f" {r.recovered_after_s:.0f} s after its return (target {LIMITS.open_s:.0f})"
    )
    return [scans, calls, passages, dead]


def meets_targets(report: PricesReport) -> bool:
    """Whether the results that do not depend on the machine are right: calls and priced cards."""
    return (
        report.single_calls <= report.printings
        and report.bulk_calls <= 2 * report.bulk_sets
        and report.priced_bulk == report.priced_single == min(report.printings, report.scans)
        and report.dead_hour_calls <= report.dead_hour_periods + WORKERS * LIMITS.least
        and report.recovered_after_s <= LIMITS.open_s
    )

"""A provider asked with care, over real HTTP and a real Postgres.

Cached, coalesced, paced, cut off and let in.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx
import pytest

from cardmint_cloud.adapters.postgres.connection import Pool, fetch_one
from cardmint_cloud.adapters.postgres.prices import provider_state
from cardmint_cloud.adapters.providers.http import (
    CallWithheld,
    ProviderHttp,
    ProviderRequest,
    ProviderUnavailable,
    UnusableAnswer,
)
from cardmint_cloud.adapters.providers.pokemontcg import PokemonTcg
from cardmint_cloud.adapters.providers.pricecharting import PriceCharting
from cardmint_cloud.adapters.providers.tcgcsv import TcgCsv
from cardmint_cloud.adapters.providers.tcgdex import Tcgdex
from cardmint_cloud.domain.breaker import BreakerLimits, BreakerState
from cardmint_cloud.domain.call_budget import RateLimit
from cardmint_cloud.domain.price_parsing import ImplausibleAnswer
from cardmint_cloud.domain.quotes import Quote
from cardmint_cloud.errors import NotFound
from cardmint_cloud.local.processes import ChildProcess, accepts_connections, free_port
from cardmint_cloud.pricing.provider_client import PriceProvider, ProviderClient
from cardmint_contracts.cards import Card
from cardmint_lab.stand_ins.faults import FAULTS, PROVIDER_NAMES
from cardmint_lab.system import installed_script
from tests.cloud.kit.database import pooled
from tests.cloud.kit.prices import quote

pytestmark = pytest.mark.integration

TOKEN = "0123456789abcdef0123456789abcdef01234567"
CARD = Card(id="base1-7", name="Card 7", number="7/102", set_id="base1", set_name="Base")
SLOW_S = 0.4


class Clock:
    """A clock that goes only when it is told to."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 22, 12, tzinfo=UTC)
        self.slept: list[float] = []

    def __call__(self) -> datetime:
        return self.now

    def monotonic(self) -> float:
        return self.now.timestamp()

    def pass_s(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.pass_s(seconds)


@pytest.fixture(scope="module")
def standin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = free_port()
    command = installed_script(["cardmint-lab", "stand-ins", "--port", str(port), "--slow-s", "3"])
    child = ChildProcess(command, tmp_path_factory.mktemp("stand-in") / "log")
    try:
        child.wait_until(lambda: accepts_connections(port))
        yield f"http://127.0.0.1:{port}"
    finally:
        child.stop()


@pytest.fixture
async def client(standin: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient() as client:
        await client.put(f"{standin}/faults/all/none")
        yield client


def made(name: str) -> PriceProvider:
    known: dict[str, Callable[[], PriceProvider]] = {
        "tcgdex": Tcgdex,
        "pokemontcg": lambda: PokemonTcg("k" * 36),
        "pricecharting": lambda: PriceCharting(TOKEN),
        "tcgcsv": TcgCsv,
    }
    return known[name]()


FOLDERS = {"tcgdex": "/tcgdex/v2/en", "pokemontcg": "/pokemontcg/v2"}


@pytest.fixture
def make(pool: Pool, client: httpx.AsyncClient, standin: str) -> Callable[..., ProviderClient]:
    def one(
        name: str = "tcgdex", *, attempts: int = 1, clock: Clock | None = None, **more: Any
    ) -> ProviderClient:
        clock = clock or Clock()
        base = standin + FOLDERS.get(name, f"/{name}")
        fetcher = ProviderHttp(
            client, base, deadline_s=SLOW_S, attempts=attempts, sleep=clock.sleep
        )
        times = {"clock": clock, "monotonic": clock.monotonic, "sleep": clock.sleep}
        where = more.pop("pool", pool)
        return ProviderClient(
            more.pop("provider", None) or made(name), fetcher, where, **{**times, **more}
        )

    return one


async def calls(client: httpx.AsyncClient, standin: str, name: str = "tcgdex") -> int:
    return int((await client.get(f"{standin}/calls")).json()[name])


@pytest.mark.parametrize("name", PROVIDER_NAMES)
async def test_every_provider_quotes_a_card_of_its_stand_in(
    make: Callable[..., ProviderClient], name: str
) -> None:
    now = datetime.now(UTC)
    quotes = await make(name).quotes(CARD, now)
    assert {quote.source.split("/")[0] for quote in quotes} == {name}
    assert all(quote.minor > 0 and quote.as_of <= now for quote in quotes)
    if name == "pricecharting":
        assert {quote.grade for quote in quotes} >= {"", "7", "9", "PSA 10"}
    else:
        assert {"normal", "reverse_holo"} <= {quote.finish for quote in quotes}


ENDS: dict[str, type[Exception] | tuple[type[Exception], ...]] = {
    "slow": ProviderUnavailable,
    "rate-limited": ProviderUnavailable,
    "broken": ProviderUnavailable,
    "reset": ProviderUnavailable,
    "truncated": UnusableAnswer,
    "garbage": UnusableAnswer,
    "wrong-types": ImplausibleAnswer,
    "wrong-card": (ImplausibleAnswer, NotFound),
}


@pytest.mark.parametrize("name", PROVIDER_NAMES)
async def test_every_fault_of_every_provider_has_a_name_or_is_harmless(
    make: Callable[..., ProviderClient],
    client: httpx.AsyncClient,
    standin: str,
    owner: Pool,
    name: str,
) -> None:
    for fault in FAULTS:
        await owner.execute("TRUNCATE provider_answers, provider_rates")
        await client.put(f"{standin}/faults/{name}/{fault}")
        source = make(name, attempts=2)
        if fault in ENDS:
            with pytest.raises(ENDS[fault]):
                await source.quotes(CARD, datetime.now(UTC))
            continue
        quotes = await source.quotes(CARD, datetime.now(UTC))
        assert quotes
        if fault == "stale" and name in FOLDERS:
            assert {quote.as_of.year for quote in quotes} == {2024}  # Old, and it says so.


async def test_an_unknown_card_is_not_found_and_that_is_kept(
    make: Callable[..., ProviderClient], client: httpx.AsyncClient, standin: str
) -> None:
    before = await calls(client, standin)
    for _ in range(3):
        with pytest.raises(NotFound):
            await make().quotes(Card(id="missing-1", name="X"), datetime.now(UTC))
    assert await calls(client, standin) == before + 1


async def test_an_answer_serves_all_workers_for_a_day_and_is_then_asked_whether_it_changed(
    make: Callable[..., ProviderClient], client: httpx.AsyncClient, standin: str, pool: Pool
) -> None:
    clock = Clock()
    first, second = make(clock=clock), make(clock=clock)
    ask = ProviderRequest(path="/cards/base1-7")
    before = await calls(client, standin)
    one = await first.get(ask)
    clock.pass_s(23 * 3600)
    assert (await second.get(ask)).value == one.value
    assert ((await second.get(ask)).at, second.cached, await calls(client, standin)) == (
        one.at,
        2,
        before + 1,
    )
    clock.pass_s(2 * 3600)
    again = await second.get(ask)
    assert (again.value, again.at) == (one.value, clock.now)  # 304: nothing was sent again.
    assert await calls(client, standin) == before + 2
    await provider_state.forget_before(pool, clock.now + timedelta(seconds=1))
    assert (await provider_state.find_answer(pool, "tcgdex", ask.key)).kept is None


async def test_what_a_worker_read_lately_costs_neither_a_statement_nor_a_turn(
    make: Callable[..., ProviderClient], database: str
) -> None:
    clock = Clock()
    async with pooled(database, most=1) as pool:
        source = make(clock=clock, pool=pool)
        first = await source.get(ProviderRequest(path="/cards/base1-7"))
        with pytest.raises(NotFound):
            await source.get(ProviderRequest(path="/cards/missing-7"))
    # Whatever asks the database from here on fails.
    clock.pass_s(23 * 3600)
    assert (await source.get(ProviderRequest(path="/cards/base1-7"))).value is first.value
    with pytest.raises(NotFound):
        await source.get(ProviderRequest(path="/cards/missing-7"))
    with pytest.raises(asyncpg.InterfaceError):
        await source.get(ProviderRequest(path="/cards/base1-7"), timedelta(hours=22))
    assert source.cached == 2


async def test_the_same_question_at_once_is_one_call(
    make: Callable[..., ProviderClient], client: httpx.AsyncClient, standin: str
) -> None:
    source = make()
    before = await calls(client, standin)
    answers = await asyncio.gather(
        *(source.get(ProviderRequest(path="/cards/base1-7")) for _ in range(30))
    )
    assert len({id(answer.value) for answer in answers}) == 1
    assert await calls(client, standin) == before + 1


async def test_who_gives_up_waiting_does_not_take_the_others_answer(
    make: Callable[..., ProviderClient], pool: Pool
) -> None:
    source = make()
    impatient = asyncio.create_task(source.get(ProviderRequest(path="/cards/base1-7")))
    patient = asyncio.create_task(source.get(ProviderRequest(path="/cards/base1-7")))
    await asyncio.sleep(0)
    impatient.cancel()
    assert (await patient).value
    failing = asyncio.create_task(source.get(ProviderRequest(path="/cards/missing-9")))
    await asyncio.sleep(0)
    failing.cancel()
    async with asyncio.timeout(20):
        await source.idle()


LIMITS = BreakerLimits(window_s=60, least=3, failure_rate=0.5, slow_s=100, open_s=30, probes=1)


async def test_a_provider_that_fails_is_left_alone_and_let_in_again(
    make: Callable[..., ProviderClient],
    client: httpx.AsyncClient,
    standin: str,
    pool: Pool,
    owner: Pool,
) -> None:
    clock = Clock()
    source = make(clock=clock, limits=LIMITS)
    await client.put(f"{standin}/faults/tcgdex/broken")
    for n in range(3):
        with pytest.raises(ProviderUnavailable):
            await source.get(ProviderRequest(path=f"/cards/base1-{n}"))
    before = await calls(client, standin)
    with pytest.raises(CallWithheld) as caught:
        await source.get(ProviderRequest(path="/cards/base1-9"))
    assert (caught.value.reason, caught.value.retry_after_s) == ("open", 30)
    row = await fetch_one(
        owner, "SELECT state, last_error FROM provider_states WHERE provider = 'tcgdex'"
    )
    assert tuple(row) == ("open", "http-500: HTTP 500")
    clock.pass_s(30)
    asked = (source.get(ProviderRequest(path=f"/cards/base1-{n}")) for n in range(20, 30))
    results = await asyncio.gather(*asked, return_exceptions=True)
    assert sorted(type(result).__name__ for result in results) == ["CallWithheld"] * 9 + [
        "ProviderUnavailable"
    ]
    assert await calls(client, standin) == before + 1  # One probe, however many ask.
    await client.put(f"{standin}/faults/tcgdex/none")
    clock.pass_s(30)
    assert (await source.get(ProviderRequest(path="/cards/base1-9"))).value
    assert source.breaker.view(clock.monotonic()).state is BreakerState.CLOSED
    assert (
        await owner.fetchval("SELECT state FROM provider_states WHERE provider = 'tcgdex'")
        == "closed"
    )


async def test_a_card_that_is_not_known_is_no_failure(make: Callable[..., ProviderClient]) -> None:
    clock = Clock()
    source = make(clock=clock, limits=LIMITS)
    for n in range(5):
        with pytest.raises(NotFound):
            await source.get(ProviderRequest(path=f"/cards/missing-{n}"))
    view = source.breaker.view(clock.monotonic())
    assert (view.state, view.calls, view.failed) == (BreakerState.CLOSED, 5, 0)


class Slow:
    """A provider that may be asked twice a second, and ten times a day."""

    name = "slow"
    rate = RateLimit(per_s=2, burst=1, per_day=10)

    async def quotes(self, card: Card, get: Any, now: datetime) -> tuple[Quote, ...]:
        raise NotImplementedError


async def test_the_rate_is_shared_by_all_workers(make: Callable[..., ProviderClient]) -> None:
    clock = Clock()
    workers = [make(provider=Slow(), clock=clock) for _ in range(2)]
    started = clock.now
    for n in range(8):
        with pytest.raises(NotFound):
            await workers[n % 2].get(ProviderRequest(path=f"/missing/{n}"))
    assert clock.now - started == timedelta(
        seconds=3.5
    )  # Eight calls, half a second apart, whoever made them.


async def test_a_turn_that_would_not_come_soon_is_left_to_the_job(
    make: Callable[..., ProviderClient],
) -> None:
    clock = Clock()
    source = make(provider=Slow(), clock=clock, sleep=nothing)
    asked = (source.get(ProviderRequest(path=f"/missing/{n}")) for n in range(9))
    results = await asyncio.gather(*asked, return_exceptions=True)
    paced = [result for result in results if isinstance(result, CallWithheld)]
    assert [result.reason for result in paced] == [
        "paced"
    ] * 4  # At once, and four more within two seconds.
    assert all(0 < result.retry_after_s <= 2.5 for result in paced)
    assert source.breaker.view(clock.monotonic()).failed == 0


async def nothing(_: float) -> None:
    return


async def test_a_days_budget_ends_at_midnight(
    make: Callable[..., ProviderClient], owner: Pool
) -> None:
    clock = Clock()
    source = make(provider=Slow(), clock=clock, budget=3)
    for n in range(3):
        with pytest.raises(NotFound):
            await source.get(ProviderRequest(path=f"/missing/{n}"))
        clock.pass_s(60)
    with pytest.raises(CallWithheld) as caught:
        await source.get(ProviderRequest(path="/missing/9"))
    midnight = datetime(2026, 11, 23, tzinfo=UTC)
    assert (caught.value.reason, caught.value.retry_after_s) == (
        "budget",
        (midnight - clock.now).total_seconds(),
    )
    row = await fetch_one(owner, "SELECT calls, budget FROM provider_calls WHERE provider = 'slow'")
    assert tuple(row) == (3, 3)
    clock.now = midnight
    with pytest.raises(NotFound):
        await source.get(ProviderRequest(path="/missing/9"))


async def test_what_a_provider_asks_for_holds_for_all_workers(
    make: Callable[..., ProviderClient], client: httpx.AsyncClient, standin: str
) -> None:
    clock = Clock()
    one, other = make(clock=clock), make(clock=clock)
    await client.put(f"{standin}/faults/tcgdex/rate-limited")
    with pytest.raises(ProviderUnavailable):
        await one.get(ProviderRequest(path="/cards/base1-1"))
    await client.put(f"{standin}/faults/tcgdex/none")
    await other.get(ProviderRequest(path="/cards/base1-2"))
    assert clock.slept == [pytest.approx(1.0)]


async def test_who_asks_for_a_pause_may_be_let_in_again(
    make: Callable[..., ProviderClient], pool: Pool
) -> None:
    clock = Clock()
    one = make(clock=clock)
    await one.get(ProviderRequest(path="/cards/base1-1"))
    await one.permits.hold(clock.now + timedelta(days=1))
    with pytest.raises(CallWithheld) as caught:
        await one.get(ProviderRequest(path="/cards/base1-2"))
    assert caught.value.retry_after_s == pytest.approx(86_400)
    assert await provider_state.let_in(pool, "tcgdex", clock.now)
    await one.get(ProviderRequest(path="/cards/base1-2"))
    assert not await provider_state.let_in(pool, "pokemontcg", clock.now)


async def test_a_pause_or_gate_of_a_wrong_clock_ends_by_itself(
    make: Callable[..., ProviderClient], pool: Pool
) -> None:
    """As version 0.1 wrote it, which believed any `Retry-After`."""
    clock = Clock()
    one, other = make(clock=clock), make("pokemontcg", clock=clock)
    long_after = clock.now + timedelta(days=31 * 365)
    await one.permits.hold(long_after)
    await provider_state.close_gate(pool, "pokemontcg", long_after)
    await one.get(ProviderRequest(path="/cards/base1-1"))
    await other.get(ProviderRequest(path="/cards/base1-1"))
    assert clock.slept == []


class Renamed:
    """A provider that answers, and whose prices cannot be read from the third card on."""

    name = "tcgdex"
    rate = Tcgdex.rate

    def __init__(self) -> None:
        self.asked = 0

    async def quotes(self, card: Card, get: object, now: datetime) -> tuple[Quote, ...]:
        self.asked += 1
        return (quote(100),) if self.asked < 3 else ()


async def test_answers_without_any_price_are_counted_apart(
    make: Callable[..., ProviderClient], owner: Pool
) -> None:
    clock = Clock()
    one = make(provider=Renamed(), clock=clock)
    for _ in range(6):
        await one.quotes(CARD, clock.now)
        clock.pass_s(10)
    row = await fetch_one(owner, "SELECT judged, unpriced, failed, state FROM provider_states")
    assert tuple(row) == (6, 4, 0, "closed")


async def test_a_key_reaches_no_table(make: Callable[..., ProviderClient], owner: Pool) -> None:
    await make("pricecharting").quotes(CARD, datetime.now(UTC))
    await make("pokemontcg").quotes(CARD, datetime.now(UTC))
    for table in ("provider_answers", "provider_states", "provider_calls", "provider_rates"):
        for row in await owner.fetch(f"SELECT t::text FROM {table} t"):
            assert TOKEN not in row[0]
            assert "k" * 36 not in row[0]


async def test_a_dead_hour_costs_one_probe_in_each_period_however_many_workers_ask(
    make: Callable[..., ProviderClient],
    client: httpx.AsyncClient,
    standin: str,
    pool: Pool,
    owner: Pool,
) -> None:
    """A provider that is dead for an hour.

    Two workers ask every six seconds, one of which is replaced half-way.
    """
    clock = Clock()
    workers = [make(clock=clock, limits=LIMITS, attempts=3) for _ in range(2)]
    await client.put(f"{standin}/faults/tcgdex/broken")
    before = 0
    for n in range(606):
        if n == 6:  # Both have found out by now.
            before = await calls(client, standin)
        if n == 300:  # A worker takes the right to try, and is lost.
            await provider_state.claim_probe(
                pool, "tcgdex", clock.now, clock.now + timedelta(seconds=LIMITS.open_s)
            )
            workers[1] = make(clock=clock, limits=LIMITS, attempts=3)
        asked = (
            worker.get(ProviderRequest(path=f"/cards/base1-{n}-{w}"))
            for w, worker in enumerate(workers)
        )
        results = await asyncio.gather(*asked, return_exceptions=True)
        assert all(isinstance(result, ProviderUnavailable) for result in results)
        clock.pass_s(6)
    probes = await calls(client, standin) - before
    assert 1800 / LIMITS.open_s <= probes <= 3600 / LIMITS.open_s
    await client.put(f"{standin}/faults/tcgdex/none")
    recovered = 0
    for worker in workers:
        while recovered <= LIMITS.open_s:
            try:
                await worker.get(ProviderRequest(path="/cards/base1-700"), timedelta())
            except CallWithheld:
                clock.pass_s(1)
                recovered += 1
            else:
                break
    assert recovered <= LIMITS.open_s
    assert await owner.fetchval("SELECT count(*) FROM provider_gates") == 0


async def test_a_probe_that_was_not_made_is_anothers(
    make: Callable[..., ProviderClient], client: httpx.AsyncClient, standin: str, pool: Pool
) -> None:
    clock = Clock()
    one, other = (make(clock=clock, limits=LIMITS) for _ in range(2))
    await provider_state.close_gate(pool, "tcgdex", clock.now)
    await provider_state.pause_provider(pool, "tcgdex", one.rate, clock.now + timedelta(seconds=9))
    with pytest.raises(CallWithheld) as caught:
        await one.get(ProviderRequest(path="/cards/base1-1"))
    assert caught.value.reason == "paced"
    clock.pass_s(9)
    assert (await other.get(ProviderRequest(path="/cards/base1-1"))).value


def test_the_stand_ins_faults_are_named_when_wrong(standin: str) -> None:
    assert httpx.put(f"{standin}/faults/tcgdex/nonsense").status_code == 400
    assert httpx.put(f"{standin}/faults/nobody/slow").status_code == 400

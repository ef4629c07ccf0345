"""`cloud reviews`: from the commit of a question to the station's page."""

import asyncio
import random
import re
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

import asyncpg
import httpx

from cardmint_cloud.adapters.postgres.connection import Pool, tenant_transaction
from cardmint_cloud.domain.items import review_task_id
from cardmint_cloud.errors import StopService
from cardmint_cloud.ingest.commit import commit
from cardmint_cloud.ingest.read import EventBatch
from cardmint_cloud.reviews.answers import submit_answer
from cardmint_contracts.cards import Candidate, Card, Decision
from cardmint_contracts.envelope import seal
from cardmint_contracts.events import CardScanned, RecogniserIdentity
from cardmint_lab.census import quantile
from cardmint_lab.folders import temporary_folder
from cardmint_lab.simulator import SimulatedCards
from cardmint_lab.system import STATIONS, System

PAGE_ASKS_S = 0.05
"""Seconds between two polls of the station's page (`…/page/templates/live.html`)."""

PATIENCE_S = 20.0
_DIGEST = re.compile(r"/live\?have=([0-9a-f]+)")


@dataclass(frozen=True, kw_only=True, slots=True)
class ReviewsReport:
    """Milliseconds from the commit of a question to its appearance on the station's page."""

    questions: int
    p50_ms: float
    p99_ms: float
    most_ms: float
    broker: str


def run(*, questions: int, say: Callable[[str], None]) -> ReviewsReport:
    """Start the whole system on loopback, ask questions one by one, and stop everything.

    Raises:
        StopService: a part did not start, or a question did not appear on the page.
    """
    with ExitStack() as stack:
        folder = stack.enter_context(temporary_folder())
        folder.chmod(0o755)
        pack = folder / "fictional" / "pack.sqlite"
        system = System(folder, pack=pack)
        stack.callback(system.stop)
        say("drawing the fictional cards and starting the system …")
        system.lab("fictional", "fictional", "--out", str(pack.parent))
        system.start_cloud()
        station = STATIONS[0]
        system.start_station(station, SimulatedCards(count=1, seed=1))
        deadline = time.monotonic() + PATIENCE_S
        while not system.connected(station):
            if time.monotonic() > deadline:
                raise StopService(f"the station did not connect; see {system.log(station)}")
            time.sleep(0.1)
        say(f"asking {questions} questions …")
        seconds = asyncio.run(_ask(system, station, questions))
    return ReviewsReport(
        questions=questions,
        p50_ms=round(quantile(seconds, 0.5) * 1000, 1),
        p99_ms=round(quantile(seconds, 0.99) * 1000, 1),
        most_ms=round(max(seconds) * 1000, 1),
        broker=system.broker.kind,
    )


async def _ask(system: System, station: str, questions: int) -> list[float]:
    """Ask questions one by one. Each is answered before the next, so that the page has one."""
    base = f"http://127.0.0.1:{system.page_ports[station]}"
    seconds: list[float] = []
    async with (
        asyncpg.create_pool(system.postgres.service_address, min_size=2, max_size=4) as pool,
        httpx.AsyncClient(base_url=base, timeout=10) as page,
    ):
        for number in range(1, questions + 1):
            scan = UUID(int=random.SystemRandom().getrandbits(128), version=4)
            task = review_task_id(scan)
            shown = asyncio.create_task(_shown(page, str(task)))
            await asyncio.sleep(
                random.SystemRandom().uniform(0, 0.5)
            )  # Anywhere in the page's wait.
            await _commit(pool, system.tenant, station, scan, number)
            committed = time.monotonic()
            # The page may show the question before the commit's answer is here.
            seconds.append(max(0.0, await shown - committed))
            now = datetime.now(UTC)
            await submit_answer(
                pool,
                system.tenant,
                task,
                version=1,
                verdict="no_card",
                card=None,
                user="bench",
                now=now,
            )
    return seconds


async def _shown(page: httpx.AsyncClient, task: str) -> float:
    """Poll the station's page as a browser does until it has a task; return the moment."""
    digest = ""
    ends = time.monotonic() + PATIENCE_S
    while time.monotonic() < ends:
        found = await page.get("/live", params={"have": digest})
        if task in found.text:
            return time.monotonic()
        if match := _DIGEST.search(found.text):
            digest = match[1]
            await asyncio.sleep(PAGE_ASKS_S)
    raise StopService(
        f"question {task} did not come to the station's page within {PATIENCE_S:.0f} s"
    )


async def _commit(pool: Pool, tenant: str, station: str, scan: UUID, number: int) -> None:
    now = datetime.now(UTC)
    card = Card(
        id="fic1-7", name="Ember Fox", number="007/040", set_id="fic1", set_name="First Light"
    )
    envelope = seal(
        CardScanned(
            scan=scan,
            decision=Decision.REVIEW,
            recogniser=RecogniserIdentity(method="classical", pack="bench"),
            confidence=0.5,
            reasons=("same-art",),
            candidates=(Candidate(card=card, confidence=0.5),),
        ),
        source=f"/stations/{station}",
        time=now,
        stream=UUID(int=4242),
        sequence=number,
        bootid=UUID(int=1),
        monotonic_ms=number,
        clock_synced=True,
    )
    batch = EventBatch(
        tenant=tenant,
        origin=station,
        stream=envelope.stream,
        first=number,
        last=number,
        source=envelope.source,
        topic="",
        envelopes=(envelope,),
    )
    async with tenant_transaction(pool, tenant) as connection:
        await commit(connection, [batch], now)


def report_lines(report: ReviewsReport) -> list[str]:
    """Return a report as lines for a person, with the target."""
    r = report
    times = f"p50 {r.p50_ms} ms, p99 {r.p99_ms} ms (target 250), most {r.most_ms} ms"
    return [f"{r.questions} questions, commit to the station's page: {times}, over {r.broker}"]

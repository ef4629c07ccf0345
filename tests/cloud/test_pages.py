"""The pages of prices, worth and reviews, on a real Postgres and a real server.

What they show, take and refuse.
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import httpx
import pytest

from cardmint_cloud.adapters.postgres.connection import Pool
from cardmint_cloud.adapters.postgres.prices import provider_state
from cardmint_cloud.adapters.postgres.prices.provider_state import BreakerReport
from cardmint_cloud.domain.breaker import BreakerState, BreakerView
from cardmint_cloud.domain.call_budget import RateLimit
from cardmint_cloud.domain.items import review_task_id
from cardmint_cloud.pricing.price import price_card
from cardmint_cloud.reviews.answers import lease_question, submit_answer
from cardmint_cloud.reviews.opening import open_for_new_cards
from cardmint_contracts.cards import Finish, ScanDefaults
from tests.cloud.kit.cards import FOX, NOW, OWL, accepted, doubtful, send
from tests.cloud.kit.prices import QuoteSourceStub, add_printings, quote
from tests.cloud.kit.reviews import review_rules
from tests.cloud.kit.web import HTMX_REQUEST, plain

pytestmark = pytest.mark.integration

DAY = timedelta(days=1)


async def text(site: httpx.AsyncClient, path: str) -> str:
    response = await site.get(path)
    assert response.status_code == 200
    return plain(response)


def standing(state: BreakerState, error: str = "") -> BreakerReport:
    view = BreakerView(state=state, since=0, calls=6, failed=5, slow=0)
    return BreakerReport(
        provider="tcgdex",
        worker=uuid4(),
        view=view,
        since=NOW - DAY,
        answered=70,
        cached=130,
        last_error=error,
    )


async def test_the_page_of_prices_shows_breakers_budgets_and_what_is_due(
    pool: Pool, site: httpx.AsyncClient
) -> None:
    assert "No provider was asked yet" in await text(site, "/prices")
    await provider_state.put_breaker_report(pool, standing(BreakerState.CLOSED), NOW)
    await provider_state.put_breaker_report(
        pool, standing(BreakerState.OPEN, "http-500: HTTP <500>"), NOW
    )
    await provider_state.put_breaker_report(
        pool, standing(BreakerState.OPEN), NOW - DAY
    )  # A worker that is gone.
    await provider_state.take_permits(
        pool, "tcgdex", RateLimit(per_s=1, burst=1, per_day=2), NOW, patience_s=0
    )
    await add_printings(pool, "a", "b", "c", at=NOW + timedelta(hours=1))
    page = await text(site, "/prices")
    for words in (
        "Left alone",
        "Breaker open",
        "Breaker closed",
        "HTTP &lt;500&gt;",
        "1 of 2",
        "used up",
        "in 1 h",
    ):
        assert words in page
    assert page.count("answered, 130 from the cache") == 2
    metrics = await text(site, "/metrics")
    for line in (
        'cardmint_provider_breakers{provider="tcgdex",state="open"} 1.0',
        'cardmint_provider_calls_today{provider="tcgdex"} 1.0',
        'cardmint_provider_answers{from="cache",provider="tcgdex"} 260.0',
        'cardmint_jobs_lag_seconds{queue="prices"} 0.0',
    ):
        assert line in metrics


@pytest.mark.parametrize(
    ("judged", "unpriced", "red"),
    [(100, 0, False), (100, 49, False), (100, 50, True), (4, 4, False)],
)
async def test_answers_without_any_price_are_red(
    pool: Pool, site: httpx.AsyncClient, judged: int, unpriced: int, red: bool
) -> None:
    report = replace(standing(BreakerState.CLOSED), judged=judged, unpriced=unpriced)
    await provider_state.put_breaker_report(pool, report, NOW)
    page = await text(site, "/prices")
    assert ("Answers without any price" in page) == ('class="alarm"' in page) == red
    said = f"{unpriced} of the last {judged} cards that it knows were answered without any price"
    assert (said in page) == bool(unpriced)
    metrics = await text(site, "/metrics")
    assert f'cardmint_provider_judged{{provider="tcgdex"}} {judged}.0' in metrics
    assert f'cardmint_provider_unpriced{{provider="tcgdex"}} {unpriced}.0' in metrics


async def test_a_provider_that_asked_for_a_pause_is_asked_now(
    pool: Pool, owner: Pool, site: httpx.AsyncClient
) -> None:
    rate = RateLimit(per_s=1, burst=1, per_day=9)
    await provider_state.pause_provider(pool, "tcgdex", rate, NOW + timedelta(hours=20))
    job = await owner.fetchval(
        "INSERT INTO procrastinate_jobs (queue_name, task_name, args, status, scheduled_at)"
        " VALUES ('prices', 'price', '{\"tenant\": \"shop\"}', 'todo', $1) RETURNING id",
        NOW + timedelta(hours=20),
    )
    page = await text(site, "/prices")
    assert "It asked for a pause" in page
    assert "in 20 h" in page
    htmx = {**HTMX_REQUEST, "hx-target": "prices"}
    done = await site.post("/providers/tcgdex/ask", headers=htmx)
    assert (done.status_code, "is asked again from now on" in done.text) == (200, True)
    assert "It asked for a pause" not in done.text
    grant = await provider_state.take_permits(pool, "tcgdex", rate, NOW, patience_s=0)
    assert grant.count == 1
    due = await owner.fetchval("SELECT scheduled_at FROM procrastinate_jobs WHERE id = $1", job)
    assert due == NOW
    assert (await site.post("/providers/tcgdex/ask")).status_code == 303
    for name in ("pokemontcg", "nobody"):
        assert (await site.post(f"/providers/{name}/ask", headers=htmx)).status_code == 404


async def test_a_job_that_was_given_up_is_tried_again_or_discarded(
    owner: Pool, site: httpx.AsyncClient
) -> None:
    jobs = [
        await owner.fetchval(
            "INSERT INTO procrastinate_jobs (queue_name, task_name, args, status, attempts)"
            " VALUES ('prices', 'price', jsonb_build_object('tenant', $1::text, 'card_id',"
            " 'fic1-7'), 'failed', 6)"
            " RETURNING id",
            tenant,
        )
        for tenant in ("shop", "shop", "other")
    ]
    page = await text(site, "/prices")
    assert page.count('id="job-') == 2
    assert "No reason was kept" in page
    done = await site.post(
        f"/jobs/{jobs[0]}/requeue", headers={**HTMX_REQUEST, "hx-target": "prices"}
    )
    assert (done.status_code, "Put back into the queue" in done.text) == (200, True)
    assert (await site.post(f"/jobs/{jobs[1]}/discard")).status_code == 303
    assert (await site.post(f"/jobs/{jobs[2]}/discard")).status_code == 404
    assert (await site.post(f"/jobs/{jobs[1]}/forget")).status_code == 404
    left = await owner.fetch("SELECT id, status::text FROM procrastinate_jobs ORDER BY id")
    assert [tuple(row) for row in left] == [(jobs[0], "todo"), (jobs[2], "failed")]


async def test_what_it_is_worth_and_was(pool: Pool, site: httpx.AsyncClient) -> None:
    assert "Nothing was counted yet" in await text(site, "/value")
    batch = ScanDefaults(finish=Finish.NORMAL, lot="<estate>")
    await send(pool, accepted(defaults=batch), accepted(OWL), now=NOW - 10 * DAY)
    for at, minor in ((NOW - 9 * DAY, 100), (NOW - DAY, 150)):
        await price_card(
            pool, [QuoteSourceStub(answers={FOX.id: [quote(minor)]})], "shop", FOX.id, at
        )
    page = await text(site, "/value")
    for words in (
        "$1.50",
        "&lt;estate&gt;",
        "polyline",
        "tcgdex/tcgplayer",
        "Without a price then",
    ):
        assert words in page
    then = f"{NOW - 5 * DAY:%Y-%m-%d}"
    assert "$1.00" in await text(site, f"/value?at={then}&lot=%3Cestate%3E&span=7")
    assert "$1.50" in await text(site, "/value?at=nonsense&span=nonsense")
    assert "$1.50" in await text(site, "/value?at=2099-01-01")
    told = (await site.get(f"/api/v1/shop/value?at={then}&card={FOX.id}")).json()
    assert (told["worth"]["cards"], told["worth"]["sums"][0]["minor"]) == (1, 100)
    assert told["worth"]["sums"][0]["sources"] == {"tcgdex/tcgplayer": 1}
    assert (await site.get("/api/v1/shop/value")).json()["lots"].keys() == {"<estate>", ""}


async def test_a_price_that_jumped_is_judged_on_the_page(
    pool: Pool, owner: Pool, site: httpx.AsyncClient
) -> None:
    await send(pool, accepted(defaults=ScanDefaults(finish=Finish.NORMAL)), now=NOW)
    for at, minor in ((NOW - 2 * DAY, 500), (NOW - DAY, 50_000)):
        await price_card(
            pool, [QuoteSourceStub(answers={FOX.id: [quote(minor)]})], "shop", FOX.id, at
        )
    page = await text(site, "/reviews")
    assert "Prices that jumped" in page
    assert "$500.00" in page
    number = await owner.fetchval("SELECT id FROM held_quotes")
    target = {**HTMX_REQUEST, "hx-target": "reviews"}
    for verdict, status, words in (
        ("take", 200, "The new price counts now"),
        ("refuse", 409, "dashboard has taken this price already"),
        ("undo", 200, "Asked again"),
        ("nonsense", 404, ""),
    ):
        done = await site.post(f"/held-prices/{number}/{verdict}", headers=target)
        assert (done.status_code, words in done.text) == (status, True)
    assert (await site.post("/held-prices/999/take")).status_code == 404


async def test_a_possible_duplicate_is_asked_for_as_one(
    pool: Pool, owner: Pool, site: httpx.AsyncClient
) -> None:
    first = accepted(defaults=ScanDefaults(bin="A3", lot="<estate>"))
    second = accepted(possible_duplicate_of=first.scan)
    lost = accepted(OWL, possible_duplicate_of=uuid4(), candidates=doubtful().candidates)
    await send(pool, first, second, lost, now=NOW - timedelta(minutes=4))
    assert await open_for_new_cards(pool, review_rules(duplicates=True), NOW) == 2
    page = " ".join((await text(site, "/reviews")).split())
    assert page.count("Was this card scanned before?") == 2
    assert "Which card is this?" not in page
    assert page.count("another copy: count it") == 3
    assert page.index(f'value="{OWL.id}"') < page.rindex(f'value="{FOX.id}"'), (
        "what was counted comes first"
    )
    assert page.count("The same card again: do not count it") == 2
    assert "4 min ago</time>, bin A3, lot &lt;estate&gt;, by left: <b>Counted</b>." in page
    assert f'href="/items/{first.scan}"' in page
    assert page.count("One that looks the same was scanned before.") == 1
    task = review_task_id(second.scan, "rules")
    done = await site.post(
        f"/reviews/{task}",
        data={"version": 1, "card": ""},
        headers={**HTMX_REQUEST, "hx-target": "reviews"},
    )
    assert "Answered: not counted." in done.text
    assert await owner.fetchval("SELECT sum(count) FROM holdings") == 2


async def test_an_answer_is_taken_back_and_the_card_asked_for(
    pool: Pool, site: httpx.AsyncClient
) -> None:
    scan = doubtful(defaults=ScanDefaults(bin="A3"))
    await send(pool, scan)
    task = review_task_id(scan.scan)
    target = {**HTMX_REQUEST, "hx-target": "reviews"}
    taken = await site.post(f"/reviews/{task}/hand", headers=target)
    lease = taken.text.split('name="lease" value="')[1].split('"')[0]
    assert "Yours for two minutes" in taken.text
    wrong = {"version": 1, "card": FOX.id, "lease": str(uuid4())}
    assert (await site.post(f"/reviews/{task}", data=wrong, headers=target)).status_code == 409
    assert (await site.post(f"/reviews/{task}", data={**wrong, "lease": "x"})).status_code == 409
    done = await site.post(f"/reviews/{task}", data={**wrong, "lease": lease}, headers=target)
    assert (done.status_code, f"/reviews/{task}/undo" in done.text) == (200, True)
    assert (await site.post(f"/reviews/{task}/undo", data={"version": 1})).status_code == 409
    assert (
        await site.post(f"/reviews/{task}/undo", data={"version": 2}, headers=target)
    ).status_code == 200
    asked = await site.post(f"/reviews/{task}/rescan", data={"version": 3}, headers=target)
    assert "bin A3, slot 1" in asked.text
    assert (await site.post(f"/reviews/{task}/rescan", data={"version": 3})).status_code == 409
    assert (await site.post(f"/reviews/{uuid4()}/hand")).status_code == 404
    history = await text(site, f"/items/{scan.scan}")
    for words in ("Answer taken back, by dashboard", "Asked for the card itself: bin A3, slot 1"):
        assert words in history


async def test_what_somebody_has_in_hand_is_shown(pool: Pool, site: httpx.AsyncClient) -> None:
    scan = doubtful()
    await send(pool, scan)
    await lease_question(pool, "shop", review_task_id(scan.scan), user="ann", now=NOW)
    assert "ann has this in hand until 12:02:00 UTC" in await text(site, "/reviews")
    assert (await site.post(f"/reviews/{review_task_id(scan.scan)}/hand")).status_code == 409


async def test_many_are_answered_at_once_and_conflicts_told(
    pool: Pool, owner: Pool, site: httpx.AsyncClient
) -> None:
    scans = [doubtful() for _ in range(4)]
    await send(pool, *scans)
    tasks = [review_task_id(scan.scan) for scan in scans]
    await submit_answer(
        pool, "shop", tasks[3], version=1, verdict="no_card", card=None, user="ann", now=NOW
    )
    chosen = [f"{task}/1" for task in tasks[1:]]
    target = {**HTMX_REQUEST, "hx-target": "reviews"}
    done = await site.post("/reviews", data={"verdict": "first", "chosen": chosen}, headers=target)
    assert "2 answered. Not taken: 1 (ann answered first" in done.text
    alone = await site.post(
        "/reviews", data={"verdict": "none", "chosen": f"{tasks[0]}/1"}, headers=target
    )
    assert "1 answered." in alone.text
    bad = await site.post(
        "/reviews", data={"verdict": "first", "chosen": ["x/1", f"{uuid4()}/1"]}, headers=target
    )
    assert "0 answered. Not taken: 2" in bad.text
    assert (await site.post("/reviews", data={"verdict": "all"})).status_code == 404
    held = await owner.fetch("SELECT card_id, count FROM holdings WHERE count > 0")
    assert [tuple(row) for row in held] == [(FOX.id, 2)]


async def test_the_measured_precision_is_on_the_page_and_in_the_metrics(
    pool: Pool, site: httpx.AsyncClient
) -> None:
    scans = [accepted() for _ in range(2)]
    await send(pool, *scans, now=NOW)
    await open_for_new_cards(pool, review_rules(audit=1.0), NOW)
    for scan, card in zip(scans, (FOX, OWL), strict=True):
        task = review_task_id(scan.scan, "audit")
        await submit_answer(
            pool, "shop", task, version=1, verdict="card", card=card, user="ann", now=NOW
        )
    page = await text(site, "/reviews")
    assert "How often counted cards are right" in page
    assert "9 % – 90 %" in page
    metrics = await text(site, "/metrics")
    assert 'cardmint_audited{recogniser="classical"} 2.0' in metrics
    assert 'cardmint_precision{bound="measured",recogniser="classical"} 0.5' in metrics


async def test_an_old_price_says_so(pool: Pool, site: httpx.AsyncClient) -> None:
    await send(pool, accepted(defaults=ScanDefaults(finish=Finish.NORMAL)), now=NOW - 20 * DAY)
    old = quote(500, as_of=datetime(2026, 11, 1, tzinfo=UTC))
    source = QuoteSourceStub(answers={FOX.id: [old]})
    await price_card(pool, [source], "shop", FOX.id, NOW - 9 * DAY)
    page = await text(site, f"/cards/{FOX.id}")
    assert '<span class="tag warn">old</span>' in page
    assert "cardmint_prices_stale 1.0" in await text(site, "/metrics")

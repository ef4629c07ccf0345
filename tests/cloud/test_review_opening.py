"""The cloud's own questions on a real Postgres: rules, chance and time.

And what people may do with them.
"""

import asyncio
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from cardmint_cloud import rebuild
from cardmint_cloud.adapters.postgres.connection import Pool, TenantDatabase, tenant_transaction
from cardmint_cloud.adapters.postgres.reviews import questions
from cardmint_cloud.domain.items import review_task_id
from cardmint_cloud.errors import Conflict, NotFound
from cardmint_cloud.pricing.price import price_card
from cardmint_cloud.reviews.answers import (
    LEASE_LENGTH,
    lease_question,
    request_rescan,
    submit_answer,
    undo_answer,
)
from cardmint_cloud.reviews.opening import (
    age_reviews,
    open_for_new_cards,
    open_for_printing,
    recogniser_label,
)
from cardmint_contracts.cards import Finish, ScanDefaults
from cardmint_contracts.events import CardScanned, RecogniserIdentity
from tests.cloud.kit.cards import FOX, NOW, OWL, accepted, doubtful, send
from tests.cloud.kit.prices import QuoteSourceStub, quote
from tests.cloud.kit.reviews import answer_review, review_rules
from tests.cloud.kit.tenants import counted_cards

pytestmark = pytest.mark.integration

HOUR = timedelta(hours=1)


async def review(pool: Pool, scan: CardScanned, why: str = "rules") -> Any:
    return await TenantDatabase(pool, "shop").fetchrow(
        "SELECT * FROM reviews WHERE task = $1", review_task_id(scan.scan, why)
    )


async def test_rules_ask_about_what_is_new_once(pool: Pool, owner: Pool) -> None:
    sure, unsure = accepted(confidence=0.99), accepted(OWL, confidence=0.8)
    await send(pool, sure, unsure, doubtful(), now=NOW)
    wary = review_rules(low_confidence=0.9)
    assert await open_for_new_cards(pool, wary, NOW + HOUR) == 1
    row = await review(pool, unsure)
    assert (row["state"], list(row["reasons"]), row["station"]) == (
        "open",
        ["low-confidence"],
        "left",
    )
    assert await open_for_new_cards(pool, wary, NOW + 2 * HOUR) == 0
    late = accepted(OWL, confidence=0.5)
    await send(
        pool, late, now=NOW + 2 * HOUR - timedelta(seconds=60)
    )  # It commits after the rules had looked.
    assert await open_for_new_cards(pool, wary, NOW + 3 * HOUR) == 1
    by = await owner.fetchval(
        "SELECT data::jsonb ->> 'by' FROM events WHERE type = 'cardmint.review.opened.v2' LIMIT 1"
    )
    assert by == "rules/1"


async def test_rules_get_through_more_cards_than_a_page(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cardmint_cloud.reviews.opening.LIMIT", 3)
    await send(pool, *(accepted(confidence=0.5 if n % 2 else 0.99) for n in range(11)), now=NOW)
    assert await open_for_new_cards(pool, review_rules(low_confidence=0.9), NOW + HOUR) == 5


async def test_chance_looks_at_what_no_rule_doubts_and_measures_the_precision(pool: Pool) -> None:
    made = RecogniserIdentity(
        method="reader", pack="2026-11-22", models={"reader": "3"}, rules="b7"
    )
    scans = [accepted(confidence=0.99) for _ in range(4)]
    scans = [
        CardScanned(scan=s.scan, decision=s.decision, recogniser=made, card=s.card) for s in scans
    ]
    await send(pool, *scans, now=NOW)
    assert await open_for_new_cards(pool, review_rules(audit=1.0), NOW) == 4
    assert await counted_cards(pool) == {FOX.id: 4}
    answers = [FOX, OWL, None]
    for scan, card in zip(scans, answers, strict=False):
        await answer_review(pool, review_task_id(scan.scan, "audit"), card)
    async with tenant_transaction(pool, "shop") as connection:
        (found,) = await questions.audit_precisions(connection, "shop")
    assert (found.recogniser, found.audited, found.right) == ("reader reader=3 rules=b7", 3, 1)
    assert await counted_cards(pool) == {FOX.id: 2, OWL.id: 1}
    assert recogniser_label(RecogniserIdentity(method="classical", pack="x")) == "classical"


async def test_a_price_that_comes_later_asks_about_its_cards(pool: Pool) -> None:
    cheap, dear = accepted(OWL), accepted(defaults=ScanDefaults(finish=Finish.NORMAL))
    await send(pool, cheap, dear, now=NOW)
    for card, minor in ((FOX, 90_000), (OWL, 10)):
        await price_card(
            pool, [QuoteSourceStub(answers={card.id: [quote(minor)]})], "shop", card.id, NOW
        )
    held = review_rules(high_value=50_000, held=frozenset({"high-value"}), audit=1.0)
    assert await open_for_printing(pool, held, "shop", FOX.id, NOW) == 1
    assert await open_for_printing(pool, held, "shop", FOX.id, NOW) == 0
    assert await open_for_printing(pool, held, "shop", OWL.id, NOW) == 0
    assert await counted_cards(pool) == {OWL.id: 1}  # Not counted until somebody looked.
    await answer_review(pool, review_task_id(dear.scan, "rules"), FOX)
    assert await counted_cards(pool) == {FOX.id: 1, OWL.id: 1}


async def test_old_questions_come_to_the_front_and_old_audits_are_given_up(pool: Pool) -> None:
    scan, audit = doubtful(), accepted()
    await send(pool, scan, audit, now=NOW)
    await open_for_new_cards(pool, review_rules(audit=1.0), NOW)
    day, week = timedelta(days=1), timedelta(days=7)
    assert await age_reviews(pool, NOW + HOUR, escalate=day, expire=week) == 0
    assert await age_reviews(pool, NOW + 2 * day, escalate=day, expire=week) == 1
    assert await age_reviews(pool, NOW + 2 * day, escalate=day, expire=week) == 0
    assert (await review(pool, scan, "review"))["escalated"]
    assert await age_reviews(pool, NOW + 8 * day, escalate=day, expire=week) == 1
    assert (await review(pool, audit, "audit"))["verdict"] == "expired"
    with pytest.raises(Conflict, match="given up"):
        await answer_review(pool, review_task_id(audit.scan, "audit"), FOX)


async def test_an_answer_to_a_task_of_another_tenant_finds_none(pool: Pool) -> None:
    scan = doubtful()
    await send(pool, scan, now=NOW)
    with pytest.raises(NotFound):
        await submit_answer(
            pool,
            "other",
            review_task_id(scan.scan),
            version=1,
            verdict="no_card",
            card=None,
            user="ann",
            now=NOW,
        )
    assert (await review(pool, scan, "review"))["state"] == "open"


async def test_an_answer_can_be_taken_back(pool: Pool, owner_database: str) -> None:
    scan = doubtful()
    await send(pool, scan, now=NOW)
    task = review_task_id(scan.scan)
    with pytest.raises(Conflict, match="version 1"):
        await undo_answer(pool, "shop", task, version=1, user="ben", now=NOW)
    await answer_review(pool, task, OWL)
    with pytest.raises(Conflict, match="version 2"):
        await undo_answer(pool, "shop", task, version=1, user="ben", now=NOW)
    await undo_answer(pool, "shop", task, version=2, user="ben", now=NOW)
    assert await counted_cards(pool) == {}
    assert (await review(pool, scan, "review"))["state"] == "open"
    await answer_review(pool, task, FOX, version=3)
    assert await counted_cards(pool) == {FOX.id: 1}
    with pytest.raises(NotFound):
        await undo_answer(pool, "shop", uuid4(), version=2, user="ben", now=NOW)
    with pytest.raises(NotFound):  # Of another tenant.
        await undo_answer(pool, "other", task, version=4, user="ben", now=NOW)
    assert (await rebuild.compare_with_log(owner_database)).equal


async def test_what_another_answer_changed_since_is_not_undone(pool: Pool, owner: Pool) -> None:
    scan = accepted(confidence=0.5)
    await send(pool, scan, now=NOW)
    await open_for_new_cards(pool, review_rules(low_confidence=0.9), NOW)
    await answer_review(pool, review_task_id(scan.scan, "rules"), OWL)
    await owner.execute("UPDATE items SET card_id = 'x'")
    with pytest.raises(Conflict, match="nothing to undo"):
        await undo_answer(
            pool, "shop", review_task_id(scan.scan, "rules"), version=2, user="ann", now=NOW
        )


async def test_a_card_is_asked_for_by_its_place(pool: Pool) -> None:
    batch = ScanDefaults(bin="A3", lot="estate")
    scans = [doubtful(defaults=batch) for _ in range(3)]
    for n, scan in enumerate(scans):
        await send(pool, scan, now=NOW + n * HOUR)
    loose = doubtful()
    await send(pool, loose, now=NOW)
    task = review_task_id(scans[1].scan)
    place = await request_rescan(pool, "shop", task, version=1, user="ann", now=NOW)
    assert place == "bin A3, lot estate, slot 2"
    row = await review(pool, scans[1], "review")
    assert (row["place"], row["version"], row["state"]) == (place, 2, "open")
    assert await request_rescan(
        pool, "shop", review_task_id(loose.scan), version=1, user="ann", now=NOW
    ) == ("stack of left, slot 1")
    with pytest.raises(Conflict, match="version 2"):
        await request_rescan(pool, "shop", task, version=1, user="ann", now=NOW)
    async with tenant_transaction(pool, "shop") as connection:
        assert await questions.card_place(connection, "shop", uuid4()) == ""
    second = CardScanned(
        scan=uuid4(),
        decision=accepted().decision,
        recogniser=scans[1].recogniser,
        card=OWL,
        rescan_of=scans[1].scan,
    )
    await send(pool, second, now=NOW)
    assert (await review(pool, scans[1], "review"))["answered_by"] == "left"
    assert await counted_cards(pool) == {OWL.id: 1}


async def test_a_question_in_hand_is_nobody_elses(pool: Pool) -> None:
    scan = doubtful()
    await send(pool, scan, now=NOW)
    task = review_task_id(scan.scan)

    async def take(user: str, at: datetime = NOW) -> UUID:
        return await lease_question(pool, "shop", task, user=user, now=at)

    first = await take("ann")
    with pytest.raises(Conflict, match=r"ann has this question in hand until 12:02:00 UTC"):
        await take("ben")
    second = await take("ann", NOW + timedelta(minutes=1))  # She keeps it a little longer.
    with pytest.raises(Conflict, match="ann has this question"):
        await answer_review(pool, task, FOX, lease=first, now=NOW + timedelta(minutes=1))
    later = NOW + timedelta(minutes=1) + LEASE_LENGTH
    with pytest.raises(Conflict, match="your time with this question is over"):
        await answer_review(pool, task, FOX, lease=second, now=later)
    third = await take("ben", later)
    with pytest.raises(Conflict, match="ben has this question in hand"):
        await answer_review(pool, task, FOX, lease=second, now=later)
    await answer_review(pool, task, OWL, lease=third, user="ben", now=later)
    with pytest.raises(Conflict, match="ben answered first"):
        await take("ann", later)
    with pytest.raises(NotFound):
        await lease_question(pool, "other", task, user="ann", now=NOW)
    with pytest.raises(Conflict, match="ben answered first"):
        await answer_review(pool, task, FOX, lease=uuid4(), now=later)


async def test_a_lease_that_nobody_gave_is_refused(pool: Pool) -> None:
    scan = doubtful()
    await send(pool, scan, now=NOW)
    with pytest.raises(Conflict, match="take it in hand"):
        await answer_review(pool, review_task_id(scan.scan), FOX, lease=uuid4())


async def test_of_two_answers_and_an_undo_at_once_one_order_holds(
    pool: Pool, owner_database: str
) -> None:
    scan = doubtful()
    await send(pool, scan, now=NOW)
    task = review_task_id(scan.scan)
    tries = [
        answer_review(pool, task, FOX, user="ann"),
        answer_review(pool, task, OWL, user="ben"),
        undo_answer(pool, "shop", task, version=2, user="cy", now=NOW),
    ]
    results = await asyncio.gather(*tries, return_exceptions=True)
    assert all(
        isinstance(result, Conflict) or not isinstance(result, BaseException) for result in results
    )
    assert sum((await counted_cards(pool)).values()) <= 1
    assert (await rebuild.compare_with_log(owner_database)).equal

"""Answers from the dashboard: events like any other, the first one wins, the other is told."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from cardmint_cloud import rebuild
from cardmint_cloud.adapters.postgres.connection import Pool, fetch_one
from cardmint_cloud.domain.items import review_task_id
from cardmint_cloud.errors import Conflict, NotFound
from cardmint_cloud.reviews.answers import lease_question, submit_answer, user_stream
from cardmint_contracts.events import ReviewAnswered
from tests.cloud.kit.cards import FOX, NOW, OWL, doubtful, send
from tests.cloud.kit.reviews import answer_review
from tests.cloud.kit.tenants import counted_cards

pytestmark = pytest.mark.integration


async def ask(pool: Pool) -> Any:
    scan = doubtful()
    await send(pool, scan)
    return review_task_id(scan.scan), scan.scan


async def test_an_answer_counts_the_card_and_is_an_event_of_the_users_stream(
    pool: Pool, owner: Pool
) -> None:
    task, scan = await ask(pool)
    done = await answer_review(pool, task, OWL)
    assert done.applied == 1
    assert await counted_cards(pool) == {OWL.id: 1}
    row = await fetch_one(owner, "SELECT * FROM events WHERE source = '/users/ann'")
    assert (row["stream"], row["sequence"], row["subject"]) == (user_stream("shop", "ann"), 1, scan)
    task, _ = await ask(pool)
    await answer_review(pool, task, None)
    assert await owner.fetchval("SELECT sequence FROM watermarks WHERE source = '/users/ann'") == 2
    assert await owner.fetchval("SELECT status FROM items WHERE item <> $1", scan) == "rejected"


async def test_the_second_is_told_who_was_first_and_with_what(pool: Pool) -> None:
    task, _ = await ask(pool)
    await answer_review(pool, task, OWL)
    with pytest.raises(Conflict, match=r"ann answered first at 12:00:00 UTC: Dusk Owl 010/040"):
        await answer_review(pool, task, FOX, user="ben")
    assert await counted_cards(pool) == {OWL.id: 1}
    task, _ = await ask(pool)
    await answer_review(pool, task, None)
    with pytest.raises(Conflict, match="no card"):
        await answer_review(pool, task, FOX, version=2)


async def test_an_answer_at_the_station_wins_when_it_was_first(pool: Pool) -> None:
    task, scan = await ask(pool)
    await send(
        pool,
        ReviewAnswered(task=task, task_version=1, scan=scan, verdict="card", by="left", card=FOX),
    )
    with pytest.raises(Conflict, match="left answered first"):
        await answer_review(pool, task, OWL)
    assert await counted_cards(pool) == {FOX.id: 1}


async def test_of_many_at_once_exactly_one_wins(pool: Pool) -> None:
    task, _ = await ask(pool)
    tries = [
        answer_review(pool, task, card, user=user)
        for user in ("ann", "ben", "cy")
        for card in (FOX, OWL)
    ]
    results = await asyncio.gather(*tries, return_exceptions=True)
    assert (
        sorted(type(result).__name__ for result in results) == ["CommitResult"] + ["Conflict"] * 5
    )
    assert sum((await counted_cards(pool)).values()) == 1


@pytest.mark.parametrize(
    ("user", "handle"),
    [
        ("ann", "ann"),
        ("Ann Smith", "ann-smith-"),
        ("Jürgen Ö.", "jurgen-o-"),
        ("山田", "user-"),
        ("x" * 60 + " " + "y" * 60, "x" * 40 + "-"),
    ],
)
async def test_whatever_an_account_is_called_it_answers(
    pool: Pool, owner: Pool, owner_database: str, user: str, handle: str
) -> None:
    task, _ = await ask(pool)
    token = await lease_question(pool, "shop", task, user=user, now=NOW)
    await answer_review(pool, task, OWL, user=user, lease=token)
    source = await owner.fetchval("SELECT source FROM events WHERE source LIKE '/users/%'")
    assert source.startswith(f"/users/{handle}")
    assert await owner.fetchval("SELECT answered_by FROM reviews") == user
    assert (await rebuild.compare_with_log(owner_database)).equal


async def test_another_version_or_task_is_refused_and_nothing_is_written(
    pool: Pool, owner: Pool
) -> None:
    task, _ = await ask(pool)
    with pytest.raises(Conflict, match="version 1"):
        await answer_review(pool, task, FOX, version=2)
    with pytest.raises(NotFound):
        await answer_review(pool, uuid4(), FOX)
    with pytest.raises(ValueError, match="verdict"):
        await submit_answer(
            pool, "shop", task, version=1, verdict="card", card=None, user="ann", now=NOW
        )
    assert await owner.fetchval("SELECT count(*) FROM events WHERE source LIKE '/users/%'") == 0

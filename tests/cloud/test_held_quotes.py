"""A person's word on an unlikely price: it counts from then on, and can be taken back."""

import asyncio
from datetime import timedelta

import pytest

from cardmint_cloud.adapters.postgres.connection import (
    Pool,
    TenantDatabase,
    fetch_one,
    tenant_transaction,
)
from cardmint_cloud.adapters.postgres.prices import held_quotes
from cardmint_cloud.errors import Conflict, NotFound
from cardmint_cloud.pricing.held_quotes import QuoteVerdict, judge_quote
from cardmint_cloud.pricing.price import price_card
from tests.cloud.kit.cards import NOW
from tests.cloud.kit.prices import QuoteSourceStub, add_printings, current_price, quote

pytestmark = pytest.mark.integration


async def doubted(pool: Pool) -> int:
    """Have a price jump from 5.00 to 500.00 and return the number under which it is held back."""
    await add_printings(pool, "a")
    await price_card(
        pool,
        [QuoteSourceStub(a=[quote(500), quote(900, "holo")])],
        "shop",
        "a",
        NOW - timedelta(days=2),
    )
    await price_card(
        pool,
        [QuoteSourceStub(a=[quote(50_000), quote(900, "holo")])],
        "shop",
        "a",
        NOW - timedelta(days=1),
    )
    number: int = await TenantDatabase(pool, "shop").fetchval("SELECT id FROM held_quotes")
    return number


async def says(
    pool: Pool, number: int, verdict: QuoteVerdict, user: str = "ann", tenant: str = "shop"
) -> None:
    await judge_quote(pool, tenant, number, verdict, user=user, now=NOW)


async def test_a_price_that_is_taken_counts_and_the_word_is_an_event(
    pool: Pool, owner: Pool
) -> None:
    number = await doubted(pool)
    await says(pool, number, "take")
    assert (
        await current_price(pool),
        await current_price(pool, "holo"),
        await current_price(pool, ""),
    ) == (
        50_000,
        900,
        900,
    )
    row = await fetch_one(
        owner,
        "SELECT source, data::text AS data FROM events WHERE type = 'cardmint.price.judged.v1'",
    )
    assert row["source"] == "/users/ann"
    assert '"take"' in row["data"]
    await price_card(
        pool, [QuoteSourceStub(a=[quote(50_500)])], "shop", "a", NOW + timedelta(days=1)
    )
    assert await current_price(pool) == 50_500  # It is what the next one is compared with.


async def test_a_price_that_is_kept_out_changes_nothing(pool: Pool) -> None:
    number = await doubted(pool)
    await says(pool, number, "refuse")
    assert await current_price(pool) == 500
    with pytest.raises(Conflict, match="ann has refused this price already"):
        await says(pool, number, "take", user="ben")
    await says(pool, number, "undo")
    with pytest.raises(Conflict, match="asked about already"):
        await says(pool, number, "undo")
    await says(pool, number, "take", user="ben")
    assert await current_price(pool) == 50_000


async def test_a_word_taken_back_brings_the_price_before_it_back(pool: Pool, owner: Pool) -> None:
    number = await doubted(pool)
    await says(pool, number, "take")
    await says(pool, number, "undo")
    assert (await current_price(pool), await current_price(pool, "holo")) == (500, 900)
    minors = await owner.fetch("SELECT minor FROM quotes WHERE finish = 'normal' ORDER BY id")
    assert [row["minor"] for row in minors] == [500, 50_000, 500]  # History is only added to.
    assert await owner.fetchval("SELECT state FROM held_quotes WHERE id = $1", number) == "open"


async def test_of_two_words_at_once_one_wins(pool: Pool) -> None:
    number = await doubted(pool)
    tries = (says(pool, number, "take", user=user) for user in ("ann", "ben", "cy"))
    results = await asyncio.gather(*tries, return_exceptions=True)
    assert sorted(type(result).__name__ for result in results) == [
        "Conflict",
        "Conflict",
        "NoneType",
    ]


async def test_another_tenants_price_is_not_there(pool: Pool) -> None:
    number = await doubted(pool)
    with pytest.raises(NotFound):
        await says(pool, number, "take", tenant="other")
    with pytest.raises(NotFound):
        await says(pool, 10**6, "take")
    async with tenant_transaction(pool, "shop") as connection:
        assert [row["id"] for row in await held_quotes.list_waiting(connection, "shop", NOW)] == [
            number
        ]
        assert await held_quotes.list_waiting(connection, "other", NOW) == []

"""One card's price on a real Postgres.

Providers in order, answers kept, unlikely ones held back, the last stays.
"""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from cardmint_cloud.adapters.postgres.connection import Pool, TenantDatabase, fetch_one
from cardmint_cloud.adapters.providers.http import CallWithheld, ProviderUnavailable, UnusableAnswer
from cardmint_cloud.domain.price_parsing import ImplausibleAnswer
from cardmint_cloud.errors import NotFound
from cardmint_cloud.pricing.price import PriceUnavailable, PricingResult, price_card
from tests.cloud.kit.cards import NOW
from tests.cloud.kit.prices import QuoteSourceStub, add_printings, current_price, quote

pytestmark = pytest.mark.integration

DAY = timedelta(days=1)


async def check(pool: Pool, card_id: str = "a") -> Any:
    return await TenantDatabase(pool, "shop").fetchrow(
        "SELECT * FROM price_checks WHERE card_id = $1", card_id
    )


async def test_a_card_is_priced_and_asked_about_again_by_its_value(pool: Pool, owner: Pool) -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()
    async with pool.acquire() as listener:
        await listener.add_listener("cardmint", lambda *args: heard.put_nowait(args[3]))
        await add_printings(pool, "a")
        source = QuoteSourceStub(a=[quote(500), quote(900, "holo")])
        assert await price_card(pool, [source], "shop", "a", NOW) == PricingResult(
            source="tcgdex", changed=True
        )
        row = await check(pool)
        assert (row["due_at"], row["attempts"], row["error"]) == (NOW + timedelta(hours=72), 0, "")
        rows = [
            tuple(row)
            for row in await owner.fetch(
                "SELECT finish, edition, minor, lowest FROM current_quotes"
            )
        ]
        assert ("", "", 500, True) in rows
        assert ("holo", "", 900, False) in rows
        async with asyncio.timeout(20):
            assert await heard.get() == "shop prices"
        assert heard.empty()
        await listener.reset()
    await price_card(pool, [QuoteSourceStub(a=[quote(2000)])], "shop", "a", NOW)
    assert (await check(pool))["due_at"] == NOW + timedelta(hours=24)
    dear = QuoteSourceStub(a=[quote(10_000)])
    await price_card(pool, [dear], "shop", "a", NOW)
    assert (await check(pool))["due_at"] == NOW + timedelta(hours=6)
    await price_card(pool, [dear], "shop", "a", NOW + timedelta(hours=6))
    # An answer must be younger than the refresh is apart, or every refresh would find the answer of
    # the last.
    assert [fresh for _, fresh in dear.asked] == [
        timedelta(hours=23, minutes=55),
        timedelta(hours=5, minutes=55),
    ]


async def test_history_grows_only_when_something_changes(pool: Pool, owner: Pool) -> None:
    await add_printings(pool, "a")
    for day, minor in enumerate([500, 500, 510, 500]):
        await price_card(pool, [QuoteSourceStub(a=[quote(minor)])], "shop", "a", NOW + day * DAY)
    assert [row["minor"] for row in await owner.fetch("SELECT minor FROM quotes ORDER BY id")] == [
        500,
        510,
        500,
    ]
    fetched = await owner.fetchval(
        "SELECT max(fetched_at) FROM current_quotes WHERE finish = 'normal'"
    )
    assert fetched == NOW + 3 * DAY


async def test_providers_are_asked_in_order_until_one_quotes_the_card(
    pool: Pool, owner: Pool
) -> None:
    await add_printings(pool, "a")
    down = QuoteSourceStub("tcgdex", a=ProviderUnavailable("timeout", "no answer within 5 s"))
    none = QuoteSourceStub("pokemontcg")
    good = QuoteSourceStub("tcgcsv", a=[quote(500, source="tcgcsv/tcgplayer")])
    never = QuoteSourceStub("pricecharting", a=[quote(1)])
    assert (await price_card(pool, [down, none, good, never], "shop", "a", NOW)).source == "tcgcsv"
    assert (len(down.asked), len(none.asked), len(good.asked), len(never.asked)) == (1, 1, 1, 0)
    assert (await check(pool))["error"] == ""
    assert (
        await owner.fetchval("SELECT source FROM current_quotes WHERE finish = 'normal'")
        == "tcgcsv/tcgplayer"
    )


@pytest.mark.parametrize(
    ("error", "said", "wait", "withheld"),
    [
        (ProviderUnavailable("rate-limited", "HTTP 429", 30), "rate-limited (HTTP 429)", 30, False),
        (UnusableAnswer("not-json", "9 bytes"), "not-json (9 bytes)", 0, False),
        (ImplausibleAnswer("negative", "marketPrice\x00"), "negative (marketPrice�)", 0, False),
        (CallWithheld("open", "left alone", 55), "open (left alone)", 55, True),
    ],
)
async def test_when_nobody_answers_the_last_price_stays(
    pool: Pool, error: Exception, said: str, wait: float, withheld: bool
) -> None:
    await add_printings(pool, "a")
    await price_card(pool, [QuoteSourceStub(a=[quote(500)])], "shop", "a", NOW)
    with pytest.raises(PriceUnavailable) as caught:
        await price_card(
            pool,
            [QuoteSourceStub(a=error), QuoteSourceStub("b", a=NotFound("none"))],
            "shop",
            "a",
            NOW + DAY,
        )
    assert (caught.value.retry_after_s, caught.value.withheld) == (wait, withheld)
    row = await check(pool)
    assert (row["attempts"], row["error"]) == (1, f"tcgdex: {said}; b: not-found (none)")
    assert await current_price(pool) == 500
    await price_card(pool, [QuoteSourceStub(a=[quote(510)])], "shop", "a", NOW + DAY)
    row = await check(pool)
    assert (row["attempts"], row["error"]) == (0, "")


@pytest.mark.parametrize(
    ("answer", "reason"), [(NotFound("no such card"), "not-found"), ([], "no-price")]
)
async def test_a_card_that_nobody_prices_is_asked_about_daily(
    pool: Pool, answer: Any, reason: str
) -> None:
    await add_printings(pool, "a")
    assert await price_card(pool, [QuoteSourceStub(a=answer)], "shop", "a", NOW) == PricingResult()
    row = await check(pool)
    assert (row["due_at"], row["attempts"], row["error"].split(" ")[:2]) == (
        NOW + DAY,
        0,
        ["tcgdex:", reason],
    )
    await price_card(pool, [], "shop", "a", NOW)
    assert (await check(pool))["error"] == "no provider is set up"


async def test_a_card_that_no_station_named_is_not_found(pool: Pool) -> None:
    with pytest.raises(NotFound):
        await price_card(pool, [QuoteSourceStub()], "shop", "a", NOW)


async def test_an_unlikely_quote_is_held_back_and_the_value_stays(pool: Pool, owner: Pool) -> None:
    await add_printings(pool, "a")
    await price_card(pool, [QuoteSourceStub(a=[quote(500), quote(900, "holo")])], "shop", "a", NOW)
    done = await price_card(
        pool, [QuoteSourceStub(a=[quote(50_000), quote(910, "holo")])], "shop", "a", NOW + DAY
    )
    assert (done.changed, done.held) == (True, 1)
    assert (await current_price(pool), await current_price(pool, "holo")) == (500, 910)
    held = await fetch_one(owner, "SELECT * FROM held_quotes")
    assert (held["minor"], held["against_minor"], held["state"]) == (50_000, 500, "open")
    await price_card(pool, [QuoteSourceStub(a=[quote(50_100)])], "shop", "a", NOW + 2 * DAY)
    assert [row["minor"] for row in await owner.fetch("SELECT minor FROM held_quotes")] == [50_100]
    await price_card(pool, [QuoteSourceStub(a=[quote(505)])], "shop", "a", NOW + 3 * DAY)
    assert await owner.fetchval("SELECT count(*) FROM held_quotes") == 0


async def test_a_quote_that_was_refused_is_not_asked_about_again(pool: Pool, owner: Pool) -> None:
    await add_printings(pool, "a")
    await price_card(pool, [QuoteSourceStub(a=[quote(500)])], "shop", "a", NOW)
    await price_card(pool, [QuoteSourceStub(a=[quote(50_000)])], "shop", "a", NOW + DAY)
    await owner.execute("UPDATE held_quotes SET state = 'refused'")
    await price_card(pool, [QuoteSourceStub(a=[quote(50_000)])], "shop", "a", NOW + 2 * DAY)
    assert await owner.fetchval("SELECT count(*) FROM held_quotes WHERE state = 'open'") == 0
    await price_card(pool, [QuoteSourceStub(a=[quote(60_000)])], "shop", "a", NOW + 3 * DAY)
    assert await owner.fetchval("SELECT minor FROM held_quotes WHERE state = 'open'") == 60_000
    assert await current_price(pool) == 500


async def test_graded_prices_are_kept_and_never_shown_as_the_cards(pool: Pool, owner: Pool) -> None:
    await add_printings(pool, "a")
    await price_card(
        pool,
        [QuoteSourceStub(a=[quote(500, ""), quote(90_000, "", grade="PSA 10")])],
        "shop",
        "a",
        NOW,
    )
    assert await current_price(pool, "") == 500
    rows = await owner.fetch("SELECT grade, minor FROM quotes ORDER BY minor")
    assert [tuple(row) for row in rows] == [("", 500), ("PSA 10", 90_000)]

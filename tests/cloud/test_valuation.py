"""What cards were worth at a moment: by the prices known then, each currency for itself."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncEngine

from cardmint_cloud.adapters.postgres.connection import Pool
from cardmint_cloud.adapters.postgres.queries.reading import reading
from cardmint_cloud.domain.valuation import ValuedLine, quotes_known_at, value_lines
from cardmint_cloud.pricing.price import price_card
from cardmint_cloud.pricing.valuation import value_inventory
from cardmint_contracts.cards import Finish, ScanDefaults
from tests.cloud.kit.cards import FOX, NOW, OWL, accepted, doubtful, send
from tests.cloud.kit.prices import QUOTES, QuoteSourceStub, quote

DAY = timedelta(days=1)


def line(
    card_id: str = "a", count: int = 1, finish: str = "normal", edition: str = "", lot: str = ""
) -> ValuedLine:
    return ValuedLine(card_id=card_id, finish=finish, edition=edition, lot=lot, count=count)


def test_a_price_holds_from_when_it_was_fetched() -> None:
    history = [
        (quote(100), NOW - 3 * DAY),
        (quote(120), NOW - DAY),
        (quote(900, "holo"), NOW - 2 * DAY),
    ]
    history.sort(key=lambda pair: pair[1])
    assert quotes_known_at(history, NOW - 4 * DAY) == ()
    assert [q.minor for q in quotes_known_at(history, NOW - 3 * DAY)] == [100]
    assert sorted(q.minor for q in quotes_known_at(history, NOW)) == [120, 900]


def test_prices_of_another_currency_than_the_newest_are_left_out() -> None:
    history = [(quote(100, currency="EUR"), NOW - 3 * DAY), (quote(900, "holo"), NOW - DAY)]
    assert quotes_known_at(history, NOW) == (quote(900, "holo"),)


def test_currencies_are_summed_apart_and_sources_and_ages_told() -> None:
    lines = [
        line(count=3),
        line("b", 2),
        line("c", finish=""),
        line("d", 5),
        line("a", finish="holo"),
    ]
    quotes = {
        "a": (quote(100, days=2),),
        "b": (quote(70, currency="EUR", source="tcgdex/cardmarket"),),
        "c": (quote(10), quote(30, "holo")),
    }
    found = value_lines(lines, quotes)
    assert (found.cards, found.unpriced) == (12, 6)
    dollars, euros = found.sums
    assert (dollars.currency, dollars.cards, dollars.minor, dollars.lowest) == ("USD", 4, 310, True)
    assert (dollars.oldest, dollars.sources) == (NOW - 2 * DAY, {"tcgdex/tcgplayer": 4})
    assert (euros.currency, euros.minor, euros.lowest, euros.sources) == (
        "EUR",
        140,
        False,
        {"tcgdex/cardmarket": 2},
    )


LINES = st.lists(
    st.builds(
        line, st.sampled_from("abc"), st.integers(1, 5), st.sampled_from(["", "normal", "holo"])
    )
)


@given(LINES, st.dictionaries(st.sampled_from("abc"), st.lists(QUOTES, max_size=4)))
def test_every_card_is_priced_or_unpriced(lines: list[ValuedLine], quotes: dict[str, Any]) -> None:
    one_currency = {
        card: [q for q in known if q.currency == known[0].currency]
        for card, known in quotes.items()
        if known
    }
    found = value_lines(lines, one_currency)
    assert (
        found.cards
        == sum(one.count for one in lines)
        == found.unpriced + sum(one.cards for one in found.sums)
    )
    assert all(sum(one.sources.values()) == one.cards for one in found.sums)


@pytest.mark.integration
async def test_a_holding_a_lot_and_the_whole_are_valued_at_any_moment(
    pool: Pool, engine: AsyncEngine
) -> None:
    holo = ScanDefaults(finish=Finish.NORMAL, lot="estate")
    await send(pool, accepted(defaults=holo), accepted(OWL), doubtful(), now=NOW - 10 * DAY)
    await send(pool, accepted(defaults=holo), now=NOW - 2 * DAY)
    for at, minor in ((NOW - 9 * DAY, 100), (NOW - DAY, 150)):
        await price_card(
            pool, [QuoteSourceStub(answers={FOX.id: [quote(minor)]})], "shop", FOX.id, at
        )
    async with reading(engine, "shop") as connection:
        now = await value_inventory(connection, "shop", NOW)
        assert (now.whole.cards, now.whole.unpriced, now.whole.sums[0].minor) == (3, 1, 300)
        assert (now.by_lot["estate"].sums[0].minor, now.by_lot[""].sums) == (300, ())
        then = await value_inventory(connection, "shop", NOW - 5 * DAY)
        assert (then.whole.cards, then.whole.sums[0].minor) == (2, 100)
        before = await value_inventory(connection, "shop", NOW - 20 * DAY)
        assert (before.whole.cards, before.course) == (0, ())
        lot = await value_inventory(connection, "shop", NOW, lot="estate", since=12 * DAY)
        course = [found.sums[0].minor if found.sums else 0 for _, found in lot.course]
        assert (course[0], course[-1], sorted(course) == course) == (0, 300, True)
        holding = await value_inventory(connection, "shop", NOW, card_id=OWL.id)
        assert (holding.whole.cards, holding.whole.unpriced) == (1, 1)

"""What the pages read: found by every word, in a stable order, summed within one currency."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncEngine

from cardmint_cloud.adapters.postgres.connection import Pool, TenantDatabase
from cardmint_cloud.adapters.postgres.queries import cards as card_queries
from cardmint_cloud.adapters.postgres.queries import inventory
from cardmint_cloud.adapters.postgres.queries.dead_letters import find_dead_letter
from cardmint_cloud.adapters.postgres.queries.inventory import (
    CurrencyTotal,
    InventoryFilter,
    InventoryTotals,
    count_by_status,
)
from cardmint_cloud.adapters.postgres.queries.reading import reading
from cardmint_cloud.adapters.postgres.queries.reviews import (
    count_waiting,
    find_review,
    list_reviews,
)
from cardmint_cloud.adapters.postgres.queries.stations import list_stations
from cardmint_cloud.domain.items import review_task_id
from cardmint_contracts.cards import Card, Condition, Edition, Finish, ScanDefaults
from tests.cloud.kit.cards import FOX, NOW, OWL, accepted, doubtful, send

pytestmark = pytest.mark.integration


def card(number: str, name: str = "Card", set_id: str = "s") -> Card:
    return Card(
        id=f"{set_id}-{number.replace('/', '_')}",
        name=name,
        number=number,
        set_id=set_id,
        set_name=set_id,
    )


async def found(engine: AsyncEngine, **want: Any) -> list[Any]:
    async with reading(engine, "shop") as connection:
        lines, total = await inventory.inventory_page(connection, "shop", InventoryFilter(**want))
        assert want.get("page", 1) > 1 or total >= len(lines)
        return list(lines)


async def quote(
    pool: Pool,
    card_id: str,
    finish: str,
    minor: int,
    currency: str = "USD",
    *,
    lowest: bool = False,
) -> None:
    await TenantDatabase(pool, "shop").execute(
        "INSERT INTO current_quotes VALUES ('shop', $1, $2, '', 'tcgdex', 'market', $3, $4, $5,"
        " $5, $6)",
        *(card_id, finish, minor, currency, NOW, lowest),
    )


async def test_a_holding_is_priced_by_its_finish_and_an_open_one_by_the_lowest(
    pool: Pool, engine: AsyncEngine
) -> None:
    holo = ScanDefaults(finish=Finish.HOLO)
    await send(pool, accepted(), accepted(), accepted(defaults=holo), accepted(OWL))
    await quote(pool, FOX.id, "holo", 900)
    await quote(pool, FOX.id, "", 500, lowest=True)
    lines = {(line["card_id"], line["finish"]): line for line in await found(engine)}
    assert (lines[FOX.id, ""]["value"], lines[FOX.id, ""]["lowest"]) == (1000, True)
    assert (lines[FOX.id, "holo"]["value"], lines[FOX.id, "holo"]["lowest"]) == (900, False)
    assert lines[OWL.id, ""]["value"] is None


async def test_totals_never_mix_currencies_and_count_what_has_no_price(
    pool: Pool, engine: AsyncEngine
) -> None:
    third = card("3")
    await send(pool, accepted(), accepted(), accepted(OWL), accepted(third), tenant="shop")
    await send(pool, accepted(), tenant="other")
    await quote(pool, FOX.id, "", 500)
    await quote(pool, OWL.id, "", 700, "EUR", lowest=True)
    async with reading(engine, "shop") as connection:
        assert await inventory.inventory_totals(connection, "shop") == InventoryTotals(
            cards=4,
            printings=3,
            unpriced=1,
            worth=(
                CurrencyTotal(currency="USD", minor=1000, lowest=False),
                CurrencyTotal(currency="EUR", minor=700, lowest=True),
            ),
        )
        narrowed = await inventory.inventory_totals(
            connection, "shop", InventoryFilter(words="owl")
        )
        assert (narrowed.cards, narrowed.unpriced) == (1, 0)
        assert await inventory.inventory_totals(connection, "nobody") == InventoryTotals(
            cards=0, printings=0, unpriced=0, worth=()
        )


async def test_every_word_must_be_found_somewhere(pool: Pool, engine: AsyncEngine) -> None:
    await send(pool, accepted(), accepted(OWL))
    for words, names in {
        "fox": ["Ember Fox"],
        "EMBER light": ["Ember Fox"],
        "010 first": ["Dusk Owl"],
        "fic1-7": ["Ember Fox"],
        "fox owl": [],
        "%": [],
        "": ["Dusk Owl", "Ember Fox"],
    }.items():
        assert [line["name"] for line in await found(engine, words=words)] == names


async def test_filters_narrow_and_open_means_left_open(pool: Pool, engine: AsyncEngine) -> None:
    worn = ScanDefaults(finish=Finish.HOLO, condition=Condition.DAMAGED, edition=Edition.FIRST)
    await send(pool, accepted(), accepted(card("1", "Moth"), defaults=worn))
    for want, names in (
        ({"set_id": "fic1"}, ["Ember Fox"]),
        ({"finish": "holo"}, ["Moth"]),
        ({"finish": "open"}, ["Ember Fox"]),
        ({"condition": "damaged"}, ["Moth"]),
        ({"condition": "open"}, ["Ember Fox"]),
    ):
        assert [line["name"] for line in await found(engine, **want)] == names
    async with reading(engine, "shop") as connection:
        assert [row["set_id"] for row in await inventory.held_sets(connection, "shop")] == [
            "fic1",
            "s",
        ]


NUMBERS = ["1/40", "2/40", "10/40", "100/40", "SWSH021", "TG2", "TG10", "promo"]


async def test_numbers_are_sorted_as_people_count(pool: Pool, engine: AsyncEngine) -> None:
    await send(pool, *(accepted(card(number)) for number in reversed(NUMBERS)))
    expected = ["1/40", "2/40", "10/40", "100/40", "promo", "SWSH021", "TG2", "TG10"]
    assert [line["number"] for line in await found(engine, sort="number")] == expected
    assert [
        line["number"] for line in await found(engine, sort="number", descending=True)
    ] == expected[::-1]


async def test_prices_are_sorted_within_their_currency_and_none_comes_last(
    pool: Pool, engine: AsyncEngine
) -> None:
    cards = [card(str(n), f"c{n}") for n in range(5)]
    await send(pool, *(accepted(c) for c in cards), accepted(cards[0]), accepted(cards[0]))
    for n, (minor, currency) in enumerate([(300, "USD"), (800, "USD"), (500, "EUR"), (900, "EUR")]):
        await quote(pool, cards[n].id, "", minor, currency)

    async def order(sort: Any, *, descending: bool) -> str:
        return "".join(
            line["name"][1] for line in await found(engine, sort=sort, descending=descending)
        )

    assert await order("price", descending=False) == "01234"
    assert await order("price", descending=True) == "10324"
    assert await order("value", descending=True) == "01324"
    assert await order("count", descending=True) == "01234"
    assert await order("name", descending=True) == "43210"


@pytest.mark.parametrize("sort", ["name", "number", "count", "price", "value"])
async def test_pages_together_are_every_line_once(
    pool: Pool, engine: AsyncEngine, sort: Any
) -> None:
    conditions = [ScanDefaults(condition=condition) for condition in Condition]
    await send(pool, *(accepted(c, defaults=b) for c in (FOX, OWL, card("1")) for b in conditions))
    lines = [
        line
        for page in (1, 2, 3, 4, 5)
        for line in await found(engine, sort=sort, size=4, page=page)
    ]
    assert len({(line["card_id"], line["condition"]) for line in lines}) == len(lines) == 15


LINES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=30)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(text=LINES)
@example(text="100%_\\")
@example(text="a\\")
@example(text="'; DROP TABLE holdings; --")
@example(text="a b c d e f g h i j k l m n o p")
async def test_a_card_is_found_by_its_name_whatever_it_is(
    owner: Pool, engine: AsyncEngine, text: str
) -> None:
    await owner.execute("DELETE FROM printings")
    await owner.execute("DELETE FROM holdings")
    await owner.execute("INSERT INTO printings VALUES ('shop', 'a-1', $1, '', '', '')", text)
    await owner.execute("INSERT INTO holdings (tenant, card_id, count) VALUES ('shop', 'a-1', 1)")
    assert len(await found(engine, words=text)) == 1


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(words=st.text(max_size=40))
async def test_no_search_is_an_error(engine: AsyncEngine, words: str) -> None:
    assert await found(engine, words=words) == []


async def test_a_printing_with_its_scans_quotes_and_events(pool: Pool, engine: AsyncEngine) -> None:
    await send(pool, accepted(), time=NOW - timedelta(hours=1))
    await send(pool, accepted(), doubtful())
    await quote(pool, FOX.id, "", 500)
    async with reading(engine, "shop") as connection:
        assert await card_queries.find_printing(connection, "shop", FOX.id) == FOX
        assert await card_queries.find_printing(connection, "other", FOX.id) is None
        (line,) = await card_queries.holdings_of(connection, "shop", FOX.id)
        assert (line["count"], line["minor"], line["currency"]) == (2, 500, "USD")
        scans = await card_queries.items_of_printing(connection, "shop", FOX.id)
        assert [scan["captured_at"] for scan in scans] == [NOW, NOW - timedelta(hours=1)]
        events = await card_queries.item_history(
            connection, "shop", [scan["item"] for scan in scans]
        )
        assert [event["subject"] for event in events] == [scan["item"] for scan in scans]
        assert await card_queries.quote_history(connection, "shop", FOX.id) == []
        check = await card_queries.find_price_check(connection, "shop", FOX.id)
        assert check is not None
        assert check["due_at"] == NOW
        assert await card_queries.find_price_check(connection, "shop", "none") is None
        assert len(await card_queries.newest_items(connection, "shop", limit=2)) == 2


async def test_items_are_walked_through_in_the_order_in_which_they_came(
    pool: Pool, engine: AsyncEngine
) -> None:
    await send(pool, *(accepted() for _ in range(5)))
    await send(pool, *(accepted() for _ in range(3)), now=NOW + timedelta(seconds=1))
    seen: list[Any] = []
    after = None
    async with reading(engine, "shop") as connection:
        while rows := await card_queries.items_after(connection, "shop", after, limit=3):
            seen += [row["item"] for row in rows]
            after = (rows[-1]["received_at"], rows[-1]["item"])
        assert len(set(seen)) == len(seen) == 8
        since = await card_queries.received_since(connection, "shop", NOW + timedelta(seconds=1))
        assert [row["item"] for row in since] == seen[5:]


async def test_reviews_letters_and_counts(pool: Pool, engine: AsyncEngine) -> None:
    scan = doubtful()
    await send(pool, scan, accepted())
    async with reading(engine, "shop") as connection:
        (opened,) = await list_reviews(connection, "shop", "open")
        assert opened["task"] == review_task_id(scan.scan)
        assert await list_reviews(connection, "shop", "answered") == []
        assert await count_waiting(connection, "shop") == {"reviews": 1, "letters": 0}
        assert await count_by_status(connection, "shop") == {"counted": 1, "review": 1}
        assert (await card_queries.review_of_item(connection, "shop", scan.scan)) is not None
        assert await find_review(connection, "other", opened["task"]) is None
        assert await find_dead_letter(connection, "shop", 1) is None
        assert await list_stations(connection, "shop") == []

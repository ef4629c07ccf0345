"""What a marketplace is told: differences of what is sure, and nothing else."""

import pytest

from cardmint_cloud.domain import tcgplayer
from cardmint_cloud.domain.item_rows import RowFault, count_of, read_amount
from cardmint_cloud.domain.market_stock import Listing, Offer, Sort, compared, offers
from cardmint_contracts.cards import Money

FOX = Sort("fic1-7", "en", "holo", "", "near_mint")
OWL = Sort("fic1-10", "en", "normal", "", "near_mint")
FIRST = OWL._replace(edition="first")


def usd(minor: int) -> Money:
    return Money(minor=minor, currency="USD")


def test_only_differences_are_told_with_the_sellers_own_price_first() -> None:
    found = compared(
        [
            Listing(sku="1", sort=FOX, listed=3, price=usd(250)),
            Listing(sku="2", sort=OWL, listed=1),
            Listing(sku="3", sort=FIRST, listed=2, price=usd(9)),
        ],
        {FOX: 5, OWL: 1, FIRST: 1},
        unsure=(),
        prices={FOX: usd(999), OWL: usd(5)},
        graded=0,
    )
    told, left_out = offers(found)
    assert told == [
        Offer(sku="1", listed=3, delta=2, price=usd(250)),
        Offer(sku="3", listed=2, delta=-1, price=usd(9)),
    ]
    assert not left_out


def test_what_is_not_sure_is_left_out_with_its_reason() -> None:
    listings = [
        Listing(sku="1", sort=FOX, listed=3, price=usd(250)),
        Listing(sku="2", sort=OWL, listed=0),
        Listing(sku="4", sort=FIRST, listed=0),
        Listing(sku="5", sort=FIRST, listed=0),
    ]
    stock = {
        FOX: 1,
        OWL: 2,
        FIRST: 4,
        FOX._replace(condition=""): 7,
        FOX._replace(language=""): 8,
        FIRST._replace(card_id="fic1-1", edition=""): 6,
        OWL._replace(language="ja"): 9,
    }
    found = compared(listings, stock, unsure={"1"}, prices={OWL: usd(0)}, graded=11)
    told, left_out = offers(found)
    assert told == []
    assert left_out == {
        "graded cards": 11,
        "condition is open": 7,
        "language is open": 8,
        "no known product: import a file of the marketplace that has it": 15,
        "several products for the same cards: 4, 5": 4,
        "sold since the last file of the marketplace: import a new one": 3,
        "no price of at least 0.01": 2,
    }


def test_a_set_of_one_print_run_names_no_edition() -> None:
    listings = [Listing(sku="1", sort=OWL, listed=0, price=usd(1))]
    unlimited = OWL._replace(edition="unlimited")
    found = compared(listings, {OWL: 1, unlimited: 2}, unsure=(), prices={}, graded=0)
    assert [one.stock for one in found.differences] == [3]
    editions = [Listing(sku="1", sort=FIRST, listed=0), Listing(sku="2", sort=unlimited, listed=0)]
    found = compared(editions, {OWL: 4}, unsure=(), prices={}, graded=0)
    assert found.left_out == {"edition is open": 4}


@pytest.mark.parametrize(
    ("text", "cells"),
    [
        ("Near Mint", ("near_mint", "", "normal", "en")),
        ("Near Mint Holofoil", ("near_mint", "", "holo", "en")),
        ("Lightly Played Reverse Holofoil", ("lightly_played", "", "reverse_holo", "en")),
        ("Moderately Played 1st Edition Holofoil", ("moderately_played", "first", "holo", "en")),
        ("Heavily Played Unlimited", ("heavily_played", "unlimited", "normal", "en")),
        ("Damaged 1st Edition - Japanese", ("damaged", "first", "normal", "japanese")),
    ],
)
def test_a_condition_has_edition_finish_and_language_in_it(
    text: str, cells: tuple[str, ...]
) -> None:
    names = ("condition", "edition", "finish", "language")
    assert tcgplayer.condition_cells(text) == dict(zip(names, cells, strict=True))


@pytest.mark.parametrize("text", ["", "Unopened", "Mint", "Near Mint Cosmos", "Nearly Mint"])
def test_a_condition_that_is_not_known_stays_as_it_is(text: str) -> None:
    assert tcgplayer.condition_cells(text) == {"condition": text}


def test_a_printing_is_an_edition_and_a_finish() -> None:
    assert tcgplayer.printing_cells("1st Edition Holofoil") == {
        "edition": "first",
        "finish": "holo",
    }
    assert tcgplayer.printing_cells("Cosmos") == {"finish": "Cosmos"}
    assert tcgplayer.printing_cells("") == {"finish": ""}


@pytest.mark.parametrize(
    ("product", "number", "name"),
    [
        ("Charizard ex - 199/165", "199/165", "Charizard ex"),
        ("Charizard - 4/102", "004/102", "Charizard"),
        ("Pikachu V (Full Art)", "86", "Pikachu V"),
        ("Basic Energy (101)", "101/102", "Basic Energy"),
        ("Ho-Oh - Something - 12", "7", "Ho-Oh - Something - 12"),
    ],
)
def test_a_products_name_is_that_of_the_card(product: str, number: str, name: str) -> None:
    assert tcgplayer.card_name(product, number) == name


@pytest.mark.parametrize("product", ["Pikachu (Cosmos Holo)", "Eevee (Prerelease) (Full Art)"])
def test_a_variant_that_is_not_kept_is_not_taken_for_the_card(product: str) -> None:
    with pytest.raises(RowFault, match="does not keep the variant"):
        tcgplayer.card_name(product, "7")


def test_a_set_is_also_looked_for_without_its_series() -> None:
    assert tcgplayer.set_names("SV03: Obsidian Flames") == (
        "sv03: obsidian flames",
        "obsidian flames",
    )
    assert tcgplayer.set_names("XY - Evolutions") == ("xy - evolutions", "evolutions")
    assert tcgplayer.set_names("Base Set") == ("base set",)


def test_amounts_and_numbers_of_others_are_read_or_refused() -> None:
    for text, minor in (("2.5000", 250), ("$1,234.50", 123450), ("3", 300), ("2,50", 250)):
        assert read_amount("price", text, "USD") == usd(minor)
    assert read_amount("price", " ", "USD") is None
    assert [count_of("quantity", one) for one in ("", "7", "3.0")] == [0, 7, 3]
    for text in ("2.505", "-1", "many"):
        with pytest.raises(RowFault, match="price"):
            read_amount("price", text, "USD")
    for text in ("-1", "1e3", "7.5", "9999999"):
        with pytest.raises(RowFault, match="a number of cards"):
            count_of("quantity", text)

"""Rows of files of cards: read, or refused with a reason; no word is guessed."""

from typing import Any
from uuid import UUID

import pytest

from cardmint_cloud.domain.item_rows import (
    COLUMNS,
    PrintedCard,
    RowFault,
    changed_values,
    column_name,
    defused,
    number_of,
    printing_of_row,
    read_row,
    read_word,
    unknown_columns,
)
from cardmint_contracts.cards import Card, Condition, Finish, Money
from cardmint_contracts.changes import ItemValues, Slab, Stock
from tests.cloud.kit.cards import FOX, OWL

ITEM = UUID(int=7)


def test_a_new_card_is_read() -> None:
    row = read_row(
        {
            "reference": " box 3/1 ",
            "quantity": "2.0",
            "card_id": "base1-4",
            "name": "Fox",
            "language": "German",
            "condition": "Near Mint",
            "finish": "reverse",
            "stock": "reserved",
            "bin": "'=A1",
            "note": "",
            "paid": "2,50",
            "paid_currency": "eur",
            "grader": "PSA",
            "grade": "9",
        },
        {},
    )
    assert (row.item, row.reference, row.quantity, row.card_id) == (None, "box 3/1", 2, "base1-4")
    assert row.values == ItemValues(
        language="de",
        condition=Condition.NEAR_MINT,
        finish=Finish.REVERSE_HOLO,
        stock=Stock.RESERVED,
        bin="=A1",
        paid=Money(minor=250, currency="EUR"),
        slab=Slab(grader="PSA", grade="9"),
    )


def test_an_empty_cell_clears_what_an_item_has_and_an_absent_one_keeps_it() -> None:
    cells = {"item": str(ITEM), "version": "3", "bin": "", "paid": "", "grader": "", "stock": ""}
    row = read_row(cells, {})
    assert (row.item, row.version) == (ITEM, 3)
    assert row.values == ItemValues(cleared=("bin", "paid", "slab"))
    assert read_row({"item": str(ITEM), "version": "3"}, {}).values == ItemValues()


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ({}, "a `reference` of its own"),
        ({"item": "7", "version": "1"}, "no identifier"),
        ({"item": str(ITEM)}, "`version` is a number"),
        ({"item": str(ITEM), "version": "0"}, "from 1 to"),
        ({"item": str(ITEM), "version": "1", "reference": "a"}, "either an `item`"),
        ({"item": str(ITEM), "version": "1", "quantity": "2"}, "one card"),
        ({"reference": "a", "quantity": "1001"}, "`quantity` is a number from 1 to 1,000"),
        ({"reference": "a", "quantity": "²"}, "`quantity`"),
        ({"reference": "a", "quantity": "9" * 50}, "`quantity`"),
        ({"reference": "a", "paid": "2.50"}, "paid: a currency"),
        ({"reference": "a", "paid": "x", "paid_currency": "EUR"}, "paid: an amount"),
        ({"reference": "a", "paid": "1e99", "paid_currency": "EUR"}, "paid: an amount"),
        ({"reference": "a", "grade": "9"}, "a slab has"),
        ({"reference": "a", "bin": "two\nlines"}, "`bin` cannot be used"),
        ({"reference": "x" * 201}, "`reference` cannot be used"),
    ],
)
def test_a_wrong_row_says_why(cells: dict[str, str], said: str) -> None:
    with pytest.raises(RowFault, match=said) as caught:
        read_row(cells, {})
    assert caught.value.word is None


def test_a_word_that_is_not_known_is_asked_about_and_never_guessed() -> None:
    cells = {"reference": "a", "condition": "VG", "language": "Klingon"}
    with pytest.raises(RowFault) as caught:
        read_row(cells, {})
    assert caught.value.word == ("language", "klingon")
    words = dict([read_word("language:Klingon=en"), read_word("condition:vg= LP ")])
    assert read_row(cells, words).values == ItemValues(
        language="en", condition=Condition.LIGHTLY_PLAYED
    )


@pytest.mark.parametrize(
    "text", ["", "condition", "condition=lp", "condition:=lp", "bin:A=B", "condition:VG=great"]
)
def test_what_a_word_stands_for_is_said_in_one_way(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected|knows"):
        read_word(text)


def row_of(**cells: str) -> Any:
    return read_row({"reference": "a", **cells}, {})


def test_a_printing_is_one_or_none() -> None:
    fox, owl = (PrintedCard(card=one, words=one.name.lower()) for one in (FOX, OWL))
    fox = fox.with_words("renard fuchs")
    assert printing_of_row(row_of(card_id=FOX.id, name="Renard", number=FOX.number), [fox]) == FOX
    assert printing_of_row(row_of(set_id="fic1", number="7"), [fox, fox]) is not None
    kept = read_row({"item": str(ITEM), "version": "1"}, {})
    assert printing_of_row(kept, []) is None
    for row, found, said in (
        (row_of(), [], "which card"),
        (row_of(set_id="base1"), [], "which card"),
        (row_of(card_id="none-1"), [], "no station and no catalogue"),
        (row_of(card_id=FOX.id, name="Dragon"), [fox], "is .* not Dragon"),
        (row_of(card_id=FOX.id, number="999"), [fox], "not 999"),
        (row_of(card_id="x"), [fox, owl], "give `card_id`"),
    ):
        with pytest.raises(RowFault, match=said):
            printing_of_row(row, found)


def test_another_printing_is_among_the_values() -> None:
    row = read_row({"item": str(ITEM), "version": "1", "bin": "B"}, {})
    assert changed_values(row, None, FOX.id) == ItemValues(bin="B")
    assert changed_values(row, FOX, FOX.id) == ItemValues(bin="B")
    assert changed_values(row, OWL, FOX.id) == ItemValues(bin="B", card=OWL)


def test_columns_and_numbers_are_read_as_people_write_them() -> None:
    assert column_name(" Paid-currency ") == "paid_currency"
    assert unknown_columns([*COLUMNS, "reference", "quantity", "shoe"]) == ["shoe"]
    assert [number_of(one) for one in ("004/102", "TG12", " 0 ", "007")] == ["4", "tg12", "0", "7"]
    assert PrintedCard(card=Card(id="a-1", name="Flabébé"), words="flabebe").is_called("FLABÉBÉ")


def test_no_cell_is_a_formula() -> None:
    for text in ("=1+1", "+1", "-1", "@x", "\t=1", "\r=1"):
        assert defused(text) == f"'{text}"
    assert [defused(value) for value in ("fox", 0.5, "")] == ["fox", 0.5, ""]


def test_a_product_and_a_set_are_named_as_marketplaces_do() -> None:
    assert row_of(product="TCGplayer:42382").product == "tcgplayer:42382"
    for wrong in ("42382", "ebay:1", "tcgplayer:x", "tcgplayer:" + "9" * 13):
        with pytest.raises(RowFault, match="`product` is such as"):
            row_of(product=wrong)
    words = dict([read_word("set:Shiny Vault= SMA ")])
    row = read_row({"reference": "a", "set_name": "Shiny vault", "number": "1"}, words)
    assert row.set_name == "sma"

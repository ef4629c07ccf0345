"""Photos of a card's lower edge: read for number, set and language."""

from collections.abc import Iterator
from itertools import cycle

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.edge.readings import says

from cardmint_contracts.cards import Candidate, Card, Decision
from cardmint_edge.domain.reading.catalogue_texts import CatalogueTexts, PrintedFacts
from cardmint_edge.domain.reading.close_up import CONFIDENCE, CloseUp, read_close_up, settled
from cardmint_edge.domain.reading.ctc import Reading
from cardmint_edge.domain.recognition import Recognition
from cardmint_edge.domain.vision.view import View

CODES = {"one-7": "ONE", "two-7": "TWO"}


def facts(*cards: str, codes: bool = True) -> CatalogueTexts:
    return CatalogueTexts(
        PrintedFacts(
            card_id=card,
            name="Cat",
            number=card.partition("-")[2],
            total=64,
            promo=False,
            code=CODES.get(card, "") if codes else "",
        )
        for card in cards
    )


def card(card_id: str) -> Card:
    return Card(id=card_id, name="Cat", number="7", set_id="a", set_name="A")


def photo(*, blank: bool = False) -> View:
    noise = np.random.default_rng(1).integers(0, 256, (180, 640, 3), dtype=np.uint8)
    return View(np.full_like(noise, 90) if blank else noise)


def close_up(texts: CatalogueTexts, *said: str) -> CloseUp | None:
    """Read a photo whose strips say these texts in turn."""
    turns: Iterator[str] = cycle(said)

    def read(_: NDArray[np.float32]) -> Reading:
        return says(next(turns))

    return read_close_up(photo(), read, texts)


def test_a_number_that_enough_strips_agree_on_is_read() -> None:
    texts = facts("one-7", "one-8")
    assert close_up(texts, "Illus. Ken", "G 007/064") == CloseUp(number="007/064", cards=("one-7",))
    # A number that the catalogue lacks is read, too.
    assert close_up(texts, "099/064") == CloseUp(number="099/064", cards=())
    assert close_up(texts, "nothing") is None


def test_two_numbers_that_are_read_as_often_leave_it_open() -> None:
    texts = facts("one-7", "one-8")
    assert close_up(texts, "007/064", "008/064") is None
    assert close_up(texts, *["007/064"] * 3, "008/064") == CloseUp(
        number="007/064", cards=("one-7",)
    )


@pytest.mark.parametrize(
    ("said", "cards", "language"),
    [
        ("G TWO DE 007/064", ("two-7",), "de"),
        ("ONEEN 007/064", ("one-7",), "en"),
        ("G 007/064", ("one-7", "two-7"), ""),
    ],
)
def test_the_code_before_the_number_tells_set_and_language(
    said: str, cards: tuple[str, ...], language: str
) -> None:
    texts = facts("one-7", "two-7")
    assert close_up(texts, said) == CloseUp(number="007/064", cards=cards, language=language)


def test_without_codes_all_printings_of_the_number_are_named() -> None:
    found = close_up(facts("one-7", "two-7", codes=False), "ONE EN 7/64")
    assert found == CloseUp(number="7/64", cards=("one-7", "two-7"))


def test_nothing_is_read_where_nothing_stands_or_the_photo_is_small() -> None:
    texts = facts("one-7")
    calls: list[int] = []

    def read(strip: NDArray[np.float32]) -> Reading:
        calls.append(1)
        return says("007/064")

    assert read_close_up(photo(blank=True), read, texts) is None
    assert read_close_up(View(np.zeros((4, 90, 3), np.uint8)), read, texts) is None
    assert calls == []


ASKED = Recognition(
    decision=Decision.REVIEW, reasons=("same-art",), confidence=0.5, languages={"en": 0.0}
)


def test_a_close_up_settles_which_of_the_candidates_it_is() -> None:
    asked = [card("one-7"), card("two-8")]
    read = CloseUp(number="007/064", cards=("one-7", "two-7"), language="de")
    answer = settled(ASKED, read, asked)
    assert (answer.decision, answer.reasons, answer.card) == (Decision.ACCEPT, (), asked[0])
    assert answer.candidates == (Candidate(card=asked[0], confidence=CONFIDENCE),)
    assert answer.languages is not None
    assert max(answer.languages, key=answer.languages.__getitem__) == "de"
    without = settled(ASKED, CloseUp(number="007/064", cards=("one-7",)), asked)
    assert without.languages == {"en": 0.0}


@pytest.mark.parametrize(
    "read",
    [
        None,
        CloseUp(number="009/064", cards=("one-9",)),
        CloseUp(number="009/064", cards=()),
        CloseUp(number="007/064", cards=("one-7", "two-7")),
    ],
)
def test_a_close_up_of_no_or_several_candidates_leaves_the_question(read: CloseUp | None) -> None:
    assert settled(ASKED, read, [card("one-7"), card("two-7")]) is ASKED

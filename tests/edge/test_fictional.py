"""The fictional game: always the same, with reprints, promos and distinct pictures."""

import re

from cardmint_lab.fictional.artwork import paint
from cardmint_lab.fictional.card_layout import HEIGHT, WIDTH, press
from cardmint_lab.fictional.printings import ELEMENTS, printings


def test_printings_are_unique_and_stay_as_they_are() -> None:
    cards = printings()
    assert cards == printings()
    assert 100 <= len(cards) == len({card.id for card in cards})
    assert all(re.fullmatch(r"[a-z]{3}-(\d{1,2}|PR\d{3})", card.id) for card in cards)
    assert {card.element for card in cards} == set(ELEMENTS)
    assert len({card.rarity for card in cards}) >= 4


def test_numbers_are_printed_with_a_total_or_as_a_code() -> None:
    numbers = {card.id: card.printed_number for card in printings()}
    assert numbers["emb-12"] == "012/040"
    assert numbers["prm-PR001"] == "PR001"


def test_reprints_show_one_picture_under_two_numbers() -> None:
    pictures = {card.id: card for card in printings()}
    arts: dict[str, list[str]] = {}
    for card in pictures.values():
        arts.setdefault(card.art, []).append(card.id)
    reprinted = [ids for ids in arts.values() if len(ids) > 1]
    assert len(reprinted) >= 8
    for ids in reprinted:
        cards = [pictures[card_id] for card_id in ids]
        assert len({(card.name, card.artist, card.attacks) for card in cards}) == 1
        assert len({(card.card_set.id, card.number) for card in cards}) == len(cards)


def test_cards_come_off_the_press_in_one_size_and_differ() -> None:
    cards = printings()[::7]
    sheets = {press(card).tobytes() for card in cards}
    assert len(sheets) == len(cards)
    assert press(cards[0]).size == (WIDTH, HEIGHT)
    assert (
        paint("Ashwing/", "Ember", 60, 40).tobytes()
        != paint("Ashwing/again", "Ember", 60, 40).tobytes()
    )

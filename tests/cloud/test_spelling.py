"""Misspelt words: corrected towards what is printed on cards, and nothing else touched."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardmint_cloud.domain.item_query import parse_query
from cardmint_cloud.domain.spelling import LONG, SHORTEST, corrected, plain_words

VOCABULARY = ("charizard", "flabebe", "fox", "paldean", "pikachu", "raichu")


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("pikahcu", "pikachu"),
        ("Pikachuu set:PAF", "pikachu set:PAF"),
        ("-pikchu bin:pikchu", "-pikachu bin:pikchu"),
        ('"pikachuu fox" or charzard', '"pikachu fox" or charizard'),
        ("Flabébê", "Flabébê"),  # found as it is
        ("Flabénê", "flabebe"),
        ("chrai", "chari"),  # not typed to its end
        ("raic pikach", "raic pikach"),
        ("fix", "fix"),  # too short to tell
        ("pikach1 54/108 ピカチュ", "pikach1 54/108 ピカチュ"),
        ("xylophone", "xylophone"),
        ("pikac(hu", "pikac(hu"),
        ("", ""),
    ],
)
def test_words_are_corrected(text: str, meant: str) -> None:
    words = plain_words(parse_query(text, date(2026, 11, 28)))
    assert corrected(text, words, VOCABULARY) == meant
    assert corrected(text, words, ()) == text


@given(st.sampled_from(VOCABULARY), st.data())
def test_one_mistake_in_a_word_is_mended(word: str, data: st.DataObject) -> None:
    if len(word) <= SHORTEST:
        return
    at = data.draw(st.integers(1, len(word) - 2))
    letter = data.draw(st.sampled_from("xq"))
    wrong = data.draw(
        st.sampled_from(
            [
                word[:at] + word[at + 1 :],
                word[:at] + letter + word[at:],
                word[:at] + letter + word[at + 1 :],
                word[:at] + word[at + 1] + word[at] + word[at + 2 :],
            ]
        )
    )
    assert corrected(wrong, [wrong], VOCABULARY) in {word, wrong}
    if wrong not in word and len(wrong) < LONG:
        assert corrected(wrong, [wrong], VOCABULARY) == word

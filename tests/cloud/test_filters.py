"""How values read for people."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardmint_cloud.web.chart import HEIGHT, WIDTH, charts
from cardmint_cloud.web.filters import (
    age_text,
    byte_size,
    code_in_words,
    money,
    payload_preview,
    percent,
)
from tests.cloud.kit.cards import NOW


@pytest.mark.parametrize(
    ("minor", "currency", "text"),
    [
        (123450, "USD", "$1,234.50"),
        (5, "EUR", "€0.05"),
        (700, "CHF", "CHF 7.00"),
        (700, "JPY", "JPY 700"),
        (None, None, "–"),
    ],
)
def test_money(minor: int | None, currency: str | None, text: str) -> None:
    assert money(minor, currency) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "just now"),
        (59, "59 s ago"),
        (60, "1 min ago"),
        (7300, "2 h ago"),
        (200_000, "2 d ago"),
        (-3700, "in 1 h"),
    ],
)
def test_age(seconds: int, text: str) -> None:
    assert age_text(NOW - timedelta(seconds=seconds), NOW) == text


@pytest.mark.parametrize(
    ("share", "text"), [(0.57, "57 %"), (0.999, "99 %"), (1.0, "100 %"), (0.0, "0 %")]
)
def test_percent(share: float, text: str) -> None:
    assert percent(share) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1500, "1.5 kB"),
        (23_400_000_000, "23 GB"),
        (5 * 10**12, "5.0 TB"),
    ],
)
def test_size(count: int, text: str) -> None:
    assert byte_size(count) == text


def test_words_make_an_unknown_code_legible() -> None:
    assert (code_in_words("near_mint"), code_in_words("same-art_again")) == (
        "Near mint",
        "Same art again",
    )


def test_a_payload_is_previewed_as_text_or_in_hexadecimal() -> None:
    assert payload_preview('{"a": "é"}\n'.encode()) == '{"a": "é"}\n'
    assert payload_preview(b"\x00\x01") == "00 01"
    assert payload_preview("é".encode() * 2000).startswith("éé")


QUOTES = st.lists(
    st.fixed_dictionaries(
        {
            "finish": st.sampled_from(["", "normal", "holo"]),
            "grade": st.sampled_from(["", "9"]),
            "edition": st.sampled_from(["", "first"]),
            "currency": st.sampled_from(["USD", "EUR"]),
            "minor": st.integers(1, 10**9),
            "fetched_at": st.integers(0, 10**7).map(lambda s: NOW - timedelta(seconds=s)),
        }
    ),
    max_size=12,
)


@given(QUOTES)
def test_every_point_of_a_chart_lies_inside_it(quotes: list[dict[str, object]]) -> None:
    drawn = charts(quotes, NOW)
    assert {chart.currency for chart in drawn} == {quote["currency"] for quote in quotes}
    for chart in drawn:
        for line in chart.lines:
            for point in line.points.split():
                x, y = map(float, point.split(","))
                assert 0 <= x <= WIDTH
                assert 0 <= y <= HEIGHT

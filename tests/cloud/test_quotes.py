"""What is believed of a provider's answer, and what is not."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardmint_cloud.domain.quotes import MAX_MINOR, Quote, Refused, described, from_tcgdex

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def answer(**pricing: Any) -> dict[str, Any]:
    return {"id": "base1-4", "pricing": pricing}


def tcgplayer(**variants: Any) -> dict[str, Any]:
    return answer(tcgplayer={"unit": "USD", "updated": "2026-11-22T06:00:00Z", **variants})


def prices(quotes: tuple[Quote, ...]) -> dict[tuple[str, str], int]:
    return {(quote.finish, quote.edition): quote.minor for quote in quotes}


@pytest.mark.parametrize(
    ("name", "finish", "edition"),
    [
        ("normal", "normal", ""),
        ("holofoil", "holo", ""),
        ("holo", "holo", ""),
        ("reverse", "reverse_holo", ""),
        ("reverse-holofoil", "reverse_holo", ""),
        ("reverseHolofoil", "reverse_holo", ""),
        ("unlimited", "normal", "unlimited"),
        ("unlimited-holofoil", "holo", "unlimited"),
        ("1st-edition", "normal", "first"),
        ("1stEditionNormal", "normal", "first"),
        ("1st-edition-holofoil", "holo", "first"),
        ("1stEditionHolofoil", "holo", "first"),
    ],
)
def test_every_spelling_of_a_variant_is_understood(name: str, finish: str, edition: str) -> None:
    (quote,) = from_tcgdex(tcgplayer(**{name: {"marketPrice": Decimal("402.79")}}), "base1-4", NOW)
    assert (quote.finish, quote.edition, quote.minor, quote.currency) == (finish, edition, 40279, "USD")
    assert (quote.source, quote.basis) == ("tcgdex/tcgplayer", "market")
    assert quote.as_of == datetime(2026, 11, 22, 6, tzinfo=UTC)


@pytest.mark.parametrize(
    ("figures", "basis", "minor"),
    [
        ({"marketPrice": Decimal("1.5"), "midPrice": 2, "lowPrice": 1}, "market", 150),
        ({"marketPrice": None, "midPrice": 2, "lowPrice": 1}, "mid", 200),
        ({"marketPrice": 0, "midPrice": None, "lowPrice": Decimal("0.05")}, "low", 5),
        ({"directLowPrice": Decimal("0.125")}, "direct low", 13),
        ({"highPrice": 9}, "high", 900),
    ],
)
def test_the_market_price_is_preferred_and_the_basis_said(figures: dict[str, Any], basis: str, minor: int) -> None:
    (quote,) = from_tcgdex(tcgplayer(normal=figures), "base1-4", NOW)
    assert (quote.basis, quote.minor) == (basis, minor)


def test_no_price_is_no_quote() -> None:
    for nothing in ({"id": "base1-4"}, answer(), answer(tcgplayer=None, cardmarket=None), tcgplayer(normal=None)):
        assert from_tcgdex(nothing, "base1-4", NOW) == ()
    assert from_tcgdex(tcgplayer(normal={"marketPrice": None}, glitter={"marketPrice": 1}), "base1-4", NOW) == ()


def test_two_spellings_of_one_variant_are_one_quote() -> None:
    both = tcgplayer(holofoil={"marketPrice": 5}, holo={"marketPrice": 6})
    assert prices(from_tcgdex(both, "base1-4", NOW)) == {("holo", ""): 500}


CARDMARKET = {"unit": "EUR", "updated": None, "avg": Decimal("402.79"), "trend": None, "trend-holo": Decimal("123.63")}


@pytest.mark.parametrize(
    ("variants", "expected"),
    [
        ({"normal": True, "reverse": True}, {("normal", ""): 40279, ("reverse_holo", ""): 12363}),
        ({"normal": True, "holo": True}, {("normal", ""): 40279, ("holo", ""): 12363}),
        ({"normal": False, "holo": True}, {("holo", ""): 40279}),
        ({"holo": True, "reverse": True}, {("holo", ""): 40279, ("reverse_holo", ""): 12363}),
        (None, {("", ""): 40279}),
    ],
)
def test_cardmarkets_columns_mean_what_the_card_was_printed_in(
    variants: Any, expected: dict[tuple[str, str], int]
) -> None:
    quotes = from_tcgdex({**answer(cardmarket=CARDMARKET), "variants": variants}, "base1-4", NOW)
    assert prices(quotes) == expected
    assert {(quote.currency, quote.as_of) for quote in quotes} == {("EUR", NOW)}


def test_cardmarket_is_asked_only_when_tcgplayer_has_nothing() -> None:
    pricing = tcgplayer(normal={"marketPrice": 1})["pricing"] | {"cardmarket": CARDMARKET}
    assert [q.currency for q in from_tcgdex(answer(**pricing), "base1-4", NOW)] == ["USD"]
    empty = {"unit": "EUR", "avg": None, "trend-holo": 0}
    assert from_tcgdex({**answer(cardmarket=empty), "variants": {"normal": True}}, "base1-4", NOW) == ()


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ([], "wrong-type"),
        ({"id": "base1-5"}, "wrong-card"),
        ({}, "wrong-card"),
        ({"id": "base1-4", "pricing": 7}, "wrong-type"),
        (answer(tcgplayer="cheap"), "wrong-type"),
        (tcgplayer(normal=3), "wrong-type"),
        (tcgplayer(normal={"marketPrice": "$1,234.50"}), "wrong-type"),
        (tcgplayer(normal={"marketPrice": True}), "wrong-type"),
        (tcgplayer(normal={"marketPrice": 1.5}), "wrong-type"),
        (tcgplayer(normal={"marketPrice": Decimal("NaN")}), "not-finite"),
        (tcgplayer(normal={"marketPrice": Decimal("Infinity")}), "not-finite"),
        (tcgplayer(normal={"marketPrice": Decimal("-0.01")}), "negative"),
        (tcgplayer(normal={"marketPrice": Decimal("1e300")}), "too-large"),
        (tcgplayer(normal={"marketPrice": 10**30}), "too-large"),
        (answer(tcgplayer={"unit": "EUR", "normal": {"marketPrice": 1}}), "currency"),
        (answer(tcgplayer={"normal": {"marketPrice": 1}}), "currency"),
        (tcgplayer(normal={"marketPrice": 1}, updated="yesterday"), "date"),
        (tcgplayer(normal={"marketPrice": 1}, updated=1700000000), "date"),
        (tcgplayer(normal={"marketPrice": 1}, updated="2027-01-01T00:00:00Z"), "date"),
        (tcgplayer(normal={"marketPrice": 1}, updated="0001-01-01T00:00:00+23:59"), "date"),
    ],
)
def test_what_cannot_be_right_is_refused_with_a_reason(wrong: Any, reason: str) -> None:
    with pytest.raises(Refused) as caught:
        from_tcgdex(wrong, "base1-4", NOW)
    assert caught.value.reason == reason


def test_a_date_without_an_offset_is_utc_and_never_after_now() -> None:
    (quote,) = from_tcgdex(tcgplayer(normal={"marketPrice": 1}, updated="2026-11-22"), "base1-4", NOW)
    assert quote.as_of == datetime(2026, 11, 22, tzinfo=UTC)
    (quote,) = from_tcgdex(tcgplayer(normal={"marketPrice": 1}, updated="2026-11-22T20:00:00Z"), "base1-4", NOW)
    assert quote.as_of == NOW


def test_what_is_left_open_takes_the_lowest_and_says_so() -> None:
    said = from_tcgdex(
        tcgplayer(
            **{
                "1st-edition-holofoil": {"marketPrice": 900},
                "unlimited-holofoil": {"marketPrice": 400},
                "normal": {"marketPrice": 2},
            }
        ),
        "base1-4",
        NOW,
    )
    lines = {(q.finish, q.edition): (q.minor, q.lowest) for q in described(said)}
    assert lines == {
        ("", ""): (200, True),
        ("", "unlimited"): (40000, True),
        ("", "first"): (90000, True),
        ("normal", ""): (200, False),
        ("normal", "unlimited"): (200, False),
        ("holo", ""): (40000, True),
        ("holo", "unlimited"): (40000, False),
        ("holo", "first"): (90000, False),
    }
    assert described(()) == ()


NAMES = st.sampled_from(["normal", "holo", "1st-edition", "unlimited-holofoil", "unit", "updated", "glitter"])
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.decimals()
    | st.floats()
    | st.text(max_size=12)
    | st.sampled_from(["USD", "EUR", "2026-01-01T00:00:00Z", Decimal("1e300"), Decimal("12.345")])
)
FIGURES = st.dictionaries(
    st.sampled_from(["marketPrice", "midPrice", "lowPrice", "directLowPrice", "highPrice"]), SCALARS, max_size=4
)
BLOCKS = st.dictionaries(
    NAMES | st.sampled_from(["avg", "trend", "low", "trend-holo"]), SCALARS | FIGURES, max_size=5
).map(lambda block: {"unit": "USD", **block})
ANSWERS = SCALARS | st.fixed_dictionaries(
    {"id": st.sampled_from(["base1-4", "base1-4", "x"]), "pricing": st.none() | st.fixed_dictionaries({}, optional={
        "tcgplayer": SCALARS | BLOCKS, "cardmarket": SCALARS | BLOCKS.map(lambda block: {**block, "unit": "EUR"})})},
    optional={"variants": SCALARS | st.dictionaries(st.sampled_from(["normal", "holo", "reverse"]), st.booleans())},
)  # fmt: skip


@given(ANSWERS)
def test_any_answer_is_quotes_in_whole_cents_or_refused_by_name(found: Any) -> None:
    try:
        quotes = from_tcgdex(found, "base1-4", NOW)
    except Refused:
        return
    for quote in (*quotes, *described(quotes)):
        assert type(quote.minor) is int
        assert 0 < quote.minor <= MAX_MINOR
        assert quote.as_of <= NOW


@given(st.integers(min_value=1, max_value=MAX_MINOR))
def test_cents_survive_the_way_through_json(cents: int) -> None:
    figure = f"{cents // 100}.{cents % 100:02d}"
    text = '{"id":"a-1","pricing":{"tcgplayer":{"unit":"USD","normal":{"marketPrice":' + figure + "}}}}"
    found = msgspec.json.Decoder(float_hook=Decimal).decode(text)
    (quote,) = from_tcgdex(found, "a-1", NOW)
    assert quote.minor == cents

"""What is read in the providers' answers.

Their real shapes and spellings, and what is refused of them.
"""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardmint_cloud.adapters.providers import pokemontcg, pricecharting, tcgcsv, tcgdex
from cardmint_cloud.domain.price_parsing import (
    MAX_MINOR,
    ImplausibleAnswer,
    parse_pennies,
    parse_variant,
)
from cardmint_cloud.domain.quotes import Quote, describe_prices
from cardmint_cloud.errors import NotFound
from cardmint_contracts.cards import Card
from tests.cloud.kit.cards import NOW


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
    (quote,) = tcgdex.read_quotes(
        tcgplayer(**{name: {"marketPrice": Decimal("402.79")}}), "base1-4", NOW
    )
    assert (quote.finish, quote.edition, quote.minor, quote.currency) == (
        finish,
        edition,
        40279,
        "USD",
    )
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
def test_the_market_price_is_preferred_and_the_basis_said(
    figures: dict[str, Any], basis: str, minor: int
) -> None:
    (quote,) = tcgdex.read_quotes(tcgplayer(normal=figures), "base1-4", NOW)
    assert (quote.basis, quote.minor) == (basis, minor)


def test_no_price_is_no_quote() -> None:
    for nothing in (
        {"id": "base1-4"},
        answer(),
        answer(tcgplayer=None, cardmarket=None),
        tcgplayer(normal=None),
    ):
        assert tcgdex.read_quotes(nothing, "base1-4", NOW) == ()
    assert (
        tcgdex.read_quotes(
            tcgplayer(normal={"marketPrice": None}, glitter={"marketPrice": 1}), "base1-4", NOW
        )
        == ()
    )


def test_two_spellings_of_one_variant_are_one_quote() -> None:
    both = tcgplayer(holofoil={"marketPrice": 5}, holo={"marketPrice": 6})
    assert prices(tcgdex.read_quotes(both, "base1-4", NOW)) == {("holo", ""): 500}


CARDMARKET = {
    "unit": "EUR",
    "updated": None,
    "avg": Decimal("402.79"),
    "trend": None,
    "trend-holo": Decimal("123.63"),
}


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
    quotes = tcgdex.read_quotes(
        {**answer(cardmarket=CARDMARKET), "variants": variants}, "base1-4", NOW
    )
    assert prices(quotes) == expected
    assert {(quote.currency, quote.as_of) for quote in quotes} == {("EUR", NOW)}


def test_cardmarket_is_asked_only_when_tcgplayer_has_nothing() -> None:
    pricing = tcgplayer(normal={"marketPrice": 1})["pricing"] | {"cardmarket": CARDMARKET}
    assert [q.currency for q in tcgdex.read_quotes(answer(**pricing), "base1-4", NOW)] == ["USD"]
    empty = {"unit": "EUR", "avg": None, "trend-holo": 0}
    assert (
        tcgdex.read_quotes(
            {**answer(cardmarket=empty), "variants": {"normal": True}}, "base1-4", NOW
        )
        == ()
    )


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
        (tcgplayer(normal={"marketPrice": 10**7 + 1}), "too-large"),
        (answer(tcgplayer={"unit": "EUR", "normal": {"marketPrice": 1}}), "currency"),
        (answer(tcgplayer={"normal": {"marketPrice": 1}}), "currency"),
        (tcgplayer(normal={"marketPrice": 1}, updated="yesterday"), "date"),
        (tcgplayer(normal={"marketPrice": 1}, updated=1700000000), "date"),
        (tcgplayer(normal={"marketPrice": 1}, updated="2027-01-01T00:00:00Z"), "date"),
        (tcgplayer(normal={"marketPrice": 1}, updated="0001-01-01T00:00:00+23:59"), "date"),
    ],
)
def test_what_cannot_be_right_is_refused_with_a_reason(wrong: Any, reason: str) -> None:
    with pytest.raises(ImplausibleAnswer) as caught:
        tcgdex.read_quotes(wrong, "base1-4", NOW)
    assert caught.value.reason == reason


def test_a_date_without_an_offset_is_utc_and_never_after_now() -> None:
    (quote,) = tcgdex.read_quotes(
        tcgplayer(normal={"marketPrice": 1}, updated="2026-11-22"), "base1-4", NOW
    )
    assert quote.as_of == datetime(2026, 11, 22, tzinfo=UTC)
    (quote,) = tcgdex.read_quotes(
        tcgplayer(normal={"marketPrice": 1}, updated="2026-11-22T20:00:00Z"), "base1-4", NOW
    )
    assert quote.as_of == NOW


NAMES = st.sampled_from(
    ["normal", "holo", "1st-edition", "unlimited-holofoil", "unit", "updated", "glitter"]
)
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
    st.sampled_from(["marketPrice", "midPrice", "lowPrice", "directLowPrice", "highPrice"]),
    SCALARS,
    max_size=4,
)
BLOCKS = st.dictionaries(
    NAMES | st.sampled_from(["avg", "trend", "low", "trend-holo"]), SCALARS | FIGURES, max_size=5
).map(lambda block: {"unit": "USD", **block})
MARKETS = {
    "tcgplayer": SCALARS | BLOCKS,
    "cardmarket": SCALARS | BLOCKS.map(lambda block: {**block, "unit": "EUR"}),
}
VARIANTS = st.dictionaries(st.sampled_from(["normal", "holo", "reverse"]), st.booleans())
ANSWERS = SCALARS | st.fixed_dictionaries(
    {
        "id": st.sampled_from(["base1-4", "base1-4", "x"]),
        "pricing": st.none() | st.fixed_dictionaries({}, optional=MARKETS),
    },
    optional={"variants": SCALARS | VARIANTS},
)


@given(ANSWERS)
def test_any_answer_is_quotes_in_whole_cents_or_refused_by_name(found: Any) -> None:
    try:
        quotes = tcgdex.read_quotes(found, "base1-4", NOW)
    except ImplausibleAnswer:
        return
    for quote in (*quotes, *describe_prices(quotes)):
        assert type(quote.minor) is int
        assert 0 < quote.minor <= MAX_MINOR
        assert quote.as_of <= NOW


@given(st.integers(min_value=1, max_value=MAX_MINOR))
def test_cents_survive_the_way_through_json(cents: int) -> None:
    figure = f"{cents // 100}.{cents % 100:02d}"
    text = (
        '{"id":"a-1","pricing":{"tcgplayer":{"unit":"USD","normal":{"marketPrice":'
        + figure
        + "}}}}"
    )
    found = msgspec.json.Decoder(float_hook=Decimal).decode(text)
    (quote,) = tcgdex.read_quotes(found, "a-1", NOW)
    assert quote.minor == cents


@pytest.mark.parametrize("name", ["glitter", "", "1stEditionGlitter", "cosmos holo", "wPromo"])
def test_a_variant_that_is_not_known_is_none_of_ours(name: str) -> None:
    assert parse_variant(name) is None


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("1st Edition", ("normal", "first")),
        ("1st Edition Holofoil", ("holo", "first")),
        ("Reverse Holofoil", ("reverse_holo", "")),
        ("Unlimited Holofoil", ("holo", "unlimited")),
        ("Reverse Holo", ("reverse_holo", "")),
        ("Holo", ("holo", "")),
    ],
)
def test_spellings_of_other_providers_are_understood(name: str, kind: tuple[str, str]) -> None:
    assert parse_variant(name) == kind


@pytest.mark.parametrize(
    ("figure", "reason"),
    [
        (-1, "negative"),
        (Decimal("NaN"), "not-finite"),
        (Decimal("1e300"), "too-large"),
        (10**300, "too-large"),
        ("$1,234.50", "wrong-type"),
        (Decimal("12.5"), "wrong-type"),
        ([], "wrong-type"),
        (True, "wrong-type"),
        ("１２", "wrong-type"),
    ],
)
def test_pennies_that_cannot_be_right_are_refused(figure: Any, reason: str) -> None:
    with pytest.raises(ImplausibleAnswer) as caught:
        parse_pennies(figure, "loose-price")
    assert caught.value.reason == reason


def test_pennies_are_minor_units_already() -> None:
    assert (
        parse_pennies(29662, "x"),
        parse_pennies(None, "x"),
        parse_pennies("2964313", "x"),
        parse_pennies(Decimal("7.0"), "x"),
    ) == (
        29662,
        0,
        2964313,
        7,
    )


# PokemonTCG.io


def cards(card_id: str = "base1-4", **blocks: Any) -> dict[str, Any]:
    return {"data": {"id": card_id, "hp": "120", "rarity": "Rare Holo", **blocks}}


def dollars(**variants: Any) -> dict[str, Any]:
    return cards(tcgplayer={"url": "https://x", "updatedAt": "2026/11/21", "prices": variants})


def test_pokemontcg_quotes_tcgplayer_in_dollars_with_nulls_and_texts() -> None:
    answer = dollars(
        holofoil={"low": 1, "market": Decimal("402.79"), "directLow": None},
        reverseHolofoil={"low": None, "mid": "12.30", "market": None},
        normal=None,
        wPromo={"market": 3},
        **{"1stEditionHolofoil": {"market": 2500}},
    )
    quotes = pokemontcg.read_quotes(answer, "base1-4", NOW)
    assert {q.kind: (q.minor, q.basis) for q in quotes} == {
        ("holo", "", ""): (40279, "market"),
        ("reverse_holo", "", ""): (1230, "mid"),
        ("holo", "first", ""): (250000, "market"),
    }
    assert {(q.source, q.currency, q.as_of) for q in quotes} == {
        ("pokemontcg/tcgplayer", "USD", datetime(2026, 11, 21, tzinfo=UTC))
    }


def test_pokemontcg_falls_back_to_cardmarket_in_euros() -> None:
    block = {
        "updatedAt": "2026/11/20",
        "prices": {"trendPrice": None, "averageSellPrice": 4, "reverseHoloTrend": 9},
    }
    quotes = pokemontcg.read_quotes(cards(tcgplayer=None, cardmarket=block), "base1-4", NOW)
    assert {q.kind: (q.minor, q.currency, q.basis) for q in quotes} == {
        ("holo", "", ""): (400, "EUR", "average"),
        ("reverse_holo", "", ""): (900, "EUR", "trend"),
    }
    plain = pokemontcg.read_quotes(
        {"data": {"id": "a-1", "cardmarket": {"prices": {"lowPrice": 1}}}}, "a-1", NOW
    )
    assert [(q.kind, q.as_of) for q in plain] == [(("", "", ""), NOW)]


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ([], "wrong-type"),
        ({"data": None}, "wrong-type"),
        ({"error": {"message": "Not Found", "code": 404}}, "wrong-type"),
        (cards("base1-5"), "wrong-card"),
        (cards(tcgplayer=3), "wrong-type"),
        (cards(tcgplayer={"prices": []}), "wrong-type"),
        (dollars(normal=7), "wrong-type"),
        (dollars(normal={"market": "$1,234.50"}), "wrong-type"),
        (dollars(normal={"market": -1}), "negative"),
        (dollars(normal={"market": Decimal("NaN")}), "not-finite"),
        (dollars(normal={"market": Decimal("1e300")}), "too-large"),
        (cards(tcgplayer={"updatedAt": "2027/11/21", "prices": {"normal": {"market": 1}}}), "date"),
    ],
)
def test_pokemontcg_is_refused_with_a_reason(wrong: Any, reason: str) -> None:
    with pytest.raises(ImplausibleAnswer) as caught:
        pokemontcg.read_quotes(wrong, "base1-4", NOW)
    assert caught.value.reason == reason


def test_pokemontcg_without_prices_quotes_nothing() -> None:
    assert pokemontcg.read_quotes(cards(), "base1-4", NOW) == ()
    assert pokemontcg.read_quotes(dollars(normal={"market": None}), "base1-4", NOW) == ()
    assert pokemontcg.read_quotes(cards(tcgplayer={"prices": None}), "base1-4", NOW) == ()


# PriceCharting

CHARIZARD = Card(id="base1-4", name="Charizard", number="4/102", set_id="base1", set_name="Base")
PRODUCT = {
    "id": "630417",
    "product-name": "Charizard #4",
    "console-name": "Pokemon Base Set",
    "loose-price": 29662,
}


def found(*products: Any) -> dict[str, Any]:
    return {"status": "success", "products": list(products)}


def test_pricecharting_keeps_every_grade_for_itself() -> None:
    graded = {
        **PRODUCT,
        "cib-price": 40000,
        "graded-price": 252280,
        "manual-only-price": 2964313,
        "bgs-10-price": None,
    }
    graded |= {
        "condition-17-price": 1,
        "condition-18-price": 2,
        "condition-19-price": 3,
        "new-price": 0,
    }
    quotes = pricecharting.read_quotes(found(graded), CHARIZARD, NOW)
    assert {q.grade: q.minor for q in quotes} == {
        "": 29662,
        "7": 40000,
        "9": 252280,
        "PSA 10": 2964313,
        "CGC 10": 1,
        "SGC 10": 2,
        "CGC 10 Pristine": 3,
    }
    assert {(q.currency, q.source, q.finish, q.edition) for q in quotes} == {
        ("USD", "pricecharting", "", "")
    }
    assert prices(describe_prices(quotes)) == {("", ""): 29662, ("", "unlimited"): 29662}


def test_pricecharting_takes_only_the_card_that_was_meant() -> None:
    others = [
        {**PRODUCT, "product-name": "Charizard [1st Edition] #4", "loose-price": 500000},
        {**PRODUCT, "product-name": "Charizard [Shadowless] #4", "loose-price": 1},
        {**PRODUCT, "product-name": "Charizard #14", "loose-price": 2},
        {**PRODUCT, "product-name": "Charizard VMAX #4", "loose-price": 3},
        {**PRODUCT, "product-name": "Charizard", "loose-price": 4},
        {**PRODUCT, "console-name": "Pokemon Base Set 2", "loose-price": 5},
        PRODUCT,
        {**PRODUCT, "loose-price": 6},
    ]
    quotes = pricecharting.read_quotes(found(*others), CHARIZARD, NOW)
    assert prices(quotes) == {("normal", "first"): 500000, ("", ""): 29662}
    with pytest.raises(NotFound, match="none of the 2"):
        pricecharting.read_quotes(found(*others[2:4]), CHARIZARD, NOW)
    with pytest.raises(NotFound):
        pricecharting.read_quotes(found(), CHARIZARD, NOW)


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ([], "wrong-type"),
        ({"status": "error", "error-message": "bad token"}, "provider-error"),
        ({}, "provider-error"),
        ({"status": "success"}, "wrong-type"),
        (found("x"), "wrong-type"),
        (found({**PRODUCT, "loose-price": -1}), "negative"),
        (found({**PRODUCT, "loose-price": "$1,234.50"}), "wrong-type"),
        (found({**PRODUCT, "loose-price": Decimal("296.62")}), "wrong-type"),
        (found({**PRODUCT, "loose-price": Decimal("1e300")}), "too-large"),
    ],
)
def test_pricecharting_is_refused_with_a_reason(wrong: Any, reason: str) -> None:
    with pytest.raises(ImplausibleAnswer) as caught:
        pricecharting.read_quotes(wrong, CHARIZARD, NOW)
    assert caught.value.reason == reason


# TCGCSV


def product(identifier: Any, name: str, number: str) -> dict[str, Any]:
    extended = [{"name": "Rarity", "value": "Holo Rare"}, {"name": "Number", "value": number}]
    return {
        "productId": identifier,
        "name": f"{name} - {number}",
        "cleanName": name,
        "extendedData": extended,
    }


def results(*rows: Any) -> dict[str, Any]:
    return {"success": True, "errors": [], "results": list(rows)}


def test_tcgcsv_finds_a_product_by_number_and_name() -> None:
    products = results(
        {"productId": 1, "name": "Booster Box", "extendedData": None},
        product(2, "Charizard", "014/102"),
        product(3, "Charmander", "004/102"),
        product(42382, "Charizard", "004/102"),
    )
    assert tcgcsv.find_product(products, CHARIZARD) == 42382
    assert tcgcsv.find_product(results(), CHARIZARD) is None


def test_tcgcsv_has_a_row_for_each_finish() -> None:
    rows = results(
        {"productId": 7, "marketPrice": 1, "subTypeName": "Normal"},
        {
            "productId": 42382,
            "marketPrice": Decimal("402.79"),
            "lowPrice": 300,
            "subTypeName": "Holofoil",
        },
        {"productId": 42382, "marketPrice": None, "midPrice": 9, "subTypeName": "Reverse Holofoil"},
        {"productId": 42382, "marketPrice": None, "subTypeName": "1st Edition Holofoil"},
        {"productId": 42382, "marketPrice": 8, "subTypeName": "Cracked Ice"},
    )
    quotes = tcgcsv.read_quotes(rows, 42382, NOW)
    assert prices(quotes) == {("holo", ""): 40279, ("reverse_holo", ""): 900}
    assert {(q.source, q.as_of) for q in quotes} == {("tcgcsv/tcgplayer", NOW)}


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: tcgcsv.find_product([], CHARIZARD),
        lambda: tcgcsv.find_product({"results": {}}, CHARIZARD),
        lambda: tcgcsv.find_product(results(7), CHARIZARD),
        lambda: tcgcsv.find_product(results(product("42382", "Charizard", "4/102")), CHARIZARD),
        lambda: tcgcsv.find_product(
            results({"cleanName": "Charizard", "extendedData": "x"}), CHARIZARD
        ),
        lambda: tcgcsv.read_quotes([], 1, NOW),
        lambda: tcgcsv.read_quotes(results(None), 1, NOW),
        lambda: tcgcsv.read_quotes(
            results({"productId": 1, "marketPrice": "$9", "subTypeName": "Normal"}), 1, NOW
        ),
    ],
)
def test_tcgcsv_is_refused_with_a_reason(wrong: Any) -> None:
    with pytest.raises(ImplausibleAnswer) as caught:
        wrong()
    assert caught.value.reason == "wrong-type"


JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner)
)
KEYS = [
    "data",
    "id",
    "tcgplayer",
    "cardmarket",
    "prices",
    "normal",
    "market",
    "results",
    "products",
    "status",
]
SHAPED = st.recursive(
    JSON | st.sampled_from(["base1-4", "success", "Charizard #4", "Pokemon Base Set"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5)
    ),
    max_leaves=12,
)


@given(SHAPED)
def test_no_answer_of_any_shape_breaks_a_reader(found: Any) -> None:
    for read in (
        lambda: pokemontcg.read_quotes(found, "base1-4", NOW),
        lambda: pricecharting.read_quotes(found, CHARIZARD, NOW),
        lambda: tcgcsv.read_quotes(found, 42382, NOW),
        lambda: tcgcsv.find_product(found, CHARIZARD) or (),
    ):
        try:
            quotes = read()
        except (ImplausibleAnswer, NotFound):
            continue
        assert quotes is not None

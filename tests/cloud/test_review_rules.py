"""When the cloud asks for a look at a counted card, and what audits measure."""

from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardmint_cloud.domain.review_rules import (
    CountedCard,
    drawn_for_audit,
    measure_precision,
    review_reasons,
)
from tests.cloud.kit.prices import quote
from tests.cloud.kit.reviews import NO_RULES, review_rules


def card(**more: Any) -> CountedCard:
    values: dict[str, Any] = {
        "confidence": 0.97,
        "margin": 0.3,
        "finish": "normal",
        "edition": "",
        "duplicate": False,
    }
    return CountedCard(**{"scan": UUID(int=1), "quotes": (), **values, **more})


@pytest.mark.parametrize(
    ("rule", "asked", "not_asked", "reason"),
    [
        ({"low_confidence": 0.9}, {"confidence": 0.89}, {"confidence": 0.9}, "low-confidence"),
        ({"small_margin": 0.2}, {"margin": 0.19}, {"margin": 0.2}, "small-margin"),
        ({"duplicates": True}, {"duplicate": True}, {"duplicate": False}, "possible-duplicate"),
        ({"high_value": 500}, {"quotes": [quote(500)]}, {"quotes": [quote(499)]}, "high-value"),
        (
            {"high_value": 500},
            {"finish": "", "quotes": [quote(600), quote(900, "holo")]},
            {"finish": "", "quotes": [quote(5), quote(900, "holo")]},
            "high-value",
        ),
        (
            {"high_value": 500},
            {"quotes": [quote(500)]},
            {"quotes": [quote(500, grade="9")]},
            "high-value",
        ),
        (
            {"spread": 3},
            {"finish": "", "quotes": [quote(100), quote(300, "holo")]},
            {"finish": "", "quotes": [quote(100), quote(299, "holo")]},
            "finish-needed",
        ),
        (
            {"spread": 3},
            {"finish": "", "quotes": [quote(100), quote(300, "holo")]},
            {"finish": "normal", "quotes": [quote(100), quote(300, "holo")]},
            "finish-needed",
        ),
        (
            {"spread": 3},
            {"quotes": [quote(100), quote(900, edition="first")]},
            {"edition": "first", "quotes": [quote(100), quote(900, edition="first")]},
            "edition-needed",
        ),
        (
            {"spread": 3},
            {"quotes": [quote(100), quote(900, edition="first")]},
            {"quotes": [quote(100), quote(900, "holo", edition="first")]},
            "edition-needed",
        ),
        (
            {"spread": 3},
            {"quotes": [quote(100), quote(900, edition="first")]},
            {"quotes": [quote(100), quote(9000, grade="10", edition="first")]},
            "edition-needed",
        ),
    ],
)
def test_each_rule_asks_for_its_reason(
    rule: dict[str, Any], asked: dict[str, Any], not_asked: dict[str, Any], reason: str
) -> None:
    assert review_reasons(review_rules(**rule), card(**asked)) == (reason,)
    assert review_reasons(review_rules(**rule), card(**not_asked)) == ()
    assert review_reasons(NO_RULES, card(**asked)) == ()


@given(st.lists(st.uuids(), min_size=1, max_size=50))
def test_chance_is_in_the_scans_identifier(scans: list[UUID]) -> None:
    for scan in scans:
        assert not drawn_for_audit(NO_RULES, scan)
        assert drawn_for_audit(review_rules(audit=1.0), scan)
        assert drawn_for_audit(review_rules(audit=0.3), scan) == drawn_for_audit(
            review_rules(audit=0.3), scan
        )
        assert not drawn_for_audit(review_rules(audit=0.1), scan) or drawn_for_audit(
            review_rules(audit=0.3), scan
        )


def test_one_in_a_hundred_is_one_in_a_hundred() -> None:
    drawn = sum(
        drawn_for_audit(review_rules(audit=0.01), UUID(int=n << 64 | n)) for n in range(50_000)
    )
    assert 400 < drawn < 600


@pytest.mark.parametrize(
    ("right", "of", "low", "high"),
    [
        (0, 0, 0.0, 1.0),
        (25, 25, 0.867, 1.0),
        (0, 10, 0.0, 0.278),
        (95, 100, 0.888, 0.978),
        (1, 2, 0.095, 0.905),
    ],
)
def test_the_interval_is_wilsons(right: int, of: int, low: float, high: float) -> None:
    found = measure_precision("x", right, of)
    assert (found.audited, found.right) == (of, right)
    assert found.low == pytest.approx(low, abs=0.001)
    assert found.high == pytest.approx(high, abs=0.001)


@given(st.integers(0, 1000), st.integers(1, 1000))
def test_the_interval_holds_the_share(right: int, of: int) -> None:
    found = measure_precision("x", min(right, of), of)
    share = min(right, of) / of
    assert 0 <= found.low <= share + 1e-9
    assert share - 1e-9 <= found.high <= 1

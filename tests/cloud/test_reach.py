"""How far a person or program reaches: names, what is within, and what keeps a card there."""

import json

import pytest

from cardmint_cloud.adapters.postgres.connection import (
    limited_to,
    reach_in_force,
    reach_setting,
)
from cardmint_cloud.domain.permissions import limited_may
from cardmint_cloud.domain.reach import MOST, MOST_LOT, Reach, parse_reach, reach_of
from cardmint_cloud.errors import Conflict
from cardmint_contracts.changes import ItemValues

BOTH = Reach(frozenset({"left", "right"}), frozenset({"june"}))
TASK = "7c9e6679-7425-40de-944b-e07fc1f90ae7"


def test_what_is_typed_is_a_reach() -> None:
    assert parse_reach(" left, right  left ", "june\n\n of Anna & Co. \r\n") == Reach(
        frozenset({"left", "right"}), frozenset({"june", "of Anna & Co."})
    )
    assert parse_reach(" , ", " \n ") is None
    assert reach_of([], []) is None
    assert reach_of(["left"], []) == Reach(stations=frozenset({"left"}))


@pytest.mark.parametrize(
    ("stations", "lots", "said"),
    [
        ("Left", "", "no name of a station"),
        ("left/right", "", "no name of a station"),
        (" ".join(f"s{n}" for n in range(MOST + 1)), "", "At most 50"),
        ("", "\n".join(str(n) for n in range(MOST + 1)), "At most 50"),
        ("", "x" * (MOST_LOT + 1), "no name of a lot"),
        ("", "a\x00b", "no name of a lot"),
    ],
)
def test_what_cannot_be_a_name_is_refused(stations: str, lots: str, said: str) -> None:
    with pytest.raises(Conflict, match=said):
        parse_reach(stations, lots)


def test_what_is_within() -> None:
    assert BOTH.includes("left", "june")
    assert not BOTH.includes("left", "may")
    assert not BOTH.includes("hall", "june")
    assert Reach().includes("", "")
    assert Reach(lots=frozenset({"june"})).includes("anywhere", "june")


def test_a_card_stays_within_the_lots() -> None:
    assert BOTH.keeps(ItemValues(note="x"))
    assert BOTH.keeps(ItemValues(lot="june"))
    assert not BOTH.keeps(ItemValues(lot="may"))
    assert not BOTH.keeps(ItemValues(cleared=("lot",)))
    assert Reach(stations=frozenset({"left"})).keeps(ItemValues(lot="may"))


def test_in_words_and_for_the_policies() -> None:
    assert BOTH.words == "stations left, right · lots june"
    assert Reach().words == "all cards"
    assert json.loads(BOTH.setting) == {"stations": ["left", "right"], "lots": ["june"]}
    assert json.loads(Reach(lots=frozenset({"june"})).setting) == {"lots": ["june"]}


def test_a_reach_is_in_force_within_its_context() -> None:
    assert reach_setting() == ""
    with limited_to(BOTH):
        assert reach_in_force() == BOTH
        assert reach_setting() == BOTH.setting
        with limited_to(None):
            assert reach_in_force() is None
    assert reach_in_force() is None


@pytest.mark.parametrize(
    ("method", "path", "may"),
    [
        *(("GET", path, True) for path in ("/items", "/reviews", "/events", "/waiting")),
        *(("GET", path, True) for path in (f"/items/{TASK}", "/items/download/csv")),
        *(("POST", path, True) for path in (f"/reviews/{TASK}", f"/items/undo/{TASK}")),
        ("GET", "/api/v1/shop/cards", True),
        ("POST", "/api/v1/shop/changes", True),
        ("POST", "/logout", True),
        ("GET", "/account", True),
        ("POST", "/api/v1/shop/cards", False),
        ("GET", "/api/v1/shop/changes", False),
        ("GET", "/api/v1/shop/value", False),
        *(("GET", path, False) for path in ("/", "/value", "/stations", "/changes", "/metrics")),
        *(("GET", path, False) for path in ("/items/add", "/cards/base1-4", "/people", "/new")),
        ("POST", "/held-prices/1/take", False),
        ("POST", "/items/add", False),
    ],
)
def test_what_adds_up_the_whole_tenant_is_not_for_who_is_limited(
    method: str, path: str, *, may: bool
) -> None:
    assert limited_may(method, path) is may

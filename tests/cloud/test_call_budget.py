"""How often cards are asked about, and when a day's budget ends."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardmint_cloud.domain.call_budget import forecast_budget, refresh_after
from tests.cloud.kit.cards import NOW


@pytest.mark.parametrize(
    ("minor", "hours"),
    [(None, 24), (0, 72), (9_99, 72), (10_00, 24), (99_99, 24), (100_00, 6), (10**9, 6)],
)
def test_dear_cards_are_asked_about_more_often(minor: int | None, hours: int) -> None:
    assert refresh_after(minor) == timedelta(hours=hours)


def test_the_budget_ends_when_the_first_call_beyond_it_is_due() -> None:
    due = [NOW - timedelta(hours=1), NOW + timedelta(hours=1), NOW + timedelta(hours=2)]
    assert forecast_budget(calls=7, budget=10, due=due, now=NOW).ends_at is None
    assert forecast_budget(calls=8, budget=10, due=due, now=NOW).ends_at == due[2]
    assert forecast_budget(calls=10, budget=10, due=due, now=NOW).ends_at == NOW
    assert forecast_budget(calls=12, budget=10, due=[], now=NOW).ends_at is None


@given(st.integers(0, 50), st.integers(0, 50), st.lists(st.integers(-5, 12), max_size=40))
def test_so_many_calls_fit_before_the_end_as_are_left(
    calls: int, budget: int, hours: list[int]
) -> None:
    due = sorted(NOW + timedelta(hours=hour) for hour in hours)
    told = forecast_budget(calls=calls, budget=budget, due=due, now=NOW)
    assert (told.calls, told.budget, told.due) == (calls, budget, len(due))
    if told.ends_at is None:
        assert len(due) <= max(0, budget - calls)
    else:
        assert told.ends_at >= NOW
        assert sum(at < told.ends_at for at in due if at >= NOW) <= max(0, budget - calls)

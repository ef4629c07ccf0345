"""Guessing a password is slow, and no number of strangers keeps the owner out."""

from datetime import timedelta
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardmint_cloud.adapters.sealing import MasterKeys
from cardmint_cloud.domain.sign_in_pace import (
    ATTACKED,
    COUNTS,
    FIRST_PAUSE_ATTACKED_S,
    FIRST_PAUSE_S,
    FORGOTTEN_S,
    FREE_TRIES,
    LONGEST_PAUSE_ATTACKED_S,
    LONGEST_PAUSE_S,
    SignInPace,
    network_of,
)
from cardmint_cloud.known_browsers import LIFE, KnownBrowsers, cookie_name
from tests.cloud.kit.cards import NOW

DAY_S = 86_400.0


def guesses(pace: SignInPace, addresses: int, seconds: float, account: str = "owl") -> int:
    """Try from each address whenever it may; return how many tries there were."""
    due = [(0.0, number) for number in range(addresses)]
    done = 0
    while due:
        now, number = due.pop(0)
        wait = pace.seconds_to_wait(account, f"10.0.{number >> 8}.{number & 255}", now)
        if wait == 0:
            pace.wrong(account, f"10.0.{number >> 8}.{number & 255}", now)
            done += 1
        if (then := now + max(wait, 0.001)) < seconds:
            due.append((then, number))
    return done


def test_pauses_grow_to_five_minutes() -> None:
    pace, now, pauses = SignInPace(), 0.0, []
    for _ in range(FREE_TRIES + 7):
        pauses.append(pace.seconds_to_wait("owl", "10.0.0.1", now))
        now += pauses[-1]
        pace.wrong("owl", "10.0.0.1", now)
    assert pauses[: FREE_TRIES + 1] == [0.0] * FREE_TRIES + [FIRST_PAUSE_S]
    assert pauses[-1] == LONGEST_PAUSE_S


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["owl", "fox"]),
            st.integers(0, 200),
            st.floats(0, 2 * FORGOTTEN_S, allow_nan=False),
        ),
        max_size=300,
    )
)
def test_strangers_keep_nobody_out(tries: list[tuple[str, int, float]]) -> None:
    """Neither in a browser that is known, nor from a network that has not tried."""
    pace, now = SignInPace(), 0.0
    for account, number, pause in tries:
        now += pause / 100
        pace.wrong(account, f"10.0.0.{number}", now)
        assert pace.seconds_to_wait("owl", "10.0.0.7", now, browser="b") == 0
        assert pace.seconds_to_wait("owl", "192.0.2.1", now) == 0


def test_a_thousand_addresses_need_years_for_the_weakest_password() -> None:
    """One that is taken needs a hundred million guesses, half of them on average."""
    day = guesses(SignInPace(), 1000, DAY_S)
    assert 50e6 / day / 365 > 2
    assert guesses(SignInPace(), 1, DAY_S) < 300


def test_an_account_under_attack_gives_each_network_one_free_try() -> None:
    pace = SignInPace()
    for number in range(ATTACKED):
        pace.wrong("owl", f"10.0.0.{number}", 0.0)
    assert pace.seconds_to_wait("owl", "192.0.2.1", 0.0) == 0
    pace.wrong("owl", "192.0.2.1", 0.0)
    assert pace.seconds_to_wait("owl", "192.0.2.1", 0.0) == FIRST_PAUSE_ATTACKED_S
    assert pace.seconds_to_wait("fox", "192.0.2.1", 0.0) == 0, "only that account is attacked"
    for _ in range(20):
        pace.wrong("owl", "192.0.2.1", 0.0)
    assert pace.seconds_to_wait("owl", "192.0.2.1", 0.0) == LONGEST_PAUSE_ATTACKED_S
    assert pace.seconds_to_wait("owl", "192.0.2.1", FORGOTTEN_S) == 0


def test_a_known_browser_is_slowed_down_by_its_own_tries_only() -> None:
    pace = SignInPace()
    for _ in range(FREE_TRIES):
        pace.wrong("owl", "10.0.0.1", 0.0, browser="a")
    assert pace.seconds_to_wait("owl", "10.0.0.1", 0.0, browser="a") == FIRST_PAUSE_S
    assert pace.seconds_to_wait("owl", "10.0.0.1", 0.0, browser="b") == 0
    assert pace.seconds_to_wait("owl", "10.0.0.1", 0.0) == 0
    pace.right("owl", "10.0.0.1", browser="a")
    assert pace.seconds_to_wait("owl", "10.0.0.1", 0.0, browser="a") == 0
    assert len(pace) == 0


def test_the_right_password_forgets_what_was_counted_of_it_there() -> None:
    pace = SignInPace()
    for _ in range(FREE_TRIES):
        pace.wrong("owl", "10.0.0.1", 0.0)
    pace.wrong("owl", "10.0.0.2", 0.0)
    pace.wrong("fox", "10.0.0.1", 0.0)
    pace.right("owl", "10.0.0.1")
    assert len(pace) == 6, "three counts of fox, and three of the other stranger"
    assert pace.seconds_to_wait("owl", "10.0.0.1", 0.0) == 0
    pace.right("owl", "10.0.0.9")
    assert len(pace) == 6


def test_ones_own_password_gives_no_more_guesses_at_others() -> None:
    pace = SignInPace()
    for _ in range(FREE_TRIES):
        pace.wrong("owl", "10.0.0.1", 0.0)
        pace.wrong("guesser", "10.0.0.1", 0.0)
        pace.right("guesser", "10.0.0.1")
    assert pace.seconds_to_wait("owl", "10.0.0.1", 1.0) > 1


def test_memory_is_bounded() -> None:
    pace = SignInPace()
    for number in range(COUNTS):
        pace.wrong(f"owl {number}", "10.0.0.1", 0.0)
    assert len(pace) == COUNTS
    for _ in range(FREE_TRIES):
        pace.wrong("owl", "10.0.0.2", 0.0)
    assert pace.seconds_to_wait("owl", "10.0.0.2", 1.0) > 0, "a new count finds room"


def test_the_right_password_is_right_where_a_count_had_to_go() -> None:
    pace = SignInPace()
    pace.wrong("owl", "10.0.0.1", 0.0)
    for number in range(COUNTS // 3):
        pace.wrong(
            f"fox {number}", f"10.{1 + (number >> 16)}.{number >> 8 & 255}.{number & 255}", 0.0
        )
    assert len(pace) == COUNTS, "the first count, of the owl's network, went"
    pace.right("owl", "10.0.0.1")
    assert len(pace) == COUNTS - 2


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("", ""),
        ("pipe", "pipe"),
    ],
)
def test_a_subscriber_of_ipv6_has_one_network(address: str, network: str) -> None:
    assert network_of(address) == network


def test_a_browser_is_known_for_its_account_half_a_year() -> None:
    masters, account = MasterKeys.new(), uuid4()
    browsers = KnownBrowsers("shop", masters)
    name, value = browsers.cookie(account, NOW)
    known = browsers.known(account, {name: value}, NOW + LIFE)
    assert len(known) == 32
    assert KnownBrowsers("shop", masters.with_new()).known(account, {name: value}, NOW) == known
    assert browsers.known(account, dict([browsers.cookie(account, NOW)]), NOW) != known


def test_a_cookie_that_was_not_made_for_it_makes_no_browser_known() -> None:
    masters, account, other = MasterKeys.new(), uuid4(), uuid4()
    browsers = KnownBrowsers("shop", masters)
    name, value = browsers.cookie(account, NOW)
    assert not browsers.known(account, {name: value}, NOW + LIFE + timedelta(seconds=1))
    assert not browsers.known(other, {name: value, cookie_name(other): value}, NOW)
    assert not KnownBrowsers("other", masters).known(account, {name: value}, NOW)
    assert not KnownBrowsers("shop", MasterKeys.new()).known(account, {name: value}, NOW)
    for wrong in ("", "a", "é", "AAAA", value[:-8], value + "AAAA", "A" * 10_000):
        assert not browsers.known(account, {name: wrong}, NOW), wrong

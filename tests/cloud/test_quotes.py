"""What is believed of quotes, and what a card is worth by them."""

from hypothesis import given
from hypothesis import strategies as st

from cardmint_cloud.domain.quotes import (
    FAR,
    HeldQuote,
    Quote,
    describe_prices,
    merge_current,
    split_believable,
)
from tests.cloud.kit.prices import QUOTES, quote


def test_what_is_left_open_takes_the_lowest_and_says_so() -> None:
    said = (
        quote(90000, "holo", edition="first"),
        quote(40000, "holo", edition="unlimited"),
        quote(200),
    )
    lines = {(q.finish, q.edition): (q.minor, q.lowest) for q in describe_prices(said)}
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
    assert describe_prices(()) == ()


def test_a_graded_price_is_of_another_thing() -> None:
    lines = describe_prices([quote(500, ""), quote(20, "", grade="PSA 10")])
    assert [(line.finish, line.minor) for line in lines] == [("", 500), ("", 500)]


def test_a_price_near_the_last_one_is_believed() -> None:
    known = [quote(100, days=3)]
    for minor in (20, 100, 500):
        assert split_believable([quote(minor)], known) == ((quote(minor),), ())


def test_a_price_far_from_the_last_one_waits_for_a_person() -> None:
    known = [quote(100, days=3)]
    for minor in (19, 501):
        assert split_believable([quote(minor)], known) == (
            (),
            (HeldQuote(quote=quote(minor), against=known[0]),),
        )


def test_only_the_same_kind_and_currency_is_compared() -> None:
    known = [
        quote(100, "holo"),
        quote(100, grade="9"),
        quote(100, currency="EUR"),
        quote(100, edition="first"),
    ]
    assert split_believable([quote(10_000)], known) == ((quote(10_000),), ())


def test_another_source_of_this_week_has_a_say_too() -> None:
    newest = quote(1000, days=0)
    other = quote(100, source="pokemontcg/tcgplayer", days=2)
    assert split_believable([quote(1100)], [newest, other])[1] == (
        HeldQuote(quote=quote(1100), against=other),
    )
    old = quote(100, source="pokemontcg/tcgplayer", days=8)
    assert split_believable([quote(1100)], [newest, old])[0] == (quote(1100),)
    before = quote(100, days=2)
    assert split_believable([quote(1100)], [newest, before])[0] == (
        quote(1100),
    )  # The same source said so before.


def test_where_a_quote_is_held_back_the_last_believed_price_stays() -> None:
    known = [quote(100, days=3), quote(90, days=9), quote(300, "holo", days=3)]
    taken, held = split_believable([quote(9000), quote(310, "holo")], known)
    assert merge_current(taken, held, known) == (quote(310, "holo"), quote(100, days=3))
    assert merge_current((), held, known) == (quote(100, days=3),)


def test_currencies_are_never_mixed() -> None:
    known = [quote(100, currency="EUR")]
    held = (HeldQuote(quote=quote(9000, currency="EUR"), against=known[0]),)
    assert merge_current([quote(5, "holo")], held, known) == (quote(5, "holo"),)
    assert merge_current((), (HeldQuote(quote=quote(7), against=quote(1)),), ()) == ()


@given(st.lists(QUOTES, max_size=5), st.lists(QUOTES, max_size=8))
def test_every_quote_is_believed_or_held_and_nothing_jumps(
    said: list[Quote], known: list[Quote]
) -> None:
    taken, held = split_believable(said, known)
    assert sorted(map(repr, said)) == sorted(map(repr, [*taken, *(one.quote for one in held)]))
    for one in taken:
        same = [k for k in known if (k.kind, k.currency) == (one.kind, one.currency)]
        if same:
            last = max(k.as_of for k in same)
            assert any(k.minor / FAR <= one.minor <= k.minor * FAR for k in same if k.as_of == last)
    for doubt in held:
        assert doubt.against in known
        assert doubt.against.kind == doubt.quote.kind


@given(st.lists(QUOTES, max_size=6))
def test_a_description_never_costs_more_than_what_it_may_be(said: list[Quote]) -> None:
    dollars = [one for one in said if one.currency == "USD"]
    lines = {(line.finish, line.edition): line.minor for line in describe_prices(dollars)}
    raw = [one.minor for one in dollars if not one.grade]
    assert lines.get(("", "")) == (min(raw) if raw else None)

"""Following a feed over a channel that loses, repeats and reorders."""

import random
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from cardmint_contracts.envelope import digits
from cardmint_contracts.errors import ContractError
from cardmint_contracts.feed import FeedEvent, ReplayRefusal, ReplayRequest
from cardmint_contracts.following import ASK_AGAIN_S, MOST_AHEAD, FeedRefused, Following
from cardmint_contracts.wire import decode, encode

STREAM, OTHER = UUID(int=1), UUID(int=2)
LIVE = "cardmint/v1/shop/feed/inventory/added"


def event(number: int, stream: UUID = STREAM) -> FeedEvent:
    return FeedEvent(
        id=f"{stream}/{number}",
        source="/tenants/shop",
        type="cardmint.feed.item.added.v1",
        time=datetime(2026, 11, 28, tzinfo=UTC),
        stream=stream,
        sequence=digits(number),
        data=Raw(b"{}"),
    )


def following(last: int = 0) -> Following:
    return Following("shop", "wall", last=last)


def live(program: Following, number: int, stream: UUID = STREAM) -> list[int]:
    return [one.number for one in program.take(LIVE, encode(event(number, stream)))]


def answered(program: Following, *numbers: int, newest: int | None = None) -> list[int]:
    batch = encode([event(one) for one in numbers])
    return [one.number for one in program.take(program.answer_topic, batch, newest=newest)]


def asked(program: Following, now: float) -> int | None:
    request = program.request(now)
    return decode(request, ReplayRequest).first if request else None


def test_it_begins_with_what_there_is() -> None:
    program = following(last=4)
    assert program.subscriptions[-1] == program.answer_topic
    assert LIVE.replace("added", "+") in program.subscriptions
    assert asked(program, 0.0) == 5
    assert asked(program, 0.0) is None
    assert answered(program, 5, 6) == [5, 6]
    assert asked(program, ASK_AGAIN_S) is None, "the rest of the answer is on its way"
    assert answered(program, 7, newest=7) == [7]
    assert asked(program, 99.0) is None
    assert live(program, 8) == [8]
    assert (program.last, program.stream) == (8, STREAM)


def test_a_gap_is_asked_for_and_filled() -> None:
    program = following()
    assert (asked(program, 0.0), answered(program, newest=0)) == (1, [])
    assert live(program, 1) == [1]
    assert live(program, 3) == []
    request = program.request(1.0)
    assert request is not None
    assert decode(request, ReplayRequest) == ReplayRequest(first=2, stream=STREAM)
    assert asked(program, 1.0 + ASK_AGAIN_S / 2) is None
    assert asked(program, 1.0 + ASK_AGAIN_S) == 2
    assert answered(program, 2, 3, newest=3) == [2, 3]
    assert live(program, 2) == []
    assert program.repeated == 2
    program.connected()
    assert asked(program, 3.0) == 4


def test_an_answer_that_ends_early_is_asked_for_on() -> None:
    program = following()
    assert asked(program, 0.0) == 1
    assert answered(program, 1, 2, newest=5) == [1, 2]
    assert asked(program, 0.0) == 3


def test_another_feed_and_a_refusal_are_said() -> None:
    program = following()
    live(program, 1)
    with pytest.raises(FeedRefused, match=f"the feed is {OTHER} now, not {STREAM}: begin anew"):
        live(program, 2, OTHER)
    assert asked(program, 0.0) == 2
    refusal = ReplayRefusal(reason="gone", detail="7 is the oldest", oldest=7, newest=9)
    with pytest.raises(FeedRefused, match="gone: 7 is the oldest") as refused:
        program.take(program.answer_topic, encode(refusal))
    assert refused.value.refusal.oldest == 7
    assert asked(program, 99.0) is None, "who is refused decides"


@pytest.mark.parametrize("topic", [LIVE, following().answer_topic])
def test_what_is_no_message_of_the_feed_is_said(topic: str) -> None:
    for payload in (b"", b"x", b"[{}]", b"7"):
        with pytest.raises(ContractError):
            following().take(topic, payload)


def test_few_events_are_held() -> None:
    program = following()
    for number in range(2, MOST_AHEAD + 9):
        assert live(program, number) == []
    found = live(program, 1)
    assert (found[0], found[-1]) == (1, MOST_AHEAD + 1)


@given(seed=st.integers(0, 2**32), count=st.integers(1, 60), lost=st.floats(0, 0.9))
def test_everything_comes_once_and_in_order(seed: int, count: int, lost: float) -> None:
    draw, program, got = random.Random(seed), following(), list[int]()
    sent = [n for n in range(1, count + 1) if draw.random() >= lost]
    sent += draw.sample(sent, len(sent) // 3)
    sent.sort(key=lambda n: n + draw.randrange(5))
    for number in sent:
        got += live(program, number)
    now = 0.0
    while (first := asked(program, now)) is not None:
        now += ASK_AGAIN_S
        upto = min(count, first + draw.randrange(1, 20))
        if draw.random() >= lost / 2:
            got += answered(program, *range(first, upto + 1), newest=count)
    assert got == [*range(1, count + 1)]

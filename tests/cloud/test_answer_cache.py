"""What a worker holds of a provider's answers.

Never more than it may, never older than asked for.
"""

from collections import OrderedDict
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from cardmint_cloud.domain.answer_cache import AnswerCache, CachedAnswer

MOST = 100
START = datetime(2026, 11, 22, tzinfo=UTC)
STEPS = st.lists(
    st.tuples(
        st.sampled_from("abcdef"), st.one_of(st.none(), st.integers(0, 130)), st.integers(0, 5)
    )
)


@given(STEPS)
def test_it_holds_what_was_asked_for_last_within_its_bounds(
    steps: list[tuple[str, int | None, int]],
) -> None:
    recent = AnswerCache(MOST)
    model: OrderedDict[str, tuple[CachedAnswer, int]] = OrderedDict()
    for number, (key, size, ago) in enumerate(steps):
        now = START + timedelta(minutes=number)
        if size is None:
            since = now - timedelta(minutes=ago)
            held = model.get(key)
            expected = held[0] if held is not None and held[0].at > since else None
            if expected is not None:
                model.move_to_end(key)
            assert recent.get(key, since) is expected
            continue
        said = CachedAnswer(found=True, value=number, at=now)
        recent.put(key, said, size)
        model.pop(key, None)
        if size <= MOST:
            model[key] = (said, size)
        while sum(held for _, held in model.values()) > MOST:
            model.popitem(last=False)
        assert recent.size == sum(held for _, held in model.values()) <= MOST

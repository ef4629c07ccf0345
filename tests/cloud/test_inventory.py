"""The fold by itself: what it passes over, and that how events are grouped makes no difference."""

import itertools
from dataclasses import replace
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.cloud.shop import FOX, NOW, OWL, accepted, doubtful

from cardmint_cloud.domain.inventory import Changes, Event, Impossible, Status, fold, review_of, subject
from cardmint_contracts.cards import Card
from cardmint_contracts.events import EventData, ImageEvicted, ReviewAnswered


def event(data: EventData, tenant: str = "shop") -> Event:
    return Event(tenant=tenant, origin="left", occurred_at=NOW, received_at=NOW, data=data)


def answer(scan: UUID, card: Card | None, *, version: int = 1) -> ReviewAnswered:
    return ReviewAnswered(
        task=review_of(scan),
        task_version=version,
        scan=scan,
        verdict="card" if card else "no_card",
        by="ann",
        card=card,
    )


def test_an_evicted_image_changes_nothing() -> None:
    gone = ImageEvicted(sha256="0" * 64, bytes=7, reason="disk-full")
    assert subject(gone) is None
    assert fold({}, {}, [event(gone)]) == Changes()


def test_an_answer_about_another_scan_is_impossible() -> None:
    scan = doubtful()
    wrong = ReviewAnswered(task=review_of(scan.scan), task_version=1, scan=uuid4(), verdict="no_card", by="ann")
    with pytest.raises(Impossible) as caught:
        fold({}, {}, [event(scan), event(wrong)])
    assert caught.value.reason == "unknown-task"


SCANS = [accepted(), accepted(OWL), doubtful(), doubtful()]
EVENTS: list[EventData] = [
    *SCANS,
    answer(SCANS[2].scan, OWL),
    answer(SCANS[2].scan, FOX),
    answer(SCANS[3].scan, None),
    answer(SCANS[3].scan, FOX, version=2),
    SCANS[0],
]


@given(st.sets(st.integers(1, len(EVENTS) - 1)))
def test_events_fold_to_the_same_in_whatever_groups_they_come(cuts: set[int]) -> None:
    whole = fold({}, {}, [event(data) for data in EVENTS])
    items: dict[tuple[str, UUID], object] = {}
    reviews: dict[tuple[str, UUID], object] = {}
    held = Changes().holdings
    edges = [0, *sorted(cuts), len(EVENTS)]
    for start, end in itertools.pairwise(edges):
        part = fold(items, reviews, [event(data) for data in EVENTS[start:end]])  # type: ignore[arg-type]
        items |= part.items
        reviews |= part.reviews
        held.update(part.holdings)
    assert items == whole.items
    assert reviews == whole.reviews
    assert {line: count for line, count in held.items() if count} == dict(whole.holdings)


@pytest.mark.parametrize(("card", "moved"), [(OWL, {FOX.id: -1, OWL.id: 1}), (FOX, {}), (None, {FOX.id: -1})])
def test_an_answer_about_a_counted_card_moves_its_count(card: Card | None, moved: dict[str, int]) -> None:
    scan = doubtful()
    asked = fold({}, {}, [event(scan)])
    items = {key: replace(item, status=Status.COUNTED, card=FOX) for key, item in asked.items.items()}
    changes = fold(items, asked.reviews, [event(answer(scan.scan, card))])
    assert {holding.card_id: delta for holding, delta in changes.holdings.items()} == moved

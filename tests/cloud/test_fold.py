"""The fold: however the log is cut, the inventory is the same, and holdings count the items."""

from collections import Counter
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from cardmint_cloud.domain.fold import fold
from cardmint_cloud.domain.items import (
    ItemStatus,
    LoggedEvent,
    review_task_id,
    subject_of,
)
from cardmint_contracts.cards import Card, Decision
from cardmint_contracts.events import (
    CardScanned,
    EventData,
    ReviewAnswered,
    ScanWithdrawn,
)
from tests.cloud.kit.cards import FOX, OWL, RECOGNISER, accepted, doubtful
from tests.cloud.kit.logs import EVICTED, SCANS, FoldedTables, logged_event, possible_logs


@given(possible_logs(), st.data())
def test_however_the_log_is_cut_the_inventory_is_the_same(
    log: list[LoggedEvent], data: st.DataObject
) -> None:
    whole, pieces = FoldedTables(), FoldedTables()
    whole.apply(log)
    rest = log
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        pieces.apply(rest[:size])
        rest = rest[size:]
    assert (pieces.items, pieces.reviews) == (whole.items, whole.reviews)
    assert +pieces.holdings == +whole.holdings


@given(possible_logs())
def test_holdings_are_counts_over_items(log: list[LoggedEvent]) -> None:
    tables = FoldedTables()
    for one in log:
        tables.apply([one])
    assert +tables.holdings == Counter(
        holding for item in tables.items.values() if (holding := item.holding)
    )
    assert all(count >= 0 for count in tables.holdings.values())


@given(possible_logs())
def test_the_first_answer_wins(log: list[LoggedEvent]) -> None:
    tables = FoldedTables()
    first: dict[tuple[str, UUID], ReviewAnswered] = {}
    for one in log:
        tables.apply([one])
        if isinstance(one.data, ReviewAnswered) and one.data.task_version == 1:
            first.setdefault((one.tenant, one.data.scan), one.data)
    for key, answer in first.items():
        item = tables.items[key]
        assert item.status is (ItemStatus.COUNTED if answer.card else ItemStatus.REJECTED)
        assert item.card_id == (answer.card.id if answer.card else "")


def test_an_answer_to_another_item_is_impossible() -> None:
    scan = doubtful()
    answer = ReviewAnswered(
        task=review_task_id(scan.scan), task_version=1, scan=SCANS[0], verdict="no_card", by="ann"
    )
    changes = fold({}, {}, [logged_event(scan), logged_event(answer), logged_event(accepted())])
    assert {n: error.reason for n, error in changes.refused.items()} == {1: "unknown-task"}
    assert len(changes.items) == 2


def test_an_event_speaks_of_one_item_or_of_none() -> None:
    scan = doubtful()
    assert subject_of(scan) == scan.scan
    assert subject_of(EVICTED) is None


@pytest.mark.parametrize("decision", [Decision.ACCEPT, Decision.REVIEW])
def test_a_scan_that_is_taken_back_counts_no_more_and_asks_nothing(decision: Decision) -> None:
    card = FOX if decision is Decision.ACCEPT else None
    scan = CardScanned(scan=SCANS[0], decision=decision, recogniser=RECOGNISER, card=card)
    late = ReviewAnswered(
        task=review_task_id(scan.scan),
        task_version=1,
        scan=scan.scan,
        verdict="card",
        card=OWL,
        by="ann",
    )
    tables = FoldedTables()
    told: list[EventData] = [scan, ScanWithdrawn(scan=scan.scan, by="station")]
    for one in [*told, late] if card is None else told:
        tables.apply([logged_event(one)])
    item = tables.items["shop", scan.scan]
    assert (item.status, item.card_id, +tables.holdings) == (ItemStatus.REJECTED, "", Counter())
    assert [review.open for review in tables.reviews.values()] == ([False] if card is None else [])


def test_only_a_scan_that_is_there_is_taken_back() -> None:
    changes = fold({}, {}, [logged_event(ScanWithdrawn(scan=SCANS[0], by="station"))])
    assert [error.reason for error in changes.refused.values()] == ["unknown-scan"]


@pytest.mark.parametrize(
    ("answered_as", "moved"),
    [(OWL, {FOX.id: -1, OWL.id: 1}), (FOX, {}), (None, {FOX.id: -1})],
)
def test_an_answer_about_a_counted_card_moves_it(
    answered_as: Card | None, moved: dict[str, int]
) -> None:
    scan = doubtful()
    opened = fold({}, {}, [logged_event(scan)])
    key = ("shop", scan.scan)
    counted = {key: replace(opened.items[key], status=ItemStatus.COUNTED, card_id=FOX.id)}
    answer = ReviewAnswered(
        task=review_task_id(scan.scan),
        task_version=1,
        scan=scan.scan,
        verdict="card" if answered_as else "no_card",
        card=answered_as,
        by="ann",
    )
    changes = fold(counted, opened.reviews, [logged_event(answer)])
    assert {holding.card_id: delta for holding, delta in changes.holdings.items()} == moved

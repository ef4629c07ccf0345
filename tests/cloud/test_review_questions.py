"""What events about questions change in the fold.

Opened, answered, taken back, asked again at the table, grown old.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from cardmint_cloud.domain.items import (
    ImpossibleEvent,
    Item,
    ItemStatus,
    PriorState,
    Review,
    review_task_id,
    subject_of,
    touched_keys,
)
from cardmint_contracts.cards import Candidate, Card, Decision, Edition, Finish, Image
from cardmint_contracts.events import (
    CardScanned,
    EventData,
    ImageEvicted,
    Question,
    RescanRequested,
    ReviewAged,
    ReviewAnswered,
    ReviewOpened,
    ReviewUndone,
)
from tests.cloud.kit.cards import FOX, OWL, RECOGNISER, accepted, doubtful
from tests.cloud.kit.logs import FoldedTables, logged_event

IMAGE = Image(sha256="ab" * 32, bytes=10, width=7, height=9)


class Table(FoldedTables):
    """A tenant's items and reviews, to say things to one after another."""

    def say(self, *data: EventData) -> int:
        changes = [self.apply([logged_event(one)]) for one in data]
        for error in changes[-1].refused.values():
            raise error
        return sum(change.superseded for change in changes)

    def item(self, scan: CardScanned) -> Item:
        return self.items["shop", scan.scan]

    def review(self, scan: CardScanned, why: str = "review") -> Review:
        return self.reviews["shop", review_task_id(scan.scan, why)]

    @property
    def held(self) -> dict[str, int]:
        return {holding.card_id: count for holding, count in self.holdings.items() if count}


def asked(scan: CardScanned, why: str = "rules", card: Card = FOX, **more: Any) -> ReviewOpened:
    return ReviewOpened(
        task=review_task_id(scan.scan, why),
        scan=scan.scan,
        question=Question.AUDIT if why == "audit" else Question.PRINTING,
        reasons=("random-audit" if why == "audit" else "high-value",),
        by="rules/1",
        card=card,
        **more,
    )


def says(
    scan: CardScanned, card: Card | None, why: str = "review", version: int = 1, by: str = "ann"
) -> ReviewAnswered:
    return ReviewAnswered(
        task=review_task_id(scan.scan, why),
        task_version=version,
        scan=scan.scan,
        verdict="card" if card else "no_card",
        card=card,
        by="ann",
    )


def undo(scan: CardScanned, why: str = "review", version: int = 2) -> ReviewUndone:
    return ReviewUndone(
        task=review_task_id(scan.scan, why), task_version=version, scan=scan.scan, by="ann"
    )


def fetch(scan: CardScanned, version: int = 1, place: str = "bin A3, slot 12") -> RescanRequested:
    return RescanRequested(
        task=review_task_id(scan.scan), task_version=version, scan=scan.scan, by="ann", place=place
    )


def again(
    scan: CardScanned, decision: Decision = Decision.ACCEPT, card: Card = OWL, **more: Any
) -> CardScanned:
    return CardScanned(
        scan=UUID(int=scan.scan.int ^ 1),
        decision=decision,
        recogniser=RECOGNISER,
        card=card if decision is Decision.ACCEPT else None,
        rescan_of=scan.scan,
        **more,
    )


def test_a_rule_opens_a_question_about_a_counted_card_which_stays_counted() -> None:
    scan, table = accepted(confidence=0.9), Table()
    said = (Candidate(card=FOX, confidence=0.9),)
    table.say(scan, asked(scan, "audit", recogniser="reader 3", image=IMAGE, candidates=said))
    review = table.review(scan, "audit")
    assert (review.open, review.version, review.counted, review.recogniser) == (
        True,
        1,
        FOX,
        "reader 3",
    )
    assert (review.candidates, review.image) == (said, IMAGE)
    assert (table.item(scan).status, table.held) == (ItemStatus.COUNTED, {FOX.id: 1})


def test_a_rule_may_hold_a_card_until_somebody_looked() -> None:
    scan, table = accepted(), Table()
    table.say(scan, asked(scan, hold=True))
    assert (table.item(scan).status, table.item(scan).card_id, table.held) == (
        ItemStatus.REVIEW,
        FOX.id,
        {},
    )
    table.say(says(scan, FOX, "rules"))
    assert (table.item(scan).status, table.held) == (ItemStatus.COUNTED, {FOX.id: 1})
    table.say(undo(scan, "rules"))
    assert (table.item(scan).status, table.held) == (ItemStatus.REVIEW, {})


def test_a_question_comes_too_late_when_it_is_known_or_the_card_changed() -> None:
    scan, table = accepted(), Table()
    assert table.say(scan, asked(scan), asked(scan)) == 1
    assert table.say(asked(scan, "audit", card=OWL)) == 1
    doubted = doubtful()
    assert table.say(doubted, asked(doubted)) == 1
    with pytest.raises(ImpossibleEvent) as caught:
        table.say(asked(accepted()))
    assert caught.value.reason == "unknown-scan"


def test_an_undone_answer_brings_back_how_the_card_stood() -> None:
    scan, table = doubtful(), Table()
    table.say(scan, says(scan, OWL))
    assert table.review(scan).prior == PriorState(ItemStatus.REVIEW, "")
    assert table.held == {OWL.id: 1}
    table.say(undo(scan))
    review, item = table.review(scan), table.item(scan)
    assert (review.open, review.version, review.verdict, review.card, review.answered_by) == (
        True,
        3,
        None,
        None,
        "",
    )
    assert (item.status, item.card_id, item.version, table.held) == (ItemStatus.REVIEW, "", 3, {})
    assert table.say(says(scan, FOX)) == 1  # Of a version that is over.
    assert table.say(says(scan, FOX, version=3)) == 0
    assert table.held == {FOX.id: 1}


def test_what_cannot_be_undone_is_left_alone() -> None:
    scan, table = accepted(), Table()
    table.say(scan, asked(scan), asked(scan, "audit"))
    assert table.say(undo(scan, "rules", 1)) == 1  # It is open.
    table.say(says(scan, OWL, "rules"))
    assert table.say(undo(scan, "rules", 3)) == 1  # Another version.
    table.say(says(scan, FOX, "audit"))
    assert table.say(undo(scan, "rules", 2)) == 1  # Another answer changed the card since.
    assert table.held == {FOX.id: 1}
    assert table.say(undo(scan, "audit", 2)) == 0
    assert table.held == {OWL.id: 1}


def test_a_card_that_was_asked_for_answers_the_question_when_it_is_scanned_again() -> None:
    scan, table = doubtful(), Table()
    table.say(scan, fetch(scan))
    assert (table.review(scan).place, table.review(scan).version) == ("bin A3, slot 12", 2)
    table.say(again(scan))
    review = table.review(scan)
    assert (review.open, review.card, review.answered_by, review.place) == (False, OWL, "left", "")
    assert (table.held, len(table.items)) == (
        {OWL.id: 1},
        1,
    )  # One physical card, however often it is scanned.
    assert table.say(again(scan)) == 1
    table.say(undo(scan, version=3))
    assert table.held == {}


def test_a_doubtful_second_scan_brings_its_own_picture_and_candidates() -> None:
    scan, table = doubtful(), Table()
    table.say(scan, fetch(scan))
    better = (Candidate(card=OWL, confidence=0.8),)
    table.say(again(scan, Decision.REVIEW, candidates=better, image=IMAGE, reasons=("blurred",)))
    review = table.review(scan)
    assert (review.open, review.version, review.place) == (True, 3, "")
    assert (review.candidates, review.image, review.reasons) == (better, IMAGE, ("blurred",))
    table.say(fetch(scan, version=3))
    table.say(again(scan, Decision.REJECT))
    assert (table.review(scan).candidates, table.review(scan).reasons) == (better, ("blurred",))


def test_a_second_scan_without_a_question_counts_nothing_and_of_an_unknown_card_counts_it() -> None:
    scan, table = accepted(), Table()
    table.say(scan)
    assert table.say(again(scan)) == 1
    assert table.held == {FOX.id: 1}
    stranger = again(accepted())
    assert table.say(stranger) == 0
    assert table.held == {FOX.id: 1, OWL.id: 1}


def test_questions_grow_old() -> None:
    scan, table = accepted(), Table()
    table.say(scan, asked(scan), asked(scan, "audit"))
    escalated = ReviewAged(
        task=review_task_id(scan.scan, "rules"), task_version=1, scan=scan.scan, outcome="escalated"
    )
    assert table.say(escalated, escalated) == 1
    assert (table.review(scan, "rules").escalated, table.review(scan, "rules").version) == (True, 2)
    expired = ReviewAged(
        task=review_task_id(scan.scan, "audit"), task_version=1, scan=scan.scan, outcome="expired"
    )
    assert table.say(expired) == 0
    assert (table.review(scan, "audit").open, table.review(scan, "audit").verdict) == (
        False,
        "expired",
    )
    assert table.say(undo(scan, "audit", 2)) == 1
    assert table.held == {FOX.id: 1}


def test_a_word_on_a_task_that_is_not_there_is_impossible() -> None:
    scan = accepted()
    for word in (undo(scan), fetch(scan), says(scan, FOX)):
        with pytest.raises(ImpossibleEvent) as caught:
            Table().say(scan, word)
        assert caught.value.reason == "unknown-task"


def test_what_an_event_speaks_of_is_read_before_it_is_applied() -> None:
    scan = doubtful()
    second = again(scan)
    assert (subject_of(second), subject_of(fetch(scan))) == (scan.scan, scan.scan)
    evicted = ImageEvicted(sha256="0" * 64, bytes=1, kind="full", uploaded=True, reason="disk-full")
    items, reviews = touched_keys([("shop", second), ("shop", undo(scan)), ("shop", evicted)])
    assert {("shop", scan.scan), ("shop", second.scan)} <= set(items)
    assert {
        ("shop", review_task_id(scan.scan, why)) for why in ("review", "rules", "audit")
    } <= set(reviews)


SCANS = [accepted(), doubtful(), accepted(OWL)]
versions = st.integers(1, 5)
whys = st.sampled_from(["review", "rules", "audit"])
words = st.one_of(
    st.sampled_from(SCANS),
    st.builds(
        asked, st.sampled_from(SCANS), st.sampled_from(["rules", "audit"]), hold=st.booleans()
    ),
    st.builds(says, st.sampled_from(SCANS), st.sampled_from([None, FOX, OWL]), whys, versions),
    st.builds(undo, st.sampled_from(SCANS), whys, versions),
    st.builds(fetch, st.sampled_from(SCANS), versions),
    st.builds(again, st.sampled_from(SCANS), st.sampled_from(Decision)),
    st.builds(
        lambda scan, why, version, outcome: ReviewAged(
            task=review_task_id(scan.scan, why),
            task_version=version,
            scan=scan.scan,
            outcome=outcome,
        ),
        *(st.sampled_from(SCANS), whys, versions, st.sampled_from(["escalated", "expired"])),
    ),
)


def possible(data: Sequence[EventData]) -> list[EventData]:
    """Leave out what is impossible where it stands."""
    table, kept = Table(), []
    for one in data:
        try:
            table.say(one)
        except ImpossibleEvent:
            continue
        kept.append(one)
    return kept


@settings(max_examples=200)
@given(st.lists(words, max_size=25), st.data())
def test_however_the_log_is_cut_questions_and_holdings_are_the_same(
    data: list[EventData], draw: st.DataObject
) -> None:
    log = possible(data)
    whole, pieces = Table(), Table()
    whole.apply([logged_event(one) for one in log])
    while log:
        size = draw.draw(st.integers(1, len(log)))
        pieces.apply([logged_event(one) for one in log[:size]])
        log = log[size:]
    assert (pieces.items, pieces.reviews) == (whole.items, whole.reviews)
    assert pieces.held == whole.held
    counted = [item for item in whole.items.values() if item.holding]
    assert sum(whole.held.values()) == len(counted)
    for review in whole.reviews.values():
        assert (review.prior is None) or not review.open
        assert review.open or not review.place or review.verdict == "expired"


def test_an_answer_says_the_language_and_an_undo_takes_it_back() -> None:
    scan, table = doubtful(), Table()
    table.say(scan, replace(says(scan, OWL), language="fr"))
    assert (table.item(scan).language, table.held) == ("fr", {OWL.id: 1})
    prior = table.review(scan).prior
    assert prior == PriorState(ItemStatus.REVIEW, "", "", "fr")
    assert msgspec.json.decode(b'["review",""]', type=PriorState) == PriorState(
        ItemStatus.REVIEW, ""
    ), "as earlier versions wrote it"
    table.say(undo(scan))
    assert table.item(scan).language == ""
    table.say(replace(says(scan, OWL, version=3), language="de"), undo(scan, version=4))
    table.say(says(scan, OWL, version=5))
    assert table.item(scan).language == "", "an answer that says no language leaves it"


def test_an_answer_says_finish_and_edition_and_an_undo_takes_them_back() -> None:
    scan, table = doubtful(), Table()
    said = replace(says(scan, OWL), finish=Finish.HOLO, edition=Edition.FIRST)
    table.say(scan, said)
    item = table.item(scan)
    assert (item.finish, item.edition, table.held) == ("holo", "first", {OWL.id: 1})
    table.say(undo(scan))
    item = table.item(scan)
    assert (item.finish, item.edition) == ("", "")
    table.say(replace(says(scan, OWL, version=3), finish=Finish.NORMAL), undo(scan, version=4))
    table.say(says(scan, OWL, version=5))
    assert table.item(scan).finish == "", "an answer that says no finish leaves it"


def test_a_card_that_is_scanned_again_has_the_language_of_that_scan() -> None:
    scan, table = doubtful(), Table()
    table.say(scan, fetch(scan), replace(again(scan), language="it", language_confidence=0.95))
    assert table.item(scan).language == "it"

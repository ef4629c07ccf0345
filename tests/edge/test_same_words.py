"""What the station's page says of a card is what the cloud's inventory says of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.edge.kit.page import PageBench, open_page_bench
from tests.edge.kit.scans import CARDS, NOW, STAMP, scan_of

from cardmint_cloud.domain.fold import fold
from cardmint_cloud.domain.items import Item, ItemStatus, LoggedEvent, Review, review_task_id
from cardmint_contracts.cards import Decision
from cardmint_contracts.events import (
    CardScanned,
    EventData,
    Question,
    ReviewAnswered,
    ReviewOpened,
    ReviewUndone,
)
from cardmint_contracts.tasks import ReviewOutcome, ReviewTask
from cardmint_contracts.upcasters import decode_data
from cardmint_contracts.wire import encode
from cardmint_edge.page.views import scan_kind

WORDS = {
    ItemStatus.COUNTED: {"counted"},
    ItemStatus.REVIEW: {"asked"},
    ItemStatus.REJECTED: {"none", "withdrawn"},
}


class Cloud:
    """The fold of the station's events, its questions, and a person at the dashboard."""

    def __init__(self, bench: PageBench) -> None:
        self.bench = bench
        self.items: dict[tuple[str, UUID], Item] = {}
        self.reviews: dict[tuple[str, UUID], Review] = {}
        self.taken = 0
        self.sent: dict[UUID, int] = {}

    def apply(self, data: EventData) -> None:
        event = LoggedEvent(
            tenant="shop", origin="left", occurred_at=NOW, received_at=NOW, data=data
        )
        changes = fold(self.items, self.reviews, [event])
        self.items.update(changes.items)
        self.reviews.update(changes.reviews)

    def synchronise(self) -> None:
        """Take the station's events, ask about possible duplicates, and tell the station."""
        last = self.bench.outbox.stream_state.last
        for stored in self.bench.outbox.events(self.taken + 1, 1000):
            data = decode_data(stored.type, stored.data)
            assert data is not None
            self.apply(data)
            if (
                isinstance(data, CardScanned)
                and data.card
                and data.possible_duplicate_of
                and data.decision is Decision.ACCEPT
            ):
                self.apply(
                    ReviewOpened(
                        task=review_task_id(data.scan, "rules"),
                        scan=data.scan,
                        question=Question.DUPLICATE,
                        reasons=("possible-duplicate",),
                        by="rules/1",
                        card=data.card,
                        hold=True,
                        candidates=data.candidates,
                    )
                )
        self.taken = last
        for review in self.reviews.values():
            if self.sent.get(review.task) == review.version:
                continue
            self.sent[review.task] = review.version
            self.tell(review)

    def tell(self, review: Review) -> None:
        if review.open:
            task = ReviewTask(
                task=review.task,
                version=review.version,
                scan=review.item,
                opened=NOW,
                reasons=review.reasons,
                candidates=review.candidates,
            )
            self.bench.tasks.receive_task(review.task, encode(task))
            return
        outcome = ReviewOutcome(
            task=review.task,
            version=review.version,
            scan=review.item,
            verdict=review.verdict or "",
            by=review.answered_by,
            at=NOW,
            card=review.card,
            language=(review.prior.answered_language or None) if review.prior else None,
        )
        self.bench.tasks.receive_outcome(encode(outcome))
        self.bench.tasks.receive_task(review.task, b"")

    def answer(self, which: int, *, is_card: bool) -> None:
        """Answer a question at the dashboard."""
        for review in [one for one in self.reviews.values() if one.open][which : which + 1]:
            self.apply(
                ReviewAnswered(
                    task=review.task,
                    task_version=review.version,
                    scan=review.item,
                    verdict="card" if is_card else "no_card",
                    by="anna",
                    card=CARDS[0] if is_card else None,
                )
            )

    def undo(self, which: int) -> None:
        """Take an answer back at the dashboard."""
        for review in [one for one in self.reviews.values() if one.prior][which : which + 1]:
            self.apply(
                ReviewUndone(
                    task=review.task, task_version=review.version, scan=review.item, by="anna"
                )
            )


@contextmanager
def benches() -> Iterator[tuple[PageBench, Cloud]]:
    with open_page_bench() as bench:
        yield bench, Cloud(bench)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                *("accept", "review", "reject", "duplicate", "synchronise", "answer"),
                *("take back", "withdraw", "copies", "dashboard", "dashboard undo"),
            ]
        ),
        st.integers(0, 3),
        st.booleans(),
    ),
    max_size=25,
)


@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_station_and_cloud_say_the_same(steps: list[tuple[str, int, bool]]) -> None:
    with benches() as (bench, cloud):
        for number, (what, which, yes) in enumerate(steps, start=1):
            step(bench, cloud, number, what, which, yes=yes)
        cloud.synchronise()
        cloud.synchronise()
        for record in bench.outbox.recent_scans(100):
            said = scan_kind(record, bench.tasks.answers)
            item = cloud.items["shop", record.scan.scan]
            assert said in WORDS[item.status], (record.scan.scan, said, item.status)
            if item.status is ItemStatus.COUNTED:
                answer = bench.tasks.answers.get(record.scan.scan)
                language = (answer and answer.language) or record.scan.counted_language or ""
                assert language == item.language


def step(bench: PageBench, cloud: Cloud, number: int, what: str, which: int, *, yes: bool) -> None:
    scan = scan_of(number)
    if what == "accept":
        bench.outbox.record(scan, STAMP)
    elif what == "review":
        reasons = ("language-unclear",) if which % 2 else ("same-art",)
        scan = replace(scan, language="fr", language_confidence=0.6, reasons=reasons)
        bench.outbox.record(replace(scan, decision=Decision.REVIEW, card=None), STAMP)
    elif what == "reject":
        bench.outbox.record(replace(scan, decision=Decision.REJECT, card=None), STAMP)
    elif what == "duplicate":
        bench.outbox.record(replace(scan, possible_duplicate_of=UUID(int=1)), STAMP)
    elif what == "synchronise":
        cloud.synchronise()
    elif what == "answer":
        for task in bench.table.oldest_open(9)[which : which + 1]:
            card = task.candidates[0].card.id if yes and task.candidates else None
            language = "de" if number % 2 else None
            bench.tasks.answer(task.task, task.version, card, "station", language)
    elif what == "take back":
        for given_answer in bench.tasks.given[which : which + 1]:
            bench.tasks.take_back(given_answer.task, "station")
    elif what == "withdraw":
        for record in bench.outbox.recent_scans(9)[which : which + 1]:
            bench.outbox.withdraw(record.scan.scan, "station", STAMP)
    elif what == "copies":
        bench.tasks.count_copies("station")
    elif what == "dashboard":
        cloud.answer(which, is_card=yes)
    else:
        cloud.undo(which)


def test_a_question_that_expires_is_no_answer() -> None:
    with benches() as (bench, _):
        bench.outbox.record(scan_of(1), STAMP)
        outcome = ReviewOutcome(
            task=UUID(int=9), version=2, scan=UUID(int=1), verdict="expired", by="", at=NOW
        )
        bench.tasks.receive_outcome(encode(outcome))
        (record,) = bench.outbox.recent_scans(1)
        assert scan_kind(record, bench.tasks.answers) == "counted"

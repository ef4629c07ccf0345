"""Review tasks: versions only rise, tasks that the broker lacks are closed, answers count once."""

from collections.abc import Iterator
from uuid import UUID

import pytest
from structlog.testing import capture_logs
from tests.edge.kit.folders import quick_folder
from tests.edge.kit.scans import CARDS, NOW, STAMP
from tests.edge.kit.tasks import CATALOGUE, ELSEWHERE, task_of

from cardmint_contracts.cards import Card
from cardmint_contracts.events import ReviewAnswered, ReviewUndone
from cardmint_contracts.tasks import ReviewOutcome, ReviewTask
from cardmint_contracts.upcasters import decode_data
from cardmint_contracts.wire import encode
from cardmint_edge.adapters.sqlite.database import Database
from cardmint_edge.adapters.sqlite.outbox import Outbox
from cardmint_edge.adapters.sqlite.tasks import TaskTable
from cardmint_edge.errors import Stop
from cardmint_edge.review_tasks import MAX_OVERRULED, SETTLE_S, AnswerResult, ReviewTasks


class TaskBench:
    def __init__(self, database: Database) -> None:
        self.outbox = Outbox(database)
        self.table = TaskTable(database)
        self.tasks = ReviewTasks(
            store=self.table,
            append=self.outbox.append,
            transaction=database.write,
            read_clock=lambda: STAMP,
            find_card=CATALOGUE.get,
        )

    def arrive(self, task: ReviewTask) -> None:
        self.tasks.receive_task(task.task, encode(task))

    @property
    def shown(self) -> list[tuple[int, int]]:
        return [(task.task.int, task.version) for task in self.table.oldest_open(10)]


@pytest.fixture
def bench() -> Iterator[TaskBench]:
    with quick_folder() as folder:
        database = Database.open(folder / "outbox.db")
        yield TaskBench(database)
        database.close()


def test_the_longest_waiting_comes_first(bench: TaskBench) -> None:
    for number in (3, 1, 2):
        bench.arrive(task_of(number))
    assert bench.shown == [(1, 1), (2, 1), (3, 1)]
    assert bench.table.count_open() == 3
    assert bench.table.find_open(UUID(int=2)) == task_of(2)


def test_only_a_newer_version_is_taken(bench: TaskBench) -> None:
    for version in (2, 1, 2, 3, 1):
        bench.arrive(task_of(1, version))
    assert bench.shown == [(1, 3)]


def test_an_empty_payload_closes(bench: TaskBench) -> None:
    bench.arrive(task_of(1))
    bench.tasks.receive_task(UUID(int=1), b"")
    bench.tasks.receive_task(UUID(int=2), b"")
    assert bench.shown == []


def test_what_is_no_task_is_said_and_ignored(bench: TaskBench) -> None:
    with capture_logs() as logs:
        bench.tasks.receive_task(UUID(int=1), b"{")
        bench.tasks.receive_task(UUID(int=1), b"{}")
        bench.tasks.receive_task(UUID(int=1), encode(task_of(2)))
    assert [entry["reason"] for entry in logs] == ["malformed", "invalid", "another-task"]
    assert bench.shown == []


def test_what_was_closed_while_away_is_closed_here(bench: TaskBench) -> None:
    for number in (1, 2, 3):
        bench.arrive(task_of(number))
    bench.tasks.connected(100.0)
    bench.arrive(task_of(2))
    bench.tasks.tick(100.0 + SETTLE_S - 1)
    bench.arrive(task_of(3))
    bench.tasks.tick(100.0 + 2 * SETTLE_S - 1.5)
    assert len(bench.shown) == 3, "it waits until the broker has been silent for a while"
    bench.tasks.tick(100.0 + 2 * SETTLE_S)
    assert bench.shown == [(2, 1), (3, 1)]
    bench.tasks.tick(1000.0)
    assert bench.shown == [(2, 1), (3, 1)]


def test_a_connection_that_breaks_closes_nothing(bench: TaskBench) -> None:
    bench.arrive(task_of(1))
    bench.tasks.connected(100.0)
    bench.tasks.disconnected()
    bench.tasks.tick(1000.0)
    assert bench.shown == [(1, 1)]


@pytest.mark.parametrize("choice", [0, 1, 2, None])
def test_an_answer_is_one_event(bench: TaskBench, choice: int | None) -> None:
    bench.arrive(task_of(1))
    card = None if choice is None else CARDS[choice]
    assert (
        bench.tasks.answer(UUID(int=1), 1, card.id if card else None, "station")
        is AnswerResult.TAKEN
    )
    assert bench.shown == []
    (event,) = bench.outbox.events(1, 10)
    assert decode_data(event.type, event.data) == ReviewAnswered(
        task=UUID(int=1),
        task_version=1,
        scan=UUID(int=1001),
        verdict="card" if card else "no_card",
        by="station",
        card=card,
    )


def test_an_answer_is_taken_once_and_survives_what_the_broker_repeats(bench: TaskBench) -> None:
    bench.arrive(task_of(1))
    bench.tasks.answer(UUID(int=1), 1, None, "station")
    bench.arrive(task_of(1))
    assert bench.shown == []
    assert bench.tasks.answer(UUID(int=1), 1, None, "station") is AnswerResult.GONE
    bench.arrive(task_of(1, 2))
    assert bench.shown == [(1, 2)]
    assert bench.outbox.stream_state.last == 1


def test_an_answer_to_something_else_changes_nothing(bench: TaskBench) -> None:
    bench.arrive(task_of(1, 2))
    assert bench.tasks.answer(UUID(int=9), 1, None, "station") is AnswerResult.GONE
    assert bench.tasks.answer(UUID(int=1), 1, None, "station") is AnswerResult.CHANGED
    assert bench.tasks.answer(UUID(int=1), 2, "set9-9", "station") is AnswerResult.UNKNOWN_CARD
    assert (bench.shown, bench.outbox.stream_state.last) == ([(1, 2)], 0)


def test_an_answer_that_cannot_be_stored_leaves_the_task_open(bench: TaskBench) -> None:
    bench.arrive(task_of(1))
    with bench.outbox.database.write() as tx:
        tx.execute("INSERT INTO events VALUES (1, 't', 't', 'b', 0, 0, x'00', '', x'')")
    with pytest.raises(Stop):
        bench.tasks.answer(UUID(int=1), 1, None, "station")
    assert bench.shown == [(1, 1)]


def outcome_of(number: int, card: Card | None, *, by: str = "ann", version: int = 2) -> bytes:
    return encode(
        ReviewOutcome(
            task=UUID(int=number),
            version=version,
            scan=UUID(int=1000 + number),
            verdict="card" if card else "no_card",
            by=by,
            at=NOW,
            card=card,
        )
    )


@pytest.mark.parametrize(("ours", "theirs"), [(0, 1), (1, None), (None, 0)])
def test_who_answered_differently_here_is_told_and_can_undo(
    bench: TaskBench, ours: int | None, theirs: int | None
) -> None:
    bench.arrive(task_of(1))
    bench.tasks.answer(UUID(int=1), 1, None if ours is None else CARDS[ours].id, "station")
    first = None if theirs is None else CARDS[theirs]
    bench.tasks.receive_outcome(outcome_of(1, first))
    bench.tasks.receive_task(UUID(int=1), b"")
    (told,) = bench.tasks.overruled
    assert (told.our_card, told.outcome.card, told.outcome.by) == (
        None if ours is None else CARDS[ours],
        first,
        "ann",
    )
    assert bench.tasks.undo(UUID(int=1), "station") is AnswerResult.TAKEN
    assert bench.tasks.overruled == ()
    assert bench.tasks.undo(UUID(int=1), "station") is AnswerResult.GONE
    event = bench.outbox.events(2, 1)[0]
    undone = ReviewUndone(task=UUID(int=1), task_version=2, scan=UUID(int=1001), by="station")
    assert decode_data(event.type, event.data) == undone


def test_who_answered_the_same_or_not_at_all_is_told_nothing(bench: TaskBench) -> None:
    bench.arrive(task_of(1))
    bench.arrive(task_of(2))
    bench.tasks.answer(UUID(int=1), 1, CARDS[0].id, "station")
    bench.tasks.receive_outcome(outcome_of(1, CARDS[0], by="station"))
    bench.tasks.receive_outcome(outcome_of(2, CARDS[0]))
    bench.tasks.receive_outcome(outcome_of(3, CARDS[0]))
    with capture_logs() as logs:
        bench.tasks.receive_outcome(b"{")
    assert [entry["reason"] for entry in logs] == ["malformed"]
    assert bench.tasks.overruled == ()


def test_only_the_newest_are_told_until_they_are_seen(bench: TaskBench) -> None:
    for number in range(1, MAX_OVERRULED + 3):
        bench.arrive(task_of(number))
        bench.tasks.answer(UUID(int=number), 1, None, "station")
        bench.tasks.receive_outcome(outcome_of(number, CARDS[0]))
    assert [told.outcome.task.int for told in bench.tasks.overruled] == list(
        range(3, MAX_OVERRULED + 3)
    )
    bench.tasks.dismiss(UUID(int=3))
    bench.tasks.dismiss(UUID(int=3))
    assert len(bench.tasks.overruled) == MAX_OVERRULED - 1


def test_the_card_that_was_asked_for_is_the_next_shot_and_no_other(bench: TaskBench) -> None:
    assert bench.tasks.scan_next(UUID(int=1)) is AnswerResult.GONE
    bench.arrive(task_of(1))
    assert bench.tasks.scan_next(UUID(int=1)) is AnswerResult.TAKEN
    awaited = [bench.tasks.scan_to_repeat]
    assert bench.tasks.cards_to_repeat == tuple(one.card for one in task_of(1).candidates)
    bench.tasks.card_counted()
    awaited.append(bench.tasks.scan_to_repeat)
    assert bench.tasks.cards_to_repeat == ()
    assert awaited == [UUID(int=1001), None]
    for news in (encode(task_of(1, 2)), b""):
        bench.arrive(task_of(1))
        bench.tasks.scan_next(UUID(int=1))
        bench.tasks.receive_task(UUID(int=2), b"")
        awaited = [bench.tasks.scan_to_repeat]
        bench.tasks.receive_task(
            UUID(int=1), news
        )  # The question ended or changed: the next shot is another card again.
        awaited.append(bench.tasks.scan_to_repeat)
        assert awaited == [UUID(int=1001), None]


def test_a_card_that_was_no_candidate_is_found_in_the_catalogue(bench: TaskBench) -> None:
    bench.arrive(task_of(1))
    assert bench.tasks.answer(UUID(int=1), 1, ELSEWHERE.id, "station") is AnswerResult.TAKEN
    (event,) = bench.outbox.events(1, 9)
    answer = decode_data(event.type, event.data)
    assert isinstance(answer, ReviewAnswered)
    assert answer.card == ELSEWHERE

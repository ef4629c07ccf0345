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
def desk() -> Iterator[TaskBench]:
    with quick_folder() as folder:
        database = Database.open(folder / "outbox.db")
        yield TaskBench(database)
        database.close()


def test_the_longest_waiting_comes_first(desk: TaskBench) -> None:
    for number in (3, 1, 2):
        desk.arrive(task_of(number))
    assert desk.shown == [(1, 1), (2, 1), (3, 1)]
    assert desk.table.count_open() == 3
    assert desk.table.find_open(UUID(int=2)) == task_of(2)


def test_only_a_newer_version_is_taken(desk: TaskBench) -> None:
    for version in (2, 1, 2, 3, 1):
        desk.arrive(task_of(1, version))
    assert desk.shown == [(1, 3)]


def test_an_empty_payload_closes(desk: TaskBench) -> None:
    desk.arrive(task_of(1))
    desk.tasks.receive_task(UUID(int=1), b"")
    desk.tasks.receive_task(UUID(int=2), b"")
    assert desk.shown == []


def test_what_is_no_task_is_said_and_ignored(desk: TaskBench) -> None:
    with capture_logs() as logs:
        desk.tasks.receive_task(UUID(int=1), b"{")
        desk.tasks.receive_task(UUID(int=1), b"{}")
        desk.tasks.receive_task(UUID(int=1), encode(task_of(2)))
    assert [entry["reason"] for entry in logs] == ["malformed", "invalid", "another-task"]
    assert desk.shown == []


def test_what_was_closed_while_away_is_closed_here(desk: TaskBench) -> None:
    for number in (1, 2, 3):
        desk.arrive(task_of(number))
    desk.tasks.connected(100.0)
    desk.arrive(task_of(2))
    desk.tasks.tick(100.0 + SETTLE_S - 1)
    desk.arrive(task_of(3))
    desk.tasks.tick(100.0 + 2 * SETTLE_S - 1.5)
    assert len(desk.shown) == 3, "it waits until the broker has been silent for a while"
    desk.tasks.tick(100.0 + 2 * SETTLE_S)
    assert desk.shown == [(2, 1), (3, 1)]
    desk.tasks.tick(1000.0)
    assert desk.shown == [(2, 1), (3, 1)]


def test_a_connection_that_breaks_closes_nothing(desk: TaskBench) -> None:
    desk.arrive(task_of(1))
    desk.tasks.connected(100.0)
    desk.tasks.disconnected()
    desk.tasks.tick(1000.0)
    assert desk.shown == [(1, 1)]


@pytest.mark.parametrize("choice", [0, 1, 2, None])
def test_an_answer_is_one_event(desk: TaskBench, choice: int | None) -> None:
    desk.arrive(task_of(1))
    card = None if choice is None else CARDS[choice]
    assert (
        desk.tasks.answer(UUID(int=1), 1, card.id if card else None, "station")
        is AnswerResult.TAKEN
    )
    assert desk.shown == []
    (event,) = desk.outbox.events(1, 10)
    assert decode_data(event.type, event.data) == ReviewAnswered(
        task=UUID(int=1),
        task_version=1,
        scan=UUID(int=1001),
        verdict="card" if card else "no_card",
        by="station",
        card=card,
    )


def test_an_answer_is_taken_once_and_survives_what_the_broker_repeats(desk: TaskBench) -> None:
    desk.arrive(task_of(1))
    desk.tasks.answer(UUID(int=1), 1, None, "station")
    desk.arrive(task_of(1))
    assert desk.shown == []
    assert desk.tasks.answer(UUID(int=1), 1, None, "station") is AnswerResult.GONE
    desk.arrive(task_of(1, 2))
    assert desk.shown == [(1, 2)]
    assert desk.outbox.stream_state.last == 1


def test_an_answer_to_something_else_changes_nothing(desk: TaskBench) -> None:
    desk.arrive(task_of(1, 2))
    assert desk.tasks.answer(UUID(int=9), 1, None, "station") is AnswerResult.GONE
    assert desk.tasks.answer(UUID(int=1), 1, None, "station") is AnswerResult.CHANGED
    assert desk.tasks.answer(UUID(int=1), 2, "set9-9", "station") is AnswerResult.UNKNOWN_CARD
    assert (desk.shown, desk.outbox.stream_state.last) == ([(1, 2)], 0)


def test_an_answer_that_cannot_be_stored_leaves_the_task_open(desk: TaskBench) -> None:
    desk.arrive(task_of(1))
    with desk.outbox.database.write() as tx:
        tx.execute("INSERT INTO events VALUES (1, 't', 't', 'b', 0, 0, x'00')")
    with pytest.raises(Stop):
        desk.tasks.answer(UUID(int=1), 1, None, "station")
    assert desk.shown == [(1, 1)]


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
    desk: TaskBench, ours: int | None, theirs: int | None
) -> None:
    desk.arrive(task_of(1))
    desk.tasks.answer(UUID(int=1), 1, None if ours is None else CARDS[ours].id, "station")
    first = None if theirs is None else CARDS[theirs]
    desk.tasks.receive_outcome(outcome_of(1, first))
    desk.tasks.receive_task(UUID(int=1), b"")
    (told,) = desk.tasks.overruled
    assert (told.our_card, told.outcome.card, told.outcome.by) == (
        None if ours is None else CARDS[ours],
        first,
        "ann",
    )
    assert desk.tasks.undo(UUID(int=1), "station") is AnswerResult.TAKEN
    assert desk.tasks.overruled == ()
    assert desk.tasks.undo(UUID(int=1), "station") is AnswerResult.GONE
    event = desk.outbox.events(2, 1)[0]
    undone = ReviewUndone(task=UUID(int=1), task_version=2, scan=UUID(int=1001), by="station")
    assert decode_data(event.type, event.data) == undone


def test_who_answered_the_same_or_not_at_all_is_told_nothing(desk: TaskBench) -> None:
    desk.arrive(task_of(1))
    desk.arrive(task_of(2))
    desk.tasks.answer(UUID(int=1), 1, CARDS[0].id, "station")
    desk.tasks.receive_outcome(outcome_of(1, CARDS[0], by="station"))
    desk.tasks.receive_outcome(outcome_of(2, CARDS[0]))
    desk.tasks.receive_outcome(outcome_of(3, CARDS[0]))
    with capture_logs() as logs:
        desk.tasks.receive_outcome(b"{")
    assert [entry["reason"] for entry in logs] == ["malformed"]
    assert desk.tasks.overruled == ()


def test_only_the_newest_are_told_until_they_are_seen(desk: TaskBench) -> None:
    for number in range(1, MAX_OVERRULED + 3):
        desk.arrive(task_of(number))
        desk.tasks.answer(UUID(int=number), 1, None, "station")
        desk.tasks.receive_outcome(outcome_of(number, CARDS[0]))
    assert [told.outcome.task.int for told in desk.tasks.overruled] == list(
        range(3, MAX_OVERRULED + 3)
    )
    desk.tasks.dismiss(UUID(int=3))
    desk.tasks.dismiss(UUID(int=3))
    assert len(desk.tasks.overruled) == MAX_OVERRULED - 1


def test_the_card_that_was_asked_for_is_the_next_shot_and_no_other(desk: TaskBench) -> None:
    assert desk.tasks.scan_next(UUID(int=1)) is AnswerResult.GONE
    desk.arrive(task_of(1))
    assert desk.tasks.scan_next(UUID(int=1)) is AnswerResult.TAKEN
    awaited = [desk.tasks.scan_to_repeat]
    desk.tasks.card_counted()
    awaited.append(desk.tasks.scan_to_repeat)
    assert awaited == [UUID(int=1001), None]
    for news in (encode(task_of(1, 2)), b""):
        desk.arrive(task_of(1))
        desk.tasks.scan_next(UUID(int=1))
        desk.tasks.receive_task(UUID(int=2), b"")
        awaited = [desk.tasks.scan_to_repeat]
        desk.tasks.receive_task(
            UUID(int=1), news
        )  # The question ended or changed: the next shot is another card again.
        awaited.append(desk.tasks.scan_to_repeat)
        assert awaited == [UUID(int=1001), None]


def test_a_card_that_was_no_candidate_is_found_in_the_catalogue(desk: TaskBench) -> None:
    desk.arrive(task_of(1))
    assert desk.tasks.answer(UUID(int=1), 1, ELSEWHERE.id, "station") is AnswerResult.TAKEN
    (event,) = desk.outbox.events(1, 9)
    answer = decode_data(event.type, event.data)
    assert isinstance(answer, ReviewAnswered)
    assert answer.card == ELSEWHERE

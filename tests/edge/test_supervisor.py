"""The supervisor: a component that fails ends the station, and a stop takes seconds."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID

import pytest
from structlog.testing import capture_logs
from tests.edge.kit.components import StoppableComponent
from tests.edge.kit.folders import quick_folder

from cardmint_edge.adapters.clock import StationClock
from cardmint_edge.adapters.sqlite.database import Database
from cardmint_edge.errors import Stop
from cardmint_edge.supervisor import ComponentThread, StationSupervisor


@pytest.fixture
def database() -> Iterator[Database]:
    with quick_folder() as folder:
        yield Database.open(folder / "outbox.db")


def station_of(
    database: Database,
    count: StoppableComponent,
    other: StoppableComponent,
    drained: Callable[[], bool],
    stop_s: float = 10,
) -> StationSupervisor:
    return StationSupervisor(
        threads=[
            ComponentThread(name="count", component=count, may_end=True),
            ComponentThread(name="other", component=other),
        ],
        database=database,
        drained=drained,
        close=lambda: None,
        stop_s=stop_s,
    )


def test_it_runs_until_it_is_stopped_although_the_camera_is_done(database: Database) -> None:
    other = StoppableComponent()
    station = station_of(database, StoppableComponent(lambda: None), other, lambda: True)
    threading.Timer(0.5, station.stop).start()
    assert station.run(exit_when_done=False, drain_timeout_s=0)
    assert other.stopped
    Database.open(database.path).close()


def test_it_ends_when_the_camera_is_done_and_all_is_sent(database: Database) -> None:
    answers = iter([False, False, True, True])
    station = station_of(
        database, StoppableComponent(lambda: None), StoppableComponent(), lambda: next(answers)
    )
    assert station.run(exit_when_done=True, drain_timeout_s=60)


def test_draining_is_bounded(database: Database) -> None:
    station = station_of(
        database, StoppableComponent(lambda: None), StoppableComponent(), lambda: False
    )
    assert not station.run(exit_when_done=True, drain_timeout_s=0.2)


def test_a_part_that_does_not_stop_is_left_behind(database: Database) -> None:
    deaf = threading.Event()
    waits = StoppableComponent(lambda: _wait(deaf))
    station = station_of(
        database, StoppableComponent(lambda: None), waits, drained=lambda: False, stop_s=0.1
    )
    station.stop()
    with capture_logs() as logs:
        assert not station.run(exit_when_done=False, drain_timeout_s=0)
    assert [e["component"] for e in logs if "did not stop" in e["event"]] == ["other"]
    deaf.set()


def _wait(event: threading.Event) -> None:
    event.wait(30)


def _raise(error: Exception) -> None:
    raise error


@pytest.mark.parametrize(
    ("error", "says"),
    [(Stop("the pack is torn"), "the pack is torn"), (KeyError("x"), "this is a bug: KeyError")],
)
def test_a_part_that_fails_ends_the_station(
    database: Database, error: Exception, says: str
) -> None:
    counting = StoppableComponent()
    station = station_of(
        database, counting, StoppableComponent(lambda: _raise(error)), lambda: True
    )
    with capture_logs(), pytest.raises(Stop, match=says):
        station.run(exit_when_done=True, drain_timeout_s=0)
    assert counting.stopped


def test_a_part_that_ends_by_itself_ends_the_station(database: Database) -> None:
    reasons: list[str] = []
    station = StationSupervisor(
        threads=[ComponentThread(name="page", component=StoppableComponent(lambda: None))],
        database=database,
        drained=lambda: True,
        close=lambda: None,
        on_end=reasons.append,
    )
    with capture_logs(), pytest.raises(Stop, match="the part 'page' ended by itself"):
        station.run(exit_when_done=False, drain_timeout_s=0)
    assert "ended by itself" in reasons[0]


def test_a_good_end_has_no_reason(database: Database) -> None:
    reasons: list[str] = []
    station = StationSupervisor(
        threads=[ComponentThread(name="page", component=StoppableComponent())],
        database=database,
        drained=lambda: True,
        close=lambda: None,
        on_end=reasons.append,
    )
    station.stop()
    assert station.run(exit_when_done=False, drain_timeout_s=0)
    assert reasons == [""]


def test_the_clock_knows_its_boot(tmp_path: Path) -> None:
    (tmp_path / "boot_id").write_text(f"{UUID(int=5)}\n")
    clock = StationClock(tmp_path / "boot_id")
    first, second = clock(), clock()
    assert first.bootid == UUID(int=5)
    assert first.monotonic_ms <= second.monotonic_ms
    assert first.time.tzinfo is not None
    assert StationClock(tmp_path / "none").bootid != StationClock(tmp_path / "none").bootid

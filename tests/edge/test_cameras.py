"""The cameras that need no hardware: replay, watched folder, simulator.

Each is a `capture.Camera`.
"""

import shutil
from pathlib import Path

import numpy as np
import pytest

from cardmint_edge.adapters.cameras.folder import FolderCamera
from cardmint_edge.adapters.cameras.replay import ReplayCamera
from cardmint_edge.adapters.decode import Unreadable
from cardmint_edge.capture import Camera
from cardmint_edge.errors import Park, Retry, Stop
from cardmint_lab.simulator import SimulatorCamera


class Time:
    """A clock that `sleep` moves forward. It may call a function meanwhile."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept = 0.0
        self.during = list[object]()

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept += seconds
        if self.during:
            action = self.during.pop(0)
            assert callable(action)
            action()


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def scans(fictional: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "scans"
    folder.mkdir()
    for name in ("emb-1", "emb-2", "tdw-3"):
        shutil.copy(fictional / "images" / f"{name}.jpg", folder)
    (folder / "notes.txt").write_text("not an image")
    return folder


def origins(camera: Camera, count: int) -> list[str]:
    taken = []
    for _ in range(count):
        shot = camera.next(0)
        assert shot is not None
        assert shot.frame.ndim == 3
        camera.confirm()
        taken.append(shot.origin)
    return taken


def test_replay_gives_each_file_once_in_order(scans: Path) -> None:
    camera = ReplayCamera(scans)
    assert origins(camera, 3) == ["emb-1.jpg", "emb-2.jpg", "tdw-3.jpg"]
    assert camera.done
    assert camera.next(0) is None
    camera.close()


def test_replay_resumes_and_loops(scans: Path) -> None:
    assert origins(ReplayCamera(scans, start_at=2), 1) == ["tdw-3.jpg"]
    looped = ReplayCamera([scans / "emb-2.jpg", scans / "emb-1.jpg"], loop=True, start_at=3)
    assert origins(looped, 3) == ["emb-1.jpg", "emb-2.jpg", "emb-1.jpg"]
    assert not looped.done
    assert ReplayCamera([], loop=True).done


def test_replay_parks_what_it_cannot_read_and_goes_on(scans: Path) -> None:
    (scans / "emb-2.jpg").write_bytes(b"broken")
    camera = ReplayCamera(scans)
    camera.next(0)
    with pytest.raises(Park, match="emb-2"):
        camera.next(0)
    assert origins(camera, 1) == ["tdw-3.jpg"]
    with pytest.raises(Stop, match="name a folder"):
        ReplayCamera(scans / "nowhere")


def watched(folder: Path, time: Time) -> FolderCamera:
    return FolderCamera(folder, settle_s=0.3, clock=time.clock, sleep=time.sleep)


def test_a_watched_folder_gives_settled_files_and_moves_the_confirmed(
    scans: Path, time: Time
) -> None:
    camera = watched(scans, time)
    assert camera.next(0) is None
    first = camera.next(2)
    assert first is not None
    assert first.origin == "emb-1.jpg"
    again = camera.next(2)
    assert again is not None
    assert again.origin == "emb-1.jpg"
    camera.confirm()
    camera.confirm()
    assert (scans / "done" / "emb-1.jpg").is_file()
    second = camera.next(2)
    assert second is not None
    assert second.origin == "emb-2.jpg"
    assert not camera.done
    camera.close()


def test_a_shot_that_was_not_confirmed_comes_before_any_other(scans: Path, time: Time) -> None:
    before = watched(scans, time)
    shot = before.next(2)
    assert shot is not None
    assert [path.name for path in (scans / "counting").iterdir()] == [shot.origin]
    shutil.copy(scans / "tdw-3.jpg", scans / "a.jpg")
    after = watched(scans, time)
    assert origins(after, 1) == [shot.origin]
    first = after.next(2)
    assert first is not None
    assert first.origin == "a.jpg"
    (scans / "counting" / "a.jpg").unlink()
    second = after.next(2)
    assert second is not None
    assert second.origin == "emb-2.jpg", "a file that is gone is not waited for"


def test_a_folder_that_cannot_be_written_gives_no_shot(scans: Path, time: Time) -> None:
    (scans / "counting").write_bytes(b"")
    camera = watched(scans, time)
    with pytest.raises(Retry, match="counting"):
        camera.next(2)
    (scans / "counting").unlink()
    shot = camera.next(2)
    assert shot is not None
    assert shot.origin == "emb-1.jpg"


def test_a_file_is_not_taken_while_it_grows(scans: Path, time: Time) -> None:
    whole = (scans / "emb-1.jpg").read_bytes()
    for path in scans.glob("*.jpg"):
        path.unlink()
    growing = scans / "a.jpg"
    growing.write_bytes(whole[:1000])
    time.during = [
        lambda step=step: growing.write_bytes(whole[: 2000 * step]) for step in range(1, 12)
    ]
    time.during.append(lambda: growing.write_bytes(whole))
    shot = watched(scans, time).next(5)
    assert shot is not None
    assert shot.frame.shape == (880, 630, 3)
    assert time.slept >= 1.4


def test_unusable_files_are_parked_with_the_reason(scans: Path, time: Time) -> None:
    (scans / "a.jpg").write_bytes(b"broken")
    (scans / "half.part").write_bytes(b"")
    camera = watched(scans, time)
    with pytest.raises(Unreadable):
        camera.next(2)
    assert "unreadable-image" in (scans / "parked" / "a.jpg.reason.txt").read_text()
    assert origins(camera, 1) == ["emb-1.jpg"]


def test_a_name_that_comes_again_replaces_nothing(scans: Path, time: Time, fictional: Path) -> None:
    for path in scans.glob("*.jpg"):
        path.unlink()
    camera = watched(scans, time)
    for _ in range(3):
        shutil.copy(fictional / "images" / "drk-1.jpg", scans / "IMG_0001.jpg")
        shot = camera.next(2)
        assert shot is not None
        assert shot.origin == "IMG_0001.jpg"
        camera.confirm()
    assert len(list((scans / "done").glob("IMG_0001*.jpg"))) == 3


def test_a_folder_that_goes_away_is_waited_for(scans: Path, time: Time) -> None:
    camera = watched(scans, time)
    camera.next(2)
    (scans / "done").write_text("in the way")
    with pytest.raises(Retry, match="cannot be moved"):
        camera.confirm()
    shutil.rmtree(scans)
    with pytest.raises(Retry, match="away"):
        camera.next(1)
    scans.write_text("a file now")
    with pytest.raises(Retry):
        camera.next(1)


def test_a_file_that_vanishes_while_it_is_looked_at(
    scans: Path, time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera = watched(scans, time)
    real, vanished = Path.stat, list[Path]()

    def stat(path: Path, *, follow_symlinks: bool = True) -> object:
        if path.name == "emb-1.jpg" and not vanished:
            vanished.append(path)
            if path.exists():
                raise FileNotFoundError(2, "No such file or directory")
        return real(path, follow_symlinks=follow_symlinks)

    monkeypatch.setattr(Path, "is_file", lambda _path: True)
    monkeypatch.setattr(Path, "stat", stat)
    assert camera.next(0) is None


def test_the_simulator_repeats_itself_and_resumes(time: Time) -> None:
    def camera(**options: object) -> SimulatorCamera:
        return SimulatorCamera(count=4, seed=9, clock=time.clock, sleep=time.sleep, **options)  # type: ignore[arg-type]

    whole = camera()
    shots = [whole.next(0) for _ in range(4)]
    assert whole.done
    assert whole.next(0) is None
    resumed = camera(start_at=2).next(0)
    assert resumed is not None
    assert shots[2] is not None
    assert resumed.origin == shots[2].origin
    assert np.array_equal(resumed.frame, shots[2].frame)
    assert resumed.origin.startswith("2-")
    whole.confirm()
    whole.close()


def test_the_simulator_keeps_its_rate(time: Time, scans: Path) -> None:
    (scans / "notes.txt").unlink()
    camera = SimulatorCamera(scans, per_minute=30, clock=time.clock, sleep=time.sleep)
    assert not camera.done
    first = camera.next(1)
    assert first is not None
    assert first.origin.split("-", 1)[1] in {"emb-1", "emb-2", "tdw-3"}
    assert camera.next(0.5) is None
    assert camera.next(5) is not None
    assert time.slept == pytest.approx(2)


def test_a_simulator_without_anything_to_show(tmp_path: Path) -> None:
    with pytest.raises(Stop, match="no images"):
        SimulatorCamera(tmp_path)
    with pytest.raises(Stop, match="choose one of copy_stand, table, hard"):
        SimulatorCamera(preset="moon")

"""The cameras that need neither hardware nor a folder: replay and simulator.

Each is a `capture.Camera`.
"""

import shutil
from pathlib import Path

import numpy as np
import pytest
from tests.edge.kit.clock import ManualClock

from cardmint_edge.adapters.cameras.replay import ReplayCamera
from cardmint_edge.capture import Camera
from cardmint_edge.errors import Park, Stop
from cardmint_lab.simulator import SimulatorCamera


@pytest.fixture
def time() -> ManualClock:
    return ManualClock()


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


def test_the_simulator_repeats_itself_and_resumes(time: ManualClock) -> None:
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


def test_the_simulator_keeps_its_rate(time: ManualClock, scans: Path) -> None:
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

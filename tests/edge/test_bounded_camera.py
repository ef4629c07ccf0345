"""A folder whose share does not answer: counting, page, phones and stop do not wait with it."""

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from tests.edge.kit.scans import shot_of
from tests.edge.kit.waiting import until

from cardmint_edge.adapters.cameras.bounded import BoundedCalls, BoundedCamera
from cardmint_edge.adapters.cameras.selection import camera_of
from cardmint_edge.adapters.cameras.several import SeveralCameras
from cardmint_edge.capture import HasFiles, Shot, SourceFile
from cardmint_edge.errors import Park, Retry
from cardmint_edge.settings import FolderCameraSettings


class Share:
    """A camera, and its files, whose calls wait while the share is away, as those of NFS do."""

    def __init__(self, *numbers: int) -> None:
        self.name, self.done = "folder", False
        self.shots = [shot_of(number) for number in numbers]
        self.answers = threading.Event()
        self.answers.set()
        self.said: list[str] = []
        self.listed: Sequence[SourceFile] = ()

    @property
    def files(self) -> "Share":
        return self

    def next(self, _: float) -> Shot | None:
        self.answers.wait()
        if self.said[-1:] == ["broken"]:
            raise Park("this file cannot be used")
        return self.shots[0] if self.shots else None

    def capture(self) -> bool:
        return False

    def confirm(self) -> None:
        self._say("confirm")
        if self.shots and self.said.count("confirm") == 1:
            self.shots.pop(0)

    def set_aside(self, reason: str, message: str) -> None:
        self._say(f"{reason}: {message}")

    def close(self) -> None:
        self._say("close")

    def parked(self, limit: int = 100) -> Sequence[SourceFile]:
        self.answers.wait()
        return self.listed[:limit]

    def waiting(self, limit: int = 100) -> Sequence[SourceFile]:
        return self.listed[:limit]

    def retry(self, key: str) -> bool:
        return self._say(f"retry {key}")

    def dismiss(self, key: str) -> bool:
        return self._say(f"dismiss {key}")

    def _say(self, what: str) -> bool:
        self.answers.wait()
        self.said.append(what)
        return True


@pytest.fixture
def share() -> Iterator[Share]:
    share = Share(1)
    yield share
    share.answers.set()  # no thread stays in a call


def bounded(share: Share) -> BoundedCamera:
    return BoundedCamera(share, Path("/mnt/in\udce4"), patience_s=0.02)


def test_a_share_that_answers_is_an_ordinary_camera(share: Share) -> None:
    camera = bounded(share)
    shot = camera.next(0.1)
    assert shot is not None
    assert shot.origin == share.shots[0].origin
    camera.confirm()
    assert camera.next(0.1) is None
    camera.set_aside("broken", "it is cut")
    assert not camera.capture()
    assert (camera.name, camera.done) == ("folder", False)
    share.said.append("broken")
    with pytest.raises(Park, match="this file cannot be used"):
        camera.next(0.1)
    camera.close()
    assert share.said == ["confirm", "broken: it is cut", "broken", "close"]


def test_a_share_that_does_not_answer_is_said_and_its_shot_comes_later(share: Share) -> None:
    camera = bounded(share)
    share.answers.clear()
    for _ in range(2):
        with pytest.raises(Retry, match=r"/mnt/in\\xe4: the disk or share does not answer"):
            camera.next(0.0)
        with pytest.raises(Retry, match="does not answer"):
            camera.confirm()
        with pytest.raises(Retry, match="does not answer"):
            camera.set_aside("broken", "it is cut")
    camera.close()
    assert share.said == [], "a call that was refused is not made later"
    share.answers.set()
    until(lambda: _next(camera) is not None)


def test_a_shot_whose_confirmation_took_too_long_is_confirmed_once(share: Share) -> None:
    share.shots.append(shot_of(2))
    camera = bounded(share)
    assert _next(camera) is not None
    share.answers.clear()
    with pytest.raises(Retry):
        camera.confirm()
    share.answers.set()
    until(lambda: share.said == ["confirm"])
    until(lambda: (shot := _next(camera)) is not None and shot.origin == share.shots[0].origin)


def test_phones_count_while_the_share_is_away(share: Share) -> None:
    phones = Share(7)
    camera = SeveralCameras(bounded(share), phones)
    share.answers.clear()
    shot = camera.next(0.0)
    assert shot is not None
    assert shot.origin == phones.shots[0].origin
    camera.confirm()
    with pytest.raises(Retry, match="does not answer"):
        camera.next(0.0)


def test_the_page_keeps_the_last_list(share: Share) -> None:
    files = bounded(share).files
    share.listed = [
        SourceFile(key="a", name="a", reason="r", message="m", bytes=1, time=None)  # type: ignore[arg-type]
    ]
    assert [file.key for file in files.parked()] == ["a"]
    assert files.retry("a")
    assert files.dismiss("a")
    share.answers.clear()
    share.listed = []
    assert [file.key for file in files.parked()] == ["a"]
    assert list(files.waiting()) == []
    assert not files.retry("a")
    assert not files.dismiss("a")
    assert share.said == ["retry a", "dismiss a"]


def test_an_error_of_the_call_itself_is_raised() -> None:
    def fail() -> None:
        raise TimeoutError("of the share")

    with pytest.raises(TimeoutError, match="of the share"):
        BoundedCalls("test", "away")(fail, 1.0)


def test_a_watched_folder_is_such_a_camera(tmp_path: Path) -> None:
    camera = camera_of(FolderCameraSettings(path=tmp_path), 0, b"")
    assert isinstance(camera, BoundedCamera)
    assert isinstance(camera, HasFiles)
    assert camera.next(0.0) is None
    camera.close()


def _next(camera: BoundedCamera) -> Shot | None:
    try:
        return camera.next(0.0)
    except Retry:
        return None

"""Photos beside the camera: whose turn it is, what became of each, and the page's requests."""

import hashlib
import io
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from litestar.testing import TestClient
from msgspec.structs import replace
from PIL import Image
from tests.edge.kit.page import PageBench, open_page_bench
from tests.edge.kit.scans import CARDS, STAMP, scan_of, shot_of

from cardmint_contracts.cards import Decision
from cardmint_edge.adapters.cameras.folder import FolderCamera
from cardmint_edge.adapters.cameras.photos import NoCamera, PhotoCamera
from cardmint_edge.adapters.cameras.selection import camera_of
from cardmint_edge.adapters.cameras.several import SeveralCameras
from cardmint_edge.adapters.photo_inbox import PhotoInbox
from cardmint_edge.adapters.sqlite.outbox import Outbox
from cardmint_edge.capture import NO_FILES, Camera, HasFiles, Shot
from cardmint_edge.errors import Retry
from cardmint_edge.page.photos import MAX_ASKED, PhotoOutcome
from cardmint_edge.review_tasks import ScanAnswer
from cardmint_edge.settings import PhoneCameraSettings
from cardmint_edge.source_files import FileDesk


class Queue:
    """A camera that gives the shots that it was given."""

    def __init__(self, name: str, *numbers: int) -> None:
        self.name = name
        self.shots = [shot_of(number) for number in numbers]
        self.away = False
        self.done = False
        self.said: list[str] = []

    def next(self, _: float) -> Shot | None:
        if self.away:
            raise Retry(f"{self.name} is away")
        return self.shots[0] if self.shots else None

    def capture(self) -> bool:
        self.said.append("capture")
        return True

    def confirm(self) -> None:
        self.said.append("confirm")
        self.shots.pop(0)

    def set_aside(self, reason: str, message: str) -> None:
        self.said.append(f"{reason}: {message}")
        self.shots.pop(0)

    def close(self) -> None:
        self.said.append("close")


def drawn(camera: Camera, count: int) -> list[str]:
    origins = []
    for _ in range(count):
        shot = camera.next(0.0)
        origins.append(shot.origin if shot else "")
        if shot:
            camera.confirm()
    return origins


def test_camera_and_photos_take_turns() -> None:
    first, second = Queue("desk", 1, 2, 3), Queue("photos", 11, 12)
    both = SeveralCameras(first, second)
    assert both.name == "desk"
    assert drawn(both, 6) == ["shot-1", "shot-11", "shot-2", "shot-12", "shot-3", ""]


def test_a_camera_that_is_away_holds_no_photo_up_and_is_said_afterwards() -> None:
    first, second = Queue("desk"), Queue("photos", 11, 12)
    first.away = True
    both = SeveralCameras(first, second)
    assert drawn(both, 2) == ["shot-11", "shot-12"]
    with pytest.raises(Retry, match="desk is away"):
        both.next(0.0)
    first.away = False
    second.away = True
    first.shots = [shot_of(1)]
    assert drawn(both, 2) == ["shot-1", ""]


def test_what_is_said_of_a_shot_goes_to_its_camera() -> None:
    first, second = Queue("desk", 1), Queue("photos", 11)
    both = SeveralCameras(first, second)
    both.next(0.0)
    both.set_aside("same-picture", "counted before")
    both.next(0.0)
    both.confirm()
    assert both.capture()
    before, first.done = both.done, True
    assert (before, both.done) == (False, True)
    both.close()
    assert first.said == ["same-picture: counted before", "capture", "close"]
    assert second.said == ["confirm", "close"]


def test_the_shot_comes_again_until_it_is_confirmed() -> None:
    both = SeveralCameras(Queue("desk"), Queue("photos", 11))
    assert [shot.origin for _ in range(3) if (shot := both.next(0.0))] == ["shot-11"] * 3


def test_a_station_without_a_camera() -> None:
    camera = camera_of(PhoneCameraSettings(), 0, b"")
    assert isinstance(camera, NoCamera)
    assert (camera.name, camera.done, camera.next(0.0), camera.capture()) == (
        *("phones", False),
        *(None, False),
    )
    camera.confirm()
    camera.set_aside("", "")
    camera.close()
    assert not isinstance(camera, HasFiles)


def jpeg(shade: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 88), (shade, shade, shade)).save(buffer, "JPEG")
    return buffer.getvalue()


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Desk:
    """Inbox, photo camera and outbox, without recognition."""

    def __init__(self, folder: Path) -> None:
        self.outbox = Outbox.open(folder / "outbox.db")
        self.inbox = PhotoInbox(
            folder / "photos",
            is_counted=lambda photo: self.outbox.scan_of_picture(photo) is not None,
            missing_bytes=lambda: 0,
            starts_as_image=lambda _: True,
        )
        self.camera = PhotoCamera(self.inbox.folder)
        self.answers: dict[UUID, ScanAnswer] = {}
        self.now = 0.0
        self.files = FileDesk(
            lambda: [NO_FILES, self.camera.files],
            self.inbox,
            self.outbox,
            lambda: self.answers,
            clock=lambda: self.now,
        )

    def send(self, data: bytes, name: str = "IMG_1.jpg") -> str:
        self.inbox.add_piece(digest(data), name, len(data), 0, data)
        return digest(data)

    def count(self, number: int, **changes: object) -> None:
        shot = self.camera.next(1.0)
        assert shot is not None
        self.outbox.record(
            replace(scan_of(number), **changes), STAMP, shot.origin, b"", shot.digest
        )
        self.camera.confirm()

    def outcome(self, photo: str) -> PhotoOutcome:
        return self.files.outcomes([photo])[photo]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    yield made
    made.outbox.close()


def test_the_decoders_are_loaded_with_the_first_photo(desk: Desk) -> None:
    assert desk.camera.next(0.0) is None
    assert desk.camera.files is NO_FILES
    desk.camera.confirm()
    desk.camera.set_aside("", "")
    assert not desk.camera.capture()
    desk.send(jpeg(9))
    assert desk.camera.next(1.0) is not None
    assert desk.camera.files is not NO_FILES
    desk.camera.close()


def test_the_outcome_of_a_photo_until_it_counts(desk: Desk) -> None:
    data = jpeg(10)
    photo = digest(data)
    assert desk.outcome(photo) == PhotoOutcome(state="unknown")
    desk.inbox.add_piece(photo, "a.jpg", len(data), 0, data[:100])
    assert desk.outcome(photo) == PhotoOutcome(state="part", offset=100)
    desk.inbox.add_piece(photo, "a.jpg", len(data), 100, data[100:])
    assert desk.outcome(photo).state == "waiting"
    desk.count(1)
    assert desk.outcome(photo) == PhotoOutcome(state="counted", text="Counted: Card 2 2/60")
    assert desk.send(data) == photo
    assert desk.inbox.places() == {}, "it is counted already"
    desk.inbox.sweep()
    left = {path.name for path in desk.inbox.folder.rglob("*") if path.is_file()}
    assert left == {".cardmint"}, "the marks of the station's folders stay"
    assert desk.outbox.withdraw(UUID(int=1), "station", STAMP)
    assert desk.outcome(photo).state == "unknown", "what was taken back may be sent again"


def test_the_outcome_says_what_the_dashboard_says(desk: Desk) -> None:
    photo = desk.send(jpeg(11))
    desk.count(1, decision=Decision.REVIEW, card=None)
    assert desk.outcome(photo) == PhotoOutcome(state="asked", text="Asked about")
    desk.answers[UUID(int=1)] = ScanAnswer(card=CARDS[0], by="anna")
    assert desk.outcome(photo).state == "counted"
    assert desk.outcome(photo).text == "Counted: anna answered: Card 1 1/60"
    desk.answers[UUID(int=1)] = ScanAnswer(card=None, by="anna")
    assert desk.outcome(photo).state == "none"


def test_a_photo_of_a_scan_that_left_the_history_is_counted(desk: Desk) -> None:
    photo = desk.send(jpeg(12))
    desk.count(1)
    with desk.outbox.database.write() as tx:
        tx.execute("DELETE FROM scans")
    assert desk.outcome(photo) == PhotoOutcome(state="counted", text="Counted")


def test_a_broken_photo_is_listed_with_its_reason_tried_again_and_dismissed(desk: Desk) -> None:
    photo = desk.send(jpeg(13)[:-200], "IMG_7.jpg")
    with suppress(Retry):
        assert desk.camera.next(0.3) is None
    outcome = desk.outcome(photo)
    assert outcome.state == "parked"
    assert "cut short" in outcome.text
    (listed,) = desk.files.listed()
    assert (listed.name, listed.parked) == ("IMG_7.jpg", False)
    folder = desk.inbox.folder
    (path,) = (path for path in folder.iterdir() if path.is_file())
    (folder / "parked").mkdir()
    (folder / "parked" / ".cardmint").touch()
    path.rename(folder / "parked" / path.name)
    assert desk.outcome(photo).state == "parked"
    assert not desk.files.listed()[0].parked, "the list is a second old at most"
    desk.now = 1.0
    parked = next(file for file in desk.files.listed() if file.parked)
    assert desk.files.retry(parked.key)
    assert not desk.files.retry(parked.key)
    assert not desk.files.dismiss("0" * 24)


@pytest.fixture
def bench() -> Iterator[PageBench]:
    with open_page_bench() as bench:
        yield bench


@pytest.fixture
def client(bench: PageBench) -> Iterator[TestClient[Any]]:
    bench.inbox = PhotoInbox(
        bench.outbox.database.path.parent / "photos",
        is_counted=lambda _: False,
        missing_bytes=lambda: 0,
        starts_as_image=lambda start: start.startswith(b"\xff\xd8"),
    )
    bench.phone_address = "http://192.168.1.5:8080/phone"
    with TestClient(bench.page(), base_url="http://127.0.0.1:8080") as opened:
        opened.follow_redirects = False
        yield opened


def headers(offset: object, length: object) -> dict[str, str]:
    return {"upload-offset": str(offset), "upload-length": str(length), "upload-name": "a%20b.jpg"}


def test_a_photo_comes_in_pieces_over_the_page(bench: PageBench, client: TestClient[Any]) -> None:
    data = jpeg(20)
    path = f"/photos/{digest(data)}"
    first = client.patch(path, content=data[:200], headers=headers(0, len(data)))
    assert (first.status_code, first.json()) == (200, {"offset": 200})
    wrong = client.patch(path, content=data[100:], headers=headers(100, len(data)))
    assert (wrong.status_code, wrong.json()["offset"]) == (409, 200)
    rest = client.patch(path, content=data[200:], headers=headers(200, len(data)))
    assert rest.json() == {"offset": len(data)}
    assert bench.inbox is not None
    assert [path.name for path in bench.inbox.folder.iterdir()] == [f"a_b {digest(data)}.jpg"]


@pytest.mark.parametrize(
    ("sha256", "offset", "length", "content", "status"),
    [
        ("z" * 64, 0, 9, b"\xff\xd8", 400),
        ("0" * 64, -1, 9, b"\xff\xd8", 400),
        ("0" * 64, "", 9, b"\xff\xd8", 400),
        ("0" * 64, 0, 99, b"PK" + bytes(97), 415),
        ("0" * 64, 0, 2 << 30, b"\xff\xd8", 413),
        ("0" * 64, 0, 5 << 20, bytes((1 << 20) + 1), 413),
        ("0" * 64, 0, 99, b"\xff\xd8" + bytes(97), 422),
    ],
)
def test_what_is_wrong_with_a_piece_is_its_status(
    client: TestClient[Any],
    sha256: str,
    offset: object,
    length: object,
    content: bytes,
    status: int,
) -> None:
    answer = client.patch(f"/photos/{sha256}", content=content, headers=headers(offset, length))
    assert answer.status_code == status
    assert answer.json()["detail"]
    assert (answer.headers.get("connection") == "close") == (len(content) > 1 << 20)


def test_outcomes_are_asked_for_by_digest(bench: PageBench, client: TestClient[Any]) -> None:
    bench.photos["0" * 64] = PhotoOutcome(state="counted", text="Counted: Fox")
    asked = f"{'0' * 64},{'1' * 64}"
    answer = client.post("/photos", data={"photos": asked})
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json()["0" * 64] == {"state": "counted", "offset": 0, "text": "Counted: Fox"}
    assert answer.json()["1" * 64]["state"] == "unknown"
    assert client.post("/photos").json() == {}
    for bad in ("x", ",".join(["0" * 64] * (MAX_ASKED + 1))):
        assert client.post("/photos", data={"photos": bad}).status_code == 400


def test_the_page_for_phones_and_its_code(bench: PageBench, client: TestClient[Any]) -> None:
    page = client.get("/phone").text
    assert 'capture="environment"' in page
    assert "multiple" in page
    code = client.get("/phone.svg")
    assert code.headers["content-type"] == "image/svg+xml"
    assert code.content.startswith(b"<svg")
    assert "http://192.168.1.5:8080/phone" in client.get("/").text
    bench.phone_address = ""
    with TestClient(bench.page(), base_url="http://127.0.0.1:8080") as alone:
        assert alone.get("/phone.svg").status_code == 404
        assert "Only this machine reaches the page" in alone.get("/").text


def test_the_pin_leads_to_the_page_that_was_asked_for(bench: PageBench) -> None:
    bench.pin = "123456"
    bench.inbox = None
    base = "http://192.168.1.5:8080"
    with TestClient(bench.page(), base_url=base) as phone:
        phone.follow_redirects = False
        asked = phone.get("/phone")
        assert (asked.status_code, asked.headers["location"]) == (303, "/pin?next=/phone")
        assert 'name="next" value="/phone"' in phone.get("/pin?next=/phone").text
        assert 'name="next" value="/"' in phone.get("/pin?next=//evil.example").text
        wrong = phone.post("/enter", data={"pin": "1", "next": "/phone"})
        assert 'name="next" value="/phone"' in wrong.text
        entered = phone.post("/enter", data={"pin": "123456", "next": "/phone"})
        assert entered.headers["location"] == "/phone"
        other = phone.post("/enter", data={"pin": "123456", "next": "http://evil.example"})
        assert other.headers["location"] == "/"


def test_a_folder_camera_has_files(tmp_path: Path) -> None:
    assert isinstance(FolderCamera(tmp_path), HasFiles)

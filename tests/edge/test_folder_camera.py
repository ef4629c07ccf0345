"""A watched folder: whatever its files do, each picture is given once, and the next one comes."""

import errno
import io
import os
import shutil
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from hashlib import sha256
from pathlib import Path

import cv2
import numpy as np
import pillow_heif
import pytest
from PIL import Image
from structlog.testing import capture_logs
from tests.edge.kit.clock import ManualClock
from tests.edge.kit.folders import quick_folder

from cardmint_edge.adapters.cameras import file_reading, folder_intake
from cardmint_edge.adapters.cameras.file_names import (
    FileKind,
    kind_of,
    natural_order,
    numbered,
    printable,
)
from cardmint_edge.adapters.cameras.file_reading import read_file
from cardmint_edge.adapters.cameras.folder import FolderCamera
from cardmint_edge.adapters.cameras.folder_places import MARKER, FolderPlaces, Stamp
from cardmint_edge.adapters.decode import Unreadable, decode_image
from cardmint_edge.adapters.open_files import has_writer
from cardmint_edge.capture import NO_FILES, Camera
from cardmint_edge.domain.recognition import Frame
from cardmint_edge.errors import Retry


@pytest.fixture
def time() -> ManualClock:
    return ManualClock()


@pytest.fixture
def pictures(fictional: Path) -> list[bytes]:
    """Different cards."""
    return [(fictional / "images" / f"emb-{n}.jpg").read_bytes() for n in range(1, 9)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "scans"
    made.mkdir()
    return made


@pytest.fixture
def camera(folder: Path, time: ManualClock) -> FolderCamera:
    return watched(folder, time)


def watched(folder: Path, time: ManualClock) -> FolderCamera:
    return FolderCamera(folder, clock=time.clock, sleep=time.sleep)


def on_a_share(folder: Path, time: ManualClock) -> FolderCamera:
    """A camera that does not learn which files are open."""
    return FolderCamera(folder, clock=time.clock, sleep=time.sleep, has_writer=lambda _: False)


def while_open(folder: Path, time: ManualClock, held: io.FileIO) -> FolderCamera:
    """A camera that learns that another program has its files open while it has one open."""
    return FolderCamera(
        folder,
        clock=time.clock,
        sleep=time.sleep,
        has_writer=lambda path: path.name != MARKER and not held.closed,
    )


def counted(camera: Camera, seconds: float, step: float = 0.25) -> list[str]:
    """Take and confirm every shot for so many seconds, as counting does; return the origins."""
    taken = []
    for _ in range(round(seconds / step)):
        try:
            shot = camera.next(step)
        except Unreadable:
            continue
        if shot is not None:
            taken.append(shot.origin)
            camera.confirm()
    return taken


def as_format(picture: bytes, ending: str) -> bytes:
    """Return a picture in another format."""
    file = io.BytesIO()
    image = Image.open(io.BytesIO(picture))
    if ending == "heic":
        pillow_heif.from_pillow(image).save(file, quality=80)
    else:
        image.save(file, {"tif": "TIFF", "jpg": "JPEG"}.get(ending, ending))
    return file.getvalue()


def below(folder: Path, place: str) -> list[str]:
    return sorted(
        str(path.relative_to(folder / place))
        for path in (folder / place).rglob("*")
        if path.is_file() and path.name != MARKER
    )


def test_settled_files_are_given_and_the_confirmed_are_moved(
    camera: FolderCamera, folder: Path, pictures: list[bytes]
) -> None:
    for number, content in enumerate(pictures[:2]):
        (folder / f"{number}.jpg").write_bytes(content)
    (folder / "notes.txt").write_text("not an image")
    assert camera.next(0) is None
    first = camera.next(2)
    assert first is not None
    assert (first.origin, len(first.digest), first.resumed) == ("0.jpg", 64, False)
    assert camera.next(2) is first
    camera.confirm()
    camera.confirm()
    assert below(folder, "done") == ["0.jpg"]
    assert counted(camera, 2) == ["1.jpg"]
    assert (camera.done, camera.capture(), camera.name) == (False, False, "folder")
    assert camera.files is camera
    camera.close()


def test_a_shot_that_was_not_confirmed_comes_before_any_other(
    folder: Path, time: ManualClock, pictures: list[bytes]
) -> None:
    (folder / "in").mkdir()
    (folder / "in" / "b.jpg").write_bytes(pictures[0])
    shot = watched(folder, time).next(2)
    assert shot is not None
    assert below(folder, "counting") == ["in/b.jpg"]
    (folder / "a.jpg").write_bytes(pictures[1])
    after = watched(folder, time)
    again = after.next(2)
    assert again is not None
    assert (again.origin, again.digest, again.resumed) == (shot.origin, shot.digest, True)
    after.confirm()
    first = after.next(2)
    assert first is not None
    assert first.origin == "a.jpg"
    (folder / "counting" / "a.jpg").unlink()
    (folder / "c.jpg").write_bytes(pictures[2])
    assert counted(after, 2) == ["c.jpg"], "a file that is gone is not waited for"


def test_a_resumed_file_that_cannot_be_read_is_one_like_any_other(
    camera: FolderCamera, folder: Path, pictures: list[bytes]
) -> None:
    (folder / "counting").mkdir()
    (folder / "counting" / "a.jpg").write_bytes(pictures[0][:900])
    (folder / "b.jpg").write_bytes(pictures[1])
    assert counted(camera, 2) == ["b.jpg"]
    assert [file.name for file in camera.waiting()] == ["a.jpg"]


def test_a_removed_file_is_confirmed_all_the_same(
    camera: FolderCamera, folder: Path, pictures: list[bytes]
) -> None:
    (folder / "a.jpg").write_bytes(pictures[0])
    assert camera.next(2) is not None
    (folder / "counting" / "a.jpg").unlink()
    with capture_logs() as logs:
        camera.confirm()
    assert [entry["event"] for entry in logs] == ["a counted file was removed meanwhile"]


def test_a_folder_that_cannot_be_written_gives_no_shot(
    camera: FolderCamera, folder: Path, pictures: list[bytes]
) -> None:
    (folder / "a.jpg").write_bytes(pictures[0])
    (folder / "waiting").write_bytes(b"")
    (folder / "cardmint-waiting").mkdir()
    says = r"no file can be moved to waiting/ \(rename what is called waiting or cardmint-waiting"
    with pytest.raises(Retry, match=says):
        camera.next(2)
    (folder / "waiting").unlink()
    assert counted(camera, 2) == ["a.jpg"]


def test_a_read_only_share_is_said(
    camera: FolderCamera, folder: Path, pictures: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, target: Path) -> Path:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), path, None, target)

    monkeypatch.setattr(Path, "rename", refuse)
    (folder / "a.jpg").write_bytes(pictures[0])
    with pytest.raises(Retry, match=r"Read-only file system; let the agent write in this folder"):
        camera.next(2)
    monkeypatch.undo()
    assert counted(camera, 2) == ["a.jpg"]


# --- Names ---

NAMES = {
    "Latin-1": (b"K\xe4rtchen.jpg", "K\\xe4rtchen.jpg"),
    "UTF-8": ("Kärtchen ✨.jpg".encode(), "Kärtchen ✨.jpg"),
    "a line break": (b"a\nb.jpg", "a\\nb.jpg"),
    "251 bytes": (b"x" * 247 + b".jpg", "x" * 247 + ".jpg"),
    "255 bytes": ("é".encode() * 125 + b"a.jpg", "é" * 125 + "a.jpg"),
    "many digits": (b"9" * 200 + b".jpg", "9" * 200 + ".jpg"),
    "digits of another script": ("٣².jpg".encode(), "٣².jpg"),
    "blanks": (b"  .jpg", "  .jpg"),
}


@pytest.mark.parametrize("case", NAMES)
def test_every_name_is_counted_under_one_that_can_be_shown(
    camera: FolderCamera, folder: Path, pictures: list[bytes], case: str
) -> None:
    name, shown = NAMES[case]
    for content in pictures[:2]:  # the second collides with the first in done/
        (folder / os.fsdecode(name)).write_bytes(content)
        assert counted(camera, 1) == [shown]
    assert len(below(folder, "done")) == 2


@pytest.mark.parametrize("case", NAMES)
def test_a_damaged_file_of_every_name_is_parked_and_the_next_is_counted(
    camera: FolderCamera, folder: Path, pictures: list[bytes], case: str
) -> None:
    name, _ = NAMES[case]
    (folder / os.fsdecode(name)).write_bytes(pictures[0][:900])
    (folder / "zz.jpg").write_bytes(pictures[1])
    assert counted(camera, 35) == ["zz.jpg"]
    [parked] = camera.parked()
    assert (parked.reason, parked.bytes) == ("unreadable-image", 900)
    assert "cut short" in parked.message
    parked.name.encode()


def test_names_are_shown_and_numbered() -> None:
    assert printable(Path(os.fsdecode(b"a/\xe4\x07.jpg"))) == "a/\\xe4\\x07.jpg"
    assert numbered("a.jpg", 0) == "a.jpg"
    assert numbered("a.jpg", 3) == "a-3.jpg"
    assert len(os.fsencode(numbered("é" * 125 + "a.jpg", 12, spare=11))) <= 244


def test_pictures_come_in_the_order_that_people_count_in(
    camera: FolderCamera, folder: Path, pictures: list[bytes]
) -> None:
    names = ["scan1.jpg", "scan2.jpg", "Scan3.JPG", "scan10.jpg", "scan10b.jpg", "scan100.jpg"]
    for name, content in zip(reversed(names), pictures, strict=False):
        (folder / name).write_bytes(content)
    assert counted(camera, 3) == names
    paths = [Path("b2/a1.jpg"), Path("b10/a1.jpg"), Path("7.jpg"), Path("a.jpg"), Path("1a/1.jpg")]
    ordered = sorted(paths, key=natural_order)
    assert [str(path) for path in ordered] == [
        "1a/1.jpg", "7.jpg", "a.jpg", "b2/a1.jpg", "b10/a1.jpg",
    ]  # fmt: skip


def test_the_folders_of_a_camera_are_watched(
    camera: FolderCamera, folder: Path, pictures: list[bytes]
) -> None:
    names = [
        "DCIM/100CANON/IMG_0001.JPG",
        "DCIM/101CANON/IMG_0001.JPG",
        ".trash-1000/a.jpg",
        ".scans/a.jpg",
        ".a.jpg",
        ".PNG",
        ".a.jpg.Xy12ab",
        "@eaDir/IMG_0001.JPG/SYNOPHOTO_THUMB_M.jpg",
        "x/done/a.jpg",
        "x/again/b.jpg",
        "1/2/3/4/5/6/7/8/a.jpg",
        "1/2/3/4/5/6/7/8/9/a.jpg",
    ]
    for name, content in zip(names, pictures * 2, strict=False):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    assert counted(camera, 3) == [
        "1/2/3/4/5/6/7/8/a.jpg",
        "DCIM/100CANON/IMG_0001.JPG",
        "DCIM/101CANON/IMG_0001.JPG",
        "x/again/b.jpg",
        "x/done/a.jpg",
    ]
    assert {file.name: file.reason for file in camera.waiting()} == {
        ".scans": "hidden",
        ".a.jpg": "hidden",
        ".PNG": "hidden",
        "1/2/3/4/5/6/7/8/9": "too-deep",
    }
    assert below(folder, "done")[1:3] == [
        "DCIM/100CANON/IMG_0001.JPG",
        "DCIM/101CANON/IMG_0001.JPG",
    ]


def test_a_renamed_folder_of_the_stations_is_named(
    camera: FolderCamera, folder: Path, time: ManualClock, pictures: list[bytes]
) -> None:
    (folder / "first.jpg").write_bytes(pictures[0])
    assert counted(camera, 2) == ["first.jpg"]
    (folder / "done").rename(folder / "november")
    (folder / "november" / "new.jpg").write_bytes(pictures[1])
    assert counted(camera, 2) == []
    assert {file.name: file.reason for file in camera.waiting()} == {"november": "marked"}
    (folder / "november" / ".cardmint").unlink()
    assert counted(watched(folder, time), 2) == ["november/first.jpg", "november/new.jpg"]


OWN = ["waiting", "counting", "again", "counting-again", "done", "parked", "dismissed"]


@pytest.mark.parametrize("place", OWN)
def test_a_folder_that_the_station_has_not_made_is_watched(
    camera: FolderCamera,
    folder: Path,
    time: ManualClock,
    pictures: list[bytes],
    place: str,
) -> None:
    (folder / "first.jpg").write_bytes(pictures[0])
    if place != "counting":  # which a station of an older version has
        (folder / place).mkdir()
        (folder / place / "own.jpg").write_bytes(pictures[1])
    origins = counted(camera, 2)
    if place == "counting":
        (folder / place).rename(folder / "elsewhere")
        (folder / place).mkdir()
        (folder / place / "own.jpg").write_bytes(pictures[1])
        origins += counted(watched(folder, time), 2)
    assert sorted(origins) == sorted(["first.jpg", f"{place}/own.jpg"])
    (folder / "broken.jpg").write_bytes(b"no picture")
    assert counted(camera, 35) == []
    [parked] = camera.parked()
    camera.dismiss(parked.key)
    (folder / "last.jpg").write_bytes(pictures[2])
    assert counted(watched(folder, time), 2) == ["last.jpg"]
    own = {path.name for path in folder.iterdir() if (path / ".cardmint").exists()}
    assert place not in own
    if place in {"waiting", "counting", "done", "parked", "dismissed"}:
        assert f"cardmint-{place}" in own


@pytest.mark.parametrize("place", OWN)
def test_a_file_of_a_places_name_stops_nothing(
    camera: FolderCamera, folder: Path, pictures: list[bytes], place: str
) -> None:
    (folder / place).write_text("a list of what is done")
    (folder / "a.jpg").write_bytes(pictures[0])
    (folder / "b.jpg").write_bytes(b"no picture")
    assert counted(camera, 35) == ["a.jpg"]
    [parked] = camera.parked()
    assert [(file.name, file.reason) for file in camera.waiting()] == [(place, "unknown-ending")]
    assert camera.dismiss(parked.key)
    assert (folder / place).read_text() == "a list of what is done"


def test_the_folders_of_an_older_version_are_the_stations(
    folder: Path, time: ManualClock, pictures: list[bytes]
) -> None:
    for number, place in enumerate(("done", "parked", "dismissed", "counting")):
        (folder / place).mkdir()
        (folder / place / f"{number}.jpg").write_bytes(pictures[number])
    camera = watched(folder, time)
    assert counted(camera, 2) == ["3.jpg"]
    assert [file.name for file in camera.parked()] == ["1.jpg"]
    assert below(folder, "done") == ["0.jpg", "3.jpg"]
    again = watched(folder, time)
    (folder / "4.jpg").write_bytes(pictures[4])
    assert counted(again, 2) == ["4.jpg"]


def test_folders_that_are_taken_for_an_older_versions_are_named_and_given_back(
    camera: FolderCamera, folder: Path, pictures: list[bytes]
) -> None:
    for number, place in enumerate(("done", "counting")):
        (folder / place).mkdir()
        (folder / place / f"{number}.jpg").write_bytes(pictures[number])
    assert counted(camera, 2) == ["1.jpg"]
    assert [(file.name, file.reason) for file in camera.waiting()] == [("done", "adopted")]
    (folder / "done" / MARKER).unlink()
    assert counted(camera, 2) == ["done/0.jpg", "done/1.jpg"]
    assert camera.waiting() == ()


def test_a_name_that_comes_again_replaces_nothing(
    camera: FolderCamera, folder: Path, pictures: list[bytes]
) -> None:
    for content in pictures[:4]:
        (folder / "IMG_0001.jpg").write_bytes(content)
        assert counted(camera, 1) == ["IMG_0001.jpg"]
    assert below(folder, "done") == [
        "IMG_0001-1.jpg", "IMG_0001-2.jpg", "IMG_0001-3.jpg", "IMG_0001.jpg",
    ]  # fmt: skip


# --- What lies beside a picture ---

BESIDE = [
    "IMG_0001.DNG", "IMG_0001.NEF", "IMG_0001.CR2", "IMG_0001.THM", "IMG_0001.jpg_original",
    "IMG_0001.jpg~", "IMG_0001.jpg.crdownload", "IMG_0001.jpg.filepart", "IMG_0001.jpg.part",
    "._IMG_0001.jpg", "IMG_0001.xmp", "IMG_0001.AAE", "IMG_0001.MOV", "Thumbs.db",
]  # fmt: skip


def test_one_photo_with_everything_beside_it_is_one_shot(
    camera: FolderCamera, folder: Path, pictures: list[bytes]
) -> None:
    (folder / "IMG_0001.jpg").write_bytes(pictures[0])
    for name in BESIDE:
        (folder / name).write_bytes(pictures[0])
    assert counted(camera, 40) == ["IMG_0001.jpg"]
    assert sorted(path.name for path in folder.iterdir() if path.is_file()) == sorted(BESIDE)
    assert camera.waiting() == ()
    assert {kind_of(name) for name in BESIDE} == {FileKind.LEFT_ALONE}


TEN, ELEVEN = "2026:11:28 10:00:00", "2026:11:28 11:00:00"
FORMS = [
    ("IMG_0004.HEIC", "IMG_0004.jpg"),
    ("IMG_0004.jpg", "IMG_0004.HEIC"),
    ("IMG_0004.HEIC", "IMG_E0004.JPG"),
    ("IMG_E0004.JPG", "IMG_0004.HEIC"),
    ("IMG_0004.JPG", "IMG_E0004.JPG"),
    ("DSC00001.HIF", "DSC00001.JPG"),
    ("a/scan.png", "a/scan.jpeg"),
    ("scan.tif", "scan.jpg"),
    ("scan.jpg", "scan_thumb.jpg"),
    ("scan.jpg", "thumb_scan.jpg"),
    ("scan.heic", "scan-thumbnail.JPG"),
    ("scan_thumb.jpg", "scan.jpg"),
    ("IMG_0001_thumb.JPG", "IMG_0001.JPG"),
    ("thumbnail.IMG_0001.JPG", "IMG_0001.JPG"),
    ("scan-thumbnail.JPG", "scan.heic"),
]


def in_form(picture: bytes, name: str, taken: str) -> bytes:
    """Return a picture in the format of a name, a thumbnail where it says so."""
    image = Image.open(io.BytesIO(picture))
    if "thumb" in name:
        image.thumbnail((320, 320))
    exif = Image.Exif()
    if taken:
        exif.get_ifd(0x8769)[0x9003] = taken
    ending, file = Path(name).suffix.lower(), io.BytesIO()
    if ending in {".heic", ".hif"}:
        pillow_heif.from_pillow(image).save(file, quality=80, exif=exif.tobytes())
    else:
        image.save(
            file, {".jpeg": "JPEG", ".png": "PNG", ".tif": "TIFF"}.get(ending, "JPEG"), exif=exif
        )
    return file.getvalue()


@pytest.mark.parametrize(
    ("later", "restarted", "taken"),
    [(0.0, False, TEN), (8.0, False, ""), (8.0, True, TEN)],
    ids=["together", "later", "after a restart"],
)
@pytest.mark.parametrize(("first", "second"), FORMS)
def test_one_shot_in_two_files_counts_once(
    folder: Path,
    time: ManualClock,
    pictures: list[bytes],
    first: str,
    second: str,
    later: float,
    restarted: bool,
    taken: str,
) -> None:
    (folder / "a").mkdir()
    (folder / "other.jpg").write_bytes(pictures[1])
    (folder / first).write_bytes(in_form(pictures[0], first, taken))
    write = partial((folder / second).write_bytes, in_form(pictures[0], second, taken))
    camera = watched(folder, time)
    if later:
        time.at(later, write)
    else:
        write()
    with capture_logs() as logs:
        origins = counted(camera, 7)
        if restarted:
            camera = watched(folder, time)
        origins += counted(camera, 9)
    assert len(origins) == 2
    assert "other.jpg" in origins
    assert below(folder, "parked") == []
    assert sorted(below(folder, "done")) == sorted([first, second, "other.jpg"])
    [named] = camera.waiting()
    assert (named.name, named.reason) == (logs[0]["file"], "other-form")
    assert f"the same shot as {logs[0]['of']}, which was counted" in named.message
    time.sleep(600)
    assert camera.waiting() == ()


@pytest.mark.parametrize(
    ("first", "second"), [names for names in FORMS if names[0] not in {"scan.tif", "a/scan.png"}]
)
def test_another_card_of_the_same_name_counts_or_is_asked_about(
    camera: FolderCamera, folder: Path, pictures: list[bytes], first: str, second: str
) -> None:
    (folder / "a").mkdir()
    (folder / first).write_bytes(in_form(pictures[0], first, TEN))
    assert counted(camera, 7) == [first]
    (folder / second).write_bytes(in_form(pictures[1], second, TEN))
    assert counted(camera, 7) == []
    [asked] = camera.parked()
    assert (asked.name, asked.reason) == (second, "other-form")
    assert f"another form of {first}, which was counted" in asked.message
    assert camera.retry(asked.key)
    assert counted(camera, 2) == [second]
    (folder / second).write_bytes(in_form(pictures[2], second, ELEVEN))
    assert counted(camera, 7) == [second]
    (folder / "done" / first).write_bytes(b"no picture now")
    (folder / second).write_bytes(in_form(pictures[3], second, ""))
    assert counted(camera, 7) == [second], "nothing speaks against it"


def test_the_photo_that_took_a_name_last_is_looked_at(
    camera: FolderCamera, folder: Path, pictures: list[bytes]
) -> None:
    for number, taken in enumerate((TEN, ELEVEN)):
        (folder / "IMG_1.HEIC").write_bytes(in_form(pictures[number], ".heic", taken))
        assert counted(camera, 1) == ["IMG_1.HEIC"]
    for number, taken in enumerate((TEN, ELEVEN)):
        (folder / "IMG_1.jpg").write_bytes(in_form(pictures[number], ".jpg", taken))
        with capture_logs() as logs:
            assert counted(camera, 1) == []
        assert logs[0]["of"] == ("IMG_1.HEIC", "IMG_1-1.HEIC")[number]


def test_a_copy_has_the_same_digest(
    camera: FolderCamera, folder: Path, pictures: list[bytes]
) -> None:
    (folder / "IMG_0001.jpg").write_bytes(pictures[0])
    (folder / "IMG_0001 - Copy.jpg").write_bytes(pictures[0])
    first = camera.next(1)
    camera.confirm()
    second = camera.next(1)
    assert first is not None
    assert second is not None
    assert (first.origin, first.digest) == ("IMG_0001.jpg", second.digest)
    camera.set_aside("same-picture", "the same picture was counted before")
    camera.set_aside("same-picture", "twice does nothing")
    [parked] = camera.parked()
    assert (parked.name, parked.reason) == ("IMG_0001 - Copy.jpg", "same-picture")
    assert camera.retry(parked.key), "count it all the same"
    again = camera.next(1)
    assert again is not None
    assert (again.again, again.resumed, again.digest) == (True, False, first.digest)
    assert below(folder, "counting-again") == ["IMG_0001 - Copy.jpg"]
    camera.confirm()
    assert (counted(camera, 1), camera.parked()) == ([], [])


def test_what_the_operator_wants_again_is_known_after_a_restart(
    folder: Path, time: ManualClock, pictures: list[bytes]
) -> None:
    (folder / "counting").mkdir()
    for place in ("again", "counting-again"):
        (folder / place).mkdir()
        (folder / place / "a.jpg").write_bytes(pictures[0])
    (folder / "again" / "b.jpg").write_bytes(pictures[1][:900])
    camera = watched(folder, time)
    first = camera.next(1)
    assert first is not None
    assert (first.again, first.resumed) == (True, True)
    camera.confirm()
    second = camera.next(1)
    assert second is not None
    assert (second.again, second.resumed) == (True, False)
    camera.confirm()
    assert counted(camera, 1) == []
    assert [file.name for file in camera.waiting()] == ["b.jpg"]


LEFT = {
    "cards.zip": "archive",
    "cards.tar": "archive",
    "scan": "unknown-ending",
    "manual.pdf": "unknown-ending",
}


def test_what_is_no_picture_is_left_where_it_is_and_named(
    camera: FolderCamera, folder: Path, pictures: list[bytes], tmp_path: Path
) -> None:
    for name in LEFT:
        (folder / name).write_bytes(b"PK\x03\x04")
    (tmp_path / "outside.jpg").write_bytes(pictures[0])
    (folder / "link.jpg").symlink_to(tmp_path / "outside.jpg")
    (folder / "links").symlink_to(tmp_path)
    os.mkfifo(folder / "pipe.jpg")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / "socket.jpg"))
        (folder / "a.jpg").write_bytes(pictures[1])
        assert counted(camera, 40) == ["a.jpg"]
    assert {file.name: file.reason for file in camera.waiting()} == {
        **LEFT,
        "link.jpg": "symbolic-link",
        "links": "symbolic-link",
        "pipe.jpg": "not-a-file",
        "socket.jpg": "not-a-file",
    }
    assert len(camera.waiting(3)) == 3
    assert camera.parked() == []


def test_a_file_is_read_as_the_file_it_is(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(folder / "pipe.jpg")
    (folder / "link.jpg").symlink_to(tmp_path / "outside.jpg")
    for name in ("pipe.jpg", "link.jpg"):
        with pytest.raises(Unreadable):
            read_file(folder / name)
    monkeypatch.setattr(file_reading, "MAX_BYTES", 10)
    (folder / "large.jpg").write_bytes(bytes(11))
    with pytest.raises(Unreadable, match="at most 0 MB"):
        read_file(folder / "large.jpg")
    with pytest.raises(FileNotFoundError):
        read_file(folder / "none.jpg")


# --- Files that change ---


@pytest.mark.parametrize("after", [0.45, 0.5, 0.6, 0.75])
@pytest.mark.parametrize("way", ["in place", "by renaming", "after removal"])
def test_a_file_that_is_overwritten_is_two_files(
    camera: FolderCamera,
    folder: Path,
    pictures: list[bytes],
    time: ManualClock,
    after: float,
    way: str,
) -> None:
    path = folder / "scan.jpg"
    path.write_bytes(pictures[0])

    def overwrite() -> None:
        if way == "by renaming":
            (folder / "scan.tmp").write_bytes(pictures[1])
            (folder / "scan.tmp").rename(path)
        else:
            if way == "after removal":
                path.unlink(missing_ok=True)
            path.write_bytes(pictures[1])

    time.at(after, overwrite)
    digests = set[str]()
    for _ in range(20):
        shot = camera.next(0.25)
        if shot is not None:
            time.sleep(0.35)  # recognition
            digests.add(shot.digest)
            camera.confirm()
    assert len(digests) == 2
    assert len(below(folder, "done")) == 2


class Meddler:
    """Reads files, and does something right after a read."""

    def __init__(self, *actions: Callable[[Path], object]) -> None:
        self._actions = list(actions)

    def read(self, path: Path) -> tuple[bytes, Stamp]:
        content = read_file(path)
        if self._actions:
            self._actions.pop(0)(path)
        return content


def test_a_file_that_is_replaced_between_reading_and_moving_is_two_files(
    folder: Path, time: ManualClock, pictures: list[bytes]
) -> None:
    def replace(path: Path) -> None:
        (folder / "new").write_bytes(pictures[1])
        (folder / "new").rename(path)

    meddler = Meddler(replace)
    camera = FolderCamera(folder, clock=time.clock, sleep=time.sleep, read=meddler.read)
    (folder / "a.jpg").write_bytes(pictures[0])
    first = camera.next(2)
    assert first is not None
    camera.confirm()
    second = camera.next(2)
    assert second is not None
    camera.confirm()
    assert first.digest != second.digest
    contents = [(folder / "done" / name).read_bytes() for name in below(folder, "done")]
    assert sorted(contents) == sorted(pictures[:2])


def test_a_file_that_is_removed_between_reading_and_moving_is_none(
    folder: Path, time: ManualClock, pictures: list[bytes]
) -> None:
    meddler = Meddler(lambda path: path.rename(folder / "b.jpg"))
    camera = FolderCamera(folder, clock=time.clock, sleep=time.sleep, read=meddler.read)
    (folder / "a.jpg").write_bytes(pictures[0])
    assert counted(camera, 3) == ["b.jpg"]


def test_a_program_that_keeps_a_file_open_can_write_the_next_picture_into_it(
    folder: Path, time: ManualClock, pictures: list[bytes]
) -> None:
    camera = on_a_share(folder, time)
    with (folder / "scan.jpg").open("wb") as held:
        held.write(pictures[0])
        held.flush()
        first = camera.next(2)
        held.seek(0)
        held.write(pictures[1])
        held.truncate()
    camera.confirm()
    second = camera.next(2)
    camera.confirm()
    assert first is not None
    assert second is not None
    assert first.digest != second.digest
    assert below(folder, "done") == ["scan.jpg"]


def test_a_file_is_not_taken_while_it_grows(
    camera: FolderCamera, folder: Path, time: ManualClock, pictures: list[bytes]
) -> None:
    growing = folder / "a.jpg"
    growing.write_bytes(pictures[0][:1000])
    for step in range(1, 12):
        time.at(0.1 * step, partial(growing.write_bytes, pictures[0][: 2000 * step]))
    time.at(1.2, partial(growing.write_bytes, pictures[0]))
    shot = camera.next(5)
    assert shot is not None
    assert shot.frame.shape == (880, 630, 3)
    assert time.slept >= 1.4


@pytest.mark.parametrize("pause", [1.2, 5.0, 25.0])
@pytest.mark.parametrize("first", [0, 2, 3000], ids=["empty", "two-bytes", "half"])
def test_a_slow_file_is_counted_when_it_is_whole_and_holds_up_no_other(
    camera: FolderCamera,
    folder: Path,
    time: ManualClock,
    pictures: list[bytes],
    pause: float,
    first: int,
) -> None:
    (folder / "a.jpg").write_bytes(pictures[0][:first])

    def rest() -> None:
        with (folder / "a.jpg").open("ab") as file:
            file.write(pictures[0][first:])

    time.at(pause, rest)
    (folder / "b.jpg").write_bytes(pictures[1])
    assert counted(camera, 1) == ["b.jpg"]
    [waiting] = camera.waiting()
    assert (waiting.name, waiting.bytes) == ("a.jpg", first)
    assert counted(camera, pause + 1) == ["a.jpg"]
    assert (camera.waiting(), camera.parked()) == ((), [])


@pytest.mark.parametrize("pause", [2.0, 25.0])
@pytest.mark.parametrize("way", ["sparse", "zeros"])
@pytest.mark.parametrize("ending", ["bmp", "tif", "heic", "jpg", "png", "webp"])
def test_a_file_whose_size_comes_before_its_content_is_counted_when_it_is_whole(
    camera: FolderCamera,
    folder: Path,
    time: ManualClock,
    pictures: list[bytes],
    ending: str,
    way: str,
    pause: float,
) -> None:
    whole = as_format(pictures[0], ending)
    half = len(whole) // 2
    with (folder / f"a.{ending}").open("wb") as file:
        file.write(whole[:half])
        if way == "sparse":
            file.truncate(len(whole))
        else:
            file.write(bytes(len(whole) - half))

    def rest() -> None:
        with (folder / f"a.{ending}").open("r+b") as file:
            file.seek(half)
            file.write(whole[half:])

    time.at(pause, rest)
    (folder / "b.jpg").write_bytes(pictures[1])
    assert counted(camera, 1) == ["b.jpg"]
    assert [file.name for file in camera.waiting()] == [f"a.{ending}"]
    assert counted(camera, pause + 1) == [f"a.{ending}"]
    assert (folder / "done" / f"a.{ending}").read_bytes() == whole
    assert (camera.waiting(), camera.parked()) == ((), [])


def test_a_picture_that_ends_in_black_is_parked_and_counted_when_somebody_says_so(
    camera: FolderCamera, folder: Path, pictures: list[bytes]
) -> None:
    black = bytearray(as_format(pictures[0], "bmp"))
    black[-len(black) // 10 :] = bytes(len(black) // 10)
    (folder / "a.bmp").write_bytes(black)
    assert counted(camera, 35) == []
    [parked] = camera.parked()
    assert parked.reason == "unfinished-file"
    assert "if the picture is complete and black there, count it anyway" in parked.message
    assert camera.retry(parked.key)
    shot = camera.next(1)
    assert shot is not None
    assert (shot.origin, shot.again) == ("a.bmp", True)


@pytest.mark.parametrize("error", [errno.EIO, errno.EACCES, errno.ESTALE])
def test_a_file_that_cannot_be_read_for_a_moment_is_read_then(
    folder: Path, time: ManualClock, pictures: list[bytes], error: int
) -> None:
    readable_at = time.now + 2.5

    def read(path: Path) -> tuple[bytes, Stamp]:
        if path.name == "a.jpg" and time.now < readable_at:
            raise Unreadable("unreadable-file", os.strerror(error))
        return read_file(path)

    camera = FolderCamera(folder, clock=time.clock, sleep=time.sleep, read=read)
    (folder / "a.jpg").write_bytes(pictures[0])
    (folder / "b.jpg").write_bytes(pictures[1])
    assert counted(camera, 2) == ["b.jpg"]
    assert [file.message for file in camera.waiting()] == [os.strerror(error)]
    assert counted(camera, 2) == ["a.jpg"]


def test_an_unusable_file_is_parked_after_half_a_minute_and_can_be_tried_again(
    camera: FolderCamera, folder: Path, time: ManualClock, pictures: list[bytes]
) -> None:
    (folder / "in").mkdir()
    (folder / "in" / "a.jpg").write_bytes(b"broken")
    assert counted(camera, 29) == []
    assert (camera.parked(), [file.reason for file in camera.waiting()]) == (
        [],
        ["unreadable-image"],
    )
    with pytest.raises(Unreadable, match=r"in/a\.jpg: no image of a known kind"):
        camera.next(5)
    [parked] = camera.parked()
    assert (parked.name, parked.reason) == ("in/a.jpg", "unreadable-image")
    reason = (folder / "parked" / "in" / "a.jpg.reason.txt").read_text()
    assert reason.startswith("unreadable-image: no image")
    assert not camera.retry("another")
    (folder / "parked" / "in" / "a.jpg").write_bytes(pictures[0])
    assert camera.retry(parked.key)
    assert counted(camera, 2) == ["in/a.jpg"]
    assert below(folder, "parked") == []


def test_a_parked_file_can_be_dismissed(
    camera: FolderCamera, folder: Path, pictures: list[bytes]
) -> None:
    for name in ("a.jpg", "b.jpg"):
        (folder / name).write_bytes(b"broken")
    assert counted(camera, 35) == []
    keys = {file.name: file.key for file in camera.parked()}
    assert len(camera.parked(1)) == 1
    assert camera.dismiss(keys["a.jpg"])
    assert not camera.dismiss(keys["a.jpg"])
    assert below(folder, "dismissed") == ["a.jpg"]
    (folder / "parked" / "b.jpg.reason.txt").unlink()
    assert [(file.name, file.reason) for file in camera.parked()] == [("b.jpg", "unknown")]
    shutil.rmtree(folder / "dismissed")
    for name in ("dismissed", "cardmint-dismissed"):
        (folder / name).write_text("in the way")
    assert not camera.dismiss(keys["b.jpg"])


def test_a_file_that_breaks_the_decoder_is_parked(
    camera: FolderCamera, folder: Path, pictures: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def decode(content: bytes) -> object:
        if content == pictures[0]:
            raise RecursionError
        return decode_image(content)

    monkeypatch.setattr("cardmint_edge.adapters.cameras.file_reading.decode_image", decode)
    (folder / "a.jpg").write_bytes(pictures[0])
    (folder / "b.jpg").write_bytes(pictures[1])
    with capture_logs():
        assert counted(camera, 40) == ["b.jpg"]
    assert [file.reason for file in camera.parked()] == ["broken-file"]


def test_a_file_that_cannot_be_parked_is_named_and_holds_up_no_other(
    camera: FolderCamera, folder: Path, pictures: list[bytes]
) -> None:
    for name in ("parked", "cardmint-parked"):
        (folder / name).write_bytes(b"")
    (folder / "a.jpg").write_bytes(b"broken")
    assert counted(camera, 35) == []
    waiting = {file.name: file.message for file in camera.waiting()}
    assert "cannot be moved to parked/" in waiting["a.jpg"]
    (folder / "b.jpg").write_bytes(pictures[0])
    assert counted(camera, 2) == ["b.jpg"]
    (folder / "parked").unlink()
    assert counted(camera, 35) == []
    assert [file.name for file in camera.parked()] == ["a.jpg"]


def test_one_file_that_cannot_be_moved_holds_up_no_other(
    camera: FolderCamera, folder: Path, pictures: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = Path.rename

    def locked(path: Path, target: Path) -> Path:
        if path.name == "a.jpg":
            raise PermissionError(errno.EBUSY, os.strerror(errno.EBUSY))
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", locked)
    (folder / "a.jpg").write_bytes(pictures[0])
    (folder / "b.jpg").write_bytes(pictures[1])
    assert counted(camera, 3) == ["b.jpg"]
    assert [file.reason for file in camera.waiting()] == ["unreadable-file"]
    monkeypatch.undo()
    assert counted(camera, 3) == ["a.jpg"]


# --- Folders that go away ---


def test_a_folder_that_vanishes_and_returns_is_waited_for(
    folder: Path, tmp_path: Path, time: ManualClock, pictures: list[bytes]
) -> None:
    folder.rmdir()
    camera = watched(folder, time)
    with pytest.raises(Retry, match="the folder is missing"):
        camera.next(1)
    folder.mkdir()
    (folder / "a.jpg").write_bytes(pictures[0])
    assert counted(camera, 1) == ["a.jpg"]
    (folder / "b.jpg").write_bytes(pictures[1])
    assert camera.next(1) is not None
    folder.rename(tmp_path / "away")
    for _ in range(3600):
        time.sleep(1)
        with pytest.raises(Retry, match="missing"):
            camera.confirm()
    (tmp_path / "away").rename(folder)
    camera.confirm()
    (folder / "c.jpg").write_bytes(b"broken")
    assert counted(camera, 29) == []
    folder.rename(tmp_path / "away")
    time.sleep(5)
    with suppress(Retry):
        camera.next(0)
    assert not folder.exists(), "a folder that is away is not made anew"
    (tmp_path / "away").rename(folder)
    assert below(folder, "done") == ["a.jpg", "b.jpg"]
    shutil.rmtree(folder)
    folder.write_text("a file now")
    with pytest.raises(Retry, match="Not a directory"):
        camera.next(1)


def test_an_empty_mount_point_is_not_the_share(
    folder: Path, tmp_path: Path, time: ManualClock, pictures: list[bytes]
) -> None:
    """The share's place is a folder of another disk while the share is away."""
    memory = Path("/dev/shm")
    if not memory.is_dir() or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.fail("this test needs a second file system at /dev/shm")
    link = tmp_path / "share"
    link.symlink_to(folder)
    camera = watched(link, time)
    (folder / "a.jpg").write_bytes(pictures[0])
    assert camera.next(1) is not None
    link.unlink()
    link.symlink_to(memory)
    with pytest.raises(Retry, match="its disk or share is missing"):
        camera.confirm()
    link.unlink()
    link.symlink_to(folder)
    camera.confirm()
    assert below(folder, "done") == ["a.jpg"]


def test_a_disk_that_fills_while_a_file_is_confirmed_is_waited_for(
    camera: FolderCamera, folder: Path, pictures: list[bytes]
) -> None:
    (folder / "a.jpg").write_bytes(pictures[0])
    assert camera.next(2) is not None
    for name in ("done", "cardmint-done"):
        (folder / name).write_text("in the way")
    with pytest.raises(Retry, match="cannot be moved to done/"):
        camera.confirm()
    (folder / "done").unlink()
    camera.confirm()


def test_a_thousand_old_photos_come_in_order(
    camera: FolderCamera, folder: Path, pictures: list[bytes]
) -> None:
    for number in range(1000):
        (folder / f"IMG_{number}.jpg").write_bytes(pictures[number % 8])
    assert counted(camera, 251, step=0.25) == [f"IMG_{number}.jpg" for number in range(1000)]


def test_a_camera_without_a_folder_has_no_files() -> None:
    assert (NO_FILES.parked(), NO_FILES.waiting()) == ((), ())
    assert (NO_FILES.retry("key"), NO_FILES.dismiss("key")) == (False, False)


def test_a_folder_of_a_counted_files_name_stops_nothing(
    folder: Path, time: ManualClock, pictures: list[bytes]
) -> None:
    camera = watched(folder, time)
    (folder / "late.jpg").write_bytes(pictures[0])
    assert counted(camera, 5) == ["late.jpg"]
    (folder / "late.jpg").mkdir()
    (folder / "late.jpg" / "inner.jpg").write_bytes(pictures[1])
    (folder / "later.jpg").write_bytes(pictures[2])
    assert sorted(counted(camera, 9)) == ["late.jpg/inner.jpg", "later.jpg"]
    assert below(folder, "done") == ["late-1.jpg/inner.jpg", "late.jpg", "later.jpg"]


# --- Files that wait for their turn ---


def test_a_name_that_is_overwritten_while_others_wait_is_two_files(
    camera: FolderCamera, folder: Path, pictures: list[bytes], time: ManualClock
) -> None:
    for number in range(5):
        (folder / f"IMG_{number}.jpg").write_bytes(pictures[number])
    (folder / "scan.jpg").write_bytes(pictures[5])
    digests = list[str]()
    for _ in range(20):
        shot = camera.next(0.25)
        if shot is not None:
            digests.append(shot.digest)
            time.sleep(2.0)  # recognition
            if len(digests) == 1:
                (folder / "scan.jpg").write_bytes(pictures[6])
            camera.confirm()
    assert sorted(digests) == sorted(sha256(content).hexdigest() for content in pictures[:7])
    assert below(folder, "done")[-2:] == ["scan-1.jpg", "scan.jpg"]


def test_what_waits_for_its_turn_comes_after_a_restart(
    folder: Path, time: ManualClock, pictures: list[bytes]
) -> None:
    for number in range(4):
        (folder / f"{number}.jpg").write_bytes(pictures[number])
    assert watched(folder, time).next(2) is not None
    assert below(folder, "waiting") == ["1.jpg", "2.jpg", "3.jpg"]
    after = watched(folder, time)
    given = []
    for _ in range(8):
        shot = after.next(0.25)
        if shot is not None:
            given.append((shot.origin, shot.resumed))
            after.confirm()
    assert given == [("0.jpg", True), ("1.jpg", False), ("2.jpg", False), ("3.jpg", False)]
    assert len(below(folder, "done")) == 4


def test_what_is_removed_while_it_waits_is_not_counted(
    camera: FolderCamera, folder: Path, tmp_path: Path, pictures: list[bytes]
) -> None:
    for number in range(3):
        (folder / f"{number}.jpg").write_bytes(pictures[number])
    assert camera.next(2) is not None
    camera.confirm()
    (folder / "waiting" / "1.jpg").unlink()
    assert counted(camera, 1) == ["2.jpg"]
    for number in (3, 4):
        (folder / f"{number}.jpg").write_bytes(pictures[number])
    assert camera.next(2) is not None
    camera.confirm()
    folder.rename(tmp_path / "away")
    with pytest.raises(Retry, match="the folder is missing"):
        camera.next(1)
    (tmp_path / "away").rename(folder)
    assert counted(camera, 1) == ["4.jpg"]


def test_files_are_taken_while_a_card_is_recognised(folder: Path, pictures: list[bytes]) -> None:
    camera = FolderCamera(folder, settle_s=0.0, beside=True)
    try:
        (folder / "a.jpg").write_bytes(pictures[0])
        first = camera.next(30)
        contents = pictures[1:3]
        for number, content in enumerate(contents):
            (folder / "new").write_bytes(content)
            (folder / "new").rename(folder / "b.jpg")
            for _ in range(600):
                if len(below(folder, "waiting")) > number:
                    break
                threading.Event().wait(0.05)
        camera.confirm()
        assert first is not None
        digests = [first.digest]
        for _ in contents:
            shot = camera.next(30)
            assert shot is not None
            digests.append(shot.digest)
            camera.confirm()
        assert digests == [sha256(content).hexdigest() for content in pictures[:3]]
    finally:
        camera.close()
    camera.close()


def test_a_complete_file_that_cannot_be_decoded_is_parked(
    camera: FolderCamera, folder: Path, pictures: list[bytes]
) -> None:
    broken = bytearray(pictures[0])
    start = broken.index(b"\xff\xda") + 20
    broken[start : len(broken) - 2] = b"\xff\x00" * ((len(broken) - 2 - start) // 2)
    (folder / "a.jpg").write_bytes(broken)
    (folder / "b.jpg").write_bytes(pictures[1])
    assert counted(camera, 2) == ["b.jpg"]
    assert [file.name for file in camera.waiting()] == ["a.jpg"]
    assert counted(camera, 33) == []
    assert [(file.name, file.reason) for file in camera.parked()] == [("a.jpg", "unreadable-image")]


def test_a_file_that_is_removed_while_it_is_laid_back_blames_no_other(
    camera: FolderCamera, folder: Path, pictures: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = bytearray(pictures[0])
    start = broken.index(b"\xff\xda") + 20
    broken[start : len(broken) - 2] = b"\xff\x00" * ((len(broken) - 2 - start) // 2)
    (folder / "a.jpg").write_bytes(broken)
    (folder / "b.jpg").write_bytes(pictures[1])
    move = FolderPlaces.move

    def move_and_lose(places: FolderPlaces, place: str, path: Path, to: str, **named: Path) -> Path:
        moved = move(places, place, path, to, name=named.get("name"))
        if not to:
            (folder / moved).unlink()
        return moved

    monkeypatch.setattr(FolderPlaces, "move", move_and_lose)
    assert counted(camera, 2) == ["b.jpg"]
    assert camera.waiting() == ()


def test_a_changed_file_that_cannot_be_read_when_it_is_confirmed_is_looked_at_again(
    folder: Path, time: ManualClock, pictures: list[bytes]
) -> None:
    failing = False

    def read(path: Path) -> tuple[bytes, Stamp]:
        if failing:
            raise Unreadable("unreadable-file", "EIO")
        return read_file(path)

    camera = FolderCamera(
        folder, clock=time.clock, sleep=time.sleep, read=read, has_writer=lambda _: False
    )
    with (folder / "a.jpg").open("wb", buffering=0) as held:
        held.write(pictures[0])
        assert camera.next(2) is not None
        held.write(TAIL)
        failing = True
        camera.confirm()
    failing = False
    with pytest.raises(Unreadable, match="the same picture as a"):
        camera.next(2)
    [asked] = camera.parked()
    assert (folder / "parked" / asked.name).read_bytes() == pictures[0] + TAIL, "not lost"


def test_a_name_that_keeps_changing_is_named_and_its_last_picture_counts(
    camera: FolderCamera, folder: Path, time: ManualClock, pictures: list[bytes]
) -> None:
    for step in range(1, 40):
        time.at(0.25 * step, partial((folder / "scan.jpg").write_bytes, pictures[step % 2]))
    (folder / "scan.jpg").write_bytes(pictures[2])
    assert counted(camera, 8) == []
    [waiting] = camera.waiting()
    assert (waiting.name, waiting.reason) == ("scan.jpg", "keeps-changing")
    assert "or use a new name for each" in waiting.message
    assert counted(camera, 4) == ["scan.jpg"]
    assert (folder / "done" / "scan.jpg").read_bytes() == pictures[1]
    assert camera.waiting() == ()


def test_slow_files_do_not_delay_one_that_is_overwritten(
    folder: Path, time: ManualClock, pictures: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded = list[str]()

    def decode(content: bytes, path: Path) -> Frame:
        time.sleep(0.1)
        decoded.append(path.name)
        return decode_image(content)

    def read(path: Path) -> tuple[bytes, Stamp]:
        time.sleep(0.01)
        return read_file(path)

    monkeypatch.setattr(folder_intake, "decode", decode)
    camera = FolderCamera(folder, clock=time.clock, sleep=time.sleep, read=read)

    def grow(path: Path, number: int) -> None:
        if path.exists():  # it is moved once it is whole
            with path.open("ab") as file:
                file.write(pictures[7][number * 900 : (number + 1) * 900])

    for number in range(32):
        path = folder / f"a{number}.jpg"
        path.write_bytes(pictures[7][:900])
        for piece in range(1, 12):
            time.at(piece + number / 40, partial(grow, path, piece))
    written = []
    for number in range(7):
        written.append(pictures[number])
        time.at(3 + 0.8 * number, partial((folder / "scan.jpg").write_bytes, written[-1]))
    assert counted(camera, 14) == ["scan.jpg"] * len(written)
    contents = [(folder / "done" / name).read_bytes() for name in below(folder, "done")]
    assert sorted(contents) == sorted(written)
    assert decoded == []


# --- Files that a program keeps open ---


@pytest.mark.parametrize("closed_after", [0.3, 1.0, 7.0, 30.0])
@pytest.mark.parametrize("every", [0.6, 4.0])
def test_each_picture_that_a_program_writes_into_its_open_file_counts(
    folder: Path, time: ManualClock, pictures: list[bytes], every: float, closed_after: float
) -> None:
    for number in range(3):
        (folder / f"a{number}.jpg").write_bytes(pictures[number])
    held = (folder / "scan.jpg").open("wb", buffering=0)
    camera = FolderCamera(
        folder,
        clock=time.clock,
        sleep=time.sleep,
        has_writer=lambda path: path.name != MARKER and not held.closed,
    )

    def write(content: bytes) -> None:
        held.seek(0)
        held.truncate()
        held.write(content)

    for number, content in enumerate(pictures[3:]):
        time.at(1.0 + every * number, partial(write, content))
    time.at(1.0 + every * 4 + closed_after, held.close)
    digests = []
    for _ in range(60):
        shot = camera.next(1.0)
        if shot is not None:
            digests.append(shot.digest)
            for _ in range(20):  # recognition
                time.sleep(0.1)
                camera.take()
            camera.confirm()
    assert sorted(digests) == sorted(sha256(content).hexdigest() for content in pictures)
    contents = [(folder / "done" / name).read_bytes() for name in below(folder, "done")]
    assert sorted(contents) == sorted(pictures)
    assert not (folder / "scan.jpg").exists()
    assert below(folder, "waiting") == below(folder, "parked") == []


def test_a_picture_that_is_overwritten_in_the_queue_of_a_share_is_named(
    folder: Path, time: ManualClock, pictures: list[bytes]
) -> None:
    camera = on_a_share(folder, time)
    with (folder / "scan.jpg").open("wb", buffering=0) as held:
        held.write(pictures[0])
        (folder / "a.jpg").write_bytes(pictures[1])
        assert camera.next(1) is not None
        held.seek(0)
        held.write(pictures[2])
        held.truncate()
        camera.confirm()
        with capture_logs():
            assert counted(camera, 1) == ["scan.jpg"]
    [named] = camera.waiting()
    assert (named.name, named.reason) == ("scan.jpg", "overwritten")
    assert "let the program close each file" in named.message
    time.sleep(600)
    assert camera.waiting() == ()


@pytest.mark.parametrize("more", [b"", b"more"], ids=["as it was", "longer"])
@pytest.mark.parametrize("killed", ["it waits", "it is counted", "it lies in done"])
def test_a_copy_is_no_second_card_after_a_restart(
    folder: Path, time: ManualClock, pictures: list[bytes], killed: str, more: bytes
) -> None:
    with (folder / "scan.jpg").open("wb", buffering=0) as held:
        held.write(pictures[0])
        if killed == "it waits":
            (folder / "a.jpg").write_bytes(pictures[1])
        camera = while_open(folder, time, held)
        assert camera.next(2) is not None
        if killed == "it lies in done":
            camera.confirm()
        held.write(more)
    after = on_a_share(folder, time)
    taken = counted(after, 5)
    assert taken == {
        "it waits": ["a.jpg", "scan.jpg"],
        "it is counted": ["scan.jpg"],
        "it lies in done": [],
    }.get(killed)
    whole = folder / "done" / "scan.jpg"
    assert whole.read_bytes() == pictures[0] + more
    assert not (folder / "scan.jpg").exists()
    assert (len(below(folder, "done")), after.parked()) == (1 + (killed == "it waits"), [])
    whole.unlink()
    (folder / "scan.jpg").write_bytes(pictures[2])
    assert counted(on_a_share(folder, time), 2) == ["scan.jpg"], "another card of that name"


def test_a_file_whose_copy_was_removed_is_moved_to_done(
    folder: Path, time: ManualClock, pictures: list[bytes]
) -> None:
    with (folder / "scan.jpg").open("wb", buffering=0) as held:
        held.write(pictures[0])
        camera = while_open(folder, time, held)
        assert counted(camera, 2) == ["scan.jpg"]
        shutil.rmtree(folder / "done")
    assert counted(camera, 2) == []
    assert below(folder, "done") == ["scan.jpg"]


FORMATS = ["jpg", "png", "webp", "bmp", "tif", "heic"]
TAIL = b"\0\0\0\x18ftypmp42" + bytes(range(256)) * 20
"""A video behind a picture, as phones write it."""


@pytest.mark.parametrize("ending", FORMATS)
@pytest.mark.parametrize("while_it", ["waits", "is counted", "lies in done"])
def test_what_a_program_writes_behind_a_picture_is_no_second_card(
    folder: Path, time: ManualClock, pictures: list[bytes], ending: str, while_it: str
) -> None:
    held = (folder / f"b.{ending}").open("wb", buffering=0)
    held.write(as_format(pictures[0], ending))
    (folder / "a.jpg").write_bytes(pictures[1])
    camera = while_open(folder, time, held)
    taken = []
    for turn in range(2):
        shot = camera.next(2)
        assert shot is not None
        taken.append(shot.origin)
        if (turn, while_it) in {(0, "waits"), (1, "is counted")}:
            held.write(TAIL)
            time.sleep(1)
            camera.take()
        camera.confirm()
    assert taken == ["a.jpg", f"b.{ending}"]
    if while_it == "lies in done":
        assert counted(camera, 2) == []
        held.write(TAIL)
    assert counted(camera, 2) == []
    held.write(TAIL)
    held.close()
    assert counted(camera, 5) == []
    whole = as_format(pictures[0], ending) + TAIL + TAIL
    assert below(folder, "done") == ["a.jpg", f"b.{ending}"]
    assert (folder / "done" / f"b.{ending}").read_bytes() == whole
    assert (camera.waiting(), camera.parked()) == ((), [])


@pytest.mark.parametrize("share_says", [None, False])
@pytest.mark.parametrize("while_it", ["waits", "is counted", "lies in done"])
def test_what_comes_behind_a_picture_on_a_share_is_no_second_card(
    folder: Path,
    time: ManualClock,
    pictures: list[bytes],
    while_it: str,
    share_says: bool | None,
) -> None:
    camera = FolderCamera(
        folder,
        clock=time.clock,
        sleep=time.sleep,
        has_writer=lambda _: share_says is None,  # of every file, its own mark, too
    )
    with (folder / "b.jpg").open("wb", buffering=0) as held:
        held.write(pictures[0])
        (folder / "a.jpg").write_bytes(pictures[1])
        for turn in range(2):
            assert camera.next(2) is not None
            if (turn, while_it) in {(0, "waits"), (1, "is counted")}:
                held.write(TAIL)
            camera.confirm()
        if while_it == "lies in done":
            held.write(TAIL)
        with capture_logs():
            assert counted(camera, 5) == []
    assert below(folder, "done") == ["a.jpg", "b.jpg"]
    assert (camera.waiting(), camera.parked()) == ((), [])


def test_what_is_appended_by_name_to_a_taken_picture_is_laid_beside_it(
    camera: FolderCamera, folder: Path, time: ManualClock, pictures: list[bytes]
) -> None:
    def append(content: bytes) -> None:
        with (folder / "a.jpg").open("ab") as file:
            file.write(content)

    append(pictures[0])
    time.at(1.0, partial(append, TAIL[:100]))
    time.at(2.5, partial(append, TAIL[100:]))
    assert counted(camera, 10) == ["a.jpg"]
    assert [(folder / "done" / name).read_bytes() for name in below(folder, "done")] == [
        TAIL,
        pictures[0],
    ]
    [named] = camera.waiting()
    assert (named.name, named.reason) == ("a.jpg", "tail")
    assert "begin no picture" in named.message
    # The next picture of that name may come slowly, or get its size first.
    append(pictures[1][:2])
    time.at(3.0, partial(append, pictures[1][2:]))
    assert counted(camera, 5) == ["a.jpg"]
    append(bytes(len(pictures[2])))
    time.at(5.0, partial((folder / "a.jpg").write_bytes, pictures[2]))
    assert counted(camera, 7) == ["a.jpg"]
    assert (len(below(folder, "done")), camera.parked()) == (4, [])


def test_only_the_last_names_are_known_for_their_tails(
    camera: FolderCamera, folder: Path, pictures: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_intake, "MOST_TAILS", 1)
    for name in ("a.jpg", "b.jpg"):
        (folder / name).write_bytes(pictures[ord(name[0]) - ord("a")])
    assert len(counted(camera, 2)) == 2
    for name in ("a.jpg", "b.jpg"):
        (folder / name).write_bytes(TAIL)
    assert counted(camera, 35) == []
    assert below(folder, "done") == ["a.jpg", "b-1.jpg", "b.jpg"]
    assert [file.name for file in camera.parked()] == ["a.jpg"]


@pytest.mark.parametrize("ending", FORMATS)
@pytest.mark.parametrize("gap", [(0.5, 0.6), (0.3, 0.7), (0.99, 1.0)])
def test_a_gap_in_a_file_that_is_open_is_waited_for(
    folder: Path, time: ManualClock, pictures: list[bytes], ending: str, gap: tuple[float, float]
) -> None:
    whole = as_format(pictures[0], ending)
    start, end = (int(len(whole) * share) for share in gap)
    start = min(start, end - 5000)
    held = (folder / f"a.{ending}").open("wb", buffering=0)
    held.write(whole[:start] + bytes(end - start) + whole[end:])

    def fill() -> None:
        held.seek(start)
        held.write(whole[start:end])

    time.at(3.0, fill)
    time.at(6.0, held.close)
    camera = while_open(folder, time, held)
    assert counted(camera, 2.5) == []
    assert counted(camera, 8) == [f"a.{ending}"]
    assert below(folder, "done") == [f"a.{ending}"]
    assert (folder / "done" / f"a.{ending}").read_bytes() == whole
    assert (camera.waiting(), camera.parked()) == ((), [])


@pytest.mark.parametrize("closed_after", [5.0, 600.0])
def test_black_in_an_open_bitmap_is_content_when_it_stays(
    folder: Path, time: ManualClock, pictures: list[bytes], closed_after: float
) -> None:
    black = bytearray(as_format(pictures[0], "bmp"))
    black[100_000:200_000] = bytes(100_000)
    held = (folder / "a.bmp").open("wb", buffering=0)
    held.write(black)
    time.at(closed_after, held.close)
    camera = while_open(folder, time, held)
    assert counted(camera, 4) == []
    [waiting] = camera.waiting()
    assert waiting.reason == "unfinished-file"
    assert "from byte 100,000" in waiting.message
    assert counted(camera, 3 if closed_after < 30 else 30) == ["a.bmp"]
    assert counted(camera, 10, step=1.0) == []
    held.close()
    assert counted(camera, 3) == []
    assert (below(folder, "done"), camera.parked()) == (["a.bmp"], [])


def test_a_copy_that_cannot_be_removed_is_said(
    folder: Path, time: ManualClock, pictures: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = bytearray(pictures[0])
    start = broken.index(b"\xff\xda") + 20
    broken[start : len(broken) - 2] = b"\xff\x00" * ((len(broken) - 2 - start) // 2)
    held = (folder / "a.jpg").open("wb", buffering=0)
    held.write(broken)
    camera = while_open(folder, time, held)
    unlink = Path.unlink
    tried = list[Path]()

    def refuse(path: Path, missing_ok: bool = False) -> None:
        tried.append(path)
        if len(tried) == 1:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(Retry, match="cannot be removed"):
        camera.next(2)
    assert counted(camera, 2) == []
    assert [file.name for file in camera.waiting()] == ["a.jpg"]
    assert below(folder, "waiting") == []
    held.seek(0)
    held.write(pictures[1])
    held.truncate()
    held.close()
    assert counted(camera, 2) == ["a.jpg"]
    assert below(folder, "done") == ["a.jpg"]


def test_a_copy_that_cannot_be_written_is_made_later(
    folder: Path, time: ManualClock, pictures: list[bytes]
) -> None:
    camera = FolderCamera(
        folder, clock=time.clock, sleep=time.sleep, has_writer=lambda path: path.name != MARKER
    )
    (folder / "scan.jpg").write_bytes(pictures[0])
    (folder / "waiting").write_text("in the way")
    (folder / "cardmint-waiting").write_text("in the way")
    assert counted(camera, 2) == []
    assert (
        "cannot be copied to waiting/"
        in {file.name: file.message for file in camera.waiting()}["scan.jpg"].partition(" (")[0]
    )
    (folder / "waiting").unlink()
    assert counted(camera, 2) == ["scan.jpg"]


def test_the_kernel_says_who_has_a_file_open() -> None:
    with quick_folder() as folder:
        path = folder / "a.jpg"
        with path.open("wb"):
            assert has_writer(path)
        assert not has_writer(path)
        with path.open("rb"):
            assert not has_writer(path)
        assert not has_writer(folder / "none.jpg")
        assert not has_writer(folder)


# --- Files that are rewritten after they were counted ---


def with_time(picture: bytes, taken: str, quality: int = 95) -> bytes:
    """Return a JPEG with the time at which a camera took it."""
    image, file = Image.open(io.BytesIO(picture)), io.BytesIO()
    exif = image.getexif()
    exif.get_ifd(0x8769)[0x9003] = taken
    image.save(file, "JPEG", quality=quality, exif=exif)
    return file.getvalue()


@pytest.mark.parametrize("after", [0.2, 1.5, 30.0, 590.0])
@pytest.mark.parametrize("pieces", [1, 3])
def test_a_file_that_is_rewritten_after_it_was_counted_is_another_card(
    folder: Path,
    time: ManualClock,
    pictures: list[bytes],
    after: float,
    pieces: int,
) -> None:
    camera = on_a_share(folder, time)
    pictures = [
        with_time(content, f"2026:11:28 10:00:0{second}") for second, content in enumerate(pictures)
    ]
    with (folder / "scan.jpg").open("wb", buffering=0) as held:
        held.write(pictures[0])
        assert counted(camera, 1) == ["scan.jpg"]
        assert counted(camera, after) == []
        held.seek(0)
        held.truncate()
        for number in range(pieces):
            size = len(pictures[1]) // pieces + 1
            held.write(pictures[1][number * size : (number + 1) * size])
            if number + 1 < pieces:
                assert counted(camera, 3) == []
        with capture_logs():
            assert counted(camera, 5) == ["scan.jpg"]
        held.seek(0)
        held.write(pictures[2])
        held.truncate()
        with capture_logs():
            assert counted(camera, 5) == ["scan.jpg"]
    assert (folder / "done" / "scan.jpg").read_bytes() == pictures[2]
    assert (below(folder, "done"), camera.parked()) == (["scan.jpg"], [])


def test_a_counted_file_that_certainly_shows_another_picture_counts_without_a_time(
    camera: FolderCamera, folder: Path
) -> None:
    for seed in range(3):
        cells = np.random.default_rng(seed).integers(0, 255, (16, 12, 3), dtype=np.uint8)
        picture = cv2.imencode(".png", cv2.resize(cells, (240, 320)))[1].tobytes()
        with (folder / ("done/scan.png" if seed else "scan.png")).open("wb") as file:
            file.write(picture)
        with capture_logs():
            assert counted(camera, 5) == ["scan.png"]


def test_a_counted_picture_that_is_edited_counts_no_second_time(
    camera: FolderCamera, folder: Path, pictures: list[bytes]
) -> None:
    taken = "2026:11:28 10:00:00"
    contents = {
        "same bytes": with_time(pictures[0], taken),
        "saved again": with_time(pictures[1], taken),
        "edited": with_time(pictures[2], taken),
        "damaged": with_time(pictures[3], taken),
    }
    for name, content in contents.items():
        (folder / f"{name}.jpg").write_bytes(content)
    assert len(counted(camera, 2)) == 4
    done = folder / "done"
    (done / "same bytes.jpg").write_bytes(contents["same bytes"])
    (done / "saved again.jpg").write_bytes(with_time(pictures[1], taken, quality=60))
    cropped = io.BytesIO()
    Image.open(io.BytesIO(pictures[2])).crop((0, 0, 600, 500)).save(cropped, "JPEG")
    (done / "edited.jpg").write_bytes(with_time(cropped.getvalue(), taken))
    (done / "damaged.jpg").write_bytes(contents["damaged"][:900])
    with capture_logs() as logs:
        assert counted(camera, 5) == []
    answers = {entry["file"]: entry["same"] for entry in logs}
    assert answers == {"saved again.jpg": "yes", "edited.jpg": "unclear"}
    [parked] = camera.parked()
    assert (parked.name, parked.reason) == ("edited.jpg", "rewritten")
    assert camera.retry(parked.key)
    assert counted(camera, 2) == ["edited.jpg"]
    (done / "saved again.jpg").unlink()
    with capture_logs() as logs:
        assert counted(camera, 601, step=1.0) == []
    assert logs == []
    (done / "same bytes.jpg").write_bytes(pictures[4])
    assert counted(camera, 3) == [], "it was counted long ago"


@pytest.mark.parametrize("name", ["scan.jpg", "scan-edited.jpg"])
@pytest.mark.parametrize(("turn", "quality"), [(0, 60), (90, 85), (180, 85), (270, 85)])
def test_a_counted_picture_that_is_saved_again_is_asked_about(
    camera: FolderCamera,
    folder: Path,
    pictures: list[bytes],
    name: str,
    turn: int,
    quality: int,
) -> None:
    (folder / "scan.jpg").write_bytes(pictures[0])
    assert counted(camera, 2) == ["scan.jpg"]
    saved = io.BytesIO()
    image = Image.open(io.BytesIO(pictures[0])).convert("RGB")
    image.rotate(turn, expand=True).save(saved, "JPEG", quality=quality)
    (folder / name).write_bytes(saved.getvalue())
    assert counted(camera, 2) == []
    [asked] = camera.parked()
    assert (asked.name, asked.reason) == (name, "other-form")
    assert "the same picture as scan.jpg, which was counted, saved again" in asked.message
    assert camera.retry(asked.key)
    assert counted(camera, 2) == [name]


@pytest.mark.parametrize("taken", [("", ""), (TEN, TEN)])
def test_a_copy_of_a_card_a_little_beside_the_first_counts(
    camera: FolderCamera, folder: Path, pictures: list[bytes], taken: tuple[str, str]
) -> None:
    first = Image.open(io.BytesIO(pictures[0])).convert("RGB")
    for number, shift in enumerate((0, 6)):
        table = Image.new("RGB", (first.width + 200, first.height + 200), (60, 70, 50))
        table.paste(first, (100 + shift, 100))
        file = io.BytesIO()
        table.save(file, "PNG")
        picture = in_form(file.getvalue(), ".jpg", taken[number])
        (folder / f"scan{number}.jpg").write_bytes(picture)
    assert counted(camera, 2) == ["scan0.jpg", "scan1.jpg"]


def test_the_same_view_at_another_time_counts(
    camera: FolderCamera, folder: Path, pictures: list[bytes]
) -> None:
    for number, taken in enumerate((TEN, ELEVEN)):
        (folder / f"scan{number}.jpg").write_bytes(in_form(pictures[0], ".jpg", taken))
    assert counted(camera, 2) == ["scan0.jpg", "scan1.jpg"]


def test_a_gain_map_that_comes_behind_its_picture_is_no_second_card(
    camera: FolderCamera, folder: Path, time: ManualClock, pictures: list[bytes]
) -> None:
    first, second = (
        Image.open(io.BytesIO(pictures[0])).convert("RGB"),
        Image.new("L", (300, 400)),
    )
    file = io.BytesIO()
    first.save(file, "MPO", save_all=True, append_images=[second])
    content = file.getvalue()
    primary = content.index(b"\xff\xd9\xff\xd8") + 2
    (folder / "PXL_1.jpg").write_bytes(content[:primary])
    time.at(1.0, lambda: (folder / "PXL_1.jpg").write_bytes(content))
    assert counted(camera, 4) == ["PXL_1.jpg"]
    assert (folder / "done" / "PXL_1.jpg").read_bytes() == content


def test_a_picture_whose_gain_map_was_dropped_counts(
    camera: FolderCamera, folder: Path, pictures: list[bytes]
) -> None:
    file = io.BytesIO()
    image = Image.open(io.BytesIO(pictures[0])).convert("RGB")
    image.save(file, "MPO", save_all=True, append_images=[Image.new("L", (300, 400))])
    content = file.getvalue()
    (folder / "PXL_1.jpg").write_bytes(content[: content.index(b"\xff\xd9\xff\xd8") + 2])
    assert counted(camera, 1.5) == []
    assert counted(camera, 2) == ["PXL_1.jpg"]

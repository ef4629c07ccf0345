"""Photos from phones come in pieces, in any order of failures, and each is stored once."""

import hashlib
import os
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.edge.kit.folders import quick_folder

from cardmint_edge.adapters import photo_inbox
from cardmint_edge.adapters.decode import starts_as_image
from cardmint_edge.adapters.photo_inbox import (
    MAX_PARTS,
    MAX_PHOTO_BYTES,
    PhotoInbox,
    PhotoPlace,
    PhotoRefused,
    file_name,
    shown_name,
)

JPEG = b"\xff\xd8\xff\xe0" + bytes(range(256)) * 8


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Bench:
    def __init__(self, folder: Path) -> None:
        self.folder = folder / "photos"
        self.counted: set[str] = set()
        self.missing = 0
        self.now = 1000.0
        self.inbox = self.opened()

    def opened(self) -> PhotoInbox:
        return PhotoInbox(
            self.folder,
            is_counted=self.counted.__contains__,
            missing_bytes=lambda: self.missing,
            starts_as_image=starts_as_image,
            clock=lambda: self.now,
        )

    def send(self, data: bytes, offset: int = 0, name: str = "IMG_1.jpg", of: bytes = b"") -> int:
        whole = of or data
        return self.inbox.add_piece(digest(whole), name, len(whole), offset, data)

    def refused(self, *args: object, **options: object) -> PhotoRefused:
        with pytest.raises(PhotoRefused) as caught:
            self.send(*args, **options)  # type: ignore[arg-type]
        return caught.value

    def photos(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir() if path.name[0] != ".")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_photo_in_pieces_is_one_file(bench: Bench) -> None:
    assert bench.send(JPEG[:100], of=JPEG) == 100
    assert (bench.inbox.offset(digest(JPEG)), bench.photos()) == (100, [])
    assert bench.send(JPEG[100:], 100, of=JPEG) == len(JPEG)
    assert bench.photos() == [f"IMG_1 {digest(JPEG)}.jpg"]
    assert (bench.folder / bench.photos()[0]).read_bytes() == JPEG
    assert bench.inbox.places() == {digest(JPEG): PhotoPlace.WAITING}


def test_a_photo_that_is_there_or_counted_is_not_taken_again(bench: Bench) -> None:
    bench.send(JPEG)
    assert bench.send(JPEG[:10], of=JPEG) == len(JPEG)
    assert len(bench.photos()) == 1
    (bench.folder / "parked").mkdir()
    path = bench.folder / bench.photos()[0]
    path.rename(bench.folder / "parked" / path.name)
    assert bench.inbox.places() == {digest(JPEG): PhotoPlace.PARKED}
    assert bench.send(JPEG[:10], of=JPEG) == len(JPEG)
    other = JPEG + b"2"
    bench.send(JPEG, of=other)
    bench.counted.add(digest(other))
    assert bench.send(b"2", len(JPEG), of=other) == len(other)
    assert bench.photos() == ["parked"]
    assert bench.inbox.offset(digest(other)) == 0


def test_a_piece_that_does_not_follow_names_what_has_come(bench: Bench) -> None:
    bench.send(JPEG[:100], of=JPEG)
    for offset in (0, 99, 101, 5000):
        refusal = bench.refused(JPEG[100:], offset, of=JPEG)
        assert (refusal.status, refusal.offset) == (HTTPStatus.CONFLICT, 100)
    refusal = bench.refused(JPEG, 100, of=JPEG)
    assert (refusal.status, refusal.offset, bench.inbox.offset(digest(JPEG))) == (409, 0, 0)


def test_other_bytes_than_announced_are_sent_again(bench: Bench) -> None:
    bench.send(JPEG[:100], of=JPEG)
    refusal = bench.refused(bytes(len(JPEG) - 100), 100, of=JPEG)
    assert (refusal.status, refusal.offset) == (HTTPStatus.UNPROCESSABLE_ENTITY, 0)
    assert bench.send(JPEG) == len(JPEG)


@pytest.mark.parametrize(
    "start",
    [b"PK\x03\x04", b"%PDF-1.7", b"\x1f\x8b", b"Rar!\x1a", b"<html>", b"\0\0\0\x18ftypmp42", b"x"],
    ids=["zip", "pdf", "gzip", "rar", "html", "mp4", "text"],
)
def test_what_is_no_photo_is_refused_with_its_first_piece(bench: Bench, start: bytes) -> None:
    refusal = bench.refused(start.ljust(500, b"\0"))
    assert refusal.status == HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    assert list(bench.folder.iterdir()) == []


def test_sizes_are_refused_before_a_byte_is_stored(bench: Bench) -> None:
    for length, status in ((0, 415), (MAX_PHOTO_BYTES + 1, 413), (2 << 30, 413)):
        with pytest.raises(PhotoRefused) as caught:
            bench.inbox.add_piece(digest(JPEG), "a.jpg", length, 0, JPEG)
        assert caught.value.status == status
    assert list(bench.folder.iterdir()) == []


def test_a_full_or_broken_disk_is_said(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.missing = 1
    assert bench.refused(JPEG).status == HTTPStatus.INSUFFICIENT_STORAGE
    bench.missing = 0

    def broken(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", broken)
    refusal = bench.refused(JPEG)
    assert refusal.status == HTTPStatus.INSUFFICIENT_STORAGE
    assert "No space left" in str(refusal)
    assert bench.photos() == []


def test_two_pages_do_not_write_one_photo_at_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync, refusals = os.fsync, []

    def sync_while_another_page_sends(descriptor: int) -> None:
        monkeypatch.setattr(os, "fsync", sync)
        refusals.append(bench.refused(JPEG).status)
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", sync_while_another_page_sends)
    assert bench.send(JPEG) == len(JPEG)
    assert refusals == [HTTPStatus.CONFLICT]


def test_old_parts_and_counted_photos_are_deleted(bench: Bench) -> None:
    (bench.folder / "done").mkdir()
    (bench.folder / "done" / "a.jpg").write_bytes(b"1")
    parts = [JPEG + bytes([number]) for number in range(MAX_PARTS + 6)]
    for number, data in enumerate(parts):
        bench.send(data[:64], of=data)
        os.utime(bench.folder / f".{digest(data)}.part", (1000 + number, 1000 + number))
    left = [data for data in parts if bench.inbox.offset(digest(data))]
    assert left == parts[-MAX_PARTS:]
    assert not (bench.folder / "done" / "a.jpg").exists()
    bench.now = 1000 + photo_inbox.PART_LASTS_S + MAX_PARTS + 5
    bench.opened()
    assert [data for data in parts if bench.inbox.offset(digest(data))] == parts[-1:]


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("IMG_0001.HEIC", "IMG_0001 {}.heic"),
        ("../../etc/passwd", "etc_passwd {}.jpg"),
        ("", "photo {}.jpg"),
        ("写真.jpg", "photo {}.jpg"),
        ("a" * 300 + ".png", "a" * 60 + " {}.png"),
        ("clip.exe.jpg\0", "clip_exe_jpg {}.jpg"),
    ],
)
def test_a_file_name_is_harmless(name: str, stem: str) -> None:
    sha256 = digest(b"")
    assert file_name(name, sha256) == stem.format(sha256)
    assert shown_name(file_name(name, sha256)) == stem.replace(" {}", "")
    assert shown_name("other.jpg") == "other.jpg"


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 1500), st.booleans()), max_size=40))
def test_whatever_breaks_off_each_photo_is_stored_once(
    steps: list[tuple[int, int, bool]],
) -> None:
    """Pieces of three photos, some with an offset that is wrong, and restarts between them."""
    photos = [JPEG + bytes([number]) * 500 for number in range(3)]
    with quick_folder() as folder:
        bench = Bench(folder)
        for which, size, restart in steps:
            data = photos[which]
            at = bench.inbox.offset(digest(data))
            piece = data[at : at + size]
            with suppress(PhotoRefused):
                bench.send(piece, at + (size % 7 == 0), of=data)
            if restart:
                bench.inbox = bench.opened()
        for data in photos:
            while digest(data) not in bench.inbox.places():
                at = bench.inbox.offset(digest(data))
                bench.send(data[at : at + 1000], at, of=data)
        stored = sorted((bench.folder / name).read_bytes() for name in bench.photos())
        assert stored == sorted(photos)

"""Pictures of a catalogue: whole, of the size that is asked for, and fetched once."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.edge.kit.catalogue import StandIn, fetch, serving

from cardmint_edge.adapters.catalogue_answers import PictureRecords
from cardmint_edge.adapters.decode import read_image

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    with serving(tmp_path_factory.mktemp("catalogue"), cards=6) as one:
        yield one


@pytest.fixture
def stand_in(server: StandIn) -> Iterator[StandIn]:
    yield server
    server.control("fault", "none", 0)


def pictures(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((folder / "images").iterdir())}


def heights(folder: Path) -> list[int]:
    return [read_image(path).shape[0] for path in sorted((folder / "images").iterdir())]


def test_a_larger_size_is_fetched_and_a_smaller_one_replaces_nothing(
    stand_in: StandIn, tmp_path: Path
) -> None:
    first, _ = fetch(stand_in, tmp_path, size="low")
    assert (first.pictures, heights(tmp_path)) == (3, [337, 337, 337])
    second, api = fetch(stand_in, tmp_path, size="high")
    assert (second.pictures, api.received) == (3, 3)
    assert heights(tmp_path) == [825, 825, 825]
    third, api = fetch(stand_in, tmp_path, size="low")
    assert (third.pictures, api.calls) == (0, 3), "the list and two sets"
    assert heights(tmp_path) == [825, 825, 825]
    fourth, api = fetch(stand_in, tmp_path, size="low", refresh=True)
    assert (fourth.pictures, api.received) == (0, 0), "asked about, and unchanged"
    assert heights(tmp_path) == [825, 825, 825]


def test_half_a_picture_of_the_right_length_is_none(stand_in: StandIn, tmp_path: Path) -> None:
    fetch(stand_in, tmp_path / "sound", size="low")
    stand_in.control("fault", "half-body", 2)
    sleeps: list[float] = []
    fetch(stand_in, tmp_path / "faulty", size="low", sleeps=sleeps)
    assert sleeps
    assert pictures(tmp_path / "faulty") == pictures(tmp_path / "sound")


def test_damaged_pictures_are_fetched_again(stand_in: StandIn, tmp_path: Path) -> None:
    fetch(stand_in, tmp_path, size="low")
    before, images = pictures(tmp_path), tmp_path / "images"
    (images / "lan1-1.jpg").write_bytes(before["lan1-1.jpg"][:500])
    (images / "lan1-2.jpg").unlink()
    summary, _ = fetch(stand_in, tmp_path, size="low")
    assert (summary.pictures, pictures(tmp_path)) == (2, before)
    changed = bytearray(before["lan1-3.jpg"])
    changed[700] ^= 255
    (images / "lan1-3.jpg").write_bytes(changed)
    assert fetch(stand_in, tmp_path, size="low")[0].pictures == 0, "of the right size"
    summary, api = fetch(stand_in, tmp_path, size="low", refresh=True)
    assert (summary.pictures, api.received, pictures(tmp_path)) == (1, 1, before)


def test_a_picture_without_a_record_stays_when_it_is_whole(
    stand_in: StandIn, tmp_path: Path
) -> None:
    fetch(stand_in, tmp_path, size="low")
    before, records = pictures(tmp_path), tmp_path / "answers" / "pictures.jsonl"
    records.write_bytes(records.read_bytes().splitlines()[0][:20] + b"\0\0")
    (tmp_path / "images/lan1-2.jpg").write_bytes(before["lan1-2.jpg"][:500])
    summary, _ = fetch(stand_in, tmp_path, size="low")
    assert (summary.pictures, pictures(tmp_path)) == (1, before)
    assert len(records.read_bytes().splitlines()) == 3
    summary, _ = fetch(stand_in, tmp_path, size="high")
    assert (summary.pictures, heights(tmp_path)) == (3, [825, 825, 825])


def test_records_are_written_anew_when_lines_no_longer_count(
    stand_in: StandIn, tmp_path: Path
) -> None:
    fetch(stand_in, tmp_path, size="low")
    fetch(stand_in, tmp_path, size="high")
    file = tmp_path / "answers" / "pictures.jsonl"
    assert len(file.read_bytes().splitlines()) == 6
    records = PictureRecords(tmp_path)
    records.close()
    found = [records.get(f"lan1-{number}") for number in range(1, 5)]
    assert [one and one.size for one in found] == ["high", "high", "high", None]
    assert len(file.read_bytes().splitlines()) == 3


def test_a_picture_that_cannot_be_had_is_one_line(stand_in: StandIn, tmp_path: Path) -> None:
    fetch(stand_in, tmp_path)
    stand_in.control("fault", "gone", stand_in.control()["calls"] + 4)
    said: list[str] = []
    summary, _ = fetch(stand_in, tmp_path, size="low", said=said)
    assert (summary.pictures, len(said)) == (2, 1)
    assert "skipped: " in said[0]
    assert said[0].endswith("answered 404 Not Found")

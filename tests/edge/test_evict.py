"""Images are evicted when the disk is nearly full, in order, each recorded before its file goes."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from structlog.testing import capture_logs
from tests.edge.kit.folders import quick_folder
from tests.edge.kit.scans import STAMP, scan_of

from cardmint_contracts.cards import Image
from cardmint_contracts.events import EventData, ImageEvicted
from cardmint_contracts.upcasters import decode_data
from cardmint_edge.adapters.image_store import ImageStore
from cardmint_edge.adapters.sqlite.images import ImageCounts, ImageTable
from cardmint_edge.adapters.sqlite.outbox import Outbox
from cardmint_edge.domain.delivery.batches import Timestamp
from cardmint_edge.errors import Stop
from cardmint_edge.evict import AT_ONCE, Evictor, missing_bytes


class EvictionBench:
    """A real outbox and real files, on a disk whose free space the test sets."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.outbox = Outbox.open(folder / "outbox.db")
        self.table = ImageTable(self.outbox.database)
        self.store = ImageStore(folder / "images")
        self.images: list[Image] = []
        self.lack: Callable[[], int] = lambda: 0

    def evictor(self, append: Callable[[EventData, Timestamp], int] | None = None) -> Evictor:
        return Evictor(
            images=self.table,
            files=self.store,
            append=append or self.outbox.append,
            transaction=self.outbox.database.write,
            read_clock=lambda: STAMP,
            missing_bytes=lambda: self.lack(),  # noqa: PLW0108 - the test changes it
            ballast=self.folder / "ballast",
            ballast_bytes=1000,
        )

    def scan(self, count: int) -> None:
        for _ in range(count):
            number = len(self.images)
            noise = np.random.default_rng(number).integers(0, 255, (40, 30, 3), dtype=np.uint8)
            image = self.store.put(noise.repeat(10, axis=0).repeat(10, axis=1))
            self.images.append(image)
            self.outbox.record(scan_of(number + 1, image=image), STAMP)

    def short_until(self, gone: int) -> None:
        """Make the disk short of space until `gone` files are gone."""
        before = self.files()
        self.lack = lambda: max(0, gone - (before - self.files()))

    def files(self) -> int:
        return len(list((self.folder / "images").rglob("*.jpg"))) - len(self.small())

    def small(self) -> list[str]:
        return sorted(
            path.name.partition(".")[0] for path in (self.folder / "images").rglob("*.small.jpg")
        )

    def evicted(self) -> list[ImageEvicted]:
        found = [decode_data(event.type, event.data) for event in self.outbox.events(1, 1000)]
        return [event for event in found if isinstance(event, ImageEvicted)]


@pytest.fixture
def bench() -> Iterator[EvictionBench]:
    with quick_folder() as folder, capture_logs():
        opened = EvictionBench(folder)
        yield opened
        opened.outbox.close()


def test_what_the_cloud_has_goes_first_and_leaves_a_thumbnail(bench: EvictionBench) -> None:
    bench.scan(AT_ONCE + 5)
    known = [bench.images[number].sha256 for number in (3, 7)]
    for sha256 in known:
        bench.table.record_upload(sha256)
    victims = bench.table.victims(4)
    assert [victim.sha256 for victim in victims] == [
        *known,
        bench.images[0].sha256,
        bench.images[1].sha256,
    ]
    bench.short_until(1)
    assert bench.evictor().make_room() == AT_ONCE
    events = bench.evicted()
    assert [event.sha256 for event in events[:2]] == known
    assert {event.kind for event in events} == {"full"}
    assert [(event.uploaded, event.reason) for event in events[:3]] == [
        (uploaded, "disk-short") for uploaded in (True, True, False)
    ]
    assert sorted(event.sha256 for event in events) == bench.small()
    assert bench.store.get(known[0]) is None
    thumbnail = bench.store.thumbnail(known[0])
    assert thumbnail is not None
    assert len(thumbnail) < bench.images[3].bytes
    assert bench.table.counts() == ImageCounts(waiting=5, parked=0, lost=AT_ONCE - 2)
    assert bench.outbox.counters.scanned == len(bench.outbox.recent_scans(1000)) == AT_ONCE + 5


def test_thumbnails_go_last_and_facts_never(bench: EvictionBench) -> None:
    bench.scan(3)
    bench.lack = lambda: 1
    assert bench.evictor().make_room() == 6
    assert [event.kind for event in bench.evicted()] == ["full"] * 3 + ["thumbnail"] * 3
    assert (bench.files(), bench.small()) == (0, [])
    assert bench.store.thumbnail(bench.images[0].sha256) is None
    assert len(bench.outbox.recent_scans(10)) == 3
    assert bench.table.victims(10) == []
    bench.outbox.record(scan_of(99, image=bench.images[0]), STAMP)
    assert [victim.local_copy for victim in bench.table.victims(10)] == ["full"], (
        "the same picture was stored again"
    )


def test_without_room_for_the_line_the_ballast_goes_first(bench: EvictionBench) -> None:
    bench.scan(2)
    evictor = bench.evictor()
    evictor.make_room()
    assert (bench.folder / "ballast").stat().st_size == 1000

    def append(data: EventData, stamp: Timestamp) -> int:
        if (bench.folder / "ballast").exists():
            raise Stop("disk is full")
        return bench.outbox.append(data, stamp)

    evictor = bench.evictor(append)
    bench.short_until(1)
    assert evictor.make_room() == 2
    assert len(bench.evicted()) == 2
    assert (bench.folder / "ballast").exists(), "room came, and is held back again"


def test_a_line_that_cannot_be_written_keeps_the_file(bench: EvictionBench) -> None:
    bench.scan(2)

    def fail(*_: object) -> int:
        raise Stop("disk is full")

    bench.lack = lambda: 1
    with pytest.raises(Stop):
        bench.evictor(fail).make_room()
    assert bench.files() == 2
    assert bench.table.counts().lost == 0


def test_a_start_removes_what_a_power_cut_left(bench: EvictionBench) -> None:
    bench.scan(3)
    first, second = bench.images[0].sha256, bench.images[1].sha256
    bench.store.make_thumbnail(first)
    bench.table.record_eviction(first, "thumbnail")
    bench.store.make_thumbnail(second)  # a thumbnail without its line
    half = bench.folder / "images" / first[:2] / f"{first}.jpg.part"
    half.write_bytes(b"half")
    evictor = bench.evictor()
    evictor.stop()
    evictor.run()
    assert bench.small() == [first]
    assert bench.store.get(first) is None
    assert bench.store.get(second) is not None
    assert not half.exists()


def test_how_much_lacks(tmp_path: Path) -> None:
    assert missing_bytes(tmp_path, 1) == 0
    stat = __import__("os").statvfs(tmp_path)
    tenth, free = stat.f_blocks * stat.f_frsize // 10, stat.f_bavail * stat.f_frsize
    assert abs(missing_bytes(tmp_path, 1 << 60) - max(0, tenth - free)) < 1 << 30

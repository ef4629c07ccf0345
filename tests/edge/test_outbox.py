"""The outbox: no gap, no reused sequence, and no event goes before its receipt."""

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from tests.edge.kit.folders import quick_folder
from tests.edge.kit.scans import NOW, STAMP, image_of, scan_of

from cardmint_contracts.cards import Condition, Finish, ScanDefaults
from cardmint_contracts.chain import extend, start_of
from cardmint_contracts.events import (
    CardScanned,
    ImageEvicted,
    ScanWithdrawn,
    StreamOpened,
    StreamReason,
)
from cardmint_contracts.upcasters import decode_data
from cardmint_edge.adapters.hardware import hardware_id
from cardmint_edge.adapters.sqlite.database import Database
from cardmint_edge.adapters.sqlite.images import ImageCounts, ImageTable
from cardmint_edge.adapters.sqlite.outbox import HISTORY, PRUNE_EVERY, Outbox
from cardmint_edge.adapters.sqlite.schema import VERSION
from cardmint_edge.domain.scan_record import WaitingImage
from cardmint_edge.errors import Stop


class AnyOrder(RuleBasedStateMachine):
    """Append, apply receipts, reopen and rotate in any order, beside a list as the model."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.path = self.stack.enter_context(quick_folder()) / "outbox.db"
        self.outbox = Outbox.open(self.path)
        self.stream = self.outbox.stream_state.stream
        self.number = 0
        self.last = 0
        self.waiting: list[tuple[int, UUID | None]] = []
        self.sent: list[UUID | None] = []
        self.given: dict[tuple[UUID, int], UUID] = {}
        self.streams = {self.stream}
        self.epoch = 0

    @initialize()
    def start(self) -> None:
        self.epoch += 1
        assert self.outbox.count_start() == self.epoch

    @rule()
    def record(self) -> None:
        self.number += 1
        self.last += 1
        line = self.outbox.record(scan_of(self.number), STAMP)
        assert (line.sequence, line.position) == (self.last, self.number)
        assert (self.stream, self.last) not in self.given, "a sequence was used twice"
        self.given[self.stream, self.last] = line.scan.scan
        self.waiting.append((self.last, line.scan.scan))

    @rule()
    def record_again(self) -> None:
        if self.number:
            self.outbox.record(scan_of(self.number), STAMP)

    @rule(share=st.floats(0, 1))
    def forget(self, share: float) -> None:
        acknowledged = self.last - len(self.waiting)
        sequence = acknowledged + round(share * len(self.waiting))
        mark = self.outbox.remove_covered(sequence, None)
        self.sent += [scan for s, scan in self.waiting if s <= sequence]
        self.waiting = [(s, scan) for s, scan in self.waiting if s > sequence]
        assert (mark.stream, mark.acknowledged, mark.last) == (self.stream, sequence, self.last)

    @rule(sequence=st.integers(0, 20))
    def forget_late(self, sequence: int) -> None:
        if sequence <= self.last - len(self.waiting):
            assert self.outbox.remove_covered(sequence, None).last == self.last

    @rule(reason=st.sampled_from(StreamReason))
    def rotate(self, reason: StreamReason) -> None:
        mark = self.outbox.open_stream(reason, STAMP, database=None)
        assert mark.stream not in self.streams
        self.streams.add(mark.stream)
        self.stream = mark.stream
        unsent = [scan for _, scan in self.waiting]
        again: list[UUID | None] = []
        if reason is StreamReason.CLOUD_RESTORED:  # the openings first, which are no scans
            again, self.sent = sorted(self.sent, key=lambda scan: scan is not None), []
        self.waiting = list(enumerate([None, *again, *unsent], start=1))
        self.last = mark.last
        assert self.last == len(self.waiting)
        for sequence, scan in self.waiting:
            if scan is not None:
                self.given[self.stream, sequence] = scan

    @rule()
    def reopen(self) -> None:
        self.outbox.close()
        self.outbox = Outbox.open(self.path)
        self.start()

    @invariant()
    def nothing_is_missing(self) -> None:
        events = self.outbox.events(0, 10_000)
        assert [(e.sequence, _scan(e.type, e.data)) for e in events] == self.waiting
        mark = self.outbox.stream_state
        assert (mark.stream, mark.last, mark.acknowledged) == (
            self.stream,
            self.last,
            self.last - len(self.waiting),
        )
        assert self.outbox.counters.scanned == self.number

    def teardown(self) -> None:
        self.outbox.close()
        self.stack.close()


def _scan(kind: str, data: bytes) -> UUID | None:
    """Return the scan of an event; None for the opening of a stream."""
    event = decode_data(kind, data)
    assert isinstance(event, CardScanned | StreamOpened)
    return event.scan if isinstance(event, CardScanned) else None


AnyOrder.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestAnyOrder = AnyOrder.TestCase


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    outbox = Outbox.open(tmp_path / "data" / "outbox.db")
    yield outbox
    outbox.close()


def test_an_event_comes_out_as_it_went_in(outbox: Outbox) -> None:
    evicted = ImageEvicted(sha256="a" * 64, bytes=5, kind="full", uploaded=True, reason="disk-full")
    assert outbox.append(evicted, STAMP) == 1
    (event,) = outbox.events(1, 10)
    assert (event.sequence, event.stamp) == (1, STAMP)
    assert decode_data(event.type, event.data) == evicted
    assert outbox.oldest_unsent() == NOW
    outbox.remove_covered(1, None)
    assert outbox.oldest_unsent() is None


def test_listeners_hear_of_events_after_the_commit(outbox: Outbox) -> None:
    heard: list[int] = []
    outbox.call_on_append(lambda: heard.append(len(outbox.events(1, 10))))
    outbox.record(scan_of(1), STAMP)
    outbox.record(scan_of(1), STAMP)
    outbox.append(scan_of(2), STAMP)
    assert heard == [1, 2]


def test_the_history_is_bounded_and_the_newest_come_first(outbox: Outbox) -> None:
    with outbox.database.write():  # one transaction, or the test would wait for a thousand fsyncs
        for number in range(1, HISTORY + PRUNE_EVERY + 6):
            outbox.record(scan_of(number), STAMP)
    lines = outbox.recent_scans(2 * HISTORY)
    assert [line.position for line in lines] == list(
        range(HISTORY + PRUNE_EVERY + 5, PRUNE_EVERY, -1)
    )
    assert len(outbox.events(1, 10_000)) == HISTORY + PRUNE_EVERY + 5


def test_the_batch_and_the_counters_outlive_the_agent(outbox: Outbox) -> None:
    assert outbox.defaults == ScanDefaults()
    batch = ScanDefaults(bin="A1", condition=Condition.NEAR_MINT, finish=Finish.HOLO)
    outbox.set_defaults(batch)
    outbox.park()
    outbox.close()
    again = Outbox.open(outbox.database.path)
    assert again.defaults == batch
    assert (again.counters.parked, again.counters.scanned, again.count_start()) == (1, 0, 1)
    again.close()


def test_unsent_events_move_and_keep_their_first_identity(outbox: Outbox) -> None:
    old = outbox.stream_state.stream
    for number in range(1, 5):
        outbox.record(scan_of(number, image=image_of(number)), STAMP)
    outbox.remove_covered(2, None)
    mark = outbox.open_stream(StreamReason.OUTBOX_RESTORED, STAMP, database=None)
    assert (mark.acknowledged, mark.last) == (0, 3)
    opened, *moved = outbox.events(1, 10)
    assert decode_data(opened.type, opened.data) == StreamOpened(
        reason="outbox-restored", previous=old, acknowledged=2, last=4
    )
    assert [(e.sequence, e.id, _scan(e.type, e.data)) for e in moved] == [
        (2, f"{old}/3", UUID(int=3)),
        (3, f"{old}/4", UUID(int=4)),
    ]
    assert outbox.record(scan_of(9), STAMP).sequence == 4
    again = outbox.open_stream(StreamReason.BY_HAND, STAMP, database=None)
    assert [e.id for e in outbox.events(1, 10)][1:] == [
        f"{mark.stream}/1",
        f"{old}/3",
        f"{old}/4",
        f"{mark.stream}/4",
    ]
    assert again.last == 5


def test_the_chain_is_whole_after_every_way_to_write(outbox: Outbox) -> None:
    def check() -> None:
        state = outbox.stream_state
        digest = outbox.digest_at(state.acknowledged)
        assert digest is not None
        for event in outbox.events(1, 100):
            digest = extend(digest, event, event.data)
            assert event.digest == digest == outbox.digest_at(event.sequence)
        assert outbox.digest_at(state.last + 1) is None

    assert outbox.digest_at(0) == start_of(outbox.stream_state.stream)
    for number in range(1, 6):
        outbox.record(scan_of(number), STAMP)
        check()
    outbox.remove_covered(2, None)
    check()
    outbox.open_stream(StreamReason.OTHER_CONTENT, STAMP, database=None)
    check()


def test_what_a_restored_cloud_lost_is_sent_again_from_the_history(outbox: Outbox) -> None:
    old = outbox.stream_state.stream
    for number in range(1, 5):
        outbox.record(scan_of(number, image=image_of(number)), STAMP)
    outbox.withdraw(UUID(int=2), "operator", STAMP)
    outbox.remove_covered(5, None)
    images = ImageTable(outbox.database)
    for number in range(1, 5):
        images.record_upload(image_of(number).sha256)
    outbox.record(scan_of(6), STAMP)
    outbox.open_stream(StreamReason.CLOUD_RESTORED, STAMP, database=None, cloud_has=1)
    opened, *events = outbox.events(1, 20)
    assert decode_data(opened.type, opened.data) == StreamOpened(
        reason="cloud-restored",
        previous=old,
        acknowledged=5,
        last=6,
        resent=3,
        missing=1,
        missing_first=2,
        missing_last=5,
    )
    assert [e.id for e in events] == [*(f"{old}/{n}" for n in (1, 2, 3, 4, 6)), ""]
    again = decode_data(events[-1].type, events[-1].data)
    assert again == ScanWithdrawn(scan=UUID(int=2), by="station")
    outbox.remove_covered(7, None)
    assert images.next_to_upload() == WaitingImage(image_of(1).sha256, str(UUID(int=1)))
    assert images.counts().waiting == 4


def test_a_new_name_or_tenant_begins_a_new_stream(outbox: Outbox) -> None:
    stream = outbox.stream_state.stream
    outbox.identify("shop", "left", STAMP)
    outbox.record(scan_of(1), STAMP)
    outbox.identify("shop", "left", STAMP)
    assert outbox.stream_state.stream == stream
    outbox.identify("shop", "right", STAMP)
    mark = outbox.stream_state
    assert (mark.stream != stream, mark.last) == (True, 2)


def test_a_disk_in_another_box_begins_a_new_stream(outbox: Outbox, tmp_path: Path) -> None:
    def stream() -> UUID:
        return outbox.stream_state.stream

    first = stream()
    outbox.record(scan_of(1), STAMP)
    for box in ("", "mac:1", "", "mac:1", "serial:7", "", "serial:7"):
        outbox.identify("shop", "left", STAMP, box=box)
        assert stream() == first, "nothing is known of the box before, or it is the same"
    outbox.identify("shop", "left", STAMP, box="serial:8")
    mark = outbox.stream_state
    assert (mark.stream != first, mark.last) == (True, 2)
    opened = outbox.events(1, 1)[0]
    data = decode_data(opened.type, opened.data)
    assert isinstance(data, StreamOpened)
    assert data.reason == StreamReason.OTHER_BOX
    outbox.identify("shop", "right", STAMP, box="serial:9")
    assert outbox.stream_state.last == 3, "a new name and a new box begin one stream"

    def known(files: dict[str, bytes]) -> str:
        root = tmp_path / str(len(list(tmp_path.iterdir())))
        for name, content in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(content)
        return hardware_id(root)

    serial = "sys/firmware/devicetree/base/serial-number"
    mac = {"sys/class/net/eth0/device/x": b"", "sys/class/net/eth0/address": b"02:00:00:00:00:01\n"}
    assert (
        known({}) == known({"sys/class/net/lo/address": b"00:00"}) == known({serial: b"\0"}) == ""
    )
    assert known({serial: b"1000abc\0"}) == known({serial: b"1000ABC", **mac})
    assert known({serial: b"1000abc\0"}).startswith("serial:")
    assert known(mac).startswith("mac:")
    assert known({"sys/class/dmi/id/product_uuid": b"1-2\n", **mac}).startswith("uuid:")


def test_a_database_may_be_set_and_is_kept(outbox: Outbox) -> None:
    ours, other = UUID(int=1), UUID(int=2)
    outbox.identify("shop", "left", STAMP, ours)
    before = outbox.stream_state
    outbox.record(scan_of(1), STAMP)
    outbox.remove_covered(1, other)
    outbox.identify("shop", "left", STAMP)
    assert (outbox.stream_state.stream, outbox.stream_state.database) == (before.stream, ours)
    outbox.record(scan_of(2), STAMP)
    outbox.identify("shop", "left", STAMP, other)
    mark = outbox.stream_state
    assert (mark.stream != before.stream, mark.database, mark.last) == (True, other, 2)
    opened = outbox.events(1, 1)[0]
    data = decode_data(opened.type, opened.data)
    assert isinstance(data, StreamOpened)
    assert data.reason == StreamReason.DATABASE_REPLACED


def test_a_file_that_was_deleted_takes_no_more_cards(outbox: Outbox) -> None:
    outbox.record(scan_of(1), STAMP)
    outbox.database.path.unlink()
    with pytest.raises(Stop, match="deleted or replaced"):
        outbox.record(scan_of(2), STAMP)
    outbox.database.path.write_bytes(b"another file")
    with pytest.raises(Stop, match="deleted or replaced"):
        outbox.record(scan_of(2), STAMP)
    assert outbox.counters.scanned == 1
    assert [e.sequence for e in outbox.events(1, 9)] == [1]


def test_one_agent_at_a_time(outbox: Outbox) -> None:
    with pytest.raises(Stop, match="another running agent"):
        Outbox.open(outbox.database.path)
    looking = Outbox(Database.open_read_only(outbox.database.path))
    assert looking.stream_state == outbox.stream_state
    with pytest.raises(Stop, match="readonly"):
        looking.count_start()
    looking.close()
    outbox.close()
    Outbox.open(outbox.database.path).close()


def test_looking_at_nothing_says_so(tmp_path: Path) -> None:
    with pytest.raises(Stop, match="there is no outbox"):
        Database.open_read_only(tmp_path / "outbox.db")
    (tmp_path / "other.db").write_bytes(b"not a database, whatever it is called" * 100)
    with pytest.raises(Stop, match="is damaged"):
        Database.open_read_only(tmp_path / "other.db")
    with pytest.raises(Stop, match="cannot open"):
        Database.open_read_only(tmp_path)


def test_a_full_disk_keeps_nothing_half_written(outbox: Outbox) -> None:
    outbox.record(scan_of(1, image=image_of(1)), STAMP)
    before = outbox.database.read("PRAGMA page_count")[0][0]
    outbox.database.read(f"PRAGMA max_page_count = {before}")

    def fill() -> None:
        for number in range(2, 1000):
            outbox.record(scan_of(number, image=image_of(number)), STAMP)

    with pytest.raises(Stop, match="full; free space"):
        fill()
    stored = outbox.counters.scanned
    assert 1 <= stored < 999
    assert len(outbox.events(1, 1000)) == len(outbox.recent_scans(1000)) == stored
    outbox.database.read("PRAGMA max_page_count = 100000")
    assert outbox.record(scan_of(stored + 1), STAMP).sequence == stored + 1
    outbox.close()
    with closing(Outbox.open(outbox.database.path)) as again:
        assert again.stream_state.last == stored + 1


def test_an_outbox_of_the_first_version_is_upgraded_with_everything_in_it(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    with closing(sqlite3.connect(path)) as old:
        old.executescript((Path(__file__).parent / "outboxes" / "1.sql").read_text())
    with closing(Outbox.open(path)) as outbox:
        images = ImageTable(outbox.database)
        assert (outbox.stream_state.acknowledged, outbox.stream_state.last) == (2, 4)
        assert [line.scan for line in outbox.recent_scans(9)] == [
            scan_of(n, image=image_of(n)) for n in (4, 3, 2, 1)
        ]
        assert images.next_to_upload() == WaitingImage(image_of(2).sha256, str(UUID(int=2)))
        assert images.counts() == ImageCounts(waiting=3, parked=0, lost=0)
        outbox.remove_covered(4, None)
        images.record_upload(image_of(2).sha256)
        assert images.next_to_upload() == WaitingImage(image_of(3).sha256, str(UUID(int=3)))
        new = tmp_path / "new" / "outbox.db"
        with closing(Outbox.open(new)) as made:
            assert _shapes(outbox) == _shapes(made)


def _shapes(outbox: Outbox) -> list[str]:
    rows = outbox.database.read("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name")
    return ["".join(sql.split()) for (sql,) in rows]


def _raw(path: Path, *statements: str) -> None:
    connection = sqlite3.connect(path)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


@pytest.mark.parametrize(
    ("statements", "says"),
    [
        ((f"PRAGMA user_version = {VERSION + 1}",), "newer agent"),
        (("DELETE FROM events WHERE sequence = 2",), "2 events are stored where 3"),
        (("UPDATE events SET sequence = 9 WHERE sequence = 3",), "is damaged"),
        (("DELETE FROM events",), "0 events are stored"),
        (("PRAGMA user_version = 0",), "another program's database"),
    ],
)
def test_a_damaged_outbox_says_what_where_and_how(
    outbox: Outbox, statements: tuple[str, ...], says: str
) -> None:
    for number in range(1, 4):
        outbox.record(scan_of(number), STAMP)
    outbox.close()
    _raw(outbox.database.path, *statements)
    with pytest.raises(Stop, match=says) as caught:
        Outbox.open(outbox.database.path)
    assert str(outbox.database.path) in str(caught.value)


def test_bytes_that_are_no_database(tmp_path: Path) -> None:
    (tmp_path / "outbox.db").write_bytes(b"garbage" * 1000)
    with pytest.raises(Stop, match="is damaged"):
        Outbox.open(tmp_path / "outbox.db")


def test_a_page_torn_by_the_disk(outbox: Outbox) -> None:
    with outbox.database.write():
        for number in range(1, 200):
            outbox.record(scan_of(number), STAMP)
    outbox.close()
    path = outbox.database.path
    content = bytearray(path.read_bytes())
    content[8192 : 8192 + 12288] = b"\xff" * 12288
    path.write_bytes(content)
    with pytest.raises(Stop, match="is damaged"):
        Outbox.open(path)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Stop, match="cannot write beside"):
        Outbox.open(tmp_path / "file" / "outbox.db")
    (tmp_path / "outbox.db").mkdir()
    with pytest.raises(Stop, match="cannot open"):
        Outbox.open(tmp_path / "outbox.db")


def test_rows_that_went_missing_while_it_runs_stop_it(outbox: Outbox) -> None:
    outbox.record(scan_of(1), STAMP)
    outbox.record(scan_of(2), STAMP)
    with outbox.database.write() as tx:
        tx.execute("DELETE FROM events WHERE sequence = 1")
    with pytest.raises(Stop, match="damaged"):
        outbox.remove_covered(2, None)
    assert outbox.stream_state.acknowledged == 0
    with outbox.database.write() as tx:
        tx.execute("DELETE FROM station")
    with pytest.raises(Stop, match="damaged"):
        outbox.record(scan_of(3), STAMP)


def test_a_row_in_the_way_is_no_fact_lost(outbox: Outbox) -> None:
    with outbox.database.write() as tx:
        tx.execute("INSERT INTO events VALUES (1, 't', 't', 'b', 0, 0, x'00', '', x'')")
    with pytest.raises(Stop, match="is damaged"):
        outbox.record(scan_of(1), STAMP)
    assert outbox.counters.scanned == 0

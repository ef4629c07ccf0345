"""Histories in which nobody is honest: disks are copied and restored, so is the cloud, peers lie.

The real outbox and forwarder of each box run against the reference ingest. At the end every card
that was counted is in the log once, unless the disk that alone knew it is gone or the ledger says
that it is missing. `CARDMINT_HISTORIES=1000` runs so many histories.
"""

import os
import shutil
from contextlib import ExitStack
from pathlib import Path
from uuid import UUID

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule
from tests.edge.kit.folders import quick_folder
from tests.edge.kit.forwarding import ForwarderBench
from tests.edge.kit.ingest import ReferenceIngest
from tests.edge.kit.scans import STAMP, scan_of

from cardmint_contracts.events import CardScanned, StreamOpened
from cardmint_contracts.receipts import Receipt
from cardmint_contracts.upcasters import decode_data
from cardmint_edge.domain.delivery.window import QUIET_MAX_S

BOXES = 3
boxes = st.integers(0, BOXES - 1)


class Box(ForwarderBench):
    """A box with its disk. It records the cards of the world."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        super().__init__(folder, source=f"/stations/{name}")
        self.outbox.identify("shop", name, STAMP, box=f"box:{folder.name}")

    def stop(self) -> None:
        self.wire.up = False
        self.outbox.close()

    def scans_on_disk(self) -> set[UUID]:
        return {record.scan.scan for record in self.outbox.recent_scans(10_000)}


class Histories(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.folder = self.stack.enter_context(quick_folder())
        self.cloud = ReferenceIngest()
        self.cloud_backup = self.cloud.backup()
        self.number = self.copies = 0
        self.gone: set[UUID] = set()
        self.identities: dict[UUID, tuple[UUID, int]] = {}
        self.places: dict[UUID, set[tuple[UUID, int]]] = {}
        self.boxes = [self.new_box("left")]
        self.backups: dict[int, Path] = {}

    def new_box(self, name: str, copied: Path | None = None) -> Box:
        self.copies += 1
        folder = self.folder / str(self.copies)
        folder.mkdir()
        if copied is not None:
            shutil.copy(copied, folder / "outbox.db")
        return Box(folder, name)

    def box(self, index: int) -> Box:
        return self.boxes[index % len(self.boxes)]

    def copy_of(self, box: Box) -> Path:
        box.stop()
        self.copies += 1
        copied = self.folder / f"{self.copies}.copy"
        shutil.copy(box.path, copied)
        box.start()
        return copied

    @rule(index=boxes, count=st.integers(1, 30))
    def cards_come(self, index: int, count: int) -> None:
        box = self.box(index)
        with box.outbox.database.write():
            for _ in range(count):
                self.number += 1
                scan = scan_of(self.number)
                record = box.outbox.record(scan, STAMP)
                stream = box.outbox.stream_state.stream
                self.identities[scan.scan] = stream, record.sequence
        box.turn()

    @rule(index=boxes)
    def connect(self, index: int) -> None:
        self.box(index).connect()

    @rule(index=boxes)
    def disconnect(self, index: int) -> None:
        self.box(index).disconnect()

    @rule(index=boxes, seconds=st.floats(0, 40))
    def time_passes(self, index: int, seconds: float) -> None:
        self.box(index).turn(seconds)

    @rule(index=boxes)
    def restart(self, index: int) -> None:
        self.box(index).stop()
        self.box(index).start()

    @rule(
        index=boxes,
        count=st.integers(1, 20),
        lost=st.booleans(),
        twice=st.booleans(),
        unheard=st.booleans(),
    )
    def messages_arrive(
        self, index: int, count: int, lost: bool, twice: bool, unheard: bool
    ) -> None:
        box = self.box(index)
        for _ in range(min(count, len(box.wire.batches))):
            batch = box.wire.batches.pop(0)
            box.puback()
            box.cloud = self.cloud
            for _ in range(0 if lost else 1 + twice):
                receipt = box.take(batch)
                self.note_places()
                if not unheard:
                    self.tell(box.name, receipt)
        box.turn()

    def note_places(self) -> None:
        """Remember where the log has each card: one that was moved is missed at its last place."""
        for place, content in self.cloud.events.items():
            event = decode_data(*content)
            if isinstance(event, CardScanned):
                self.places.setdefault(event.scan, set()).add(place)

    def tell(self, name: str, receipt: Receipt) -> None:
        for box in self.boxes:
            if box.name == name and box.wire.up:
                box.receive(receipt)
                box.turn()

    @precondition(lambda self: len(self.boxes) < BOXES)
    @rule(index=boxes, renamed=st.booleans())
    def a_disk_is_cloned(self, index: int, renamed: bool) -> None:
        box = self.box(index)
        name = f"copy-{self.copies}" if renamed else box.name
        self.boxes.append(self.new_box(name, self.copy_of(box)))

    @rule(index=boxes)
    def an_outbox_is_saved(self, index: int) -> None:
        index %= len(self.boxes)
        self.backups[index] = self.copy_of(self.boxes[index])

    @precondition(lambda self: self.backups)
    @rule(index=boxes)
    def an_outbox_is_restored(self, index: int) -> None:
        index = sorted(self.backups)[index % len(self.backups)]
        box = self.boxes[index]
        before = box.scans_on_disk()
        box.stop()
        self.boxes[index] = self.new_box(box.name, self.backups[index])
        self.gone |= before - self.boxes[index].scans_on_disk()

    @rule(index=boxes)
    def a_box_is_renamed(self, index: int) -> None:
        index %= len(self.boxes)
        copied = self.copy_of(self.boxes[index])
        self.boxes[index].stop()
        self.boxes[index] = self.new_box(f"name-{self.copies}", copied)

    @rule()
    def the_cloud_is_saved(self) -> None:
        self.cloud_backup = self.cloud.backup()

    @rule()
    def the_cloud_is_restored(self) -> None:
        self.cloud = self.cloud_backup.backup()

    @rule(index=boxes, ahead=st.integers(-5, 50), proof=st.binary(min_size=32, max_size=32))
    def a_receipt_is_forged(self, index: int, ahead: int, proof: bytes) -> None:
        box = self.box(index)
        state = box.outbox.stream_state
        sequence = max(0, state.acknowledged + ahead)
        for database in (self.cloud.database, None):
            forged = Receipt(
                stream=state.stream, sequence=sequence, digest=proof.hex(), database=database
            )
            self.tell(box.name, forged)

    def teardown(self) -> None:
        for box in self.boxes:
            box.connect()
        for _ in range(120):
            for box in self.boxes:
                box.cloud = self.cloud
                self.tell(box.name, self.cloud.receipt(box.outbox.stream_state.stream))
                while box.wire.batches:
                    self.tell(box.name, box.take(box.wire.batches.pop(0)))
                    box.puback()
                box.turn(QUIET_MAX_S)
        assert [box.queued for box in self.boxes] == [0] * len(self.boxes)
        logged = self.cloud.scans
        assert len(set(logged)) == len(logged), "a card was counted twice"
        lost = set(self.identities) - set(logged) - self.gone
        in_ledger = {
            scan
            for scan in lost
            if any(
                self.is_in_ledger(*place)
                for place in {self.identities[scan], *self.places.get(scan, ())}
            )
        }
        assert lost == in_ledger, "a card was lost without a word"
        for box in self.boxes:
            box.outbox.close()
        self.stack.close()

    def is_in_ledger(self, stream: UUID, sequence: int) -> bool:
        """Whether a station said that a receipt covered more of a stream than the log has."""
        watermark = self.cloud.watermarks.get(stream, 0)
        events = (decode_data(*content) for content in self.cloud.events.values())
        return any(
            watermark < sequence <= event.acknowledged
            for event in events
            if isinstance(event, StreamOpened) and event.previous == stream
        )


Histories.TestCase.settings = settings(
    max_examples=int(os.environ.get("CARDMINT_HISTORIES", "60")),
    stateful_step_count=40,
    deadline=None,
)
TestHistories = Histories.TestCase

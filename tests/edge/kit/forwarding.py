"""A forwarder on a real outbox, with a clock, a link and a cloud that the test drives."""

from pathlib import Path
from uuid import UUID

from tests.edge.kit.ingest import ReferenceIngest
from tests.edge.kit.scans import STAMP, scan_of

from cardmint_contracts.envelope import decode_batch
from cardmint_contracts.receipts import Receipt
from cardmint_contracts.wire import encode
from cardmint_edge.adapters.sqlite.outbox import Outbox
from cardmint_edge.domain.delivery.batches import PackedBatch
from cardmint_edge.domain.delivery.messages import (
    EventAppended,
    LinkConnected,
    LinkDisconnected,
    MessageDelivered,
    ReceiptReceived,
)
from cardmint_edge.domain.delivery.window import BrokerLimits
from cardmint_edge.forward import Forwarder

LIMITS = BrokerLimits(in_flight=100, payload_bytes=100_000)


class Wire:
    """A link that holds messages until the test delivers or loses them."""

    def __init__(self) -> None:
        self.up = False
        self.batches: list[PackedBatch] = []
        self.births = 0
        self.healths = 0
        self.reconnects = 0

    def send_birth(self) -> bool:
        self.births += self.up
        return self.up

    def send_health(self) -> bool:
        self.healths += self.up
        return self.up

    def send_events(self, batch: PackedBatch) -> bool:
        if self.up:
            self.batches.append(batch)
        return self.up

    def reconnect(self) -> None:
        self.reconnects += 1


class HeardTasks:
    def __init__(self) -> None:
        self.heard: list[object] = []
        self.fails: list[Exception] = []
        self.fails_in_tick = False

    def receive_task(self, task: UUID, payload: bytes) -> None:
        if self.fails:
            raise self.fails.pop(0)
        self.heard.append((task, payload))

    def receive_outcome(self, payload: bytes) -> None:
        self.heard.append(("ended", payload))

    def connected(self, now: float) -> None:
        self.heard.append("connected")

    def disconnected(self) -> None:
        self.heard.append("disconnected")

    def tick(self, now: float) -> None:
        if self.fails_in_tick and self.fails:
            raise self.fails.pop(0)


class ForwarderBench:
    """A forwarder on a real outbox, with a clock, a link and a cloud that the test drives."""

    def __init__(self, folder: Path, source: str = "/stations/left") -> None:
        self.source = source
        self.path = folder / "outbox.db"
        self.now = 0.0
        self.cloud = ReferenceIngest()
        self.receipts: list[Receipt] = []
        self.scans: list[UUID] = []
        self.connections = 0
        self.tasks = HeardTasks()
        self.covered = 0
        self.start()

    def start(self) -> None:
        self.wire = Wire()
        self.outbox = Outbox.open(self.path)
        self.forwarder = Forwarder(
            outbox=self.outbox,
            link=self.wire,
            tasks=self.tasks,
            source=self.source,
            read_clock=lambda: STAMP,
            on_receipt=self.cover,
            clock=lambda: self.now,
            draw=lambda: 0.5,
            retry_s=0.05,
        )
        self.outbox.call_on_append(lambda: self.forwarder.post(EventAppended()))

    def cover(self) -> None:
        self.covered += 1

    def record(self, count: int = 1) -> None:
        for _ in range(count):
            scan = scan_of(len(self.scans) + 1)
            self.outbox.record(scan, STAMP)
            self.scans.append(scan.scan)

    def turn(self, seconds: float = 0.0) -> None:
        self.now += seconds
        self.forwarder.step(0)

    def connect(self, limits: BrokerLimits = LIMITS) -> None:
        self.connections += 1
        self.wire.up = True
        self.forwarder.post(LinkConnected(connection=self.connections, limits=limits))
        self.turn()

    def disconnect(self) -> None:
        self.wire.up = False
        self.wire.batches.clear()
        self.forwarder.post(LinkDisconnected(connection=self.connections))
        self.turn()

    def puback(self) -> None:
        self.forwarder.post(MessageDelivered(connection=self.connections, reason=0))

    def arrive(self) -> None:
        """Deliver everything in flight, in order, and then its receipts."""
        while self.wire.batches:
            self.receipts.append(self.take(self.wire.batches.pop(0)))
            self.puback()
        while self.receipts:
            self.receive(self.receipts.pop(0))
        self.turn()

    def take(self, batch: PackedBatch) -> Receipt:
        """Let the cloud commit a batch, and return its receipt."""
        envelopes = decode_batch(batch.payload, batch.content_type)
        assert (envelopes[0].number, envelopes[-1].number) == (batch.first, batch.last)
        return self.cloud.take(self.source, envelopes, batch.before)

    def receive(self, receipt: Receipt) -> None:
        self.forwarder.post(ReceiptReceived(payload=encode(receipt)))

    @property
    def queued(self) -> int:
        mark = self.outbox.stream_state
        return mark.last - mark.acknowledged

"""A station without camera and recogniser: the real outbox, forwarder and broker connection.

`python -m cardmint_lab.copies.station FILE` counts made-up cards until its input ends, and goes on
sending them until SIGTERM. Before and after each commit it writes a line to a journal that is no
part of its disk: what it will count, and what it counted and would have beeped for.
"""

import contextlib
import itertools
import os
import random
import select
import signal
import sys
import threading
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

from msgspec import Struct

from cardmint_contracts.access import user_name
from cardmint_contracts.settings import BrokerSettings
from cardmint_contracts.stations import StationHealth, StationState
from cardmint_contracts.wire import clock_text, decode, encode
from cardmint_edge import __version__
from cardmint_edge.adapters.clock import StationClock
from cardmint_edge.adapters.mqtt import BrokerLink
from cardmint_edge.adapters.sqlite import outbox as outbox_module
from cardmint_edge.adapters.sqlite.outbox import OUTBOX_FILE, Outbox
from cardmint_edge.domain.delivery.batches import Timestamp
from cardmint_edge.domain.delivery.messages import EventAppended
from cardmint_edge.errors import Stop
from cardmint_edge.forward import Forwarder
from cardmint_edge.settings import StationSettings
from cardmint_lab.cloud.scans import make_scan

STATUS_EVERY_S = 0.2


class StationOrders(Struct, frozen=True, kw_only=True):
    """What a station has to do. `per_second` cards are counted, `history` are remembered.

    `disk` is its folder, `journal` and `status` are files. `port` is the broker's, and the user is
    the station. `clock_offset_s` is how far its clock is wrong.
    """

    tenant: str
    name: str
    disk: str
    journal: str
    status: str
    port: int
    password: str
    per_second: float
    history: int
    clock_offset_s: float = 0.0


class StationFigures(Struct, frozen=True, kw_only=True):
    """What a station says of itself. `counts` is False once it will count no more."""

    counts: bool
    queued: int
    last: int
    stream: UUID
    text: str


class _NoTasks:
    def receive_task(self, task: UUID, payload: bytes) -> None:
        pass

    def receive_outcome(self, payload: bytes) -> None:
        pass

    def connected(self, now: float) -> None:
        pass

    def disconnected(self) -> None:
        pass

    def tick(self, now: float) -> None:
        pass


class CountingStation:
    """The parts of a station that have to do with delivery, wired as in the station."""

    def __init__(self, orders: StationOrders) -> None:
        self._orders = orders
        self._counts = True
        self._clock = StationClock(Path("/nonexistent"))  # each start is a boot of a box of its own
        disk = Path(orders.disk)
        self.outbox = Outbox.open(disk / OUTBOX_FILE)
        self.outbox.identify(orders.tenant, orders.name, self.now(), box=f"box:{disk.parent.name}")
        self._epoch = self.outbox.count_start()
        self._link = BrokerLink(
            broker=BrokerSettings(
                port=orders.port,
                username=user_name(orders.tenant, orders.name),
                password=orders.password,
            ),
            station=StationSettings(tenant=orders.tenant, name=orders.name, data=disk),
            bootid=self._clock.bootid,
            state=self._state,
            health=self._health,
            to_forwarder=lambda message: self._forwarder.post(message),  # noqa: PLW0108 - made below
        )
        self._forwarder = Forwarder(
            outbox=self.outbox,
            link=self._link,
            tasks=_NoTasks(),
            source=f"/stations/{orders.name}",
            read_clock=self.now,
            on_receipt=lambda: None,
        )
        self.outbox.call_on_append(lambda: self._forwarder.post(EventAppended()))
        for part in (self._forwarder.run, self._link.run):
            threading.Thread(target=part, daemon=True).start()

    def now(self) -> Timestamp:
        """Return the time by the station's wrong clock."""
        stamp = self._clock()
        return Timestamp(
            time=stamp.time + timedelta(seconds=self._orders.clock_offset_s),
            bootid=stamp.bootid,
            monotonic_ms=stamp.monotonic_ms,
            clock_synced=stamp.clock_synced,
        )

    def count_until_input_ends(self) -> None:
        """Count cards at the pace that was ordered until the standard input ends."""
        draw = random.Random(self._clock.bootid.int)
        journal = os.open(self._orders.journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        for _ in itertools.count():
            readable, _, _ = select.select([sys.stdin], [], [], 1 / self._orders.per_second)
            if readable:
                self._counts = False
                return
            scan = make_scan(draw, uuid4())
            os.write(journal, f"will {scan.scan}\n".encode())
            self.outbox.record(scan, self.now())
            os.write(journal, f"beep {scan.scan}\n".encode())

    def write_status(self) -> None:
        """Write the figures to the status file, as a whole."""
        state = self.outbox.stream_state
        figures = StationFigures(
            counts=self._counts,
            queued=state.last - state.acknowledged,
            last=state.last,
            stream=state.stream,
            text=self._forwarder.status_text,
        )
        status = Path(self._orders.status)
        written = status.with_suffix(".new")
        written.write_bytes(encode(figures))
        written.replace(status)

    def _state(self, online: bool) -> StationState:
        return StationState(
            online=online,
            epoch=self._epoch,
            bootid=self._clock.bootid,
            stream=self.outbox.stream_state.stream,
            time=clock_text(self.now().time),
            version=__version__,
        )

    def _health(self) -> StationHealth:
        state = self.outbox.stream_state
        return StationHealth(
            time=clock_text(self.now().time),
            queued=state.last - state.acknowledged,
            oldest_unsent_s=0,
            disk_free_bytes=1,
            clock_synced=True,
        )


def main(arguments: list[str]) -> None:
    """Run a station by the orders in a file."""
    orders = decode(Path(arguments[0]).read_bytes(), StationOrders)
    outbox_module.HISTORY, outbox_module.PRUNE_EVERY = orders.history, 1
    station = CountingStation(orders)
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())

    def report() -> None:
        while not ended.wait(STATUS_EVERY_S):
            with contextlib.suppress(Stop):
                station.write_status()

    threading.Thread(target=report, daemon=True).start()
    station.count_until_input_ends()
    ended.wait()


if __name__ == "__main__":
    main(sys.argv[1:])

"""Transfer by file: a station's unsent events are exported, and sent from a machine with a network.

Events keep their stream and sequence. An event that arrives twice, from the file and from the
station itself, counts once.
"""

import gzip
import random
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import msgspec

from cardmint_contracts.stations import StationHealth, StationState
from cardmint_edge import __version__
from cardmint_edge.adapters.bounded_gzip import read_gzip
from cardmint_edge.adapters.clock import StationClock
from cardmint_edge.adapters.durable_files import write_file
from cardmint_edge.adapters.mqtt import BrokerLink
from cardmint_edge.adapters.sqlite.outbox import Outbox
from cardmint_edge.domain.delivery.batches import StoredEvent
from cardmint_edge.domain.delivery.window import StreamState
from cardmint_edge.errors import Stop
from cardmint_edge.forward import Forwarder
from cardmint_edge.settings import EdgeSettings

FORMAT = 1


class OutboxExport(msgspec.Struct, frozen=True, kw_only=True):
    """An export file: the events of `stream` that had no receipt when it was written."""

    format: int
    tenant: str
    station: str
    stream: UUID
    acknowledged: int
    events: list[StoredEvent]


def export(settings: EdgeSettings, outbox: Outbox, out: Path) -> int:
    """Write every unsent event into a file, and return their number.

    The outbox stays as it is.

    Raises:
        Stop: the file cannot be written.
    """
    state = outbox.stream_state
    events = outbox.events(state.acknowledged + 1, state.last - state.acknowledged)
    exported = OutboxExport(
        format=FORMAT,
        tenant=settings.station.tenant,
        station=settings.station.name,
        stream=state.stream,
        acknowledged=state.acknowledged,
        events=events,
    )
    try:
        write_file(out.absolute(), gzip.compress(msgspec.json.encode(exported), mtime=0))
    except OSError as error:
        raise Stop(f"cannot write {out}: {error.strerror}") from error
    return len(events)


def read(path: Path) -> OutboxExport:
    """Read an exported file.

    Raises:
        Stop: the file is missing, damaged, or of a newer version.
    """
    try:
        exported = msgspec.json.decode(read_gzip(path), type=OutboxExport)
    except (gzip.BadGzipFile, EOFError, ValueError, zlib.error, RecursionError) as error:
        raise Stop(f"{path} is not a complete export: {error}; export it again") from error
    except OSError as error:
        raise Stop(f"cannot read {path}: {error.strerror}") from error
    if exported.format != FORMAT:
        raise Stop(
            f"{path} has format {exported.format}, this agent knows {FORMAT}; install a newer agent"
        )
    return exported


class _ExportedEvents:
    """The events of an export, as forwarding needs them."""

    def __init__(self, exported: OutboxExport) -> None:
        self._exported = exported
        self._acknowledged = exported.acknowledged
        self.done = threading.Event()
        if not exported.events:
            self.done.set()

    @property
    def stream_state(self) -> StreamState:
        last = self._exported.acknowledged + len(self._exported.events)
        return StreamState(stream=self._exported.stream, acknowledged=self._acknowledged, last=last)

    def events(self, first: int, count: int) -> list[StoredEvent]:
        start = first - self._exported.acknowledged - 1
        return self._exported.events[start : start + count]

    def apply_receipt(self, stream: UUID, sequence: int) -> StreamState:
        if stream == self._exported.stream:
            self._acknowledged = min(self.stream_state.last, max(self._acknowledged, sequence))
            if self._acknowledged == self.stream_state.last:
                self.done.set()
        return self.stream_state


class _NoTasks:
    def receive_task(self, task: UUID, payload: bytes) -> None: ...

    def receive_outcome(self, payload: bytes) -> None:
        """Ignore it: the station itself gets it too."""

    def connected(self, now: float) -> None: ...

    def disconnected(self) -> None: ...

    def tick(self, now: float) -> None: ...


def send(settings: EdgeSettings, exported: OutboxExport, timeout_s: float) -> bool:
    """Send a file's events in the name of their station.

    Return whether the cloud's receipt covered all of them within `timeout_s`.

    Raises:
        Stop: a certificate cannot be read.
    """
    pending, clock = _ExportedEvents(exported), StationClock()
    station = msgspec.structs.replace(
        settings.station, tenant=exported.tenant, name=exported.station
    )

    def state(online: bool) -> StationState:
        # The lowest epoch: the cloud takes the station's own births and deaths for newer.
        stamp = clock()
        return StationState(
            online=online,
            epoch=1,
            bootid=stamp.bootid,
            stream=exported.stream,
            time=stamp.time,
            version=__version__,
        )

    def health() -> StationHealth:
        stamp, stream_state = clock(), pending.stream_state
        return StationHealth(
            time=stamp.time,
            queued=stream_state.last - stream_state.acknowledged,
            oldest_unsent_s=0,
            disk_free_bytes=0,
            clock_synced=stamp.clock_synced,
        )

    link = BrokerLink(
        broker=settings.broker,
        station=station,
        state=state,
        health=health,
        to_forwarder=lambda message: forwarder.post(message),  # noqa: PLW0108 - made below
    )
    forwarder = Forwarder(
        outbox=pending,
        link=link,
        tasks=_NoTasks(),
        source=f"/stations/{exported.station}",
        on_receipt=lambda: None,
        draw=random.random,
    )
    with _running(link), _running(forwarder):
        return pending.done.wait(timeout_s)


@contextmanager
def _running(component: BrokerLink | Forwarder) -> Iterator[None]:
    thread = threading.Thread(target=component.run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        component.stop()
        thread.join(5)

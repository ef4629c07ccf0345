"""Hand carrying: a station's unsent events to a file, and from it, on a machine with a network, to the cloud.

Events keep their stream and sequence, so whatever arrives twice, by hand and later by the station
itself, counts once.
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
from cardmint_edge.adapters.clock import StationClock
from cardmint_edge.adapters.durable_files import write_file
from cardmint_edge.adapters.mqtt import BrokerLink
from cardmint_edge.adapters.sqlite.outbox import Outbox
from cardmint_edge.domain.delivery.batches import StoredEvent
from cardmint_edge.domain.delivery.window import StreamPosition
from cardmint_edge.errors import Stop
from cardmint_edge.forward import Forwarder
from cardmint_edge.settings import EdgeSettings

FORMAT = 1
LOOK_S = 0.1


class OutboxExport(msgspec.Struct, frozen=True, kw_only=True):
    """A file's content: what of `stream` had no receipt when it was written."""

    format: int
    tenant: str
    station: str
    stream: UUID
    acknowledged: int
    events: list[StoredEvent]


def export(settings: EdgeSettings, outbox: Outbox, out: Path) -> int:
    """Write every unsent event into a file, and return how many there are.

    Nothing is removed from the outbox.

    Raises:
        Stop: the file cannot be written.
    """
    mark = outbox.mark
    events = outbox.events(mark.acknowledged + 1, mark.last - mark.acknowledged)
    carried = OutboxExport(
        format=FORMAT,
        tenant=settings.station.tenant,
        station=settings.station.name,
        stream=mark.stream,
        acknowledged=mark.acknowledged,
        events=events,
    )
    try:
        write_file(out.absolute(), gzip.compress(msgspec.json.encode(carried), mtime=0))
    except OSError as error:
        raise Stop(f"cannot write {out}: {error.strerror}") from error
    return len(events)


def read(path: Path) -> OutboxExport:
    """Read an exported file.

    Raises:
        Stop: it is missing, damaged, or of a newer version.
    """
    try:
        packed = path.read_bytes()
    except OSError as error:
        raise Stop(f"cannot read {path}: {error.strerror}") from error
    try:
        carried = msgspec.json.decode(gzip.decompress(packed), type=OutboxExport)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise Stop(f"{path} is no whole export of an outbox: {error}; export it again") from error
    if carried.format != FORMAT:
        raise Stop(
            f"{path} has format {carried.format}, this agent knows {FORMAT}; install the newer agent"
        )
    return carried


class _ExportedEvents:
    """An export, as what forwarding needs of an outbox."""

    def __init__(self, carried: OutboxExport) -> None:
        self._carried = carried
        self._acknowledged = carried.acknowledged
        self.done = threading.Event()
        if not carried.events:
            self.done.set()

    @property
    def mark(self) -> StreamPosition:
        last = self._carried.acknowledged + len(self._carried.events)
        return StreamPosition(
            stream=self._carried.stream, acknowledged=self._acknowledged, last=last
        )

    def events(self, first: int, count: int) -> list[StoredEvent]:
        start = first - self._carried.acknowledged - 1
        return self._carried.events[start : start + count]

    def forget(self, stream: UUID, sequence: int) -> StreamPosition:
        if stream == self._carried.stream:
            self._acknowledged = min(self.mark.last, max(self._acknowledged, sequence))
            if self._acknowledged == self.mark.last:
                self.done.set()
        return self.mark


class _NoTasks:
    def arrived(self, task: UUID, payload: bytes) -> None: ...

    def ended(self, payload: bytes) -> None:
        """Leave it: the station that asked is told."""

    def connected(self, now: float) -> None: ...

    def disconnected(self) -> None: ...

    def tick(self, now: float) -> None: ...


def send(settings: EdgeSettings, carried: OutboxExport, timeout_s: float) -> bool:
    """Send a file's events in the name of their station.

    Say whether the cloud's receipt covered all in time.

    Raises:
        Stop: a certificate cannot be read.
    """
    pile, clock = _ExportedEvents(carried), StationClock()
    station = msgspec.structs.replace(settings.station, tenant=carried.tenant, name=carried.station)

    def state(online: bool) -> StationState:
        # Of no epoch that the station itself may have had, so that nobody takes this machine for
        # it.
        stamp = clock()
        return StationState(
            online=online,
            epoch=1,
            bootid=stamp.bootid,
            stream=carried.stream,
            time=stamp.time,
            version=__version__,
        )

    def health() -> StationHealth:
        stamp, mark = clock(), pile.mark
        return StationHealth(
            time=stamp.time,
            queued=mark.last - mark.acknowledged,
            oldest_unsent_s=0,
            disk_free_bytes=0,
            clock_synced=stamp.clock_synced,
        )

    link = BrokerLink(
        broker=settings.broker,
        station=station,
        state=state,
        health=health,
        tell=lambda news: forwarder.tell(news),  # noqa: PLW0108 - link and forwarder know each other
    )
    forwarder = Forwarder(
        outbox=pile,
        link=link,
        tasks=_NoTasks(),
        source=f"/stations/{carried.station}",
        covered=lambda: None,
        draw=random.random,
    )
    with _running(link), _running(forwarder):
        return pile.done.wait(timeout_s)


@contextmanager
def _running(part: BrokerLink | Forwarder) -> Iterator[None]:
    thread = threading.Thread(target=part.run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        part.stop()
        thread.join(5)

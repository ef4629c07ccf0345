"""Transfer by file: a station's unsent events are exported, and sent from a machine with a network.

Events keep their stream and sequence. An event that arrives twice, from the file and from the
station itself, counts once.
"""

import dataclasses
import gzip
import random
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID, uuid4

import msgspec

from cardmint_contracts.chain import extend, start_of
from cardmint_contracts.events import StreamReason
from cardmint_edge.adapters.bounded_gzip import read_gzip
from cardmint_edge.adapters.clock import StationClock
from cardmint_edge.adapters.durable_files import write_file
from cardmint_edge.adapters.mqtt import BrokerLink
from cardmint_edge.adapters.sqlite.outbox import Outbox
from cardmint_edge.domain.delivery.batches import StoredEvent, Timestamp
from cardmint_edge.domain.delivery.window import StreamState
from cardmint_edge.errors import Stop
from cardmint_edge.forward import Forwarder
from cardmint_edge.settings import EdgeSettings

MAX_EXPORTED = 100_000
"""Events of one export file, so that an import takes it (`bounded_gzip`): some 150 MB of JSON."""

FORMAT = 2
_FORMATS = (1, FORMAT)


class OutboxExport(msgspec.Struct, frozen=True, kw_only=True):
    """An export file: events of `stream` after `acknowledged` that had no receipt when written.

    `digest` is the chain's before them. Format 1, of version 0.1.0, has no digests.
    """

    format: int
    tenant: str
    station: str
    stream: UUID
    acknowledged: int
    events: list[StoredEvent]
    digest: bytes = b""
    database: UUID | None = None


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Exported:
    """What an export wrote: so many events, the last of them and of the outbox, by sequence."""

    count: int
    last: int
    last_in_outbox: int


def export(
    settings: EdgeSettings,
    outbox: Outbox,
    out: Path,
    *,
    after: int = 0,
) -> Exported:
    """Write the unsent events after a sequence into a file, at most `MAX_EXPORTED` of them.

    The outbox stays as it is.

    Raises:
        Stop: the file cannot be written, or there is no event after `after`.
    """
    state = outbox.stream_state
    before = max(after, state.acknowledged)
    if before > state.last:
        raise Stop(f"the outbox ends at {state.last}: --after {after} leaves nothing to export")
    events = outbox.events(before + 1, min(MAX_EXPORTED, state.last - before))
    exported = OutboxExport(
        format=FORMAT,
        tenant=settings.station.tenant,
        station=settings.station.name,
        stream=state.stream,
        acknowledged=before,
        events=events,
        digest=outbox.digest_at(before) or b"",
        database=state.database,
    )
    try:
        write_file(out.absolute(), gzip.compress(msgspec.json.encode(exported), mtime=0))
    except OSError as error:
        raise Stop(f"cannot write {out}: {error.strerror}") from error
    return Exported(count=len(events), last=before + len(events), last_in_outbox=state.last)


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
    if exported.format not in _FORMATS:
        raise Stop(
            f"{path} has format {exported.format}, this agent knows {FORMAT}; install a newer agent"
        )
    return exported if exported.digest else _chained(exported)


def _chained(exported: OutboxExport) -> OutboxExport:
    """Return an export of version 0.1.0 with a chain that begins at its events."""
    start = digest = start_of(exported.stream)
    events = []
    for event in exported.events:
        digest = extend(digest, event, event.data)
        events.append(dataclasses.replace(event, digest=digest))
    return msgspec.structs.replace(exported, digest=start, events=events)


class _ExportedEvents:
    """The events of an export, as forwarding needs them."""

    def __init__(self, exported: OutboxExport) -> None:
        self._exported = exported
        self._acknowledged = exported.acknowledged
        self.refused: StreamReason | None = None
        self.done = threading.Event()
        if not exported.events:
            self.done.set()

    @property
    def stream_state(self) -> StreamState:
        return StreamState(
            stream=self._exported.stream,
            acknowledged=self._acknowledged,
            last=self._exported.acknowledged + len(self._exported.events),
            database=self._exported.database,
        )

    def events(self, first: int, count: int) -> list[StoredEvent]:
        start = first - self._exported.acknowledged - 1
        return self._exported.events[start : start + count]

    def digest_at(self, sequence: int) -> bytes | None:
        index = sequence - self._exported.acknowledged - 1
        return self._exported.events[index].digest if index >= 0 else self._exported.digest

    def remove_covered(self, sequence: int, _database: UUID | None) -> StreamState:
        self._acknowledged = max(self._acknowledged, sequence)
        if self._acknowledged == self.stream_state.last:
            self.done.set()
        return self.stream_state

    def open_stream(
        self,
        reason: StreamReason,
        stamp: Timestamp,  # noqa: ARG002 - the protocol's
        *,
        database: UUID | None,  # noqa: ARG002
        cloud_has: int | None = None,  # noqa: ARG002
    ) -> StreamState:
        """Give up: only the station itself can go on in a new stream."""
        self.refused = reason
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
        Stop: a certificate cannot be read, or the cloud cannot take these events.
    """
    pending, clock = _ExportedEvents(exported), StationClock()
    station = msgspec.structs.replace(
        settings.station, tenant=exported.tenant, name=exported.station
    )
    link = BrokerLink(
        broker=settings.broker,
        station=station,
        bootid=uuid4(),
        state=None,
        health=None,
        to_forwarder=lambda message: forwarder.post(message),  # noqa: PLW0108 - made below
    )
    forwarder = Forwarder(
        outbox=pending,
        link=link,
        tasks=_NoTasks(),
        source=f"/stations/{exported.station}",
        read_clock=clock,
        on_receipt=lambda: None,
        draw=random.random,
    )
    with _running(link), _running(forwarder):
        done = pending.done.wait(timeout_s)
    if pending.refused is not None:
        raise Stop(
            f"the cloud cannot take these events as they are ({pending.refused.value});"
            " the station itself sends them in a new stream once it is connected"
        )
    return done


@contextmanager
def _running(component: BrokerLink | Forwarder) -> Iterator[None]:
    thread = threading.Thread(target=component.run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        component.stop()
        thread.join(5)

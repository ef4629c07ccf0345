"""Stations that only send: they keep each event until a receipt covers it, and send it again.

They share one connection, because broker and worker see topics, not connections. All packets are
encoded before the clock starts, so that sending costs little.
"""

import contextlib
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from uuid import UUID

import mqtt5

from cardmint_cloud.errors import StopService
from cardmint_contracts import topics
from cardmint_contracts.claims import Claim
from cardmint_contracts.envelope import BATCH
from cardmint_contracts.receipts import Receipt
from cardmint_contracts.wire import decode
from cardmint_lab.cloud.scans import EventMessage

WINDOW = 1000
QUIET_S = 5.0
KEEP_ALIVE_S = 30
_RETRY_S = 0.1
_CHUNK = 1 << 18


@dataclass(slots=True)
class _SendState:
    parcels: Sequence[EventMessage]
    packets: list[tuple[bytearray, int]]
    acknowledged: int = 0
    next: int = 0
    refused_at: int = -1
    progress_at: float = 0.0
    sent_at: list[float] = field(default_factory=list)

    @property
    def done(self) -> bool:
        return self.acknowledged >= self.parcels[-1].last

    def rewind(self, now: float) -> None:
        """Send again from the last receipt."""
        self.next = _covered(self)
        self.progress_at = now


class StationSenders:
    """Sends every station's messages until receipts cover them.

    `seconds` has each message's time from publish to receipt.
    """

    def __init__(
        self,
        host: str,
        port: int,
        tenant: str,
        work: Mapping[str, tuple[UUID, Sequence[EventMessage]]],
        *,
        quiet_s: float = QUIET_S,
    ) -> None:
        self.seconds: list[float] = []
        self.sent = 0
        self._first_sent = 0
        self.connects = 0
        self._where = (host, port)
        self._names = list(work)
        self._tenant = tenant
        self._of = {
            stream: _stream(topics.station_topic(tenant, name, "events"), stream, parcels)
            for name, (stream, parcels) in work.items()
        }
        self._socket: socket.socket | None = None
        self._in = bytearray()
        self._out: list[memoryview] = []
        self._under_way = 0
        self._window = 0
        self._mid = 0
        self._quiet_s = quiet_s
        self._pinged_at = self._heard_at = 0.0
        self._connect(time.monotonic() + 20)

    @property
    def left(self) -> int:
        """Number of stations that still wait for receipts."""
        return sum(not stream.done for stream in self._of.values())

    def close(self) -> None:
        """Disconnect."""
        if self._socket:
            with contextlib.suppress(OSError):
                self._socket.sendall(mqtt5.DisconnectPacket().write())
            self._socket.close()

    def run(
        self,
        *,
        per_second: float | None = None,
        timeout_s: float = 120,
        check: Callable[[], None] = lambda: None,
    ) -> float:
        """Send everything, at full speed or `per_second`; return the seconds until all receipts.

        `check` is called about once a second and may raise an error, which ends the run.

        Raises:
            StopService: no receipt came for a long time.
        """
        start = checked = time.monotonic()
        for stream in self._of.values():
            stream.progress_at = start
        while self.left:
            now = time.monotonic()
            if now - start > timeout_s:
                raise StopService(
                    f"{self.left} stations still wait for receipts after {timeout_s:.0f} s"
                )
            if now - checked > 1:
                check()
                checked = now
            try:
                self._send(now, None if per_second is None else per_second * (now - start))
                self._hear(0.005 if per_second else 0.2)
            except OSError:
                check()
                self._connect(start + timeout_s)
        return time.monotonic() - start

    def _connect(self, until: float) -> None:
        """Reconnect until it works, and continue from the receipts: the broker forgot us."""
        while True:
            if self._socket:
                self._socket.close()
            try:
                self._socket = socket.create_connection(self._where, timeout=5)
                self._introduce(self._socket)
                break
            except OSError:
                if time.monotonic() > until:
                    raise StopService(
                        f"the broker at {self._where[0]}:{self._where[1]} does not answer"
                    ) from None
                time.sleep(_RETRY_S)
        self.connects += 1
        now = self._heard_at = time.monotonic()
        for stream in self._of.values():
            stream.rewind(now)

    def _introduce(self, connected: socket.socket) -> None:
        filters = [
            mqtt5.TopicFilter(
                topics.station_topic(self._tenant, name, "receipt"), max_qos=mqtt5.QoS.AT_MOST_ONCE
            )
            for name in self._names
        ]
        self._in, self._out, self._under_way, self._window = bytearray(), [], 0, 0
        connect = mqtt5.ConnectPacket(
            "", clean_start=True, keep_alive=KEEP_ALIVE_S, receive_max=1000
        )
        connected.sendall(connect.write() + mqtt5.SubscribePacket(1, filters).write())
        connected.setblocking(False)
        deadline = time.monotonic() + 5
        while not self._window:
            if time.monotonic() > deadline:
                raise TimeoutError
            self._hear(0.2)

    def _send(self, now: float, allowed: float | None) -> None:
        """Publish what the windows allow, station by station."""
        if now - self._heard_at > 2 * self._quiet_s:
            raise ConnectionResetError
        if now - self._pinged_at > self._quiet_s / 2:
            self._pinged_at = now
            self._out.append(memoryview(mqtt5.PingReqPacket().write()))
        moving = [stream for stream in self._of.values() if not stream.done]
        for stream in moving:
            if now - stream.progress_at > self._quiet_s:
                stream.rewind(now)
        while moving and self._under_way < self._window:
            moving = [stream for stream in moving if self._send_one(stream, now, allowed)]

    def _send_one(self, stream: _SendState, now: float, allowed: float | None) -> bool:
        """Publish a stream's next message if allowed; only first sends keep the pace."""
        if stream.next >= len(stream.parcels) or self._under_way >= self._window:
            return False
        parcel = stream.parcels[stream.next]
        if parcel.last > stream.acknowledged + WINDOW:
            return False
        if stream.next == len(stream.sent_at):
            if allowed is not None and self._first_sent >= allowed:
                return False
            stream.sent_at.append(now)
            self._first_sent += parcel.last - parcel.first + 1
        self._mid = self._mid % 65_535 + 1
        packet, mid_at = stream.packets[stream.next]
        packet[mid_at : mid_at + 2] = self._mid.to_bytes(2)
        self._out.append(memoryview(bytes(packet)))
        stream.next += 1
        self.sent += parcel.last - parcel.first + 1
        self._under_way += 1
        return True

    def _hear(self, wait_s: float) -> None:
        """Send what waits and read what came, whichever is possible first."""
        connected = self._socket
        if connected is None:
            raise OSError
        readable, writable, _ = select.select(
            [connected], [connected] if self._out else [], [], wait_s
        )
        if writable:
            sent = connected.sendmsg(self._out[:64])
            while self._out and sent >= len(self._out[0]):
                sent -= len(self._out.pop(0))
            if sent:
                self._out[0] = self._out[0][sent:]
        if readable:
            came = connected.recv(_CHUNK)
            if not came:
                raise ConnectionResetError
            self._heard_at = time.monotonic()
            self._in += came
            self._parse()

    def _parse(self) -> None:
        at = 0
        with memoryview(self._in) as view:
            while at < len(view):
                with view[at:] as rest:
                    try:
                        packet, size = mqtt5.read(rest)
                    except IndexError:
                        break
                    except ValueError:
                        raise ConnectionResetError from None
                at += size
                match packet:
                    case mqtt5.PublishPacket():
                        self._receipted(decode(packet.payload, Receipt))
                    case mqtt5.PubAckPacket():
                        self._under_way -= 1
                    case mqtt5.ConnAckPacket():
                        self._window = min(packet.receive_max, 1000)
        del self._in[:at]

    def _receipted(self, receipt: Receipt) -> None:
        stream = self._of.get(receipt.stream)
        if stream is None:
            return
        now = time.monotonic()
        if receipt.sequence > stream.acknowledged:
            first = _covered(stream)
            stream.acknowledged, stream.progress_at = receipt.sequence, now
            self.seconds += [now - sent for sent in stream.sent_at[first : _covered(stream)]]
            stream.next = max(stream.next, _covered(stream))
        if receipt.refused is not None and stream.refused_at != stream.acknowledged:
            stream.refused_at = stream.acknowledged
            stream.rewind(now)


@contextlib.contextmanager
def sending(
    senders: Sequence[StationSenders],
    *,
    timeout_s: float,
    per_second: float | None = None,
    check: Callable[[], None] = lambda: None,
) -> Iterator[list[Future[float]]]:
    """Run each of `senders` in its own thread; stop and disconnect them when the block ends."""
    ended = threading.Event()

    def go_on() -> None:
        if ended.is_set():
            raise StopService("nobody waits any more for what is still sent")
        check()

    try:
        with ThreadPoolExecutor(len(senders)) as threads:
            try:
                yield [
                    threads.submit(one.run, per_second=per_second, timeout_s=timeout_s, check=go_on)
                    for one in senders
                ]
            finally:
                ended.set()
    finally:
        for one in senders:
            one.close()


def _stream(topic: str, stream: UUID, parcels: Sequence[EventMessage]) -> _SendState:
    packets = []
    for parcel in parcels:
        claim = Claim(stream, parcel.first, parcel.last, parcel.before)
        packet = mqtt5.PublishPacket(
            topic,
            parcel.payload,
            qos=mqtt5.QoS.AT_LEAST_ONCE,
            packet_id=1,
            content_type=BATCH,
            user_properties=claim.properties(),
        )
        written = bytearray(packet.write())
        packets.append((written, written.index(topic.encode()) + len(topic)))
    return _SendState(parcels=parcels, packets=packets)


def _covered(stream: _SendState) -> int:
    """Return how many of a stream's messages are receipted; all but the last have one size."""
    size = stream.parcels[0].last
    return -(-stream.acknowledged // size) if stream.done else stream.acknowledged // size

"""Stations that only send: each forgets an event when a receipt covers it, as the real ones do, and sends again else.

All of them share one connection: the broker and the worker see topics, not connections.
"""

import queue
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from cardmint_cloud.bench.cards import Parcel
from cardmint_cloud.errors import Stop
from cardmint_contracts import topics
from cardmint_contracts.envelope import BATCH
from cardmint_contracts.receipts import Receipt
from cardmint_contracts.wire import decode

WINDOW = 1000
QUIET_S = 5.0
_IN_FLIGHT = 100


@dataclass(slots=True)
class _Stream:
    topic: str
    stream: UUID
    parcels: Sequence[Parcel]
    acknowledged: int = 0
    next: int = 0
    refused_at: int = -1
    progress_at: float = 0.0
    sent_at: list[float] = field(default_factory=list)

    @property
    def done(self) -> bool:
        return self.acknowledged >= self.parcels[-1].last


class Senders:
    """Sends every station's parcels until receipts cover them. `seconds` has, for each parcel, publish to receipt."""

    def __init__(self, host: str, port: int, tenant: str, work: Mapping[str, tuple[UUID, Sequence[Parcel]]]) -> None:
        self.seconds: list[float] = []
        self.sent = 0
        self._streams = [
            _Stream(topics.station_topic(tenant, name, "events"), stream, parcels)
            for name, (stream, parcels) in work.items()
        ]
        self._left = len(self._streams)
        self._events: queue.SimpleQueue[Receipt | None] = queue.SimpleQueue()
        self._of = {stream.stream: stream for stream in self._streams}
        self._ready = threading.Event()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        self._client.max_inflight_messages_set(_IN_FLIGHT)
        self._client.on_connect = lambda client, *_: client.subscribe(f"{topics.ROOT}/{tenant}/+/receipt", 1)
        self._client.on_subscribe = lambda *_: self._ready.set()
        # Paho calls with locks held that `publish` takes, so its thread only writes down what it heard.
        self._client.on_message = lambda _c, _u, message: self._events.put(decode(bytes(message.payload), Receipt))
        self._client.on_publish = lambda *_: self._events.put(None)
        self._under_way = 0
        self._client.connect(host, port, clean_start=True)
        self._client.loop_start()
        if not self._ready.wait(20):
            raise Stop(f"the broker at {host}:{port} does not answer")

    def close(self) -> None:
        """Disconnect."""
        self._client.disconnect()
        self._client.loop_stop()

    def run(self, *, per_second: float | None = None, timeout_s: float = 120) -> float:
        """Send everything, flat out or at `per_second` events, and return the seconds until all was receipted.

        Raises:
            Stop: no receipt came for a long time.
        """
        start = time.monotonic()
        for stream in self._streams:
            stream.progress_at = start
        while self._left:
            now = time.monotonic()
            self._send(now, None if per_second is None else per_second * (now - start))
            self._hear(0.005 if per_second else 0.2)
            if now - start > timeout_s:
                raise Stop(f"{self._left} stations still wait for receipts after {timeout_s:.0f} s")
        return time.monotonic() - start

    def _send(self, now: float, allowed: float | None) -> None:
        """Publish what the windows allow, the stations in turn."""
        moving = [stream for stream in self._streams if not stream.done]
        for stream in moving:
            if now - stream.progress_at > QUIET_S:
                _rewind(stream, now)
        while moving and self._under_way < _IN_FLIGHT and (allowed is None or self.sent < allowed):
            moving = [stream for stream in moving if self._send_one(stream)]

    def _send_one(self, stream: _Stream) -> bool:
        if stream.next >= len(stream.parcels):
            return False
        parcel = stream.parcels[stream.next]
        if parcel.last > stream.acknowledged + WINDOW:
            return False
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        properties.ContentType = BATCH
        claim = {"stream": stream.stream, "first": parcel.first, "last": parcel.last}
        properties.UserProperty = [(key, str(value)) for key, value in claim.items()]
        if stream.next == len(stream.sent_at):
            stream.sent_at.append(time.monotonic())
        self._client.publish(stream.topic, parcel.payload, qos=1, properties=properties)
        stream.next += 1
        self.sent += parcel.last - parcel.first + 1
        self._under_way += 1
        return True

    def _hear(self, wait_s: float) -> None:
        """Take what paho's thread has heard; wait for the first of it."""
        try:
            heard = self._events.get(timeout=wait_s)
            while True:
                if heard is None:
                    self._under_way -= 1
                elif heard.stream in self._of:
                    self._receipted(self._of[heard.stream], heard)
                heard = self._events.get_nowait()
        except queue.Empty:
            return

    def _receipted(self, stream: _Stream, receipt: Receipt) -> None:
        now = time.monotonic()
        if receipt.sequence > stream.acknowledged:
            first = _covered(stream)
            stream.acknowledged, stream.progress_at = receipt.sequence, now
            self.seconds += [now - sent for sent in stream.sent_at[first : _covered(stream)]]
            stream.next = max(stream.next, _covered(stream))
            self._left -= stream.done
        if receipt.refused is not None and stream.refused_at != stream.acknowledged:
            stream.refused_at = stream.acknowledged
            _rewind(stream, now)


def _covered(stream: _Stream) -> int:
    """Return how many of a stream's parcels are receipted; all but the last are of one size."""
    size = stream.parcels[0].last
    return -(-stream.acknowledged // size) if stream.done else stream.acknowledged // size


def _rewind(stream: _Stream, now: float) -> None:
    stream.next = _covered(stream)
    stream.progress_at = now

"""`cloud hostile`: what honest stations notice while another one sends what cannot be used.

Each attack publishes `ATTACKS_PER_SECOND` messages, or `ATTACK_BYTES_PER_SECOND` if they are large,
which is what a shop's line carries, while honest stations keep a steady pace. Against a faster one
only a limit at the broker helps, because its queue to a worker is the same for all stations.
"""

import random
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import cycle
from uuid import UUID

import mqtt5

from cardmint_contracts import topics
from cardmint_contracts.claims import Claim
from cardmint_contracts.envelope import BATCH
from cardmint_contracts.wire import MAX_MESSAGE_BYTES
from cardmint_lab.census import quantile
from cardmint_lab.cloud import scans
from cardmint_lab.cloud.senders import StationSenders
from cardmint_lab.cloud.test_bed import GivenServers, RunningServers, running_servers, watch_memory

STATIONS = 5
PER_SECOND = 200.0
SECONDS = 8.0
BATCH_SIZE = 4
HOSTILE = scans.station_name(99)
MAX_IN_FLIGHT = 20
ATTACKS_PER_SECOND = 200.0
ATTACK_BYTES_PER_SECOND = 4e6
_BIG = 1000

Attack = tuple[bytes, Claim]
"""A payload, and what its user properties claim."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AttackFigures:
    """What honest stations saw during an attack: milliseconds from publish to receipt.

    The receipt is later than the card is visible. `messages` of the attack were taken by the
    broker.
    """

    name: str
    messages: int
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True, kw_only=True, slots=True)
class HostileReport:
    """The attacks, the first of them none, and the worker's largest memory in all of them."""

    attacks: tuple[AttackFigures, ...]
    rss_mb: float


def run(*, given: GivenServers, say: Callable[[str], None]) -> HostileReport:
    """Start the servers that are not given, attack, and stop what was started.

    Raises:
        StopService, RetryLater: a server did not start or cannot be reached, or receipts stopped
            coming.
    """
    seed = random.SystemRandom().getrandbits(32)
    tenant = f"bench-{seed:08x}"
    figures = []
    with running_servers(given) as where:
        worker = where.work()
        with watch_memory(worker) as rss:
            for number, (name, messages) in enumerate(_attacks(seed).items()):
                figures.append(_measure(where, tenant, name, seed + number, messages))
                say(_line(figures[-1]))
    return HostileReport(attacks=tuple(figures), rss_mb=round(max(rss) / 2**20, 1))


def _measure(
    where: RunningServers, tenant: str, name: str, seed: int, messages: Sequence[Attack]
) -> AttackFigures:
    work = scans.divide_work(
        seed, STATIONS, int(PER_SECOND * SECONDS), datetime.now(UTC), size=BATCH_SIZE
    )
    honest = StationSenders(where.host, where.port, tenant, work)
    try:
        with _attacking(where, tenant, messages) as taken:
            honest.run(per_second=PER_SECOND, check=where.check)
    finally:
        honest.close()
    return AttackFigures(
        name=name,
        messages=sum(taken),
        p50_ms=round(quantile(honest.seconds, 0.5) * 1000, 1),
        p99_ms=round(quantile(honest.seconds, 0.99) * 1000, 1),
    )


def _attacks(seed: int) -> dict[str, list[Attack]]:
    """Return what each attack sends, over and over."""
    draw = random.Random(seed)
    stream = UUID(int=draw.getrandbits(128), version=4)
    victim = scans.station_stream(seed, 0)
    start = datetime.now(UTC)
    return {
        "nobody attacks": [],
        "bytes that are no events": [
            (draw.randbytes(2000), Claim(stream, first, first + 9)) for first in range(1, 200, 10)
        ],
        "events that must be parked": list(_parked(seed, start)),
        "events of another's stream": [
            (message.payload, Claim(victim, message.first, message.last))
            for message in scans.make_messages(seed, 0, 500, start, size=50)
        ],
        "other events under used sequences": [
            (message.payload, Claim(stream, message.first, message.last))
            for number in range(20)
            for message in _as_stream(seed + number, stream, start)
        ],
        "a million bytes of brackets": [
            (b"[" * (MAX_MESSAGE_BYTES - 1000), Claim(stream, 1, 1000)),
            (b'[{"a":' * 100_000, Claim(stream, 1, 1000)),
        ],
        "batches as large as allowed, again and again": [
            (message.payload, Claim(scans.station_stream(seed, 99), message.first, message.last))
            for message in scans.make_messages(seed, 99, 2 * _BIG, start, size=_BIG // 2)
        ],
    }


def _parked(seed: int, start: datetime) -> Iterator[Attack]:
    """Yield 2,000 events of a type that nobody knows, in order."""
    for message in scans.make_messages(seed, 98, 2000, start, size=50):
        payload = message.payload.replace(b"cardmint.card.scanned.", b"cardmint.card.unknown.")
        yield payload, Claim(scans.station_stream(seed, 98), message.first, message.last)


def _as_stream(seed: int, stream: UUID, start: datetime) -> Iterator[scans.EventMessage]:
    own = str(scans.station_stream(seed, 97)).encode()
    for message in scans.make_messages(seed, 97, 50, start, size=50):
        payload = message.payload.replace(own, str(stream).encode())
        yield replace(message, payload=payload)


@contextmanager
def _attacking(
    where: RunningServers, tenant: str, messages: Sequence[Attack]
) -> Iterator[list[int]]:
    """Publish `messages` over and over in a thread; give how many the broker took."""
    taken: list[int] = []
    ended = threading.Event()

    def attack() -> None:
        while not ended.is_set():
            try:
                taken.append(_publish(where, tenant, messages, ended))
            except (OSError, ValueError, IndexError):
                time.sleep(0.1)

    thread = threading.Thread(target=attack, daemon=True)
    if messages:
        thread.start()
    try:
        yield taken
    finally:
        ended.set()
        if messages:
            thread.join(20)


def _publish(
    where: RunningServers, tenant: str, messages: Sequence[Attack], ended: threading.Event
) -> int:
    """Publish until `ended`, with few messages in flight; return how many were acknowledged."""
    topic = topics.station_topic(tenant, HOSTILE, "events")
    taken = under_way = number = 0
    with socket.create_connection((where.host, where.port), timeout=5) as connected:
        connected.sendall(mqtt5.ConnectPacket("hostile", clean_start=True, keep_alive=60).write())
        held = bytearray()
        ready = False
        due = time.monotonic()
        sent = cycle(messages)
        while not ended.is_set():
            while ready and under_way < MAX_IN_FLIGHT and not ended.is_set():
                payload, claim = next(sent)
                ended.wait(max(0.0, due - time.monotonic()))
                due += max(1 / ATTACKS_PER_SECOND, len(payload) / ATTACK_BYTES_PER_SECOND)
                number = number % 65_535 + 1
                packet = mqtt5.PublishPacket(
                    topic,
                    payload,
                    qos=mqtt5.QoS.AT_LEAST_ONCE,
                    packet_id=number,
                    content_type=BATCH,
                    user_properties=claim.properties(),
                )
                connected.sendall(packet.write())
                under_way += 1
            came = connected.recv(1 << 16)
            if not came:
                return taken
            held += came
            while True:
                try:
                    packet_in, size = mqtt5.read(memoryview(bytes(held)))
                except IndexError:
                    break
                del held[:size]
                ready = ready or isinstance(packet_in, mqtt5.ConnAckPacket)
                if isinstance(packet_in, mqtt5.PubAckPacket):
                    under_way -= 1
                    taken += 1
    return taken


def report_lines(report: HostileReport) -> list[str]:
    """Return what is not said yet of a report, as lines for a person."""
    return [f"worker at most {report.rss_mb:.0f} MB"]


def _line(one: AttackFigures) -> str:
    return (
        f"{one.p50_ms:7.1f} ms p50 {one.p99_ms:7.1f} ms p99  {one.name} ({one.messages} messages)"
    )

"""`cardmint-lab bounds`: what hostile input costs each process, in memory and in patience.

The real processes run on loopback. Each attack is sent to one of them; then the most memory that it
had since the attack began is read, and whether it still does its work.
"""

import concurrent.futures
import contextlib
import gzip
import hashlib
import http.server
import random
import socket
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import cv2
import httpx
import numpy as np
from msgspec import structs
from paho.mqtt.client import Client, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from cardmint_contracts import topics
from cardmint_contracts.cards import Image
from cardmint_contracts.claims import Claim
from cardmint_contracts.envelope import BATCH, encode_batch, seal
from cardmint_contracts.http import image_path
from cardmint_contracts.wire import MAX_MESSAGE_BYTES
from cardmint_lab.cloud import scans
from cardmint_lab.cloud.scans import make_scan
from cardmint_lab.system import System

LIMIT_MB = 250
TENANT = "bounds"
STATION = "left"
PROCESSES = ("worker", "web", STATION)
IDLE = 1100
HALF_SENT = 300
HUGE_MESSAGE_BYTES = 200 << 20
BOMBS = 5
"""Different answers of the hostile price provider."""

_MB = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Bound:
    """What one attack cost: megabytes before it and at most, and if the process works after it.

    `answers` counts what the attacker got, where that tells something.
    """

    process: str
    attack: str
    before_mb: float
    most_mb: float
    works: bool
    seconds: float
    answers: Mapping[str, int]

    @property
    def kept(self) -> bool:
        """Whether the process works and stayed below the limit."""
        return self.works and self.most_mb <= LIMIT_MB


class HostileInputs:
    """A running system, and everything hostile that can be sent to it."""

    def __init__(self, stack: ExitStack, folder: Path, pack: Path) -> None:
        self._system = System(folder, pack=pack, tenant=TENANT, broker="mosquitto")
        stack.callback(self._system.stop)
        self._statuses: Counter[str] = Counter()
        self._asked = stack.enter_context(_bombs(self._system.price_port))
        self._shots = folder / "shots"
        self._shots.mkdir(parents=True)
        self._system.start_cloud(prices=False)
        self._system.second_look = False  # where it is installed, it has memory of its own
        self._system.start_station(STATION, f'type = "folder"\npath = "{self._shots}"')
        self._page = f"http://127.0.0.1:{self._system.page_ports[STATION]}"
        self._web = self._system.dashboard.rstrip("/")

    def attacks(self) -> Iterator[tuple[str, str, Callable[[], None]]]:
        """Give process, name and attack."""
        events = topics.station_topic(TENANT, STATION, "events")
        receipt = topics.station_topic(TENANT, STATION, "receipt")
        task = topics.task_topic(TENANT, STATION, uuid4())
        huge = bytes(HUGE_MESSAGE_BYTES)
        web_port, page_port = self._system.web_port, self._system.page_ports[STATION]
        yield "worker", "a message of 200 MiB", lambda: self._publish([(events, huge, 1)])
        yield (
            "worker",
            "40 messages of brackets, 1 MiB each",
            lambda: self._publish(_brackets(events)),
        )
        yield "worker", "2,000 events that must be parked", lambda: self._publish(_unknown(events))
        yield "worker", "price answers: gzip in gzip, 8 MB of brackets, no end", self._ask_prices
        yield "web", f"{IDLE} idle connections", lambda: _connect(web_port, IDLE, b"")
        yield "web", f"{HALF_SENT} half-sent requests", lambda: _connect(web_port, HALF_SENT, _HALF)
        yield "web", "8 images of 64 megapixels at once", self._big_images
        yield "web", "8 endless uploads", self._endless_uploads
        yield "web", "parameters of 10,000 characters", lambda: self._parameters(self._web)
        yield STATION, "a message of 200 MiB", lambda: self._publish([(receipt, huge, 1)])
        yield (
            STATION,
            "64 tasks of brackets, 1 MiB each",
            lambda: self._publish([(task, b"[" * (MAX_MESSAGE_BYTES - 1000), 1)] * 64),
        )
        yield STATION, f"{IDLE} idle connections", lambda: _connect(page_port, IDLE, b"")
        yield (
            STATION,
            f"{HALF_SENT} half-sent requests",
            lambda: _connect(page_port, HALF_SENT, _HALF),
        )
        yield STATION, "a form of 64 MB", self._big_form
        yield STATION, "8 photos of 2 GB from phones at once", self._endless_photos
        yield STATION, "parameters of 10,000 characters", lambda: self._parameters(self._page)
        yield STATION, "photos of 64 megapixels", self._big_photos

    def measure(self, process: str, name: str, attack: Callable[[], None]) -> Bound:
        """Attack a process."""
        pid = self._system.pid(process)
        Path(f"/proc/{pid}/clear_refs").write_text("5")  # the most memory begins anew
        before, began = _memory_mb(pid, "VmRSS"), time.monotonic()
        self._statuses.clear()
        attack()
        time.sleep(0.5)
        works = self._works(process)
        return Bound(
            process=process,
            attack=name,
            before_mb=before,
            most_mb=_memory_mb(pid, "VmHWM"),
            works=works,
            seconds=time.monotonic() - began,
            answers=dict(self._statuses),
        )

    def _works(self, process: str) -> bool:
        """Whether a process runs and answers: the worker by a receipt that reaches the station."""
        self._system.check()
        if process == "web":
            return _answers(f"{self._web}/healthz")
        if process == STATION:
            return _answers(f"{self._page}/state")
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if self._system.connected(STATION):
                return True
            time.sleep(0.2)
        return False

    def _publish(self, messages: list[tuple[str, bytes, int]]) -> None:
        client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTv5)
        client.connect("127.0.0.1", self._system.broker.port, 60)
        client.loop_start()
        try:
            for topic, payload, last in messages:
                properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
                properties.ContentType = BATCH
                properties.UserProperty = Claim(uuid4(), 1, last).properties()
                with contextlib.suppress(ValueError, RuntimeError):
                    client.publish(topic, payload, 1, properties=properties).wait_for_publish(30)
        finally:
            client.disconnect()
            client.loop_stop()

    def _ask_prices(self) -> None:
        """Count a card, whose price the worker then asks the hostile provider for."""
        topic = topics.station_topic(TENANT, "other", "events")
        for message in scans.make_messages(_seed(), 2, 40, datetime.now(UTC), size=40):
            source = b"/stations/" + scans.station_name(2).encode()
            payload = message.payload.replace(source, b"/stations/other")
            self._publish([(topic, payload, message.last)])
        deadline = time.monotonic() + 60
        while self._asked.total() < 2 * BOMBS and time.monotonic() < deadline:
            time.sleep(0.2)
        self._statuses["asked"] = self._asked.total()

    def _big_images(self) -> None:
        """Upload a counted card's 64 megapixels, and ask for them in small, eight at once."""
        picture = cv2.imencode(".png", np.zeros((8000, 7990), np.uint8))[1].tobytes()
        sha256 = hashlib.sha256(picture).hexdigest()
        item = self._count_card(Image(sha256=sha256, bytes=len(picture), width=7990, height=8000))
        kept = self._image(sha256)
        small = f"{self._web}/images/{TENANT}/{sha256}?size=thumbnail&item={item}"

        def ask(_: int) -> None:
            with contextlib.suppress(httpx.HTTPError):
                for answer in (
                    httpx.put(kept, content=picture, timeout=60),
                    httpx.get(small, timeout=60),
                ):
                    self._statuses[str(answer.status_code)] += 1

        with concurrent.futures.ThreadPoolExecutor(8) as threads:
            list(threads.map(ask, range(8)))

    def _endless_uploads(self) -> None:
        """Upload eight counted cards' pictures of 512 MiB each."""

        def endless() -> Iterator[bytes]:
            for _ in range(512):
                yield bytes(_MB)

        def send(number: int) -> None:
            try:
                answer = httpx.put(self._image(f"{number:064x}"), content=endless(), timeout=60)
                self._statuses[str(answer.status_code)] += 1
            except httpx.HTTPError:
                self._statuses["hung up"] += 1

        for number in range(8):
            self._count_card(Image(sha256=f"{number:064x}", bytes=5 * _MB, width=2000, height=2000))
        with concurrent.futures.ThreadPoolExecutor(8) as threads:
            list(threads.map(send, range(8)))

    def _image(self, sha256: str) -> str:
        return self._web + image_path(TENANT, sha256)

    def _count_card(self, image: Image) -> UUID:
        """Let another station count a card with a picture; return the item that it is."""
        scan = structs.replace(make_scan(random.Random(image.sha256), uuid4()), image=image)
        stream = uuid4()
        sealed = seal(
            scan,
            source="/stations/other",
            time=datetime.now(UTC),
            stream=stream,
            sequence=1,
            bootid=stream,
            monotonic_ms=1,
            clock_synced=True,
        )
        self._publish(
            [(topics.station_topic(TENANT, "other", "events"), encode_batch([sealed])[0], 1)]
        )
        if not _lists(f"{self._web}/api/v1/{TENANT}/items", str(scan.scan)):
            message = f"the card {scan.scan} was not counted"
            raise RuntimeError(message)
        return scan.scan

    def _parameters(self, address: str) -> None:
        for value in ("1" + "0" * 9999, "%00" * 3000, "a" * 10_000):
            for path in ("/", "/state", "/api/v1/x/items"):
                with contextlib.suppress(httpx.HTTPError):
                    httpx.get(f"{address}{path}?q={value}&page={value}", timeout=60)

    def _big_form(self) -> None:
        with contextlib.suppress(httpx.HTTPError):
            httpx.post(f"{self._page}/defaults", content=b"bin=" + b"a" * (64 << 20), timeout=60)

    def _endless_photos(self) -> None:
        """Send pieces without end, as a phone that says 2 GB, and as one that says little."""

        def endless() -> Iterator[bytes]:
            for _ in range(2048):
                yield b"\xff\xd8" + bytes(_MB - 2)

        def send(number: int) -> None:
            length = 2 << 30 if number % 2 else 5000
            try:
                answer = httpx.patch(
                    f"{self._page}/photos/{number:064x}",
                    content=endless(),
                    headers={"upload-offset": "0", "upload-length": str(length)},
                    timeout=60,
                )
                self._statuses[str(answer.status_code)] += 1
            except httpx.HTTPError:
                self._statuses["hung up"] += 1

        with concurrent.futures.ThreadPoolExecutor(8) as threads:
            list(threads.map(send, range(8)))

    def _big_photos(self) -> None:
        """Put photos with too many pixels into the folder: a small file each."""
        picture = cv2.imencode(".png", np.zeros((8000, 7990), np.uint8))[1].tobytes()
        photo = cv2.imencode(".jpg", np.zeros((6336, 9504, 3), np.uint8))[1].tobytes()
        for number in range(2):
            (self._shots / f"many-{number}.png").write_bytes(picture)
            (self._shots / f"many-{number}.jpg").write_bytes(photo)
        time.sleep(15)


def run(pack: Path, folder: Path, say: Callable[[str], None]) -> list[Bound]:
    """Attack every process of a new system in `folder`; say each result at once."""
    found = []
    with ExitStack() as stack:
        inputs = HostileInputs(stack, folder, pack)
        for process, name, attack in inputs.attacks():
            bound = inputs.measure(process, name, attack)
            say(
                f"{bound.before_mb:6.0f} MB before {bound.most_mb:6.0f} MB at most"
                f" {bound.seconds:5.1f} s {'works' if bound.works else 'DOES NOT WORK'}"
                f"  {process}: {name}"
                f"{f' {dict(bound.answers)}' if bound.answers else ''}"
            )
            found.append(bound)
    return found


_HALF = b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100000\r\n\r\nhalf"


def _connect(port: int, count: int, sent: bytes) -> None:
    """Open connections, send a part of a request on each, and leave them open for a while."""
    with ExitStack() as stack:
        for _ in range(count):
            with contextlib.suppress(OSError):
                connected = socket.create_connection(("127.0.0.1", port), timeout=0.2)
                stack.callback(connected.close)
                connected.sendall(sent)
        time.sleep(2)


def _brackets(topic: str) -> list[tuple[str, bytes, int]]:
    deep = (b"[" * (MAX_MESSAGE_BYTES - 1000), b'[{"a":' * 100_000)
    return [(topic, deep[number % 2], 1000) for number in range(40)]


def _unknown(topic: str) -> list[tuple[str, bytes, int]]:
    messages = scans.make_messages(_seed(), 1, 2000, datetime.now(UTC), size=50)
    source = b"/stations/" + scans.station_name(1).encode()
    return [
        (
            topic,
            message.payload.replace(source, f"/stations/{STATION}".encode()).replace(
                b"cardmint.card.scanned.", b"cardmint.card.unknown."
            ),
            50,
        )
        for message in messages
    ]


def _seed() -> int:
    return random.SystemRandom().getrandbits(32)


def _lists(address: str, item: str) -> bool:
    """Whether a page of the dashboard comes to name an item."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if item in httpx.get(address, params={"limit": 500}, timeout=5).text:
            return True
        time.sleep(0.1)
    return False


def _answers(address: str) -> bool:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(address, timeout=5).status_code < 500:
                return True
        time.sleep(0.2)
    return False


def _memory_mb(pid: int, field: str) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / 1024
    message = f"/proc/{pid}/status has no {field}"
    raise RuntimeError(message)


@contextlib.contextmanager
def _bombs(port: int) -> Iterator[Counter[int]]:
    """Serve answers that unpack to much more than they are, and count them."""
    asked: Counter[int] = Counter()
    plain = b"[" + b'{"a":1},' * _MB + b"{}]"
    packed = gzip.compress(plain)
    answers: tuple[tuple[dict[str, str], bytes], ...] = (
        ({"Content-Encoding": "gzip"}, packed),
        ({"Content-Encoding": "gzip, gzip"}, gzip.compress(packed)),
        ({"Content-Encoding": "deflate"}, zlib.compress(bytes(64 << 20))),
        ({}, b"[" * (8 * _MB - 1)),
        ({}, plain),
    )

    class Bomb(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            number = asked.total() % BOMBS
            asked[number] += 1
            headers, body = answers[number]
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Bomb)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield asked
    finally:
        server.shutdown()
        server.server_close()

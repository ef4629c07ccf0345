"""The real agent as a child process, with a small cloud at the other end of a real broker."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from paho.mqtt.client import Client, MQTTMessage, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion

from cardmint_contracts import topics
from cardmint_contracts.chain import extend_all, start_of
from cardmint_contracts.envelope import decode_batch
from cardmint_contracts.receipts import Receipt
from cardmint_contracts.wire import encode
from cardmint_edge.errors import Stop
from cardmint_lab.simulator import SimulatedCards

TENANT = "measure"
STATION = "one"
CHECK_EVERY_S = 0.02
_UNUSED_CAMERA = 'type = "folder"\npath = "shots"'
_MEMORY_FIELDS = ("VmRSS", "RssAnon", "VmHWM")

_SETTINGS = """\
[station]
tenant = "{tenant}"
name = "{station}"
data = "data"
page_port = 0
[recognition]
pack = "{pack}"
[broker]
host = "{host}"
port = {port}
[camera]
{camera}
"""


class StationProcess:
    """`cardmint-edge run` in its own folder. The log is read while it grows."""

    def __init__(
        self,
        folder: Path,
        *,
        pack: Path,
        camera: str | SimulatedCards,
        host: str = "127.0.0.1",
        port: int = 1,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._log = (folder / "log").open("w+", encoding="utf-8")
        settings = folder / "station.toml"
        settings.write_text(
            _SETTINGS.format(
                tenant=TENANT,
                station=STATION,
                pack=pack.absolute(),
                host=host,
                port=port,
                camera=_UNUSED_CAMERA if isinstance(camera, SimulatedCards) else camera,
            )
        )
        if isinstance(camera, SimulatedCards):
            run = ["cardmint_lab", "station", "run", *camera.options()]
        else:
            run = ["cardmint_edge", "run"]
        self.began = time.monotonic()
        command = [
            sys.executable,
            "-c",
            f"from {run[0]}.cli import main; main()",
            *run[1:],
            "--config",
            str(settings),
        ]
        self.process = subprocess.Popen(
            command, stdout=self._log, stderr=self._log, env=environment
        )
        self._reader = (folder / "log").open(encoding="utf-8")
        self._rest = ""
        self._tail = ""

    @classmethod
    @contextmanager
    def running(cls, folder: Path, **wanted: Any) -> Iterator["StationProcess"]:
        """Run the agent within the block."""
        agent = cls(folder, **wanted)
        try:
            yield agent
        finally:
            agent.process.terminate()
            agent.process.wait(20)
            agent._log.close()
            agent._reader.close()

    def new_lines(self) -> list[dict[str, Any]]:
        """Return the new lines of the log.

        Raises:
            Stop: the agent has ended.
        """
        ended = self.process.poll() is not None
        text = self._reader.read()
        self._tail = (self._tail + text)[-2000:]
        if ended:
            raise Stop(f"the agent ended: {self._tail.strip().rsplit(chr(10), 1)[-1]}")
        *whole, self._rest = (self._rest + text).split("\n")
        return [json.loads(line) for line in whole if line.startswith("{")]

    def until(self, event: str, seconds: float = 60) -> float:
        """Wait for an event in the log, and return the seconds from the start to it.

        Raises:
            Stop: the event did not come, or the agent ended.
        """
        while not any(entry["event"] == event for entry in self.new_lines()):
            if time.monotonic() > self.began + seconds:
                raise Stop(f"the agent did not say {event!r} within {seconds:.0f} s")
            time.sleep(CHECK_EVERY_S)
        return time.monotonic() - self.began

    def memory_mb(self) -> "Memory":
        """Return the agent's memory."""
        return memory_mb(self.process.pid)

    def descriptors(self) -> int:
        """Return how many file descriptors the agent has open."""
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))


@dataclass(frozen=True, kw_only=True, slots=True)
class Memory:
    """Megabytes of memory: all resident, and the part without a file behind it (`own`)."""

    resident: float
    own: float


def memory_mb(pid: int) -> Memory:
    """Return the agent's memory."""
    found = _status_mb(pid)
    return Memory(resident=found["VmRSS"], own=found["RssAnon"])


def peak_mb(pid: int) -> float:
    """Return the most memory that a process had resident."""
    return _status_mb(pid)["VmHWM"]


def _status_mb(pid: int) -> dict[str, float]:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        lines = []
    found = {
        name: int(rest.split()[0]) / 1024
        for name, rest in (line.split(":", 1) for line in lines)
        if name in _MEMORY_FIELDS
    }
    if len(found) < len(_MEMORY_FIELDS):
        raise Stop(f"process {pid} is gone")
    return found


class SmallCloud:
    """Commits each batch, keeps only the watermarks, and sends receipts."""

    def __init__(self, host: str, port: int) -> None:
        """Connect.

        Raises:
            Stop: there is no broker.
        """
        self.watermarks: dict[UUID, int] = {}
        self._digests: dict[UUID, bytes] = {}
        self._database = uuid4()
        self._client = Client(
            CallbackAPIVersion.VERSION2, client_id="measure-cloud", protocol=MQTTv5
        )
        self._client.on_connect = lambda client, *_: client.subscribe(self._topic("events"), 1)
        self._client.on_message = self._take
        try:
            self._client.connect(host, port, 15)
        except OSError as error:
            raise Stop(
                f"no broker at {host}:{port} ({error}); start one: mosquitto -p {port}"
            ) from error
        self._client.loop_start()

    @classmethod
    @contextmanager
    def listening(cls, host: str, port: int) -> Iterator["SmallCloud"]:
        """Listen within the block."""
        cloud = cls(host, port)
        try:
            yield cloud
        finally:
            cloud._client.disconnect()
            cloud._client.loop_stop()

    @property
    def received(self) -> int:
        """Number of events committed, of all streams."""
        return sum(self.watermarks.values())

    def _take(self, client: Client, _: Any, message: MQTTMessage) -> None:
        properties: Any = message.properties
        envelopes = decode_batch(bytes(message.payload), properties.ContentType)
        stream, first = envelopes[0].stream, envelopes[0].number
        watermark = self.watermarks.get(stream, 0)
        refused = first if first > watermark + 1 else None
        new = envelopes[watermark + 1 - first :] if refused is None else []
        digest = extend_all(
            self._digests.get(stream, start_of(stream)), ((one, one.data) for one in new)
        )
        if new:
            watermark = self.watermarks[stream] = envelopes[-1].number
            self._digests[stream] = digest
        receipt = Receipt(
            stream=stream,
            sequence=watermark,
            refused=refused,
            digest=digest.hex(),
            database=self._database,
        )
        client.publish(self._topic("receipt"), encode(receipt), 1, retain=True)

    @staticmethod
    def _topic(kind: Any) -> str:
        return topics.station_topic(TENANT, STATION, kind)


def wait_for(condition: Callable[[], object], seconds: float, what: str) -> float:
    """Wait for a condition, and return the seconds.

    Raises:
        Stop: the condition did not come true in time.
    """
    began = time.monotonic()
    while not condition():
        if time.monotonic() > began + seconds:
            raise Stop(f"{what} did not happen within {seconds:.0f} s")
        time.sleep(CHECK_EVERY_S)
    return time.monotonic() - began

"""The agent at work: from trigger to beep, from start to the first card, memory, draining, and a long run."""

import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
from msgspec import Struct

from cardmint_edge.adapters.cameras.simulator import SimulatorCamera
from cardmint_edge.adapters.image_store import ImageStore
from cardmint_edge.adapters.outbox import Outbox
from cardmint_edge.adapters.pack import Pack
from cardmint_edge.capture import Shot
from cardmint_edge.count import Counter
from cardmint_edge.errors import Stop
from cardmint_edge.measure.agent import Agent, SmallCloud, resident_mb, wait_for
from cardmint_edge.measure.outbox import scans_of, stamp_of
from cardmint_edge.recogniser import recogniser_of

SIZE = (1920, 1280)
BACKLOG_CHUNK = 500
SAMPLES = 40
SOAK_SIZE = (960, 640)
_IMPORTED = "import cardmint_edge.app, sys; print(flush=True); sys.stdin.read()"


class BeepFigures(Struct, frozen=True, kw_only=True):
    """Milliseconds from the shot to the beep, on one thread, and of its parts the storing."""

    cards: int
    p50_ms: float
    p95_ms: float
    store_p50_ms: float


class StartFigures(Struct, frozen=True, kw_only=True):
    """Seconds from the start of the process; megabytes resident, shared libraries included."""

    ready_s: float
    first_card_s: float
    imported_mb: float
    running_mb: float


class DrainFigures(Struct, frozen=True, kw_only=True):
    """How a backlog left, and what it did to the cards that came meanwhile."""

    backlog: int
    drained_s: float
    live_cards: int
    live_p95_ms_before: float
    live_p95_ms_meanwhile: float
    memory_mb_before: float
    memory_mb_most: float


class SoakFigures(Struct, frozen=True, kw_only=True):
    """A long run, from the end of its first tenth to its end."""

    cards: int
    seconds: float
    memory_mb_first: float
    memory_mb_last: float
    growth: float
    descriptors_first: int
    descriptors_last: int
    received: int


class _Stack:
    """Shots that were taken before; it notes when each is given out."""

    def __init__(self, shots: list[Shot]) -> None:
        self._shots = shots
        self.given: list[float] = []

    @property
    def done(self) -> bool:
        return not self._shots

    def next(self, timeout_s: float) -> Shot | None:  # noqa: ARG002 - a stack keeps nobody waiting
        self.given.append(time.perf_counter())
        return self._shots.pop()

    def capture(self) -> bool:
        return False

    def confirm(self) -> None: ...

    def close(self) -> None: ...


def measure_beep(folder: Path, pack: Path, cards: int) -> BeepFigures:
    """Count `cards` rendered photos of 1920 x 1280 as the station does, storing on the disk of `folder`."""
    cv2.setNumThreads(1)
    simulator = SimulatorCamera(count=cards)
    shots = [Shot(frame=cv2.resize(shot.frame, SIZE).astype("uint8"), origin=shot.origin) for shot in _all(simulator)]
    camera, beeps, stores = _Stack(shots), list[float](), list[float]()
    with TemporaryDirectory(dir=folder, prefix="cardmint-measure-") as temporary:
        opened = Pack(pack)
        outbox = Outbox.open(Path(temporary) / "outbox.db")
        with closing(outbox), closing(opened):
            Counter(
                camera=camera,
                recogniser=recogniser_of(opened),
                facts=outbox,
                images=ImageStore(Path(temporary) / "images"),
                stamp=stamp_of,
                counted=lambda: beeps.append(time.perf_counter()),
                timed=lambda ms: stores.append(ms["store"]),
            ).run()
    times = [(beep - given) * 1000 for given, beep in zip(camera.given, beeps, strict=True)]
    return BeepFigures(
        cards=len(times),
        p50_ms=round(statistics.median(times), 1),
        p95_ms=_p95(times),
        store_p50_ms=round(statistics.median(stores), 1),
    )


def measure_start(pack: Path) -> StartFigures:
    """Start the agent with the simulator."""
    bare = subprocess.Popen([sys.executable, "-c", _IMPORTED], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    if bare.stdout is None:
        raise Stop("a child process has no standard output")
    with bare, TemporaryDirectory(prefix="cardmint-measure-") as folder:
        bare.stdout.readline()
        imported = resident_mb(bare.pid)
        with Agent.running(Path(folder), pack=pack, camera='type = "simulator"\nper_minute = 300') as agent:
            ready = agent.until("ready")
            first = agent.until("card")
            time.sleep(3)
            running = agent.resident_mb()
    return StartFigures(
        ready_s=round(ready, 2),
        first_card_s=round(first, 2),
        imported_mb=round(imported, 1),
        running_mb=round(running, 1),
    )


def measure_drain(pack: Path, host: str, port: int, backlog: int) -> DrainFigures:
    """Let an agent with `backlog` unsent events find its cloud while cards come in, 240 a minute."""
    camera = 'type = "simulator"\nper_minute = 240'
    with TemporaryDirectory(prefix="cardmint-measure-") as name:
        folder = Path(name)
        with closing(Outbox.open(folder / "data" / "outbox.db")) as outbox:
            for first in range(0, backlog, BACKLOG_CHUNK):
                with outbox.database.write():
                    for scan in scans_of(first, min(BACKLOG_CHUNK, backlog - first)):
                        outbox.record(scan, stamp_of())
        with Agent.running(folder, pack=pack, camera=camera, host=host, port=port) as agent:
            before, meanwhile = _Cards(agent), _Cards(agent)
            wait_for(lambda: before.look() >= SAMPLES, 120, "forty cards")
            most = calm = agent.resident_mb()
            with SmallCloud.listening(host, port) as cloud:
                wait_for(lambda: cloud.received, 30, "the first batch")

                def drained() -> bool:
                    nonlocal most
                    most = max(most, agent.resident_mb())
                    meanwhile.look()
                    return cloud.received >= backlog + len(before.ms)

                drained_s = wait_for(drained, 600, "draining")
                wait_for(lambda: meanwhile.look() >= 3, 60, "three cards more")
    return DrainFigures(
        backlog=backlog,
        drained_s=round(drained_s, 2),
        live_cards=len(meanwhile.ms),
        live_p95_ms_before=_p95(before.ms),
        live_p95_ms_meanwhile=_p95(meanwhile.ms),
        memory_mb_before=round(calm, 1),
        memory_mb_most=round(most, 1),
    )


def measure_soak(pack: Path, host: str, port: int, cards: int) -> SoakFigures:
    """Let an agent count `cards` cards, a few photos over and over, and send them."""
    with TemporaryDirectory(prefix="cardmint-measure-") as name, SmallCloud.listening(host, port) as cloud:
        photos = Path(name) / "photos"
        photos.mkdir()
        for shot in _all(SimulatorCamera(count=10)):
            cv2.imwrite(str(photos / f"{shot.origin}.jpg"), cv2.resize(shot.frame, SOAK_SIZE))
        camera = f'type = "replay"\npath = "{photos}"\nloop = true'
        with Agent.running(Path(name), pack=pack, camera=camera, host=host, port=port) as agent:
            counted = _Cards(agent)
            wait_for(lambda: counted.look() >= cards // 10, 36000, "the first tenth")
            first = (agent.resident_mb(), agent.descriptors())
            began = time.monotonic()
            wait_for(lambda: counted.look() >= cards, 36000, "the run")
            last = (agent.resident_mb(), agent.descriptors())
            wait_for(lambda: cloud.received >= cards, 60, "the last receipt")
            seconds = time.monotonic() - began
    return SoakFigures(
        cards=cards,
        seconds=round(seconds, 1),
        memory_mb_first=round(first[0], 1),
        memory_mb_last=round(last[0], 1),
        growth=round(last[0] / first[0] - 1, 4),
        descriptors_first=first[1],
        descriptors_last=last[1],
        received=cloud.received,
    )


def _all(camera: SimulatorCamera) -> list[Shot]:
    shots = []
    while (shot := camera.next(0)) is not None:
        shots.append(shot)
    return shots


class _Cards:
    """The cards that the agent counted since the last `look`; each look adds to `ms`."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self.ms: list[float] = []

    def look(self) -> int:
        self.ms += [sum(entry["ms"].values()) for entry in self._agent.news() if entry["event"] == "card"]
        return len(self.ms)


def _p95(values: Sequence[float]) -> float:
    return round(statistics.quantiles(values, n=20)[18], 1) if len(values) > 1 else round(values[0], 1)

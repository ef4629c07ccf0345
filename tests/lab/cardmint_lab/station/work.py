"""The agent at work: shot to beep, start, memory, draining and a long run."""

import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
from msgspec import Struct

from cardmint_edge.adapters.artifacts import ArtifactStore, InstalledArtifact, artifact_folder
from cardmint_edge.adapters.image_store import ImageStore
from cardmint_edge.adapters.pack import Pack
from cardmint_edge.adapters.sqlite.outbox import Outbox
from cardmint_edge.capture import Shot
from cardmint_edge.count import CardCounter
from cardmint_edge.errors import Stop
from cardmint_edge.recogniser import recogniser_of
from cardmint_lab.simulator import SimulatedCards, SimulatorCamera
from cardmint_lab.station.agent import Memory, SmallCloud, StationProcess, memory_mb, wait_for
from cardmint_lab.station.outbox import scans_of, stamp_of, sync

BACKLOG_CHUNK = 500
SAMPLES = 40
STARTED = 5
SOAK_SIZES = ((960, 640), (640, 427))
_IMPORTED = "import cardmint_edge.app, sys; print(flush=True); sys.stdin.read()"


class BeepFigures(Struct, frozen=True, kw_only=True):
    """Milliseconds from shot to beep, of its parts, and of one sync of the disk in the same run.

    `cpu_p50_ms` is the computing time of the path: the time on a machine without other work.
    """

    cards: int
    p50_ms: float
    p95_ms: float
    cpu_p50_ms: float
    recognise_p50_ms: float
    recognise_p95_ms: float
    store_p50_ms: float
    store_p95_ms: float
    sync_p50_ms: float
    sync_p95_ms: float


class StartFigures(Struct, frozen=True, kw_only=True):
    """Seconds from the start of the process; megabytes.

    `imported` is the program without pack and models, `classical` the agent with a pack and without
    models, `running` with both. Resident memory includes files that the kernel may drop at will
    (libraries); `own` is the rest. The program is compiled beforehand, as an installed one is.
    """

    ready_s: float
    first_card_s: float
    imported_mb: float
    imported_own_mb: float
    classical_mb: float
    classical_own_mb: float
    running_mb: float
    running_own_mb: float


class DrainFigures(Struct, frozen=True, kw_only=True):
    """How fast a backlog left, and its effect on the cards that came meanwhile."""

    backlog: int
    drained_s: float
    live_cards: int
    live_p95_ms_before: float
    live_p95_ms_meanwhile: float
    memory_mb_before: float
    memory_mb_most: float


class SoakFigures(Struct, frozen=True, kw_only=True):
    """A long run. Memory and descriptors are at the end of its first tenth and at its end."""

    cards: int
    seconds: float
    memory_mb_first: float
    memory_mb_last: float
    growth: float
    descriptors_first: int
    descriptors_last: int
    received: int


class _Stack:
    """A camera of prepared shots.

    It records when each shot is given, and after each shot the time of one sync of the disk.
    """

    def __init__(self, shots: list[Shot], beside: int) -> None:
        self._shots = shots
        self._beside = beside
        self.given: list[tuple[float, float]] = []
        self.syncs: list[float] = []

    @property
    def name(self) -> str:
        return "stack"

    @property
    def done(self) -> bool:
        return not self._shots

    def next(self, timeout_s: float) -> Shot | None:
        self.given.append(_now())
        return self._shots.pop()

    def capture(self) -> bool:
        return False

    def set_aside(self, reason: str, message: str) -> None:
        """Do nothing, as with the photos that are confirmed."""

    def confirm(self) -> None:
        self.syncs.append(sync(self._beside, 1) * 1000)

    def close(self) -> None: ...


def measure_beep(folder: Path, pack: Path, cards: int) -> BeepFigures:
    """Count `cards` rendered photos of 1920 x 1280, as the station does.

    The outbox is on the disk of `folder`.
    """
    beeps, steps = list[tuple[float, float]](), list[dict[str, float]]()
    with TemporaryDirectory(dir=folder, prefix="cardmint-measure-") as temporary:
        opened = Pack(pack)
        outbox = Outbox.open(Path(temporary) / "outbox.db")
        with (
            closing(outbox),
            closing(opened),
            (Path(temporary) / "beside").open("wb", buffering=0) as beside,
        ):
            camera = _Stack(_photos(cards), beside.fileno())
            CardCounter(
                camera=camera,
                recogniser=recogniser_of(opened),
                outbox=outbox,
                images=ImageStore(Path(temporary) / "images"),
                read_clock=stamp_of,
                on_counted=lambda: beeps.append(_now()),
                on_timings=steps.append,
            ).run()
    spans = np.subtract(beeps, camera.given) * 1000
    times, computed = spans[:, 0].tolist(), spans[:, 1].tolist()
    store = [ms.pop("store") for ms in steps]
    recognise = [sum(ms.values()) for ms in steps]
    return BeepFigures(
        cards=len(times),
        p50_ms=_p50(times),
        p95_ms=_p95(times),
        cpu_p50_ms=_p50(computed),
        recognise_p50_ms=_p50(recognise),
        recognise_p95_ms=_p95(recognise),
        store_p50_ms=_p50(store),
        store_p95_ms=_p95(store),
        sync_p50_ms=_p50(camera.syncs),
        sync_p95_ms=_p95(camera.syncs),
    )


def measure_start(pack: Path) -> StartFigures:
    """Start the agent on a folder of photos, first without its models, then with them."""
    with TemporaryDirectory(prefix="cardmint-measure-") as name:
        folder = Path(name)
        environment = {
            **os.environ,
            "PYTHONDONTWRITEBYTECODE": "",
            "PYTHONPYCACHEPREFIX": str(folder / "compiled"),
        }
        _imported(environment)
        imported = _imported(environment)
        camera = _replayed(folder, _photos(STARTED))
        _without_models(folder / "data")
        with StationProcess.running(
            folder, pack=pack, camera=camera, environment=environment
        ) as agent:
            _count(agent, STARTED)
            classical = agent.memory_mb()
        shutil.rmtree(folder / "data")
        with StationProcess.running(
            folder, pack=pack, camera=camera, environment=environment
        ) as agent:
            ready = agent.until("ready")
            first = agent.until("card")
            _count(agent, SAMPLES)
            running = agent.memory_mb()
    return StartFigures(
        ready_s=round(ready, 2),
        first_card_s=round(first, 2),
        imported_mb=round(imported.resident, 1),
        imported_own_mb=round(imported.own, 1),
        classical_mb=round(classical.resident, 1),
        classical_own_mb=round(classical.own, 1),
        running_mb=round(running.resident, 1),
        running_own_mb=round(running.own, 1),
    )


def _imported(environment: Mapping[str, str]) -> Memory:
    with subprocess.Popen(
        [sys.executable, "-c", _IMPORTED],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
    ) as bare:
        if bare.stdout is None:
            raise Stop("a child process has no standard output")
        bare.stdout.readline()
        found = memory_mb(bare.pid)
        bare.communicate()
    return found


def _without_models(data: Path) -> None:
    """Make the station in `data` use a folder without models."""
    artifacts = ArtifactStore(artifact_folder(data), key="")
    artifacts.index.active["models"] = InstalledArtifact(
        sha256="0" * 64, version="none", name="none"
    )
    (artifacts.folder / "none").mkdir()
    artifacts.save()


def _count(agent: StationProcess, cards: int) -> None:
    counted = _Cards(agent)
    wait_for(lambda: counted.read() >= cards, 120, f"{cards} cards")


def measure_drain(pack: Path, host: str, port: int, backlog: int) -> DrainFigures:
    """Connect an agent with `backlog` unsent events to its cloud, at 240 new cards a minute."""
    camera = SimulatedCards(per_minute=240)
    with TemporaryDirectory(prefix="cardmint-measure-") as name:
        folder = Path(name)
        with closing(Outbox.open(folder / "data" / "outbox.db")) as outbox:
            for first in range(0, backlog, BACKLOG_CHUNK):
                with outbox.database.write():
                    for scan in scans_of(first, min(BACKLOG_CHUNK, backlog - first)):
                        outbox.record(scan, stamp_of())
        with StationProcess.running(
            folder, pack=pack, camera=camera, host=host, port=port
        ) as agent:
            before, meanwhile = _Cards(agent), _Cards(agent)
            wait_for(lambda: before.read() >= min(SAMPLES, backlog // 50), 120, "the first cards")
            most = calm = agent.memory_mb().resident
            with SmallCloud.listening(host, port) as cloud:
                wait_for(lambda: cloud.received, 30, "the first batch")

                def drained() -> bool:
                    nonlocal most
                    most = max(most, agent.memory_mb().resident)
                    meanwhile.read()
                    return cloud.received >= backlog + len(before.ms)

                drained_s = wait_for(drained, 600, "draining")
                wait_for(lambda: meanwhile.read() >= 3, 60, "three cards more")
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
    """Let an agent count `cards` cards, up to a hundred photos over and over, and send them."""
    with (
        TemporaryDirectory(prefix="cardmint-measure-") as name,
        SmallCloud.listening(host, port) as cloud,
    ):
        shots = _photos(max(10, min(100, cards // 100)))
        for number, shot in enumerate(shots):
            # Every other photo is too small for its print to be read, so that both ways are used.
            size = SOAK_SIZES[number % 2]
            shots[number] = replace(
                shot,
                frame=cv2.resize(shot.frame, size, interpolation=cv2.INTER_AREA).astype("uint8"),
            )
        camera = _replayed(Path(name), shots)
        with StationProcess.running(
            Path(name), pack=pack, camera=camera, host=host, port=port
        ) as agent:
            counted = _Cards(agent)
            began = time.monotonic()
            wait_for(lambda: counted.read() >= cards // 10, 36000, "the first tenth")
            first = (agent.memory_mb(), agent.descriptors())
            wait_for(lambda: counted.read() >= cards, 36000, "the run")
            last = (agent.memory_mb(), agent.descriptors())
            wait_for(lambda: cloud.received >= cards, 60, "the last receipt")
            seconds = time.monotonic() - began
    return SoakFigures(
        cards=cards,
        seconds=round(seconds, 1),
        memory_mb_first=round(first[0].resident, 1),
        memory_mb_last=round(last[0].resident, 1),
        growth=round(last[0].resident / first[0].resident - 1, 4),
        descriptors_first=first[1],
        descriptors_last=last[1],
        received=cloud.received,
    )


def _photos(count: int) -> list[Shot]:
    """Render photos of fictional cards, 1920 x 1280."""
    camera, shots = SimulatorCamera(count=count), []
    while (shot := camera.next(0)) is not None:
        shots.append(shot)
    return shots


def _replayed(folder: Path, shots: list[Shot]) -> str:
    """Write photos, and return the settings of a camera that repeats them."""
    photos = folder / "photos"
    photos.mkdir()
    for shot in shots:
        cv2.imwrite(str(photos / f"{shot.origin}.jpg"), shot.frame)
    return f'type = "replay"\npath = "{photos}"\nloop = true'


def _now() -> tuple[float, float]:
    """Return the time and this thread's computing time, in seconds."""
    return time.perf_counter(), time.thread_time()


class _Cards:
    """The cards that the agent counted since the last `read`. Each read adds to `ms`."""

    def __init__(self, agent: StationProcess) -> None:
        self._agent = agent
        self.ms: list[float] = []

    def read(self) -> int:
        self.ms += [
            sum(entry["ms"].values())
            for entry in self._agent.new_lines()
            if entry["event"] == "card"
        ]
        return len(self.ms)


def _p50(values: Sequence[float]) -> float:
    return round(statistics.median(values), 1)


def _p95(values: Sequence[float]) -> float:
    return (
        round(statistics.quantiles(values, n=20)[18], 1) if len(values) > 1 else round(values[0], 1)
    )

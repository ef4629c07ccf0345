"""Power cuts: every card that beeped is stored once and complete, whatever the disk lost.

The real agent runs under strace. The disk is then rebuilt for many moments of its life, and opened
by the real outbox. CARDMINT_CRASHES is the number of moments; `make crash` does 15,000.
"""

import hashlib
import json
import os
import random
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import UUID

import pytest
from tests.edge.kit.disk import Disk, How, Step, steps_of, traced
from tests.edge.kit.folders import quick_folder
from tests.edge.kit.scans import STAMP, scan_of
from tests.edge.kit.station import ImageEndpointStub, config_of, simulated
from tests.edge.kit.worker import CloudWorker

from cardmint_cloud.local.broker import LocalBroker
from cardmint_contracts.events import CardScanned
from cardmint_contracts.upcasters import decode_data
from cardmint_edge.adapters.sqlite.outbox import Outbox
from cardmint_edge.errors import EdgeError
from cardmint_lab.simulator import SimulatedCards

pytestmark = pytest.mark.integration

CRASHES = int(os.environ.get("CARDMINT_CRASHES", "1000"))
CARDS = 40
HOWS: tuple[How, ...] = ("kept", "lost", "torn", "torn", "torn", "torn")
_SENT = re.compile(rb"\x00\x04last\x00[\x01-\x13](\d+)")


@dataclass(frozen=True, kw_only=True)
class Life:
    """A recorded life of the agent: data folder, steps, and the scans' sequences."""

    data: Path
    steps: list[Step]
    scans: dict[int, UUID]
    taken: frozenset[UUID]


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory, fictional: Path) -> Life:
    """Two lives of one agent. The first is killed, and the cloud is away for a while."""
    folder = tmp_path_factory.mktemp("life")
    (disk := folder / "disk").mkdir()
    broker = LocalBroker(folder / "broker", kind="mosquitto").start()
    worker = CloudWorker(broker.port)
    worker.deaf = True
    with ImageEndpointStub.served() as url:
        config = config_of(disk, fictional / "pack.sqlite", broker.port, cloud=url, beep=True)
        run = [*simulated(config, SimulatedCards(count=CARDS)), "--exit-when-done"]
        log, trace = folder / "log", folder / "trace"
        lives = f'"$@" & agent=$!; until [ $(grep -c \'"event": "card"\' {log}) -ge 15 ]; '
        lives += "do sleep 0.05; done; "
        lives += 'kill -KILL $agent; wait $agent; exec "$@"'
        hears = threading.Thread(target=_hear_later, args=(worker, log), daemon=True)
        log.touch()
        hears.start()
        with log.open("ab") as out:
            ended = subprocess.run(
                traced(trace, ["sh", "-c", lives, "sh", *run]),
                check=False,
                stdout=out,
                stderr=out,
                timeout=200,
            )
    hears.join(10)
    worker.close()
    broker.kill()
    assert ended.returncode == 0, log.read_text()
    with closing(Outbox.open(disk / "data" / "outbox.db")) as outbox:
        scans = {line.sequence: line.scan.scan for line in outbox.recent_scans(CARDS + 1)}
    assert len(scans) == CARDS
    return Life(
        data=disk / "data", steps=steps_of(trace, disk), scans=scans, taken=frozenset(worker.scans)
    )


def _hear_later(worker: CloudWorker, log: Path) -> None:
    while log.read_text().count('"event": "card"') < CARDS * 2 // 3:
        time.sleep(0.05)
    worker.deaf = False


@dataclass(kw_only=True)
class Promised:
    """What the agent has promised so far."""

    logged: set[UUID]
    beeps: int = 0
    sent: int = 0

    def hear(self, step: Step) -> None:
        if step.kind == "sent":
            self.sent = max([self.sent, *(int(last) for last in _SENT.findall(step.data))])
        elif step.kind == "said":
            self.beeps += step.data == b"\a"
            for line in step.data.splitlines():
                if b'"event": "card"' in line:
                    self.logged.add(UUID(json.loads(line)["scan"]))


def crashes(
    life: Life, steps: list[Step], count: int, seed: int
) -> Iterator[tuple[Promised, dict[str, bytes]]]:
    """Crash at `count` moments, and yield what was promised and what is left.

    The same seed gives the same moments.
    """
    draw = random.Random(seed)
    disk, promised = Disk(life.data.parent), Promised(logged=set())
    moments = [at for at, step in enumerate(steps) if step.kind not in {"said", "sent"}]
    chosen = sorted((draw.choice(moments), draw.randrange(len(HOWS))) for _ in range(count))
    for at, step in enumerate(steps):
        promised.hear(step)
        disk.take(step)
        while chosen and chosen[0][0] == at:
            yield promised, disk.crash(HOWS[chosen.pop(0)[1]], draw)


class Judge:
    """Opens the files after a crash with the real outbox."""

    def __init__(self, life: Life) -> None:
        self.life = life
        self._whole: dict[bytes, str] = {}

    def __call__(self, promised: Promised, files: dict[str, bytes]) -> str:
        """Return what is wrong with the files; empty when nothing is."""
        database = str(self.life.data / "outbox.db")
        with quick_folder() as folder:
            for suffix in ("", "-wal", "-journal"):
                if database + suffix in files:
                    (folder / f"outbox.db{suffix}").write_bytes(files[database + suffix])
            try:
                with closing(Outbox.open(folder / "outbox.db")) as outbox:
                    return (
                        self._facts(outbox, promised)
                        or self._images(outbox, files)
                        or _goes_on(outbox)
                    )
            except EdgeError as error:
                return f"it does not open: {error}"

    def _facts(self, outbox: Outbox, promised: Promised) -> str:
        lines = outbox.recent_scans(CARDS + 1)
        found = [line.scan.scan for line in lines]
        mark = outbox.stream_state
        waiting = [
            event.sequence
            for event in outbox.events(1, 10 * CARDS)
            if _is_scan(event.type, event.data)
        ]
        if lost := promised.logged - set(found):
            return f"{len(lost)} cards of {len(promised.logged)} are lost"
        if outbox.counters.scanned != len(found) or len(found) < promised.beeps:
            return f"{promised.beeps} beeps, {outbox.counters.scanned} counted, {len(found)} there"
        if mark.last < promised.sent:
            return (
                f"event {promised.sent} was sent, and is forgotten: its number would be used again"
            )
        for line in lines:
            if self.life.scans[line.sequence] != line.scan.scan:
                return f"sequence {line.sequence} is of another card than it was"
            if line.sequence not in waiting and not (
                line.sequence <= mark.acknowledged and line.scan.scan in self.life.taken
            ):
                return f"event {line.sequence} is gone, and no receipt covers it"
        return ""

    def _images(self, outbox: Outbox, files: dict[str, bytes]) -> str:
        there = {
            Path(path).stem: content for path, content in files.items() if path.endswith(".jpg")
        }
        for line in outbox.recent_scans(CARDS + 1):
            if line.scan.image is None:
                continue
            digest = line.scan.image.sha256
            if digest not in there:
                return f"the image of scan {line.position} is not there"
            if self._digest(there[digest]) != digest:
                return f"the image of scan {line.position} is half there"
        return ""

    def _digest(self, content: bytes) -> str:
        if content not in self._whole:
            self._whole[content] = hashlib.sha256(content).hexdigest()
        return self._whole[content]


def _is_scan(kind: str, data: bytes) -> bool:
    return isinstance(decode_data(kind, data), CardScanned)


def _goes_on(outbox: Outbox) -> str:
    before = outbox.stream_state.last
    after = outbox.record(scan_of(1 << 60), STAMP).sequence
    return "" if after == before + 1 else f"the next event is {after}, after {before}"


def test_every_acknowledged_card_survives_a_power_cut(life: Life) -> None:
    judge = Judge(life)
    wrong = [verdict for left in crashes(life, life.steps, CRASHES, 1) if (verdict := judge(*left))]
    assert not wrong, f"{len(wrong)} of {CRASHES} crashes: {sorted(set(wrong))[:5]}"
    print(
        f"\n{CRASHES} power cuts over {len(life.steps)} steps of {CARDS} cards:"
        " nothing lost, doubled or incomplete"
    )


def _unsynced(suffix: str) -> Callable[[Step], bool]:
    return lambda step: step.kind == "sync" and step.path.endswith(suffix)


@pytest.mark.parametrize(
    ("ending", "says"),
    [("-wal", "lost"), (".jpg", "half there"), ("/disk", "lost")],
    ids=["the log of the database", "the image's bytes", "the name of the folder"],
)
def test_without_one_of_the_syncs_cards_would_be_lost(life: Life, ending: str, says: str) -> None:
    forgets = _unsynced(ending)
    steps = [replace(step, kind="said", data=b"") if forgets(step) else step for step in life.steps]
    judge = Judge(life)
    wrong = {verdict for left in crashes(life, steps, 200, 2) if (verdict := judge(*left))}
    assert any(says in verdict for verdict in wrong), wrong

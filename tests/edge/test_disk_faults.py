"""A full or read-only disk: the agent stops counting, shows why, and goes on afterwards.

No card is lost or doubled.
"""

import json
import shutil
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from tests.edge.kit.station import config_of, lines, simulated
from tests.edge.kit.waiting import until

from cardmint_cloud.local.processes import free_port
from cardmint_contracts.events import ImageEvicted
from cardmint_contracts.upcasters import decode_data
from cardmint_edge.adapters.sqlite.images import ImageTable
from cardmint_edge.adapters.sqlite.outbox import Outbox
from cardmint_lab.simulator import SimulatedCards

pytestmark = pytest.mark.integration


class SmallDisk:
    """A small file system in its own mount namespace, which the processes of `enter` see."""

    def __init__(self, folder: Path, size: str) -> None:
        folder.mkdir()
        mount = f"mount -t tmpfs -o size={size} tmpfs {folder} && echo mounted && exec sleep 600"
        self._holder = subprocess.Popen(
            ["unshare", "-rm", "sh", "-c", mount], stdout=subprocess.PIPE
        )
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == b"mounted\n"
        self.folder = folder
        self.seen = Path(f"/proc/{self._holder.pid}/root{folder}")

    def enter(self, *command: str) -> list[str]:
        """Return `command` so that it sees the disk."""
        return [
            "nsenter",
            "-t",
            str(self._holder.pid),
            "-U",
            "-m",
            "--preserve-credentials",
            *command,
        ]

    def remount(self, how: str) -> None:
        subprocess.run(self.enter("mount", "-o", f"remount,{how}", str(self.folder)), check=True)

    def close(self) -> None:
        self._holder.kill()
        self._holder.wait()
        assert self._holder.stdout is not None
        self._holder.stdout.close()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    small = SmallDisk(tmp_path / "data", "16m")
    yield small
    small.close()


class DiskFaultAgent:
    """The agent on the small disk, without a broker."""

    def __init__(self, disk: SmallDisk, folder: Path, pack: Path) -> None:
        self.port = free_port()
        config = config_of(folder, pack, free_port(), page_port=self.port)
        self.log = folder / "log"
        with self.log.open("ab") as out:
            command = disk.enter(*simulated(config, SimulatedCards(per_minute=1200)))
            self.process = subprocess.Popen(command, stdout=out, stderr=out)

    def state(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/state") as answer:
            return dict(json.load(answer))

    def faults(self) -> list[str]:
        entries = [
            json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")
        ]
        return [entry["reason"] for entry in entries if entry["event"] == "not counting"]

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(10) == 0, self.log.read_text()


@pytest.fixture
def agent(disk: SmallDisk, tmp_path: Path, fictional: Path) -> Iterator[DiskFaultAgent]:
    running = DiskFaultAgent(disk, tmp_path, fictional / "pack.sqlite")
    yield running
    running.process.kill()
    running.process.wait()


def each_card_is_there_once(disk: SmallDisk, agent: DiskFaultAgent) -> None:
    cards = lines(agent.log)
    copy = disk.folder.with_name("copy")  # SQLite would look for the disk's path out here
    shutil.copytree(disk.seen, copy, ignore=shutil.ignore_patterns("*-shm"))
    with closing(Outbox.open(copy / "outbox.db")) as outbox:
        there = [str(line.scan.scan) for line in outbox.recent_scans(1000)][::-1]
        images = ImageTable(outbox.database)
        kept = {victim.sha256 for victim in images.victims(1000)}
        found = {path.name.partition(".")[0] for path in (copy / "images").rglob("*.jpg")}
        given_up = [
            e
            for e in outbox.events(1, 5000)
            if isinstance(decode_data(e.type, e.data), ImageEvicted)
        ]
        assert outbox.stream_state.last == len(there) + len(given_up)
        assert found == kept, "the ledger and the folder agree"
    assert [card["scan"] for card in cards] == there
    origins = [card["origin"].split("-")[0] for card in cards]
    assert origins == [str(number) for number in range(len(cards))]


def test_a_full_disk_and_room_again(disk: SmallDisk, agent: DiskFaultAgent) -> None:
    until(lambda: len(lines(agent.log)) >= 5)

    def fill() -> bool:
        with suppress(OSError), (disk.seen / "other").open("ab", buffering=0) as other:
            while other.write(bytes(4096)):
                pass
        return bool(agent.faults())

    until(fill)
    assert any(word in agent.faults()[0] for word in ("free space", "full"))
    counted = len(lines(agent.log))
    (disk.seen / "other").unlink()
    until(lambda: len(lines(agent.log)) >= counted + 3)
    assert agent.state()["fault"] == ""
    agent.stop()
    each_card_is_there_once(disk, agent)


def test_images_make_room_for_cards(disk: SmallDisk, agent: DiskFaultAgent) -> None:
    (disk.seen / "other").write_bytes(bytes(9 << 20))
    room = disk.seen / "images"
    until(lambda: list(room.rglob("*.small.jpg")))
    counted = len(lines(agent.log))
    until(lambda: len(lines(agent.log)) >= counted + 10)
    agent.stop()
    assert agent.faults() == []
    each_card_is_there_once(disk, agent)


@pytest.mark.parametrize(
    "fault",
    ["pwrite64:error=EROFS", "fdatasync:error=EIO", "fsync:error=EIO"],
    ids=["read-only", "the database is not synced", "the image is not synced"],
)
def test_a_disk_that_fails_for_a_while(disk: SmallDisk, agent: DiskFaultAgent, fault: str) -> None:
    until(lambda: len(lines(agent.log)) >= 3)
    calls = fault.partition(":")[0]
    inject = [
        "strace",
        "-f",
        "-p",
        str(agent.process.pid),
        "-e",
        f"trace={calls}",
        "-e",
        f"inject={fault}",
    ]
    failing = subprocess.Popen(inject, stderr=subprocess.DEVNULL)
    until(agent.faults)
    counted = len(lines(agent.log))
    failing.terminate()
    failing.wait()
    assert "make the disk writable" in agent.faults()[0]
    until(lambda: len(lines(agent.log)) >= counted + 3)
    assert agent.state()["fault"] == ""
    agent.stop()
    each_card_is_there_once(disk, agent)


def test_a_start_on_a_read_only_disk_is_one_line(
    tmp_path: Path, fictional: Path, disk: SmallDisk
) -> None:
    disk.remount("ro")
    agent = DiskFaultAgent(disk, tmp_path, fictional / "pack.sqlite")
    assert agent.process.wait(30) == 1
    said = agent.log.read_text()
    assert said.startswith("cardmint-lab: ")
    assert said.count("\n") == 1
    assert "Read-only" in said

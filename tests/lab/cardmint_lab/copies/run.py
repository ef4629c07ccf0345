"""Boxes count while disks and databases are copied and restored, clocks moved, messages forged.

`cardmint-lab copies` is the long form, `tests/system/test_copies.py` the short one.
"""

import asyncio
import contextlib
import os
import random
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from cardmint_cloud.domain.broker_rules import mosquitto_rules
from cardmint_cloud.errors import StopService
from cardmint_cloud.local.broker import BrokerGuard, LocalBroker
from cardmint_cloud.local.postgres import LocalPostgres
from cardmint_cloud.local.processes import free_port
from cardmint_contracts.access import user_name
from cardmint_lab.chaos import ChaosSystem
from cardmint_lab.copies.box import Box
from cardmint_lab.copies.forger import Forger
from cardmint_lab.copies.verdict import Place, Verdict, database_id, places_in_log, verdict
from cardmint_lab.folders import temporary_folder

TENANT = "copies"
CLOUD = "cloud"
PASSWORD = "only on loopback"
STATIONS = ("left", "right")
SPARE_NAMES = ("copy-1", "copy-2", "copy-3")
MALLORY = "mallory"
MOST_BOXES = 6
DISK_MB = 700
SETTLE_S = 240.0
DAY_S = 86_400.0
FAKETIME = Path("/usr/lib") / f"{os.uname().machine}-linux-gnu" / "faketime" / "libfaketime.so.1"


@dataclass(frozen=True, kw_only=True)
class CopiesOutcome:
    """What happened, and what is wrong in the end."""

    seed: int
    seconds: float
    boxes: int
    faults: Counter[str]
    forged: int
    verdict: Verdict


class CopiesSystem:
    """The boxes and the cloud, and everything that an honest peer would not do."""

    def __init__(self, stack: ExitStack, draw: random.Random, *, pace: float) -> None:
        self._draw, self._pace = draw, pace
        self._folder = stack.enter_context(temporary_folder())
        self._database_folder = self._folder / "database"
        self._small_disk = stack.enter_context(_small_disk(self._database_folder))
        guard = _guard(self._folder)
        self._cloud_port = guard.cloud_port
        self.servers = ChaosSystem(
            stack,
            draw,
            postgres=LocalPostgres(self._database_folder / "postgres"),
            broker=LocalBroker(self._folder / "broker", kind="mosquitto", guard=guard),
            cloud_port=guard.cloud_port,
            worker_settings={
                "CARDMINT_CLOUD_BROKER_USERNAME": CLOUD,
                "CARDMINT_CLOUD_BROKER_PASSWORD": PASSWORD,
            },
        )
        self.boxes: list[Box] = []
        self._names = list(SPARE_NAMES)
        stack.callback(self._kill_boxes)
        for name in STATIONS:
            self._new_box(name).start()
        self.forger = Forger(
            draw,
            tenant=TENANT,
            password=PASSWORD,
            database=asyncio.run(database_id(self.servers.postgres.address)),
        )
        self._database_saved = False
        self.dropped: dict[UUID, set[Place]] = {}
        """Cards that were in the log and are not in the restored one, and where they were."""

    def check(self) -> None:
        """Check that no worker and no station ended by itself.

        Raises:
            StopService: one ended.
        """
        self.servers.check()
        for box in self.boxes:
            box.check()

    def fail(self) -> str:
        """Do one random thing that should not happen; return its name."""
        own = self._faults()
        faults = own if self._draw.random() < 0.7 else self.servers.faults()
        name = self._draw.choice(sorted(faults))
        faults[name]()
        return name

    def _faults(self) -> dict[str, Callable[[], None]]:
        faults: dict[str, Callable[[], None]] = {
            "power cut at a box": self._cut_power,
            "disk saved": self._save_disk,
            "database saved": self._save_database,
            "clock of a box moved": self._move_clock,
            "messages forged without rights": lambda: self._forge(MALLORY),
            "messages forged as a station": lambda: self._forge(None),
            "messages forged as the cloud": lambda: self._forge(CLOUD),
        }
        if len(self.boxes) < MOST_BOXES:
            faults["disk cloned, same name"] = lambda: self._clone(renamed=False)
            if self._names:
                faults["disk cloned, other name"] = lambda: self._clone(renamed=True)
        if any(box.is_saved for box in self.boxes):
            faults["disk restored"] = self._restore_disk
        if self._database_saved:
            faults["database restored"] = self._restore_database
        if self._small_disk:
            faults["disk of the database full"] = self._fill_disk
        if FAKETIME.exists():
            faults["clock of a worker moved"] = self._move_worker_clock
        return faults

    def _new_box(self, name: str) -> Box:
        box = Box(
            self._folder / f"box-{len(self.boxes)}",
            name,
            tenant=TENANT,
            port=self.servers.proxies["stations to broker"].port,
            password=PASSWORD,
            pace=self._pace,
        )
        self.boxes.append(box)
        return box

    def _a_box(self) -> Box:
        box = self._draw.choice(self.boxes)
        box.kill()
        return box

    def _cut_power(self) -> None:
        self._a_box().start()

    def _clone(self, *, renamed: bool) -> None:
        original = self._a_box()
        clone = self._new_box(self._names.pop() if renamed else original.name)
        original.copy_disk(clone.disk)
        original.start()
        clone.start()

    def _save_disk(self) -> None:
        box = self._a_box()
        box.save()
        box.start()

    def _restore_disk(self) -> None:
        box = self._draw.choice([box for box in self.boxes if box.is_saved])
        box.kill()
        box.restore()
        box.start()

    def _save_database(self) -> None:
        self.servers.postgres.stop()
        self._copy_database(self.servers.postgres.folder / "data", self._folder / "saved")
        self.servers.postgres.start()
        self._database_saved = True

    def _restore_database(self) -> None:
        before = asyncio.run(
            places_in_log(self.servers.postgres.address, TENANT, then=self.servers.postgres.stop)
        )
        self._copy_database(self._folder / "saved", self.servers.postgres.folder / "data")
        self.servers.postgres.start()
        after = asyncio.run(places_in_log(self.servers.postgres.address, TENANT))
        for card in before.keys() - after.keys():
            self.dropped.setdefault(card, set()).update(before[card])

    @staticmethod
    def _copy_database(of: Path, to: Path) -> None:
        shutil.rmtree(to, ignore_errors=True)
        subprocess.run(["cp", "-a", str(of), str(to)], check=True)

    def _move_clock(self) -> None:
        box = self._a_box()
        box.clock_offset_s = DAY_S * self._draw.choice([-800, -2, 0, 2, 23_000])
        box.start()

    def _move_worker_clock(self) -> None:
        number = self._draw.randrange(2)
        self.servers.stop_worker(number)
        self.servers.start_worker(
            number,
            LD_PRELOAD=str(FAKETIME),
            FAKETIME=self._draw.choice(["-2d", "+2d"]),
            FAKETIME_DONT_FAKE_MONOTONIC="1",
        )

    def _fill_disk(self) -> None:
        free = shutil.disk_usage(self._database_folder).free
        file = self._database_folder / "full"
        with contextlib.suppress(OSError), file.open("wb") as filled:
            for _ in range(free // (1 << 20) + 1):
                filled.write(bytes(1 << 20))
        time.sleep(self._draw.uniform(1, 4))
        file.unlink()
        self.servers.postgres.kill()  # it stopped by itself, or would go on
        self.servers.postgres.start()

    def _forge(self, login: str | None) -> None:
        victim = self._draw.choice(self.boxes)
        user = CLOUD if login == CLOUD else user_name(TENANT, login or victim.name)
        port = self._cloud_port if login == CLOUD else self.servers.broker.port
        self.forger.attack(user, port, victim.name, victim.figures)

    def settle(self) -> None:
        """Let the boxes count no more, the clocks be right again, and everything be sent.

        Raises:
            StopService: a station still waits after four minutes.
        """
        for number in range(2):
            self.servers.stop_worker(number)
            self.servers.start_worker(number)
        for box in self.boxes:
            box.end_counting()
        deadline = time.monotonic() + SETTLE_S
        while waiting := [box for box in self.boxes if not box.is_done]:
            self.check()
            if time.monotonic() > deadline:
                told = "; ".join(f"{box.name}: {box.figures}" for box in waiting)
                raise StopService(f"stations still wait after {SETTLE_S:.0f} s: {told}")
            time.sleep(0.5)
        self._kill_boxes()

    def _kill_boxes(self) -> None:
        for box in self.boxes:
            box.kill()


def run(*, faults_s: float, pace: float, seed: int, say: Callable[[str], None]) -> CopiesOutcome:
    """Let boxes count `pace` cards a second for `faults_s` seconds, and compare in the end.

    Raises:
        StopService: a part ended by itself, or a station cannot send.
    """
    say(f"seed {seed}")
    draw = random.Random(seed)
    with ExitStack() as stack:
        system = CopiesSystem(stack, draw, pace=pace)
        start = time.monotonic()
        counted: Counter[str] = Counter()
        while time.monotonic() < start + faults_s:
            system.check()
            fault = system.fail()
            counted[fault] += 1
            say(f"{time.monotonic() - start:6.1f} s  {fault}")
            time.sleep(draw.uniform(0.0, 2.0))
        system.settle()
        found = asyncio.run(
            verdict(
                system.servers.postgres.address,
                TENANT,
                system.boxes,
                forged=system.forger.forged,
                dropped=system.dropped,
            )
        )
        return CopiesOutcome(
            seed=seed,
            seconds=time.monotonic() - start,
            boxes=len(system.boxes),
            faults=counted,
            forged=system.forger.published,
            verdict=found,
        )


def _guard(folder: Path) -> BrokerGuard:
    """Write the broker's rules and passwords as an operator does."""
    rules, passwords = folder / "rules.acl", folder / "passwords"
    users = [user_name(TENANT, name) for name in (*STATIONS, *SPARE_NAMES, MALLORY)]
    rules.write_text(mosquitto_rules(stations=users, readers=(), cloud=CLOUD) + "\n")
    passwords.touch()
    for user in (*users, CLOUD):
        command = ["mosquitto_passwd", "-b", str(passwords), user, PASSWORD]
        subprocess.run(command, check=True, capture_output=True)
    for file in (folder, rules, passwords):
        file.chmod(0o755)
    return BrokerGuard(rules=rules, passwords=passwords, cloud_port=free_port())


@contextlib.contextmanager
def _small_disk(folder: Path) -> Iterator[bool]:
    """Mount a small disk at `folder`, if this user may; return whether it is one."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "cardmint-lab", str(folder)]
    mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(folder)], check=False)

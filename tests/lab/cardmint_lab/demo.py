"""`make demo`: the whole system on one machine, with a broker outage and a final count."""

import asyncio
import fcntl
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from cardmint_cloud.errors import StopService
from cardmint_lab.census import Census, Watcher, quantile, take_census
from cardmint_lab.demo_account import NAME, ROLE, DemoAccount
from cardmint_lab.simulator import SimulatedCards
from cardmint_lab.system import STATIONS, System

OUTAGE_S = 4.0
PATIENCE_S = 75.0
"""Seconds that the last card may take to be counted and priced before it counts as lost."""

_ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

Say = Callable[[str], None]


def run(folder: Path, cards: int, *, leave: bool, say: Say) -> bool:
    """Scan `cards` cards at two stations; True when each is counted once and priced.

    The folder is kept, and the next run continues with it. With `leave` it ends when the cards are
    done, else on Ctrl-C.

    Raises:
        StopService: a part could not be started, or ended by itself; the message names its log.
    """
    # SIGINT too: to what a shell starts in the background it comes ignored.
    for number in _ENDS:
        signal.signal(number, signal.default_int_handler)
    with _alone(folder), ExitStack() as stack:
        pack = folder / "fictional" / "pack.sqlite"
        system = System(folder, pack=pack, accounts=True)
        try:
            if not pack.exists():
                say("drawing the fictional cards and building their catalogue …")
                system.lab("fictional", "fictional", "--out", str(pack.parent))
            say(f"starting Postgres, {system.broker.kind}, the cloud and a stand-in price server …")
            system.start_cloud()
            account = DemoAccount(
                system.postgres.environment["CARDMINT_CLOUD_DATABASE"],
                system.tenant,
                system.master_keys,
            )
            reader, system.token = account.make(), account.station_token()
            stack.callback(account.close)
            door = account.open(system.dashboard)
            say(f"dashboard: {door} signs you in as {NAME!r}, a {ROLE}")
            good = _scan(system, cards, reader, say)
            if not leave:
                pages = ", ".join(
                    f"{name} http://127.0.0.1:{port}/" for name, port in system.page_ports.items()
                )
                say(
                    f"\nDashboard {door} (as {NAME!r})   stations: {pages}\nCtrl-C ends everything;"
                    f" {folder} is kept."
                )
                while True:
                    system.check()
                    time.sleep(1)
        except KeyboardInterrupt:
            say("\nstopping …")
            return True
        else:
            return good
        finally:
            for number in _ENDS:
                signal.signal(number, signal.SIG_IGN)
            system.stop()


def _scan(system: System, cards: int, reader: str, say: Say) -> bool:
    before = _count(system)
    watcher = Watcher(f"{system.dashboard}events", token=reader)
    watcher.start()
    scanned = {name: system.scanned(name) for name in STATIONS}
    expected = sum(scanned.values()) + cards
    shares = {name: cards // 2 + (cards % 2 if name == STATIONS[0] else 0) for name in STATIONS}
    per_minute = min(240, max(60, cards))
    for seed, name in enumerate(STATIONS, start=1):
        count = scanned[name] + shares[name]
        system.start_station(name, SimulatedCards(count=count, seed=seed, per_minute=per_minute))
    say(f"two stations scan {cards} cards")
    outage = _follow(system, before, expected, cards, say)
    watcher.end()
    after = _count(system)
    lost = expected - after.cards
    doubled = after.doubled - before.doubled
    for label, value in [*_tally(before, after, lost, doubled), *_latencies(watcher, outage)]:
        say(f"{label:36s} {value}")
    good = lost == doubled == 0 and after.settled
    say(
        "every card is in the inventory exactly once and priced"
        if good
        else "THE NUMBERS ARE WRONG"
    )
    return good


def _follow(
    system: System, before: Census, expected: int, cards: int, say: Say
) -> tuple[datetime, datetime] | None:
    """Show progress until all cards are counted and priced, or `PATIENCE_S` passed without any.

    The broker is killed on the way.
    """
    outage: tuple[datetime, datetime] | None = None
    patience = time.monotonic() + PATIENCE_S
    seen: Census | None = None
    while time.monotonic() < patience:
        now = _count(system)
        if now != seen:
            seen, patience = now, time.monotonic() + PATIENCE_S
            say(
                f"  {now.cards - expected + cards:4d}/{cards} in the inventory,"
                f" {now.priced - before.priced} priced, {now.reviews - before.reviews} for a"
                " person to look at"
            )
        if outage is None and now.cards >= expected - cards * 3 // 5:
            outage = _pull_the_plug(system, say)
        if now.cards >= expected and now.settled:
            break
        system.check()
        time.sleep(0.5)
    return outage


def _pull_the_plug(system: System, say: Say) -> tuple[datetime, datetime]:
    start = datetime.now(UTC)
    say(
        f"  -- the broker is killed; the stations go on scanning for {OUTAGE_S:.0f} s without it --"
    )
    system.kill("broker")
    time.sleep(OUTAGE_S)
    system.start("broker")
    deadline = time.monotonic() + PATIENCE_S
    while not all(system.connected(name) for name in STATIONS) and time.monotonic() < deadline:
        system.check()
        time.sleep(0.1)
    say(
        "  -- the broker is back and the stations are connected; what was scanned meanwhile"
        " follows --"
    )
    return start, datetime.now(UTC)


def _tally(before: Census, after: Census, lost: int, doubled: int) -> list[tuple[str, str]]:
    return [
        ("", ""),
        ("cards scanned", str(after.cards - before.cards)),
        ("  counted in the inventory", str(after.counted - before.counted)),
        ("  for a person to look at", str(after.reviews - before.reviews)),
        ("  rejected as no card", str(after.rejected - before.rejected)),
        ("lost", str(lost)),
        ("doubled", str(doubled)),
        ("counted, but without a price", str(after.counted - after.priced)),
        ("dead letters", str(after.parked - before.parked)),
    ]


def _latencies(watcher: Watcher, outage: tuple[datetime, datetime] | None) -> list[tuple[str, str]]:
    rows = []
    during = {
        item
        for item, captured in watcher.captured.items()
        if outage and outage[0] <= captured <= outage[1]
    }
    for label, wanted in (
        ("broker up", watcher.seconds.keys() - during),
        ("in the outage", during),
    ):
        if wanted:
            seconds = [watcher.seconds[item] for item in wanted]
            p50, p95 = quantile(seconds, 0.5) * 1000, quantile(seconds, 0.95) * 1000
            rows.append(
                (
                    f"capture to visible, {label}",
                    f"p50 {p50:.0f} ms, p95 {p95:.0f} ms (n = {len(seconds)})",
                )
            )
    return rows


def _count(system: System) -> Census:
    return asyncio.run(take_census(system.postgres.address, system.tenant))


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Lock the folder against a second demo; the lock ends with the process."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise StopService(
                f"another demo runs in {folder}; stop it, or name another folder: make demo"
                " DEMO_DIR=…"
            ) from None
        yield

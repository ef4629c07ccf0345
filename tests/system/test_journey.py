"""Two stations scan while the broker, the worker, Postgres and a station are killed.

Each card is counted once.
"""

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path

import asyncpg
import pytest

from cardmint_lab.census import Census
from cardmint_lab.system import System
from tests.system.kit import count, simulator, wait_for

pytestmark = pytest.mark.system

CARDS = 200
ROOT = Path(__file__).parents[2]


def acknowledged(system: System, station: str) -> list[str]:
    """Return the scans that a station beeped for, from its log."""
    lines = system.log(station).read_text().splitlines()
    return [json.loads(line)["scan"] for line in lines if line.startswith("{") and '"scan"' in line]


def reached(cards: int) -> Callable[[Census], bool]:
    return lambda now: now.cards >= cards


async def _items(address: str) -> list[str]:
    connection = await asyncpg.connect(address, command_timeout=60)
    try:
        return [str(row["item"]) for row in await connection.fetch("SELECT item FROM items")]
    finally:
        connection.terminate()


def items(system: System) -> list[str]:
    return asyncio.run(_items(system.postgres.address))


def test_whatever_is_killed_every_card_is_counted_once(system: System) -> None:
    for seed, name in enumerate(("left", "right"), start=1):
        system.start_station(name, simulator(CARDS // 2, seed=seed, per_minute=400))
    kills = ["broker", "worker", "left", "postgres", "web", "worker", "right"]
    for number, victim in enumerate(kills, start=1):
        wait_for(system, reached(number * CARDS // 12))
        system.kill(victim)
        time.sleep(0.5)
        system.start(victim)
    now = wait_for(system, lambda now: now.cards >= CARDS and now.settled)
    assert (now.scans, now.cards, now.items, now.doubled, now.parked) == (CARDS, CARDS, CARDS, 0, 0)
    assert now.counted + now.reviews + now.rejected == CARDS
    beeped = acknowledged(system, "left") + acknowledged(system, "right")
    assert len(beeped) == len(set(beeped))
    assert set(beeped) <= set(items(system))
    assert [system.scanned(name) for name in ("left", "right")] == [CARDS // 2, CARDS // 2]


def test_a_station_scans_without_a_network_and_catches_up(system: System) -> None:
    system.kill("broker")
    system.kill("worker")
    system.start_station("left", simulator(40, seed=3))
    deadline = time.monotonic() + 60
    while len(acknowledged(system, "left")) < 40:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert count(system).cards == 0
    system.start("broker")
    system.start("worker")
    assert wait_for(system, reached(40)).doubled == 0


@pytest.mark.data
def test_real_photos_are_counted_once_too(folder: Path, real_data: Path) -> None:
    system = System(folder / "system", pack=folder / "pack.sqlite")
    images = ["--cards", str(real_data / "catalogue"), "--images", str(real_data / "references")]
    try:
        system.edge("catalogue", "catalogue", "build", *images, "--out", str(system.pack))
        system.start_cloud()
        photos = sorted((real_data / "photos").glob("single-*.jpg"))
        system.start_station("left", f'type = "replay"\npath = "{real_data / "photos"}"')
        total = len(list((real_data / "photos").glob("*.jpg")))
        wait_for(system, reached(total // 3))
        system.kill("left")
        system.kill("worker")
        system.start("left")
        system.start("worker")
        now = wait_for(system, reached(total), timeout_s=200)
        assert (now.scans, now.cards, now.items, now.doubled) == (total, total, total, 0)
        assert now.counted <= len(photos), "what shows no single card was counted"
    finally:
        system.stop()

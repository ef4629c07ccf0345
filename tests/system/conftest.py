"""The whole system as child processes, and the fictional cards, drawn once a test run."""

import asyncio
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cardmint_lab.census import Census, take_census
from cardmint_lab.simulator import SimulatedCards
from cardmint_lab.system import System


@pytest.fixture(scope="session")
def fictional(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the fictional cards' facts, images and pack."""
    folder = tmp_path_factory.mktemp("fictional")
    System(tmp_path_factory.mktemp("drawing"), pack=folder / "pack.sqlite").lab(
        "fictional", "fictional", "--out", str(folder)
    )
    return folder


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that Postgres, which runs as another user when we are root, can reach.

    Pytest's own are private.
    """
    with tempfile.TemporaryDirectory(prefix="cardmint-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.fixture
def system(folder: Path, fictional: Path) -> Iterator[System]:
    system = System(folder, pack=fictional / "pack.sqlite")
    try:
        system.start_cloud()
        yield system
    finally:
        system.stop()


def count(system: System) -> Census:
    """Count what is in the inventory right now.

    In a thread, because a browser's test has a loop of its own.
    """
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(
            asyncio.run, take_census(system.postgres.address, system.tenant)
        ).result()


def wait_for(system: System, enough: Callable[[Census], bool], *, timeout_s: float = 120) -> Census:
    """Wait until the inventory is so, every part still running."""
    deadline = time.monotonic() + timeout_s
    while not enough(now := count(system)):
        system.check()
        assert time.monotonic() < deadline, f"it never became so: {now}"
        time.sleep(0.1)
    return now


def simulator(cards: int, *, seed: int, per_minute: float = 600) -> SimulatedCards:
    """So many simulated cards."""
    return SimulatedCards(count=cards, seed=seed, per_minute=per_minute)

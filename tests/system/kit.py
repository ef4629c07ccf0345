"""What the system's tests share: counting cards, waiting for them, and simulated cards."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from cardmint_lab.census import Census, take_census
from cardmint_lab.simulator import SimulatedCards
from cardmint_lab.system import System


def count(system: System) -> Census:
    """Count the cards in the inventory now.

    This runs in a thread, because a browser's test has its own event loop.
    """
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(
            asyncio.run, take_census(system.postgres.address, system.tenant)
        ).result()


def wait_for(system: System, enough: Callable[[Census], bool], *, timeout_s: float = 120) -> Census:
    """Wait until the inventory is `enough`, while every process still runs."""
    deadline = time.monotonic() + timeout_s
    while not enough(now := count(system)):
        system.check()
        assert time.monotonic() < deadline, f"the inventory stayed at {now}"
        time.sleep(0.1)
    return now


def simulator(
    cards: int, *, seed: int, per_minute: float = 600, preset: str = "copy_stand"
) -> SimulatedCards:
    """Return `cards` simulated cards, photographed as well as `preset` says."""
    return SimulatedCards(count=cards, seed=seed, per_minute=per_minute, preset=preset)

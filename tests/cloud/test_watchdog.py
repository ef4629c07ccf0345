"""A process that hangs ends by itself, and says where it hung."""

import subprocess
import sys

_PROGRAM = """
import asyncio, time
from cardmint_cloud.watchdog import watchdog

def hang():
    time.sleep(60)

async def main():
    async with watchdog({standstill}):
        await asyncio.sleep(0.1)
        {step}
    await asyncio.sleep({after})
    print("ended")

asyncio.run(main())
"""


def _run(standstill: float, step: str, after: float = 0) -> subprocess.CompletedProcess[str]:
    program = _PROGRAM.format(standstill=standstill, step=step, after=after)
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=50, check=False
    )


def test_a_loop_that_stands_still_ends_the_process() -> None:
    done = _run(2, "hang()")
    assert (done.returncode, done.stdout) == (1, "")
    assert "in hang" in done.stderr


def test_a_loop_that_turns_goes_on_and_nothing_is_watched_afterwards() -> None:
    done = _run(3, "await asyncio.sleep(0.5)", after=3.5)
    assert (done.returncode, done.stdout, done.stderr) == (0, "ended\n", "")

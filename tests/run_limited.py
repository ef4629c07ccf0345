"""Runs pytest in its own process group, and ends it when a test or the run takes too long.

A time limit inside a process needs a working interpreter, which a hanging process may lack. This
limit is outside. It names the test that hung and the stack of each thread; the exit code is 124.

    python -m tests.run_limited --test-s 600 --run-s 1800 .venv/bin/pytest tests/edge
"""

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

POLL_S, DUMP_S = 0.2, 60
TOO_LONG = 124  # What timeout(1) exits with.


@dataclass(frozen=True, kw_only=True)
class Running:
    """What one process of the run is doing."""

    pid: int
    test: str  # Empty between tests.
    seconds: float


def running(folder: Path) -> list[Running]:
    """Return what each living process wrote down in `folder` (see tests/running.py)."""
    now = time.monotonic()
    found = []
    for file in sorted(folder.iterdir()):
        since, _, test = file.read_text().partition(" ")
        if Path("/proc", file.name).exists():
            found.append(
                Running(pid=int(file.name), test=test, seconds=now - float(since) if test else 0)
            )
    return found


def ended(process: subprocess.Popen[bytes]) -> bool:
    """Return whether the process has ended; it stays a zombie, so its group number stays ours."""
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def wait(
    process: subprocess.Popen[bytes], folder: Path, *, test_s: float, run_s: float
) -> list[Running]:
    """Wait until the process ends or a limit passes; return the tests that hang."""
    deadline = time.monotonic() + run_s
    while not ended(process):
        now = running(folder)
        hanging = [one for one in now if one.seconds > test_s]
        for one in hanging:
            say(f"{one.test} has run for {one.seconds:.0f} s, the limit is {test_s:g} s")
        if hanging:
            return hanging
        if time.monotonic() > deadline:
            say(f"the whole run takes longer than {run_s:g} s; the tests that run now:")
            for one in now:
                say(f"{one.test or 'none'} in process {one.pid}, for {one.seconds:.0f} s")
            return now or [Running(pid=process.pid, test="", seconds=0)]
        time.sleep(POLL_S)
    return []


def dump(pid: int) -> None:
    """Print where each thread of a process is."""
    say(f"process {pid}:")
    command = [str(Path(sys.executable).with_name("py-spy")), "dump", "--pid", str(pid)]
    try:
        subprocess.run(command, stdout=sys.stderr, timeout=DUMP_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        say(f"py-spy could not look into it: {error}")


def end(process: subprocess.Popen[bytes], how: signal.Signals, *, grace_s: float) -> None:
    """Ask the whole group to end, then kill what is left of it."""
    if not ended(process):
        os.killpg(process.pid, how)
        deadline = time.monotonic() + grace_s
        while not ended(process) and time.monotonic() < deadline:
            time.sleep(POLL_S)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def say(message: str) -> None:
    print(f"run_limited: {message}", file=sys.stderr, flush=True)


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Run pytest and end it when it hangs.")
    parser.add_argument("--test-s", type=float, default=600, help="how long one test may take")
    parser.add_argument("--run-s", type=float, default=2400, help="how long the whole run may take")
    parser.add_argument(
        "--grace-s", type=float, default=10, help="how long the run may take to end when asked"
    )
    parser.add_argument("command", nargs=argparse.REMAINDER)
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    how = signal.SIGTERM
    with tempfile.TemporaryDirectory(
        prefix="cardmint-running-", ignore_cleanup_errors=True
    ) as folder:
        environment = {**os.environ, "CARDMINT_RUNNING": folder}
        process = subprocess.Popen(given.command, env=environment, start_new_session=True)
        try:
            hanging = wait(process, Path(folder), test_s=given.test_s, run_s=given.run_s)
            for one in hanging:
                dump(one.pid)
        except KeyboardInterrupt:
            how, hanging = signal.SIGINT, []  # pytest then prints what it has.
        finally:
            end(process, how, grace_s=given.grace_s)
    return TOO_LONG if hanging else process.returncode


if __name__ == "__main__":
    sys.exit(main())

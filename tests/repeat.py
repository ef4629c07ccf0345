"""Repeats the tests that use greenlets, unmeasured as in `.ci/test`, on a busy machine.

`make test-repeat` says which.
"""

import argparse
import signal
import subprocess
import sys
import time

from tests.run_limited import TOO_LONG

BUSY_PROCESSES, RUN_S, TEST_S = 2, 600, 120
BUSY = """
import sys, time
end = time.monotonic() + float(sys.argv[1])
while time.monotonic() < end:
    pass
"""


def run_once(tests: list[str]) -> int:
    """Run the tests beside processes that only use up the processor, and return the exit code."""
    busy = [
        subprocess.Popen([sys.executable, "-c", BUSY, str(RUN_S)]) for _ in range(BUSY_PROCESSES)
    ]
    limits = [
        sys.executable,
        "-m",
        "tests.run_limited",
        "--test-s",
        str(TEST_S),
        "--run-s",
        str(RUN_S),
    ]
    pytest = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-n2",
        "--dist",
        "loadfile",
        "--no-loadscope-reorder",
    ]
    try:
        with subprocess.Popen([*limits, *pytest, *tests]) as running:
            try:
                return running.wait()
            except SystemExit:  # Ctrl-C it gets by itself.
                running.terminate()
                raise
    finally:
        for process in busy:
            process.kill()
            process.wait()


def main() -> int:
    """Run the command line: exit code 1 unless every run ended by itself and passed."""
    parser = argparse.ArgumentParser(description="Run tests many times beside other work.")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("tests", nargs=argparse.REMAINDER)
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    codes: list[int] = []
    for number in range(1, given.runs + 1):
        began = time.monotonic()
        codes.append(run_once(given.tests))
        print(
            f"run {number} of {given.runs}: exit code {codes[-1]},"
            f" {time.monotonic() - began:.0f} s",
            flush=True,
        )
    print(
        f"{given.runs} runs: {given.runs - codes.count(TOO_LONG)} ended by themselves,"
        f" {codes.count(0)} passed"
    )
    return int(any(codes))


if __name__ == "__main__":
    sys.exit(main())

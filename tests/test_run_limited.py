"""The run of the tests ends whatever a test does, and says which test it was."""

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[1]
HANG = """
import signal


def test_that_is_quick():
    pass


def test_that_ignores_every_signal():
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM, signal.SIGTERM, signal.SIGINT})
    while True:
        pass
"""


def run(folder: Path, tests: str, *limits: str) -> subprocess.CompletedProcess[str]:
    """Run `tests` in a worker under the limits, with this repository's own conftest."""
    (folder / "conftest.py").write_text("from tests.conftest import *\n")
    (folder / "test_given.py").write_text(tests)
    pytest_here = [
        sys.executable,
        "-m",
        "pytest",
        "-c",
        "pyproject.toml",
        "-p",
        "no:cacheprovider",
        "-n1",
        str(folder),
    ]
    command = [sys.executable, "-m", "tests.run_limited", "--grace-s", "1", *limits, *pytest_here]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=100, check=False, cwd=ROOT
    )


def test_a_test_that_ignores_signals_is_named_shown_and_ended(tmp_path: Path) -> None:
    done = run(tmp_path, HANG, "--test-s", "3")
    assert done.returncode == 124
    assert "test_given.py::test_that_ignores_every_signal has run for" in done.stderr
    assert "test_that_ignores_every_signal (" in done.stderr, "py-spy shows no stack"
    assert "test_that_is_quick" not in done.stderr
    process = re.search(r"process (\d+):", done.stderr)
    assert process is not None
    deadline = time.monotonic() + 20
    while Path(
        "/proc", process[1]
    ).exists():  # It was killed, and is reaped by whoever inherited it.
        assert time.monotonic() < deadline, f"process {process[1]} is still there"
        time.sleep(0.05)


def test_the_whole_run_has_a_limit(tmp_path: Path) -> None:
    done = run(tmp_path, HANG, "--run-s", "3")
    assert done.returncode == 124
    assert "the whole run takes longer than 3 s" in done.stderr


def test_a_run_within_its_limits_keeps_its_exit_code(tmp_path: Path) -> None:
    failed = run(tmp_path, "def test_false(): assert False")
    assert failed.returncode == 1
    assert failed.stderr == ""

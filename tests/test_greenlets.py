"""A measured test cannot run a greenlet, not even by catching the error."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GREENLET = """
import contextlib

import greenlet


def test_caught():
    with contextlib.suppress(Exception):
        greenlet.greenlet(int).switch()


def test_in_the_open():
    assert greenlet.greenlet(int).switch() == 0


def test_without():
    pass
"""


@pytest.mark.parametrize(
    ("measured", "outcome"), [("--cov", "1 failed, 2 passed, 2 errors"), ("--no-cov", "3 passed")]
)
def test_only_measured_tests_must_not_run_greenlets(
    tmp_path: Path, measured: str, outcome: str
) -> None:
    (tmp_path / "conftest.py").write_text("from tests.conftest import *\n")
    (tmp_path / "test_given.py").write_text(GREENLET)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-c",
        "pyproject.toml",
        "-p",
        "no:cacheprovider",
        str(tmp_path),
        "-q",
    ]
    done = subprocess.run(
        [*command, measured, "--cov-report="],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        cwd=ROOT,
        env={"COVERAGE_FILE": str(tmp_path / "data")},
    )
    assert outcome in done.stdout
    assert ("test_caught runs greenlets" in done.stdout) == (measured == "--cov")
    assert ("pytest.mark.greenlets" in done.stdout) == (measured == "--cov")

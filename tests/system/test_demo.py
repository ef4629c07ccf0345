"""The demo as a newcomer runs it: it counts right, goes on with its folder, and leaves no process behind."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.system


def start(folder: Path, *words: str) -> subprocess.Popen[str]:
    command = [str(Path(sys.executable).with_name("cardmint-cloud")), "demo", "--folder", str(folder), *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def lines_until(demo: subprocess.Popen[str], wanted: str) -> Iterator[str]:
    assert demo.stdout is not None
    for line in demo.stdout:
        yield line
        if wanted in line:
            return
    pytest.fail(f"the demo ended without saying {wanted!r}")


def left_behind(folder: Path) -> list[str]:
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        words = " ".join(process.info["cmdline"] or [])
        if str(folder) in words and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(words)
    return found


def test_every_card_is_counted_and_a_second_start_goes_on(folder: Path) -> None:
    first = start(folder, "--cards", "12", "--exit")
    said, _ = first.communicate(timeout=200)
    assert first.returncode == 0, said
    assert re.search(r"^cards scanned +12$", said, re.MULTILINE), said
    assert re.search(r"^lost +0$", said, re.MULTILINE), said
    assert "the broker is killed" in said
    assert left_behind(folder) == []

    second = start(folder, "--cards", "4")
    list(lines_until(second, "Ctrl-C ends everything"))
    second.send_signal(signal.SIGINT)
    said, _ = second.communicate(timeout=60)
    assert second.returncode == 0, said
    assert left_behind(folder) == []


def test_a_killed_demo_leaves_nothing_behind_and_a_second_one_is_kept_out(folder: Path) -> None:
    demo = start(folder, "--cards", "50")
    list(lines_until(demo, "two stations scan"))
    other = start(folder, "--cards", "1", "--exit")
    said, _ = other.communicate(timeout=60)
    assert other.returncode == 1
    assert "another demo runs" in said
    demo.kill()
    demo.communicate(timeout=60)
    deadline = time.monotonic() + 30
    while left := left_behind(folder):
        assert time.monotonic() < deadline, left
        time.sleep(0.2)

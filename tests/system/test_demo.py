"""The demo as a newcomer runs it: it counts correctly, resumes, and leaves no process behind."""

import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

pytestmark = pytest.mark.system

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(folder: Path) -> Iterator[Start]:
    """Starts demos in the folder. Those that still run end with the test."""
    with ExitStack() as stack:
        yield lambda *words: stack.enter_context(demo(folder, *words))


@contextmanager
def demo(folder: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    """Run a demo as a script does in the background: SIGINT is ignored."""
    program = str(Path(sys.executable).with_name("cardmint-lab"))
    command = [
        "sh",
        "-c",
        'trap "" INT; exec "$@"',
        "sh",
        program,
        "demo",
        "--folder",
        str(folder),
        *words,
    ]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        yield running
    finally:
        running.kill()
        running.communicate(timeout=60)


def lines_until(demo: subprocess.Popen[str], wanted: str, *, timeout_s: float = 200) -> str:
    """Read what a demo says until a line has the words; return that line."""
    assert demo.stdout is not None
    said: list[str] = []
    late = threading.Timer(timeout_s, demo.kill)  # Reading a line has no limit of its own.
    late.start()
    try:
        for line in demo.stdout:
            said.append(line)
            if wanted in line:
                return line
    finally:
        late.cancel()
    pytest.fail(
        f"the demo ended, or was ended after {timeout_s:.0f} s, without saying {wanted!r}: {said}"
    )


def left_behind(folder: Path) -> list[str]:
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        words = " ".join(process.info["cmdline"] or [])
        if str(folder) in words and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(words)
    return found


def test_every_card_is_counted_and_a_second_start_goes_on(start: Start, folder: Path) -> None:
    first = start("--cards", "12", "--exit")
    said, _ = first.communicate(timeout=200)
    assert first.returncode == 0, said
    assert re.search(r"^cards scanned +12$", said, re.MULTILINE), said
    assert re.search(r"^lost +0$", said, re.MULTILINE), said
    assert "the broker is killed" in said
    assert left_behind(folder) == []

    second = start("--cards", "4")
    door = lines_until(second, "signs you in as 'demo', a reviewer").split()[1]
    lines_until(second, "Ctrl-C ends everything")
    with httpx.Client(timeout=30) as browser:
        sent = browser.get(door)
        assert "demo</a>, reviewer" in " ".join(browser.get(sent.headers["location"]).text.split())
        browser.cookies.clear()
        assert browser.get(f"{sent.headers['location']}account").status_code == 401
    second.send_signal(signal.SIGINT)
    said, _ = second.communicate(timeout=60)
    assert second.returncode == 0, said
    assert left_behind(folder) == []


def test_a_killed_demo_leaves_nothing_behind_and_a_second_one_is_kept_out(
    start: Start, folder: Path
) -> None:
    first = start("--cards", "50")
    lines_until(first, "two stations scan")
    second = start("--cards", "1", "--exit")
    said, _ = second.communicate(timeout=60)
    assert second.returncode == 1
    assert "another demo runs" in said
    first.kill()
    first.communicate(timeout=60)
    deadline = time.monotonic() + 30
    while left := left_behind(folder):
        assert time.monotonic() < deadline, left
        time.sleep(0.2)

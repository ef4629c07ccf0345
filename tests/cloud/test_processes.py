"""Child processes: they and what they started end in every case, and no other process does."""

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from cardmint_cloud import app
from cardmint_cloud.errors import StopService
from cardmint_cloud.local.processes import ChildProcess, free_port

LEAVES_ONE_BEHIND = 'sleep 100 & echo $!; exit "$1"'


def started(child: ChildProcess) -> int:
    assert child.wait(20)
    return int(child.log.read_text())


@pytest.mark.parametrize("code", [0, 3])
def test_what_an_ended_process_left_behind_is_ended_too(tmp_path: Path, code: int) -> None:
    child = ChildProcess(["sh", "-c", LEAVES_ONE_BEHIND, "leader", str(code)], tmp_path / "log")
    left = psutil.Process(started(child))
    assert not child.running
    assert child.code == code
    deadline = time.monotonic() + 10
    while left.is_running() and left.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, left
        time.sleep(0.01)


def test_its_number_is_its_own_until_it_is_killed_and_is_never_used_again(tmp_path: Path) -> None:
    child = ChildProcess(["true"], tmp_path / "log")
    assert child.wait(20)
    assert os.getpgid(child.process.pid) == child.process.pid
    child.kill()
    assert not child.running
    sent: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "killpg", lambda group, _: sent.append(group))
        child.stop()
        child.kill()
    assert sent == []


def test_one_that_is_not_ready_says_why(tmp_path: Path) -> None:
    child = ChildProcess(["sh", "-c", "echo no disk; exit 7"], tmp_path / "log")
    with pytest.raises(StopService, match="sh ended with code 7: no disk"):
        child.wait_until(lambda: False)
    late = ChildProcess(["sleep", "100"], tmp_path / "late")
    with pytest.raises(StopService, match="sleep was not ready after 0 s: it printed nothing"):
        late.wait_until(lambda: False, timeout_s=0.1)
    late.stop()
    assert late.code == -15


async def test_a_part_that_swallows_a_cancellation_is_told_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def stubborn() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        await asyncio.sleep(60)

    async def failing() -> None:
        raise StopService("the broker refuses us")

    monkeypatch.setattr(app, "CANCEL_WAIT_S", 0.1)
    before = asyncio.all_tasks()
    async with asyncio.timeout(20):
        with pytest.raises(StopService, match="refuses us"):
            await app.until_stopped(stubborn(), failing())
    assert asyncio.all_tasks() == before


DRAW = """
import sys
from cardmint_cloud.local.processes import free_port
free_port((int(sys.argv[1]), int(sys.argv[1])))
"""


def test_a_port_is_given_to_one_caller_alone() -> None:
    port = free_port()
    with pytest.raises(StopService, match="no free port"):
        free_port((port, port))
    another = subprocess.run(
        [sys.executable, "-c", DRAW, str(port)], capture_output=True, timeout=60, check=False
    )
    assert b"no free port" in another.stderr
    assert port not in {free_port((port - 50, port + 50)) for _ in range(30)}


def test_the_last_words_are_of_this_process_alone(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("a fault of yesterday\n")
    for command, said in (("echo now; echo é", "now / é"), (":", "it printed nothing")):
        child = ChildProcess(["sh", "-c", command], log)
        with pytest.raises(StopService, match=f"ended with code 0: {said}$"):
            child.wait_until(lambda: False)
    log.unlink()
    assert child.last_words() == "its output is gone"

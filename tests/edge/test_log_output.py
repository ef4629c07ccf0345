"""The log never fails, and never holds up whoever writes to it."""

import json
import os
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.edge.kit.scans import NOW
from tests.edge.kit.station import config_of, end_all, simulated
from tests.edge.kit.waiting import until

from cardmint_cloud.local.processes import free_port
from cardmint_edge.adapters.failure_note import FailureNote
from cardmint_edge.adapters.log_output import LogOutput, render
from cardmint_lab.simulator import SimulatedCards


def test_a_full_disk_loses_lines_and_says_so() -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    output = LogOutput(full)
    for _ in range(3):
        output.write("a line\n")
    output.flush()
    os.close(full)
    assert (
        output.problem == "the log cannot be written: No space left on device; lines of it are lost"
    )


def test_a_closed_pipe_and_a_closed_descriptor() -> None:
    reading, writing = os.pipe()
    output = LogOutput(writing)
    os.close(reading)
    output.write("a line\n")
    assert "Broken pipe" in output.problem
    os.close(writing)
    output.write("a line\n")
    assert "cannot be written" in output.problem


def test_a_pipe_that_nobody_reads_holds_up_nobody_and_goes_on_later() -> None:
    reading, writing = os.pipe()
    output = LogOutput(writing)
    lines = [json.dumps({"event": f"{number:06} {'x' * 3000}"}) for number in range(200)]
    for line in lines:
        output.write(line + "\n")
    assert output.problem == "the log cannot be written: nobody reads it; lines of it are lost"
    os.set_blocking(reading, False)
    taken = b""
    while True:
        try:
            taken += os.read(reading, 65536)
        except BlockingIOError:
            break
    output.write("the next\n")
    assert output.problem == ""
    taken += os.read(reading, 65536)
    written = taken.decode().splitlines()
    (about,) = [line for line in written if "lines of the log were lost" in line]
    whole = [line for line in written if line in lines]
    assert whole == lines[: len(whole)]
    assert len(whole) + json.loads(about)["lines"] == 200
    assert written[-1] == "the next"
    os.close(reading)
    os.close(writing)


class Unprintable:
    def __str__(self) -> str:
        raise RuntimeError

    __repr__ = __str__


@given(st.dictionaries(st.text(), st.text() | st.binary() | st.integers() | st.floats()))
def test_every_entry_is_one_line_of_json(values: dict[str, object]) -> None:
    line = render(None, "info", {**values, "event": "card"})
    assert "\n" not in line
    assert json.loads(line)["event"] == "card"


def test_an_entry_that_cannot_be_rendered_keeps_its_event() -> None:
    line = json.loads(render(None, "error", {"event": "card", "value": Unprintable()}))
    assert line == {"event": "card", "level": "error", "not_rendered": "RuntimeError"}


def test_a_failure_is_remembered_until_the_agent_ends_well(tmp_path: Path) -> None:
    path = tmp_path / "note"
    assert FailureNote(path).text == ""
    FailureNote(path).write(NOW, "the pack is torn")
    note = FailureNote(path)
    assert note.text.endswith("and was started again: the pack is torn")
    note.clear()
    assert FailureNote(path).text == ""
    FailureNote(tmp_path / "none" / "note").write(NOW, "no folder")
    FailureNote(tmp_path).clear()


@pytest.mark.integration
@pytest.mark.parametrize("log", ["full", "unread", "closed"])
def test_counting_goes_on_without_a_log(tmp_path: Path, fictional: Path, log: str) -> None:
    port = free_port()
    config = config_of(tmp_path, fictional / "pack.sqlite", free_port(), page_port=port, beep=True)
    reading, writing = os.pipe()
    if log == "full":
        os.close(writing)
        writing = os.open("/dev/full", os.O_WRONLY)
    elif log == "unread":
        os.set_blocking(writing, False)
        os.write(writing, b"x" * 65536)
        os.set_blocking(writing, True)
    command = simulated(config, SimulatedCards(per_minute=600))
    agent = subprocess.Popen(command, stdout=writing, stderr=writing)
    if log == "closed":
        os.close(reading)
    try:
        until(lambda: _state(port)["scanned"] >= 5 or agent.poll() is not None, 60)
        assert agent.poll() is None
        assert "the log cannot be written" in _state(port)["problems"][0]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/") as answer:
            assert "The log cannot be written" in answer.read().decode()
        agent.terminate()
        assert agent.wait(20) == 0
    finally:
        agent.kill()
        agent.wait()
        os.close(writing)
        if log != "closed":
            os.close(reading)
        end_all()


def _state(port: int) -> dict[str, Any]:
    """Return what the page shows; nothing scanned while there is no page yet."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/state") as answer:
            state: dict[str, Any] = json.load(answer)
    except OSError:
        return {"scanned": 0}
    return state

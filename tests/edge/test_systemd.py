"""Notifications to systemd: ready, alive while all is well, stopping. Without systemd: none."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from tests.edge.kit.components import StoppableComponent
from tests.edge.kit.folders import quick_folder

from cardmint_edge.adapters.sqlite.database import Database
from cardmint_edge.adapters.systemd import Systemd
from cardmint_edge.supervisor import ComponentThread, StationSupervisor


class NotifySocket:
    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.socket.settimeout(0.2)
        self.environment = {
            "NOTIFY_SOCKET": str(path),
            "WATCHDOG_USEC": "600000",
            "WATCHDOG_PID": str(os.getpid()),
        }

    def heard(self) -> list[str]:
        lines: list[str] = []
        try:
            while True:
                lines += self.socket.recv(4096).decode().split("\n")
        except TimeoutError:
            return lines


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[NotifySocket]:
    opened = NotifySocket(tmp_path / "notify")
    yield opened
    opened.socket.close()


def run(environment: dict[str, str], hangs: str, seconds: float) -> list[dict[str, object]]:
    with quick_folder() as folder, capture_logs() as logs:
        station = StationSupervisor(
            threads=[ComponentThread(name="count", component=StoppableComponent())],
            database=Database.open(folder / "outbox.db"),
            drained=lambda: True,
            close=lambda: None,
            find_hang=lambda: hangs,
            systemd=Systemd(environment),
        )
        import threading

        threading.Timer(seconds, station.stop).start()
        station.run(exit_when_done=False, drain_timeout_s=0)
    return [dict(entry) for entry in logs]


def test_a_station_that_is_well_says_so(listener: NotifySocket) -> None:
    run(listener.environment, "", 0.8)
    heard = listener.heard()
    assert heard[0] == "READY=1"
    assert "WATCHDOG=1" in heard
    assert heard[-2] == "STOPPING=1"


def test_a_station_that_hangs_is_left_to_the_watchdog(listener: NotifySocket) -> None:
    logs = run(listener.environment, "the camera hangs", 0.8)
    assert "WATCHDOG=1" not in listener.heard()
    assert any(entry.get("reason") == "the camera hangs" for entry in logs)


def test_an_abstract_socket_and_none() -> None:
    name = f"cardmint-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind("\0" + name)
        Systemd({"NOTIFY_SOCKET": "@" + name}).notify("READY=1")
        assert end.recv(100) == b"READY=1"
    Systemd({"NOTIFY_SOCKET": "@" + name}).notify("READY=1")
    assert Systemd({}).watchdog_s == 0
    assert Systemd({"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"}).watchdog_s == 0

"""Notifications to systemd: ready, alive, stopping. Without systemd they go nowhere."""

import os
import socket
from collections.abc import Mapping
from contextlib import suppress


class Systemd:
    """Sends notifications (sd_notify(3)) to the socket that the environment names."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        microseconds = environment.get("WATCHDOG_USEC", "0")
        for_us = environment.get("WATCHDOG_PID", "") in {"", str(os.getpid())}
        self.watchdog_s = int(microseconds) / 1e6 if for_us and microseconds.isdecimal() else 0.0

    @property
    def present(self) -> bool:
        """Whether systemd started the agent, and would start it again."""
        return bool(self._address)

    def notify(self, *lines: str) -> None:
        """Send lines such as `READY=1`. Errors are ignored: counting goes on without systemd."""
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with (
            suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as end,
        ):
            end.sendto("\n".join(lines).encode(), address)

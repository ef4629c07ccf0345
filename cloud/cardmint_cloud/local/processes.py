"""Child processes on free ports: started, waited for, and ended for certain."""

import contextlib
import fcntl
import functools
import os
import random
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from cardmint_cloud.errors import StopService

PORTS = (20_000, 32_767)
"""Range of ports below those that Linux gives to outgoing connections.

A connection could take a free port above before its server does.
"""

_END_S = 30.0
"""Seconds that a killed process may take to end; one that waits for its disk does so first."""


_given: set[int] = set()
"""Ports that this process was given; its own locks do not exclude it."""


def free_port(ports: tuple[int, int] = PORTS) -> int:
    """Return a free TCP port on loopback, from a range, that no other caller was given.

    It is reserved until this process ends, so that a server there may start late and start again.

    Raises:
        StopService: none of a hundred random ports is free.
    """
    for _ in range(100):
        port = random.SystemRandom().randint(*ports)
        if port in _given:
            continue
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            fcntl.lockf(_reserved(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
            _given.add(port)
            return port
    raise StopService(f"there is no free port from {ports[0]} to {ports[1]} on loopback")


@functools.cache
def _reserved() -> int:
    """Return the lock file; the byte at a port's number is locked while it is reserved."""
    path = Path(tempfile.gettempdir()) / f"cardmint-ports-{os.getuid()}"
    # Owned by us and no link to elsewhere: the folder is everybody's.
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def accepts_connections(port: int) -> bool:
    """Whether a server accepts connections on a loopback port."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=0.5).close()
    except OSError:
        return False
    return True


_GUARD = 'read -r _; kill -TERM "-$1"; sleep 2; kill -KILL "-$1"'


class ChildProcess:
    """One child process in its own process group, with its output appended to a file.

    A terminal's Ctrl-C reaches only the parent, which ends its children in order. If the parent is
    killed, a guard ends the group: a shell that waits for its end of a pipe to close.
    """

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        *,
        env: Mapping[str, str] | None = None,
        user: str | None = None,
        stdin: int = subprocess.DEVNULL,
    ) -> None:
        self.name = Path(command[0]).name
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            self._said_from = output.tell()
            self.process = subprocess.Popen(
                list(command),
                stdin=stdin,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                user=user,
                start_new_session=True,
            )
        self._guard = subprocess.Popen(
            ["sh", "-c", _GUARD, "guard", str(self.process.pid)],
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            user=user,
        )

    @property
    def running(self) -> bool:
        """Whether the process has not ended.

        An ended process stays a zombie until `kill`, so that its number, which is also its group's,
        is not given to another.
        """
        if self.process.returncode is not None:
            return False
        return os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None

    @property
    def code(self) -> int:
        """Exit code. A process that still runs is killed first, with everything that it started."""
        self.kill()
        return int(self.process.returncode)

    def wait_until(self, ready: Callable[[], bool], *, timeout_s: float = 30) -> None:
        """Wait for `ready`.

        Raises:
            StopService: the process ended or was not ready in time; the message has its last
                output.
        """
        deadline = time.monotonic() + timeout_s
        while not ready():
            if not self.running:
                raise StopService(f"{self.name} ended with code {self.code}: {self.last_words()}")
            if time.monotonic() > deadline:
                raise StopService(
                    f"{self.name} was not ready after {timeout_s:.0f} s: {self.last_words()}"
                )
            time.sleep(0.02)

    def last_words(self) -> str:
        """Return the last lines of this process's output, without those of earlier ones."""
        with contextlib.suppress(FileNotFoundError), self.log.open("rb") as output:
            output.seek(self._said_from)
            lines = output.read().decode(errors="replace").strip().splitlines()
            return " / ".join(lines[-3:]) or "it printed nothing"
        return "its output is gone"

    def stop(self, *, timeout_s: float = 10, how: signal.Signals = signal.SIGTERM) -> None:
        """Send the signal `how` and wait; then kill the whole group."""
        if self.running:
            os.kill(self.process.pid, how)
            self.wait(timeout_s)
        self.kill()

    def wait(self, timeout_s: float) -> bool:
        """Wait for the process to end by itself; False when it has not in time."""
        deadline = time.monotonic() + timeout_s
        while self.running:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True

    def kill(self) -> None:
        """Kill the process and its group at once, as a power cut would.

        Raises:
            StopService: it still exists after half a minute.
        """
        self._guard.kill()
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
        for process in (self._guard, self.process):
            if process.stdin is not None:
                process.stdin.close()
            try:
                process.wait(_END_S)
            except subprocess.TimeoutExpired:
                killed = f"{self.name} (process {process.pid}) was killed"
                raise StopService(f"{killed} and still exists {_END_S:.0f} s later") from None

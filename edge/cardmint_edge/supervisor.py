"""The supervisor of the station's threads: it starts, watches and stops them."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import structlog

from cardmint_edge.adapters.sqlite.database import Database
from cardmint_edge.adapters.systemd import Systemd
from cardmint_edge.errors import EdgeError, Stop

STOP_S = 4.5
"""Seconds that a graceful stop may take in all."""

CHECK_EVERY_S = 0.1

log = structlog.get_logger(__name__)


class Component(Protocol):
    """A part of the station that runs in a thread of its own."""

    def run(self) -> None:
        """Work until `stop`."""
        ...

    def stop(self) -> None:
        """Make `run` return soon, from any thread."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class ComponentThread:
    """A component and its name in the log. `may_end` marks one that may end by itself."""

    name: str
    component: Component
    may_end: bool = False


class StationSupervisor:
    """Runs the components side by side, and stops them in the order in which they are given."""

    def __init__(
        self,
        *,
        threads: list[ComponentThread],
        database: Database,
        drained: Callable[[], bool],
        close: Callable[[], None],
        stop_s: float = STOP_S,
        find_hang: Callable[[], str] = lambda: "",
        systemd: Systemd | None = None,
        on_end: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Take the components.

        `drained` returns whether everything is sent. `close` releases the rest after a stop.
        `on_end` takes the reason of a failure, or an empty text after a stop.
        `find_hang` returns a description of what hangs, or an empty text; while something hangs,
        systemd's watchdog gets no sign of life.
        """
        self._stop_s = stop_s
        self._find_hang = find_hang
        self._systemd = systemd or Systemd({})
        self._on_end = on_end
        self._next_sign_of_life = 0.0
        self._components = threads
        self._database = database
        self._drained = drained
        self._close = close
        self._threads = {thread.name: self._thread(thread) for thread in threads}
        self._ending = threading.Event()
        self._failure: BaseException | None = None

    def stop(self) -> None:
        """Make `run` return; safe in a signal handler."""
        self._ending.set()

    def run(self, *, exit_when_done: bool, drain_timeout_s: float) -> bool:
        """Run until `stop`; with `exit_when_done` until the camera is done and everything is sent.

        Returns whether everything was sent.

        Raises:
            Stop: a component failed for good.
        """
        for thread in self._threads.values():
            thread.start()
        self._systemd.notify("READY=1", "STATUS=counting")
        deadline: float | None = None
        while not self._ending.wait(CHECK_EVERY_S):
            self._send_sign_of_life()
            if not exit_when_done or self._counting():
                continue
            deadline = deadline or time.monotonic() + drain_timeout_s
            if self._drained() or time.monotonic() > deadline:
                break
        drained = self._failure is None and self._drained()
        self._on_end(self._reason)
        self._shut_down()
        if self._failure is not None:
            raise Stop(self._reason) from self._failure
        return drained

    @property
    def _reason(self) -> str:
        """Why the station failed; empty if it did not."""
        if self._failure is None or isinstance(self._failure, EdgeError):
            return str(self._failure or "")
        return f"the station failed; this is a bug: {self._failure!r}; see the log above"

    def _send_sign_of_life(self) -> None:
        now = time.monotonic()
        if not self._systemd.watchdog_s or now < self._next_sign_of_life:
            return
        self._next_sign_of_life = now + self._systemd.watchdog_s / 3
        hang = self._find_hang()
        if hang:
            log.error("systemd's watchdog gets no sign of life", reason=hang)
        else:
            self._systemd.notify("WATCHDOG=1")

    def _counting(self) -> bool:
        return any(
            self._threads[thread.name].is_alive() for thread in self._components if thread.may_end
        )

    def _thread(self, component_thread: ComponentThread) -> threading.Thread:
        def work() -> None:
            name = component_thread.name
            try:
                component_thread.component.run()
                self._check_end(component_thread)
            except BaseException as error:
                self._failure = error
                self._ending.set()
                if not isinstance(error, EdgeError):
                    log.exception("failed", component=name)
            else:
                log.info("ended", component=name)

        return threading.Thread(target=work, name=component_thread.name, daemon=True)

    def _check_end(self, ended: ComponentThread) -> None:
        """Raise RuntimeError if a component ended by itself that never may."""
        if not ended.may_end and not self._ending.is_set():
            message = f"the part {ended.name!r} ended by itself"
            raise RuntimeError(message)

    def _shut_down(self) -> None:
        self._ending.set()
        self._systemd.notify("STOPPING=1", "STATUS=stopping")
        deadline = time.monotonic() + self._stop_s
        for component_thread in self._components:
            component_thread.component.stop()
        for name, thread in self._threads.items():
            thread.join(max(0.0, deadline - time.monotonic()))
            if thread.is_alive():
                log.warning("did not stop in time; the process ends without it", component=name)
        self._close()
        if not any(thread.is_alive() for thread in self._threads.values()):
            self._database.close()

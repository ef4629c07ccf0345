"""The station at work: its threads, how they begin, how they end, and what they say of themselves."""

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
"""How long a graceful stop may take in all; systemd and people expect a few seconds."""

LOOK_S = 0.1

log = structlog.get_logger(__name__)


class Component(Protocol):
    """Something that runs in a thread of its own until it is told to stop."""

    def run(self) -> None:
        """Work until `stop`."""
        ...

    def stop(self) -> None:
        """Make `run` return soon; from any thread."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class ComponentThread:
    """A part, its name in the log, and whether the station is over when it ends by itself."""

    name: str
    part: Component
    may_end: bool = False


class StationSupervisor:
    """Runs parts side by side. They are stopped in the order in which they are given."""

    def __init__(
        self,
        *,
        parts: list[ComponentThread],
        database: Database,
        drained: Callable[[], bool],
        close: Callable[[], None],
        stop_s: float = STOP_S,
        well: Callable[[], str] = lambda: "",
        systemd: Systemd | None = None,
    ) -> None:
        """Take the parts.

        `drained` says whether nothing waits to be sent, `close` lets the rest go after a stop, and
        `well` what hangs, in words, when something does: then the watchdog is told no more that the
        station lives.
        """
        self._stop_s = stop_s
        self._well = well
        self._systemd = systemd or Systemd({})
        self._alive_until = 0.0
        self._parts = parts
        self._database = database
        self._drained = drained
        self._close = close
        self._threads = {running.name: self._thread(running) for running in parts}
        self._over = threading.Event()
        self._failure: BaseException | None = None

    def stop(self) -> None:
        """Make `run` return; safe in a signal handler."""
        self._over.set()

    def run(self, *, exit_when_done: bool, drain_timeout_s: float) -> bool:
        """Run until `stop`, or, if asked, until the camera is done and everything is sent.

        Say whether all was sent.

        Raises:
            Stop: a part failed for good.
        """
        for thread in self._threads.values():
            thread.start()
        self._systemd.say("READY=1", "STATUS=counting")
        deadline: float | None = None
        while not self._over.wait(LOOK_S):
            self._stay_alive()
            if not exit_when_done or self._counting():
                continue
            deadline = deadline or time.monotonic() + drain_timeout_s
            if self._drained() or time.monotonic() > deadline:
                break
        drained = self._failure is None and self._drained()
        self._shut_down()
        if isinstance(self._failure, EdgeError):
            raise Stop(str(self._failure)) from self._failure
        if self._failure is not None:
            message = f"the station failed, which is a bug: {self._failure!r}; see the log above"
            raise Stop(message) from self._failure
        return drained

    def _stay_alive(self) -> None:
        now = time.monotonic()
        if not self._systemd.watchdog_s or now < self._alive_until:
            return
        self._alive_until = now + self._systemd.watchdog_s / 3
        hangs = self._well()
        if hangs:
            log.error("the watchdog is not told that the station lives", reason=hangs)
        else:
            self._systemd.say("WATCHDOG=1")

    def _counting(self) -> bool:
        return any(
            self._threads[running.name].is_alive() for running in self._parts if running.may_end
        )

    def _thread(self, running: ComponentThread) -> threading.Thread:
        def work() -> None:
            try:
                running.part.run()
            except BaseException as error:
                if not isinstance(error, EdgeError):
                    log.exception("failed", part=running.name)
                self._failure = error
                self._over.set()
            else:
                log.info("ended", part=running.name)

        return threading.Thread(target=work, name=running.name, daemon=True)

    def _shut_down(self) -> None:
        self._systemd.say("STOPPING=1", "STATUS=stopping")
        deadline = time.monotonic() + self._stop_s
        for running in self._parts:
            running.part.stop()
        for name, thread in self._threads.items():
            thread.join(max(0.0, deadline - time.monotonic()))
            if thread.is_alive():
                log.warning("did not stop in time; the process ends without it", part=name)
        self._close()
        if not any(thread.is_alive() for thread in self._threads.values()):
            self._database.close()

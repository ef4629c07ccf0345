"""Notices that the settings' pack file was replaced, and takes the new one into use."""

import threading
from collections.abc import Callable
from pathlib import Path

import structlog

from cardmint_edge.errors import EdgeError

POLL_S = 2.0

log = structlog.get_logger(__name__)


class PackFileWatch:
    """Looks at the pack file until `stop`. A new file is used once it did not change for a poll."""

    def __init__(
        self,
        file: Path,
        *,
        in_use: Callable[[], bool],
        reload: Callable[[], str],
        poll_s: float = POLL_S,
    ) -> None:
        """Take the file.

        `in_use` returns whether it is the pack in use, and none from the cloud. `reload` opens it,
        and returns what is in use.
        """
        self._file = file
        self._in_use = in_use
        self._reload = reload
        self._poll_s = poll_s
        self._stopping = threading.Event()
        self._loaded = self._seen = self._stamp()
        self.problem = ""
        """Why the file that lies there now is not in use; empty while it is."""

    def stop(self) -> None:
        """Make `run` return."""
        self._stopping.set()

    def run(self) -> None:
        """Look every few seconds."""
        while not self._stopping.wait(self._poll_s):
            self.look()

    def look(self) -> None:
        """Look once. The earlier pack stays in use when the new file cannot be used."""
        stamp, seen = self._stamp(), self._seen
        self._seen = stamp
        if stamp == self._loaded or stamp != seen or not self._in_use():
            return
        self._loaded = stamp
        if stamp is None:
            self.problem = (
                f"{self._file} is gone; the pack that was loaded from it is in use until the next"
                " start: put it back"
            )
            return
        try:
            result = self._reload()
        except EdgeError as error:
            self.problem = f"the pack file was replaced, and the earlier pack stays in use: {error}"
            log.error("the replaced pack file is not used", reason=str(error))
            return
        self.problem = ""
        log.info("the pack file was replaced", result=result)

    def _stamp(self) -> tuple[int, int, int] | None:
        try:
            status = self._file.stat()
        except OSError:
            return None
        return status.st_ino, status.st_size, status.st_mtime_ns

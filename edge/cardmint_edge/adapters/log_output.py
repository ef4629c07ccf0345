"""The log's lines to a file descriptor that may be full, closed or not read.

A line that cannot be written is dropped and counted: no thread of the station fails or waits
because of its log.
"""

import os
import select
import threading

import structlog
from structlog.typing import EventDict, WrappedLogger

CHUNK_BYTES = select.PIPE_BUF
"""Bytes written at once: a pipe that is ready takes as many without waiting."""

PATIENCE_MS = 50
"""Milliseconds to wait for a reader that was fast enough so far."""


class LogOutput:
    """A text file of whole lines, as structlog's `WriteLogger` needs it. It never raises."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._mutex = threading.Lock()
        self._inside_line = False
        self._patience_ms = PATIENCE_MS
        self._dropped = 0
        self.problem = ""
        """Why lines are lost at the moment; empty while the log is written."""

    def write(self, text: str) -> int:
        """Write a line, or drop it. Return the number of characters taken."""
        with self._mutex:
            if self._dropped and self.try_to_write(_line_about(self._dropped)):
                self._dropped = 0
            if self._dropped or not self.try_to_write(text.encode(errors="backslashreplace")):
                self._dropped += 1
        return len(text)

    def flush(self) -> None:
        """Do nothing: every line is written at once."""

    def try_to_write(self, line: bytes) -> bool:
        """Write bytes without counting what is lost, and return whether they were written."""
        # The rest of a line that was cut off before must not run into this one.
        left = memoryview(b"\n" + line if self._inside_line else line)
        try:
            while left:
                self._wait_until_ready()
                left = left[os.write(self._descriptor, left[:CHUNK_BYTES]) :]
                self._inside_line = True
        except OSError as error:
            self._patience_ms = 0
            self.problem = f"the log cannot be written: {error.strerror}; lines of it are lost"
            return False
        self._patience_ms = PATIENCE_MS
        self._inside_line = False
        self.problem = ""
        return True

    def _wait_until_ready(self) -> None:
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        if not poll.poll(self._patience_ms):
            message = "nobody reads it"
            raise BlockingIOError(0, message)


def _line_about(dropped: int) -> bytes:
    entry = f'{{"event": "lines of the log were lost", "level": "warning", "lines": {dropped}}}\n'
    return entry.encode()


def render(logger: WrappedLogger, name: str, event: EventDict) -> str:
    """Render an entry as JSON; of an entry that cannot be rendered, the bare event."""
    bare = {"event": str(event.get("event", "")), "level": name}
    try:
        return str(_json(logger, name, _with_traceback(logger, name, event)))
    except Exception as error:  # noqa: BLE001 - a value's `__repr__` may raise anything
        return str(_json(logger, name, {**bare, "not_rendered": type(error).__name__}))


_json = structlog.processors.JSONRenderer(default=str)
_with_traceback = structlog.processors.dict_tracebacks

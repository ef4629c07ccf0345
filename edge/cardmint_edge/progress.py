"""Progress on a terminal as a bar with an estimate, elsewhere as plain lines."""

import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import click

LINE_EVERY_S = 10.0


class TerminalProgress:
    """A bar on standard error."""

    def __init__(self) -> None:
        self._shown = ExitStack()
        self._bar: Any = None

    def begin(self, what: str, total: int) -> None:
        """Begin `total` steps."""
        if total:
            bar = click.progressbar(
                length=total, label=what, file=sys.stderr, show_eta=True, show_pos=True
            )
            self._bar = self._shown.enter_context(bar)

    def advance(self) -> None:
        """Count one step."""
        if self._bar is not None:
            self._bar.update(1)

    def end(self) -> None:
        """End the bar."""
        self._shown.close()
        self._bar = None


class LineProgress:
    """A line every ten seconds, and one at the end. `clock` returns seconds."""

    def __init__(
        self, write: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._write = write
        self._clock = clock
        self._what, self._total, self._done = "", 0, 0
        self._began = self._said = clock()

    def begin(self, what: str, total: int) -> None:
        """Begin `total` steps."""
        self._what, self._total, self._done = what, total, 0
        self._began = self._said = self._clock()

    def advance(self) -> None:
        """Count one step."""
        self._done += 1
        now = self._clock()
        if now - self._said >= LINE_EVERY_S:
            self._said = now
            left = (now - self._began) / self._done * (self._total - self._done)
            self._write(f"{self._what}: {self._done} of {self._total}, {left:.0f} s left")

    def end(self) -> None:
        """Say how many were done."""
        if self._total:
            self._write(f"{self._what}: {self._done} of {self._total}")


def progress_for_stderr() -> TerminalProgress | LineProgress:
    """Return the progress that fits standard error."""
    if sys.stderr.isatty():
        return TerminalProgress()
    return LineProgress(lambda line: click.echo(line, err=True))

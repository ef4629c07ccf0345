"""What happened to files that need no answer, for the page: the last of each kind."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from cardmint_edge.adapters.cameras.file_names import printable
from cardmint_edge.adapters.cameras.folder_places import key_of
from cardmint_edge.capture import SourceFile

SHOWN_S = 600.0


class FileNotices:
    """The last notice of each reason, for ten minutes."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._last: dict[str, tuple[float, SourceFile]] = {}
        self._counts: dict[str, int] = {}

    @property
    def shown(self) -> tuple[SourceFile, ...]:
        """The notices to show now."""
        now = self._clock()
        return tuple(file for until, file in self._last.values() if now < until)

    def add(self, path: Path, reason: str, message: str, length: int) -> None:
        """Show a notice about a file of so many bytes, with the number of such files."""
        count = self._counts[reason] = self._counts.get(reason, 0) + 1
        file = SourceFile(
            key=key_of(path),
            name=printable(path),
            reason=reason,
            message=f"{message} ({count} since the start)",
            bytes=length,
            time=datetime.now(UTC),
        )
        self._last = {**self._last, reason: (self._clock() + SHOWN_S, file)}

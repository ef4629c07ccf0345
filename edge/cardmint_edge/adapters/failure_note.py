"""The last failure of the agent, in a file, so that the page can show it after the restart."""

from contextlib import suppress
from datetime import datetime
from pathlib import Path

from cardmint_edge.adapters.durable_files import write_file

FAILURE_FILE = "last-failure.txt"
"""Name of the file in the station's data folder."""

MAX_CHARACTERS = 500


class FailureNote:
    """One sentence about the last failure; no file, no failure. No method raises."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.text = ""
        """What was written before this start; empty when the agent ended well."""
        with suppress(OSError), path.open(encoding="utf-8", errors="replace") as file:
            self.text = file.read(MAX_CHARACTERS)

    def write(self, now: datetime, reason: str) -> None:
        """Remember a failure for the next start."""
        moment = now.astimezone().strftime("%-d %B, %H:%M:%S")
        text = f"the agent ended on {moment} and was started again: {reason}"
        with suppress(OSError):
            write_file(self._path, text[:MAX_CHARACTERS].encode(errors="replace"))

    def clear(self) -> None:
        """Forget the failure: the agent ended well."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)

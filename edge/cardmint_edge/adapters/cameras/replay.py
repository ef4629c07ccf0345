"""A camera that gives image files, in order of their names, once or endlessly."""

from collections.abc import Sequence
from pathlib import Path

from cardmint_edge.adapters.decode import ENDINGS, read_image
from cardmint_edge.capture import Shot
from cardmint_edge.errors import Stop


def images_in(folder: Path) -> list[Path]:
    """Return a folder's image files in the order of their names.

    Raises:
        Stop: the folder cannot be read.
    """
    try:
        return sorted(
            path for path in folder.iterdir() if path.suffix.lower() in ENDINGS and path.is_file()
        )
    except OSError as error:
        raise Stop(f"{folder}: {error.strerror}: name a folder of images") from None


class ReplayCamera:
    """Gives each file once, or endlessly with `loop`. `start_at` is the number of files to skip."""

    def __init__(
        self, files: Sequence[Path] | Path, *, loop: bool = False, start_at: int = 0
    ) -> None:
        self._files = images_in(files) if isinstance(files, Path) else list(files)
        self._loop = loop
        self._taken = start_at

    @property
    def name(self) -> str:
        """The camera's name."""
        return "replay"

    @property
    def done(self) -> bool:
        """Whether every file was given."""
        return not self._files or (not self._loop and self._taken >= len(self._files))

    def next(self, timeout_s: float) -> Shot | None:  # noqa: ARG002 - files come at once
        """Return the next file's frame.

        Raises:
            Park: the file cannot be read. The next call returns the file after it.
        """
        if self.done:
            return None
        path = self._files[self._taken % len(self._files)]
        self._taken += 1
        return Shot(frame=read_image(path), origin=path.name)

    def capture(self) -> bool:
        """Return False: this camera takes no shot on command."""
        return False

    def confirm(self) -> None:
        """Do nothing: after a restart the caller passes `start_at`."""

    def set_aside(self, reason: str, message: str) -> None:
        """Do nothing: the files stay where they are."""

    def close(self) -> None:
        """Do nothing: no file stays open."""

"""A camera that plays files back, in order, once or for ever."""

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
        message = f"{folder}: {error.strerror}: name a folder of images"
        raise Stop(message) from None


class ReplayCamera:
    """Gives each file once, or over and over when looped.

    `start_at` skips as many shots as were confirmed before.
    """

    def __init__(
        self, files: Sequence[Path] | Path, *, loop: bool = False, start_at: int = 0
    ) -> None:
        self._files = images_in(files) if isinstance(files, Path) else list(files)
        self._loop = loop
        self._taken = start_at

    @property
    def name(self) -> str:
        """What the camera is called."""
        return "replay"

    @property
    def done(self) -> bool:
        """Whether every file was given."""
        return not self._files or (not self._loop and self._taken >= len(self._files))

    def next(self, timeout_s: float) -> Shot | None:  # noqa: ARG002 - files never keep anyone waiting
        """Give the next file's frame.

        Raises:
            Park: the file cannot be read; the next call gives the one after it.
        """
        if self.done:
            return None
        path = self._files[self._taken % len(self._files)]
        self._taken += 1
        return Shot(frame=read_image(path), origin=path.name)

    def capture(self) -> bool:
        """Return False: the shots come as they come."""
        return False

    def confirm(self) -> None:
        """Do nothing: the caller counts, and passes `start_at` after a restart."""

    def close(self) -> None:
        """Do nothing: no file stays open."""

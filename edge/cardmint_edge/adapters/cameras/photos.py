"""The folder of photos from phones as a camera, and the camera of a station without one."""

import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from cardmint_edge.capture import NO_FILES, Shot, SourceFiles

if TYPE_CHECKING:
    from cardmint_edge.adapters.cameras.folder import FolderCamera


class PhotoCamera:
    """A folder camera that is opened when the first photo is there: the decoders need memory."""

    name = "photos"
    done = False

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._camera: FolderCamera | None = None

    @property
    def files(self) -> SourceFiles:
        """The photos that gave no scan."""
        return NO_FILES if self._camera is None else self._camera.files

    def next(self, timeout_s: float) -> Shot | None:
        """Wait for a photo, as a folder camera does."""
        if self._camera is None:
            if not _has_files(self._folder):
                time.sleep(timeout_s)
                return None
            from cardmint_edge.adapters.cameras.folder import FolderCamera  # noqa: PLC0415 - loads the decoders

            self._camera = FolderCamera(self._folder, settle_s=0.0)
        return self._camera.next(timeout_s)

    def capture(self) -> bool:
        """Return False: a phone takes its photos itself."""
        return False

    def confirm(self) -> None:
        """Mark the last photo as counted."""
        if self._camera is not None:
            self._camera.confirm()

    def set_aside(self, reason: str, message: str) -> None:
        """Mark the last photo as not counted."""
        if self._camera is not None:
            self._camera.set_aside(reason, message)

    def close(self) -> None:
        """Do nothing: no file stays open."""


def _has_files(folder: Path) -> bool:
    with suppress(OSError):
        return any(not path.name.startswith(".") for path in folder.iterdir())
    return False


class NoCamera:
    """The camera of a station whose cards come from phones only."""

    name = "phones"
    done = False

    def next(self, timeout_s: float) -> Shot | None:
        """Return None after `timeout_s` seconds."""
        time.sleep(timeout_s)
        return None

    def capture(self) -> bool:
        """Return False: there is nothing to take a shot with."""
        return False

    def confirm(self) -> None:
        """Do nothing: there are no shots."""

    def set_aside(self, reason: str, message: str) -> None:
        """Do nothing: there are no shots."""

    def close(self) -> None:
        """Do nothing."""

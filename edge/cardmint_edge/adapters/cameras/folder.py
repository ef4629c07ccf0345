"""A watched folder as a camera: another program writes files there, and each becomes a shot."""

import time
from collections.abc import Callable
from pathlib import Path

from cardmint_edge.adapters.cameras.replay import images_in
from cardmint_edge.adapters.decode import Unreadable, read_image
from cardmint_edge.capture import Shot
from cardmint_edge.errors import Retry

POLL_S = 0.1
COUNTING = "counting"
"""Folder of the file whose shot is taken and not confirmed: at most one."""


class FolderCamera:
    """Takes files in order of their names, each once it has not changed for `settle_s` seconds.

    A file is moved to `counting/` when its shot is taken, and to `done/` when that is confirmed. A
    file that is no usable image is moved to `parked/`, with the reason in a file beside it. A shot
    that was never confirmed is still in `counting/`, and comes before any other after a restart. So
    only the first shot after a start can be one that was counted before it.
    """

    def __init__(
        self,
        folder: Path,
        *,
        settle_s: float = 0.3,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._folder = folder
        self._settle_s = settle_s
        self._clock = clock
        self._sleep = sleep
        self._states: dict[Path, tuple[int, int, float]] = {}
        self._unconfirmed: Path | None = None
        images_in(folder)

    @property
    def name(self) -> str:
        """The camera's name."""
        return "folder"

    @property
    def done(self) -> bool:
        """False: another file may always come."""
        return False

    def next(self, timeout_s: float) -> Shot | None:
        """Wait for a file that no longer changes. An unconfirmed file comes again.

        Raises:
            Park: the file cannot be used, and was moved to `parked/`.
            Retry: the folder is missing, or a file cannot be moved.
        """
        until = self._clock() + timeout_s
        while True:
            path = self._unconfirmed_file() or self._settled()
            if path is not None:
                return self._shot(path)
            left = until - self._clock()
            if left <= 0:
                return None
            self._sleep(min(POLL_S, left))

    def capture(self) -> bool:
        """Return False: this camera takes no shot on command."""
        return False

    def confirm(self) -> None:
        """Move the last shot's file to `done/`.

        Raises:
            Retry: the file cannot be moved.
        """
        if self._unconfirmed is not None:
            self._move(self._unconfirmed, "done")
            self._unconfirmed = None

    def close(self) -> None:
        """Do nothing: no file stays open."""

    def _unconfirmed_file(self) -> Path | None:
        """Return the file whose shot was taken and not confirmed, perhaps before a restart."""
        try:
            return next(iter(sorted(filter(_is_image, (self._folder / COUNTING).iterdir()))), None)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise Retry(f"{self._folder / COUNTING}: {error.strerror}") from error

    def _settled(self) -> Path | None:
        now = self._clock()
        before, self._states = self._states, {}
        ready: Path | None = None
        try:
            for path in sorted(entry for entry in self._folder.iterdir() if _is_image(entry)):
                stat = path.stat()
                size, changed, since = before.get(path, (-1, -1, now))
                if (size, changed) != (stat.st_size, stat.st_mtime_ns):
                    since = now
                self._states[path] = (stat.st_size, stat.st_mtime_ns, since)
                if ready is None and now - since >= self._settle_s:
                    ready = path
        except FileNotFoundError as error:
            if not self._folder.is_dir():
                raise Retry(f"{self._folder}: the folder is missing") from error
            # A file disappeared meanwhile; the next round sees the others.
            return None
        except OSError as error:
            raise Retry(f"{self._folder}: {error.strerror}") from error
        return ready

    def _shot(self, path: Path) -> Shot:
        try:
            frame = read_image(path)
        except Unreadable as error:
            parked = self._move(path, "parked")
            parked.with_name(f"{parked.name}.reason.txt").write_text(
                f"{error.reason}: {error}\n", encoding="utf-8"
            )
            raise
        self._unconfirmed = path
        if path.parent.name != COUNTING:
            self._unconfirmed = self._move(path, COUNTING)
        return Shot(frame=frame, origin=path.name)

    def _move(self, path: Path, to: str) -> Path:
        try:
            target_folder = self._folder / to
            target_folder.mkdir(exist_ok=True)
            target = target_folder / path.name
            number = 1
            while target.exists():
                # Cameras restart their numbers: a second IMG_0001.jpg must not replace the first.
                target = target_folder / f"{path.stem}-{number}{path.suffix}"
                number += 1
            path.rename(target)
        except OSError as error:
            raise Retry(f"{path}: cannot be moved to {to}/ ({error.strerror})") from error
        self._states.pop(path, None)
        return target


def _is_image(path: Path) -> bool:
    # Programs use hidden or .part names while they write. Any other file is an image, or parked.
    return (
        not path.name.startswith(".")
        and path.suffix.lower() not in {".part", ".tmp", ".csv", ".txt"}
        and path.is_file()
    )

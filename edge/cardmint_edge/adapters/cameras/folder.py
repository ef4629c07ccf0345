"""A watched folder as a camera.

Another program puts files there, and this takes them one by one.
"""

import time
from collections.abc import Callable
from pathlib import Path

from cardmint_edge.adapters.cameras.replay import images_in
from cardmint_edge.adapters.decode import Unreadable, read_image
from cardmint_edge.capture import Shot
from cardmint_edge.errors import Retry

POLL_S = 0.1


class FolderCamera:
    """Takes files oldest name first, each once it has stopped growing for `settle_s` seconds.

    A file is moved to `done/` when its count is confirmed, and to `parked/` with the reason beside
    it when it is no usable image. A shot that was never confirmed is still in the folder, and comes
    again after a restart.
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
        self._seen: dict[Path, tuple[int, int, float]] = {}
        self._given: Path | None = None
        images_in(folder)

    @property
    def name(self) -> str:
        """What the camera is called."""
        return "folder"

    @property
    def done(self) -> bool:
        """Never: another file may always come."""
        return False

    def next(self, timeout_s: float) -> Shot | None:
        """Wait for a file that has stopped growing.

        Until it is confirmed, the same file comes again.

        Raises:
            Park: the file cannot be used; it lies in `parked/`.
            Retry: the folder is away, or a file cannot be moved.
        """
        until = self._clock() + timeout_s
        while True:
            path = self._settled()
            if path is not None:
                return self._shot(path)
            left = until - self._clock()
            if left <= 0:
                return None
            self._sleep(min(POLL_S, left))

    def capture(self) -> bool:
        """Return False: the shots come as they come."""
        return False

    def confirm(self) -> None:
        """Move the last shot's file to `done/`.

        Raises:
            Retry: it cannot be moved.
        """
        if self._given is not None:
            self._move(self._given, "done")
            self._given = None

    def close(self) -> None:
        """Do nothing: no file stays open."""

    def _settled(self) -> Path | None:
        now = self._clock()
        before, self._seen = self._seen, {}
        ready: Path | None = None
        try:
            for path in sorted(entry for entry in self._folder.iterdir() if _is_image(entry)):
                stat = path.stat()
                size, changed, since = before.get(path, (-1, -1, now))
                if (size, changed) != (stat.st_size, stat.st_mtime_ns):
                    since = now
                self._seen[path] = (stat.st_size, stat.st_mtime_ns, since)
                if ready is None and now - since >= self._settle_s:
                    ready = path
        except FileNotFoundError as error:
            if not self._folder.is_dir():
                raise Retry(f"{self._folder}: the folder is away") from error
            # A file was taken away while it was looked at: the next look sees the rest.
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
        self._given = path
        return Shot(frame=frame, origin=path.name)

    def _move(self, path: Path, to: str) -> Path:
        try:
            target_folder = self._folder / to
            target_folder.mkdir(exist_ok=True)
            target = target_folder / path.name
            number = 1
            while target.exists():
                # Cameras count from 1 again: a second IMG_0001.jpg must not replace the first.
                target = target_folder / f"{path.stem}-{number}{path.suffix}"
                number += 1
            path.rename(target)
        except OSError as error:
            raise Retry(f"{path}: cannot be moved to {to}/ ({error.strerror})") from error
        self._seen.pop(path, None)
        return target


def _is_image(path: Path) -> bool:
    # Programs that write in place use hidden or .part names until they are done; everything else is
    # an image or parked.
    return (
        not path.name.startswith(".")
        and path.suffix.lower() not in {".part", ".tmp", ".csv", ".txt"}
        and path.is_file()
    )

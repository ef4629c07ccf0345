"""A folder camera whose share may not answer: each call takes a bounded time.

A server that is switched off or asleep lets every read of its share wait for as long as it is away.
Counting, the page, photos from phones and the stop of the station must not wait with it.
"""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from typing import Protocol, TypeVar

from cardmint_edge.adapters.cameras.file_names import printable
from cardmint_edge.capture import Camera, HasFiles, Shot, SourceFile, SourceFiles
from cardmint_edge.errors import Retry

CAMERA_PATIENCE_S = 4.0
"""Seconds after which the camera counts as away, beyond those that it was asked to wait."""
PAGE_PATIENCE_S = 0.5
"""Seconds that the page waits for a list of files."""
CLOSE_PATIENCE_S = 1.0
AWAY_PATIENCE_S = 0.05
"""Seconds that a call waits for an earlier one that has lasted too long already."""

_Result = TypeVar("_Result")


class FileCamera(Camera, HasFiles, Protocol):
    """A camera whose shots come from files."""


class BoundedCalls:
    """Runs calls one after another in a thread of its own. Safe to call from several threads.

    The outcome of a call that took too long is dropped: whoever uses it must be able to repeat it.
    """

    def __init__(self, name: str, away: str) -> None:
        """Take the thread's name, and what is said of a call that takes too long."""
        self._away = away
        self._free = threading.Lock()
        self._began = 0.0
        self._calls = SimpleQueue[Callable[[], None]]()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def __call__(self, call: Callable[[], _Result], patience_s: float) -> _Result:
        """Return what a call returns, and raise what it raises.

        Raises:
            Retry: it took longer, or an earlier call does, which goes on.
        """
        if not self._free.acquire(timeout=self._patience_left(patience_s)):
            raise Retry(self._away)
        self._began = time.monotonic()
        if self._thread.ident is None:
            self._thread.start()
        future: Future[_Result] = Future()

        def run() -> None:
            try:
                result = call()
            except BaseException as error:  # noqa: BLE001 - it is raised where it was asked for
                self._free.release()
                future.set_exception(error)
            else:
                self._free.release()
                future.set_result(result)

        self._calls.put(run)
        try:
            return future.result(patience_s)
        except TimeoutError:
            if future.done():
                return future.result()  # the call itself raised it, or it has just ended
            raise Retry(self._away) from None

    def _patience_left(self, patience_s: float) -> float:
        return max(self._began + patience_s - time.monotonic(), AWAY_PATIENCE_S)

    def _run(self) -> None:
        while True:
            self._calls.get()()


class BoundedCamera:
    """A folder camera. A call that takes too long raises `Retry`, and ends beside the others."""

    def __init__(
        self, camera: FileCamera, folder: Path, *, patience_s: float = CAMERA_PATIENCE_S
    ) -> None:
        """Take the camera, whose shot comes again until it is confirmed, and its folder."""
        away = (
            f"{printable(folder)}: the disk or share does not answer; see that its server is on,"
            " and that the network reaches it"
        )
        self._camera = camera
        self._patience_s = patience_s
        self._calls = BoundedCalls("folder-calls", away)
        self._files = BoundedFiles(camera.files, BoundedCalls("folder-files", away))

    @property
    def name(self) -> str:
        """The camera's name."""
        return self._camera.name

    @property
    def done(self) -> bool:
        """Whether there will be no more shots."""
        return self._camera.done

    @property
    def files(self) -> SourceFiles:
        """The files that gave no scan."""
        return self._files

    def next(self, timeout_s: float) -> Shot | None:
        """Wait for a shot, as the camera does.

        Raises:
            Park: the file cannot be used.
            Retry: the folder is missing, or does not answer.
        """
        return self._calls(lambda: self._camera.next(timeout_s), timeout_s + self._patience_s)

    def capture(self) -> bool:
        """Take a shot on command, if the camera can."""
        return self._camera.capture()

    def confirm(self) -> None:
        """Mark the last shot as counted.

        Raises:
            Retry: it cannot be marked now.
        """
        self._calls(self._camera.confirm, self._patience_s)

    def set_aside(self, reason: str, message: str) -> None:
        """Mark the last shot as not counted.

        Raises:
            Retry: it cannot be marked now.
        """
        self._calls(lambda: self._camera.set_aside(reason, message), self._patience_s)

    def close(self) -> None:
        """Release the camera; leave one that does not answer."""
        with suppress(Retry):
            self._calls(self._camera.close, CLOSE_PATIENCE_S)


class BoundedFiles:
    """The files of such a camera. While it does not answer, the last list stays."""

    def __init__(self, files: SourceFiles, calls: BoundedCalls) -> None:
        self._files = files
        self._calls = calls
        self._parked: Sequence[SourceFile] = ()

    def parked(self, limit: int = 100) -> Sequence[SourceFile]:
        """Return files that were set aside, the newest first."""
        with suppress(Retry):
            self._parked = self._calls(lambda: self._files.parked(limit), PAGE_PATIENCE_S)
        return self._parked[:limit]

    def waiting(self, limit: int = 100) -> Sequence[SourceFile]:
        """Return files that are not usable now, or are left alone: what was seen last."""
        return self._files.waiting(limit)

    def retry(self, key: str) -> bool:
        """Try a file once more. False: it is gone, or the folder does not answer."""
        with suppress(Retry):
            return self._calls(lambda: self._files.retry(key), PAGE_PATIENCE_S)
        return False

    def dismiss(self, key: str) -> bool:
        """Move a file to `dismissed/`. False: it is gone, or the folder does not answer."""
        with suppress(Retry):
            return self._calls(lambda: self._files.dismiss(key), PAGE_PATIENCE_S)
        return False

"""Watches counted files: a program that has one open may write the next picture into it."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import structlog

from cardmint_edge.adapters.cameras.file_names import printable
from cardmint_edge.adapters.cameras.file_reading import ReadFile, decode, first_hole
from cardmint_edge.adapters.cameras.folder_places import DONE, FolderPlaces, Stamp, same_content
from cardmint_edge.adapters.decode import Unreadable
from cardmint_edge.adapters.photo_time import taken_at
from cardmint_edge.adapters.picture_end import check_written
from cardmint_edge.domain.same_shot import PhotoMark, SameShot, mark_of, same_shot

MOST_WATCHED = 50
WATCHED_S = 600.0
LOOK_EVERY_S = 1.0
REWRITTEN = "rewritten"
"""Reason of a file whose content changed after it was counted."""

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Counted:
    """A file in `done/`: its path there and in the folder, and what it held when it was counted."""

    path: Path
    origin: Path
    stamp: Stamp
    digest: str
    mark: PhotoMark
    until: float
    changed: Stamp | None = None
    """Its stamp at the last look, where it is not `stamp` any more."""
    unfinished: Stamp | None = None
    """The stamp with which it was no picture."""


class CountedFiles:
    """The last `MOST_WATCHED` counted files, each for `WATCHED_S`.

    One that holds another card now goes back into the folder, and counts as any other file. One of
    which that is not certain is parked.
    """

    def __init__(self, places: FolderPlaces, read: ReadFile, clock: Callable[[], float]) -> None:
        self._places = places
        self._read = read
        self._clock = clock
        self._files: deque[_Counted] = deque(maxlen=MOST_WATCHED)
        self._look_at = clock()

    def add(self, path: Path, origin: Path, stamp: Stamp, digest: str, mark: PhotoMark) -> None:
        """Watch a file that was counted and now lies in `done/`."""
        until = self._clock() + WATCHED_S
        self._files.append(_Counted(path, origin, stamp, digest, mark, until))

    def look(self) -> None:
        """Look whether a file was rewritten, when it is time to.

        Raises:
            Retry: the folder is away, or a file cannot be moved.
        """
        began = self._clock()
        if began < self._look_at:
            return
        for file in tuple(self._files):
            stamp = self._places.stamp(DONE, file.path)
            if stamp is None or began >= file.until:
                self._files.remove(file)
            elif not same_content(stamp, file.stamp):
                if stamp == file.changed != file.unfinished:
                    self._rewritten(file)
                file.changed = stamp
        self._look_at = self._clock() + max(LOOK_EVERY_S, 5 * (self._clock() - began))

    def _rewritten(self, file: _Counted) -> None:
        """Decide about a file that changed, and has been still since the last look."""
        try:
            content, stamp = self._read(self._places.at(DONE, file.path))
            digest = sha256(content).hexdigest()
            if digest == file.digest:
                file.stamp = stamp  # touched, or in the place of its copy
                return
            check_written(content, first_hole(self._places.at(DONE, file.path)))
            mark = mark_of(decode(content, file.path), taken_at(content))
            same = same_shot(file.mark, mark)
        except (FileNotFoundError, Unreadable):
            file.unfinished = file.changed
            return
        log.warning("a counted file was rewritten", file=printable(file.path), same=same.value)
        if same is SameShot.YES:
            file.stamp, file.digest, file.mark = stamp, digest, mark
            return
        if same is SameShot.NO:
            self._places.move(DONE, file.path, "", name=file.origin)
        else:
            self._places.park(
                DONE,
                file.path,
                REWRITTEN,
                "it was counted, and a program changed it afterwards; try it again if it shows"
                " another card now",
                name=file.origin,
            )
        self._files.remove(file)

"""Takes complete files out of a watched folder at once, so that no later file replaces them."""

import threading
from bisect import insort
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import structlog

from cardmint_edge.adapters.cameras.file_names import (
    is_thumbnail,
    natural_order,
    printable,
    turn,
)
from cardmint_edge.adapters.cameras.file_notices import FileNotices
from cardmint_edge.adapters.cameras.file_reading import ReadFile, decode, first_hole
from cardmint_edge.adapters.cameras.folder_places import (
    COUNTING,
    DONE,
    WAITING,
    FolderPlaces,
    Stamp,
    key_of,
    same_content,
    stamp_of,
)
from cardmint_edge.adapters.cameras.folder_walk import ADOPTED, Entry, walk
from cardmint_edge.adapters.decode import START_BYTES, Unreadable, starts_as_image
from cardmint_edge.adapters.picture_end import (
    PicturePart,
    check_written,
    is_whole,
    lacks_further_pictures,
    lacks_its_end,
    picture_part,
)
from cardmint_edge.capture import SourceFile
from cardmint_edge.errors import Retry

POLL_S = 0.1
PARK_AFTER_S = 30.0
"""Seconds without any change after which a file that cannot be used is set aside."""
TRY_AGAIN_S = 1.0
"""Seconds between two tries to read a file that the system does not let us read."""
CHANGING_S = 5.0
"""Seconds after which a file that has not been unchanged for `settle_s` is named."""
THUMBNAIL_S = 5.0
"""Seconds that a thumbnail is waited with at least: its picture may come after it."""
FURTHER_S = 2.0
"""Seconds that the pictures are waited for that a JPEG names behind itself."""
LOOK_S = 0.2
"""Seconds after which one look at the folder takes no further file."""
TAIL = "tail"
"""Reason of a file that came by appending to a picture that was taken before."""
TAIL_S = 2.0
"""Seconds for which such a file must not change."""
TAILS_S = 600.0
MOST_TAILS = 200
"""How long after a file was taken, and of how many files, more bytes are known as a tail."""
MOST_SHOWN = 100

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Watched:
    """A file in the folder: its stamp and since when it has it, and why it is not taken yet.

    `first` is when a file of this name was seen first. `cut` is how often what lay under it lacked
    its end. `undecodable`: the decoder refused it. `is_open`: a program that has it open may still
    fill its gaps. `copy` is the copy of it in `waiting/`, of a file that another program has
    open, and `earlier` that of its content before it changed. `at_start`: it lay there when the
    station started, which may have copied it before.
    """

    stamp: Stamp
    since: float
    first: float
    seen: datetime
    problem: Unreadable | None = None
    try_at: float = 0.0
    cut: int = 0
    undecodable: bool = False
    is_open: bool = False
    copy: "_Copy | None" = None
    earlier: "_Copy | None" = None
    at_start: bool = False

    def fail(self, problem: Unreadable, now: float) -> None:
        """Note why it cannot be used, and when it is tried again."""
        self.problem = problem
        soon = self.is_open or problem.reason in {"unreadable-file", "broken-file"}
        self.try_at = now + TRY_AGAIN_S if soon else self.since + PARK_AFTER_S


@dataclass(frozen=True, slots=True)
class _Copy:
    """A copy that was laid into `waiting/`: its path there, and the picture in it."""

    path: Path
    part: PicturePart


@dataclass(frozen=True, slots=True)
class TakenFile:
    """A file in `waiting/`: its path there, its stamp, and its path in the folder.

    `part` is the picture in it; None where it was taken before a restart.
    """

    path: Path
    stamp: Stamp
    origin: Path
    part: PicturePart | None = None


class FolderIntake:
    """Moves each file that has not changed for `settle_s`, and is complete, to `waiting/`.

    Safe to call from several threads: `look` runs beside the counting, which may take long.
    """

    def __init__(
        self,
        folder: Path,
        places: FolderPlaces,
        *,
        settle_s: float,
        clock: Callable[[], float],
        read: ReadFile,
        has_writer: Callable[[Path], bool],
        notices: FileNotices,
    ) -> None:
        """Take the folder, which may be away. `read` reads a file as `read_file` does.

        `has_writer` returns whether another program has a file open for writing, if that is known.
        `notices` takes what a person should know of.
        """
        self._folder = folder
        self._places = places
        self._settle_s = settle_s
        self._clock = clock
        self._read = read
        self._has_writer = has_writer
        self._notices = notices
        self._mutex = threading.Lock()
        self._watched: dict[Path, _Watched] = {}
        self._order: list[Path] = []
        self._left_alone: list[SourceFile] = []
        self._scans_took: deque[float] = deque(maxlen=5)
        self._scan_at = clock()
        self._started = False
        self._taken: list[TakenFile] = []  # in natural order
        self._parked: deque[Unreadable] = deque()
        self._adopted = list[str]()
        self._tails_until: dict[Path, float] = {}

    @property
    def troubled(self) -> tuple[SourceFile, ...]:
        """The files in the folder that are not usable now, or are left alone."""
        # Another thread may change the files meanwhile; the list of them is made at once.
        troubled = (
            _source(path, file.stamp, file.seen, problem)
            for path, file in list(self._watched.items())
            if (problem := file.problem) is not None
        )
        return (*islice(troubled, MOST_SHOWN), *self._left_alone)

    def look(self) -> None:
        """Take what is complete; look at the folder when it is time to.

        Raises:
            Unreadable: a file could not be used for a long time, and was parked.
            Retry: the folder is missing, or no file can be moved.
        """
        self.take()
        if self._parked:
            raise self._parked.popleft()

    def take(self) -> float:
        """Do the same, but leave what was parked for `look` to say.

        Returns the seconds until the folder is looked at again.

        Raises:
            Retry: the folder is missing, or no file can be moved.
        """
        with self._mutex:
            if self._clock() >= self._scan_at:
                self._scan()
            self._take_settled()
            return max(self._scan_at - self._clock(), 0.0)

    def first(self) -> TakenFile | None:
        """Return the first taken file in natural order; None where there is none."""
        with self._mutex:
            return self._taken[0] if self._taken else None

    def remove(self, taken: TakenFile) -> None:
        """Forget a taken file that is given, or is gone."""
        with self._mutex:
            self._taken.remove(taken)

    def put_back(self, taken: TakenFile, problem: Unreadable) -> None:
        """Lay a taken file that cannot be used back into the folder, where it may still change.

        Raises:
            Retry: it cannot be moved.
        """
        with self._mutex:
            file = self._watched.get(taken.origin)
            if file is not None and file.copy is not None and file.copy.path == taken.path:
                self._places.remove(WAITING, taken.path)  # the file itself is still there
                file.copy = None
            else:
                file = self._lay_back(taken)
            self._taken.remove(taken)
            if file is not None:
                file.fail(problem, self._clock())
                file.undecodable = True

    def _lay_back(self, taken: TakenFile) -> _Watched | None:
        path = self._places.move(WAITING, taken.path, "", name=taken.origin)
        stamp, now = self._places.stamp("", path), self._clock()
        if stamp is None:
            return None  # somebody removed it
        file = self._watched[path] = _Watched(stamp, now, now, datetime.now(UTC))
        self._order = sorted(self._watched, key=natural_order)
        return file

    def _take_settled(self) -> None:
        began = self._clock()
        # What comes slowly or is in trouble must not delay what may be overwritten soon.
        for path in sorted(self._order, key=self._trouble_of):
            now = self._clock()
            file = self._watched[path]
            if now - began > LOOK_S or (now >= self._scan_at and any(self._trouble_of(path))):
                break
            settle_s = max(self._settle_s, THUMBNAIL_S) if is_thumbnail(path) else self._settle_s
            if now - file.since >= settle_s and now >= file.try_at:
                self._try(path, file, now)

    def _trouble_of(self, path: Path) -> tuple[bool, int]:
        file = self._watched[path]
        return file.problem is not None, file.cut

    def _try(self, path: Path, file: _Watched, now: float) -> None:
        """Take a file, or note why it cannot be used now.

        Raises:
            Retry: no file can be moved.
        """
        try:
            if file.copy is not None:
                self._finish_copy(path, file, file.copy, now)
            elif file.is_open and now - file.since < PARK_AFTER_S and self._is_open(path):
                file.try_at = now + TRY_AGAIN_S
            else:
                self._read_and_take(path, file, now)
        except FileNotFoundError:
            file.try_at = now + TRY_AGAIN_S  # renamed or removed
        except Unreadable as error:
            if file.problem is not None and now - file.since >= PARK_AFTER_S:
                self._park(path, file, error, now)
                return
            file.fail(error, now)

    def _read_and_take(self, path: Path, file: _Watched, now: float) -> None:
        """Take a file that has not changed for a while, or leave it where more may come.

        Raises:
            FileNotFoundError: it is gone.
            Unreadable: it is no usable picture as it is.
            Retry: no file can be moved.
        """
        content, stamp = self._read(self._folder / path)
        if not same_content(stamp, file.stamp):
            file.since = now  # another file already
            return
        if file.at_start:
            file.at_start, file.earlier = False, self._copy_before_start(path)
        if file.earlier is not None and file.earlier.part.begins(content):
            file.copy = file.earlier  # more came behind the picture
        elif self._is_tail(path, content):
            self._lay_tail_aside(path, file, content, now)
        else:
            self._check(path, file, content, now)
            if now - file.since < FURTHER_S and lacks_further_pictures(content):
                file.try_at = file.since + FURTHER_S
                return
            part = picture_part(content)
            if self._is_open(path):
                # It may write the next picture into the file before this one's turn comes.
                copy, stamp = self._places.copy(path, content)
                file.copy = _Copy(copy, part)
                self._add(TakenFile(copy, stamp, path, part))
                return
            waiting, stamp = self._places.take(path, stamp, content)
            self._add(TakenFile(waiting, stamp, path, part))
            self._taken_now(path, now)
            self._forget(path)

    def _copy_before_start(self, path: Path) -> _Copy | None:
        """Return the copy of a file that an earlier run of the station made, if it did."""
        for place in (WAITING, COUNTING, DONE):
            for name in self._places.latest(place, path)[:1]:
                with suppress(FileNotFoundError, Unreadable):
                    return _Copy(name, picture_part(self._read(self._places.at(place, name))[0]))
        return None

    def _is_tail(self, path: Path, content: bytes) -> bool:
        """Return whether a file came by appending to one that was taken meanwhile."""
        start = content[:START_BYTES]
        return (
            self._clock() < self._tails_until.get(path, 0.0)
            and len(content) >= START_BYTES
            and any(start)  # else it got its size before its content
            and not starts_as_image(start)
            and not self._is_open(path)
        )

    def _lay_tail_aside(self, path: Path, file: _Watched, content: bytes, now: float) -> None:
        """Move a tail into `done/`, beside the picture, when it has not changed for `TAIL_S`."""
        if now - file.since < TAIL_S:
            file.try_at = file.since + TAIL_S
            return
        self._places.move("", path, DONE)
        message = (
            f"more bytes came under the name of a picture that was taken; they begin no picture,"
            f" and lie in {DONE}/; if they were one, write it again under another name"
        )
        self._notices.add(path, TAIL, message, len(content))
        self._forget(path)

    def _check(self, path: Path, file: _Watched, content: bytes, now: float) -> None:
        """Refuse a file that is not complete.

        Decoding takes long, while other files may be overwritten. So what only lacks the end that
        its format names is decoded once, before it is parked, for the decoder to say what is wrong.

        Raises:
            Unreadable: it is no usable picture as it is.
        """
        hole, late = first_hole(self._folder / path), now - file.since >= PARK_AFTER_S
        file.is_open = False
        try:
            check_written(content, hole, is_open=not late)
        except Unreadable:
            file.is_open = self._is_open(path)
            if file.is_open:
                raise
            check_written(content, hole)
        if file.undecodable or not is_whole(content):
            if lacks_its_end(content) and not (file.undecodable or late):
                file.cut += 1
                raise Unreadable("unreadable-image", "cut short: the rest has not come yet")
            try:
                decode(content, path)
            except Unreadable:
                file.undecodable = True
                raise

    def _is_open(self, path: Path) -> bool:
        """Return whether another program has a file open for writing, as far as that is known.

        Some shares say it of every file: of the station's own mark, too, which nobody has open.
        """
        if not self._has_writer(self._folder / path):
            return False
        with suppress(OSError):
            return not self._has_writer(self._places.mark())
        return True

    def _add(self, taken: TakenFile) -> None:
        insort(self._taken, taken, key=lambda one: turn(one.path))

    def _finish_copy(self, path: Path, file: _Watched, copy: _Copy, now: float) -> None:
        """Lay a file whose copy was counted into `done/` when no program has it open any more."""
        file.try_at = now + TRY_AGAIN_S
        stamp = self._places.stamp("", path)
        unchanged = stamp is not None and same_content(stamp, file.stamp)
        if not unchanged or self._is_open(path):
            return
        if self._places.put_for_copy(path, copy.path, copy.part):
            self._taken_now(path, now)
            self._forget(path)

    def _park(self, path: Path, file: _Watched, error: Unreadable, now: float) -> None:
        try:
            self._places.park("", path, error.reason, str(error))
        except Retry as refused:
            file.problem = Unreadable(error.reason, f"{error}; {refused}")
            file.try_at = now + PARK_AFTER_S
            return
        self._forget(path)
        self._parked.append(Unreadable(error.reason, f"{printable(path)}: {error}"))

    def _taken_now(self, path: Path, now: float) -> None:
        """Remember the name of a file that is no more in the folder."""
        if len(self._tails_until) >= MOST_TAILS:
            self._tails_until.pop(next(iter(self._tails_until)))
        self._tails_until[path] = now + TAILS_S

    def _forget(self, path: Path) -> None:
        del self._watched[path]
        self._order.remove(path)

    def _scan(self) -> None:
        began = self._clock()
        self._adopted.extend(self._places.adopt())
        before, self._watched = self._watched, {}
        left_alone: list[SourceFile] = []
        for path, status, why in self._entries():
            known = before.get(path)
            stamp = stamp_of(status)
            moment = known.seen if known is not None else datetime.now(UTC)
            if why is not None:
                if len(left_alone) < MOST_SHOWN:
                    left_alone.append(_source(path, stamp, moment, why))
            elif known is None:
                self._watched[path] = _Watched(
                    stamp, began, began, moment, at_start=not self._started
                )
            elif known.stamp == stamp:
                self._watched[path] = known
            else:
                self._watched[path] = self._changed(known, stamp, began)
        self._order = sorted(self._watched, key=natural_order)
        self._left_alone = left_alone
        if not self._started:
            self._started = True
            for path in sorted(self._places.files(WAITING), key=turn):
                waiting = self._places.stamp(WAITING, path)
                if waiting is not None:
                    self._taken.append(TakenFile(path, waiting, path))
        # A folder on a slow share, or with very many files, is looked at less often. One look
        # that took long because other programs used the processor does not tell that.
        self._scans_took.append(self._clock() - began)
        self._scan_at = self._clock() + max(POLL_S, 5 * min(self._scans_took))

    def _changed(self, known: _Watched, stamp: Stamp, now: float) -> _Watched:
        """Return a file that has changed since the last scan."""
        long = now - known.first
        problem = None
        if long >= CHANGING_S:
            problem = Unreadable(
                "keeps-changing",
                f"it has been changing for {long:.0f} s and is read once it lies still for"
                f" {self._settle_s:g} s; a program that uses one name for all its pictures must"
                " leave each as long, or use a new name for each",
            )
        earlier = known.copy or known.earlier
        return _Watched(
            stamp,
            now,
            known.first,
            known.seen,
            problem,
            cut=known.cut,
            earlier=earlier,
            at_start=known.at_start,
        )

    def _entries(self) -> Iterator[Entry]:
        """Yield what lies in the folder: what may be a picture, and what is left alone and why."""
        try:
            for name in self._adopted:
                if self._places.is_own(name):
                    yield Path(name), (self._folder / name).lstat(), ADOPTED
            yield from walk(self._folder, Path(), self._places.is_own)
        except FileNotFoundError as error:
            raise Retry(f"{printable(self._folder)}: the folder is missing") from error
        except OSError as error:
            raise Retry(f"{printable(self._folder)}: {error.strerror}") from error


def _source(path: Path, stamp: Stamp, moment: datetime, why: Unreadable) -> SourceFile:
    return SourceFile(
        key=key_of(path),
        name=printable(path),
        reason=why.reason,
        message=str(why),
        bytes=stamp[1],
        time=moment,
    )

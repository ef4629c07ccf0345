"""A watched folder as a camera: another program writes files there, and each becomes a shot."""

import os
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import structlog

from cardmint_edge.adapters.cameras.file_names import (
    OTHER_FOLDERS,
    FileKind,
    kind_of,
    natural_order,
    printable,
)
from cardmint_edge.adapters.cameras.folder_places import (
    AGAIN,
    COUNTING,
    COUNTING_AGAIN,
    DONE,
    PLACES,
    FolderPlaces,
    Stamp,
    key_of,
    same_content,
    stamp_of,
)
from cardmint_edge.adapters.decode import MAX_BYTES, Unreadable, decode_image
from cardmint_edge.capture import Shot, SourceFile, SourceFiles
from cardmint_edge.errors import Retry

POLL_S = 0.1
PARK_AFTER_S = 30.0
"""Seconds without any change after which a file that cannot be used is set aside."""
TRY_AGAIN_S = 1.0
"""Seconds between two tries to read a file that the system does not let us read."""
MOST_FOLDERS_DEEP = 8
MOST_SHOWN = 100

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Watched:
    """A file in the folder: its stamp and since when it has it, and why it gives no shot yet."""

    stamp: Stamp
    since: float
    seen: datetime
    problem: Unreadable | None = None
    try_at: float = 0.0


@dataclass(frozen=True, slots=True)
class _Taken:
    """The file whose shot is given and not confirmed."""

    place: str
    path: Path
    stamp: Stamp
    shot: Shot = field(repr=False)


class FolderCamera:
    """Takes files in the natural order of their names, each once it has not changed for `settle_s`.

    Sub-folders are watched, too. A file is read first and then moved to `counting/`, both only as
    long as it is the file that settled; it goes to `done/` when its shot is confirmed. So a file
    that is overwritten meanwhile is another file, and comes after it. What is no usable picture
    stays where it is, and is read again when it changes; without a change for 30 s it is moved to
    `parked/`, with the reason in a file beside it. A shot that was never confirmed is still in
    `counting/`, and comes before any other after a restart.

    Raw files, files beside pictures, unfinished files and links are left alone.
    """

    def __init__(
        self,
        folder: Path,
        *,
        settle_s: float = 0.3,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        read: Callable[[Path], tuple[bytes, Stamp]] | None = None,
    ) -> None:
        """Take the folder, which may be away. `read` reads a file as `read_file` does."""
        self._folder = folder
        self._settle_s = settle_s
        self._clock = clock
        self._sleep = sleep
        self._places = FolderPlaces(folder)
        self._watched: dict[Path, _Watched] = {}
        self._order: list[Path] = []
        self._left_alone: list[SourceFile] = []
        self._waiting: tuple[SourceFile, ...] = ()
        self._scan_at = clock()
        self._taken: _Taken | None = None
        self._read = read or read_file

    @property
    def name(self) -> str:
        """The camera's name."""
        return "folder"

    @property
    def done(self) -> bool:
        """False: another file may always come."""
        return False

    @property
    def files(self) -> SourceFiles:
        """The files that gave no scan."""
        return self

    def next(self, timeout_s: float) -> Shot | None:
        """Wait for a file that no longer changes. An unconfirmed file comes again.

        Raises:
            Park: the file cannot be used, and was moved to `parked/`.
            Retry: the folder is missing, or no file can be moved.
        """
        if self._taken is not None:
            if self._places.stamp(self._taken.place, self._taken.path) is not None:
                return self._taken.shot
            self._taken = None  # somebody removed the file
        until = self._clock() + timeout_s
        while True:
            if self._clock() >= self._scan_at:
                self._taken = self._resumed() or self._wanted_again()
            self._taken = self._taken or self._settled()
            if self._taken is not None:
                return self._taken.shot
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
        taken = self._taken
        if taken is None:
            return
        stamp = self._places.stamp(taken.place, taken.path)
        if stamp is None:
            log.warning("a counted file was removed meanwhile", file=taken.shot.origin)
        else:
            # A program that had the file open may have written the next picture into it.
            whole = same_content(stamp, taken.stamp)
            self._places.move(taken.place, taken.path, DONE if whole else "")
        self._taken = None

    def set_aside(self, reason: str, message: str) -> None:
        """Move the last shot's file to `parked/`.

        Raises:
            Retry: the file cannot be moved.
        """
        if self._taken is not None:
            self._places.park(self._taken.place, self._taken.path, reason, message)
            self._taken = None

    def close(self) -> None:
        """Do nothing: no file stays open."""

    def parked(self, limit: int = MOST_SHOWN) -> Sequence[SourceFile]:
        """Return files that were set aside, the newest first."""
        return self._places.parked(limit)

    def waiting(self, limit: int = MOST_SHOWN) -> Sequence[SourceFile]:
        """Return files that still lie in the folder and are not usable now, or are left alone."""
        return self._waiting[:limit]

    def retry(self, key: str) -> bool:
        """Try a parked file once more; a picture that was counted before counts again."""
        return self._places.retry(key)

    def dismiss(self, key: str) -> bool:
        """Move a parked file to `dismissed/`."""
        return self._places.dismiss(key)

    def _resumed(self) -> _Taken | None:
        """Return the file whose shot was given before a restart and not confirmed."""
        for place in (COUNTING, COUNTING_AGAIN):
            for path in self._places.files(place):
                try:
                    content, stamp = self._read(self._folder / place / path)
                    shot = _shot(path, content)
                except FileNotFoundError:
                    continue
                except Unreadable:
                    # It is treated as any other file; its digest still says whether it counted.
                    self._places.move(place, path, "")
                    continue
                shot = replace(shot, resumed=True, again=place == COUNTING_AGAIN)
                return _Taken(place, path, stamp, shot)
        return None

    def _wanted_again(self) -> _Taken | None:
        """Return a file that the operator wants counted again."""
        for path in self._places.files(AGAIN):
            try:
                content, stamp = self._read(self._folder / AGAIN / path)
                shot = replace(_shot(path, content), again=True)
            except FileNotFoundError:
                continue
            except Unreadable:
                self._places.move(AGAIN, path, "")
                continue
            counting = self._places.move(AGAIN, path, COUNTING_AGAIN)
            return _Taken(COUNTING_AGAIN, counting, stamp, shot)
        return None

    def _settled(self) -> _Taken | None:
        """Return the first usable file that settled; look at the folder when it is time to."""
        if self._clock() >= self._scan_at:
            self._scan()
        now = self._clock()
        for path in self._order:
            file = self._watched[path]
            if now - file.since < self._settle_s or now < file.try_at:
                continue
            taken = self._try(path, file, now)
            if taken is not None:
                self._forget(path)
                return taken
        return None

    def _try(self, path: Path, file: _Watched, now: float) -> _Taken | None:
        """Take a file, or note why it cannot be used now.

        Raises:
            Park: it could not be used for a long time.
            Retry: no file can be moved.
        """
        try:
            content, stamp = self._read(self._folder / path)
            if not same_content(stamp, file.stamp):
                file.since = now  # another file already
                return None
            shot = _shot(path, content)
            counting, stamp = self._places.take(path, stamp, content)
        except FileNotFoundError:
            file.try_at = now + TRY_AGAIN_S  # renamed or removed
            return None
        except Unreadable as error:
            if file.problem is not None and now - file.since >= PARK_AFTER_S:
                self._park(path, file, error, now)
                return None
            file.problem = error
            long = error.reason not in {"unreadable-file", "broken-file"}
            file.try_at = file.since + PARK_AFTER_S if long else now + TRY_AGAIN_S
            self._show_waiting()
            return None
        return _Taken(COUNTING, counting, stamp, shot)

    def _park(self, path: Path, file: _Watched, error: Unreadable, now: float) -> None:
        try:
            self._places.park("", path, error.reason, str(error))
        except Retry as refused:
            file.problem = Unreadable(error.reason, f"{error}; {refused}")
            file.try_at = now + PARK_AFTER_S
            return
        self._forget(path)
        raise Unreadable(error.reason, f"{printable(path)}: {error}")

    def _forget(self, path: Path) -> None:
        del self._watched[path]
        self._order.remove(path)
        self._show_waiting()

    def _scan(self) -> None:
        began = self._clock()
        before, self._watched = self._watched, {}
        left_alone: list[SourceFile] = []
        for path, status, kind in self._entries():
            known = before.get(path)
            stamp = stamp_of(status)
            moment = known.seen if known is not None else datetime.now(UTC)
            why = _left_alone(status.st_mode, kind)
            if why is not None:
                if len(left_alone) < MOST_SHOWN:
                    left_alone.append(_source(path, stamp, moment, why))
            elif known is not None and known.stamp == stamp:
                self._watched[path] = known
            else:
                self._watched[path] = _Watched(stamp, began, moment)
        self._order = sorted(self._watched, key=natural_order)
        self._left_alone = left_alone
        self._show_waiting()
        # A folder on a slow share, or with very many files, is looked at less often.
        self._scan_at = self._clock() + max(POLL_S, 5 * (self._clock() - began))

    def _show_waiting(self) -> None:
        troubled = [
            _source(path, file.stamp, file.seen, file.problem)
            for path, file in self._watched.items()
            if file.problem is not None
        ]
        self._waiting = (*troubled, *self._left_alone)

    def _entries(self) -> Iterator[tuple[Path, os.stat_result, FileKind]]:
        """Yield what lies in the folder: every entry that may be a picture or is to be named."""
        try:
            yield from _walk(self._folder, Path(), 0)
        except FileNotFoundError as error:
            raise Retry(f"{printable(self._folder)}: the folder is missing") from error
        except OSError as error:
            raise Retry(f"{printable(self._folder)}: {error.strerror}") from error


def _walk(top: Path, folder: Path, depth: int) -> Iterator[tuple[Path, os.stat_result, FileKind]]:
    with os.scandir(top / folder) as entries:
        for entry in entries:
            path = folder / entry.name
            hidden = entry.name.startswith(".") or entry.name.lower() in OTHER_FOLDERS
            if hidden or (not folder.parts and entry.name in PLACES):
                continue
            kind = kind_of(entry.name)
            try:
                status = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(status.st_mode):
                    if depth < MOST_FOLDERS_DEEP:
                        yield from _walk(top, path, depth + 1)
                elif kind is not FileKind.LEFT_ALONE:
                    yield path, status, kind
            except OSError:
                continue  # it is gone, or a folder that cannot be read


def _left_alone(mode: int, kind: FileKind) -> Unreadable | None:
    """Return why an entry is never taken; None for a picture's file."""
    if stat.S_ISLNK(mode):
        return Unreadable("symbolic-link", "a link is not followed; put the file itself here")
    if not stat.S_ISREG(mode):
        return Unreadable("not-a-file", "no file but a pipe, socket or device; remove it")
    if kind is FileKind.ARCHIVE:
        return Unreadable("archive", "an archive is not opened; unpack it here")
    if kind is FileKind.UNKNOWN:
        return Unreadable(
            "unknown-ending", "no picture by its name; if it is one, give it the ending .jpg"
        )
    return None


def _source(path: Path, stamp: Stamp, moment: datetime, why: Unreadable) -> SourceFile:
    return SourceFile(
        key=key_of(path),
        name=printable(path),
        reason=why.reason,
        message=str(why),
        bytes=stamp[1],
        time=moment,
    )


def read_file(path: Path) -> tuple[bytes, Stamp]:
    """Return a file's bytes and its stamp.

    Raises:
        FileNotFoundError: it is gone.
        Unreadable: it is no file, too large, changed meanwhile, or cannot be read now.
    """
    try:
        # A link or a pipe may have taken the file's place since it was looked at.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            before = os.fstat(descriptor)
            if not stat.S_ISREG(before.st_mode):
                raise Unreadable("not-a-file", "no file but a pipe, socket or device; remove it")
            if before.st_size > MAX_BYTES:
                raise Unreadable(
                    "image-too-large",
                    f"{before.st_size >> 20} MB; at most {MAX_BYTES >> 20} MB are read",
                )
            content = file.read(MAX_BYTES)
            after = os.fstat(descriptor)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise Unreadable("unreadable-file", f"{error.strerror}; it is tried again") from None
    if stamp_of(before) != stamp_of(after) or len(content) != after.st_size:
        raise Unreadable("unreadable-file", "it changes while it is read; it is tried again")
    return content, stamp_of(after)


def _shot(path: Path, content: bytes) -> Shot:
    """Decode a file to a shot.

    Raises:
        Unreadable: it is no usable picture, whatever the decoder says of it.
    """
    try:
        frame = decode_image(content)
    except Unreadable:
        raise
    except Exception as error:
        log.exception("a picture broke the decoder", file=printable(path))
        raise Unreadable("broken-file", f"it cannot be decoded: {error!r}") from error
    return Shot(frame=frame, origin=printable(path), digest=sha256(content).hexdigest())

"""Where the files of a watched folder go: taken, counted, set aside, tried again, dismissed."""

import errno
import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from typing import TypeAlias

from cardmint_edge.adapters.cameras.file_names import natural_order, numbered, printable
from cardmint_edge.adapters.decode import Unreadable
from cardmint_edge.adapters.picture_end import PicturePart
from cardmint_edge.capture import SourceFile
from cardmint_edge.errors import Retry

WAITING = "waiting"
"""Folder of complete files whose turn has not come."""
COUNTING = "counting"
"""Folder of the file whose shot is taken and not confirmed: at most one."""
AGAIN = "again"
"""Folder of pictures that were counted before, and that the operator wants counted again."""
COUNTING_AGAIN = "counting-again"
"""As `COUNTING`, for a file from `AGAIN`."""
DONE = "done"
PARKED = "parked"
DISMISSED = "dismissed"
PLACES = (WAITING, COUNTING, AGAIN, COUNTING_AGAIN, DONE, PARKED, DISMISSED)
MARKER = ".cardmint"
"""File by which the station knows its own folders."""
_MARK = "The station made this folder. Files in it are not counted (again).\n"
OTHER_NAME = "cardmint-{}"
"""Name of a place where somebody else has a file or folder of its own name."""
OWN_NAMES = frozenset({*PLACES, *map(OTHER_NAME.format, PLACES)})

REASON = ".reason.txt"
COUNT_AS_THEY_ARE = frozenset({"same-picture", "unfinished-file", "other-form"})
"""Reasons that a person overrules by "Try again"."""
MOST_COMPARED = 3
"""Counted files of one name of which the newest are looked at."""
MOST_LISTED = 10_000
"""Parked files that are looked through for the newest."""

_FORBIDDEN = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})

Stamp: TypeAlias = tuple[int, int, int, int]
"""Inode, size, and times of the last change of content and of anything, in nanoseconds."""


def stamp_of(status: os.stat_result) -> Stamp:
    """Return a file's stamp. Another file, or other content, has another one."""
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def same_content(one: Stamp, other: Stamp) -> bool:
    """Return whether two stamps are of one file with the same content."""
    return one[:3] == other[:3]


def key_of(path: Path) -> str:
    """Return the key of a file in a URL."""
    return blake2b(os.fsencode(path), digest_size=12).hexdigest()


class FolderPlaces:
    """The folders beside the files. Paths count from the watched folder, or from a place in it.

    Every method that moves a file raises `Retry` where it cannot be moved.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._mutex = threading.Lock()
        self._device = 0
        self._numbers: dict[Path, int] = {}

    def files(self, place: str) -> list[Path]:
        """Return the files in a place, in natural order."""
        return sorted(self._below(place), key=natural_order)

    def at(self, place: str, path: Path) -> Path:
        """Return where a file of a place lies."""
        return self._root(place) / path

    def is_own(self, name: str) -> bool:
        """Return whether a folder in the watched folder is one of the station's places."""
        return os.path.lexists(self._folder / name / MARKER)

    def mark(self) -> Path:
        """Return the mark of `waiting/`, a file that no program has open; make both.

        Raises:
            OSError: they cannot be made.
        """
        with self._mutex:
            self._make(WAITING)
        return self.at(WAITING, Path(MARKER))

    def adopt(self) -> list[str]:
        """Mark the places of a station of before 2026-11-28, which had no marks.

        Returns those whose files are not looked at any more.
        """
        if not (self._folder / COUNTING).is_dir() or any(map(self.is_own, PLACES)):
            return []
        # `counting` comes last: should this end halfway, the others are known.
        for place in (AGAIN, COUNTING_AGAIN, DONE, PARKED, DISMISSED, COUNTING):
            with suppress(OSError):
                (self._folder / place / MARKER).write_text(_MARK, encoding="utf-8")
        return [place for place in (DONE, DISMISSED) if self.is_own(place)]

    def latest(self, place: str, path: Path) -> list[Path]:
        """Return the files that were moved to a place last under a name, the newest first."""
        first = self.at(place, path)
        if not os.path.lexists(first):
            return []
        number = self._numbers.get(first, 0)
        while os.path.lexists(first.with_name(numbered(path.name, number + 1))):
            number += 1
        newest = range(number, max(number - MOST_COMPARED, -1), -1)
        return [path.with_name(numbered(path.name, one)) for one in newest]

    def stamp(self, place: str, path: Path) -> Stamp | None:
        """Return a file's stamp; None where there is none.

        Raises:
            Retry: the folder is away.
        """
        try:
            return stamp_of(self.at(place, path).lstat())
        except FileNotFoundError:
            self.check_present()
            return None
        except OSError as error:
            raise Retry(f"{printable(self._folder)}: {error.strerror}") from error

    def take(self, path: Path, stamp: Stamp, content: bytes) -> tuple[Path, Stamp]:
        """Move the file that was read to `waiting/`, and return path and stamp there.

        Where another file took its place since then, that one stays, and `content` is written.

        Raises:
            FileNotFoundError: the file is gone.
            Unreadable: this file cannot be moved; others can.
            Retry: no file can be moved.
        """
        try:
            waiting = self._rename("", path, WAITING)
        except FileNotFoundError:
            self.check_present()
            raise
        except OSError as error:
            self._check_writable()
            raise Unreadable(
                "unreadable-file", f"it cannot be moved to {WAITING}/ ({error.strerror})"
            ) from error
        self._device = self._folder.stat().st_dev
        target = self.at(WAITING, waiting)
        moved = stamp_of(target.lstat())
        if not same_content(moved, stamp):
            self.move(WAITING, waiting, "", name=path)
            try:
                target.write_bytes(content)
            except OSError as error:
                raise Unreadable(
                    "unreadable-file",
                    f"another file took its name, and it cannot be kept ({error.strerror})",
                ) from error
            moved = stamp_of(target.lstat())
        return waiting, moved

    def copy(self, path: Path, content: bytes) -> tuple[Path, Stamp]:
        """Write a file's content to `waiting/`, durably, and return path and stamp there.

        Raises:
            Unreadable: it cannot be written.
        """
        try:
            with self._mutex:
                self._folder.lstat()  # a folder that is away is not made anew
                self._make(WAITING)
                part = self.at(WAITING, Path(".part"))
                with part.open("wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                target = self._free(WAITING, path, 0)
                target.parent.mkdir(parents=True, exist_ok=True)
                part.rename(target)
                return target.relative_to(self._root(WAITING)), stamp_of(target.lstat())
        except OSError as error:
            raise Unreadable(
                "unreadable-file", f"it cannot be copied to {WAITING}/ ({error.strerror})"
            ) from error

    def put_for_copy(self, path: Path, copy: Path, part: PicturePart) -> bool:
        """Put a file in the place of its copy in `done/`. False: the copy is not counted yet.

        `part` is the picture in both. Where the copy is not in `done/`, the file is moved there
        beside it.
        """
        if any(os.path.lexists(self.at(place, copy)) for place in (WAITING, COUNTING)):
            return False
        with suppress(OSError):
            for counted in self.latest(DONE, path):
                if part.begins(self.at(DONE, counted).read_bytes()):
                    self.at("", path).replace(self.at(DONE, counted))
                    return True
        self.move("", path, DONE)
        return True

    def remove(self, place: str, path: Path) -> None:
        """Remove a copy whose file lies in the folder.

        Raises:
            Retry: it cannot be removed.
        """
        try:
            self.at(place, path).unlink(missing_ok=True)
        except OSError as error:
            raise Retry(
                f"{printable(self.at(place, path))}: cannot be removed ({error.strerror})"
            ) from error

    def move(
        self, place: str, path: Path, to: str, *, name: Path | None = None, spare: int = 0
    ) -> Path:
        """Move a file to another place, as `name` or the next free one, and return its path there.

        `spare` bytes more must fit into the name.
        """
        try:
            return self._rename(place, path, to, name, spare)
        except OSError as error:
            raise Retry(
                f"{printable(self.at(place, path))}: cannot be moved to {to or 'the folder'}"
                f"{'/' if to else ''} ({error.strerror})"
            ) from error

    def park(
        self, place: str, path: Path, reason: str, message: str, *, name: Path | None = None
    ) -> None:
        """Move a file to `parked/`, and write the reason beside it."""
        parked = self.move(place, path, PARKED, name=name, spare=len(REASON))
        with suppress(OSError):  # a full disk; the file is parked all the same
            self._reason_file(parked).write_text(f"{reason}: {message}\n", encoding="utf-8")

    def parked(self, limit: int) -> list[SourceFile]:
        """Return the parked files, the newest first. A folder that is away has none."""
        found = []
        for path in self._below(PARKED):
            with suppress(OSError):
                found.append((self.at(PARKED, path).lstat(), path))
            if len(found) >= MOST_LISTED:
                break
        found.sort(key=lambda one: -one[0].st_ctime_ns)
        return [
            SourceFile(
                key=key_of(path),
                name=printable(path),
                reason=self._reason(path)[0],
                message=self._reason(path)[1],
                bytes=status.st_size,
                time=datetime.fromtimestamp(status.st_ctime, UTC),
            )
            for status, path in found[:limit]
        ]

    def retry(self, key: str) -> bool:
        """Move a parked file back: to `again/` to count it as it is, else to the folder."""
        for path in self._below(PARKED):
            if key_of(path) == key:
                again = self._reason(path)[0] in COUNT_AS_THEY_ARE
                return self._release(path, AGAIN if again else "")
        return False

    def dismiss(self, key: str) -> bool:
        """Move a parked file to `dismissed/`."""
        for path in self._below(PARKED):
            if key_of(path) == key:
                return self._release(path, DISMISSED)
        return False

    def _release(self, path: Path, to: str) -> bool:
        try:
            self._rename(PARKED, path, to)
        except OSError:
            return False
        with suppress(OSError):
            self._reason_file(path).unlink(missing_ok=True)
        return True

    def _reason_file(self, path: Path) -> Path:
        return self.at(PARKED, path.with_name(path.name + REASON))

    def _reason(self, path: Path) -> tuple[str, str]:
        try:
            text = self._reason_file(path).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return "unknown", "the reason is not known; try it again"
        reason, _, message = text.strip().partition(": ")
        return reason, message

    def _below(self, place: str) -> Iterator[Path]:
        top = self._root(place)
        for folder, _, names in os.walk(top):
            for name in names:
                if not name.endswith(REASON) and not name.startswith("."):
                    yield Path(folder, name).relative_to(top)

    def _rename(
        self, place: str, path: Path, to: str, name: Path | None = None, spare: int = 0
    ) -> Path:
        with self._mutex:
            target = self._free(to, name or path, spare)
            self._folder.lstat()  # a folder that is away is not made anew
            self._make(to)
            target.parent.mkdir(parents=True, exist_ok=True)
            self.at(place, path).rename(target)
        return target.relative_to(self._root(to))

    def _root(self, place: str) -> Path:
        """Return the folder of a place, which may not be there: the station's own, or a free name.

        A folder or file of that name without the mark is somebody else's.
        """
        if not place:
            return self._folder
        names = (place, OTHER_NAME.format(place))
        own = next(filter(self.is_own, names), None)
        free = (name for name in names if not os.path.lexists(self._folder / name))
        return self._folder / (own or next(free, place))

    def _make(self, place: str) -> None:
        """Make a place with its mark, completely or not at all."""
        root = self._root(place)
        if not place or self.is_own(root.name):
            return
        if os.path.lexists(root):
            other = OTHER_NAME.format(place)
            raise FileExistsError(errno.EEXIST, f"rename what is called {place} or {other} there")
        made = self._folder / f".cardmint-{place}"
        made.mkdir(exist_ok=True)
        (made / MARKER).write_text(_MARK, encoding="utf-8")
        made.rename(root)

    def _free(self, to: str, path: Path, spare: int) -> Path:
        """Return a name that no file has: cameras restart their numbers, nothing is replaced."""
        folder = self._root(to)
        for part in path.parts[:-1]:
            folder = _free_folder(folder, part)
        first = folder / path.name
        number = self._numbers.get(first, 0)
        while True:
            target = first.with_name(numbered(path.name, number, spare))
            if not os.path.lexists(target):
                break
            number += 1
        if number:
            self._numbers[first] = number
        return target

    def check_present(self) -> None:
        """Raise `Retry` where the folder is away: gone, or another disk in its place."""
        try:
            device = self._folder.stat().st_dev
        except OSError as error:
            raise Retry(f"{printable(self._folder)}: the folder is missing") from error
        if self._device and device != self._device:
            raise Retry(f"{printable(self._folder)}: its disk or share is missing")

    def _check_writable(self) -> None:
        """Raise `Retry` where no file can be moved to `waiting/`."""
        probe = self.at(WAITING, Path(".writable"))
        try:
            self._make(WAITING)
            probe.write_bytes(b"")
            probe.unlink()
        except OSError as error:
            reason = error.strerror or errno.errorcode.get(error.errno or 0, "")
            remedy = "; let the agent write in this folder" if error.errno in _FORBIDDEN else ""
            raise Retry(
                f"{printable(self._folder)}: no file can be moved to {WAITING}/ ({reason}{remedy})"
            ) from error


def _free_folder(above: Path, name: str) -> Path:
    """Return a folder of a name, or of the next number where a file has that name."""
    number = 0
    while True:
        folder = above / numbered(name, number, 0)
        if folder.is_dir() or not os.path.lexists(folder):
            return folder
        number += 1

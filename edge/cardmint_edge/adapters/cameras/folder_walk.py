"""What lies in a watched folder and its sub-folders: pictures, and what is left alone and why."""

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

from cardmint_edge.adapters.cameras.file_names import FileKind, kind_of, kind_of_folder
from cardmint_edge.adapters.cameras.folder_places import MARKER, OWN_NAMES
from cardmint_edge.adapters.decode import Unreadable

MOST_FOLDERS_DEEP = 8

Entry: TypeAlias = tuple[Path, os.stat_result, Unreadable | None]
"""Path in the folder, status, and why it is left alone; None for a picture's file."""


def walk(top: Path, folder: Path, is_own: Callable[[str], bool]) -> Iterator[Entry]:
    """Yield what lies in a folder and those below, with why it is left alone, if it is.

    `is_own` returns whether a folder is one of the station's.

    Raises:
        OSError: `folder` itself cannot be read.
    """
    with os.scandir(top / folder) as entries:
        for entry in entries:
            path = folder / entry.name
            try:
                status = entry.stat(follow_symlinks=False)
                if not stat.S_ISDIR(status.st_mode):
                    kind = kind_of(entry.name)
                    if kind is not FileKind.LEFT_ALONE:
                        yield path, status, _left_alone(status.st_mode, kind)
                    continue
                kind = kind_of_folder(entry.name)
                if kind is FileKind.LEFT_ALONE:
                    continue
                if not folder.parts and is_own(entry.name):
                    if entry.name not in OWN_NAMES:
                        yield path, status, _MARKED
                    continue
                if kind is FileKind.HIDDEN:
                    yield path, status, _HIDDEN
                elif len(folder.parts) == MOST_FOLDERS_DEEP:
                    yield path, status, _TOO_DEEP
                else:
                    yield from walk(top, path, is_own)
            except OSError:
                continue  # it is gone, or a folder that cannot be read


_HIDDEN = Unreadable(
    "hidden", "names that begin with a dot are left alone; rename it if it is or holds pictures"
)
_MARKED = Unreadable(
    "marked",
    "a renamed or copied folder of the station's, whose files are not counted again; to have them"
    f" looked at, remove the file {MARKER} in it",
)
ADOPTED = Unreadable(
    "adopted",
    "taken for a folder of an earlier version of the station's, whose files were counted then; if"
    f" it is yours, remove the file {MARKER} in it",
)
_TOO_DEEP = Unreadable(
    "too-deep", f"folders in more than {MOST_FOLDERS_DEEP} others are left alone; move it up"
)
_WHY = {
    FileKind.HIDDEN: _HIDDEN,
    FileKind.ARCHIVE: Unreadable("archive", "an archive is not opened; unpack it here"),
    FileKind.UNKNOWN: Unreadable(
        "unknown-ending",
        "no picture by its name; if it is one, save it as JPEG, PNG, TIFF, WebP, BMP or HEIC",
    ),
}


def _left_alone(mode: int, kind: FileKind) -> Unreadable | None:
    """Return why an entry is never taken; None for a picture's file."""
    if stat.S_ISLNK(mode):
        return Unreadable("symbolic-link", "a link is not followed; put the file itself here")
    if not stat.S_ISREG(mode):
        return Unreadable("not-a-file", "no file but a pipe, socket or device; remove it")
    return _WHY.get(kind)

"""Names of files in a watched folder: which are pictures, their order, and how they are shown."""

import os
import re
from enum import StrEnum
from pathlib import Path

from cardmint_edge.adapters.decode import ENDINGS

LONGEST = 255
"""Bytes of the longest file name on common file systems."""

_RAW = (
    ".3fr .arw .cr2 .cr3 .crw .dcr .dng .erf .fff .gpr .iiq .kdc .mef .mos .mrw .nef .nrw .orf .pef"
    " .raf .raw .rw2 .rwl .sr2 .srf .srw .x3f"
)
_BESIDE = (
    ".aae .cos .csv .ctg .db .dop .ini .json .lrv .md .mov .mp4 .on1 .pp3 .thm .txt .url .wav .xml"
    " .xmp"
)
_UNFINISHED = (
    ".!qb .!ut .aria2 .bak .crdownload .download .filepart .lock .opdownload .orig .part .partial"
    " .swp .temp .tmp"
)
RAW_ENDINGS = frozenset({*_RAW.split(), ".tif", ".tiff"})
"""Endings of raw files, in lower case; older cameras name theirs .tif."""
_LEFT_ALONE = frozenset(f"{_RAW} {_BESIDE} {_UNFINISHED}".split())
_ARCHIVES = frozenset([".7z", ".bz2", ".gz", ".lz", ".rar", ".tar", ".tgz", ".xz", ".zip", ".zst"])

_SAME_FORMAT = {".jpeg": ".jpg", ".jpe": ".jpg", ".jfif": ".jpg", ".heif": ".heic"} | {
    ".hif": ".heic",
    ".tiff": ".tif",
}
_EDITED = re.compile(r"(IMG_)E(\d{4})", re.IGNORECASE)
"""An iPhone's edited copy of a photo."""
_THUMBNAIL = re.compile(
    r"thumb(?:nail)?[ _.-](.+)|(.+)[ _.-]thumb(?:nail)?", re.IGNORECASE | re.DOTALL
)

_OTHER_FOLDERS = frozenset(
    {"@eadir", "#recycle", "$recycle.bin", "lost+found", "__macosx", ".thumbnails", ".fseventsd"}
    | {".temporaryitems", ".spotlight-v100", ".documentrevisions-v100", ".stfolder", ".stversions"}
    | {".snapshot"}
)
_OTHER_STARTS = (".trash", ".cardmint-", "._")


class FileKind(StrEnum):
    """What the name of a file says about it."""

    PICTURE = "picture"
    LEFT_ALONE = "left-alone"
    """A raw file, a file beside a picture, or one that another program has not finished."""
    HIDDEN = "hidden"
    """A picture or folder whose name begins with a dot."""
    ARCHIVE = "archive"
    UNKNOWN = "unknown-ending"


def kind_of(name: str) -> FileKind:
    """Return what a file's name says about it."""
    ending = Path(name).suffix.lower() or name.lower()  # `.jpg` alone has no suffix
    if name.startswith("."):
        hidden = ending in ENDINGS and not name.startswith("._")
        return FileKind.HIDDEN if hidden else FileKind.LEFT_ALONE
    if name.endswith("~") or ending.endswith("_original"):
        return FileKind.LEFT_ALONE
    if ending in ENDINGS:
        return FileKind.PICTURE
    if ending in _LEFT_ALONE:
        return FileKind.LEFT_ALONE
    return FileKind.ARCHIVE if ending in _ARCHIVES else FileKind.UNKNOWN


def kind_of_folder(name: str) -> FileKind:
    """Return what a folder's name says: it holds pictures, is a system's, or hidden."""
    small = name.lower()
    if small in _OTHER_FOLDERS or small.startswith(_OTHER_STARTS):
        return FileKind.LEFT_ALONE  # made for thumbnails or deleted files
    return FileKind.HIDDEN if name.startswith(".") else FileKind.PICTURE


def is_thumbnail(path: Path) -> bool:
    """Return whether a file is a thumbnail by its name."""
    return _THUMBNAIL.fullmatch(path.stem) is not None


def other_forms(path: Path) -> list[Path]:
    """Return the names under which another file may show the same shot.

    These are other formats, an iPhone's edited copy and its original, a thumbnail and its picture.
    """
    own = path.suffix.lower()
    stem, thumbnail = path.stem, _THUMBNAIL.fullmatch(path.stem)
    if thumbnail is not None:
        stem = thumbnail[1] or thumbnail[2]
    stem = _EDITED.sub(r"\1\2", stem) if _EDITED.fullmatch(stem) else stem
    names = _in_all_formats(stem, without=own if stem == path.stem else "")
    if re.fullmatch(r"IMG_\d{4}", stem, re.IGNORECASE):
        names += _in_all_formats(f"{stem[:4]}E{stem[4:]}", without="")
    if thumbnail is None:
        names += _thumbnails(stem, {path.suffix, ".jpg", ".JPG"})
    return [path.with_name(name) for name in names if name != path.name and len(name) <= LONGEST]


def _thumbnails(stem: str, endings: set[str]) -> list[str]:
    """Return the names of a picture's thumbnails with each of the endings."""
    return [
        name + ending
        for word in ("thumb", "thumbnail")
        for between in " _.-"
        for name in (f"{word}{between}{stem}", f"{stem}{between}{word}")
        for ending in sorted(endings)
    ]


def _in_all_formats(stem: str, *, without: str) -> list[str]:
    """Return a stem with every ending but those of one format."""
    return [
        stem + written
        for ending in ENDINGS
        if _SAME_FORMAT.get(ending, ending) != _SAME_FORMAT.get(without, without)
        for written in (ending, ending.upper())
    ]


def turn(path: Path) -> tuple[bool, list[tuple[list[str | int], str]]]:
    """Return a key that orders paths as they are counted: as people do, thumbnails last."""
    return is_thumbnail(path), natural_order(path)


def natural_order(path: Path) -> list[tuple[list[str | int], str]]:
    """Return a key that orders paths as people do: `scan2` before `scan10`."""
    return [
        ([int(run) if run.isdecimal() else run for run in _runs(Path(part).stem)], part)
        for part in path.parts
    ]


def _runs(stem: str) -> list[str]:
    """Return text and digits in turn, text first."""
    return re.split(r"(\d+)", stem.casefold())


def printable(path: Path | str) -> str:
    """Return a path as text that can be stored and shown; what is no text is escaped."""
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in text
    )


def numbered(name: str, number: int, spare: int = 0) -> str:
    """Return a name with a number before its ending; 0 adds none.

    The name is cut so that it fits with `spare` bytes more.
    """
    path = Path(name)
    tail = os.fsencode((f"-{number}" if number else "") + path.suffix)
    stem = os.fsencode(path.stem)
    room = LONGEST - spare - len(tail)
    if len(stem) > room:
        stem = stem[:room].decode("utf-8", "ignore").encode()
    return os.fsdecode(stem + tail)

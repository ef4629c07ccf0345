"""Reading a file that another program may be writing, and decoding what was read."""

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import structlog

from cardmint_edge.adapters.cameras.file_names import printable
from cardmint_edge.adapters.cameras.folder_places import Stamp, stamp_of
from cardmint_edge.adapters.decode import MAX_BYTES, Unreadable, decode_image
from cardmint_edge.domain.recognition import Frame

ReadFile: TypeAlias = Callable[[Path], tuple[bytes, Stamp]]

log = structlog.get_logger(__name__)


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


def first_hole(path: Path) -> int:
    """Return the offset of the first hole in a sparse file; else its size, or more.

    File systems that know no holes say nothing of them.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            return os.lseek(descriptor, 0, os.SEEK_HOLE)
        finally:
            os.close(descriptor)
    except OSError:
        return MAX_BYTES


def decode(content: bytes, path: Path) -> Frame:
    """Decode a file's content.

    Raises:
        Unreadable: it is no usable picture, whatever the decoder says of it.
    """
    try:
        return decode_image(content)
    except Unreadable:
        raise
    except Exception as error:
        log.exception("a picture broke the decoder", file=printable(path))
        raise Unreadable("broken-file", f"it cannot be decoded: {error!r}") from error

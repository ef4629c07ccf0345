"""Reading of gzip files that may be huge, or become huge."""

import gzip
from pathlib import Path

MAX_PACKED_BYTES = 64 << 20
MAX_PLAIN_BYTES = 256 << 20
"""Some 200,000 events."""


class TooLarge(ValueError):
    """The file, or what it decompresses to, is larger than allowed."""


def read_gzip(
    path: Path, *, max_packed: int = MAX_PACKED_BYTES, max_plain: int = MAX_PLAIN_BYTES
) -> bytes:
    """Return a file's decompressed bytes.

    Raises:
        TooLarge: the file is larger than `max_packed` bytes, or than `max_plain` decompressed.
        OSError, EOFError, zlib.error: it cannot be read, or is no complete gzip file.
    """
    with path.open("rb") as file:
        packed_bytes = file.seek(0, 2) if file.seekable() else max_packed + 1
        if packed_bytes > max_packed:
            message = f"it is larger than {max_packed >> 20} MB"
            raise TooLarge(message)
        file.seek(0)
        with gzip.open(file) as unpacked:
            plain = unpacked.read(max_plain + 1)
    if len(plain) > max_plain:
        message = f"it decompresses to more than {max_plain >> 20} MB"
        raise TooLarge(message)
    return plain

"""Small text files that are there whole, with their mode, or not at all."""

import os
from pathlib import Path


def write_text(file: Path, text: str, *, mode: int = 0o600) -> None:
    """Replace a file by one with `text` and `mode`, synced to the disk."""
    part = file.with_name(f".{file.name}.part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as written:
        written.write(text)
        written.flush()
        os.fsync(written.fileno())
    part.rename(file)
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)

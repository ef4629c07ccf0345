"""Files and folders that outlive a power cut: bytes are synced before they have a name, and names with their folder."""

import os
from pathlib import Path


def make_folder(folder: Path) -> None:
    """Make a folder and those above it. Its name is on the disk when this returns, whoever made it.

    Raises:
        OSError: it cannot be made.
    """
    missing = [above for above in (folder, *folder.parents) if not above.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for made in {folder, *missing}:
        sync_folder(made.parent)


def write_file(path: Path, content: bytes) -> None:
    """Give a file's bytes their name, whole or not at all, into a folder that was made durably.

    Raises:
        OSError: the disk is full, read-only or failing; nothing is left under the name.
    """
    temporary = path.with_name(path.name + ".part")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Bring a folder's names onto the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

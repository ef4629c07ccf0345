"""Files and folders that outlive a power cut: bytes are synced, and names with their folder."""

import os
from concurrent.futures import Executor
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


def write_beside(path: Path, content: bytes, other: Executor) -> None:
    """Write a file that is known by its bytes, as `write_file` does, but sync bytes and name at once.

    It takes one sync's time instead of two, which `other` shares. A power cut before this returns
    may leave half of the bytes under the name: nothing refers to it then, and the next write of the
    same file sees it and replaces it.

    Raises:
        OSError: the disk is full, read-only or failing; nothing is left under the name.
    """
    temporary = path.with_name(path.name + ".part")
    held = _holds(path, content)
    try:
        if not held:
            temporary.write_bytes(content)
            temporary.replace(path)
        named = other.submit(sync_folder, path.parent)
        try:
            _sync(path, os.O_RDONLY)
        finally:
            named.result()
    except OSError:
        if not held:
            path.unlink(
                missing_ok=True
            )  # after a failed sync the kernel takes its pages for written
            temporary.unlink(missing_ok=True)
        raise


def _holds(path: Path, content: bytes) -> bool:
    try:
        return path.read_bytes() == content
    except FileNotFoundError:
        return False


def sync_folder(folder: Path) -> None:
    """Bring a folder's names onto the disk."""
    _sync(folder, os.O_RDONLY | os.O_DIRECTORY)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

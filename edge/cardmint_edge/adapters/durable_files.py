"""Files and folders that survive a power cut: bytes are synced, and so are their folders."""

import os
from concurrent.futures import Executor
from pathlib import Path


def make_folder(folder: Path) -> None:
    """Make a folder and its parents. Their names are durable when this returns.

    Raises:
        OSError: the folder cannot be made.
    """
    missing = [above for above in (folder, *folder.parents) if not above.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for path in {folder, *missing}:
        sync_folder(path.parent)


def write_file(path: Path, content: bytes) -> None:
    """Write a file completely or not at all, into a folder that was made durably.

    Raises:
        OSError: the disk is full, read-only or failing; no file stays under the name.
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


def write_beside(path: Path, content: bytes, executor: Executor) -> None:
    """Write a file that is named for its content; `executor` syncs its name meanwhile.

    This takes one sync's time; `write_file` takes two. A power cut before this returns may leave an
    incomplete file under the name. Nothing refers to it then, and the next write replaces it.

    Raises:
        OSError: the disk is full, read-only or failing; no file stays under the name.
    """
    temporary = path.with_name(path.name + ".part")
    unchanged = _has_content(path, content)
    try:
        if not unchanged:
            temporary.write_bytes(content)
            temporary.replace(path)
        named = executor.submit(sync_folder, path.parent)
        try:
            _sync(path, os.O_RDONLY)
        finally:
            named.result()
    except OSError:
        if not unchanged:
            # After a failed sync the kernel counts the pages as written.
            path.unlink(missing_ok=True)
            temporary.unlink(missing_ok=True)
        raise


def _has_content(path: Path, content: bytes) -> bool:
    try:
        return path.read_bytes() == content
    except FileNotFoundError:
        return False


def sync_file(path: Path) -> None:
    """Sync a file's content.

    Raises:
        OSError: the disk is failing.
    """
    _sync(path, os.O_RDONLY)


def sync_folder(folder: Path) -> None:
    """Sync the names in a folder."""
    _sync(folder, os.O_RDONLY | os.O_DIRECTORY)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

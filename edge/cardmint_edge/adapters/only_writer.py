"""A lock of a folder: one process at a time writes into it."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cardmint_edge.adapters.durable_files import make_folder
from cardmint_edge.errors import Stop

LOCK_FILE = ".lock"
"""It holds the number of the process that writes. The kernel ends the lock with the process."""


@contextmanager
def only_writer(folder: Path) -> Iterator[None]:
    """Hold a folder's lock.

    Raises:
        Stop: another process holds it.
        OSError: the folder cannot be written.
    """
    make_folder(folder)
    descriptor = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    with os.fdopen(descriptor, "r+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = file.read(20).decode(errors="replace").strip() or "unknown"
            raise Stop(
                f"{folder}: another fetch (process {holder}) writes into it:"
                " wait until it has ended, or end it first"
            ) from None
        file.truncate()
        file.write(f"{os.getpid()}\n".encode())
        file.flush()
        yield

"""Whether another program has a file open for writing."""

import fcntl
import os
import signal
from contextlib import suppress
from pathlib import Path


def has_writer(path: Path) -> bool:
    """Return whether a file is open for writing, which the kernel tells by refusing a lease.

    False as well where that is not told: on network shares, and for files of other users unless the
    process has the capability CAP_LEASE.
    """
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            # Who opens the file while the lease is held makes the kernel send a signal: one that
            # is ignored in place of SIGIO, which would end the process.
            fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
            fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
            fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
    return False

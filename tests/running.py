"""The current test of each test process, in a file named by its number, for `run_limited`."""

import ctypes
import os
import time
from collections.abc import Generator
from pathlib import Path

import pytest

PR_SET_PTRACER, ANY_PROCESS = 0x59616D61, ctypes.c_ulong(-1)


class Running:
    """Writes down the current test and when it began, on the clock that all processes share."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / str(os.getpid())
        self._file.touch()
        # Debian and Ubuntu let only a parent look into a process; py-spy is none.
        ctypes.CDLL(None).prctl(PR_SET_PTRACER, ANY_PROCESS, 0, 0, 0)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        self._file.write_text(f"{time.monotonic()} {item.nodeid}")
        try:
            return (yield)
        finally:
            self._file.write_text("")


def report(config: pytest.Config) -> None:
    """Write down what runs, where the environment names a folder for it."""
    folder = os.environ.get("CARDMINT_RUNNING")
    if folder:
        config.pluginmanager.register(Running(Path(folder)))

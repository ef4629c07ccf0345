"""The run of the tests: what takes longest starts first, a failure is told at once, and nothing hangs for ever."""

import faulthandler
import os
from collections.abc import Generator

import pytest

from tests import running

TEARDOWN_S = 120
STDERR = pytest.StashKey[int]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    marks = ("system", "integration")
    items.sort(key=lambda item: [item.get_closest_marker(mark) is None for mark in marks])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, object, object]:
    """End a process whose teardown hangs, and say where: both time limits are off once a test has failed."""
    faulthandler.dump_traceback_later(TEARDOWN_S, exit=True, file=item.config.stash[STDERR])
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()


class Failures:
    """Tells of each failure when it happens: a run that is cut off never comes to its summary."""

    def __init__(self, reporter: pytest.TerminalReporter) -> None:
        self._reporter = reporter

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._reporter.write_line(f"\n{report.when} of {report.nodeid} failed:\n{report.longreprtext}")


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    config.stash[STDERR] = os.dup(2)  # Before each test's own output is caught.
    running.report(config)
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Failures(reporter))

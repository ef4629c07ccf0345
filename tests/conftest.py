"""The test run: long tests start first, failures are shown at once, and nothing hangs."""

import faulthandler
import os
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests import greenlets, running

greenlets.install()
settings.register_profile("any-speed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any-speed")  # A busy machine is no fault of the code.

STATION_TESTS = Path(__file__).parent / "edge"
TEARDOWN_S = 120
STDERR = pytest.StashKey[int]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    marks = ("long", "system", "integration")
    items.sort(key=lambda item: [item.get_closest_marker(mark) is None for mark in marks])
    for item in items:
        if {"engine", "owner_engine"}.intersection(getattr(item, "fixturenames", ())):
            item.add_marker("greenlets")  # SQLAlchemy's.


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Measure child processes of the station's tests only: those of the cloud run greenlets."""
    measured = os.environ.get("COVERAGE_PROCESS_CONFIG")
    if measured and STATION_TESTS not in item.path.parents:
        del os.environ["COVERAGE_PROCESS_CONFIG"]
    try:
        return (yield)
    finally:
        if measured:
            os.environ["COVERAGE_PROCESS_CONFIG"] = measured


@pytest.fixture(autouse=True)
def no_greenlet_was_refused() -> Iterator[None]:
    """Fail a measured test that wanted a greenlet and went on without."""
    greenlets.refused.clear()
    yield
    if greenlets.refused:
        pytest.fail(greenlets.refused[0], pytrace=False)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real cards and photos; without it the test is skipped, but never under CI."""
    folder = Path(os.environ.get("CARDMINT_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not (folder / "photos" / "index.csv").is_file():
        message = f"{folder}: no real data; set CARDMINT_DATA"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return folder


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, object, object]:
    """End a process whose teardown hangs, and say where.

    Both time limits are off once a test has failed.
    """
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
            self._reporter.write_line(
                f"\n{report.when} of {report.nodeid} failed:\n{report.longreprtext}"
            )


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    config.stash[STDERR] = os.dup(2)  # Before each test's own output is caught.
    running.report(config)
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Failures(reporter))

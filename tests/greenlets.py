"""A guard: no greenlet runs in a process whose coverage is measured.

To follow greenlets coverage keeps a table of them; on Python 3.11 that table once kept a test run
from ending. Without the table, lines that greenlets run are counted wrongly, and silently. So a
measured process refuses to make a greenlet, and the test that wanted one fails with advice.
"""

import os
from typing import Any

import greenlet
from coverage import Coverage

refused: list[str] = []
"""What this process refused, a sentence each: the code under test may have caught the error."""


class GreenletRefusedError(RuntimeError):
    """A measured test wanted a greenlet."""


class GuardedGreenlet(greenlet.greenlet):  # type: ignore[misc]  # greenlet carries no type information
    """A greenlet that cannot be made while coverage is measured.

    Raises:
        GreenletRefusedError: coverage is measured in this process.
    """

    def __init__(self, *arguments: Any, **more: Any) -> None:
        if Coverage.current() is not None:
            test = (
                os.environ.get("PYTEST_CURRENT_TEST", "a test").rpartition(" (")[0]
                or "the collection of tests"
            )
            refused.append(
                f"{test} runs greenlets (SQLAlchemy's AsyncEngine or Playwright), which must not be"
                " measured: mark it, or its whole file, with pytest.mark.greenlets, and measure"
                " with -m 'not greenlets'"
            )
            raise GreenletRefusedError(refused[-1])
        super().__init__(*arguments, **more)


def install() -> None:
    """Guard every greenlet from now on; call it before a library that uses them is imported."""
    greenlet.greenlet = GuardedGreenlet

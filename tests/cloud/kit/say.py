"""A line that a test run shows, although output is caught."""

import os

import pytest

from tests.conftest import STDERR


def say(request: pytest.FixtureRequest, line: str) -> None:
    """Print a line at once, past pytest's capture and from any of its workers."""
    os.write(request.config.stash[STDERR], f"\n{line}\n".encode())

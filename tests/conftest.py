"""The order of the run: what takes longest starts first, so that no worker ends with it alone."""

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    marks = ("system", "integration")
    items.sort(key=lambda item: [item.get_closest_marker(mark) is None for mark in marks])

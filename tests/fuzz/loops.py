"""An event loop for functions that are called one after another."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Self, TypeVar

T = TypeVar("T")


class Loop:
    """A loop of its own, closed at the end."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()

    def __enter__(self) -> Self:
        self._runner.__enter__()
        return self

    def __exit__(self, *args: object) -> None:
        self._runner.__exit__(*args)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run until the end of `work`, and return what it returns."""
        return self._runner.run(work)

"""Temporary folders for servers."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Give a new folder, and remove it; what a server that still ends writes may stay."""
    with tempfile.TemporaryDirectory(prefix="cardmint-", ignore_cleanup_errors=True) as name:
        yield Path(name)

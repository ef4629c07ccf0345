"""The whole system as child processes, and the fictional cards, drawn once a run."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cardmint_lab.folders import temporary_folder
from cardmint_lab.system import System


@pytest.fixture(scope="session")
def fictional(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the fictional cards' facts, images and pack."""
    folder = tmp_path_factory.mktemp("fictional")
    System(tmp_path_factory.mktemp("drawing"), pack=folder / "pack.sqlite").lab(
        "fictional", "fictional", "--out", str(folder)
    )
    return folder


@pytest.fixture
def folder() -> Iterator[Path]:
    """Yield a folder that Postgres can reach, which runs as another user when we are root.

    Pytest makes its own folders private.
    """
    with temporary_folder() as folder:
        yield folder


@pytest.fixture
def system(folder: Path, fictional: Path) -> Iterator[System]:
    system = System(folder, pack=fictional / "pack.sqlite")
    try:
        system.start_cloud()
        yield system
    finally:
        system.stop()

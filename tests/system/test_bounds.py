"""Hostile input to every process: each goes on working, within its bound of memory."""

from pathlib import Path

import pytest

from cardmint_lab import bounds
from cardmint_lab.folders import temporary_folder

pytestmark = pytest.mark.system


def test_hostile_input_is_bounded(fictional: Path) -> None:
    with temporary_folder() as folder:
        found = bounds.run(fictional / "pack.sqlite", folder, print)
    assert {one.process for one in found} == set(bounds.PROCESSES)
    assert not [one for one in found if not one.kept]
    answers = {one.attack: one.answers for one in found}
    assert answers["8 images of 64 megapixels at once"] == {"422": 8, "404": 8}
    assert answers["8 endless uploads"].keys() <= {"413", "hung up"}
    assert answers["8 photos of 2 GB from phones at once"].keys() <= {"413", "hung up"}
    assert answers["price answers: gzip in gzip, 8 MB of brackets, no end"]["asked"] >= bounds.BOMBS

"""The finder is measured on composed photos by a command of the laboratory."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from cardmint_edge.adapters.decode import read_image
from cardmint_edge.adapters.models import CardFinder
from cardmint_edge.domain.vision.finder import FinderMap
from cardmint_edge.errors import Stop
from cardmint_lab.cli import cli
from cardmint_lab.recognition.finder import GROUNDS, SIZE, compose, measure_finder, text


def test_each_ground_is_measured(fictional: Path) -> None:
    given = ["recognition", "finder", "--images", str(fictional / "images"), "--count", "1"]
    lines = CliRunner().invoke(cli, given, catch_exceptions=False).stdout.splitlines()
    assert [line[:24].strip() for line in lines[1:]] == list(GROUNDS)
    found = [int(line[30:36]) for line in lines[1:]]
    assert sum(found) >= len(GROUNDS) / 2


@pytest.mark.parametrize("name", GROUNDS)
def test_a_composed_card_lies_in_the_frame(fictional: Path, name: str) -> None:
    ground = GROUNDS[name]
    card = read_image(fictional / "images" / "drk-9.jpg")
    frame, quad = compose(card, ground, np.random.default_rng(1))
    assert frame.shape == (SIZE[1], SIZE[0], 3)
    assert quad.corners.min() > -2
    assert (quad.corners < np.array(SIZE) + 2).all()
    low, high = ground.height
    assert low * 0.9 < quad.height / SIZE[1] < high * 1.1


def test_a_finder_that_sees_nothing_finds_little(fictional: Path) -> None:
    def blind(_: object) -> FinderMap:
        return np.full((4, 96, 128), -9, np.float32)

    seen = next(measure_finder(CardFinder(), fictional / "images", 2))
    unseen = next(measure_finder(blind, fictional / "images", 2))
    assert unseen.surely == 0
    assert unseen.found <= seen.found == 2
    assert "plain" in text([seen])[1]


def test_a_folder_without_scans_is_said(tmp_path: Path) -> None:
    with pytest.raises(Stop, match="no scan of a held-out card"):
        next(measure_finder(CardFinder(), tmp_path, 1))

"""What others make of the photos.

The rules over a text reader's lines, and the hashes of a rectified card.
"""

from pathlib import Path

import numpy as np
import pytest

from cardmint_edge.adapters.decode import read_image
from cardmint_edge.adapters.pack import Pack
from cardmint_edge.domain.reading.catalogue_texts import PrintedFacts
from cardmint_lab.recognition.baselines import ByHash, ByText, Named

NOTHING = np.zeros((40, 40, 3), np.uint8)
PRINTS = [
    PrintedFacts(card_id="a-4", name="Old Cat", number="4", total=102, promo=False),
    PrintedFacts(card_id="b-4", name="Young Dog", number="4", total=102, promo=False),
    PrintedFacts(card_id="p-7", name="Old Cat", number="SWSH007", total=None, promo=True),
]


@pytest.mark.parametrize(
    ("lines", "named"),
    [
        (["Old Cat", "60 HP", "4 / 102"], Named(card_id="a-4", accepted=True)),
        (["Youmg Dog", "O04/1O2"], Named(card_id="b-4", accepted=True)),
        (["SWSH007", "Old Cat"], Named(card_id="p-7", accepted=True)),
        (["4/102", "12/99", "qqqq"], Named(card_id="b-4", accepted=False)),
        (["Old Cat"], Named(card_id=None, accepted=False)),
        ([], Named(card_id=None, accepted=False)),
    ],
)
def test_rules_name_a_card_by_number_and_name(lines: list[str], named: Named) -> None:
    assert ByText(lambda frame: lines, PRINTS).name(NOTHING) == named


def test_hashes_name_the_likest_picture(fictional: Path, pack: Pack) -> None:
    by_hash = ByHash(pack)
    assert by_hash.name(read_image(fictional / "images" / "drk-9.jpg")) == Named(
        card_id="drk-9", accepted=True
    )
    assert by_hash.name(None) == Named(card_id=None, accepted=False)
    assert not by_hash.name(NOTHING).accepted

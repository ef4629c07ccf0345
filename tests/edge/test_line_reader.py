"""The larger reader, and the lines that it labels for training."""

import importlib
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from tests.edge.readings import says

from cardmint_edge.adapters.line_reader import LineReader
from cardmint_edge.adapters.models import ModelUnusable
from cardmint_edge.domain.reading.ctc import text_scores
from cardmint_edge.domain.reading.lexicon import ALPHABET
from cardmint_edge.domain.reading.strips import HEALTH, LIKELIEST_NUMBERS, NAMES, coloured_strip
from cardmint_edge.domain.recognition import Frame
from cardmint_edge.domain.vision.view import View
from cardmint_lab.training.reader import cuts


@pytest.fixture(scope="module")
def reader() -> LineReader:
    return LineReader()


def card_that_says(text: str, size: float = 1.6) -> Frame:
    """A blank card, 600 x 840 pixels, with a text where names stand."""
    card = np.full((840, 600, 3), (190, 220, 230), np.uint8)
    cv2.putText(card, text, (40, 82), cv2.FONT_HERSHEY_SIMPLEX, size, (30, 20, 20), 3, cv2.LINE_AA)
    return card


def test_a_strip_is_read_in_the_reader_s_letters(reader: LineReader) -> None:
    card = View(card_that_says("Dracaufeu 120"))
    scan = cuts.outline(card.frame, np.random.default_rng(1), 0.0)
    reading = reader(coloured_strip(card.at(scan), NAMES[0]))
    assert reading.shape == (48, 1 + len(ALPHABET))
    assert reading.sum(axis=1) == pytest.approx(np.ones(48), abs=1e-3)
    names = ["Dracaufeu", "Draco", "Salameche"]
    scores = text_scores([reading], names, number=False)[0]
    assert scores.argmax() == 0
    assert scores[0] > -4 > scores[1:].max()


def test_without_the_extra_the_reason_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ModelUnusable, match=r"install cardmint-edge\[second-look\]"):
        LineReader("no_such_package")
    package = tmp_path / "other_lines"
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "models" / "PP-OCRv9_rec_tiny.onnx").write_bytes(b"no model")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    with pytest.raises(ModelUnusable, match="ONNX Runtime cannot run it"):
        LineReader("other_lines")
    # None in sys.modules makes an import fail, as it does where the package is not installed.
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ModelUnusable, match="ONNX Runtime is not installed"):
        LineReader()


def test_lines_are_cut_out_of_photos_with_what_was_read_put_right(reader: LineReader) -> None:
    rng = np.random.default_rng(1)
    scan = card_that_says("Sootpup")
    texts = cuts.CardTexts(name="Sootpup", numbers=("012/198", "12"), health="60")
    found = cuts.lines_of(reader, scan, texts, rng)
    assert "Sootpup" in found.values()
    assert texts.lines == ("Sootpup", "012/198")
    places = dict.fromkeys(LIKELIEST_NUMBERS, "012/198")
    cut = list(cuts.photographed(scan, places, 3, rng))
    assert [(strip.shape, text) for strip, text in cut] == [((32, 256), "012/198")] * 6
    assert cuts.put_right("G SVI O12/198 x", "012/198") == "G SVI 012/198 x"
    assert cuts.put_right("nothing of it", "012/198") is None


def labels(said: str, texts: cuts.CardTexts, *, clear: float = 0.97) -> str | None:
    return cuts.labelled(says(said, sure=clear), NAMES[0], texts)


def test_a_line_is_believed_when_it_is_sure_or_the_catalogue_has_it() -> None:
    texts = cuts.CardTexts(name="Sootpup", numbers=())
    assert labels("Sootpap", texts, clear=0.8) == "Sootpup"
    assert labels("Once during your turn", texts) == "Once during your turn"
    assert labels("Once during your turn", texts, clear=0.8) is None
    assert labels("Sootpup", texts, clear=0.5) is None
    assert labels("x", texts) is None


def test_a_health_sign_that_is_not_read_is_added_where_it_stands() -> None:
    texts = cuts.CardTexts(name="Sootpup", numbers=(), health="60")
    wide = HEALTH[0]
    assert cuts.labelled(says("pup HP 60"), wide, texts) == "pup HP 60"
    assert cuts.labelled(says("pup 60 HP"), wide, texts) == "pup 60 HP"
    assert cuts.labelled(says("pup H60"), wide, texts) == "pup HP 60"
    assert cuts.labelled(says("pup 60 H"), wide, texts) == "pup 60 HP"
    # A name's strip may end before a sign that follows.
    assert cuts.labelled(says("Sootpup 60 H"), NAMES[0], texts) == "Sootpup 60 H"
    assert cuts.labelled(says("Sootpup"), NAMES[0], texts) == "Sootpup"


def test_light_and_movement_spoil_strips_but_keep_their_size() -> None:
    rng = np.random.default_rng(3)
    strip = np.full((32, 256), 40, np.uint8)
    lit = [cuts.flashed(strip, rng) for _ in range(40)]
    assert all(one.shape == strip.shape and one.dtype == np.uint8 for one in lit)
    assert any(int(one.max()) > 60 for one in lit)
    assert any(np.array_equal(one, strip) for one in lit)

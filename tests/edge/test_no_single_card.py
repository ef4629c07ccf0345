"""A frame that shows no single card is never accepted. Damaged files are fuzzed in tests/fuzz."""

from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest

from cardmint_contracts.cards import Decision
from cardmint_contracts.reasons import Reason
from cardmint_edge.adapters.decode import read_image
from cardmint_edge.adapters.pack import Pack
from cardmint_edge.domain.recognise import CardRecogniser
from cardmint_edge.domain.recognition import Frame
from cardmint_edge.recogniser import recogniser_of
from cardmint_edge.scan_event import event_of
from cardmint_lab.recognition.pairs import measure_pairs, text
from cardmint_lab.scenes import background, lay


@pytest.fixture(scope="module")
def recogniser(pack: Pack) -> CardRecogniser:
    return recogniser_of(pack)


def frames(card: Frame) -> dict[str, Frame]:
    rng = np.random.default_rng(3)
    quad = np.array([[100, 60], [400, 60], [400, 480], [100, 480]], np.float32)
    ground = background(900, 600, rng)
    beside = quad + np.array([300, 0], np.float32)
    touching = lay(lay(ground, card, quad), card, beside)
    return {
        "no light": np.zeros((480, 640, 3), np.uint8),
        "only light": np.full((480, 640, 3), 255, np.uint8),
        "noise": rng.integers(0, 256, (480, 640, 3), dtype=np.uint8),
        "a line": np.zeros((40, 4000, 3), np.uint8),
        "touching": touching.clip(0, 255).astype(np.uint8),
        "cut by the frame": lay(ground, card, quad - np.array([260, 0], np.float32))
        .clip(0, 255)
        .astype(np.uint8),
    }


def test_two_cards_in_one_picture_are_several(fictional: Path, recogniser: CardRecogniser) -> None:
    figures = measure_pairs(recogniser, fictional / "images", 24)
    assert set(figures.drawn) == {"beside", "overlapping"}
    assert figures.accepted.total() == 0
    assert figures.named.total() >= 23
    assert "0 of 24 accepted" in text(figures)


@pytest.mark.parametrize(
    "kind", ["no light", "only light", "noise", "a line", "touching", "cut by the frame"]
)
def test_a_frame_that_shows_no_single_card_is_never_accepted(
    fictional: Path, recogniser: CardRecogniser, kind: str
) -> None:
    frame = frames(read_image(fictional / "images" / "drk-9.jpg"))[kind]
    seen = recogniser.recognise(frame)
    assert seen.decision is not Decision.ACCEPT
    assert seen.reasons


def test_each_whole_card_is_outlined(fictional: Path, recogniser: CardRecogniser) -> None:
    names = ("drk-9", "emb-1", "tdw-3")
    frame = background(1500, 700, np.random.default_rng(5))
    quad = np.array([[60, 80], [420, 80], [420, 583], [60, 583]], np.float32)
    places = [quad + np.array([470 * number, 0], np.float32) for number in range(3)]
    for name, place in zip(names, places, strict=True):
        frame = lay(frame, read_image(fictional / "images" / f"{name}.jpg"), place)
    seen = recogniser.recognise(frame.clip(0, 255).astype(np.uint8))
    assert Reason.SEVERAL_CARDS in seen.reasons
    found = sorted(outline.corners.mean(axis=0).tolist() for outline in seen.outlines)
    wanted = [place.mean(axis=0).tolist() for place in places]
    assert np.abs(np.array(found) - np.array(wanted)).max() < 8
    event = event_of(uuid4(), seen, frame.astype(np.uint8))
    assert len(event.outlines) == 3
    assert event.outlines[0][0::2] != event.outlines[0][1::2]


def test_one_card_alone_has_no_outlines(fictional: Path, recogniser: CardRecogniser) -> None:
    quad = np.array([[300, 60], [660, 60], [660, 563], [300, 563]], np.float32)
    card = read_image(fictional / "images" / "drk-9.jpg")
    frame = lay(background(960, 640, np.random.default_rng(6)), card, quad)
    seen = recogniser.recognise(frame.clip(0, 255).astype(np.uint8))
    assert (seen.reasons, seen.outlines) == ((), ())

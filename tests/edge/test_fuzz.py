"""Any bytes in a file give an outcome with a reason, never an exception or a hang."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from cardmint_contracts.cards import Decision
from cardmint_edge.adapters.decode import read_image
from cardmint_edge.adapters.pack import Pack
from cardmint_edge.domain.recognise import CardRecogniser
from cardmint_edge.domain.recognition import Frame
from cardmint_edge.recogniser import recogniser_of
from cardmint_edge.scan import as_json, scan
from cardmint_lab.scenes import background, lay

MUTANTS = 60


@pytest.fixture(scope="module")
def recogniser(pack: Pack) -> CardRecogniser:
    return recogniser_of(pack)


def spoiled(data: bytes, rng: np.random.Generator) -> bytes:
    """Flip, remove, repeat or cut off some of a file's bytes."""
    changed = bytearray(data)
    kind = int(rng.integers(4))
    for _ in range(int(rng.integers(1, 20))):
        at = int(rng.integers(len(changed)))
        if kind == 0:
            changed[at] = int(rng.integers(256))
        elif kind == 1:
            del changed[at : at + int(rng.integers(1, 40))]
        elif kind == 2:
            changed[at:at] = changed[at : at + int(rng.integers(1, 40))]
    return bytes(changed[: int(rng.integers(1, len(changed)))] if kind == 3 else changed)


@pytest.mark.timeout(300)
def test_a_mutated_file_is_an_outcome(
    fictional: Path, tmp_path: Path, recogniser: CardRecogniser
) -> None:
    rng = np.random.default_rng(17)
    card = read_image(fictional / "images" / "drk-9.jpg")
    files = []
    for ending in (".jpg", ".png", ".webp"):
        _, whole = cv2.imencode(ending, cv2.resize(card, (240, 336)))
        files.append((ending, whole.tobytes()))
    paths = []
    for number in range(MUTANTS):
        ending, data = files[number % len(files)]
        path = tmp_path / f"{number}{ending}"
        path.write_bytes(spoiled(data, rng))
        paths.append(path)
    outcomes = list(scan(paths, recogniser))
    assert len(outcomes) == MUTANTS
    for one in outcomes:
        assert as_json(one)["decision"] in {"accept", "review", "reject"}
        assert one.recognition.decision is not Decision.REJECT or one.recognition.reasons
        assert bool(one.error) <= (one.recognition.decision is Decision.REJECT)


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

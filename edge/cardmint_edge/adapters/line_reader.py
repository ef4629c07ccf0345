"""A larger reader of strips, for cards that the station's own reader leaves open.

Only the model of the package `rapidocr` is used (PP-OCRv6, Apache-2.0), run by ONNX Runtime. The
extra `cardmint-edge[second-look]` installs both; without them the station works as before.
"""

from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cardmint_edge.adapters.models import ModelUnusable
from cardmint_edge.domain.reading.ctc import Reading
from cardmint_edge.domain.reading.lexicon import ALPHABET, codes, plain

PACKAGE = "rapidocr"
MODEL = "models/PP-OCR*_rec_*.onnx"
INSTALL = "install cardmint-edge[second-look]"

SPACE_IN_BLANK = 0.1
"""Least probability of a space, as a share of the blank's: the model often leaves spaces out."""


class LineReader:
    """The larger reader. Use it in one thread only."""

    def __init__(self, package: str = PACKAGE) -> None:
        """Load the model that lies in an installed package.

        Raises:
            ModelUnusable: ONNX Runtime or the model is not installed, or it is damaged or another.
        """
        file = _model_file(package)
        try:
            import onnxruntime as onnx  # noqa: PLC0415 - optional, 60 MB
        except ImportError:
            message = f"ONNX Runtime is not installed: {INSTALL}"
            raise ModelUnusable(message) from None
        options = onnx.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        try:
            self._session = onnx.InferenceSession(
                file, sess_options=options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # noqa: BLE001 - ONNX Runtime's errors share no other base
            message = f"{file}: ONNX Runtime cannot run it: {error}"
            raise ModelUnusable(message) from None
        letters = self._session.get_modelmeta().custom_metadata_map.get("character", "")
        self._letters = _Letters(letters.splitlines())
        self._input = self._session.get_inputs()[0].name
        classes = self._session.get_outputs()[0].shape[-1]
        if classes != self._letters.classes:
            message = f"{file}: {classes} classes, but {self._letters.classes} letters: {INSTALL}"
            raise ModelUnusable(message)
        self.version = f"{file.stem} {version(PACKAGE)}"

    def __call__(self, strip: NDArray[np.float32]) -> Reading:
        """Read a strip (3 x 48 x width, BGR, -1 to 1): return probabilities, steps x classes."""
        [shares] = self._session.run(None, {self._input: strip[None]})
        return self._letters.folded(shares[0])


class _Letters:
    """The model's classes, added up by the reader's letter that each stands for.

    A letter with an accent stands for the one without, and all others for the blank.
    """

    def __init__(self, letters: list[str]) -> None:
        # Class 0 is the blank, the last one a space.
        known = [*letters, " "]
        self.classes = len(known) + 1
        pairs = sorted((codes(own)[0], at) for at, one in enumerate(known, 1) if (own := _own(one)))
        self._columns = np.array([at for _, at in pairs], dtype=np.intp)
        self._codes, self._starts = np.unique([code for code, _ in pairs], return_index=True)

    def folded(self, shares: NDArray[np.float32]) -> Reading:
        reading = np.zeros((len(shares), len(ALPHABET) + 1), np.float32)
        reading[:, self._codes] = np.add.reduceat(shares[:, self._columns], self._starts, axis=1)
        reading[:, 0] = np.maximum(0, 1 - reading.sum(axis=1))
        space = codes(" ")[0]
        reading[:, space] = np.maximum(reading[:, space], SPACE_IN_BLANK * reading[:, 0])
        return np.asarray(reading / reading.sum(axis=1, keepdims=True), dtype=np.float32)


def _own(letter: str) -> str:
    """Return the reader's letter for one of the model's; empty where it has none."""
    own = letter if letter == " " else plain(letter)
    return own if len(own) == 1 else ""


def _model_file(package: str) -> Path:
    """Return the model's file; the package itself is not imported."""
    spec = find_spec(package)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for file in sorted(Path(folder).glob(MODEL)):
            return file
    message = f"the model of the package {package} is not installed: {INSTALL}"
    raise ModelUnusable(message)

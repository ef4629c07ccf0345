"""Models as files: the manifest `<name>.json` describes `<name>.tflite`, which LiteRT runs."""

import os
import sys
import zlib
from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from cardmint_edge.domain.reading.ctc import Reading
from cardmint_edge.domain.reading.lexicon import ALPHABET
from cardmint_edge.domain.reading.trigrams import LANGUAGES, TRIGRAMS, TrigramTable
from cardmint_edge.domain.recognition import Frame
from cardmint_edge.domain.vision.embedding import SIZE, Vectors
from cardmint_edge.domain.vision.finder import FinderMap
from cardmint_edge.errors import Park

FOLDER = Path(__file__).parents[1] / "models"


TRIGRAM_UNIT = 1 / 64
"""Log-likelihood of one unit in a table of trigrams."""


class ModelUnusable(Park):
    """A model that is missing or does not match its manifest. The station goes on without it."""


class ModelManifest(msgspec.Struct, frozen=True, kw_only=True):
    """The manifest of a model. Fields of the file that only people read are not decoded."""

    name: str
    version: Annotated[int, Meta(ge=1)]
    file: Annotated[str, Meta(pattern=r"^[a-z0-9-]+\.tflite\Z")]
    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
    input: list[int]
    output: list[int]
    alphabet: str = ""
    card_back: (
        Annotated[
            list[Annotated[int, Meta(ge=-127, le=127)]], Meta(min_length=SIZE, max_length=SIZE)
        ]
        | None
    ) = None


class _Model:
    """A model in an interpreter. It holds its input and output: use it in one thread only."""

    def __init__(self, folder: Path, name: str) -> None:
        from ai_edge_litert.interpreter import Interpreter  # noqa: PLC0415 - 9 MB

        self.manifest, model = _load(folder / f"{name}.json")
        file = folder / self.manifest.file
        try:
            with _quiet():
                self._interpreter = Interpreter(model_content=model, num_threads=1)
                self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            message = f"{file}: LiteRT cannot run it: {error}"
            raise ModelUnusable(message) from None
        [inputs], [outputs] = (
            self._interpreter.get_input_details(),
            self._interpreter.get_output_details(),
        )
        if [*inputs["shape"]] != self.manifest.input or [*outputs["shape"]] != self.manifest.output:
            message = f"{file}: its shapes do not match its manifest"
            raise ModelUnusable(message)
        self._input, self._output = inputs["index"], outputs["index"]
        self.version = f"{self.manifest.version} {self.manifest.sha256[:12]}"

    def run(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        self._interpreter.set_tensor(self._input, values.reshape(self.manifest.input))
        self._interpreter.invoke()
        return np.asarray(self._interpreter.get_tensor(self._output)[0], dtype=np.float32)


class TextReader:
    """The reader of strips. Use it in one thread only."""

    def __init__(self, folder: Path = FOLDER) -> None:
        """Load the model that `reader.json` names.

        Raises:
            ModelUnusable: the model is missing or damaged, or has another alphabet.
        """
        self._model = _Model(folder, "reader")
        if self._model.manifest.alphabet != ALPHABET:
            message = f"{folder / 'reader.json'}: its alphabet is not this program's"
            raise ModelUnusable(message)
        self.version = self._model.version

    def __call__(self, strip: NDArray[np.float32]) -> Reading:
        """Read a strip (32 x 256, mean 0, deviation 1): return probabilities, steps x classes."""
        logits = self._model.run(strip)
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(shares / shares.sum(axis=1, keepdims=True), dtype=np.float32)


class CardFinder:
    """The finder of cards. Use it in one thread only."""

    def __init__(self, folder: Path = FOLDER) -> None:
        """Load the model that `corners.json` names.

        Raises:
            ModelUnusable: the model is missing or damaged.
        """
        self._model = _Model(folder, "corners")
        self.version = self._model.version

    def __call__(self, small: Frame) -> FinderMap:
        """Map a frame of INPUT_SIZE (BGR)."""
        return self._model.run(
            np.ascontiguousarray(small.transpose(2, 0, 1), dtype=np.float32) / np.float32(255)
        )


class PictureEmbedder:
    """The embedding of cards' pictures. Use it in one thread only."""

    def __init__(self, folder: Path = FOLDER) -> None:
        """Load the model that `embedding.json` names.

        Raises:
            ModelUnusable: the model is missing or damaged, or its vectors have another length.
        """
        self._model = _Model(folder, "embedding")
        if self._model.manifest.output != [1, SIZE]:
            message = f"{folder / 'embedding.json'}: its vectors are not of this program's length"
            raise ModelUnusable(message)
        self.version = self._model.version
        back = self._model.manifest.card_back
        self.card_back: Vectors | None = None if back is None else np.array(back, np.int8)
        """Mean vector of photographed card backs; None where the manifest has none."""

    def __call__(self, picture: NDArray[np.float32]) -> NDArray[np.float32]:
        """Embed a normalised card (3 x 134 x 96) as a unit vector."""
        return self._model.run(picture)


class TrigramManifest(msgspec.Struct, frozen=True, kw_only=True):
    """The table of trigrams, compressed, in its own manifest."""

    version: Annotated[int, Meta(ge=1)]
    languages: tuple[str, ...]
    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
    table: Annotated[str, Meta(max_length=1 << 20)]


class LanguageTrigrams(TrigramTable):
    """The trigrams of six languages, as a file has them."""

    def __init__(self, folder: Path = FOLDER) -> None:
        """Load the table of `languages.json`.

        Raises:
            ModelUnusable: it is missing or damaged, or has other languages.
        """
        path = folder / "languages.json"
        try:
            manifest = msgspec.json.decode(path.read_bytes(), type=TrigramManifest)
            packed = b64decode(manifest.table, validate=True)
            size = len(LANGUAGES) * TRIGRAMS
            table = zlib.decompressobj().decompress(packed, size + 1)
        except OSError as error:
            message = f"{path}: {error.strerror}: the model is missing"
            raise ModelUnusable(message) from None
        except (msgspec.DecodeError, NotBase64, zlib.error) as error:
            message = f"{path}: no table of trigrams: {error}"
            raise ModelUnusable(message) from None
        if sha256(packed).hexdigest() != manifest.sha256:
            raise ModelUnusable(f"{path}: its checksum is not that of its table")
        if manifest.languages != LANGUAGES or len(table) != size:
            raise ModelUnusable(f"{path}: its table is not of this program's languages")
        units = np.frombuffer(table, np.int8).reshape(len(LANGUAGES), TRIGRAMS)
        super().__init__(units.astype(np.float32) * np.float32(TRIGRAM_UNIT))
        self.version = f"{manifest.version} {manifest.sha256[:12]}"


@contextmanager
def _quiet() -> Iterator[None]:
    """Discard what LiteRT writes to standard error from its native code."""
    sys.stderr.flush()
    original = os.dup(2)
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 2)
        yield
    finally:
        os.dup2(original, 2)
        os.close(original)
        os.close(null)


def _load(path: Path) -> tuple[ModelManifest, bytes]:
    try:
        manifest = msgspec.json.decode(path.read_bytes(), type=ModelManifest)
        model = (path.parent / manifest.file).read_bytes()
    except OSError as error:
        message = f"{error.filename}: {error.strerror}: the model is missing"
        raise ModelUnusable(message) from None
    except msgspec.DecodeError as error:
        message = f"{path}: not a manifest: {error}"
        raise ModelUnusable(message) from None
    if sha256(model).hexdigest() != manifest.sha256:
        raise ModelUnusable(
            f"{path.parent / manifest.file}: its checksum is not that of its manifest"
        )
    return manifest, model

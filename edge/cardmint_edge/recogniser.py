"""Makes the recogniser of a pack, with the models that are usable.

Where a model is not usable the station goes on without it, by the classical method at worst.
"""

import functools
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import structlog

from cardmint_edge.adapters.line_reader import LineReader
from cardmint_edge.adapters.models import (
    FOLDER,
    CardFinder,
    LanguageTrigrams,
    ModelUnusable,
    PictureEmbedder,
    TextReader,
)
from cardmint_edge.adapters.pack import Pack
from cardmint_edge.domain.gallery import Gallery
from cardmint_edge.domain.reading.catalogue_texts import CatalogueTexts
from cardmint_edge.domain.reading.print_reader import PrintReader
from cardmint_edge.domain.reading.strips import coloured_strip
from cardmint_edge.domain.recognise import CardRecogniser
from cardmint_edge.domain.vision.embedding import back_likeness

log = structlog.get_logger()

_WITHOUT_VECTORS = {
    True: "its vectors are of another model than this station's: build or roll out both together",
    False: "it was built without vectors: build it again with `cardmint-edge catalogue build`",
}

Model = TypeVar("Model", TextReader, CardFinder, PictureEmbedder, LanguageTrigrams)


class Recognisers:
    """Makes recognisers over all or some pictures of a pack. They share their models.

    With `second_look`, a larger reader is used where it is installed. `clock` returns seconds and
    only times the steps.
    """

    def __init__(
        self,
        pack: Pack,
        models: Path = FOLDER,
        *,
        second_look: bool = True,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._clock = clock
        self._prints = pack.prints
        self._moves = pack.moves
        self._models: dict[str, str] = {}
        self._reader = self._load("reader", TextReader, models)
        self._finder = self._load("corners", CardFinder, models)
        self._embedder = self._load("embedding", PictureEmbedder, models)
        self._back = None
        if self._embedder is not None and self._embedder.card_back is not None:
            self._back = back_likeness(self._embedder, self._embedder.card_back)
        self._trigrams = self._load("languages", LanguageTrigrams, models)
        if self._embedder is not None and pack.embedded_by != self._embedder.version:
            log.warning(
                "the pack's pictures are searched by their hashes alone",
                reason=_WITHOUT_VECTORS[bool(pack.embedded_by)],
            )
            self._embedder = None

        self._line_reader = None
        if second_look and self._reader is not None:
            self._line_reader = self._load_line_reader()

    def _load_line_reader(self) -> LineReader | None:
        try:
            reader = LineReader()
        except ModelUnusable as error:
            log.info("no second look at cards that stay open", reason=str(error))
            return None
        self._models["second_look"] = reader.version
        return reader

    def _load(self, name: str, kind: Callable[[Path], Model], folder: Path) -> Model | None:
        try:
            model = kind(folder)
        except ModelUnusable as error:
            log.warning(
                "a model is not usable; the station goes on without it",
                model=name,
                reason=str(error),
            )
            self._models[name] = "unusable"
            return None
        self._models[name] = model.version
        return model

    def over(self, gallery: Gallery, unknown: frozenset[str] = frozenset()) -> CardRecogniser:
        """Return a recogniser over a gallery, with all usable models.

        It ignores the print of the cards in `unknown`.
        """
        texts = self._all
        if unknown:
            texts = CatalogueTexts(one for one in self._prints() if one.card_id not in unknown)
        print_reader = None
        if self._reader is not None:
            print_reader = PrintReader(self._reader, texts, moves=self._moves)
        return CardRecogniser(
            gallery,
            clock=self._clock,
            finder=self._finder,
            print_reader=print_reader,
            second_look=self.second_look(texts),
            embedder=self._embedder,
            back=self._back,
            trigrams=self._trigrams,
            models=self._models,
        )

    def second_look(self, texts: CatalogueTexts) -> PrintReader | None:
        """Return the larger reader; None where it is not installed, or not wanted."""
        if self._line_reader is None:
            return None
        return PrintReader(
            self._line_reader,
            texts,
            cut=coloured_strip,
            moves=self._moves,
        )

    @functools.cached_property
    def _all(self) -> CatalogueTexts:
        return CatalogueTexts(self._prints())


def recogniser_of(pack: Pack, models: Path = FOLDER, *, second_look: bool = True) -> CardRecogniser:
    """Return a recogniser over all of a pack, with all usable models."""
    return Recognisers(pack, models, second_look=second_look).over(pack)

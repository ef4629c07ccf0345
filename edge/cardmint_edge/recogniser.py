"""Wires the recogniser of a pack.

With the models that are whole, by the classical method where one is not.
"""

import functools
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import structlog

from cardmint_edge.adapters.models import (
    FOLDER,
    CardFinder,
    ModelUnusable,
    PictureEmbedder,
    TextReader,
)
from cardmint_edge.adapters.pack import Pack
from cardmint_edge.domain.gallery import Gallery
from cardmint_edge.domain.reading.catalogue_texts import CatalogueTexts
from cardmint_edge.domain.reading.print_reader import PrintReader
from cardmint_edge.domain.recognise import CardRecogniser

log = structlog.get_logger()

_OTHERS = {
    True: "it was embedded by another model than this station has: build or roll out both together",
    False: "it was built without the embedding: build it again with `cardmint-edge catalogue build`",
}

Model = TypeVar("Model", TextReader, CardFinder, PictureEmbedder)


class Recognisers:
    """Makes recognisers over a pack's pictures, or some of them, that share their models."""

    def __init__(self, pack: Pack, models: Path = FOLDER) -> None:
        self._prints = pack.prints()
        self._models: dict[str, str] = {}
        self._reader = self._loaded("reader", TextReader, models)
        self._finder = self._loaded("corners", CardFinder, models)
        self._embedder = self._loaded("embedding", PictureEmbedder, models)
        if self._embedder is not None and pack.embedded_by != self._embedder.version:
            log.warning(
                "the pack's pictures are found by their hashes alone",
                reason=_OTHERS[bool(pack.embedded_by)],
            )
            self._embedder = None

    def _loaded(self, name: str, kind: Callable[[Path], Model], folder: Path) -> Model | None:
        try:
            model = kind(folder)
        except ModelUnusable as error:
            log.warning(
                "going on without a model, by the classical method", model=name, reason=str(error)
            )
            self._models[name] = "unusable"
            return None
        self._models[name] = model.version
        return model

    def over(self, gallery: Gallery, unknown: frozenset[str] = frozenset()) -> CardRecogniser:
        """Return the best recogniser that there is over a gallery, to which the cards in `unknown` are not known.

        Every result says which method it was.
        """
        print_reader = None
        if self._reader is not None:
            print_reader = PrintReader(
                self._reader,
                CatalogueTexts(one for one in self._prints if one.card_id not in unknown)
                if unknown
                else self._all,
            )
        return CardRecogniser(
            gallery,
            clock=time.perf_counter,
            finder=self._finder,
            print_reader=print_reader,
            embedder=self._embedder,
            models=self._models,
        )

    @functools.cached_property
    def _all(self) -> CatalogueTexts:
        return CatalogueTexts(self._prints)


def recogniser_of(pack: Pack, models: Path = FOLDER) -> CardRecogniser:
    """Return the best recogniser that there is over all of a pack."""
    return Recognisers(pack, models).over(pack)

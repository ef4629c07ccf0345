"""Wires the recogniser of a pack: with the reader when its model is whole, by the classical method alone when not."""

import time
from pathlib import Path

import structlog

from cardmint_edge.adapters.models import FOLDER, TextReader, Unusable
from cardmint_edge.adapters.pack import Pack
from cardmint_edge.domain.printed import PrintReader
from cardmint_edge.domain.recognise import CardRecogniser, Gallery
from cardmint_edge.domain.strings import Strings

log = structlog.get_logger()


class Recognisers:
    """Makes recognisers over a pack's pictures, or some of them, that share one reader."""

    def __init__(self, pack: Pack, models: Path = FOLDER) -> None:
        self._prints = pack.prints()
        self._reader: TextReader | None = None
        try:
            self._reader = TextReader(models)
        except Unusable as error:
            log.warning("no reader: recognising by the classical method", reason=str(error))
            self._models = {"reader": "unusable"}
        else:
            self._models = {"reader": self._reader.version}

    def over(self, gallery: Gallery, unknown: frozenset[str] = frozenset()) -> CardRecogniser:
        """Return the best recogniser that there is over a gallery, to which the cards in `unknown` are not known.

        Every result says which method it was.
        """
        printed = None
        if self._reader is not None:
            strings = Strings(known for known in self._prints if known.card_id not in unknown)
            printed = PrintReader(self._reader, strings)
        return CardRecogniser(gallery, clock=time.perf_counter, printed=printed, models=self._models)


def recogniser_of(pack: Pack, models: Path = FOLDER) -> CardRecogniser:
    """Return the best recogniser that there is over all of a pack."""
    return Recognisers(pack, models).over(pack)

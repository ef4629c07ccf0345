"""The gallery: the reference pictures of a catalogue pack, as the recogniser needs them."""

from typing import Protocol

from cardmint_contracts.cards import Card
from cardmint_edge.domain.vision.embedding import Vectors
from cardmint_edge.domain.vision.hashing import Bits
from cardmint_edge.domain.vision.matching import Reference


class Gallery(Protocol):
    """The printings of a pack that have a picture, by row: hashes, vectors and references."""

    @property
    def version(self) -> str:
        """The pack's version."""
        ...

    @property
    def hashes(self) -> Bits:
        """Rows x WORDS."""
        ...

    @property
    def vectors(self) -> Vectors:
        """Rows x SIZE, or nothing when the pack was built without the embedding."""
        ...

    def printing(self, row: int) -> Card:
        """Return the printing of a row."""
        ...

    def reference(self, row: int) -> Reference:
        """Return what to compare a view with."""
        ...

    def twins(self, row: int) -> tuple[Card, ...]:
        """Return the twins of a row's printing, with or without a picture."""
        ...

    def card(self, card_id: str) -> Card | None:
        """Return a printing by its id, pictured or not."""
        ...

    def row(self, card_id: str) -> int | None:
        """Return the row of a printing's picture; None when it has none."""
        ...

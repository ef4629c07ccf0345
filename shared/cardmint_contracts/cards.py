"""Cards as they are spoken of on the wire.

A printing, what is known of one physical card, and an image of it.
"""

from enum import StrEnum
from typing import Annotated, Self

from msgspec import Meta

from cardmint_contracts.wire import Count, Line, Probability, Sha256, Upward

CardId = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._!?-]{0,63}\Z")]
"""A printing's identifier in the catalogue, such as `base1-4`."""

Language = Annotated[str, Meta(pattern=r"^[a-z]{2,3}(-[A-Za-z]{2,4})?\Z")]
Currency = Annotated[str, Meta(pattern=r"^[A-Z]{3}\Z")]


class Finish(StrEnum):
    """How the surface was printed. Never read from a picture: set for the batch, or left open."""

    NORMAL = "normal"
    HOLO = "holo"
    REVERSE_HOLO = "reverse_holo"


class Edition(StrEnum):
    """Which print run. Never read from a picture: set for the batch, or left open."""

    UNLIMITED = "unlimited"
    FIRST = "first"


class Condition(StrEnum):
    """How worn the card is, on the trade's five steps."""

    NEAR_MINT = "near_mint"
    LIGHTLY_PLAYED = "lightly_played"
    MODERATELY_PLAYED = "moderately_played"
    HEAVILY_PLAYED = "heavily_played"
    DAMAGED = "damaged"


class Decision(StrEnum):
    """What the station made of a capture.

    Counted as a card, counted but a person must look, or not a card.
    """

    ACCEPT = "accept"
    REVIEW = "review"
    REJECT = "reject"


class Card(Upward, frozen=True):
    """A printing as the catalogue names it; enough to show it without the catalogue."""

    id: CardId
    name: Line
    number: Line = ""
    set_id: Line = ""
    set_name: Line = ""


class Candidate(Upward, frozen=True):
    """A printing that a capture may show, and how sure the recogniser is of it."""

    card: Card
    confidence: Probability


class ScanDefaults(Upward, frozen=True):
    """What the operator sets for every card scanned from now on."""

    bin: Line = ""
    lot: Line = ""
    condition: Condition | None = None
    finish: Finish | None = None
    edition: Edition | None = None
    language: Language | None = None


class Image(Upward, frozen=True):
    """An image by its content; the bytes travel by HTTPS."""

    sha256: Sha256
    bytes: Annotated[int, Meta(ge=1, le=1 << 26)]
    width: Annotated[int, Meta(ge=1, le=1 << 16)]
    height: Annotated[int, Meta(ge=1, le=1 << 16)]
    media_type: Annotated[str, Meta(pattern=r"^image/[a-z]+\Z")] = "image/jpeg"


class Money(Upward, frozen=True):
    """An amount in the currency's minor units after ISO 4217: cents, but whole yen."""

    minor: Count
    currency: Currency

    def __add__(self, other: Self) -> Self:
        """Add within one currency; mixing two raises ValueError."""
        if self.currency != other.currency:
            message = f"{self.currency} and {other.currency} do not add up without a dated rate"
            raise ValueError(message)
        return type(self)(minor=self.minor + other.minor, currency=self.currency)

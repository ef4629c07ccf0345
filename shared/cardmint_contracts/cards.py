"""Cards on the wire: printings, candidates, scan defaults, images and money."""

from enum import StrEnum
from typing import Annotated, Self

from msgspec import Meta

from cardmint_contracts.wire import Count, Line, Probability, Sha256, Upward

CardId = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._!?-]{0,63}\Z")]
"""A printing's identifier in the catalogue, such as `base1-4`."""

Language = Annotated[str, Meta(pattern=r"^[a-z]{2,3}(-[A-Za-z]{2,4})?\Z")]
Currency = Annotated[str, Meta(pattern=r"^[A-Z]{3}\Z")]


class Finish(StrEnum):
    """Finish of the surface. No picture decides it: it is a scan default, or left open."""

    NORMAL = "normal"
    HOLO = "holo"
    REVERSE_HOLO = "reverse_holo"


class Edition(StrEnum):
    """Print run. No picture decides it: it is a scan default, or left open."""

    UNLIMITED = "unlimited"
    FIRST = "first"


class Condition(StrEnum):
    """Wear of the card, on the trade's five steps."""

    NEAR_MINT = "near_mint"
    LIGHTLY_PLAYED = "lightly_played"
    MODERATELY_PLAYED = "moderately_played"
    HEAVILY_PLAYED = "heavily_played"
    DAMAGED = "damaged"


class Decision(StrEnum):
    """Decision on a shot: counted, for a person to decide first, or no card."""

    ACCEPT = "accept"
    REVIEW = "review"
    REJECT = "reject"


class Card(Upward, frozen=True):
    """A printing, with enough of the catalogue to show it without the catalogue."""

    id: CardId
    name: Line
    number: Line = ""
    set_id: Line = ""
    set_name: Line = ""


Outline = Annotated[
    tuple[Annotated[float, Meta(ge=0.0, le=1.0)], ...], Meta(min_length=8, max_length=8)
]
"""The corners of a card in an image, clockwise from its own top left: x and y of each, as shares of
the image's width and height."""


class Candidate(Upward, frozen=True):
    """A printing that a shot may show, with the recogniser's confidence (0 to 1)."""

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
    """An image, named by the SHA-256 of its content; the bytes travel by HTTPS."""

    sha256: Sha256
    bytes: Annotated[int, Meta(ge=1, le=1 << 26)]
    width: Annotated[int, Meta(ge=1, le=1 << 16)]
    height: Annotated[int, Meta(ge=1, le=1 << 16)]
    media_type: Annotated[str, Meta(pattern=r"^image/[a-z]+\Z")] = "image/jpeg"


class Money(Upward, frozen=True):
    """An amount in the currency's minor units after ISO 4217: cents, or whole yen."""

    minor: Count
    currency: Currency

    def __add__(self, other: Self) -> Self:
        """Add within one currency; mixing two raises ValueError."""
        if self.currency != other.currency:
            message = f"{self.currency} and {other.currency} do not add up without a dated rate"
            raise ValueError(message)
        return type(self)(minor=self.minor + other.minor, currency=self.currency)

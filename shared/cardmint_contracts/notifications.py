"""What the cloud's processes tell each other through Postgres (LISTEN and NOTIFY).

A notification's payload is `<tenant> <subject>`: see `payload`.
"""

from enum import StrEnum

CHANNEL = "cardmint"


class Subject(StrEnum):
    """What changed."""

    ITEMS = "items"
    REVIEWS = "reviews"
    STATIONS = "stations"
    HEALTH = "health"
    DEAD_LETTERS = "dead-letters"
    PRICES = "prices"
    IMAGES = "images"
    FLEET = "fleet"
    TOKENS = "tokens"


def payload(tenant: str, subject: str) -> str:
    """Return a notification's payload."""
    return f"{tenant} {subject}"

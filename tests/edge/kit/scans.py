"""Scans, images and a timestamp to test with."""

from datetime import UTC, datetime
from uuid import UUID

import numpy as np

from cardmint_contracts.cards import Candidate, Card, Decision, Image
from cardmint_contracts.events import CardScanned, RecogniserIdentity
from cardmint_edge.capture import Shot
from cardmint_edge.domain.delivery.batches import Timestamp

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
STAMP = Timestamp(time=NOW, bootid=UUID(int=3), monotonic_ms=1234, clock_synced=True)
CARDS = tuple(
    Card(id=f"set1-{i}", name=f"Card {i}", number=f"{i}/60", set_id="set1", set_name="First Set")
    for i in range(1, 5)
)


def scan_of(number: int, *, image: Image | None = None) -> CardScanned:
    """Return an accepted scan, different for each number."""
    card = CARDS[number % len(CARDS)]
    return CardScanned(
        scan=UUID(int=number),
        decision=Decision.ACCEPT,
        recogniser=RecogniserIdentity(method="classical", pack="p"),
        card=card,
        confidence=0.99,
        margin=0.99,
        candidates=(Candidate(card=card, confidence=0.99),),
        image=image,
    )


def image_of(number: int) -> Image:
    return Image(sha256=f"{number:064x}", bytes=100 + number, width=10, height=14)


def shot_of(number: int) -> Shot:
    frame = np.full((14, 10, 3), number, dtype=np.uint8)
    return Shot(frame=frame, origin=f"shot-{number}")

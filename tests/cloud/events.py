"""Events as stations send them, for the tests of the cloud."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from cardmint_contracts.cards import Candidate, Card, Decision
from cardmint_contracts.envelope import Envelope, seal
from cardmint_contracts.events import CardScanned, EventData, Recogniser

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
STREAM = uuid4()
RECOGNISER = Recogniser(method="classical", pack="test")
FOX = Card(id="fic1-7", name="Ember Fox", number="007/040", set_id="fic1", set_name="First Light")
OWL = Card(id="fic1-8", name="Dusk Owl", number="008/040", set_id="fic1", set_name="First Light")


def accepted(card: Card = FOX, **more: Any) -> CardScanned:
    return CardScanned(scan=uuid4(), decision=Decision.ACCEPT, recogniser=RECOGNISER, card=card, **more)


def doubtful() -> CardScanned:
    return CardScanned(
        scan=uuid4(),
        decision=Decision.REVIEW,
        recogniser=RECOGNISER,
        reasons=("same-art",),
        candidates=(Candidate(card=FOX, confidence=0.5), Candidate(card=OWL, confidence=0.4)),
    )


def sealed(*data: EventData, start: int = 1, station: str = "left", stream: UUID = STREAM) -> list[Envelope]:
    return [
        seal(
            event,
            source=f"/stations/{station}",
            time=NOW,
            stream=stream,
            sequence=start + i,
            bootid=UUID(int=1),
            monotonic_ms=i,
            clock_synced=True,
        )
        for i, event in enumerate(data)
    ]

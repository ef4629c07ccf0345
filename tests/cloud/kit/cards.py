"""Two cards, their scan events, and how these are ingested as a station's are."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from cardmint_cloud.adapters.postgres.connection import Pool, tenant_transaction
from cardmint_cloud.ingest.commit import commit
from cardmint_cloud.ingest.read import EventBatch, MqttMessage, read_message
from cardmint_contracts import topics
from cardmint_contracts.cards import Candidate, Card, Decision, ScanDefaults
from cardmint_contracts.envelope import Envelope, encode_batch, seal
from cardmint_contracts.events import CardScanned, EventData, RecogniserIdentity

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
STREAM = uuid4()
RECOGNISER = RecogniserIdentity(method="classical", pack="test")
FOX = Card(id="fic1-7", name="Ember Fox", number="007/040", set_id="fic1", set_name="First Light")
OWL = Card(id="fic1-10", name="Dusk Owl", number="010/040", set_id="fic1", set_name="First Light")


def accepted(card: Card = FOX, *, defaults: ScanDefaults | None = None, **more: Any) -> CardScanned:
    return CardScanned(
        scan=uuid4(),
        decision=Decision.ACCEPT,
        recogniser=RECOGNISER,
        card=card,
        defaults=defaults or ScanDefaults(),
        **more,
    )


def doubtful(**more: Any) -> CardScanned:
    return CardScanned(
        scan=uuid4(),
        decision=Decision.REVIEW,
        recogniser=RECOGNISER,
        confidence=0.57,
        reasons=("same-art",),
        candidates=(Candidate(card=FOX, confidence=0.57), Candidate(card=OWL, confidence=0.4)),
        **more,
    )


def sealed(
    *data: EventData,
    start: int = 1,
    station: str = "left",
    stream: UUID = STREAM,
    time: datetime = NOW,
) -> list[Envelope]:
    return [
        seal(
            event,
            source=f"/stations/{station}",
            time=time,
            stream=stream,
            sequence=start + i,
            bootid=UUID(int=1),
            monotonic_ms=i,
            clock_synced=True,
        )
        for i, event in enumerate(data)
    ]


async def send(
    pool: Pool,
    *data: EventData,
    tenant: str = "shop",
    station: str = "left",
    now: datetime = NOW,
    start: int = 1,
    stream: UUID | None = None,
    time: datetime | None = None,
) -> None:
    """Ingest events from a station: in a stream of their own unless one is named."""
    envelopes = sealed(
        *data, start=start, station=station, stream=stream or uuid4(), time=time or now
    )
    payload, content_type = encode_batch(envelopes)
    message = MqttMessage(
        topic=topics.station_topic(tenant, station, "events"),
        payload=payload,
        content_type=content_type,
    )
    batch = read_message(message)
    assert isinstance(batch, EventBatch)
    async with tenant_transaction(pool, tenant) as connection:
        await commit(connection, [batch], now)

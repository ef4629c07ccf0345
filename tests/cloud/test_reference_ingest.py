"""The real ingest gives the receipts of the reference, and has its events, whatever is sent."""

import random
from uuid import UUID, uuid4

import pytest
from msgspec.structs import replace

from cardmint_cloud.adapters.postgres.connection import PostgresConnection
from cardmint_cloud.ingest.commit import commit
from cardmint_cloud.ingest.read import EventBatch, MqttMessage, read_message
from cardmint_contracts import topics
from cardmint_contracts.chain import extend_all, start_of
from cardmint_contracts.claims import Claim
from cardmint_contracts.envelope import Envelope, digits, encode_batch
from tests.cloud.kit.cards import NOW, accepted, sealed
from tests.edge.kit.ingest import ReferenceIngest

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("partitions")]


class Copy:
    """A copy of an outbox: its stream, in one of the ways that it went on."""

    def __init__(self, station: str, stream: UUID, events: list[Envelope]) -> None:
        self.station = station
        self.stream = stream
        self.events = events

    def grow(self, count: int) -> None:
        start = len(self.events) + 1
        scans = [accepted() for _ in range(count)]
        self.events += sealed(*scans, start=start, station=self.station, stream=self.stream)

    def moved(self, station: str, first: int) -> "Copy":
        """Return a copy that goes on in a new stream with the events from `first` on."""
        stream = uuid4()
        kept = [
            replace(one, source=f"/stations/{station}", stream=stream, sequence=digits(number))
            for number, one in enumerate(self.events[first - 1 :], start=1)
        ]
        return Copy(station, stream, kept)

    def forked(self) -> "Copy":
        return Copy(self.station, self.stream, list(self.events))

    def batch(self, first: int, last: int) -> tuple[EventBatch, bytes]:
        part = self.events[first - 1 : last]
        before = extend_all(
            start_of(self.stream), ((one, one.data) for one in self.events[: first - 1])
        )
        payload, content_type = encode_batch(part)
        found = read_message(
            MqttMessage(
                topic=topics.station_topic("shop", self.station, "events"),
                payload=payload,
                content_type=content_type,
                claim=Claim(self.stream, first, first + len(part) - 1, before),
            )
        )
        assert isinstance(found, EventBatch)
        return found, before


@pytest.mark.parametrize("seed", range(8))
async def test_the_same_receipts_and_the_same_events(
    seed: int, connection: PostgresConnection
) -> None:
    draw = random.Random(seed)
    reference = ReferenceIngest()
    copies = [Copy("left", uuid4(), [])]
    copies[0].grow(3)
    for _ in range(60):
        copy = draw.choice(copies)
        match draw.randrange(6):
            case 0:
                copy.grow(draw.randrange(1, 4))
            case 1 if len(copies) < 8:
                copies.append(copy.forked())
            case 2 if len(copies) < 8:
                station = draw.choice(["left", "right"])
                copies.append(copy.moved(station, draw.randrange(1, len(copy.events) + 1)))
            case _:
                first = draw.randrange(1, len(copy.events) + 1)
                batch, before = copy.batch(first, draw.randrange(first, len(copy.events) + 1))
                done = await commit(connection, [batch], NOW)
                (receipt,) = done.receipts.values()
                named = replace(receipt, database=reference.database)
                assert named == reference.take(batch.source, batch.envelopes, before)
    rows = await connection.fetch("SELECT stream, sequence, type, data FROM events")
    assert {
        (row["stream"], row["sequence"]): (row["type"], row["data"].encode()) for row in rows
    } == reference.events
    items = {row["item"] for row in await connection.fetch("SELECT item FROM items")}
    assert items == set(reference.scans)
    assert len(reference.scans) == len(items), "each scan is in the log once"

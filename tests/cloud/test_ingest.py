"""Ingest against a real Postgres: once, in order, gaps refused, poison parked."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from cardmint_cloud import rebuild
from cardmint_cloud.adapters.postgres.connection import PostgresConnection, fetch_one
from cardmint_cloud.adapters.postgres.ingest.event_log import DeadLetter
from cardmint_cloud.domain.items import review_task_id
from cardmint_cloud.ingest.commit import commit
from cardmint_cloud.ingest.read import EventBatch, MqttMessage, read_message
from cardmint_contracts import topics
from cardmint_contracts.cards import Finish, ScanDefaults
from cardmint_contracts.claims import Claim
from cardmint_contracts.envelope import BATCH, Envelope, encode_batch
from cardmint_contracts.events import EventData, ReviewAnswered, ScanWithdrawn
from tests.cloud.kit.cards import FOX, NOW, OWL, STREAM, accepted, doubtful, sealed
from tests.cloud.kit.database import connected

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("partitions")]


def message(
    envelopes: list[Envelope], station: str = "left", claim: Claim | None = None
) -> MqttMessage:
    payload, content_type = encode_batch(envelopes)
    return MqttMessage(
        topic=topics.station_topic("shop", station, "events"),
        payload=payload,
        content_type=content_type,
        claim=claim,
    )


def batch(*data: EventData, **more: Any) -> EventBatch:
    station = more.get("station", "left")
    found = read_message(message(sealed(*data, **more), station))
    assert isinstance(found, EventBatch)
    return found


async def counts(connection: PostgresConnection) -> dict[str, int]:
    return {
        row["card_id"]: row["count"]
        for row in await connection.fetch("SELECT card_id, count FROM holdings")
    }


async def test_a_batch_sent_twice_counts_once(connection: PostgresConnection) -> None:
    one = batch(accepted(), accepted(), accepted(OWL))
    first = await commit(connection, [one], NOW)
    again = await commit(connection, [one, one], NOW)
    assert (first.applied, again.applied, again.repeated) == (3, 0, 6)
    assert [r.sequence for r in again.receipts.values()] == [3]
    assert await counts(connection) == {"fic1-7": 2, "fic1-10": 1}
    assert await connection.fetchval("SELECT count(*) FROM events") == 3


async def test_an_overlapping_batch_applies_only_what_is_new(
    connection: PostgresConnection,
) -> None:
    scans = [accepted() for _ in range(5)]
    await commit(connection, [batch(*scans[:3])], NOW)
    done = await commit(connection, [batch(*scans[1:], start=2)], NOW)
    assert (done.applied, done.repeated) == (2, 2)
    assert await counts(connection) == {"fic1-7": 5}


async def test_a_gap_is_refused_and_the_receipt_says_from_where(
    connection: PostgresConnection,
) -> None:
    await commit(connection, [batch(accepted())], NOW)
    done = await commit(connection, [batch(accepted(), start=5)], NOW)
    (receipt,) = done.receipts.values()
    assert (receipt.sequence, receipt.refused, done.applied) == (1, 5, 0)


async def test_a_restored_outbox_that_sends_old_scans_in_a_new_stream_counts_once(
    connection: PostgresConnection,
) -> None:
    scan = accepted()
    await commit(connection, [batch(scan)], NOW)
    await commit(connection, [batch(scan, stream=uuid4())], NOW)
    assert await counts(connection) == {"fic1-7": 1}


async def test_a_poison_event_is_parked_and_its_stream_goes_on(
    connection: PostgresConnection,
) -> None:
    envelopes = sealed(accepted(), accepted(), accepted())
    payload, _ = encode_batch(envelopes)
    bad = payload.replace(b'"confidence":0.0', b'"confidence":7.5', 1)
    found = read_message(
        MqttMessage(topic="cardmint/v1/shop/left/events", payload=bad, content_type=BATCH)
    )
    assert isinstance(found, EventBatch)
    done = await commit(connection, [found], NOW)
    assert (done.applied, done.parked) == (2, 1)
    assert [r.sequence for r in done.receipts.values()] == [3]
    row = await fetch_one(connection, "SELECT * FROM dead_letters")
    assert (row["reason"], row["first"], row["last"]) == ("invalid", 1, 1)
    assert b"7.5" in row["payload"]


async def test_an_answer_to_a_task_that_never_was_is_parked(connection: PostgresConnection) -> None:
    answer = ReviewAnswered(
        task=uuid4(), task_version=1, scan=uuid4(), verdict="no_card", by="left"
    )
    done = await commit(connection, [batch(accepted(), answer, accepted())], NOW)
    assert (done.applied, done.parked) == (2, 1)
    assert await connection.fetchval("SELECT reason FROM dead_letters") == "unknown-task"
    assert await connection.fetchval("SELECT sequence FROM watermarks") == 3


async def test_what_the_database_refuses_is_parked(connection: PostgresConnection) -> None:
    await connection.execute("ALTER TABLE items ADD CHECK (bin <> 'cursed')")
    done = await commit(
        connection,
        [
            batch(accepted(), accepted(defaults=ScanDefaults(bin="cursed")), accepted()),
            batch(accepted(), start=4),
        ],
        NOW,
    )
    assert (done.applied, done.parked) == (3, 1)
    assert await connection.fetchval("SELECT reason FROM dead_letters") == "refused-by-database"
    assert await counts(connection) == {"fic1-7": 3}


async def test_an_unreadable_payload_with_a_claim_does_not_stop_its_stream(
    connection: PostgresConnection,
) -> None:
    garbage = MqttMessage(
        topic="cardmint/v1/shop/left/events",
        payload=b"\xff{",
        content_type=BATCH,
        claim=Claim(STREAM, 1, 10),
    )
    found = read_message(garbage)
    assert isinstance(found, EventBatch)
    done = await commit(connection, [found, batch(accepted(), start=11)], NOW)
    assert (done.applied, done.parked) == (1, 1)
    assert [r.sequence for r in done.receipts.values()] == [11]


async def test_an_unreadable_payload_without_a_claim_is_parked_once(
    connection: PostgresConnection,
) -> None:
    garbage = read_message(
        MqttMessage(
            topic="cardmint/v1/shop/left/events", payload=b"\x00", content_type="text/plain"
        )
    )
    assert isinstance(garbage, DeadLetter)
    await commit(connection, [garbage], NOW)
    await commit(connection, [garbage], NOW)
    assert await connection.fetchval("SELECT times FROM dead_letters") == 2


async def test_a_station_cannot_write_as_another(connection: PostgresConnection) -> None:
    forged = read_message(message(sealed(accepted(), station="right"), station="left"))
    assert isinstance(forged, DeadLetter)
    assert forged.reason == "wrong-source"
    await commit(connection, [batch(accepted())], NOW)
    done = await commit(connection, [batch(accepted(), start=2, station="right")], NOW)
    assert (done.applied, done.parked, done.receipts) == (0, 1, {})
    assert await connection.fetchval("SELECT reason FROM dead_letters") == "stream-of-another"


def test_other_topics_are_nobodys_business() -> None:
    assert read_message(MqttMessage(topic="cardmint/v2/x", payload=b"", content_type=None)) is None


async def test_a_review_is_opened_answered_once_and_counted(connection: PostgresConnection) -> None:
    scan = doubtful()
    await commit(
        connection, [batch(scan, accepted(defaults=ScanDefaults(finish=Finish.HOLO)))], NOW
    )
    assert await counts(connection) == {"fic1-7": 1}
    task = review_task_id(scan.scan)
    first, second = (
        ReviewAnswered(task=task, task_version=1, scan=scan.scan, verdict="card", card=card, by=by)
        for card, by in ((OWL, "left"), (FOX, "ann"))
    )
    done = await commit(connection, [batch(first, second, start=3)], NOW)
    assert done.changes.superseded == 1
    assert await counts(connection) == {"fic1-7": 1, "fic1-10": 1}
    row = await fetch_one(connection, "SELECT * FROM reviews")
    assert (row["state"], row["version"], row["answered_by"]) == ("answered", 2, "left")
    late = await commit(connection, [batch(second, start=5)], NOW)
    assert late.changes.superseded == 1
    assert await counts(connection) == {"fic1-7": 1, "fic1-10": 1}


async def test_a_scan_taken_back_at_the_station_counts_no_more_and_its_review_closes(
    connection: PostgresConnection,
) -> None:
    counted, asked = accepted(), doubtful()
    await commit(connection, [batch(counted, asked)], NOW)
    assert await counts(connection) == {"fic1-7": 1}
    back = [ScanWithdrawn(scan=scan.scan, by="station") for scan in (counted, asked)]
    done = await commit(connection, [batch(*back, start=3)], NOW)
    assert (done.applied, [count for count in (await counts(connection)).values() if count]) == (
        2,
        [],
    )
    row = await fetch_one(connection, "SELECT * FROM reviews")
    assert (row["state"], row["answered_by"]) == ("answered", "station")
    assert await connection.fetchval("SELECT count(*) FROM dead_letters") == 0


async def test_two_tenants_with_the_same_stream_are_strangers(
    connection: PostgresConnection,
) -> None:
    await commit(connection, [batch(accepted())], NOW)
    payload, content_type = encode_batch(sealed(accepted()))
    other = read_message(
        MqttMessage(
            topic="cardmint/v1/other/left/events", payload=payload, content_type=content_type
        )
    )
    assert isinstance(other, EventBatch)
    assert (await commit(connection, [other], NOW)).applied == 1
    assert await connection.fetchval("SELECT count(*) FROM holdings WHERE tenant = 'other'") == 1


async def test_two_writers_of_one_scan_count_it_once(
    connection: PostgresConnection, database: str
) -> None:
    """A restored outbox resends scans in a new stream while a worker still holds the old one."""
    scans = [accepted(), doubtful(), accepted(OWL)]
    mine, theirs = batch(*scans), batch(*reversed(scans), stream=uuid4())
    async with connected(database) as other:
        async with other.transaction():
            await commit(other, [theirs], NOW)
            waiting = asyncio.create_task(commit(connection, [mine], NOW))
            await asyncio.sleep(0.2)
            assert not waiting.done(), "it should wait for the other to commit"
        done = await waiting
    assert (done.applied, done.parked, done.changes.items) == (3, 0, {})
    assert await counts(connection) == {"fic1-7": 1, "fic1-10": 1}
    assert (await rebuild.compare_with_log(database)).equal

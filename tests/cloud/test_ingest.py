"""Ingest against a real Postgres: once, in order, gaps refused, poison parked."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest
from msgspec.structs import replace

from cardmint_cloud import rebuild
from cardmint_cloud.adapters.postgres.connection import (
    Pool,
    PostgresConnection,
    fetch_one,
    tenant_transaction,
)
from cardmint_cloud.adapters.postgres.ingest.event_log import DeadLetter
from cardmint_cloud.domain.items import review_task_id
from cardmint_cloud.errors import MissingPartition
from cardmint_cloud.ingest.commit import commit
from cardmint_cloud.ingest.read import EventBatch, MqttMessage, read_message
from cardmint_contracts import topics
from cardmint_contracts.cards import Finish, ScanDefaults
from cardmint_contracts.chain import extend_all, start_of
from cardmint_contracts.claims import Claim
from cardmint_contracts.envelope import BATCH, Envelope, digits, encode_batch
from cardmint_contracts.events import EventData, ImageEvicted, ReviewAnswered, ScanWithdrawn
from tests.cloud.kit.cards import FOX, NOW, OWL, STREAM, accepted, doubtful, sealed
from tests.cloud.kit.database import connected

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("partitions")]

START = start_of(STREAM)


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


async def test_what_the_database_refuses_is_parked(
    connection: PostgresConnection, owner: Pool
) -> None:
    await owner.execute("ALTER TABLE items ADD CHECK (bin <> 'cursed')")
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


async def test_a_claim_without_a_readable_payload_moves_no_watermark(
    connection: PostgresConnection,
) -> None:
    await commit(connection, [batch(accepted())], NOW)
    garbage = read_message(
        MqttMessage(
            topic="cardmint/v1/shop/left/events",
            payload=b"\xff{",
            content_type=BATCH,
            claim=Claim(STREAM, 2, 10),
        )
    )
    assert isinstance(garbage, DeadLetter)
    done = await commit(connection, [garbage, batch(accepted(), start=11)], NOW)
    assert (done.applied, done.parked) == (0, 1)
    assert [(r.sequence, r.refused) for r in done.receipts.values()] == [(1, 11)]
    row = await fetch_one(connection, "SELECT * FROM dead_letters")
    assert (row["stream"], row["first"], row["last"]) == (STREAM, 2, 10)


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
    (receipt,) = done.receipts.values()
    assert (done.applied, done.parked) == (0, 0)
    assert (receipt.reason, receipt.sequence) == ("stream-of-another", 2**63 - 1)


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
    async with tenant_transaction(connection, "other"):
        assert (await commit(connection, [other], NOW)).applied == 1
        assert await connection.fetchval("SELECT count(*) FROM holdings") == 1


async def test_two_writers_of_one_scan_count_it_once(
    connection: PostgresConnection, database: str, owner_database: str
) -> None:
    """A restored outbox resends scans in a new stream while a worker still holds the old one."""
    scans = [accepted(), doubtful(), accepted(OWL)]
    mine, theirs = batch(*scans), batch(*reversed(scans), stream=uuid4())
    async with connected(database) as other:
        async with tenant_transaction(other, "shop"):
            await commit(other, [theirs], NOW)
            waiting = asyncio.create_task(commit(connection, [mine], NOW))
            await asyncio.sleep(0.2)
            assert not waiting.done(), "it should wait for the other to commit"
        done = await waiting
    assert (done.applied, done.parked, done.changes.items) == (3, 0, {})
    assert await counts(connection) == {"fic1-7": 1, "fic1-10": 1}
    assert (await rebuild.compare_with_log(owner_database)).equal


def chained(envelopes: list[Envelope], before: bytes) -> EventBatch:
    """Return a batch as a station sends it that knows its chain."""
    first, last = envelopes[0].number, envelopes[-1].number
    found = read_message(message(envelopes, claim=Claim(STREAM, first, last, before)))
    assert isinstance(found, EventBatch)
    return found


def digest_of(envelopes: list[Envelope], before: bytes = START) -> bytes:
    return extend_all(before, ((one, one.data) for one in envelopes))


async def test_a_receipt_proves_what_was_committed(connection: PostgresConnection) -> None:
    events = sealed(*(accepted() for _ in range(5)))
    for part in (events[:2], events[2:3], events[:4], events[1:2], events[3:]):
        before = digest_of(events[: part[0].number - 1])
        done = await commit(connection, [chained(part, before)], NOW)
        (receipt,) = done.receipts.values()
        assert receipt.digest == digest_of(events[: receipt.sequence]).hex()
        assert (receipt.refused, receipt.reason) == (None, None)
    assert await counts(connection) == {"fic1-7": 5}


async def test_another_event_under_a_sequence_of_the_log_is_refused(
    connection: PostgresConnection,
) -> None:
    """Two copies of an outbox went on from event 2; the log has what the first one sent."""
    shared = sealed(accepted(), accepted())
    ours = [*shared, *sealed(accepted(), accepted(), start=3)]
    theirs = [*shared, *sealed(accepted(), accepted(), accepted(), start=3)]
    await commit(connection, [chained(ours, START)], NOW)
    for part in (theirs, theirs[2:], theirs[3:], theirs[4:]):
        before = digest_of(theirs[: part[0].number - 1])
        done = await commit(connection, [chained(part, before)], NOW)
        (receipt,) = done.receipts.values()
        assert (receipt.reason, receipt.sequence, receipt.refused) == (
            "other-content",
            4,
            part[0].number,
        )
        assert receipt.digest == digest_of(ours).hex()
        assert done.applied == 0
    done = await commit(connection, [chained(theirs[2:4], digest_of(shared))], NOW)
    (receipt,) = done.receipts.values()
    assert receipt.digest != digest_of(theirs[:4]).hex(), "the station sees the difference"
    assert await connection.fetchval("SELECT count(*) FROM events") == 4


async def test_a_copy_of_version_0_1_is_compared_with_the_log(
    connection: PostgresConnection,
) -> None:
    ours = sealed(*(accepted() for _ in range(3)))
    other = sealed(*(accepted() for _ in range(4)))
    await commit(connection, [batch_from(ours)], NOW)
    for part in (other, [ours[0], *other[1:]], other[2:3]):
        done = await commit(connection, [batch_from(part)], NOW)
        (receipt,) = done.receipts.values()
        # A station of version 0.1.0 begins a new stream for that.
        assert (receipt.reason, receipt.sequence) == ("other-content", 2**63 - 1)
    twice = [batch_from([*ours, other[3]]), batch_from([*ours, other[3]])]
    done = await commit(connection, twice, NOW)
    assert (done.applied, done.repeated, done.parked) == (1, 7, 0)


async def test_a_station_that_learns_the_chain_goes_on_in_its_stream(
    connection: PostgresConnection,
) -> None:
    """Its chain begins at its first unsent event, and the log takes it over."""
    events = sealed(*(accepted() for _ in range(6)))
    await commit(connection, [batch_from(events[:3])], NOW)
    done = await commit(connection, [chained(events[1:2], START)], NOW)
    assert [r.digest for r in done.receipts.values()] == [None], "it ends before the watermark"
    done = await commit(connection, [chained(events[1:5], START)], NOW)
    (receipt,) = done.receipts.values()
    assert (receipt.sequence, receipt.digest) == (5, digest_of(events[1:5]).hex())
    done = await commit(connection, [batch_from(events[4:])], NOW)
    (receipt,) = done.receipts.values()
    assert receipt.digest == digest_of(events[1:]).hex(), "without a claim it is compared"


def batch_from(envelopes: list[Envelope]) -> EventBatch:
    found = read_message(message(envelopes))
    assert isinstance(found, EventBatch)
    return found


async def test_moved_events_count_once_by_whichever_way_they_come(
    connection: PostgresConnection, owner_database: str
) -> None:
    """A copy of an outbox, and a station that opened two new streams, send what the log has."""
    evicted = ImageEvicted(sha256="a" * 64, bytes=5, kind="full", uploaded=True, reason="disk-full")
    old = sealed(accepted(), evicted, accepted())
    await commit(connection, [batch_from(old[:2])], NOW)

    def moved(stream: UUID, *envelopes: Envelope) -> EventBatch:
        return batch_from(
            [
                replace(one, stream=stream, sequence=digits(number))
                for number, one in enumerate(envelopes, start=1)
            ]
        )

    new = sealed(accepted())[0]
    copied = replace(new, id=old[0].id)
    streams = [uuid4() for _ in range(3)]
    done = await commit(connection, [moved(streams[0], *old, copied)], NOW)
    assert (done.applied, done.repeated) == (2, 2), "what has another content is another event"
    again = [moved(streams[1], *old), moved(streams[2], *old, copied)]
    done = await commit(connection, again, NOW)
    assert (done.applied, done.repeated) == (0, 7)
    assert [r.sequence for r in done.receipts.values()] == [3, 4]
    assert await connection.fetchval("SELECT count(*) FROM events") == 4
    assert (await rebuild.compare_with_log(owner_database)).equal


async def test_two_thousand_impossible_events_are_parked_in_bulk(
    connection: PostgresConnection,
) -> None:
    """As many statements as for one: nothing grows with their number."""
    answers = [
        ReviewAnswered(task=uuid4(), task_version=1, scan=uuid4(), verdict="no_card", by="left")
        for _ in range(1000)
    ]
    statements: list[str] = []
    connection.add_query_logger(lambda query: statements.append(query.query))
    used = []
    for number in (1, 1, 1000):  # the first also learns the types of the columns
        statements.clear()
        done = await commit(connection, [batch(*answers[:number], stream=uuid4())], NOW)
        assert (done.applied, done.parked) == (0, number)
        used.append(len(statements))
    assert used[1] == used[2]
    assert await connection.fetchval("SELECT sum(times) FROM dead_letters") == 1002


async def test_a_month_that_is_missing_parks_nothing(connection: PostgresConnection) -> None:
    with pytest.raises(MissingPartition, match="2031-05"):
        await commit(connection, [batch(accepted())], NOW.replace(year=2031, month=5))
    assert await connection.fetchval("SELECT count(*) FROM dead_letters") == 0
    assert await connection.fetchval("SELECT count(*) FROM watermarks") == 0


async def test_what_is_ingested_can_be_read_back_whatever_its_date(
    connection: PostgresConnection, owner_database: str
) -> None:
    texts = ["0000-01-01T00:00:00Z", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"]
    texts += ["10000-01-01T00:00:00Z", "1970-01-01T00:00:09Z", "2090-01-01T00:00:00Z", "never"]
    events = [
        replace(one, time=text)
        for one, text in zip(sealed(*(accepted() for _ in texts)), texts, strict=True)
    ]
    done = await commit(connection, [batch_from(events)], NOW)
    assert (done.applied, done.parked) == (len(texts), 0)
    rows = await connection.fetch("SELECT DISTINCT occurred_at, clock_synced FROM events")
    assert [tuple(row) for row in rows] == [(NOW, False)]
    assert {row["captured_at"] for row in await connection.fetch("SELECT * FROM items")} == {NOW}
    assert (await rebuild.compare_with_log(owner_database)).equal

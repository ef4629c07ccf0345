"""Whatever a station sends that it should not.

Parked with the reason or refused, and its good events count.
"""

from uuid import uuid4

import pytest

from cardmint_cloud import rebuild
from cardmint_cloud.adapters.mqtt.connection import MAX_PACKET_BYTES
from cardmint_cloud.adapters.postgres.connection import PostgresConnection
from cardmint_cloud.adapters.postgres.ingest.event_log import DeadLetter
from cardmint_cloud.ingest.commit import commit
from cardmint_cloud.ingest.read import EventBatch, MqttMessage, read_message
from cardmint_contracts.cards import Money
from cardmint_contracts.claims import Claim
from cardmint_contracts.envelope import BATCH
from cardmint_contracts.errors import Invalid
from cardmint_contracts.wire import decode, encode
from tests.cloud.kit.cards import NOW, STREAM, accepted, sealed
from tests.cloud.kit.poison import POISON, batch
from tests.cloud.kit.stations import StationStub, wait_for_worker

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("partitions")]


TOPIC = "cardmint/v1/shop/left/events"


def message(who: str) -> EventBatch | DeadLetter | None:
    payload = encode(sealed(accepted(), station=who, stream=uuid4()))
    return read_message(
        MqttMessage(topic=f"cardmint/v1/shop/{who}/events", payload=payload, content_type=BATCH)
    )


@pytest.mark.parametrize("name", POISON)
async def test_it_is_parked_with_its_reason_and_nothing_else_is_affected(
    name: str, connection: PostgresConnection, owner_database: str
) -> None:
    make, content_type, reason = POISON[name]
    good = [message(who) for who in ("right", "top")]
    bad = read_message(
        MqttMessage(
            topic=TOPIC, payload=make(), content_type=content_type, claim=Claim(STREAM, 1, 1)
        )
    )
    after = read_message(
        MqttMessage(topic=TOPIC, payload=encode(sealed(accepted(), start=2)), content_type=BATCH)
    )
    whole = [one for one in (good[0], bad, after, good[1]) if one]
    done = await commit(connection, whole, NOW)
    rows = await connection.fetch(
        "SELECT reason, station, octet_length(payload) AS size FROM dead_letters"
    )
    assert [(row["reason"], row["station"]) for row in rows] == [(reason, "left")]
    assert rows[0]["size"] <= 1 << 20
    held = await connection.fetchval("SELECT sum(count) FROM holdings")
    # What cannot be read does not tell its sequence: the stream waits for the real event.
    readable = isinstance(bad, EventBatch)
    assert (held, done.applied) == ((3, 3) if readable else (2, 2))
    told = done.receipts["shop", "left", STREAM]
    assert (told.sequence, told.refused) == ((2, None) if readable else (0, 2))
    assert (await rebuild.compare_with_log(owner_database)).equal


async def test_a_station_without_the_time_counts_and_is_dated_by_its_receipt(
    connection: PostgresConnection, owner_database: str
) -> None:
    payload = batch({"time": "1970-01-01T00:00:09Z", "clocksynced": False})
    found = read_message(MqttMessage(topic=TOPIC, payload=payload, content_type=BATCH))
    assert isinstance(found, EventBatch)
    await commit(connection, [found], NOW)
    assert await connection.fetchval("SELECT captured_at FROM items") == NOW
    assert await connection.fetchval("SELECT occurred_at FROM events") == NOW
    assert (await rebuild.compare_with_log(owner_database)).equal


async def test_the_end_of_all_sequences_is_a_gap_like_any_other(
    connection: PostgresConnection,
) -> None:
    found = read_message(
        MqttMessage(topic=TOPIC, payload=batch({"sequence": str(2**63 - 1)}), content_type=BATCH)
    )
    assert isinstance(found, EventBatch)
    done = await commit(connection, [found], NOW)
    assert [(r.sequence, r.refused) for r in done.receipts.values()] == [(0, 2**63 - 1)]


async def test_old_streams_sent_again_change_nothing(
    connection: PostgresConnection, owner_database: str
) -> None:
    streams = [uuid4() for _ in range(5)]
    old = [
        read_message(
            MqttMessage(
                topic=TOPIC,
                payload=encode(sealed(accepted(), accepted(), stream=stream)),
                content_type=BATCH,
            )
        )
        for stream in streams
    ]
    whole = [one for one in old if one]
    await commit(connection, whole, NOW)
    again = await commit(connection, [*reversed(whole), *whole], NOW)
    assert (again.applied, again.repeated, again.parked) == (0, 20, 0)
    assert await connection.fetchval("SELECT sum(count) FROM holdings") == 10
    assert (await rebuild.compare_with_log(owner_database)).equal


@pytest.mark.parametrize(
    "amount", [b"12.5", b'"12"', b"-1", b"9223372036854775808", b"1e3", b"NaN"]
)
def test_money_is_whole_units_or_nothing(amount: bytes) -> None:
    with pytest.raises((Invalid, ValueError)):
        decode(b'{"minor": ' + amount + b', "currency": "USD"}', Money)


@pytest.mark.parametrize("broker", ["mosquitto"], indirect=True)
async def test_a_stream_full_of_poison_goes_on_through_a_real_broker(
    worker: object, station: StationStub, connection: PostgresConnection
) -> None:
    await wait_for_worker(station)
    sequence = unreadable = 1
    for make, content_type, _ in POISON.values():
        if content_type == BATCH:
            payload = _numbered(make(), sequence + 1)
            station.send(sealed(accepted(), start=sequence + 1), payload=payload)
            found = read_message(
                MqttMessage(topic=TOPIC, payload=payload, content_type=content_type)
            )
            sequence += isinstance(found, EventBatch)
            # The worker lets the broker keep a message above its maximum packet size.
            unreadable += isinstance(found, DeadLetter) and len(payload) < MAX_PACKET_BYTES
    sequence += 1
    station.send(sealed(accepted(), start=sequence))
    assert (await station.receipt_for(sequence)).sequence == sequence
    held = await connection.fetchval("SELECT sum(count) FROM holdings")
    parked = await connection.fetchval("SELECT count(*) FROM dead_letters")
    assert held == 2, "the first and the last"
    assert parked == sequence - 2 + unreadable - 1


def _numbered(payload: bytes, sequence: int) -> bytes:
    return payload.replace(b'"sequence":"0000000000000000001"', b'"sequence":"%019d"' % sequence)

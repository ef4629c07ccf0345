"""What was parked can be replayed once, when it can be used, or discarded."""

import asyncio
import json
from subprocess import CompletedProcess
from typing import Any
from uuid import UUID, uuid4

import pytest

from cardmint_cloud import rebuild
from cardmint_cloud.adapters.postgres.connection import (
    Pool,
    TenantDatabase,
    fetch_one,
    tenant_transaction,
)
from cardmint_cloud.domain.items import review_task_id
from cardmint_cloud.errors import NotFound, ParkItem
from cardmint_cloud.ingest.commit import commit
from cardmint_cloud.ingest.dead_letters import discard, replay, replay_all, replay_stream
from cardmint_cloud.ingest.read import MqttMessage, read_message
from cardmint_contracts.claims import Claim
from cardmint_contracts.envelope import BATCH, encode_batch, seal
from cardmint_contracts.events import EventData, ReviewAnswered
from tests.cloud.kit.cards import FOX, NOW, accepted, doubtful, send
from tests.cloud.kit.cli import run_command

pytestmark = pytest.mark.integration


def payload(*data: EventData, stream: UUID, station: str = "left") -> bytes:
    envelopes = [
        seal(
            event,
            source=f"/stations/{station}",
            time=NOW,
            stream=stream,
            sequence=i,
            bootid=UUID(int=1),
            monotonic_ms=i,
            clock_synced=True,
        )
        for i, event in enumerate(data, 1)
    ]
    return encode_batch(envelopes)[0]


async def park(pool: Pool, content: bytes, *, content_type: str = BATCH, **more: Any) -> int:
    found = read_message(
        MqttMessage(
            topic="cardmint/v1/shop/left/events", payload=content, content_type=content_type, **more
        )
    )
    assert found is not None
    async with tenant_transaction(pool, "shop") as connection:
        done = await commit(connection, [found], NOW)
    assert done.parked >= 1
    number: int = await TenantDatabase(pool, "shop").fetchval("SELECT max(id) FROM dead_letters")
    return number


async def left(pool: Pool) -> int:
    count: int = await TenantDatabase(pool, "shop").fetchval("SELECT count(*) FROM dead_letters")
    return count


async def test_an_event_that_came_too_early_is_applied_on_replay_once(
    pool: Pool, owner: Pool
) -> None:
    scan = doubtful()
    answer = ReviewAnswered(
        task=review_task_id(scan.scan),
        task_version=1,
        scan=scan.scan,
        verdict="card",
        by="left",
        card=FOX,
    )
    letter = await park(pool, payload(answer, stream=uuid4()))
    with pytest.raises(ParkItem, match="no such task"):
        await replay(pool, "shop", letter, NOW)
    assert await left(pool) == 1
    await send(pool, scan)
    done = await replay(pool, "shop", letter, NOW)
    assert (done.applied, await left(pool)) == (1, 0)
    assert await owner.fetchval("SELECT count FROM holdings") == 1
    row = await fetch_one(owner, "SELECT * FROM events WHERE type LIKE '%answered%'")
    assert (row["stream"], row["source"]) == (
        replay_stream("shop", "/stations/left"),
        "/stations/left",
    )
    with pytest.raises(NotFound):
        await replay(pool, "shop", letter, NOW)


async def test_a_whole_message_is_replayed_when_it_can_be_read(pool: Pool, owner: Pool) -> None:
    stream = uuid4()
    good = payload(accepted(), accepted(), stream=stream)
    letter = await park(pool, good, content_type="text/plain", claim=Claim(stream, 1, 2))
    with pytest.raises(ParkItem, match="content type"):
        await replay(pool, "shop", letter, NOW)
    await owner.execute(
        "UPDATE dead_letters SET content_type = $1", BATCH
    )  # As a version that can read it would see it.
    assert (await replay(pool, "shop", letter, NOW)).applied == 2
    assert await owner.fetchval("SELECT count FROM holdings") == 2


async def test_what_is_still_wrong_stays_with_its_reason(pool: Pool, owner: Pool) -> None:
    bad = payload(accepted(), stream=uuid4()).replace(b'"confidence":0.0', b'"confidence":7.5')
    letter = await park(pool, bad)
    before = await fetch_one(owner, "SELECT * FROM dead_letters")
    with pytest.raises(ParkItem, match="<= 1"):
        await replay(pool, "shop", letter, NOW)
    assert await fetch_one(owner, "SELECT * FROM dead_letters") == before


async def test_a_replay_counts_once_what_came_by_another_way(pool: Pool, owner: Pool) -> None:
    scan = doubtful()
    answer = ReviewAnswered(
        task=review_task_id(scan.scan), task_version=1, scan=scan.scan, verdict="no_card", by="left"
    )
    letter = await park(pool, payload(answer, stream=uuid4()))
    await send(pool, scan)
    copy = dict(await fetch_one(owner, "SELECT * FROM dead_letters"))
    await replay(pool, "shop", letter, NOW)
    names = ", ".join(copy)
    values = ", ".join(f"${n}" for n in range(1, len(copy) + 1))
    await owner.execute(f"INSERT INTO dead_letters ({names}) VALUES ({values})", *copy.values())
    done = await replay(pool, "shop", letter, NOW)
    assert (done.applied, done.repeated, await left(pool)) == (0, 1, 0)


async def test_all_letters_with_a_reason_are_replayed(pool: Pool) -> None:
    scans = [doubtful() for _ in range(3)]
    answers = [
        ReviewAnswered(
            task=review_task_id(scan.scan),
            task_version=1,
            scan=scan.scan,
            verdict="no_card",
            by="left",
        )
        for scan in scans
    ]
    await park(pool, payload(*answers, stream=uuid4()))
    await park(pool, b"\x00", content_type="text/plain")
    await send(pool, *scans[:2])
    assert await replay_all(pool, "shop", NOW, reason="unknown-task") == (2, 1)
    await send(pool, scans[2])
    assert await replay_all(pool, "shop", NOW) == (1, 1)


async def test_a_replay_does_not_let_a_station_write_as_another(pool: Pool, owner: Pool) -> None:
    forged = await park(pool, payload(accepted(), stream=uuid4(), station="right"))
    with pytest.raises(ParkItem, match="as their source, but came on the topic"):
        await replay(pool, "shop", forged, NOW)
    await owner.execute("UPDATE dead_letters SET topic = 'elsewhere'")
    with pytest.raises(ParkItem, match="no station's"):
        await replay(pool, "shop", forged, NOW)


async def test_a_discarded_letter_is_gone_and_only_its_tenant_may(pool: Pool) -> None:
    letter = await park(pool, b"\x00", content_type="text/plain")
    with pytest.raises(NotFound):
        await discard(pool, "other", letter)
    await discard(pool, "shop", letter)
    assert await left(pool) == 0
    with pytest.raises(NotFound):
        await discard(pool, "shop", letter)


@pytest.mark.greenlets
async def test_the_command_lists_replays_and_discards(
    pool: Pool, database: str, owner_database: str
) -> None:
    async def run(*words: str) -> CompletedProcess[str]:
        known = {"CARDMINT_CLOUD_DATABASE": database, "CARDMINT_CLOUD_TENANT": "shop"}
        return await asyncio.to_thread(run_command, "dead-letters", *words, **known)

    assert (await run("list")).stdout == "there are no dead letters\n"
    scan = doubtful()
    answer = ReviewAnswered(
        task=review_task_id(scan.scan), task_version=1, scan=scan.scan, verdict="no_card", by="left"
    )
    early = await park(pool, payload(answer, stream=uuid4()))
    rubbish = await park(pool, b"\x00", content_type="text/plain")
    listed = [json.loads(line) for line in (await run("list", "--json")).stdout.splitlines()]
    assert [(one["id"], one["reason"]) for one in listed] == [
        (early, "unknown-task"),
        (rubbish, "malformed"),
    ]
    assert "unknown-task" in (await run("list", "--limit", "1")).stdout
    still = await run("replay", str(early))
    assert (still.returncode, len(still.stderr.splitlines())) == (1, 1)
    await send(pool, scan)
    assert (await run("replay", str(early))).stdout == "applied 1 events\n"
    assert (await run("replay", "--all")).stdout == "0 dead letters are used, 1 stay\n"
    for wrong in ((), ("--all", "1"), ("--reason", "malformed", "1")):
        assert (await run("replay", *wrong)).returncode == 2
    assert (await run("discard", str(rubbish))).returncode == 0
    gone = await run("discard", str(rubbish))
    assert (gone.returncode, await left(pool)) == (1, 0)
    assert "there is no dead letter" in gone.stderr
    assert (await rebuild.compare_with_log(owner_database)).equal

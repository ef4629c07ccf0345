"""The inventory is what the log says, however the log came about.

Whatever is changed beside the log is found.
"""

import asyncio
import itertools
import json
from datetime import timedelta
from itertools import groupby
from subprocess import CompletedProcess
from uuid import NAMESPACE_OID, UUID, uuid4, uuid5

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cardmint_cloud import rebuild
from cardmint_cloud.adapters.postgres.connection import Pool, tenant_transaction
from cardmint_cloud.domain.items import LoggedEvent
from cardmint_cloud.errors import StopService
from cardmint_cloud.ingest.commit import commit
from cardmint_cloud.ingest.read import EventBatch, MqttMessage, read_message
from cardmint_cloud.local.postgres import database_environment, service_address
from cardmint_cloud.log_months import make_ahead
from cardmint_contracts.envelope import encode_batch
from cardmint_contracts.events import EventData
from tests.cloud.kit.cards import FOX, NOW, accepted, doubtful, sealed, send
from tests.cloud.kit.cli import run_command
from tests.cloud.kit.database import connected
from tests.cloud.kit.logs import possible_logs
from tests.cloud.kit.tenants import fill_tenant

pytestmark = pytest.mark.integration
_examples = itertools.count()


def batch(tenant: str, station: str, stream: UUID, start: int, data: EventData) -> EventBatch:
    payload, content_type = encode_batch(sealed(data, start=start, station=station, stream=stream))
    topic = f"cardmint/v1/{tenant}/{station}/events"
    found = read_message(MqttMessage(topic=topic, payload=payload, content_type=content_type))
    assert isinstance(found, EventBatch)
    return found


async def ingest(
    address: str, log: list[LoggedEvent], cuts: list[int], stations: list[str]
) -> rebuild.LogComparison:
    """Send a log in groups of sizes `cuts`, its events from the stations in turn, then rebuild."""
    example = next(_examples)
    marks: dict[UUID, int] = {}
    batches = []
    for one, station in zip(log, itertools.cycle(stations), strict=False):
        tenant = f"{one.tenant}-{example}"
        stream = uuid5(NAMESPACE_OID, f"{tenant}/{station}")
        marks[stream] = marks.get(stream, 0) + 1
        batches.append(batch(tenant, station, stream, marks[stream], one.data))
    async with connected(service_address(address)) as connection:
        await make_ahead(connection, NOW)
        for turn, size in enumerate(itertools.cycle(cuts)):
            if not batches:
                break
            for tenant, part in groupby(batches[:size], key=lambda one: one.tenant):
                async with tenant_transaction(connection, tenant):
                    await commit(connection, list(part), NOW + timedelta(seconds=turn))
            batches = batches[size:]
        return await rebuild.compare_with_log(address)


@given(
    possible_logs(),
    st.lists(st.integers(1, 7), min_size=1, max_size=5),
    st.lists(st.sampled_from(["left", "right", "far"]), min_size=1, max_size=4),
)
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[
        HealthCheck.function_scoped_fixture
    ],  # Each example has tenants of its own.
)
def test_whatever_comes_the_log_says_the_same(
    owner_database: str, log: list[LoggedEvent], cuts: list[int], names: list[str]
) -> None:
    comparison = asyncio.run(ingest(owner_database, log, cuts, names))
    assert comparison.equal, "\n".join(rebuild.comparison_lines(comparison))


async def test_answers_and_replays_are_in_the_log(pool: Pool, owner_database: str) -> None:
    await fill_tenant(pool)
    comparison = await rebuild.compare_with_log(owner_database)
    assert comparison.equal, "\n".join(rebuild.comparison_lines(comparison))
    assert (comparison.events, comparison.rows) == (8, {"items": 6, "reviews": 3, "holdings": 2})


@pytest.mark.parametrize(
    ("statement", "table"),
    [
        ("UPDATE items SET bin = 'other' WHERE card_id = 'fic1-7'", "items"),
        ("UPDATE items SET confidence = '-0' WHERE status = 'rejected' AND version = 1", "items"),
        ("DELETE FROM reviews WHERE state = 'open'", "reviews"),
        (
            (
                "UPDATE reviews SET closed_at = closed_at + interval '1 microsecond' WHERE"
                " answered_by = 'ann'"
            ),
            "reviews",
        ),
        ("UPDATE holdings SET count = count + 1 WHERE card_id = 'fic1-10'", "holdings"),
        (
            "INSERT INTO holdings (tenant, card_id, count) VALUES ('shop', 'never-scanned', 1)",
            "holdings",
        ),
    ],
)
async def test_what_was_changed_beside_the_log_is_found(
    pool: Pool, owner: Pool, owner_database: str, statement: str, table: str
) -> None:
    await fill_tenant(pool)
    await owner.execute(statement)
    comparison = await rebuild.compare_with_log(owner_database)
    assert not comparison.equal
    assert {name for name, count in comparison.differences.items() if count} == {table}
    assert [one.table for one in comparison.first] == [table]


async def test_a_log_that_was_changed_is_found(
    pool: Pool, owner: Pool, owner_database: str
) -> None:
    await fill_tenant(pool)
    await owner.execute(
        "UPDATE events SET data = jsonb_set(data::jsonb, '{confidence}', '7')::text WHERE"
        " position = 1"
    )
    with pytest.raises(StopService, match="position 1 of the log cannot be read"):
        await rebuild.compare_with_log(owner_database)
    await owner.execute("DELETE FROM events WHERE type LIKE '%scanned%'")
    with pytest.raises(StopService, match="contradicts itself"):
        await rebuild.compare_with_log(owner_database)


async def test_the_service_goes_on_meanwhile(pool: Pool, owner_database: str) -> None:
    async def go_on() -> None:
        stream = uuid4()
        for number in range(1, 1_000_000):
            await send(pool, accepted(), doubtful(), start=2 * number - 1, stream=stream)

    going = asyncio.create_task(go_on())
    seen = []
    try:
        for _ in range(5):
            comparison = await rebuild.compare_with_log(owner_database)
            assert comparison.equal, "\n".join(rebuild.comparison_lines(comparison))
            seen.append(comparison.events)
    finally:
        going.cancel()
        await asyncio.wait([going], timeout=20)
    assert seen == sorted(seen)
    assert seen[0] < seen[-1]


async def test_a_past_time_is_seen_as_it_was(pool: Pool, owner_database: str) -> None:
    await send(pool, accepted(), doubtful(), now=NOW - timedelta(hours=1))
    await fill_tenant(pool)
    before = await rebuild.snapshot_at(owner_database, NOW - timedelta(minutes=1))
    assert (before.events, before.items, before.holdings, before.open_reviews) == (
        2,
        {"counted": 1, "review": 1},
        1,
        1,
    )
    now = await rebuild.snapshot_at(owner_database, NOW + timedelta(hours=3))
    assert (now.events, sum(now.items.values()), now.holdings, now.open_reviews) == (10, 8, 4, 2)
    assert (await rebuild.snapshot_at(owner_database, NOW - timedelta(days=1))).events == 0


@pytest.mark.greenlets
async def test_the_command_says_what_differs_by_its_exit_code(
    pool: Pool, owner: Pool, owner_database: str
) -> None:
    async def run(*words: str) -> CompletedProcess[str]:
        return await asyncio.to_thread(
            run_command, "rebuild", *words, **database_environment(owner_database)
        )

    await fill_tenant(pool)
    good = await run("--json")
    assert (good.returncode, json.loads(good.stdout)["equal"]) == (0, True)
    past = await run("--at", f"{NOW:%Y-%m-%dT%H:%M:%S}", "--json")
    assert json.loads(past.stdout)["items"] == {"counted": 2, "rejected": 1, "review": 3}
    assert "cards held: 3" in (await run("--at", "2030-01-01")).stdout
    await owner.execute(f"UPDATE items SET bin = 'Ember Cat' WHERE card_id = '{FOX.id}'")
    bad = await run()
    assert bad.returncode == 1
    assert "Ember Cat" in bad.stdout

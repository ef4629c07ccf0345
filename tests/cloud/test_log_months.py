"""Months of the log: made ahead, moved to files that hold the same, and folded from there."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from cardmint_cloud import commands, log_months, rebuild
from cardmint_cloud.adapters import parquet
from cardmint_cloud.adapters.postgres.connection import Pool, PostgresConnection
from cardmint_cloud.adapters.postgres.ingest import log_months as partition_rows
from cardmint_cloud.adapters.postgres.ingest import shadow
from cardmint_cloud.adapters.postgres.ingest.log_months import RetiredMonth
from cardmint_cloud.domain.items import review_task_id
from cardmint_cloud.errors import RetryLater, StopService
from cardmint_cloud.local.postgres import database_environment
from cardmint_cloud.settings import CloudSettings
from cardmint_contracts.events import ImageEvicted, ReviewAnswered
from tests.cloud.kit.cards import NOW, OWL, accepted, doubtful, send
from tests.cloud.kit.cli import run_command

pytestmark = pytest.mark.integration

SEPTEMBER, OCTOBER = datetime(2026, 9, 30, 23, tzinfo=UTC), datetime(2026, 10, 5, tzinfo=UTC)


@pytest.fixture
async def log(pool: Pool, owner: Pool) -> AsyncIterator[PostgresConnection]:
    """A log of three months, and the connection of its owner.

    A slow clock dated one answer a month before its question.
    """
    async with owner.acquire() as connection:
        for moment in (SEPTEMBER, OCTOBER):
            await log_months.make_ahead(connection, moment, ahead=0)
        await send(
            pool,
            accepted(),
            ImageEvicted(sha256="ab" * 32, bytes=5, kind="full", uploaded=True, reason="disk-full"),
            now=SEPTEMBER,
        )
        asked = doubtful()
        await send(pool, asked, accepted(OWL), now=OCTOBER)
        answer = ReviewAnswered(
            task=review_task_id(asked.scan),
            task_version=1,
            scan=asked.scan,
            verdict="card",
            card=OWL,
            by="left",
        )
        await send(pool, answer, now=SEPTEMBER + timedelta(minutes=1))
        await send(pool, accepted(), now=NOW)
        yield connection


async def rows(connection: PostgresConnection) -> list[dict[str, Any]]:
    found = await connection.fetch("SELECT * FROM events ORDER BY position")
    return [dict(row) for row in found]


async def test_old_months_move_to_files_and_the_fold_does_not_notice(
    log: PostgresConnection, owner_database: str, tmp_path: Path
) -> None:
    before = await rows(log)
    done = await log_months.retire_before(log, tmp_path, NOW, keep_months=1)
    assert [(one.month, one.events) for one in done] == [(date(2026, 9, 1), 3)]
    assert [row for row in before if row["received_at"] < OCTOBER - timedelta(days=1)] == list(
        parquet.read_file(tmp_path / "events-2026-09.parquet")
    )
    assert (await rebuild.compare_with_log(owner_database, tmp_path)).equal
    assert (await rebuild.compare_with_log(owner_database, tmp_path)).events == len(before)
    assert (await rebuild.snapshot_at(owner_database, SEPTEMBER, tmp_path)).items == {"counted": 1}
    with pytest.raises(StopService, match=r"events-2026-09\.parquet: is not there; `archive`"):
        await rebuild.compare_with_log(owner_database, tmp_path / "elsewhere")
    later = await log_months.retire_before(
        log, tmp_path, datetime(2027, 1, 1, tzinfo=UTC), keep_months=1
    )
    assert [one.month.month for one in later] == [10, 11]
    assert (await rebuild.compare_with_log(owner_database, tmp_path)).equal
    found = await log_months.list_all(log)
    assert [one.month.month for one in found.retired] == [9, 10, 11]
    assert all(one.month >= date(2026, 12, 1) for one in found.present)
    assert len(log_months.month_lines(found)) == len(found.retired) + len(found.present)


async def test_what_was_retired_is_still_not_counted_twice(
    pool: Pool, log: PostgresConnection, tmp_path: Path
) -> None:
    stream = uuid4()
    scans = [accepted(), accepted()]
    await send(pool, *scans, stream=stream, now=SEPTEMBER)
    await log_months.retire_before(log, tmp_path, NOW, keep_months=1)
    held = await log.fetchval("SELECT sum(count) FROM holdings")
    await send(pool, *scans, stream=stream, now=NOW)
    assert await log.fetchval("SELECT sum(count) FROM holdings") == held


async def test_a_month_that_changed_meanwhile_stays(
    log: PostgresConnection, tmp_path: Path
) -> None:
    before = await rows(log)
    stale = RetiredMonth(
        month=date(2026, 9, 1), file="x", events=2, last_position=1, retired_at=NOW
    )
    assert not await partition_rows.drop_month(log, stale)
    assert await rows(log) == before


async def test_a_log_in_use_is_left_alone(
    log: PostgresConnection, owner_database: str, tmp_path: Path
) -> None:
    before = await rows(log)
    async with shadow.snapshot(owner_database) as reading:
        await reading.fetch("SELECT 1 FROM events LIMIT 1")
        with pytest.raises(RetryLater, match="perhaps by a rebuild"):
            await log_months.retire_before(log, tmp_path, NOW, keep_months=1)
    assert await rows(log) == before
    assert [
        one.month.month for one in await log_months.retire_before(log, tmp_path, NOW, keep_months=1)
    ] == [9]


async def test_a_file_that_is_none_is_named(
    log: PostgresConnection, owner_database: str, tmp_path: Path
) -> None:
    await log_months.retire_before(log, tmp_path, NOW, keep_months=1)
    file = tmp_path / "events-2026-09.parquet"
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(StopService, match="cannot be read as Parquet"):
        await rebuild.compare_with_log(owner_database, tmp_path)


def test_no_month_is_moved_to_a_disk_that_may_end_with_its_machine() -> None:
    with pytest.raises(StopService, match="--archive-stays"):
        commands.retire_months(CloudSettings(images="s3://cards"), 1200)


@pytest.mark.greenlets
def test_who_says_that_the_disk_stays_moves_months(owner_database: str) -> None:
    shop = CloudSettings(images="s3://cards", database_owner=owner_database)
    assert commands.retire_months(shop, 1200, archive_stays=True) == []


async def test_months_are_made_over_the_turn_of_the_year(log: PostgresConnection) -> None:
    await log_months.make_ahead(log, datetime(2027, 11, 30, 23, 59, tzinfo=UTC), ahead=3)
    made = [
        one.month
        for one in (await log_months.list_all(log)).present
        if one.month >= date(2027, 11, 1)
    ]
    assert made == [date(2027, 11, 1), date(2027, 12, 1), date(2028, 1, 1), date(2028, 2, 1)]


@pytest.mark.greenlets
async def test_the_commands(log: PostgresConnection, owner_database: str, tmp_path: Path) -> None:
    def told(*words: str) -> str:
        done = run_command(
            *words, **database_environment(owner_database), CARDMINT_CLOUD_ARCHIVE=str(tmp_path)
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def commands() -> None:
        told("partitions", "make", "--ahead", "5")
        assert "no month is old enough" in told("partitions", "retire", "--keep-months", "1200")
        assert "3 events are in events-2026-09.parquet" in told(
            "partitions", "retire", "--keep-months", "1"
        )
        assert "2026-09  3 events in events-2026-09.parquet" in told("partitions", "list")
        assert json.loads(told("partitions", "list", "--json"))["retired"][0]["events"] == 3
        assert "the inventory is what the log says" in told("rebuild")

    await asyncio.to_thread(commands)

"""Events in versions that are no longer written, on a real Postgres.

They count, and the log keeps what came.
"""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import msgspec
import pytest
from alembic import command
from alembic.config import Config
from msgspec.structs import replace
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncEngine

from cardmint_cloud import log_months, migrations, rebuild
from cardmint_cloud.adapters.postgres.connection import Pool, fetch_one, tenant_transaction
from cardmint_cloud.adapters.postgres.migrate import engine_for
from cardmint_cloud.adapters.postgres.queries.reading import reading
from cardmint_cloud.adapters.postgres.queries.stations import list_evictions, was_given_up
from cardmint_cloud.adapters.postgres.reviews import questions
from cardmint_cloud.domain.items import review_task_id
from cardmint_cloud.ingest.commit import commit
from cardmint_cloud.ingest.dead_letters import replay
from cardmint_cloud.ingest.read import MqttMessage, read_message
from cardmint_cloud.reviews.opening import age_reviews
from cardmint_contracts.cards import Candidate, Decision, ScanDefaults
from cardmint_contracts.envelope import encode_batch
from cardmint_contracts.events import (
    NAMES,
    TYPES,
    CardScanned,
    EventData,
    ImageEvicted,
    Question,
    RecogniserIdentity,
    ReviewOpened,
)
from cardmint_contracts.upcasters import (
    EARLIER,
    CardScannedV1,
    Earlier,
    ImageEvictedV1,
    ReviewOpenedV1,
)
from cardmint_contracts.wire import encode
from tests.cloud.kit.cards import FOX, NOW, accepted, sealed
from tests.cloud.kit.reviews import answer_review

pytestmark = pytest.mark.integration
ROOT = Path(__file__).parents[2]
SEPTEMBER = datetime(2026, 9, 15, 12, tzinfo=UTC)
WHYS = {
    "low-confidence": Question.PRINTING,
    "possible-duplicate": Question.DUPLICATE,
    "random-audit": Question.AUDIT,
}


def in_v1(scan: CardScanned, reason: str, **more: Any) -> ReviewOpenedV1:
    why = "audit" if reason == "random-audit" else "rules"
    return ReviewOpenedV1(
        task=review_task_id(scan.scan, why),
        scan=scan.scan,
        reasons=(reason,),
        by="rules/1",
        card=FOX,
        **more,
    )


def in_v2(scan: CardScanned, reason: str) -> ReviewOpened:
    today = in_v1(scan, reason).upcast()
    return replace(today, question=WHYS[reason])


async def send(
    pool: Pool, *data: EventData | Earlier, stream: UUID, start: int = 1, now: datetime = NOW
) -> int:
    """Ingest events as their writer would have written them; return how many were parked."""
    today: list[Any] = [one.upcast() if isinstance(one, Earlier) else one for one in data]
    names = {struct: name for name, struct in EARLIER.items()}
    written = sealed(*today, start=start, stream=stream, time=now)
    for place, one in enumerate(data):
        if isinstance(one, Earlier):
            written[place] = replace(
                written[place], type=names[type(one)], data=msgspec.Raw(encode(one))
            )
    payload, content_type = encode_batch(written)
    batch = read_message(
        MqttMessage(
            topic="cardmint/v1/shop/left/events", payload=payload, content_type=content_type
        )
    )
    assert batch is not None
    async with tenant_transaction(pool, "shop") as connection:
        return (await commit(connection, [batch], now)).parked


async def test_both_versions_count_alike_and_the_log_keeps_each_as_it_came(
    pool: Pool, owner: Pool, owner_database: str, tmp_path: Path
) -> None:
    async with tenant_transaction(pool, "shop") as connection:
        await log_months.make_ahead(connection, SEPTEMBER, ahead=1)
    scans = [accepted() for _ in WHYS for _ in "12"]
    asked: list[ReviewOpenedV1 | ReviewOpened] = []
    for n, reason in enumerate(WHYS):
        asked += [
            in_v1(scans[2 * n], reason, hold=n == 1),
            replace(in_v2(scans[2 * n + 1], reason), hold=n == 1),
        ]
    stream = uuid4()
    assert await send(pool, *scans, *asked, stream=stream, now=SEPTEMBER) == 0
    await answer_review(pool, asked[2].task, None)
    await answer_review(pool, asked[3].task, None)
    assert (
        await send(
            pool, in_v1(scans[0], "random-audit"), stream=stream, start=len(scans) + len(asked) + 1
        )
        == 0
    )
    rows = await owner.fetch(
        "SELECT type, data FROM events WHERE type LIKE '%review.opened%' ORDER BY position"
    )
    names = ["cardmint.review.opened.v1", "cardmint.review.opened.v2"]
    assert [row["type"] for row in rows] == [*names * 3, names[0]]
    assert [row["data"].encode() for row in rows[:6]] == [encode(one) for one in asked]
    found = {row["task"]: row for row in await owner.fetch("SELECT * FROM reviews")}
    for one, reason in zip(asked, [reason for reason in WHYS for _ in "12"], strict=True):
        assert (found[one.task]["question"], found[one.task]["reasons"]) == (WHYS[reason], [reason])
    assert await owner.fetchval("SELECT sum(count) FROM holdings") == 4
    assert (await rebuild.compare_with_log(owner_database)).equal
    async with owner.acquire() as connection:
        retired = await log_months.retire_before(connection, tmp_path, NOW, keep_months=1)
    assert [one.events for one in retired] == [12]
    comparison = await rebuild.compare_with_log(owner_database, tmp_path)
    assert comparison.equal, "\n".join(rebuild.comparison_lines(comparison))
    assert (await rebuild.snapshot_at(owner_database, SEPTEMBER, tmp_path)).open_reviews == 6


async def test_a_cloud_that_is_older_parks_what_is_newer_and_replays_it_once_upgraded(
    pool: Pool, owner: Pool, owner_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan = accepted()
    with monkeypatch.context() as older:
        older.delitem(TYPES, NAMES[ReviewOpened])
        assert await send(pool, scan, in_v2(scan, "possible-duplicate"), stream=uuid4()) == 1
        letter = await fetch_one(owner, "SELECT id, reason FROM dead_letters")
        assert letter["reason"] == "unknown-type"
        assert await owner.fetchval("SELECT count(*) FROM reviews") == 0
    await replay(pool, "shop", letter["id"], NOW)
    assert await owner.fetchval("SELECT question FROM reviews") == "duplicate"
    assert await owner.fetchval("SELECT count(*) FROM dead_letters") == 0
    assert (await rebuild.compare_with_log(owner_database)).equal


@pytest.mark.greenlets
async def test_a_station_that_is_not_upgraded_goes_on_and_its_ledger_counts(
    pool: Pool, database: str, owner_database: str
) -> None:
    digests = [f"{n:064x}" for n in range(4)]
    old = [
        ImageEvictedV1(sha256=digests[0], bytes=10, reason="disk-short"),
        ImageEvictedV1(sha256=digests[1], bytes=20, reason="disk-short-before-upload"),
        ImageEvictedV1(sha256=digests[0], bytes=10, reason="disk-short", kind="thumbnail"),
    ]
    new = ImageEvicted(
        sha256=digests[2], bytes=30, kind="full", uploaded=False, reason="disk-short"
    )
    more = replace(new, sha256=digests[3], bytes=40)
    assert await send(pool, accepted(), *old, new, more, stream=uuid4()) == 0
    engine = engine_for(database)
    async with reading(engine, "shop") as connection:
        (found,) = (await list_evictions(connection, "shop")).values()
        lost = [await was_given_up(connection, "shop", "left", digest) for digest in digests]
    await engine.dispose()
    latest = [row["image"] for row in found.pop("latest")]
    assert found == {"images": 4, "bytes": 100, "lost": 3, "thumbnails": 1}
    assert latest == [more, new, *(one.upcast() for one in reversed(old))]
    assert lost == [False, True, True, True]
    assert (await rebuild.compare_with_log(owner_database)).equal


async def test_an_audit_stays_one_when_the_card_was_scanned_again(pool: Pool, owner: Pool) -> None:
    scan, stream = accepted(), uuid4()
    await send(pool, scan, in_v2(scan, "random-audit"), stream=stream)
    await owner.execute(
        "UPDATE reviews SET reasons = '{blurred}'"
    )  # As a doubtful second scan leaves it.
    assert (
        await age_reviews(
            pool, NOW + timedelta(days=8), escalate=timedelta(days=1), expire=timedelta(days=7)
        )
        == 1
    )
    assert await owner.fetchval("SELECT verdict FROM reviews") == "expired"
    other = accepted()
    await send(pool, other, in_v2(other, "random-audit"), start=3, stream=stream)
    await owner.execute("UPDATE reviews SET reasons = '{blurred}'")
    await answer_review(pool, review_task_id(other.scan, "audit"), FOX)
    async with tenant_transaction(pool, "shop") as connection:
        (found,) = await questions.audit_precisions(connection, "shop")
    assert (found.audited, found.right) == (1, 1)


async def test_the_dashboard_asks_what_is_meant(pool: Pool, site: httpx.AsyncClient) -> None:
    scans = [accepted() for _ in WHYS]
    asked = [in_v1(scan, reason) for scan, reason in zip(scans, WHYS, strict=True)]
    await send(pool, *scans, *asked, stream=uuid4())
    page = (await site.get("/reviews")).text
    for heading in (
        "Which card is this?",
        "Was this card scanned before?",
        "Was this card counted rightly?",
    ):
        assert page.count(heading) == 1
    assert page.count("The same card again: do not count it") == 1
    history = (await site.get(f"/items/{scans[1].scan}")).text
    assert "Asked whether it is the same card again: possible duplicate" in history


async def test_what_an_earlier_cloud_folded_is_todays_after_the_migration(
    pool: Pool, owner: Pool, owner_database: str, owner_engine: AsyncEngine
) -> None:
    scans = [accepted() for _ in range(4)]
    said = in_v2(scans[0], "low-confidence").candidates
    asked = [
        in_v1(scan, reason, candidates=said) for scan, reason in zip(scans, WHYS, strict=False)
    ]
    await send(pool, *scans, *asked, in_v1(scans[3], "random-audit"), stream=uuid4())
    async with owner_engine.begin() as connection:
        await connection.run_sync(_moved, "0006")
    bare = review_task_id(scans[3].scan, "audit")
    await owner.execute("UPDATE reviews SET candidates = '[]' WHERE task = $1", bare)
    async with owner_engine.begin() as connection:
        await connection.run_sync(_moved, "head")
    found = {
        row["task"]: row["question"]
        for row in await owner.fetch("SELECT task, question FROM reviews")
    }
    assert [found[one.task] for one in asked] == list(WHYS.values())
    assert found[bare] == Question.AUDIT
    comparison = await rebuild.compare_with_log(owner_database)
    assert comparison.equal, "\n".join(rebuild.comparison_lines(comparison))


async def test_items_of_the_first_version_take_the_margin_that_the_log_gives(
    pool: Pool, owner: Pool, owner_database: str, owner_engine: AsyncEngine
) -> None:
    fox = Candidate(card=FOX, confidence=0.75)
    first = CardScannedV1(
        scan=uuid4(),
        decision=Decision.REVIEW,
        recogniser=RecogniserIdentity(method="classical", pack="1"),
        confidence=0.75,
        margin=0.5,
        candidates=(fox, replace(fox, confidence=0.125)),
        batch=ScanDefaults(bin="A3"),
    )
    alone = replace(first, scan=uuid4(), candidates=(fox,))
    nothing = replace(first, scan=uuid4(), decision=Decision.REJECT, candidates=(), confidence=0)
    earlier = [first.scan, alone.scan, nothing.scan]
    assert await send(pool, first, alone, nothing, accepted(), stream=uuid4()) == 0
    async with owner_engine.begin() as connection:
        await connection.run_sync(_moved, "0008")
    await owner.execute("UPDATE items SET margin = 0.5 WHERE item = ANY($1)", earlier)
    async with owner_engine.begin() as connection:
        await connection.run_sync(_moved, "head")
    found = {row["item"]: row["margin"] for row in await owner.fetch("SELECT * FROM items")}
    assert [found[scan] for scan in earlier] == [0.625, 0.75, 0.0]
    comparison = await rebuild.compare_with_log(owner_database)
    assert comparison.equal, "\n".join(rebuild.comparison_lines(comparison))
    await owner.execute("UPDATE items SET margin = 0.5 WHERE item = ANY($1)", earlier)
    assert not (await rebuild.compare_with_log(owner_database)).equal
    assert await rebuild.take_margins(owner_database) == 3
    assert await rebuild.take_margins(owner_database) == 0
    assert (await rebuild.compare_with_log(owner_database)).equal


async def test_a_scan_that_postgres_cannot_read_keeps_its_margin(
    pool: Pool, owner: Pool, owner_database: str, owner_engine: AsyncEngine
) -> None:
    earlier = CardScannedV1(
        scan=uuid4(),
        decision=Decision.REJECT,
        recogniser=RecogniserIdentity(method="classical", pack="1"),
        batch=ScanDefaults(),
    )
    assert await send(pool, earlier, accepted(), stream=uuid4()) == 0
    async with owner_engine.begin() as connection:
        await connection.run_sync(_moved, "0008")
    await owner.execute(
        "UPDATE events SET data = replace(data::text, $1, $2)::json WHERE type = $3",
        '"pack":',
        '"pack":"\\u0000","pack":',
        "cardmint.card.scanned.v1",
    )
    await owner.execute("UPDATE items SET margin = 0.5 WHERE item = $1", earlier.scan)
    async with owner_engine.begin() as connection:
        await connection.run_sync(_moved, "head")
    assert await owner.fetchval("SELECT margin FROM items WHERE item = $1", earlier.scan) == 0.5
    assert await rebuild.take_margins(owner_database) == 1


def _moved(connection: Connection, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__path__[0])))
    config.attributes["connection"] = connection
    (command.upgrade if revision == "head" else command.downgrade)(config, revision)


def test_only_the_contracts_and_the_migrations_name_a_version() -> None:
    named = re.compile(r"cardmint\.[a-z]+\.[a-z]+\.v\d")
    packages = [ROOT / "cloud" / "cardmint_cloud", ROOT / "edge" / "cardmint_edge"]
    files = [
        file
        for package in packages
        for file in package.rglob("*.py")
        if "migrations" not in file.parts and file.name != "schema.py"
    ]
    assert len(files) > 100
    assert [file for file in files if named.search(file.read_text())] == []

"""Personal data handed out and erased, by the commands, and what the audit log's page shows."""

import asyncio
import json
from datetime import timedelta
from pathlib import Path

import pytest

from cardmint_cloud.adapters.postgres.connection import Pool
from cardmint_cloud.adapters.sealing import write_master_keys
from cardmint_cloud.audit import anchor_daily, anchor_today, read_anchors
from cardmint_cloud.domain.items import review_task_id
from cardmint_cloud.domain.permissions import Role
from cardmint_cloud.errors import Conflict
from cardmint_cloud.persons import Persons
from cardmint_cloud.reviews.answers import submit_answer
from tests.cloud.kit.accounts import MASTERS, accounts_of, enrol, join
from tests.cloud.kit.cards import NOW, doubtful, send
from tests.cloud.kit.cli import run_command
from tests.cloud.kit.web import plain
from tests.cloud.test_accounts import GuardedSite, guarded

__all__ = ["guarded"]

pytestmark = pytest.mark.integration


@pytest.fixture
def environment(database: str, tmp_path: Path) -> dict[str, str]:
    write_master_keys(tmp_path / "keys", MASTERS)
    return {
        "CARDMINT_CLOUD_DATABASE": database,
        "CARDMINT_CLOUD_TENANT": "shop",
        "CARDMINT_CLOUD_MASTER_KEYS": str(tmp_path / "keys"),
        "CARDMINT_CLOUD_AUDIT_ANCHORS": str(tmp_path / "anchors"),
    }


async def told(environment: dict[str, str], *words: str, code: int = 0) -> str:
    done = await asyncio.to_thread(run_command, *words, **environment)
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


@pytest.mark.greenlets
async def test_a_person_is_handed_out_and_erased_and_the_chain_holds(
    pool: Pool, owner: Pool, environment: dict[str, str], tmp_path: Path
) -> None:
    accounts = accounts_of(pool)
    asked = doubtful()
    await send(pool, asked)
    await join(accounts, "owl", Role.ADMIN, NOW)
    secret, _ = await join(accounts, "fox", Role.OPERATOR, NOW, address="10.1.2.3")
    await enrol(accounts, secret, NOW)
    await submit_answer(
        pool,
        "shop",
        review_task_id(asked.scan),
        version=1,
        verdict="no_card",
        card=None,
        user="fox",
        now=NOW,
    )
    await told(environment, "audit", "anchor", str(tmp_path / "anchors"))
    export = json.loads(await told(environment, "person", "export", "FOX"))
    assert export["account"]["name"] == "fox"
    assert export["events"] == 1
    assert [one["kind"] for one in export["factors"]] == ["totp"]
    assert export["sessions"][0]["address"] == "10.1.2.3"
    personal = [one["personal"] for one in export["audit"]]
    assert {"address": "10.1.2.3", "agent": ""} in personal
    assert "password" not in json.dumps(export["account"])

    assert "1 events say that 'fox'" in await told(environment, "person", "erase", "fox", "--yes")
    for gone in ("export", "erase"):
        words = ("person", gone, "fox", *(["--yes"] if gone == "erase" else []))
        assert "no account here" in await told(environment, *words, code=1)
    said = await told(environment, "audit", "verify")
    assert "the chain and its anchors hold" in said
    for table in ("accounts", "account_sessions", "account_factors", "audit_entries"):
        text = str(await owner.fetch(f"SELECT * FROM {table}"))
        assert "10.1.2.3" not in text, table
        assert "'fox'" not in text, table
    assert await owner.fetchval("SELECT count(*) FROM person_keys") == 1
    assert await accounts.signed_in(secret, NOW) is None

    await owner.execute("ALTER TABLE audit_entries DISABLE TRIGGER USER")
    await owner.execute("UPDATE audit_entries SET entry = replace(entry, 'operator', 'admin')")
    assert "was changed" in await told(environment, "audit", "verify", code=1)


@pytest.mark.greenlets
async def test_a_master_key_is_made_and_rotated(
    pool: Pool, environment: dict[str, str], tmp_path: Path
) -> None:
    await join(accounts_of(pool), "owl", Role.ADMIN, NOW, address="10.1.2.3")
    file = Path(environment["CARDMINT_CLOUD_MASTER_KEYS"])
    before = file.read_text()  # noqa: ASYNC240
    assert "is there already" in await told({}, "master-key", "make", str(file), code=1)
    assert "1 persons' keys" in await told(environment, "master-key", "rotate")
    lines = file.read_text().splitlines()  # noqa: ASYNC240
    assert lines[1:] == before.splitlines()
    file.write_text(lines[0] + "\n")  # noqa: ASYNC240
    assert "10.1.2.3" in await told(environment, "person", "export", "owl")
    file.write_text(before)  # noqa: ASYNC240
    assert "put it back" in await told(environment, "person", "export", "owl", code=1)
    other = tmp_path / "other"
    await told({}, "master-key", "make", str(other))
    wrong = {**environment, "CARDMINT_CLOUD_MASTER_KEYS": str(other)}
    assert "put it back" in await told(wrong, "person", "export", "owl", code=1)
    none = {**environment, "CARDMINT_CLOUD_MASTER_KEYS": ""}
    assert "master-key make" in await told(none, "invite", code=1)
    assert "name the file" in await told(none, "master-key", "rotate", code=1)


async def test_the_last_admin_is_not_erased(pool: Pool) -> None:
    accounts = accounts_of(pool)
    await join(accounts, "owl", Role.ADMIN, NOW)
    persons = Persons(accounts)
    with pytest.raises(Conflict, match="last admin"):
        await persons.erase("owl", NOW)
    await join(accounts, "fox", Role.VIEWER, NOW)
    assert (await persons.erase("fox", NOW)).name.startswith("erased ")
    await join(accounts, "fox", Role.ADMIN, NOW)
    await persons.erase("owl", NOW)


async def test_the_log_is_shown_to_admins(guarded: GuardedSite) -> None:
    await guarded.join("fox", Role.REVIEWER)
    assert (await guarded.client.get("/people/log")).status_code == 403
    await guarded.join("owl", Role.ADMIN)
    await guarded.sign_in("owl", "not the password")
    await guarded.sign_in("owl")
    shown = plain(await guarded.client.get("/people/log"))
    for words in ("Sign in refused", "by a stranger", "127.0.0.1", "Role: admin", "by machine"):
        assert words in shown, words
    await Persons(guarded.accounts).erase("fox", NOW)
    shown = plain(await guarded.client.get("/people/log"))
    assert "erased" in shown
    assert "Earlier" not in shown
    assert "<b>" not in plain(await guarded.client.get("/people/log?before=1"))


async def test_the_head_is_anchored_once_a_day(pool: Pool, tmp_path: Path) -> None:
    accounts, file = accounts_of(pool), tmp_path / "anchors"
    days = [NOW, NOW + timedelta(hours=1), NOW + timedelta(days=1)]
    for day in days:
        await anchor_today(accounts.audit, accounts.database, file, day)
    assert [one.at[:10] for one in read_anchors(file)] == [f"{NOW:%Y-%m-%d}", f"{days[2]:%Y-%m-%d}"]

    async def ended(_seconds: float) -> None:
        raise asyncio.CancelledError

    for there in (tmp_path / "daily", tmp_path):  # A folder is no file: it is tried again later.
        with pytest.raises(asyncio.CancelledError):
            await anchor_daily(accounts.audit, accounts.database, there, lambda: NOW, ended)
    assert len(read_anchors(tmp_path / "daily")) == 1

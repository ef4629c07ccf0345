"""Personal data handed out and erased, by the commands, and what the audit log's page shows."""

import asyncio
import json
import subprocess
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from cardmint_cloud.accounts import Accounts
from cardmint_cloud.adapters.images.folder import FolderStorage
from cardmint_cloud.adapters.postgres.connection import Pool
from cardmint_cloud.adapters.sealing import load_master_keys, write_master_keys
from cardmint_cloud.audit import anchor_if_grown, keep_anchored, read_anchors
from cardmint_cloud.domain.items import review_task_id
from cardmint_cloud.domain.permissions import Role
from cardmint_cloud.errors import Conflict
from cardmint_cloud.local.postgres import wheel_binaries
from cardmint_cloud.persons import Persons
from cardmint_cloud.reviews.answers import submit_answer, user_stream
from cardmint_cloud.web.routes import build_dashboard
from cardmint_contracts.events import CardScanned
from tests.cloud.kit.accounts import MASTERS, PASSWORD, accounts_of, enrol, join
from tests.cloud.kit.cards import NOW, accepted, doubtful, send
from tests.cloud.kit.cli import run_command
from tests.cloud.kit.web import plain, serve
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


async def no_card(pool: Pool, asked: CardScanned, user: str) -> None:
    await submit_answer(
        pool,
        "shop",
        review_task_id(asked.scan),
        version=1,
        verdict="no_card",
        card=None,
        user=user,
        now=NOW,
    )


@pytest.mark.greenlets
async def test_a_person_is_handed_out_and_erased_and_the_chain_holds(
    pool: Pool, owner: Pool, owner_database: str, environment: dict[str, str], tmp_path: Path
) -> None:
    accounts = accounts_of(pool)
    asked = doubtful(), doubtful()
    await send(pool, *asked)
    await join(accounts, "owl", Role.ADMIN, NOW)
    secret, who = await join(accounts, "fox", Role.OPERATOR, NOW, address="10.1.2.3")
    await enrol(accounts, secret, NOW)
    # By the name, as versions before this one did, and by the reference.
    for one, user in zip(asked, ("fox", who.reference), strict=True):
        await no_card(pool, one, user)
    await told(environment, "audit", "anchor", str(tmp_path / "anchors"))
    export = json.loads(await told(environment, "person", "export", "FOX"))
    assert export["account"]["name"] == "fox"
    assert export["events"] == 2
    assert [one["kind"] for one in export["factors"]] == ["totp"]
    assert export["sessions"][0]["address"] == "10.1.2.3"
    assert "10.1.2.3" not in str(await owner.fetch("SELECT * FROM account_sessions"))
    personal = [one["personal"] for one in export["audit"]]
    assert {"address": "10.1.2.3", "agent": ""} in personal
    assert "password" not in json.dumps(export["account"])

    erasing = ("person", "erase", "fox", "--yes")
    refused = await told(environment, *erasing, code=1)
    assert "the event log has 1 events with that name" in refused
    assert await accounts.signed_in(secret, NOW) is not None, "nothing was erased"
    environment["CARDMINT_CLOUD_DATABASE_OWNER"] = owner_database
    assert f"that {who.reference} judged" in await told(environment, *erasing)
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


NAME = "Wilhelmina Heron"


async def everything(database: str, folder: Path) -> str:
    """Return a whole dump of a database, and what the files of a folder have and are called."""
    words = [str(wheel_binaries() / "pg_dump"), f"--dbname={database}"]
    dump = await asyncio.to_thread(subprocess.run, words, capture_output=True, check=True)
    files = [file for file in sorted(folder.rglob("*")) if file.is_file()]  # noqa: ASYNC240
    content = b"\n".join([dump.stdout, *(str(f).encode() + f.read_bytes() for f in files)])
    return content.decode("latin-1").casefold()


@pytest.mark.greenlets
async def test_after_an_erasure_the_name_is_nowhere(
    pool: Pool,
    engine: AsyncEngine,
    owner: Pool,
    owner_database: str,
    environment: dict[str, str],
    tmp_path: Path,
) -> None:
    accounts, images = accounts_of(pool), tmp_path / "images"
    await join(accounts, "owl", Role.ADMIN, NOW)
    secret, who = await join(accounts, NAME, Role.REVIEWER, NOW, address="10.77.66.55")
    card, earlier, asked, held = accepted(), doubtful(), doubtful(), doubtful()
    await send(pool, card, earlier, asked, held)
    await no_card(pool, earlier, NAME)  # As versions before this one did.
    app = build_dashboard(
        engine=engine,
        pool=pool,
        images=FolderStorage(images),
        tenant="shop",
        accounts=accounts,
        clock=lambda: NOW,
    )
    cookie = {"cookie": f"session={secret}"}
    async with serve(app) as client:

        async def ask(method: str, path: str, **form: str) -> str:
            answer = await client.request(method, path, data=form or None, headers=cookie)
            assert answer.status_code in {200, 303}, answer.text
            return plain(answer)

        await ask("POST", f"/reviews/{review_task_id(asked.scan)}", version="1", card="")
        await ask("POST", f"/reviews/{review_task_id(held.scan)}/hand")
        await ask("POST", "/items/change", chosen=f"{card.scan}/1", note="by the window")
        for path in ("/changes", f"/items/{card.scan}", f"/items/{earlier.scan}", "/reviews"):
            assert NAME in await ask("GET", path), path
        reviews = await ask("GET", "/api/v1/shop/reviews")
        assert f'"holder":"{NAME}"' in reviews
        assert who.reference not in await ask("GET", "/reviews")
    spellings = [NAME, "wilhelmina", str(user_stream("shop", NAME))]
    before = await everything(owner_database, images)
    assert "10.77.66.55" not in before, "where a session came from is sealed"
    assert [one for one in spellings if one.casefold() not in before] == []
    environment["CARDMINT_CLOUD_DATABASE_OWNER"] = owner_database
    told_of = await told(environment, "person", "erase", NAME, "--yes")
    after = await everything(owner_database, images)
    assert [one for one in spellings if one.casefold() in after] == []
    assert who.reference in told_of
    assert who.reference in after
    log = await owner.fetch(
        "SELECT data::jsonb ->> 'by' AS by FROM events WHERE source LIKE '/us%'"
    )
    assert {row["by"] for row in log} == {who.reference}
    assert "anchors of the audit log are missing" in await told(
        environment, "audit", "verify", code=1
    )
    await told(environment, "audit", "anchor", environment["CARDMINT_CLOUD_AUDIT_ANCHORS"])
    assert "anchors hold, up to entry" in await told(environment, "audit", "verify")
    assert "the inventory is what the log says" in await told(environment, "rebuild")


@pytest.mark.greenlets
async def test_a_master_key_is_made_and_rotated(
    pool: Pool, environment: dict[str, str], tmp_path: Path
) -> None:
    await join(accounts_of(pool), "owl", Role.ADMIN, NOW, address="10.1.2.3")
    file = Path(environment["CARDMINT_CLOUD_MASTER_KEYS"])
    before = file.read_text()  # noqa: ASYNC240
    assert "is there already" in await told({}, "master-key", "make", str(file), code=1)
    running = Accounts(pool, "shop", load_master_keys(str(file)))
    assert "1 persons' keys" in await told(environment, "master-key", "rotate")
    signing_in = running.sign_in("owl", PASSWORD, address="", agent="", now=NOW, clock=0.0)
    assert await signing_in, "a dashboard that runs knows the new key"
    await join(running, "heron", Role.VIEWER, NOW, address="10.1.2.4")
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


async def test_the_head_is_anchored_whenever_the_log_grew_and_each_day(
    pool: Pool, tmp_path: Path
) -> None:
    accounts, file = accounts_of(pool), tmp_path / "anchors"

    async def anchored(now: datetime) -> list[int]:
        await anchor_if_grown(accounts.audit, accounts.database, file, now)
        return [one.number for one in read_anchors(file) or []]

    assert await anchored(NOW) == [0]
    assert await anchored(NOW + timedelta(hours=1)) == [0]
    await accounts.invite(Role.VIEWER, NOW)
    assert await anchored(NOW + timedelta(hours=1)) == [0, 1]
    assert await anchored(NOW + timedelta(hours=2)) == [0, 1]
    assert await anchored(NOW + timedelta(days=1)) == [0, 1, 1]

    async def ended(_seconds: float) -> None:
        raise asyncio.CancelledError

    for there in (tmp_path / "kept", tmp_path):  # A folder is no file: it is tried again later.
        with pytest.raises(asyncio.CancelledError):
            await keep_anchored(accounts.audit, accounts.database, there, lambda: NOW, ended)
    assert len(read_anchors(tmp_path / "kept") or []) == 1

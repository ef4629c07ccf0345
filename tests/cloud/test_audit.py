"""The audit log: append-only, chained, anchored; personal data in it ends with its person's key."""

import asyncio
import json
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardmint_cloud.adapters.postgres.connection import Pool, TenantDatabase
from cardmint_cloud.adapters.sealing import (
    Key,
    MasterKeys,
    load_master_keys,
    write_master_keys,
)
from cardmint_cloud.audit import AuditLog, read_anchors
from cardmint_cloud.domain.audit_chain import (
    FIRST,
    Anchor,
    ChainEntry,
    canonical,
    check_chain,
    link,
)
from cardmint_cloud.domain.permissions import Role, Scope
from cardmint_cloud.errors import NotFound, StopService
from cardmint_cloud.vault import Vault
from tests.cloud.kit.accounts import MASTERS, PASSWORD, accounts_of, join
from tests.cloud.kit.cards import NOW

SOME_ENTRIES = 5


def chain(count: int, tenant: str = "shop") -> list[ChainEntry]:
    before, made = FIRST, []
    for number in range(1, count + 1):
        entry = canonical({"tenant": tenant, "number": number, "action": "joined"})
        before = link(before, entry)
        made.append(ChainEntry(number=number, entry=entry, hash=before))
    return made


def anchor(one: ChainEntry) -> Anchor:
    return Anchor(tenant="shop", number=one.number, hash=one.hash.hex(), at="today")


def test_a_chain_and_its_anchors_hold() -> None:
    made = chain(SOME_ENTRIES)
    anchors = [
        Anchor(tenant="shop", number=0, hash=FIRST.hex(), at="before"),
        anchor(made[2]),
        anchor(made[4]),
        replace(anchor(made[2]), tenant="other", hash="00"),
    ]
    report = check_chain("shop", made, anchors)
    assert (report.problems, report.entries, report.anchors) == ((), SOME_ENTRIES, 3)
    assert report.head == made[-1].hash.hex()
    assert check_chain("shop", [], []).head == FIRST.hex()


@given(st.integers(0, SOME_ENTRIES - 1), st.data())
def test_no_change_goes_unseen(at: int, data: st.DataObject) -> None:
    made = chain(SOME_ENTRIES)
    anchors = [anchor(made[-1])]
    kind = data.draw(st.sampled_from(["change", "hash", "remove", "twice", "rewrite", "cut"]))
    other = canonical({"tenant": "shop", "number": at + 1, "action": "invited"})
    match kind:
        case "change":
            made[at] = replace(made[at], entry=other)
        case "hash":
            made[at] = replace(made[at], hash=sha256(b"x").digest())
        case "remove":
            del made[at]
        case "twice":
            made.insert(at, made[at])
        case "cut":
            made = made[:at]
        case _:
            before = made[at - 1].hash if at else FIRST
            made[at] = replace(made[at], entry=other)
            for number in range(at, SOME_ENTRIES):
                before = link(before, made[number].entry)
                made[number] = replace(made[number], hash=before)
    assert check_chain("shop", made, anchors).problems


def test_how_far_nothing_was_removed_is_said() -> None:
    made = chain(SOME_ENTRIES)
    empty = Anchor(tenant="shop", number=0, hash=FIRST.hex(), at="")
    assert "no entry is anchored" in check_chain("shop", made, [empty]).holds
    assert "no entry is anchored" in check_chain("shop", [], [empty]).holds
    held = check_chain("shop", made, [anchor(made[1])]).holds
    assert held.endswith(f"up to entry 2; {SOME_ENTRIES - 2} later ones are not anchored yet")
    assert check_chain("shop", made, [anchor(made[-1])]).holds.endswith(f"entry {SOME_ENTRIES}")


def test_an_entry_of_another_tenant_or_of_no_form_is_seen() -> None:
    for entry in (canonical({"tenant": "other", "number": 1}), "[]", "{"):
        one = ChainEntry(number=1, entry=entry, hash=link(FIRST, entry))
        assert "does not say" in check_chain("shop", [one], []).problems[0]
    entry = canonical({"tenant": "shop", "number": 1, "at": "some time"})
    one = ChainEntry(number=1, entry=entry, hash=link(FIRST, entry), at=NOW)
    assert "another time" in check_chain("shop", [one], []).problems[0]


def test_a_sealed_value_opens_in_its_place_alone() -> None:
    key = Key.new()
    sealed = key.seal(b"10.0.0.1", "shop/owl/1")
    assert key.open(sealed, "shop/owl/1") == b"10.0.0.1"
    assert key.seal(b"10.0.0.1", "shop/owl/1") != sealed
    assert key.open(sealed, "shop/owl/2") is None
    assert Key.new().open(sealed, "shop/owl/1") is None
    for broken in (b"", sealed[:-1], sealed[:5], bytes([sealed[0] ^ 1]) + sealed[1:]):
        assert key.open(broken, "shop/owl/1") is None


def test_master_keys_come_from_the_environment_or_a_file(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    write_master_keys(file, MASTERS)
    assert file.stat().st_mode & 0o777 == 0o600
    assert load_master_keys(str(file), {}).current == MASTERS.current
    both = MASTERS.with_new()
    found = load_master_keys("", {"CARDMINT_MASTER_KEYS": both.lines().replace("\n", ",")})
    assert found.current == both.current != MASTERS.current
    assert MASTERS.current in found
    running = load_master_keys(str(file), {})
    key = Key.new()
    name, wrapped = running.wrap(key, "here")
    write_master_keys(file, running.with_new())
    assert running.current != name, "a running service takes the new key"
    assert running.unwrap(name, wrapped, "here").secret == key.secret
    for broken in ("", "x"):
        file.write_text(broken)
        assert running.unwrap(name, wrapped, "here").secret == key.secret, "as it was"
    file.unlink()
    assert name in running
    for text in ("x", "AAAA", "é" * 44, MASTERS.lines() + "short"):
        file.write_text(text)
        with pytest.raises(StopService, match="32 bytes in base64"):
            load_master_keys(str(file), {})
    file.write_bytes(b"\xff\xff")
    for name, says in (
        (str(file), "it is no text"),
        (str(tmp_path / "none"), "No such file"),
        ("", "master-key make"),
    ):
        with pytest.raises(StopService, match=says):
            load_master_keys(name, {})
    with pytest.raises(StopService, match="cannot be written"):
        write_master_keys(tmp_path / "none" / "keys", MASTERS)


@pytest.mark.integration
async def test_what_is_done_to_accounts_is_written_down(pool: Pool, owner: Pool) -> None:
    accounts = accounts_of(pool)
    _, who = await join(accounts, "owl", Role.ADMIN, NOW, address="10.0.0.1")
    await accounts.sign_in("owl", "wrong", address="10.6.6.6", agent="x", now=NOW, clock=0)
    await accounts.sign_in("nobody", "wrong", address="10.6.6.6", agent="x", now=NOW, clock=0)
    await accounts.change(who.account, Role.ADMIN, disabled=False, by=who.account, now=NOW)
    await accounts.add_token("stock", Scope.READ, NOW, by=who.account)
    await accounts.remove_token("stock", NOW, by=who.account)
    with pytest.raises(NotFound):
        await accounts.remove_token("stock", NOW, by=who.account)
    database = TenantDatabase(pool, "shop")
    found = await accounts.audit.latest(database, 2**62, 100)
    assert [one["action"] for one in reversed(found)] == [
        "invited",
        "joined",
        "signed-in",
        "factor-added",
        "recovery-codes-made",
        "sign-in-refused",
        "sign-in-refused",
        "account-changed",
        "token-made",
        "token-removed",
    ]
    unknown, refused = found[3:5]
    assert (unknown["person"], unknown["personal"]) == ("", {})
    assert refused["personal"] == {"address": "10.6.6.6", "agent": "x"}
    assert refused["person"] == str(who.account)
    text = str(await owner.fetch("SELECT entry FROM audit_entries"))
    for personal in ("10.0.0.1", "10.6.6.6", "owl", PASSWORD):
        assert personal not in text, personal
    assert (await accounts.audit.latest(database, 3, 1))[0]["number"] == 2


@pytest.mark.integration
async def test_nobody_changes_it_and_who_does_is_found_out(
    pool: Pool, owner: Pool, tmp_path: Path
) -> None:
    accounts = accounts_of(pool)
    file = tmp_path / "anchors"
    database = TenantDatabase(pool, "shop")
    await accounts.audit.anchor(database, file, NOW)
    await join(accounts, "owl", Role.VIEWER, NOW)
    await accounts.audit.anchor(database, file, NOW + timedelta(days=1))
    statements = (
        "UPDATE audit_entries SET entry = ''",
        "DELETE FROM audit_entries",
        "TRUNCATE audit_entries",
    )
    for who in (pool, owner):
        for statement in statements:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await who.execute(statement)

    async def problems() -> tuple[str, ...]:
        async with database.transaction() as connection:
            report = await accounts.audit.verify(connection, read_anchors(file) or [])
        return report.problems

    assert await problems() == ()
    await owner.execute("ALTER TABLE audit_entries DISABLE TRIGGER USER")
    later = "UPDATE audit_entries SET at = at + $1::interval WHERE number = 2"
    await owner.execute(later, timedelta(microseconds=1))
    assert await problems() == ("entry 2 stands at another time than it says",)
    await owner.execute(later, -timedelta(microseconds=1))
    assert await problems() == ()
    await owner.execute("DELETE FROM audit_entries WHERE number = 3")
    assert "ended at entry 3" in (await problems())[0]
    await owner.execute("UPDATE audit_entries SET entry = replace(entry, 'viewer', 'admin')")
    assert "was changed" in (await problems())[0]
    assert read_anchors(tmp_path / "none") is None
    for text in ("{", '{"tenant": 1}', "[]"):
        file.write_text(text)
        with pytest.raises(StopService, match="no anchor"):
            read_anchors(file)
    for away in (tmp_path, tmp_path / "no" / "folder"):
        with pytest.raises(StopService, match="cannot be written"):
            await accounts.audit.anchor(database, away, NOW)
    with pytest.raises(StopService, match="cannot be read"):
        read_anchors(tmp_path)


@pytest.mark.integration
async def test_many_at_once_make_one_chain(pool: Pool) -> None:
    accounts = accounts_of(pool)
    await asyncio.gather(*(accounts.invite(Role.VIEWER, NOW) for _ in range(20)))
    async with TenantDatabase(pool, "shop").transaction() as connection:
        report = await accounts.audit.verify(connection, [])
    assert (report.entries, report.problems) == (20, ())


@pytest.mark.integration
async def test_keys_are_wrapped_again_by_a_new_master_key(pool: Pool, owner: Pool) -> None:
    accounts = accounts_of(pool)
    _, who = await join(accounts, "owl", Role.VIEWER, NOW, address="10.0.0.1")
    database = TenantDatabase(pool, "shop")
    both = MASTERS.with_new()
    vault = Vault("shop", both)
    await vault.check(pool)
    async with database.transaction() as connection:
        assert await vault.wrap_again(connection) == 1
        assert await vault.wrap_again(connection) == 0
    found = await AuditLog(vault).latest(database, 2**62, 1)
    assert found[0]["personal"]["address"] == "10.0.0.1"
    with pytest.raises(StopService, match=both.current):
        await accounts.vault.check(pool)
    with pytest.raises(StopService, match="put it back"):
        await accounts.audit.latest(database, 2**62, 1)
    async with database.transaction() as connection:
        await vault.destroy(connection, who.account)
    found = await AuditLog(vault).latest(database, 2**62, 1)
    assert found[0]["personal"] is None
    row = await owner.fetchval("SELECT entry FROM audit_entries WHERE number = 3")
    assert json.loads(row)["sealed"]
    assert isinstance(MasterKeys.new(), MasterKeys)

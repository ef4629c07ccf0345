"""Second factors on a real server and Postgres: codes of an app, recovery codes, and the proof."""

import asyncio
import re
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from cardmint_cloud.accounts import LONGEST, PROOF_LIFE, SECOND_LIFE
from cardmint_cloud.adapters.postgres.connection import Pool
from cardmint_cloud.domain.one_time_codes import (
    RECOVERY_CODES,
    accepted_step,
    plain_recovery_code,
    recovery_code,
)
from cardmint_cloud.domain.permissions import Role
from cardmint_cloud.domain.sign_in_pace import FREE_TRIES
from cardmint_cloud.errors import Conflict, NotFound
from cardmint_cloud.second_factors import MOST_FACTORS, Proof, SecondFactors
from tests.cloud.kit.accounts import MASTERS, PASSWORD, accounts_of, code_at, enrol, join
from tests.cloud.kit.cards import NOW
from tests.cloud.kit.cli import run_command
from tests.cloud.kit.web import HTMX_REQUEST, plain
from tests.cloud.test_accounts import HTML, GuardedSite, guarded, guarded_site

__all__ = ["guarded"]

pytestmark = pytest.mark.integration

STEP = timedelta(seconds=30)
SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
NEW = "another long sentence, of foxes"


def secret_on(page: str) -> str:
    found: list[str] = re.findall(r'<code class="secret">([A-Z2-7]+)</code>', page)
    return found[0]


def codes_on(page: str) -> list[str]:
    return re.findall(r"<li><code>([a-z2-7-]+)</code></li>", page)


async def enrolled(guarded: GuardedSite, role: Role) -> tuple[str, list[str]]:
    """Make an account and set up an app on its pages; return the secret and the recovery codes."""
    site = guarded.client
    link = await guarded.accounts.invite(role, guarded.clock())
    site.cookies.clear()
    await site.post(f"/join/{link}", data={"name": "owl", "password": PASSWORD})
    begun = await site.post("/account/factors/totp", headers=HTML)
    assert (begun.status_code, begun.headers["location"]) == (303, "/account/factors")
    shown = await site.get("/account/factors")
    assert "<svg" in shown.text
    secret = secret_on(shown.text)
    assert "That code is wrong" in plain(
        await site.post("/account/factors/totp/confirm", data={"code": "000000"})
    )
    done = await site.post(
        "/account/factors/totp/confirm", data={"code": code_at(secret, guarded.clock())}
    )
    codes = codes_on(done.text)
    assert len(codes) == RECOVERY_CODES
    return secret, codes


async def test_an_admin_sets_one_up_before_anything_else(guarded: GuardedSite) -> None:
    site = guarded.client
    link = await guarded.accounts.invite(Role.ADMIN, NOW)
    await site.post(f"/join/{link}", data={"name": "owl", "password": PASSWORD})
    for path in ("/", "/people", "/account"):
        sent = await site.get(path, headers=HTML)
        assert sent.headers["location"].startswith("/account/factors"), path
    for path in ("/events", "/api/v1/shop/items", "/metrics"):
        assert (await site.get(path)).status_code == 403, path
    assert (await site.post("/people/invite", data={"role": "admin"})).status_code == 403
    part = await site.get("/newest", headers=HTMX_REQUEST)
    assert part.headers["hx-redirect"].startswith("/account/factors")
    await enrol(guarded.accounts, site.cookies["session"], NOW)
    assert (await site.get("/people", headers=HTML)).status_code == 200


async def test_a_code_ends_the_sign_in_and_counts_once(guarded: GuardedSite) -> None:
    site, clock = guarded.client, guarded.clock
    secret, _ = await enrolled(guarded, Role.ADMIN)
    used = code_at(secret, clock())
    clock.now += STEP
    begun = await guarded.sign_in("owl")
    pending = site.cookies["session"]
    assert begun.status_code == 303
    for path in ("/", "/account/factors"):
        asked = await site.get(path, headers=HTML)
        assert asked.headers["location"] == f"/login/second?next={path}", path
    assert "Second factor" in plain(await site.get("/login/second"))
    for wrong in (used, "000000", "", "a" * 60):
        refused = await site.post("/login/second", data={"code": wrong})
        assert refused.status_code == 409, wrong
    entries = await guarded.accounts.audit.latest(guarded.accounts.database, 1000, 4)
    assert {one["action"] for one in entries} == {"proof-refused"}
    assert entries[0]["facts"] == {"kind": "code"}
    code = code_at(secret, clock())
    done = await site.post("/login/second", data={"code": code, "next": "/value?lot=a"})
    assert (done.status_code, done.headers["location"]) == (303, "/value?lot=a")
    assert site.cookies["session"] != pending
    assert (await site.get("/people")).status_code == 200
    assert (await site.get("/login/second")).headers["location"] == "/"
    assert (await site.post("/login/second", data={})).headers["location"] == "/"
    site.cookies.set("session", pending)
    assert (await site.get("/login/second")).status_code == 401
    await guarded.sign_in("owl")
    again = await site.post("/login/second", data={"code": code})
    assert again.status_code == 409, "a code counts once"


async def test_a_sign_in_does_not_wait_for_ever(guarded: GuardedSite) -> None:
    secret, _ = await enrolled(guarded, Role.VIEWER)
    await guarded.sign_in("owl")
    guarded.clock.now += SECOND_LIFE + timedelta(seconds=1)
    late = await guarded.client.post(
        "/login/second", data={"code": code_at(secret, guarded.clock())}
    )
    assert late.status_code == 401


async def test_a_recovery_code_counts_once(guarded: GuardedSite) -> None:
    site = guarded.client
    _, codes = await enrolled(guarded, Role.VIEWER)
    await guarded.sign_in("owl")
    code = codes[0].upper().replace("-", " ")
    assert (await site.post("/login/second", data={"code": code})).status_code == 303
    assert f"{RECOVERY_CODES - 1} recovery codes are left" in plain(
        await site.get("/account/factors")
    )
    await guarded.sign_in("owl")
    assert (await site.post("/login/second", data={"code": code})).status_code == 409
    await site.post("/login/second", data={"code": codes[1]})
    fresh = codes_on((await site.post("/account/factors/codes")).text)
    assert len(set(fresh) - set(codes)) == RECOVERY_CODES
    await guarded.sign_in("owl")
    assert (await site.post("/login/second", data={"code": codes[2]})).status_code == 409
    assert (await site.post("/login/second", data={"code": fresh[0]})).status_code == 303


async def test_guessing_codes_becomes_slow(guarded: GuardedSite) -> None:
    secret, _ = await enrolled(guarded, Role.VIEWER)
    guarded.clock.now += STEP
    await guarded.sign_in("owl")
    for number in range(FREE_TRIES):
        wrong = await guarded.client.post("/login/second", data={"code": f"00000{number}"})
        assert wrong.status_code == 409
    slowed = await guarded.client.post(
        "/login/second", data={"code": code_at(secret, guarded.clock())}
    )
    assert slowed.status_code == 429
    assert int(slowed.headers["retry-after"]) > 0


async def test_what_is_sensitive_asks_again_who_it_is(guarded: GuardedSite) -> None:
    site, clock = guarded.client, guarded.clock
    secret, _ = await enrolled(guarded, Role.ADMIN)
    invite = {"role": "viewer"}
    assert (await site.post("/people/invite", data=invite)).status_code == 200
    clock.now += PROOF_LIFE + timedelta(seconds=1)
    asked = await site.post("/people/invite", data=invite, headers=HTML)
    assert (asked.status_code, asked.headers["location"]) == (303, "/account/prove?next=/people")
    assert (await site.post("/people/invite", data=invite)).status_code == 403
    assert (await site.post("/account/factors/codes", headers=HTML)).status_code == 303
    assert (await site.get("/people")).status_code == 200, "to look is not sensitive"
    before = site.cookies["session"]
    shown = plain(await site.get("/account/prove?next=/people"))
    assert 'name="code"' in shown
    code = code_at(secret, clock())
    for wrong in (
        {"present": "not the password", "code": code},
        {"present": PASSWORD, "code": "000000"},
        {"present": PASSWORD},
        {"passkey": "{}"},
    ):
        assert (await site.post("/account/prove", data=wrong)).status_code == 409, wrong
    right = {"present": PASSWORD, "code": code, "next": "/people"}
    done = await site.post("/account/prove", data=right)
    assert (done.status_code, done.headers["location"]) == (303, "/people")
    assert site.cookies["session"] != before
    assert (await site.post("/people/invite", data=invite)).status_code == 200
    site.cookies.set("session", before)
    assert (await site.get("/people")).status_code == 401


async def test_without_a_factor_the_password_proves_it(guarded: GuardedSite) -> None:
    await guarded.join("fox", Role.VIEWER)
    guarded.clock.now += PROOF_LIFE + timedelta(seconds=1)
    site = guarded.client
    assert (await site.post("/account/factors/totp")).status_code == 403
    assert 'name="code"' not in plain(await site.get("/account/prove"))
    for _ in range(FREE_TRIES):
        assert (await site.post("/account/prove", data={"present": "x"})).status_code == 409
    assert (await site.post("/account/prove", data={"present": PASSWORD})).status_code == 429


async def test_a_factor_is_removed_but_not_the_last_of_an_admin(
    guarded: GuardedSite, pool: Pool
) -> None:
    await guarded.join("fox", Role.VIEWER)
    await enrol(guarded.accounts, guarded.client.cookies["session"], NOW)
    shown = (await guarded.client.get("/account/factors")).text
    factor = re.findall(r'name="factor" value="([0-9a-f-]+)"', shown)[0]
    gone = await guarded.client.post("/account/factors/remove", data={"factor": factor})
    assert "Removed" in plain(gone)
    again = await guarded.client.post("/account/factors/remove", data={"factor": factor})
    assert again.status_code == 404
    assert "Set up a second factor first" in plain(
        await guarded.client.post("/account/factors/codes")
    )
    assert (await guarded.sign_in("fox")).headers["location"] == "/"
    assert (await guarded.client.get("/")).status_code == 200
    await guarded.join("owl", Role.ADMIN)
    shown = (await guarded.client.get("/account/factors")).text
    factor = re.findall(r'name="factor" value="([0-9a-f-]+)"', shown)[0]
    kept = await guarded.client.post("/account/factors/remove", data={"factor": factor})
    assert "add another one first" in plain(kept)
    assert "codes of an app" in plain(await guarded.client.get("/account/factors"))


async def test_a_tenant_may_ask_it_of_everybody(
    pool: Pool, engine: AsyncEngine, tmp_path: Path
) -> None:
    async with guarded_site(pool, engine, tmp_path, everybody=True) as guarded:
        await guarded.join("fox", Role.VIEWER)
        sent = await guarded.client.get("/", headers=HTML)
        assert sent.headers["location"] == "/account/factors?next=/"


async def test_a_link_of_the_machine_lets_an_owner_in_again(
    guarded: GuardedSite, database: str
) -> None:
    site = guarded.client
    await guarded.join("owl", Role.ADMIN)
    first = site.cookies["session"]
    environment = {
        "CARDMINT_CLOUD_DATABASE": database,
        "CARDMINT_CLOUD_TENANT": "shop",
        "CARDMINT_MASTER_KEYS": MASTERS.lines(),
    }
    unknown = run_in_thread("recover", "nobody", **environment)
    assert (await unknown)[0] == 1
    code, said = await run_in_thread("recover", "OWL", "--factors", **environment)
    assert code == 0
    path = "/" + said.strip().split("/", 3)[3]
    # The link counts from now, and the site's clock from long ago: so it is still good there.
    assert "For owl, shop." in plain(await site.get(path))
    weak = await site.post(path, data={"new": "owl owl owl owl"})
    assert (weak.status_code, "easily guessed" in plain(weak)) == (409, True)
    assert (await site.post(path, data={"new": NEW})).headers["location"] == "/login"
    for used in (await site.get(path), await site.post(path, data={"new": NEW})):
        assert used.status_code == 404
    site.cookies.set("session", first)
    assert (await site.get("/account")).status_code == 401
    guarded.codes.clear()
    assert (await guarded.sign_in("owl")).status_code == 403
    assert (await guarded.sign_in("owl", NEW)).status_code == 303
    sent = await site.get("/", headers=HTML)
    assert sent.headers["location"] == "/account/factors?next=/"


async def run_in_thread(*words: str, **environment: str) -> tuple[int, str]:
    done = await asyncio.to_thread(run_command, *words, **environment)
    return done.returncode, done.stdout


async def test_an_admin_makes_a_link_for_somebody_elses_password(guarded: GuardedSite) -> None:
    await guarded.join("fox", Role.VIEWER)
    await guarded.join("owl", Role.ADMIN)
    account = await guarded.accounts.account_named("fox")
    made = plain(await guarded.client.post("/people/recover", data={"account": str(account)}))
    link = made.split("<code>")[1].split("</code>")[0]
    assert (await guarded.client.post(link, data={"new": NEW})).status_code == 303
    assert (await guarded.sign_in("fox", NEW)).status_code == 303
    nobody = "3f0c1c0e-9f6b-4b8e-8a57-1f1d3c5f7a10"
    await guarded.sign_in("owl")
    gone = await guarded.client.post("/people/recover", data={"account": nobody})
    assert gone.status_code == 404
    invited = await guarded.accounts.invite(Role.ADMIN, NOW)
    assert (await guarded.client.get(f"/recover/{invited}")).status_code == 404


async def test_a_recovery_link_ends_when_another_is_made_or_the_password_is_another(
    pool: Pool,
) -> None:
    accounts = accounts_of(pool)
    _, who = await join(accounts, "owl", Role.VIEWER, NOW)

    async def link() -> str:
        return await accounts.recovery_link(who.account, NOW, drops_factors=False)

    first, second = await link(), await link()
    assert await accounts.recovers(first, NOW) is None
    await accounts.recover(second, NEW, NOW)
    third = await link()
    await accounts.change_password(who, NEW, PASSWORD, now=NOW, clock=0.0)
    fourth = await link()
    await accounts.change(who.account, Role.OPERATOR, disabled=False, by=who.account, now=NOW)
    for ended in (first, second, third, fourth):
        with pytest.raises(NotFound):
            await accounts.recover(ended, NEW, NOW)


async def test_a_secret_is_sealed_and_another_rows_is_noise(pool: Pool, owner: Pool) -> None:
    accounts = accounts_of(pool)
    secret, who = await join(accounts, "owl", Role.VIEWER, NOW)
    factors = SecondFactors(accounts)
    assert await factors.totp_setup(who) is None
    setup = await factors.begin_totp(who, NOW)
    (row,) = await owner.fetch("SELECT * FROM account_factors")
    assert setup.secret.encode() not in bytes(row["secret"])
    await owner.execute("UPDATE account_factors SET factor = gen_random_uuid()")
    assert await factors.totp_setup(who) is None
    with pytest.raises(Conflict, match="Begin to set up"):
        await factors.confirm_totp(who, code_at(setup.secret, NOW), now=NOW, clock=0)
    setup = await factors.begin_totp(who, NOW)
    code = code_at(setup.secret, NOW)
    await factors.confirm_totp(who, code, now=NOW, clock=0)
    who = await accounts.signed_in(secret, NOW) or who
    assert await factors.prove(who, PASSWORD, Proof(code=code), now=NOW, clock=0) is None
    for _ in range(MOST_FACTORS - 1):
        await owner.execute(
            "INSERT INTO account_factors (tenant, factor, account, kind, name, secret, confirmed,"
            " made_at) SELECT tenant, gen_random_uuid(), account, kind, name, secret, true, made_at"
            " FROM account_factors LIMIT 1"
        )
    with pytest.raises(Conflict, match="at most"):
        await factors.begin_totp(who, NOW)


def test_codes_of_an_app_are_taken_a_step_early_and_late_and_once() -> None:
    now = NOW.timestamp()
    present = int(now // 30)
    for step in (present - 1, present, present + 1):
        code = code_at(SECRET, NOW + STEP * (step - present))
        assert accepted_step(SECRET, f" {code[:3]} {code[3:]} ", now, 0) == step
        assert accepted_step(SECRET, code, now, step) is None
        assert accepted_step(SECRET, code, now, present + 100_000) == step, "the clock was ahead"
    for away in (-2, 2):
        assert accepted_step(SECRET, code_at(SECRET, NOW + STEP * away), now, 0) is None
    for odd in ("", "12345", "1234567", "abcdef", "١٢٣٤٥٦"):
        assert accepted_step(SECRET, odd, now, 0) is None


def test_a_recovery_code_is_copied_in_any_way() -> None:
    code = recovery_code(bytes(range(15)))
    assert len(code.split("-")) == 6
    assert plain_recovery_code(code.upper().replace("-", "  ")) == plain_recovery_code(code)


@pytest.mark.parametrize(
    "path",
    ["/login/second", "/account/prove", "/account/factors/passkey", "/account/factors/remove"],
)
async def test_no_form_is_a_fault(guarded: GuardedSite, path: str) -> None:
    await guarded.join("owl", Role.VIEWER)
    for value in ("", "\0", "\ud7ff", "a" * 20_000, "[]", '{"id": "x"}', "null", "9"):
        data = dict.fromkeys(("passkey", "code", "present", "label", "factor", "next"), value)
        answer: httpx.Response = await guarded.client.post(path, data=data)
        assert answer.status_code < 500, (value, answer.status_code)


async def test_one_code_at_once_from_two_places_lets_one_in(guarded: GuardedSite) -> None:
    secret, _ = await enrolled(guarded, Role.VIEWER)
    guarded.clock.now += STEP
    waiting = []
    for _ in range(2):
        await guarded.sign_in("owl")
        waiting.append(guarded.client.cookies["session"])
    guarded.client.cookies.clear()
    code = code_at(secret, guarded.clock())
    answers = await asyncio.gather(
        *(
            guarded.client.post(
                "/login/second", data={"code": code}, headers={"cookie": f"session={one}"}
            )
            for one in waiting
        )
    )
    assert sorted(answer.status_code for answer in answers) == [303, 409]


async def test_a_proof_lengthens_no_session(guarded: GuardedSite) -> None:
    site, clock = guarded.client, guarded.clock
    await guarded.join("fox", Role.VIEWER)
    began = clock.now
    while clock.now - began <= LONGEST[False] - timedelta(days=5):
        clock.now += timedelta(days=5)
        assert (await site.post("/account/prove", data={"present": PASSWORD})).status_code == 303
    clock.now = began + LONGEST[False] + timedelta(minutes=1)
    assert (await site.get("/account")).status_code == 401

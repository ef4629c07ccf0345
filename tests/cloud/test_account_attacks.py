"""Attacks on a dashboard with accounts: odd paths, foreign cookies, races, and guesses."""

import asyncio
import re
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from cardmint_cloud.accounts import Accounts, SignedIn, TooSoon
from cardmint_cloud.adapters.postgres import accounts as rows
from cardmint_cloud.adapters.postgres.connection import Pool, TenantDatabase
from cardmint_cloud.domain.permissions import Role
from cardmint_cloud.domain.sign_in_pace import ATTACKED, FREE_TRIES
from cardmint_cloud.errors import Conflict
from cardmint_cloud.web.sign_in import ASK_AGAIN
from tests.cloud.kit.accounts import PASSWORD, accounts_of, join
from tests.cloud.kit.cards import NOW, doubtful, send
from tests.cloud.kit.web import plain
from tests.cloud.test_accounts import GuardedSite, guarded, requests

__all__ = ["guarded"]

pytestmark = pytest.mark.integration

ANOTHER = "another long sentence, of foxes"


@pytest.mark.parametrize(
    "path",
    [
        *("//people", "/people/", "//people//", "/%2fpeople", "/people%2f"),
        *("//api/v1/other/items", "/api//v1/other/items", "/api/v1//other/items"),
        *("/events/?tenant=other", "//events?tenant=other", "/%2fevents?tenant=other"),
        *("/api/v1/other%2fitems", "//images/other/" + "a" * 64),
    ],
)
async def test_no_way_of_writing_a_path_goes_around_its_rule(
    guarded: GuardedSite, path: str
) -> None:
    await guarded.join("fox", Role.VIEWER)
    address = str(guarded.client.base_url).rstrip("/") + path
    answer = await guarded.client.get(address, timeout=5)
    assert answer.status_code == (403 if "people" in path else 404), path


@pytest.mark.parametrize(
    "beside",
    ['x={"a":1}', "a,b=2", "bad cookie=1", "path=1", "expires=1", "foo", "foo[bar]=1", "=", '"'],
)
async def test_cookies_of_other_services_are_no_hindrance(
    guarded: GuardedSite, beside: str
) -> None:
    await guarded.join("fox", Role.VIEWER)
    own = f"session={guarded.client.cookies['session']}"
    guarded.client.cookies.clear()
    for cookies in (f"{beside}; {own}", f"{own};{beside}"):
        answer = await guarded.client.get("/account", headers={"cookie": cookies})
        assert answer.status_code == 200, cookies


async def test_live_updates_end_with_the_session(guarded: GuardedSite, pool: Pool) -> None:
    await guarded.join("fox", Role.VIEWER)
    async with guarded.client.stream("GET", "/events") as stream:  # It ends, or times out below.
        lines = stream.aiter_lines()
        assert await anext(lines) == "event: ready"
        account = (await rows.list_accounts(TenantDatabase(pool, "shop"), "shop"))[0]["account"]
        guarded.clock.now += ASK_AGAIN + ASK_AGAIN
        await send(pool, doubtful())
        async with asyncio.timeout(10):
            while "items" not in await anext(lines):
                pass
        await rows.end_sessions(TenantDatabase(pool, "shop"), "shop", account)
        guarded.clock.now += ASK_AGAIN + ASK_AGAIN
        await send(pool, doubtful())
        async with asyncio.timeout(10):
            async for _ in lines:
                pass
    assert (await guarded.client.get("/account")).status_code == 401


async def test_a_link_used_eight_times_at_once_makes_one_account(
    guarded: GuardedSite, pool: Pool
) -> None:
    secret = await guarded.accounts.invite(Role.VIEWER, NOW)
    answers = await asyncio.gather(
        *(
            guarded.client.post(f"/join/{secret}", data={"name": f"fox {n}", "password": PASSWORD})
            for n in range(8)
        )
    )
    assert sorted(answer.status_code for answer in answers) == [303] + 7 * [404]
    assert len(await rows.list_accounts(TenantDatabase(pool, "shop"), "shop")) == 1


async def test_a_wrong_link_is_refused_before_anything_is_read(guarded: GuardedSite) -> None:
    for data in ({"name": "", "password": "x"}, {"name": "fox", "password": "short"}):
        answer = await guarded.client.post("/join/no-link", data=data)
        assert answer.status_code == 404
        assert "<form" not in plain(answer)
        for untrue in ("Without accounts", "Dead letters", "inventory"):
            assert untrue not in plain(answer), "nobody is signed in"


@pytest.mark.parametrize(
    ("role", "disabled"), [(Role.ADMIN, True), (Role.VIEWER, False)], ids=["disabled", "demoted"]
)
async def test_an_invitation_ends_with_the_rights_of_who_made_it(
    guarded: GuardedSite, role: Role, disabled: bool
) -> None:
    await guarded.join("mallory", Role.ADMIN)
    accounts = guarded.accounts
    mallory = await accounts.account_named("mallory")
    links = [await accounts.invite(Role.ADMIN, NOW, by=mallory)]
    links.append(await accounts.invite(Role.ADMIN, NOW))
    await guarded.join("owl", Role.ADMIN)
    owl = await accounts.account_named("owl")
    await accounts.change(mallory, role, disabled=disabled, by=owl, now=NOW)
    made = [
        (await guarded.client.post(f"/join/{link}", data={"name": f"m{n}", "password": PASSWORD}))
        for n, link in enumerate(links)
    ]
    assert [answer.status_code for answer in made] == [404, 303], "the machine's stays"


async def test_an_open_link_is_listed_and_taken_back(guarded: GuardedSite) -> None:
    await guarded.join("owl", Role.ADMIN)
    site = guarded.client
    made = plain(await site.post("/people/invite", data={"role": "reviewer", "lots": "june"}))
    link = "/join/" + made.split("/join/")[1].split("<")[0]
    shown = plain(await site.get("/people"))
    assert "An account as reviewer" in shown
    assert ", only lots june by owl" in shown
    digest = re.search(r'name="digest" value="([0-9a-f]{64})"', shown)
    assert digest is not None
    for wrong in ("", "x", "00"):
        assert (await site.post("/people/links/remove", data={"digest": wrong})).status_code == 404
    gone = plain(await site.post("/people/links/remove", data={"digest": digest[1]}))
    assert "nobody uses that link any more" in gone
    assert "An account as reviewer" not in gone
    assert (await site.get(link)).status_code == 404
    again = await site.post("/people/links/remove", data={"digest": digest[1]})
    assert again.status_code == 404


async def test_two_admins_who_demote_each_other_leave_one(guarded: GuardedSite, pool: Pool) -> None:
    for name in ("fox", "owl"):
        await guarded.join(name, Role.ADMIN)
    both = [
        row["account"] for row in await rows.list_accounts(TenantDatabase(pool, "shop"), "shop")
    ]
    done = await asyncio.gather(
        *(
            guarded.accounts.change(one, Role.VIEWER, disabled=False, by=one, now=NOW)
            for one in both
        ),
        return_exceptions=True,
    )
    assert [type(one) for one in done].count(Conflict) == 1
    roles = sorted(
        row["role"] for row in await rows.list_accounts(TenantDatabase(pool, "shop"), "shop")
    )
    assert roles == ["admin", "viewer"]


async def test_no_session_begins_by_a_password_that_was_changed_meanwhile(pool: Pool) -> None:
    accounts, who = await fox(pool)
    old = await rows.password_of(TenantDatabase(pool, "shop"), "shop", who.account)
    assert old is not None
    await accounts.change_password(who, PASSWORD, ANOTHER, now=NOW, clock=0.0)
    begun = await rows.begin_session(
        TenantDatabase(pool, "shop"),
        "shop",
        b"x",
        who.account,
        password=old,
        personal=b"",
        now=NOW,
    )
    assert not begun


async def test_the_present_password_is_not_guessed_by_a_session(pool: Pool) -> None:
    accounts, who = await fox(pool)
    for _ in range(FREE_TRIES):
        with pytest.raises(Conflict):
            await accounts.change_password(who, "wrong", ANOTHER, now=NOW, clock=0.0)
    with pytest.raises(TooSoon):
        await accounts.change_password(who, PASSWORD, ANOTHER, now=NOW, clock=1.0)
    await accounts.change_password(who, PASSWORD, ANOTHER, now=NOW, clock=100.0)


async def test_ones_own_password_gives_no_more_guesses_at_anothers(pool: Pool) -> None:
    accounts, _ = await fox(pool)
    link = await accounts.invite(Role.ADMIN, NOW)
    await accounts.join(link, "owl", PASSWORD, address="10.0.0.1", agent="", now=NOW)

    async def tries(name: str, password: str) -> str | None:
        return await accounts.sign_in(
            name, password, address="10.0.0.1", agent="", now=NOW, clock=0.0
        )

    for _ in range(FREE_TRIES - 1):
        assert await tries("owl", "wrong") is None
        assert await tries("fox", PASSWORD) is not None
    assert await tries("owl", "wrong") is None
    with pytest.raises(TooSoon):
        await tries("owl", "wrong")


async def test_a_thousand_strangers_keep_no_owner_out(guarded: GuardedSite) -> None:
    """Signed out everywhere: neither in a browser that was used before, nor in a new one."""
    await guarded.join("owl", Role.VIEWER)
    await guarded.client.post("/logout")
    used = dict(guarded.client.cookies)
    tried = 0
    for number in range(ATTACKED + 5):
        for _ in range(2):
            try:
                assert not await guarded.accounts.sign_in(
                    "owl", "wrong", address=f"10.0.0.{number}", agent="", now=NOW, clock=0.0
                )
                tried += 1
            except TooSoon:
                assert number >= ATTACKED // 2
    assert tried < 2 * (ATTACKED + 5)
    assert [name for name in used if name.startswith("browser-")]
    assert (await guarded.sign_in("owl")).status_code == 303
    guarded.client.cookies.clear()
    assert (await guarded.sign_in("owl")).status_code == 303, "a browser that is new, elsewhere"
    assert not await guarded.accounts.sign_in(
        "owl", "wrong", address="10.9.9.9", agent="", now=NOW, clock=0.0
    )


async def test_a_known_browser_does_not_stand_in_line_with_strangers(pool: Pool) -> None:
    accounts, who = await fox(pool)
    line = [
        asyncio.create_task(
            accounts.sign_in("fox", "x", address=f"10.1.0.{n}", agent="", now=NOW, clock=0.0)
        )
        for n in range(30)
    ]
    await asyncio.sleep(0)
    cookie = dict([accounts.browsers.cookie(who.account, NOW)])
    begun = await accounts.sign_in(
        "fox", PASSWORD, address="10.1.1.1", agent="", now=NOW, clock=0.0, browsers=cookie
    )
    left = sum(not task.done() for task in line)
    await asyncio.gather(*line)
    assert begun
    assert left > 15


async def test_no_session_comes_back_with_a_clock_that_is_set_back(pool: Pool) -> None:
    accounts = accounts_of(pool)
    secret, _ = await join(accounts, "fox", Role.VIEWER, NOW)
    assert await accounts.signed_in(secret, NOW - timedelta(minutes=50)) is not None
    assert await accounts.signed_in(secret, NOW - timedelta(days=365 * 40)) is None


async def test_a_session_of_an_earlier_version_says_where_it_came_from(
    pool: Pool, owner: Pool
) -> None:
    accounts, who = await fox(pool)
    await owner.execute(
        "UPDATE account_sessions SET address = '10.7.7.7', agent = 'old', personal = NULL"
    )
    async with TenantDatabase(pool, "shop").transaction() as connection:
        (one,) = await accounts.sessions_of(connection, who.account)
        assert (one["address"], one["agent"]) == ("10.7.7.7", "old")
        await accounts.vault.destroy(connection, who.account)
        await owner.execute("UPDATE account_sessions SET personal = 'x'")
        (gone,) = await accounts.sessions_of(connection, who.account)
        assert gone["address"] == "", "its person's key is gone"


async def test_a_long_name_is_nobodys(guarded: GuardedSite) -> None:
    for _ in range(FREE_TRIES + 1):  # No count of it is kept, so no pause either.
        assert (await guarded.sign_in("a" * 10_000)).status_code == 403
    assert (await guarded.sign_in("a" * 100_000)).status_code == 413


async def fox(pool: Pool) -> tuple[Accounts, SignedIn]:
    """Make an account, signed in from 10.0.0.1."""
    accounts = accounts_of(pool)
    _, who = await join(accounts, "fox", Role.ADMIN, NOW, address="10.0.0.1")
    return accounts, who


async def test_an_unknown_name_costs_the_same_work_as_a_known_one(database: str) -> None:
    """By statements, not by a clock: argon2 runs for both, and Postgres does the same."""
    statements: list[str] = []

    def told(record: Any) -> None:
        statements.append(record.query)

    async def note(connection: Any) -> None:
        connection.add_query_logger(told)

    async with asyncpg.create_pool(database, min_size=1, max_size=1, setup=note) as pool:
        accounts = accounts_of(pool)
        await join(accounts, "fox", Role.VIEWER, NOW, address="10.0.0.1")
        done = []
        for name in ("fox", "nobody"):
            statements.clear()
            for number in range(2):
                assert not await accounts.sign_in(
                    name, "x" * 12, address=f"10.{number}", agent="", now=NOW, clock=0.0
                )
            done.append(sorted(statements))
    assert done[0] == done[1]
    assert len(done[0]) > 5


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "https://evil.example.com"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:1"},
        {"sec-fetch-site": "same-origin", "origin": "https://evil.example.com"},
    ],
    ids=["cross", "same-site", "foreign", "null", "port", "both"],
)
async def test_another_sites_page_changes_nothing(
    guarded: GuardedSite, headers: dict[str, str]
) -> None:
    """On every route that changes something, and the session that would let it stays as it was."""
    await guarded.join("owl", Role.ADMIN)
    tried = 0
    for method, path in requests(guarded.app):
        if method not in {"GET", "HEAD"}:
            answer = await guarded.client.request(method, path, headers=headers)
            assert answer.status_code == 403, (method, path)
            tried += 1
    assert tried > 30
    assert (await guarded.client.get("/people")).status_code == 200


@pytest.mark.parametrize(
    "wanted",
    [
        *("https://evil.example.com", "//evil.example.com", "/\\evil.example.com", "\\\\evil"),
        *("javascript:alert(1)", "/%0d%0aset-cookie:x", "\r\n//evil", " //evil", "/\t/evil"),
    ],
)
async def test_no_next_leads_away(guarded: GuardedSite, wanted: str) -> None:
    await guarded.join("owl", Role.VIEWER)
    site = guarded.client
    for path, form in (
        ("/account/prove", {"present": PASSWORD}),
        ("/login", {"name": "owl", "password": PASSWORD}),
        ("/login/second", {}),
    ):
        answer = await site.post(path, data={**form, "next": wanted})
        assert answer.status_code == 303, path
        to = answer.headers["location"]
        assert to.startswith("/"), (path, to)
        assert not to.startswith(("//", "/\\")), (path, to)

"""A dashboard with accounts, on a real server and Postgres: who gets in, and who does not."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import pytest
from litestar import Litestar
from litestar.routes import HTTPRoute
from sqlalchemy.ext.asyncio import AsyncEngine

from cardmint_cloud.accounts import IDLE, LINK_LIFE, LONGEST, Accounts, check_name, check_password
from cardmint_cloud.adapters.images.folder import FolderStorage
from cardmint_cloud.adapters.oidc import OidcProvider
from cardmint_cloud.adapters.postgres import accounts as rows
from cardmint_cloud.adapters.postgres.connection import Pool, TenantDatabase
from cardmint_cloud.domain.items import review_task_id
from cardmint_cloud.domain.permissions import OPEN_PATHS, Role, Scope, person_may
from cardmint_cloud.domain.quota import Quotas
from cardmint_cloud.domain.sign_in_pace import FREE_TRIES
from cardmint_cloud.errors import Conflict
from cardmint_cloud.local.broker_users import BrokerUsers
from cardmint_cloud.web.routes import build_dashboard
from tests.cloud.kit.accounts import PASSWORD, accounts_of, enrol, webhooks_of
from tests.cloud.kit.cards import NOW, accepted, doubtful, send
from tests.cloud.kit.web import HTMX_REQUEST, plain, serve

pytestmark = pytest.mark.integration

HTML = {"accept": "text/html,application/xhtml+xml"}


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


class GuardedSite:
    """A dashboard with accounts, its accounts, and a client that keeps cookies."""

    def __init__(
        self, app: Litestar, client: httpx.AsyncClient, accounts: Accounts, clock: Clock
    ) -> None:
        self.app, self.client, self.accounts, self.clock = app, client, accounts, clock
        self.codes: dict[str, list[str]] = {}

    async def join(self, name: str, role: Role) -> None:
        """Make an account by a link, with a second factor for an admin, and stay signed in."""
        secret = await self.accounts.invite(role, self.clock())
        self.client.cookies.clear()
        done = await self.client.post(f"/join/{secret}", data={"name": name, "password": PASSWORD})
        assert done.status_code == 303, plain(done)
        if role is Role.ADMIN:
            session = self.client.cookies["session"]
            self.codes[name] = list(await enrol(self.accounts, session, self.clock()))

    async def sign_in(self, name: str, password: str = PASSWORD) -> httpx.Response:
        """Sign in, by a recovery code besides where the account has a second factor."""
        self.client.cookies.clear()
        answer = await self.client.post("/login", data={"name": name, "password": password})
        if answer.status_code == 303 and self.codes.get(name):
            return await self.client.post("/login/second", data={"code": self.codes[name].pop()})
        return answer


@pytest.fixture
async def guarded(pool: Pool, engine: AsyncEngine, tmp_path: Path) -> AsyncIterator[GuardedSite]:
    async with guarded_site(pool, engine, tmp_path) as site:
        yield site


@asynccontextmanager
async def guarded_site(
    pool: Pool,
    engine: AsyncEngine,
    folder: Path,
    *,
    secure: bool = False,
    everybody: bool = False,
    quotas: Quotas | None = None,
    base_path: str = "",
    proxies: tuple[str, ...] = (),
    broker_users: BrokerUsers | None = None,
    broker_port: int = 0,
    provider: OidcProvider | None = None,
) -> AsyncIterator[GuardedSite]:
    accounts, clock = accounts_of(pool, everybody=everybody), Clock()
    app = build_dashboard(
        engine=engine,
        pool=pool,
        images=FolderStorage(folder / "images"),
        tenant="shop",
        artifacts=folder / "artifacts",
        hosts=["127.0.0.1", "localhost", "cards.example.com"],
        accounts=accounts,
        secure=secure,
        quotas=quotas,
        base_path=base_path,
        proxies=proxies,
        broker_users=broker_users,
        broker_port=broker_port,
        provider=provider,
        webhooks=webhooks_of(accounts),
        clock=clock,
    )
    async with serve(app) as client:
        yield GuardedSite(app, client, accounts, clock)


def requests(app: Litestar) -> list[tuple[str, str]]:
    """Give method and path of every route, its parameters filled in soundly."""
    sound = {"uuid": str(uuid4()), "int": "1", "str": "shop"}
    return [
        (
            method,
            "/"
            + "/".join(
                part if isinstance(part, str) else sound[part.full.partition(":")[2]]
                for part in route.path_components
            ),
        )
        for route in app.routes
        if isinstance(route, HTTPRoute)
        for method in sorted(route.methods - {"OPTIONS"})
    ]


async def test_nobody_gets_anything_without_signing_in(guarded: GuardedSite) -> None:
    tried = 0
    for method, path in requests(guarded.app):
        if OPEN_PATHS.match(path):
            continue
        for headers in ({}, HTML, {"cookie": "session=forged"}, {"authorization": "Bearer cm_x"}):
            answer = await guarded.client.request(method, path, headers=headers)
            to_sign_in = answer.headers.get("location", "").startswith("/login?next=/")
            assert answer.status_code == 401 or to_sign_in, (method, path, answer.status_code)
            tried += 1
    assert tried > 100


@pytest.mark.parametrize("role", list(Role))
async def test_each_role_gets_what_its_rules_say(guarded: GuardedSite, role: Role) -> None:
    await guarded.join("owl", role)
    for method, path in requests(guarded.app):
        if OPEN_PATHS.match(path) or path in {"/logout", "/events"}:
            continue
        answer = await guarded.client.request(method, path)
        refused = answer.status_code == 403
        assert refused != person_may(role, method, path), (method, path, answer.status_code)
        assert answer.status_code < 500, (method, path)


async def test_a_session_is_there_until_it_ends(guarded: GuardedSite) -> None:
    site, clock = guarded.client, guarded.clock
    await guarded.join("Fox", Role.VIEWER)
    assert (await site.get("/", headers=HTML)).status_code == 200
    wrong = await guarded.sign_in("fox", "not the password")
    assert (wrong.status_code, "Name or password is wrong." in plain(wrong)) == (403, True)
    assert plain(wrong) == plain(await guarded.sign_in("nobody", "not the password"))
    right = await site.post(
        "/login", data={"name": " FOX ", "password": PASSWORD, "next": "/value?lot=a"}
    )
    assert (right.status_code, right.headers["location"]) == (303, "/value?lot=a")
    cookie = right.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    clock.now += IDLE[False] - timedelta(minutes=1)
    assert (await site.get("/account")).status_code == 200
    clock.now += IDLE[False] - timedelta(minutes=1)
    assert (await site.get("/account")).status_code == 200, "it was used meanwhile"
    clock.now += IDLE[False] + timedelta(minutes=1)
    assert (await site.get("/account")).status_code == 401
    await guarded.sign_in("fox")
    began = clock.now
    while clock.now - began <= LONGEST[False]:
        clock.now += IDLE[False] - timedelta(days=1)
        await site.get("/account")
    assert (await site.get("/account")).status_code == 401, "none lasts for ever"
    await guarded.sign_in("fox")
    kept = site.cookies["session"]
    assert (await site.post("/logout")).status_code == 303
    site.cookies.set("session", kept)
    assert (await site.get("/account")).status_code == 401


async def test_nowhere_but_here_after_signing_in(guarded: GuardedSite) -> None:
    await guarded.join("fox", Role.VIEWER)
    for wanted in ("//evil.example", "https://evil.example", "/\\evil.example", "javascript:1", ""):
        answer = await guarded.client.post(
            "/login", data={"name": "fox", "password": PASSWORD, "next": wanted}
        )
        assert answer.headers["location"] == "/", wanted
    guarded.client.cookies.clear()
    away = await guarded.client.get("/value?lot=a%26b", headers=HTML)
    assert away.headers["location"] == "/login?next=/value%3Flot%3Da%2526b"
    part = await guarded.client.get("/newest", headers=HTMX_REQUEST)
    assert (part.status_code, part.headers["hx-redirect"]) == (401, "/login")


async def test_a_link_makes_one_account(guarded: GuardedSite) -> None:
    site, now = guarded.client, guarded.clock
    secret = await guarded.accounts.invite(Role.ADMIN, now())
    assert "as admin" in plain(await site.get(f"/join/{secret}"))
    for name, password in (("owl", "short"), ("", PASSWORD), ("owl", "aaaaaaaaaaaaaaaa")):
        refused = await site.post(f"/join/{secret}", data={"name": name, "password": password})
        assert refused.status_code == 409, (name, password)
    data = {"name": "owl", "password": PASSWORD}
    assert (await site.post(f"/join/{secret}", data=data)).status_code == 303
    for again in (secret, "no-such-link"):
        assert (await site.get(f"/join/{again}")).status_code == 404
        assert (await site.post(f"/join/{again}", data=data)).status_code == 404
    late = await guarded.accounts.invite(Role.VIEWER, now())
    taken = await guarded.accounts.invite(Role.VIEWER, now())
    used = await site.post(f"/join/{taken}", data={**data, "name": "OWL"})
    assert (used.status_code, "has this name already" in plain(used)) == (409, True)
    now.now += LINK_LIFE + timedelta(seconds=1)
    assert (await site.post(f"/join/{late}", data=data)).status_code == 404


@pytest.mark.parametrize(("role", "offered"), [(Role.VIEWER, False), (Role.OPERATOR, True)])
async def test_who_may_not_change_cards_is_offered_no_form(
    pool: Pool, guarded: GuardedSite, role: Role, offered: bool
) -> None:
    scan = accepted()
    await send(pool, scan)
    await guarded.join("owl", role)
    for path in ("/items", f"/items/{scan.scan}"):
        page = plain(await guarded.client.get(path))
        assert ("Ember Fox" in page, 'name="condition"' in page) == (True, offered), path


async def test_guessing_becomes_slow_and_the_owner_gets_in(guarded: GuardedSite) -> None:
    await guarded.join("owl", Role.VIEWER)
    for _ in range(FREE_TRIES):
        assert (await guarded.sign_in("owl", "wrong wrong wrong")).status_code == 403
    slowed = await guarded.sign_in("owl")
    assert slowed.status_code == 429
    assert 0 < int(slowed.headers["retry-after"]) <= 10
    assert (
        await guarded.accounts.sign_in("owl", "x", address="10.9.9.9", agent="", now=NOW, clock=1e9)
        is None
    )


async def test_many_guesses_at_once_are_no_way_around(guarded: GuardedSite) -> None:
    await guarded.join("owl", Role.VIEWER)
    guarded.client.cookies.clear()
    guesses = [
        guarded.client.post("/login", data={"name": "owl", "password": f"a wrong guess {number}"})
        for number in range(30)
    ]
    statuses = [answer.status_code for answer in await asyncio.gather(*guesses)]
    assert statuses.count(403) <= FREE_TRIES
    assert statuses.count(429) == 30 - statuses.count(403)


@pytest.mark.parametrize(
    ("path", "sound"),
    [
        ("/login", {"name": "owl", "password": "x", "next": "/"}),
        ("/account/password", {"present": "x", "new": "y"}),
        ("/account/sessions", {"session": "00"}),
        ("/people/invite", {"role": "viewer"}),
        ("/people/links/remove", {"digest": "ab"}),
        ("/people/tokens", {"name": "left"}),
        (f"/people/{UUID(int=7)}", {"role": "viewer", "disabled": "true"}),
        ("/join/x", {"name": "owl", "password": PASSWORD}),
    ],
    ids=["login", "password", "sessions", "invite", "link", "tokens", "person", "join"],
)
async def test_no_form_is_a_fault(guarded: GuardedSite, path: str, sound: dict[str, str]) -> None:
    await guarded.join("owl", Role.ADMIN)
    for key, value in itertools.product(
        sound, ("", "\0", "\ud7ff", "a" * 5000, "' OR 1=1 --", "9")
    ):
        answer = await guarded.client.post(path, data={**sound, key: value})
        assert answer.status_code < 500, (key, value, answer.status_code)
    for odd in (b"\xff" * 100, b"&" * 9000, b"=", b""):
        headers = {"content-type": "application/x-www-form-urlencoded"}
        answer = await guarded.client.post(path, content=odd, headers=headers)
        assert answer.status_code < 500, odd


async def test_another_tenants_things_are_not_there(guarded: GuardedSite, pool: Pool) -> None:
    scan = doubtful()
    await send(pool, scan, tenant="other")
    await guarded.join("owl", Role.ADMIN)
    for path in (
        "/api/v1/other/items",
        "/api/v1/other/stations",
        f"/images/other/{'a' * 64}",
        "/events?tenant=other",
    ):
        answer = await guarded.client.get(path)
        assert answer.status_code == 404, path
    task = review_task_id(scan.scan)
    for there in (task, uuid4()):
        answer = await guarded.client.post(f"/reviews/{there}", data={"version": "1", "card": ""})
        assert answer.status_code == 404
    elsewhere = accounts_of(pool, "other")
    secret = await elsewhere.invite(Role.ADMIN, NOW)
    assert (await guarded.client.get(f"/join/{secret}")).status_code == 404
    token = await elsewhere.add_token("theirs", Scope.READ, NOW)
    guarded.client.cookies.clear()
    answer = await guarded.client.get(
        "/api/v1/shop/items", headers={"authorization": f"Bearer {token}"}
    )
    assert answer.status_code == 401


async def test_programs_have_tokens(guarded: GuardedSite) -> None:
    token = await guarded.accounts.add_token("stock", Scope.READ, NOW)
    bearer = {"authorization": f"Bearer {token}"}
    assert (await guarded.client.get("/api/v1/shop/items", headers=bearer)).status_code == 200
    assert (await guarded.client.get("/people", headers=bearer)).status_code == 403
    assert (await guarded.client.get("/api/v1/other/items", headers=bearer)).status_code == 404
    station = await guarded.accounts.add_token("left", Scope.STATION, NOW)
    image = f"/api/v1/shop/images/{'a' * 64}"
    box = {"authorization": f"Bearer {station}"}
    assert (await guarded.client.head(image, headers=box)).status_code == 204
    assert (await guarded.client.get("/api/v1/shop/items", headers=box)).status_code == 403
    renewed = await guarded.accounts.add_token("left", Scope.STATION, NOW)
    assert (await guarded.client.head(image, headers=box)).status_code == 401
    box = {"authorization": f"Bearer {renewed}"}
    assert (await guarded.client.head(image, headers=box)).status_code == 204
    await guarded.join("owl", Role.ADMIN)
    assert "left" in plain(await guarded.client.get("/people"))
    removed = await guarded.client.post("/people/tokens", data={"name": "left"})
    assert "left has no token any more" in plain(removed)
    again = await guarded.client.post("/people/tokens", data={"name": "left"})
    assert again.status_code == 404
    guarded.client.cookies.clear()
    assert (await guarded.client.head(image, headers=box)).status_code == 401


async def test_people_are_looked_after(guarded: GuardedSite, pool: Pool) -> None:
    site = guarded.client
    await guarded.join("fox", Role.VIEWER)
    fox = site.cookies["session"]
    await guarded.join("owl", Role.ADMIN)
    page = plain(await site.get("/people"))
    assert "fox" in page
    assert "People" in plain(await site.get("/")), "the link is there for admins"
    made = plain(await site.post("/people/invite", data={"role": "reviewer"}))
    link = made.split("<code>")[1].split("</code>")[0]
    assert (await site.get(link)).status_code == 200
    people = {
        row["name"]: row["account"]
        for row in await rows.list_accounts(TenantDatabase(pool, "shop"), "shop")
    }
    alone = await site.post(f"/people/{people['owl']}", data={"role": "viewer"})
    assert "last admin" in plain(alone)
    gone = await site.post(f"/people/{uuid4()}", data={"role": "viewer"})
    assert gone.status_code == 404
    out = await site.post("/people/sessions", data={"account": str(people["fox"])})
    assert "Signed out everywhere" in plain(out)
    assert await guarded.accounts.signed_in(fox, NOW) is None
    await site.post(f"/people/{people['fox']}", data={"role": "viewer", "disabled": "true"})
    site.cookies.clear()
    assert (await guarded.sign_in("fox")).status_code == 403
    site.cookies.set("session", fox)
    assert (await site.get("/account")).status_code == 401


async def test_one_changes_ones_own_password_and_ends_sessions(guarded: GuardedSite) -> None:
    site = guarded.client
    await guarded.join("fox", Role.VIEWER)
    first = site.cookies["session"]
    await guarded.sign_in("fox")
    new = "another long sentence, of foxes"
    wrong = await site.post("/account/password", data={"present": "x", "new": new})
    assert "present password is wrong" in plain(wrong)
    weak = await site.post("/account/password", data={"present": PASSWORD, "new": "foxfoxfoxfox"})
    assert "easily guessed" in plain(weak)
    done = await site.post("/account/password", data={"present": PASSWORD, "new": new})
    assert "The password is changed" in plain(done)
    second = site.cookies["session"]
    site.cookies.set("session", first)
    assert (await site.get("/account")).status_code == 401
    assert (await guarded.sign_in("fox", new)).status_code == 303
    listed = plain(await site.get("/account"))
    digest = listed.split('name="session" value="')[1].split('"')[0]
    await site.post("/account/sessions", data={"session": digest})
    third = site.cookies["session"]
    site.cookies.set("session", second)
    assert (await site.get("/account")).status_code == 401
    site.cookies.set("session", third)
    assert (await site.post("/account/sessions", data={"session": "zz"})).status_code == 404
    assert "Ended." in plain(await site.post("/account/sessions", data={}))


async def test_by_https_the_cookie_is_bound_to_the_host(
    pool: Pool, engine: AsyncEngine, tmp_path: Path
) -> None:
    async with guarded_site(pool, engine, tmp_path, secure=True) as guarded:
        secret = await guarded.accounts.invite(Role.ADMIN, NOW)
        data = {"name": "fox", "password": PASSWORD}
        answer = await guarded.client.post(f"/join/{secret}", data=data)
        cookie = answer.headers["set-cookie"]
        assert cookie.startswith("__Host-session=")
        assert "Secure" in cookie
        assert "Domain" not in cookie
        assert answer.headers["strict-transport-security"] == "max-age=31536000"
        secret = answer.cookies["__Host-session"]
        await enrol(guarded.accounts, secret, NOW)
        signed_in = {"cookie": f"__Host-session={secret}"}
        made = await guarded.client.post(
            "/people/invite", data={"role": "viewer"}, headers=signed_in
        )
        assert "<code>https://127.0.0.1" in made.text


async def test_without_accounts_there_are_no_pages_for_them(site: httpx.AsyncClient) -> None:
    for path in ("/login", "/account", "/people"):
        assert (await site.get(path)).status_code == 404
    assert (await site.post("/logout")).status_code == 404


def test_names_and_passwords_that_cannot_be_used() -> None:
    for name in ("", "  ", "a" * 61, "a\x00b"):
        with pytest.raises(Conflict):
            check_name(name)
    weak = ("short", "a" * 201, "password1234", "iloveyou1234567", "qwertyuiop12")
    for password in (*weak, "cardmint", "shop" * 4, "owl owl owl owl"):
        with pytest.raises(Conflict):
            check_password(password, "owl", "shop")
    check_password(PASSWORD, "fox", "shop")

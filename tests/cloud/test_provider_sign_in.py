"""Signing in by an OpenID Connect provider, against one that runs here and may answer anything."""

import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from joserfc.jwk import RSAKey
from sqlalchemy.ext.asyncio import AsyncEngine

from cardmint_cloud.accounts import PROOF_LIFE
from cardmint_cloud.adapters.oidc import OidcProvider
from cardmint_cloud.adapters.postgres.connection import Pool
from cardmint_cloud.domain.permissions import Role
from cardmint_cloud.errors import StopService
from cardmint_cloud.settings import OidcSettings, load
from tests.cloud.kit.oidc import CLIENT_ID, CLIENT_SECRET, StandInProvider
from tests.cloud.kit.web import plain, serve
from tests.cloud.test_accounts import HTML, GuardedSite, guarded_site

pytestmark = [pytest.mark.integration, pytest.mark.greenlets]


@dataclass(frozen=True)
class Shop:
    """A dashboard with a provider, and that provider."""

    guarded: GuardedSite
    provider: StandInProvider

    @property
    def site(self) -> httpx.AsyncClient:
        return self.guarded.client

    async def go(self, begin: str) -> httpx.Response:
        """Begin, let the provider answer, and come back as a browser does."""
        return await self.site.get(await self.answer(begin), headers=HTML)

    async def answer(self, begin: str) -> str:
        """Begin, and return the address to which the provider sends the browser back."""
        begun = await self.site.get(begin, headers=HTML)
        assert begun.status_code == 303, plain(begun)
        async with httpx.AsyncClient() as browser:
            answered = await browser.get(begun.headers["location"])
        back = urlsplit(answered.headers["location"])
        return f"{back.path}?{back.query}"

    async def connected(self, name: str = "owl", role: Role = Role.VIEWER) -> None:
        """Make an account and connect it, then sign out."""
        await self.guarded.join(name, role)
        done = await self.go("/account/provider/connect")
        assert "You can sign in with Fox ID" in plain(done)
        self.site.cookies.clear()


@pytest.fixture
async def shop(pool: Pool, engine: AsyncEngine, tmp_path: Path) -> AsyncIterator[Shop]:
    stand_in = StandInProvider()
    async with serve(stand_in.app) as at:
        stand_in.issuer = str(at.base_url).rstrip("/")
        provider = OidcProvider(
            OidcSettings(
                issuer=stand_in.issuer,
                client_id=CLIENT_ID,
                client_secret=CLIENT_SECRET,
                name="Fox ID",
            )
        )
        async with guarded_site(pool, engine, tmp_path, provider=provider) as site:
            stand_in.clock = lambda: site.clock().timestamp()
            yield Shop(site, stand_in)


async def test_who_connected_an_account_signs_in_to_it(shop: Shop) -> None:
    await shop.connected()
    assert "Sign in with Fox ID" in plain(await shop.site.get("/login"))
    done = await shop.go("/login/provider?next=/value%3Flot%3Da")
    assert (done.status_code, done.headers["location"]) == (303, "/value?lot=a")
    assert "provider" not in shop.site.cookies
    page = plain(await shop.site.get("/account", headers=HTML))
    assert "owl" in page
    assert "Disconnect" in page
    gone = await shop.site.post("/account/provider/disconnect")
    assert "Not connected any more" in plain(gone)
    assert (await shop.site.post("/account/provider/disconnect")).status_code == 404
    shop.site.cookies.clear()
    refused = await shop.go("/login/provider")
    assert refused.status_code == 403
    assert "No account here is connected" in plain(refused)


async def test_a_stranger_of_the_provider_is_nobody_here(shop: Shop) -> None:
    await shop.connected()
    shop.provider.subject = "another"
    refused = await shop.go("/login/provider")
    assert refused.status_code == 403
    assert "session" not in shop.site.cookies


async def test_a_second_factor_is_asked_for_all_the_same(shop: Shop) -> None:
    await shop.connected(role=Role.ADMIN)
    await shop.go("/login/provider")
    asked = await shop.site.get("/people", headers=HTML)
    assert asked.headers["location"].startswith("/login/second")
    code = shop.guarded.codes["owl"].pop()
    await shop.site.post("/login/second", data={"code": code})
    assert (await shop.site.get("/people", headers=HTML)).status_code == 200


async def test_connecting_asks_who_it_is(shop: Shop) -> None:
    await shop.guarded.join("owl", Role.VIEWER)
    shop.guarded.clock.now += PROOF_LIFE * 2
    first = await shop.site.get("/account/provider/connect", headers=HTML)
    assert first.headers["location"] == "/account/prove?next=/account/provider/connect"


async def test_one_identity_is_one_account(shop: Shop) -> None:
    await shop.connected()
    await shop.guarded.join("wren", Role.VIEWER)
    again = await shop.go("/account/provider/connect")
    assert "is connected already" in plain(again)


async def test_an_answer_counts_in_the_browser_that_asked_and_once(shop: Shop) -> None:
    await shop.connected()
    back = await shop.answer("/login/provider")
    kept = shop.site.cookies["provider"]
    shop.site.cookies.clear()
    stolen = await shop.site.get(back)
    assert "not begun in this browser" in plain(stolen)
    await shop.site.get("/login/provider")
    other = await shop.site.get(back)
    assert "not begun in this browser" in plain(other)
    shop.site.cookies.clear()
    shop.site.cookies.set("provider", kept)
    state = parse_qs(urlsplit(back).query)["state"][0]
    for wrong in ("/login/provider/back", f"/login/provider/back?state={state}&code=forged"):
        assert (await shop.site.get(wrong)).status_code == 403
        shop.site.cookies.set("provider", kept)
    assert (await shop.site.get(back)).status_code == 303
    shop.site.cookies.set("provider", kept)
    assert (await shop.site.get(back)).status_code == 403, "the provider takes a code once"


def _other_key(provider: StandInProvider) -> None:
    provider.signs_with = RSAKey.generate_key(2048, {"kid": "one"}, private=True)


def _claims(**changed: Any) -> Callable[[StandInProvider], None]:
    return lambda provider: provider.claims.update(changed)


def _without(name: str) -> Callable[[StandInProvider], None]:
    return lambda provider: provider.without.add(name)


def _raw(token: object) -> Callable[[StandInProvider], None]:
    return lambda provider: setattr(provider, "raw_token", token)


UNSIGNED = "eyJhbGciOiJub25lIn0.eyJzdWIiOiIyNDgyODk3NjEwMDEifQ."
LIES: dict[str, Callable[[StandInProvider], None]] = {
    "another key": _other_key,
    "another issuer": _claims(iss="https://evil.example.com"),
    "another audience": _claims(aud="another"),
    "several audiences": _claims(aud=[CLIENT_ID, "another"]),
    "another party": _claims(aud=[CLIENT_ID, "another"], azp="another"),
    "expired": _claims(exp=1),
    "from the future": _claims(iat=4_000_000_000, nbf=4_000_000_000),
    "another nonce": _claims(nonce="of another sign-in"),
    "a subject that is no text": _claims(sub=7),
    "no subject": _without("sub"),
    "no nonce": _without("nonce"),
    "no end": _without("exp"),
    "no issuer": _without("iss"),
    "unsigned": _raw(UNSIGNED),
    "no token": _raw(7),
    "no JWT": _raw("x.y.z"),
    "refused": lambda provider: setattr(provider, "refuses", "access_denied"),
}


async def test_a_token_that_does_not_hold_lets_nobody_in(shop: Shop) -> None:
    await shop.connected()
    honest = dict(vars(shop.provider))
    for name, lie in LIES.items():
        vars(shop.provider).update(honest, claims={}, without=set())
        lie(shop.provider)
        refused = await shop.go("/login/provider")
        assert refused.status_code == 403, (name, plain(refused))
        assert "session" not in shop.site.cookies, name
    await shop.guarded.join("wren", Role.VIEWER)
    for name, lie in LIES.items():
        vars(shop.provider).update(honest, claims={}, without=set(), subject="another")
        lie(shop.provider)
        shown = await shop.go("/account/provider/connect")
        assert "Connect this account" in plain(shown), name


@pytest.mark.parametrize(
    ("metadata", "told"),
    [
        ({"issuer": "https://evil.example.com"}, "calls itself"),
        ({"token_endpoint": "http://evil.example.com/token"}, "without HTTPS"),
        ({"jwks_uri": 7}, "is no OpenID Connect provider"),
        ({"padding": "x" * 300_000}, "sends more than"),
    ],
)
async def test_a_provider_that_cannot_be_right_is_named(
    shop: Shop, metadata: dict[str, Any], told: str
) -> None:
    shop.provider.metadata = metadata
    page = await shop.site.get("/login/provider")
    assert page.status_code == 502
    assert told in plain(page)
    await shop.guarded.join("owl", Role.VIEWER)
    assert told in plain(await shop.site.get("/account/provider/connect", headers=HTML))


async def test_a_provider_that_is_away_leaves_the_password(
    pool: Pool, engine: AsyncEngine, tmp_path: Path
) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))  # It does not listen.
        issuer = f"http://127.0.0.1:{silent.getsockname()[1]}"
        await _is_away(pool, engine, tmp_path, issuer)


async def _is_away(pool: Pool, engine: AsyncEngine, tmp_path: Path, issuer: str) -> None:
    provider = OidcProvider(OidcSettings(issuer=issuer, client_id=CLIENT_ID))
    async with guarded_site(pool, engine, tmp_path, provider=provider) as site:
        page = await site.client.get("/login/provider")
        assert page.status_code == 502
        assert "sign in by password meanwhile" in plain(page)
        await site.join("owl", Role.VIEWER)
        assert (await site.sign_in("owl")).status_code == 303


async def test_a_dashboard_without_a_provider_has_none(
    pool: Pool, engine: AsyncEngine, tmp_path: Path
) -> None:
    async with guarded_site(pool, engine, tmp_path) as site:
        assert "Sign in with" not in plain(await site.client.get("/login"))
        for path in ("/login/provider", "/login/provider/back"):
            assert (await site.client.get(path)).status_code == 404


@pytest.mark.parametrize(
    ("issuer", "told"),
    [
        ("http://accounts.example.com", "is no address such as"),
        ("accounts.example.com", "is no address such as"),
        ("https://", "is no address such as"),
        ("https://accounts.example.com", "client_id"),
    ],
)
def test_a_wrong_setting_says_what_is_right(tmp_path: Path, issuer: str, told: str) -> None:
    file = tmp_path / "cloud.toml"
    file.write_text(f'[web]\naccounts = true\n[oidc]\nissuer = "{issuer}"\n')
    with pytest.raises(StopService, match=told):
        load(file, {})
    file.write_text('[oidc]\nissuer = "http://localhost:9000"\nclient_id = "x"\n')
    with pytest.raises(StopService, match=r"without `web\.accounts`"):
        load(file, {})

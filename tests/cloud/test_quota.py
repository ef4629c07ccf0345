"""Quotas: buckets by themselves, and a dashboard that answers 429; tokens' bounds and origins."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncEngine

from cardmint_cloud.accounts import check_token
from cardmint_cloud.adapters.postgres.connection import Pool
from cardmint_cloud.domain.permissions import Role, Scope
from cardmint_cloud.domain.quota import BUCKETS, PER_MINUTE, Quotas, Tier
from cardmint_cloud.errors import Conflict
from tests.cloud.kit.cards import NOW
from tests.cloud.kit.web import plain
from tests.cloud.test_accounts import GuardedSite, guarded, guarded_site

__all__ = ["guarded"]

SHOP = "https://shop.example.com"
ITEMS = "/api/v1/shop/items"


def test_a_minutes_requests_at_once_and_then_at_an_even_pace() -> None:
    quotas = Quotas()
    assert [quotas.seconds_to_wait("a", 60, 0.0) for _ in range(60)] == [0] * 60
    assert quotas.seconds_to_wait("a", 60, 0.0) == 1
    assert quotas.seconds_to_wait("b", 60, 0.0) == 0, "each client has its own"
    assert quotas.seconds_to_wait("a", 60, 1.0) == 0
    assert quotas.seconds_to_wait("a", 60, 1.5) == 1
    assert quotas.seconds_to_wait("a", 6, 1.5) == 5
    assert quotas.seconds_to_wait("a", 60, 0.0) == 1, "a clock that goes back fills nothing"
    assert quotas.seconds_to_wait("a", 60, 1000.0) == 0


@given(st.lists(st.floats(0, 5), max_size=300), st.integers(1, 120))
def test_no_more_than_two_minutes_requests_in_a_minute(gaps: list[float], pace: int) -> None:
    quotas, now, let = Quotas(), 0.0, []
    for gap in gaps:
        now += gap
        if quotas.seconds_to_wait("a", pace, now) == 0:
            let.append(now)
    for start in let:
        assert len([one for one in let if start <= one < start + 60]) <= 2 * pace


def test_the_memory_of_clients_is_bounded() -> None:
    quotas = Quotas()
    for number in range(BUCKETS + 10):
        quotas.seconds_to_wait(str(number), 1, 0.0)
    assert len(quotas) == BUCKETS
    assert PER_MINUTE[Tier.STRANGER] == 60


def test_tokens_that_cannot_be_made() -> None:
    check_token("stock", frozenset({SHOP, "http://localhost:3000"}))
    for name, origins in (
        ("", set()),
        ("x" * 61, set()),
        ("a", {"*"}),
        ("a", {"null"}),
        ("a", {f"{SHOP}/path"}),
        ("a", {"https://Shop.example.com"}),
        ("a", {f"https://{number}.example.com" for number in range(11)}),
    ):
        with pytest.raises(Conflict):
            check_token(name, frozenset(origins))


@pytest.fixture
async def bounded(pool: Pool, engine: AsyncEngine, tmp_path: Path) -> AsyncIterator[GuardedSite]:
    async with guarded_site(pool, engine, tmp_path, quotas=Quotas()) as site:
        yield site


@pytest.mark.integration
async def test_who_asks_too_often_waits(bounded: GuardedSite) -> None:
    site, accounts = bounded.client, bounded.accounts
    few = await accounts.add_token("few", Scope.READ, NOW, per_minute=2)
    many = await accounts.add_token("many", Scope.READ, NOW)
    statuses = []
    for _ in range(3):
        answer = await site.get(ITEMS, headers={"authorization": f"Bearer {few}"})
        statuses.append(answer.status_code)
    assert statuses == [200, 200, 429]
    assert int(answer.headers["retry-after"]) > 0
    assert "2 a minute" in answer.text
    page = (await site.get("/login")).text
    script = page.split('href="/static/')[1].split('"')[0]
    for _ in range(70):
        answer = await site.get(ITEMS)
    assert answer.status_code == 429
    for path in ("/login", "/api/v1/tenant", "/join/x", "/view/x"):
        assert (await site.get(path)).status_code == 429, path
    wrong = {"authorization": "Bearer cm_wrong"}
    assert (await site.get(ITEMS, headers=wrong)).status_code == 429
    assert (await site.options(ITEMS)).status_code == 429
    for path in ("/healthz", f"/static/{script}"):
        assert (await site.get(path)).status_code == 200, path
    right = {"authorization": f"Bearer {many}"}
    assert (await site.get(ITEMS, headers=right)).status_code == 200


@pytest.mark.integration
async def test_only_pages_of_a_tokens_origins_use_it(guarded: GuardedSite) -> None:
    site, accounts = guarded.client, guarded.accounts
    open_one = await accounts.add_token("page", Scope.READ, NOW, origins=frozenset({SHOP}))
    closed = await accounts.add_token("stock", Scope.READ, NOW)
    asked = {"origin": SHOP, "access-control-request-method": "GET"}
    preflight = await site.options(ITEMS, headers=asked)
    assert preflight.status_code == 204
    assert preflight.headers["access-control-allow-origin"] == SHOP
    assert preflight.headers["access-control-allow-headers"] == "authorization"
    assert "access-control-allow-credentials" not in preflight.headers
    foreign = await site.options(ITEMS, headers={"origin": "https://evil.example.com"})
    assert foreign.status_code == 403
    assert (await site.options(ITEMS)).status_code == 403

    async def read(token: str, origin: str | None) -> tuple[int, str | None]:
        headers = {"authorization": f"Bearer {token}", **({"origin": origin} if origin else {})}
        answer = await site.get(ITEMS, headers=headers)
        return answer.status_code, answer.headers.get("access-control-allow-origin")

    assert await read(open_one, SHOP) == (200, SHOP)
    assert await read(open_one, None) == (200, None)
    assert await read(open_one, "https://evil.example.com") == (403, None)
    assert await read(closed, None) == (200, None)
    assert await read(closed, SHOP) == (403, None)
    await guarded.join("owl", Role.VIEWER)
    by_cookie = await site.get(ITEMS, headers={"origin": SHOP})
    assert "access-control-allow-origin" not in by_cookie.headers


@pytest.mark.integration
async def test_an_admin_makes_a_token_with_bounds(guarded: GuardedSite) -> None:
    site = guarded.client
    await guarded.join("owl", Role.ADMIN)
    form = {"name": "till", "scope": "read", "days": "7", "per_minute": "5", "origins": SHOP}
    made = plain(await site.post("/people/tokens/make", data=form))
    token = made.split("<code>")[1].split("</code>")[0]
    assert token.startswith("cm_")
    for words in ("5 requests a minute", SHOP, "ends"):
        assert words in made
    wrong = await site.post("/people/tokens/make", data={**form, "origins": "*"})
    assert "is no origin" in plain(wrong)
    metrics = plain(await site.post("/people/tokens/make", data={**form, "scope": "metrics"}))
    only = metrics.split("<code>")[1].split("</code>")[0]
    site.cookies.clear()
    bearer = {"authorization": f"Bearer {only}"}
    assert (await site.get("/metrics", headers=bearer)).status_code == 200
    assert (await site.get(ITEMS, headers=bearer)).status_code == 403
    gone = await site.get(ITEMS, headers={"authorization": f"Bearer {token}"})
    assert gone.status_code == 401, "the second one took its place"
    guarded.clock.now += timedelta(days=7)
    assert (await site.get("/metrics", headers=bearer)).status_code == 401

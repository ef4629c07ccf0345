"""Codes by which stations get their credentials: made by an admin, traded once by the station."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from cardmint_cloud.adapters.postgres.connection import Pool
from cardmint_cloud.audit import MACHINE
from cardmint_cloud.domain.permissions import Role
from cardmint_cloud.local.broker_users import BrokerUsers
from cardmint_cloud.station_codes import CODE_LIFE, StationCodes
from cardmint_contracts.http import STATION_CODE_PATH
from cardmint_contracts.station_codes import StationCredentials
from cardmint_contracts.wire import decode
from tests.cloud.kit.accounts import accounts_of
from tests.cloud.kit.web import plain
from tests.cloud.test_accounts import GuardedSite, guarded_site

pytestmark = pytest.mark.integration


@pytest.fixture
def users(tmp_path: Path) -> BrokerUsers:
    (tmp_path / "broker").mkdir()
    return BrokerUsers(tmp_path / "broker")


@pytest.fixture
async def shop(
    pool: Pool, engine: AsyncEngine, tmp_path: Path, users: BrokerUsers
) -> AsyncIterator[GuardedSite]:
    async with guarded_site(pool, engine, tmp_path, broker_users=users, broker_port=1883) as site:
        await site.join("owl", Role.ADMIN)
        yield site


async def code_for(shop: GuardedSite, station: str) -> str:
    made = plain(await shop.client.post("/people/stations", data={"station": station}))
    assert "cardmint-edge setup --cloud http://127.0.0.1" in made
    return made.split("--code ")[1].split("<")[0]


async def test_a_code_is_traded_once_for_credentials_that_work(
    shop: GuardedSite, users: BrokerUsers
) -> None:
    site = shop.client
    code = await code_for(shop, "left")
    site.cookies.clear()
    typed = code.lower().replace("-", " ")
    answer = await site.post(STATION_CODE_PATH, json={"code": typed})
    got = decode(answer.content, StationCredentials)
    assert (got.tenant, got.station, got.broker_port) == ("shop", "left", 1883)
    assert got.broker_user == "shop/left"
    assert users.stations == ["shop/left"]
    assert got.broker_password not in users.passwords.read_text()
    image = f"/api/v1/shop/images/{'a' * 64}"
    bearer = {"authorization": f"Bearer {got.token}"}
    assert (await site.head(image, headers=bearer)).status_code == 204
    assert (await site.get("/api/v1/shop/items", headers=bearer)).status_code == 403
    again = await site.post(STATION_CODE_PATH, json={"code": code})
    assert (again.status_code, again.json()) == (
        404,
        {"reason": "That code is wrong, was used, or is too old."},
    )


async def test_a_code_ends_by_time_and_by_a_newer_one(shop: GuardedSite, pool: Pool) -> None:
    site = shop.client
    first = await code_for(shop, "left")
    second = await code_for(shop, "left")
    assert (await site.post(STATION_CODE_PATH, json={"code": first})).status_code == 404
    shop.clock.now += CODE_LIFE + timedelta(seconds=1)
    assert (await site.post(STATION_CODE_PATH, json={"code": second})).status_code == 404
    theirs = StationCodes(accounts_of(pool, "rival"), None, 0)
    other = await theirs.make("left", by=MACHINE, now=shop.clock())
    assert (await site.post(STATION_CODE_PATH, json={"code": other})).status_code == 404
    found = await theirs.take(other, shop.clock())
    assert found is not None
    assert (found.broker_user, found.broker_port) == ("", 0)


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'{"code": 1}', b'{"code": "x", "more": 1}', b'{"code": "' + b"a" * 2000],
    ids=["empty", "open", "list", "number", "more", "long"],
)
async def test_what_is_no_code_is_said(shop: GuardedSite, body: bytes) -> None:
    answer = await shop.client.post(STATION_CODE_PATH, content=body)
    assert answer.status_code in {400, 413}


@pytest.mark.parametrize("station", ["", "a b", "ä", "#", "a" * 64])
async def test_a_name_that_no_station_can_have(shop: GuardedSite, station: str) -> None:
    answer = await shop.client.post("/people/stations", data={"station": station})
    assert "cannot be a station" in plain(answer)
    assert "--code" not in answer.text


async def test_only_an_admin_makes_one(shop: GuardedSite) -> None:
    await shop.join("fox", Role.REVIEWER)
    answer = await shop.client.post("/people/stations", data={"station": "left"})
    assert answer.status_code == 403

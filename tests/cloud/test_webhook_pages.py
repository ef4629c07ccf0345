"""The pages of webhooks, as an admin uses them."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from cardmint_cloud.adapters.images.folder import FolderStorage
from cardmint_cloud.adapters.postgres import feed
from cardmint_cloud.adapters.postgres.connection import Pool, tenant_transaction
from cardmint_cloud.domain.permissions import Role
from cardmint_cloud.web.routes import build_dashboard
from tests.cloud.kit.cards import NOW, accepted, send
from tests.cloud.kit.receiver import Receiver, receiving, status
from tests.cloud.kit.web import plain, serve
from tests.cloud.test_accounts import GuardedSite, guarded_site

pytestmark = pytest.mark.integration


@pytest.fixture
async def shop(pool: Pool, engine: AsyncEngine, tmp_path: Path) -> AsyncIterator[GuardedSite]:
    async with guarded_site(pool, engine, tmp_path) as site:
        await site.join("owl", Role.ADMIN)
        yield site


@pytest.fixture
async def target() -> AsyncIterator[Receiver]:
    async with receiving() as running:
        yield running


async def test_an_admin_adds_tries_and_removes_one(
    shop: GuardedSite, pool: Pool, target: Receiver
) -> None:
    site = shop.client
    assert "There is none." in plain(await site.get("/people/webhooks"))
    assert "/people/webhooks" in (await site.get("/people")).text
    made = await site.post("/people/webhooks", data={"url": target.url, "kinds": ["inventory"]})
    secret = re.search(r"whsec_[\w+/=]+", made.text)
    assert secret is not None
    path = re.search(r"/people/webhooks/[0-9a-f-]{36}", made.text)
    assert path is not None
    assert secret[0] not in (await site.get(path[0])).text
    assert "Nothing was sent yet." in plain(await site.get(path[0]))
    sent = plain(await site.post(f"{path[0]}/test"))
    assert "The test was delivered in " in sent
    assert target.verified(secret[0])["type"] == "cardmint.webhook.test.v1"
    target.answers = [status(500, body="<b>broken</b>")]
    refused = plain(await site.post(f"{path[0]}/test"))
    assert "The test was not delivered: the answer was 500." in refused
    assert "&lt;b&gt;broken" in refused
    await send(pool, accepted())
    async with tenant_transaction(pool, "shop") as connection:
        await feed.number_new(connection, "shop", 0)
    listed = plain(await site.get("/people/webhooks"))
    assert "next is event 1 of 1" in listed
    again = plain(await site.post(f"{path[0]}/resend", data={"event": "1"}))
    assert "Event 1 was delivered" in again
    on = plain(await site.post(f"{path[0]}/replay", data={"event": "1"}))
    assert "It goes on with event 1." in on
    for step in ("resend", "replay"):
        for text in ("²", "abc", "", "0", "-1", "1.5", "9" * 400):
            wrong = plain(await site.post(f"{path[0]}/{step}", data={"event": text}))
            assert "Events have whole numbers" in wrong, text
    assert "no such event" in plain(await site.post(f"{path[0]}/resend", data={"event": "9"}))
    wrong = plain(await site.post(f"{path[0]}/replay", data={"event": "9"}))
    assert "There is no event 9: 1 to 1" in wrong
    other = await site.post(f"{path[0]}/secret")
    renewed = re.search(r"whsec_[\w+/=]+", other.text)
    assert renewed is not None
    assert renewed[0] != secret[0]
    gone = plain(await site.post(f"{path[0]}/remove"))
    assert "nothing is sent there any more" in gone
    assert (await site.get(path[0])).status_code == 404
    log = plain(await site.get("/people/log")).lower()
    for words in ("webhook made", "webhook secret made", "webhook removed"):
        assert words in log


async def test_a_wrong_address_is_said_and_kept_in_the_form(shop: GuardedSite) -> None:
    page = plain(await shop.client.post("/people/webhooks", data={"url": "ftp://shop/<b>"}))
    assert "it must begin with https://" in page
    assert 'value="ftp://shop/&lt;b&gt;"' in page


async def test_a_private_address_is_refused_when_it_is_tried(
    shop: GuardedSite,
) -> None:
    for address in ("169.254.169.254", "192.168.1.1", "10.1.2.3"):
        page = await shop.client.post("/people/webhooks", data={"url": f"https://{address}/"})
        assert f"{address} is in no public network" in plain(page)
        assert "There is none." in plain(page)
    made = await shop.client.post("/people/webhooks", data={"url": "https://2852039166/"})
    path = re.search(r"/people/webhooks/[0-9a-f-]{36}", made.text)
    assert path is not None
    tried = plain(await shop.client.post(f"{path[0]}/test"))
    assert "refused: 169.254.169.254 is in no public network" in tried


async def test_without_accounts_there_is_none(
    pool: Pool, engine: AsyncEngine, tmp_path: Path
) -> None:
    app = build_dashboard(
        engine=engine,
        pool=pool,
        images=FolderStorage(tmp_path / "images"),
        tenant="shop",
        clock=lambda: NOW,
    )
    async with serve(app) as site:
        assert (await site.get("/people/webhooks")).status_code == 404

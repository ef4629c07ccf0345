"""Read-only links: what whoever has one sees, and that it ends."""

from datetime import timedelta
from uuid import uuid4

import pytest

from cardmint_cloud.adapters.postgres.connection import Pool
from cardmint_cloud.domain.permissions import Role
from cardmint_cloud.item_changes import change_items
from cardmint_cloud.view_links import LONGEST_DAYS
from cardmint_contracts.changes import ItemValues
from tests.cloud.kit.cards import NOW, OWL, accepted, send
from tests.cloud.kit.web import plain
from tests.cloud.test_accounts import GuardedSite, guarded

__all__ = ["guarded"]

pytestmark = pytest.mark.integration


async def make_link(guarded: GuardedSite, **form: str) -> str:
    made = plain(await guarded.client.post("/people/views", data={"name": "for Ann", **form}))
    return "/view/" + made.split("/view/")[1].split("<")[0]


async def test_whoever_has_a_link_sees_its_cards_and_nothing_else(
    pool: Pool, guarded: GuardedSite
) -> None:
    site = guarded.client
    scan = accepted()
    await send(pool, scan, accepted(OWL))
    await guarded.join("owl", Role.ADMIN)
    values = ItemValues(note="a secret note", bin="B7")
    await change_items(pool, "shop", {scan.scan: 1}, values, user="owl", now=NOW)
    link = await make_link(guarded, q="fox")
    listed = plain(await site.get("/people"))
    assert "for Ann" in listed
    assert "never used" in listed
    signed_in = site.cookies["session"]
    site.cookies.clear()
    shown = plain(await site.get(link))
    assert "Ember Fox" in shown
    assert "Dusk Owl" not in shown
    for hidden in ("secret note", "B7", "<form", "/items", str(scan.scan)):
        assert hidden not in shown, hidden
    for page in ("0", "2", "99999999"):
        assert "Ember Fox" in plain(await site.get(f"{link}?page={page}"))
    assert (await site.post(link)).status_code == 405
    assert (await site.get("/items")).status_code == 401
    site.cookies.set("session", signed_in)
    assert "never used" not in plain(await site.get("/people"))


async def test_a_link_ends_by_time_and_by_hand(guarded: GuardedSite) -> None:
    site = guarded.client
    await guarded.join("owl", Role.ADMIN)
    short, long = await make_link(guarded, days="1"), await make_link(guarded, days="2")
    guarded.clock.now += timedelta(days=1)
    assert (await site.get(short)).status_code == 404
    assert (await site.get(long)).status_code == 200
    assert "No card is in this list" in plain(await site.get(long))
    await guarded.sign_in("owl")
    listed = (await site.get("/people")).text
    assert listed.count('name="link"') == 1
    number = listed.split('name="link" value="')[1].split('"')[0]
    revoked = await site.post("/people/views/revoke", data={"link": number})
    assert "Revoked." in plain(revoked)
    assert (await site.get(long)).status_code == 404
    for gone in (number, str(uuid4())):
        assert (await site.post("/people/views/revoke", data={"link": gone})).status_code == 404
    for secret in ("x", "a" * 43, "%00"):
        assert (await site.get(f"/view/{secret}")).status_code == 404


@pytest.mark.parametrize(
    ("form", "says"),
    [
        ({"name": " "}, "Give the link a name"),
        ({"days": "0"}, f"1 to {LONGEST_DAYS} days"),
        ({"days": "367"}, f"1 to {LONGEST_DAYS} days"),
        ({"q": "price>x"}, "The list cannot be read"),
    ],
    ids=["name", "no-day", "days", "query"],
)
async def test_what_cannot_be_linked(guarded: GuardedSite, form: dict[str, str], says: str) -> None:
    await guarded.join("owl", Role.ADMIN)
    answer = await guarded.client.post("/people/views", data={"name": "for Ann", **form})
    assert says in plain(answer)
    assert "/view/" not in answer.text


async def test_only_an_admin_makes_one(guarded: GuardedSite) -> None:
    await guarded.join("fox", Role.REVIEWER)
    assert (await guarded.client.post("/people/views", data={"name": "x"})).status_code == 403

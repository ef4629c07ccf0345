"""Passkeys in Chromium with a virtual authenticator: added, and used to sign in and to prove it."""

import base64
import json
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from urllib.parse import parse_qs, urlencode
from uuid import uuid4

import pytest
from playwright.async_api import CDPSession, Error, Page, async_playwright, expect

from cardmint_cloud.accounts import PROOF_LIFE
from cardmint_cloud.adapters.passkeys import (
    MOST_BYTES,
    Passkey,
    ask_to_register,
    can_have_passkeys,
    credential_of,
    registered,
    signed_count,
    told_by,
)
from cardmint_cloud.domain.permissions import Role
from cardmint_cloud.second_factors import CHALLENGE_LIFE
from tests.cloud.kit.accounts import PASSWORD
from tests.cloud.kit.cards import NOW
from tests.cloud.test_accounts import GuardedSite, guarded

__all__ = ["guarded"]

pytestmark = [pytest.mark.integration, pytest.mark.greenlets]

AUTHENTICATOR = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox"]
        )
        page = await browser.new_page(viewport={"width": 1280, "height": 900})
        yield page
        await browser.close()


async def authenticator(page: Page) -> tuple[CDPSession, str]:
    session = await page.context.new_cdp_session(page)
    await session.send("WebAuthn.enable")
    made = await session.send("WebAuthn.addVirtualAuthenticator", {"options": AUTHENTICATOR})
    return session, made["authenticatorId"]


async def sign_in(page: Page, there: str) -> None:
    await page.goto(f"{there}/login")
    await page.fill("[name=name]", "owl")
    await page.fill("[name=password]", PASSWORD)
    await page.click("button:has-text('Sign in')")
    await expect(page.locator("h1")).to_have_text("Second factor")


async def test_an_owner_comes_in_by_a_passkey(guarded: GuardedSite, page: Page) -> None:
    said: list[str] = []
    page.on("pageerror", lambda error: said.append(str(error)))
    session, key = await authenticator(page)
    there = f"http://localhost:{guarded.client.base_url.port}"
    link = await guarded.accounts.invite(Role.ADMIN, NOW)
    await page.goto(f"{there}/join/{link}")
    await page.fill("[name=name]", "owl")
    await page.fill("[name=password]", PASSWORD)
    await page.click("button")
    await expect(page.locator("h1")).to_have_text("Second factors")
    await page.fill("[name=label]", "Laptop")
    await page.click("button:has-text('A passkey')")
    await expect(page.locator(".notice >> nth=0")).to_contain_text("The passkey is added")
    await expect(page.locator(".codes li")).to_have_count(10)
    await expect(page.locator(".answered")).to_contain_text("Laptop")
    await page.click("button:has-text('A passkey')")
    await expect(page.locator("[data-fault]")).to_contain_text("known already")
    await page.goto(f"{there}/people")
    await expect(page.locator("h1")).to_have_text("People")

    await page.context.clear_cookies()
    await sign_in(page, there)
    await page.click("button:has-text('Use a passkey')")
    await expect(page.locator("h1")).not_to_have_text("Second factor")
    await page.goto(f"{there}/people")
    await expect(page.locator("h1")).to_have_text("People")

    guarded.clock.now += PROOF_LIFE + timedelta(seconds=1)
    await page.click("button:has-text('Make a link') >> nth=0")
    await expect(page.locator("h1")).to_have_text("Is it you, owl?")
    await page.click("button:has-text('Use a passkey')")
    await expect(page.locator("h1")).to_have_text("People")
    await page.click("button:has-text('Make a link') >> nth=0")
    await expect(page.locator(".notice code")).to_contain_text("/join/")

    await page.context.clear_cookies()
    await session.send(
        "WebAuthn.setUserVerified", {"authenticatorId": key, "isUserVerified": False}
    )
    await sign_in(page, there)
    await page.click("button:has-text('Use a passkey')")
    await expect(page.locator("[data-fault]")).to_contain_text("No passkey was given")
    assert said == []


async def test_a_passkeys_answer_counts_once(guarded: GuardedSite, page: Page) -> None:
    await authenticator(page)
    there = f"http://localhost:{guarded.client.base_url.port}"
    link = await guarded.accounts.invite(Role.VIEWER, NOW)
    await page.goto(f"{there}/join/{link}")
    await page.fill("[name=name]", "owl")
    await page.fill("[name=password]", PASSWORD)
    await page.click("button")
    await page.goto(f"{there}/account/factors")
    await page.click("button:has-text('A passkey')")
    await expect(page.locator(".notice >> nth=0")).to_contain_text("The passkey is added")
    await page.context.clear_cookies()
    await sign_in(page, there)
    async with page.expect_request(re.compile("/login/second")) as sent:
        await page.click("button:has-text('Use a passkey')")
    body = (await sent.value).post_data
    assert body is not None
    await expect(page.locator("h1")).not_to_have_text("Second factor")
    await page.context.clear_cookies()
    await sign_in(page, there)
    cookies = await page.context.cookies()
    replayed = await guarded.client.post(
        f"{there}/login/second",
        content=body,
        headers={
            "content-type": "application/x-www-form-urlencoded",
            "cookie": f"session={cookies[0]['value']}",
        },
    )
    assert replayed.status_code == 409
    await guarded.sign_in("owl")
    elsewhere = await guarded.client.get("/login/second")
    assert "Use a passkey" not in elsewhere.text, "a number is no name of a site"


async def with_passkey(guarded: GuardedSite, page: Page, role: Role) -> str:
    """Let "owl" join and add a passkey; return the dashboard's address."""
    there = f"http://localhost:{guarded.client.base_url.port}"
    link = await guarded.accounts.invite(role, NOW)
    await page.goto(f"{there}/join/{link}")
    await page.fill("[name=name]", "owl")
    await page.fill("[name=password]", PASSWORD)
    await page.click("button")
    await page.goto(f"{there}/account/factors")
    await page.click("button:has-text('A passkey')")
    await expect(page.locator(".notice >> nth=0")).to_contain_text("The passkey is added")
    return there


async def test_a_passkey_alone_signs_an_admin_in(guarded: GuardedSite, page: Page) -> None:
    said: list[str] = []
    page.on("pageerror", lambda error: said.append(str(error)))
    session, key = await authenticator(page)
    there = await with_passkey(guarded, page, Role.ADMIN)
    made = await session.send("WebAuthn.getCredentials", {"authenticatorId": key})
    assert made["credentials"][0]["isResidentCredential"]
    await page.context.clear_cookies()
    await page.goto(f"{there}/people")
    await expect(page.locator("h1")).to_have_text("Sign in")
    await page.click("button:has-text('Sign in with a passkey')")
    await expect(page.locator("h1")).to_have_text("People")
    await page.click("button:has-text('Make a link') >> nth=0")
    await expect(page.locator(".notice code")).to_contain_text("/join/")
    await page.goto(f"{there}/people/log")
    await expect(page.locator(".log")).to_contain_text("Signed in · owl")

    await page.context.clear_cookies()
    await session.send(
        "WebAuthn.setUserVerified", {"authenticatorId": key, "isUserVerified": False}
    )
    await page.goto(f"{there}/login")
    await page.click("button:has-text('Sign in with a passkey')")
    await expect(page.locator("[data-fault]")).to_contain_text("No passkey was given")
    assert said == []


async def test_a_passkeys_sign_in_counts_once_and_only_for_its_owner(
    guarded: GuardedSite, page: Page
) -> None:
    await authenticator(page)
    there = await with_passkey(guarded, page, Role.VIEWER)
    database = guarded.accounts.database

    async def answer(*, held_back: bool = False) -> str:
        """Let the browser sign; return what it sent, or what was held back on its way."""
        await page.context.clear_cookies()
        try:
            await page.goto(f"{there}/login")
        except Error:  # The navigation that the answer before began was still under way.
            await page.wait_for_load_state()
            await page.context.clear_cookies()
            await page.goto(f"{there}/login")
        ended = "requestfailed" if held_back else "requestfinished"
        if held_back:
            await page.route("**/login/passkey", lambda route: route.abort())
        async with page.expect_event(ended, lambda one: one.url.endswith("/passkey")) as sent:
            await page.click("button:has-text('Sign in with a passkey')")
        body: str | None = (await sent.value).post_data
        await page.unroute_all()
        assert body is not None
        return body

    async def send(body: str) -> int:
        headers = {"content-type": "application/x-www-form-urlencoded"}
        posted = await guarded.client.post(f"{there}/login/passkey", content=body, headers=headers)
        assert ("session" in posted.headers.get("set-cookie", "")) is (posted.status_code == 303)
        return posted.status_code

    assert await send(await answer()) == 403, "the browser has sent it already"
    assert await send(await answer(held_back=True)) == 303, "one that was held back"

    fields = parse_qs(await answer(held_back=True))
    told = json.loads(fields["passkey"][0])
    other = base64.urlsafe_b64encode(uuid4().bytes).decode().rstrip("=")
    for changed in (
        {**told, "response": {**told["response"], "userHandle": other}},
        {**told, "response": {**told["response"], "userHandle": None}},
        {**told, "id": "bm9uZQ", "rawId": "bm9uZQ"},
        {**told, "response": {**told["response"], "signature": other}},
    ):
        body = urlencode({"passkey": json.dumps(changed), "next": "/"})
        assert await send(body) == 403, changed
    refused = await database.fetchval(
        "SELECT count(*) FROM audit_entries WHERE entry LIKE '%sign-in-refused%'"
    )
    assert refused == 0, "the first forged answer used the challenge up"

    told = json.loads(parse_qs(await answer(held_back=True))["passkey"][0])
    wrong = {**told, "response": {**told["response"], "signature": other}}
    assert await send(urlencode({"passkey": json.dumps(wrong)})) == 403
    assert (
        await database.fetchval(
            "SELECT count(*) FROM audit_entries WHERE entry LIKE '%sign-in-refused%'"
        )
        == 1
    )

    late = await answer(held_back=True)
    guarded.clock.now += CHALLENGE_LIFE + timedelta(seconds=1)
    assert await send(late) == 403
    disabled = await answer(held_back=True)
    await database.execute("UPDATE accounts SET disabled = true WHERE name = 'owl'")
    assert await send(disabled) == 403
    numeric = await guarded.client.post("/login/passkey/ask")
    assert numeric.status_code == 404, "a number is no name of a site"
    assert "passkey" not in (await guarded.client.get("/login")).text


@pytest.mark.parametrize(
    ("origin", "can"),
    [
        ("https://cards.example.com", True),
        ("http://localhost:8080", True),
        ("http://cards.example.com", False),
        ("https://192.168.1.7", False),
        ("https://[::1]:8443", False),
    ],
)
def test_where_passkeys_are_made(origin: str, can: bool) -> None:
    assert can_have_passkeys(origin) == can


@pytest.mark.parametrize("answer", ["", "{}", "[]", "null", "{", '{"id": 1}', "x" * MOST_BYTES * 2])
def test_an_answer_that_is_none_adds_nothing_and_signs_nothing(answer: str) -> None:
    origin = "https://cards.example.com"
    asked = ask_to_register(origin, tenant="shop", name="owl", account=uuid4(), known=[b"known"])
    known = Passkey(credential=b"known", public_key=b"x", count=0)
    assert registered(answer, challenge=asked.challenge, origin=origin) is None
    assert credential_of(answer) is None
    assert told_by(answer) is None
    assert signed_count(answer, known, challenge=asked.challenge, origin=origin) is None

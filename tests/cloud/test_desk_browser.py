"""The desk in a browser: a question answered by search, cards changed and changed back."""

from collections.abc import AsyncIterator

import httpx
import pytest
from playwright.async_api import Page, async_playwright, expect

from cardmint_cloud.adapters.postgres.connection import Pool
from tests.cloud.kit.cards import OWL, accepted, doubtful, send

pytestmark = [pytest.mark.integration, pytest.mark.greenlets]


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox"]
        )
        page = await browser.new_page(viewport={"width": 1280, "height": 900})
        said: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        yield page
        await browser.close()
    assert said == []


async def test_a_question_is_answered_by_search(
    pool: Pool, site: httpx.AsyncClient, page: Page
) -> None:
    await send(pool, accepted(OWL), *(doubtful() for _ in range(21)))
    await page.goto(f"{site.base_url}/reviews")
    await expect(page.locator(".pages")).to_contain_text("1 to 20 of 21")
    await page.fill(".other .typed >> nth=0", "owl")
    await page.locator(".found-cards button").first.click()
    await expect(page.locator(".pages")).to_contain_text("1 to 20 of 20")
    await expect(page.locator("#notice")).to_contain_text("Answered: Dusk Owl")


async def test_cards_are_changed_and_changed_back(
    pool: Pool, site: httpx.AsyncClient, page: Page
) -> None:
    await send(pool, *(accepted() for _ in range(3)), accepted(OWL))
    await page.goto(f"{site.base_url}/items")
    await page.fill("#q", "fox")
    await expect(page.locator("[data-total=items]")).to_have_text("3")
    await page.check("#all-shown")
    await page.click(".bulk summary >> nth=0")
    await page.fill("[name=bin]", "B7")
    await page.select_option("[name=stock]", "sold")
    await page.click("text=Preview for the chosen")
    await expect(page.locator("h1")).to_have_text("Change 3 cards")
    await page.click("button:has-text('Change 3 cards')")
    await expect(page.locator(".notice")).to_contain_text("3 changed.")
    await page.goto(f"{site.base_url}/")
    await expect(page.locator("#total-cards")).to_have_text("1")
    await page.goto(f"{site.base_url}/changes")
    await page.click("text=Take it back")
    await expect(page.locator(".notice")).to_contain_text("Taken back: 3 are as before.")
    await page.goto(f"{site.base_url}/")
    await expect(page.locator("#total-cards")).to_have_text("4")

"""The pages, in a real browser."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from cardmint_cloud.local.system import System
from tests.system.conftest import count, simulator, wait_for

pytestmark = pytest.mark.system


@pytest.fixture
def page() -> Iterator[Page]:
    program = shutil.which("chromium") or shutil.which("google-chrome")
    assert program is not None, "Chromium is missing: apt install chromium"
    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=flags)
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        yield page
        browser.close()
        assert errors == []


def test_the_dashboard_shows_cards_as_they_come(system: System, page: Page, tmp_path: Path) -> None:
    page.goto(system.dashboard)
    expect(page.locator("[data-holding]")).to_have_count(0)
    system.start_station("left", simulator(24, seed=5))
    expect(page.locator("[data-holding]").first).to_be_visible(timeout=30_000)
    now = wait_for(system, lambda now: now.cards >= 24 and now.settled)
    held = page.locator("[data-total=cards]")
    expect(held).to_have_text(re.compile(rf"\b{now.counted}\b"))
    page.screenshot(path=tmp_path / "inventory.png")

    name = page.locator("[data-holding] a").first.inner_text()
    page.keyboard.press("/")
    page.keyboard.type(name)
    expect(page).to_have_url(re.compile("q="))
    expect(page.locator("[data-holding] a").first).to_have_text(name)
    page.locator("[data-holding] a").first.click()
    expect(page.locator("h1")).to_contain_text(name)


def test_a_review_is_answered_at_the_dashboard_and_leaves_the_station(system: System, page: Page) -> None:
    system.start_station("left", simulator(40, seed=6))
    before = wait_for(system, lambda now: now.cards >= 40)
    assert before.reviews > 0, "the fictional set has reprints with the same art, which must be asked"
    station = f"http://127.0.0.1:{system.page_ports['left']}/"
    page.goto(station)
    expect(page.locator("[data-task]")).to_have_count(before.reviews)
    page.goto(f"{system.dashboard}reviews")
    page.locator("[data-review] button").first.click()
    wait_for(system, lambda now: now.reviews == before.reviews - 1)
    page.goto(station)
    expect(page.locator("[data-task]")).to_have_count(before.reviews - 1)


def test_a_review_is_answered_at_the_station_and_leaves_the_dashboard(system: System, page: Page) -> None:
    system.start_station("left", simulator(40, seed=6))
    before = wait_for(system, lambda now: now.cards >= 40)
    page.goto(f"http://127.0.0.1:{system.page_ports['left']}/")
    expect(page.locator("[data-task]")).to_have_count(before.reviews)
    page.locator("[data-task] button").first.click()
    after = wait_for(system, lambda now: now.reviews == before.reviews - 1)
    assert after.doubled == 0
    page.goto(f"{system.dashboard}reviews")
    expect(page.locator("[data-review]")).to_have_count(after.reviews)
    assert count(system).parked == 0

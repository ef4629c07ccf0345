"""The pages, in a real browser."""

import re
import shutil
from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from cardmint_lab.system import System
from tests.system.kit import simulator, wait_for

pytestmark = [pytest.mark.system, pytest.mark.greenlets]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = shutil.which("chromium") or shutil.which("google-chrome")
    assert program is not None, "Chromium is missing: apt install chromium"
    flags = [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--disable-component-update",
    ]
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=program, args=flags)
        try:
            yield opened
        finally:
            opened.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on(
        "console", lambda message: errors.append(message.text) if message.type == "error" else None
    )
    yield page
    page.context.close()
    assert errors == []


def test_the_dashboard_shows_cards_as_they_come(system: System, page: Page) -> None:
    page.goto(system.dashboard)
    expect(page.locator("td.name")).to_have_count(0)
    system.start_station("left", simulator(24, seed=5))
    expect(page.locator("td.name").first).to_be_visible(timeout=30_000)
    now = wait_for(system, lambda now: now.cards >= 24 and now.settled)
    held = page.locator("#total-cards")
    expect(held).to_have_text(re.compile(rf"\b{now.counted}\b"))

    name = page.locator("td.name a").first.inner_text()
    page.keyboard.press("/")
    page.keyboard.type(name)
    expect(page).to_have_url(re.compile("q="))
    expect(page.locator("td.name a").first).to_have_text(name)
    page.locator("td.name a").first.click()
    expect(page.locator("h1")).to_contain_text(name)


def open_tasks(system: System) -> int:
    state = httpx.get(f"http://127.0.0.1:{system.page_ports['left']}/state").json()
    return int(state["open_tasks"])


def test_reviews_are_answered_at_the_dashboard_and_at_the_station_and_leave_both(
    system: System, page: Page
) -> None:
    station, reviews = (
        f"http://127.0.0.1:{system.page_ports['left']}/",
        f"{system.dashboard}reviews",
    )
    # Photos so bad that a third of the cards is asked about.
    system.start_station("left", simulator(24, seed=6, preset="hard"))
    wait_for(system, lambda now: now.cards >= 24 and now.reviews > 1)

    page.goto(reviews)
    first = page.locator("[data-review]").first
    name = first.get_attribute("id")
    task = str(name).removeprefix("review-")
    wait_for(system, lambda _: task in httpx.get(station).text)
    # The list is drawn anew just under the mouse.
    page.evaluate(
        "addEventListener('pointerdown',"
        " () => htmx.trigger('#reviews', 'sse:reviews'), {once: true})"
    )
    with page.expect_response(
        lambda answer: answer.url.endswith("/reviews") and answer.request.method == "GET"
    ):
        first.locator("button").first.click(delay=500)
    expect(page.locator(f"#{name}")).to_have_count(0)
    # Audits ask about counted cards: the page of reviews knows of more questions than there are
    # items in review.
    wait_for(system, lambda _: httpx.get(reviews).text.count("data-review") == open_tasks(system))
    assert task not in httpx.get(station).text

    page.goto(station)
    current = page.locator(".task.current")
    expect(current).to_be_visible()
    shown = str(current.get_attribute("data-task"))
    page.wait_for_timeout(700)  # A question that has just come up is deaf for half a second.
    page.keyboard.press("1")
    expect(page.locator(f'[data-task="{shown}"]')).to_have_count(0)
    after = wait_for(system, lambda now: f'id="review-{shown[:36]}"' not in httpx.get(reviews).text)
    assert (after.doubled, after.parked) == (0, 0)

"""The page in a real browser: keys answer, it updates itself, and its policy is never broken."""

import shutil
import threading
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, sync_playwright
from tests.edge.kit import CARDS, STAMP, quick_folder, scan_of
from tests.edge.test_count import shot_of
from tests.edge.test_page import Desk
from tests.edge.test_tasks import task_of

from cardmint_contracts.events import ReviewAnswered, decode_data
from cardmint_contracts.wire import encode
from cardmint_edge.adapters.image_store import ImageStore
from cardmint_edge.adapters.outbox import Outbox
from cardmint_edge.page.serve import PageServer

pytestmark = pytest.mark.integration


@pytest.fixture
def desk() -> Iterator[Desk]:
    with quick_folder() as folder:
        outbox = Outbox.open(folder / "outbox.db")
        yield Desk(outbox, ImageStore(folder / "images"))
        outbox.close()


@pytest.fixture
def server(desk: Desk) -> Iterator[PageServer]:
    serving = PageServer("127.0.0.1", 0)
    serving.show(desk.page())
    thread = threading.Thread(target=serving.run, daemon=True)
    thread.start()
    yield serving
    serving.stop()
    thread.join(10)


@pytest.fixture
def complaints() -> list[str]:
    return []


@pytest.fixture
def page(server: PageServer, complaints: list[str]) -> Iterator[Page]:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        opened = browser.new_page(viewport={"width": 360, "height": 740})
        opened.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        opened.on("pageerror", lambda error: complaints.append(str(error)))
        opened.goto(server.url)
        yield opened
        browser.close()


def test_a_card_appears_by_itself(desk: Desk, page: Page, complaints: list[str]) -> None:
    page.get_by_text("None yet").wait_for()
    desk.outbox.record(scan_of(1, image=desk.images.put(shot_of(1).frame)), STAMP)
    page.get_by_text("Card 2", exact=True).wait_for()
    page.wait_for_function("document.querySelector('.card img').naturalWidth > 0")
    assert complaints == []


def test_keys_answer_the_first_task(desk: Desk, page: Page, complaints: list[str]) -> None:
    for number in (1, 2):
        desk.tasks.arrived(task_of(number).task, encode(task_of(number)))
    page.locator(".task.current").wait_for()
    page.keyboard.press("2")
    page.wait_for_timeout(300)
    assert desk.outbox.mark.last == 0, "a task that has just come is deaf: the key was meant for the one before"
    page.wait_for_timeout(400)
    page.keyboard.press("2")
    page.locator(f'form.current[data-task^="{task_of(2).task}"]').wait_for()
    (event,) = desk.outbox.events(1, 10)
    answer = decode_data(event.type, event.data)
    assert isinstance(answer, ReviewAnswered)
    assert (answer.task, answer.card) == (task_of(1).task, CARDS[1])
    page.wait_for_timeout(700)
    page.keyboard.press("0")
    page.get_by_text("Nothing to answer").wait_for()
    assert complaints == []


def test_keys_in_a_field_are_text(desk: Desk, page: Page) -> None:
    desk.tasks.arrived(task_of(1).task, encode(task_of(1)))
    page.locator(".task.current").wait_for()
    page.wait_for_timeout(700)
    page.get_by_label("Bin").press_sequentially("12")
    page.get_by_role("button", name="Use these").click()
    page.get_by_text("In use.").wait_for()
    assert (desk.outbox.batch.bin, desk.outbox.mark.last) == ("12", 0)


def test_it_fits_a_telephone(desk: Desk, page: Page) -> None:
    desk.outbox.record(scan_of(1, image=desk.images.put(shot_of(1).frame)), STAMP)
    desk.tasks.arrived(task_of(1).task, encode(task_of(1)))
    page.locator(".task.current").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_a_station_that_is_gone_is_said(server: PageServer, page: Page) -> None:
    server.stop()
    page.get_by_text("does not answer").wait_for()

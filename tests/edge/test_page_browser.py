"""The page in a real browser: keys answer, it updates itself, and its policy holds."""

import os
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from msgspec.structs import replace
from playwright.sync_api import Browser, Page, Route, sync_playwright
from tests.edge.kit.page import PageBench, open_page_bench
from tests.edge.kit.scans import CARDS, STAMP, scan_of, shot_of
from tests.edge.kit.tasks import ELSEWHERE, task_of
from tests.edge.kit.waiting import until

from cardmint_contracts.events import ReviewAnswered
from cardmint_contracts.upcasters import decode_data
from cardmint_contracts.wire import encode
from cardmint_edge.adapters.cameras.live import preview_jpeg
from cardmint_edge.page.server import PageServer

pytestmark = [pytest.mark.integration, pytest.mark.greenlets]


@pytest.fixture
def bench() -> Iterator[PageBench]:
    with open_page_bench() as bench:
        yield bench


@pytest.fixture
def server(bench: PageBench) -> Iterator[PageServer]:
    serving = PageServer("127.0.0.1", 0)
    serving.show(bench.page())
    thread = threading.Thread(target=serving.run, daemon=True)
    thread.start()
    yield serving
    serving.stop()
    thread.join(10)


@pytest.fixture
def complaints() -> list[str]:
    return []


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Browser, server: PageServer, complaints: list[str]) -> Iterator[Page]:
    opened = browser.new_page(viewport={"width": 360, "height": 740})
    opened.on(
        "console",
        lambda message: complaints.append(message.text) if message.type == "error" else None,
    )
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.goto(server.url)
    yield opened
    opened.context.close()


def drawn(page: Page, picture: str) -> None:
    """Wait until a picture is drawn.

    The test polls from outside: the page's policy forbids to evaluate code in it.
    """
    deadline = time.monotonic() + 20
    while not page.locator(picture).evaluate("image => image.naturalWidth"):
        assert time.monotonic() < deadline, f"{picture} was not drawn in time"
        time.sleep(0.05)


def test_a_card_appears_by_itself(bench: PageBench, page: Page, complaints: list[str]) -> None:
    page.get_by_text("No card yet").wait_for()
    bench.outbox.record(scan_of(1, image=bench.images.put(shot_of(1).frame)), STAMP)
    page.get_by_text("Card 2", exact=True).wait_for()
    drawn(page, ".card img")
    assert complaints == []


PRESS_WHEN_A_TASK_COMES = """() => new MutationObserver((_, observer) => {
  if (!document.querySelector(".task.current")) return;
  observer.disconnect();
  document.body.dispatchEvent(new KeyboardEvent("keydown", { key: "2", bubbles: true }));
  document.body.dataset.pressed = "2";
}).observe(document.body, { childList: true, subtree: true })"""


def test_keys_answer_the_first_task(bench: PageBench, page: Page, complaints: list[str]) -> None:
    page.wait_for_timeout(700)  # The page's own start ignores keys, too.
    page.evaluate(PRESS_WHEN_A_TASK_COMES)
    for number in (1, 2):
        bench.tasks.receive_task(task_of(number).task, encode(task_of(number)))
    page.locator(".task.current").wait_for()
    page.locator("[data-pressed]").wait_for()
    page.wait_for_timeout(300)
    assert bench.outbox.stream_state.last == 0, (
        "a task that has just come is deaf: the key was meant for the one before"
    )
    page.wait_for_timeout(400)
    page.keyboard.press("2")
    page.locator(f'form.current[data-task^="{task_of(2).task}"]').wait_for()
    (event,) = bench.outbox.events(1, 10)
    answer = decode_data(event.type, event.data)
    assert isinstance(answer, ReviewAnswered)
    assert (answer.task, answer.card) == (task_of(1).task, CARDS[1])
    page.wait_for_timeout(700)
    page.keyboard.press("0")
    page.get_by_text("Nothing to answer").wait_for()
    assert complaints == []


def test_undo_and_search_by_touch(bench: PageBench, page: Page, complaints: list[str]) -> None:
    bench.outbox.record(scan_of(1), STAMP)
    bench.tasks.receive_task(task_of(1).task, encode(task_of(1)))
    page.get_by_role("button", name="Undo").first.click()
    page.get_by_text("Taken back", exact=True).wait_for()
    field = page.get_by_label("Another card")
    field.fill(ELSEWHERE.name)
    found = page.get_by_role("button", name=ELSEWHERE.name)
    found.wait_for()
    page.keyboard.press("Enter")
    page.wait_for_timeout(700)
    assert field.input_value() == ELSEWHERE.name, "what is typed outlives the page's own updates"
    assert bench.table.count_open() == 1, "Enter answers nothing"
    bench.outbox.record(scan_of(2), STAMP)
    page.locator(".card .name", has_text="Card 3").wait_for()
    found.click()
    page.get_by_text("Nothing to answer").wait_for()
    answers = [decode_data(event.type, event.data) for event in bench.outbox.events(1, 9)]
    assert [answer.card for answer in answers if isinstance(answer, ReviewAnswered)] == [ELSEWHERE]
    assert complaints == []


def test_what_is_being_pressed_stays(bench: PageBench, page: Page) -> None:
    bench.outbox.record(scan_of(1), STAMP)
    page.get_by_role("button", name="Undo").hover()
    page.mouse.down()
    with page.expect_response(lambda answer: "/live" in answer.url and answer.status == 200):
        bench.outbox.record(scan_of(2), STAMP)
    page.mouse.up()
    page.get_by_text("taken back", exact=True).wait_for()
    assert [line.withdrawn for line in bench.outbox.recent_scans(2)] == [False, True]


def test_a_late_answer_takes_nothing_along(bench: PageBench, page: Page) -> None:
    bench.tasks.receive_task(task_of(1).task, encode(task_of(1)))
    field = page.get_by_label("Another card")
    field.fill("typed")
    asked: list[Route] = []
    with page.expect_request("**/live?*"):
        page.route("**/live?*", lambda route: route.continue_() if asked else asked.append(route))
    while not asked:
        page.wait_for_timeout(20)
    page.get_by_role("button", name="Pause uploading images").click()
    page.get_by_role("button", name="Continue uploading images").wait_for()
    with page.expect_response(asked[0].request.url):
        asked[0].continue_()
    with page.expect_response("**/live?*"):
        pass
    assert field.input_value() == "typed"


def test_keys_take_a_photo_take_back_and_put_off(bench: PageBench, page: Page) -> None:
    bench.outbox.record(scan_of(1), STAMP)
    bench.tasks.receive_task(task_of(1).task, encode(task_of(1)))
    page.locator(".task.current").wait_for()
    page.wait_for_timeout(700)
    page.keyboard.press(" ")
    until(lambda: bench.captured == 1)
    page.keyboard.press("u")
    page.get_by_text("Taken back", exact=True).wait_for()
    page.wait_for_timeout(700)
    page.keyboard.press("s")
    until(lambda: bench.skipped == [task_of(1).task])
    assert bench.outbox.recent_scans(1)[0].withdrawn


def test_each_decision_has_its_sound(bench: PageBench, page: Page, complaints: list[str]) -> None:
    page.get_by_role("button", name="Sound").click()
    bench.outbox.record(scan_of(1), STAMP)
    page.locator("body[data-sounded=accept]").wait_for()
    assert complaints == []


def test_the_live_picture_is_shown(
    bench: PageBench, server: PageServer, page: Page, complaints: list[str]
) -> None:
    bench.picture = preview_jpeg((shot_of(9).frame.repeat(20, axis=0).repeat(20, axis=1), None))
    page.goto(server.url)
    drawn(page, "#camera img")
    assert complaints == []


@pytest.mark.parametrize(("width", "height"), [(360, 740), (820, 1180), (1366, 768)])
def test_a_full_page_fits(
    bench: PageBench,
    server: PageServer,
    page: Page,
    fictional: Path,
    tmp_path: Path,
    width: int,
    height: int,
) -> None:
    cards = [
        cv2.imread(str(fictional / "images" / f"{name}.jpg"))
        for name in ("emb-1", "tdw-3", "drk-9")
    ]
    bench.picture = preview_jpeg((np.asarray(cards[0], dtype=np.uint8), None))
    for number in range(1, 24):
        image = bench.images.put(np.asarray(cards[number % 3], dtype=np.uint8))
        scan = scan_of(number, image=image)
        again = scan_of(21).scan if number == 23 else None
        bench.outbox.record(replace(scan, possible_duplicate_of=again), STAMP)
    for number in (1, 2, 3):
        task = replace(task_of(number), image=image)
        if number == 1:
            task = replace(task, scan=scan_of(23).scan, reasons=("possible-duplicate",))
        bench.tasks.receive_task(task.task, encode(task))
    bench.fault = (
        "the camera is away: Nikon DSC D750: the camera is asleep; press its shutter halfway"
    )
    page.set_viewport_size({"width": width, "height": height})
    page.goto(server.url)
    drawn(page, ".card img")
    folder = Path(os.environ.get("CARDMINT_SCREENSHOTS", tmp_path))
    page.screenshot(path=folder / f"station-{width}.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    small = page.evaluate(
        "[...document.querySelectorAll('button, input:not([type=hidden]), select')]"
        ".filter(e => e.offsetParent && e.getBoundingClientRect().height < 34).length"
    )
    assert small == 0, "a finger hits every button"


def test_keys_in_a_field_are_text(bench: PageBench, page: Page) -> None:
    bench.tasks.receive_task(task_of(1).task, encode(task_of(1)))
    page.locator(".task.current").wait_for()
    page.wait_for_timeout(700)
    page.get_by_label("Bin").press_sequentially("12")
    page.get_by_role("button", name="Use these").click()
    page.get_by_text("In use.").wait_for()
    assert (bench.outbox.defaults.bin, bench.outbox.stream_state.last) == ("12", 0)


def test_it_fits_a_telephone(bench: PageBench, page: Page) -> None:
    bench.outbox.record(scan_of(1, image=bench.images.put(shot_of(1).frame)), STAMP)
    bench.tasks.receive_task(task_of(1).task, encode(task_of(1)))
    page.locator(".task.current").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_a_station_that_is_gone_is_said(server: PageServer, page: Page) -> None:
    server.stop()
    page.get_by_text("does not answer").wait_for()

"""The page in a real browser: keys answer, it updates itself, and its policy holds."""

import os
import re
import shutil
import threading
import time
from collections.abc import Iterator
from importlib.resources import files
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

from cardmint_contracts.cards import Candidate, Decision
from cardmint_contracts.events import ReviewAnswered, ReviewUndone
from cardmint_contracts.upcasters import decode_data
from cardmint_contracts.wire import encode
from cardmint_edge.adapters.cameras.live import preview_jpeg
from cardmint_edge.page.server import PageServer
from cardmint_edge.page.views import ListedFile

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
    page.locator(".strip").get_by_text("Taken back", exact=True).wait_for()
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
    page.locator("body[data-sounded=counted]").wait_for()
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
    page.get_by_label("Bin").press("Enter")
    page.get_by_text("In use.").wait_for()
    page.get_by_label("Condition").select_option("near_mint")
    until(lambda: bench.outbox.defaults.condition == "near_mint")
    assert (bench.outbox.defaults.bin, bench.outbox.stream_state.last) == ("12", 0)


def test_it_fits_a_telephone(bench: PageBench, page: Page) -> None:
    bench.outbox.record(scan_of(1, image=bench.images.put(shot_of(1).frame)), STAMP)
    bench.tasks.receive_task(task_of(1).task, encode(task_of(1)))
    page.locator(".task.current").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_a_station_that_is_gone_is_said(server: PageServer, page: Page) -> None:
    server.stop()
    page.get_by_text("does not answer").wait_for()


def asked(bench: PageBench, number: int, **changes: object) -> None:
    task = replace(task_of(number), **changes)
    bench.tasks.receive_task(task.task, encode(task))


def answers_of(bench: PageBench) -> list[object]:
    return [decode_data(event.type, event.data) for event in bench.outbox.events(1, 99)]


def test_the_question_about_the_card_in_hand_comes_first(bench: PageBench, page: Page) -> None:
    bench.outbox.record(scan_of(7), STAMP)
    asked(bench, 1)
    asked(bench, 2)
    asked(bench, 3, scan=scan_of(7).scan)
    page.get_by_text("The card in hand").wait_for()
    first = page.locator(".task.current")
    assert str(task_of(3).task) in (first.get_attribute("data-task") or "")


def test_an_answer_is_taken_back_by_key(
    bench: PageBench, page: Page, complaints: list[str]
) -> None:
    asked(bench, 1)
    page.locator(".task.current").wait_for()
    page.wait_for_timeout(700)
    page.keyboard.press("1")
    page.get_by_text("Nothing to answer").wait_for()
    page.get_by_role("button", name="Take back").wait_for()
    page.keyboard.press("z")
    page.locator(".task.current").wait_for()
    answer, undone = answers_of(bench)
    assert isinstance(answer, ReviewAnswered)
    assert isinstance(undone, ReviewUndone)
    assert (undone.task, undone.task_version) == (answer.task, answer.task_version + 1)
    page.wait_for_timeout(700)
    page.keyboard.press("2")
    page.get_by_text("Nothing to answer").wait_for()
    again = answers_of(bench)[-1]
    assert isinstance(again, ReviewAnswered)
    assert (again.task_version, again.card) == (answer.task_version + 2, CARDS[1])
    assert complaints == []


def test_all_copies_are_counted_in_one_key(bench: PageBench, page: Page) -> None:
    for number in (1, 2, 3):
        asked(bench, number, reasons=("possible-duplicate",))
    asked(bench, 4)
    page.get_by_role("button", name="All 3 of these are copies").wait_for()
    page.wait_for_timeout(700)
    page.keyboard.press("a")
    page.get_by_text("3 copies are counted").wait_for()
    given = [answer for answer in answers_of(bench) if isinstance(answer, ReviewAnswered)]
    assert {answer.card for answer in given} == {CARDS[0]}
    assert (len(given), bench.table.count_open()) == (3, 1)


def test_what_is_no_card_is_dismissed_in_one_key(bench: PageBench, page: Page) -> None:
    asked(bench, 1, reasons=("looks-like-card-back",), candidates=())
    page.get_by_text("Turn the card over.").wait_for()
    assert page.locator(".task.current .choice").count() == 1
    page.wait_for_timeout(700)
    page.keyboard.press("d")
    page.get_by_text("Nothing to answer").wait_for()
    (answer,) = answers_of(bench)
    assert isinstance(answer, ReviewAnswered)
    assert (answer.verdict, answer.card) == ("no_card", None)


def test_the_number_is_enlarged_by_key_and_touch(bench: PageBench, page: Page) -> None:
    image = bench.images.put(shot_of(1).frame.repeat(30, axis=0).repeat(30, axis=1))
    asked(bench, 1, image=image)
    page.locator(".closeup").wait_for()
    page.keyboard.press("x")
    page.locator("#zoom[open] img").wait_for()
    page.keyboard.press("x")
    page.locator("#zoom[open]").wait_for(state="detached")
    page.locator(".task.current .picture").click()
    page.locator("#zoom[open] img").click()
    page.locator("#zoom[open]").wait_for(state="detached")
    assert bench.table.count_open() == 1


def test_candidates_have_pictures(
    bench: PageBench, page: Page, complaints: list[str], fictional: Path
) -> None:
    bench.pictures[CARDS[0].id] = (fictional / "images" / "emb-1.jpg").read_bytes()
    asked(bench, 1)
    drawn(page, ".choice img >> nth=0")
    drawn(page, ".choice img >> nth=1")  # the outline, where the pack has no picture
    assert complaints == []


def test_keys_without_a_use_are_not_shown(bench: PageBench, browser: Browser) -> None:
    bench.can_capture = False
    serving = PageServer("127.0.0.1", 0)
    serving.show(bench.page())
    thread = threading.Thread(target=serving.run, daemon=True)
    thread.start()
    opened = browser.new_page()
    opened.goto(serving.url)
    bench.outbox.record(scan_of(1), STAMP)
    opened.get_by_role("button", name="Undo").wait_for()
    keys = opened.locator("[data-key]").evaluate_all("all => all.map(one => one.dataset.key)")
    assert sorted(keys) == ["m", "u"]
    assert opened.get_by_role("link", name="Dashboard").count() == 0
    opened.context.close()
    serving.stop()
    thread.join(10)


def test_files_are_tried_again_and_dismissed(bench: PageBench, page: Page) -> None:
    for key, reason in (("a1", "unreadable-image"), ("b2", "same-picture")):
        bench.files.append(
            ListedFile(key=key, name=f"{key}.jpg", reason=reason, message="why", parked=True)
        )
    bench.files.append(
        ListedFile(key="c3", name="c3.jpg", reason="broken-file", message="why", parked=False)
    )
    page.get_by_text("c3.jpg").wait_for()
    page.get_by_role("button", name="Count it anyway").click()
    page.get_by_text("b2.jpg").wait_for(state="detached")
    page.get_by_role("button", name="Dismiss").click()
    page.get_by_text("a1.jpg").wait_for(state="detached")
    assert bench.tried == [("retry", "b2"), ("dismiss", "a1")]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast_in_both_schemes(
    bench: PageBench, browser: Browser, server: PageServer, scheme: str
) -> None:
    bench.outbox.record(replace(scan_of(1), decision=Decision.REVIEW, card=None), STAMP)
    asked(bench, 1, candidates=(Candidate(card=CARDS[0], confidence=0.5),))
    opened = browser.new_context(color_scheme=scheme).new_page()  # type: ignore[arg-type]
    opened.goto(server.url)
    opened.locator(".task.current").wait_for()
    poor = opened.evaluate(CONTRAST)
    assert poor == []
    opened.context.close()


CONTRAST = """() => {
  const linear = (c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
  const part = (value) => linear(value / 255);
  const light = ([r, g, b]) => 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  const colour = (text) => text.match(/[0-9.]+/g).map(Number);
  const ground = (element) => {
    for (let one = element; one; one = one.parentElement) {
      const [r, g, b, a = 1] = colour(getComputedStyle(one).backgroundColor);
      if (a > 0.5) return [r, g, b];
    }
    return [255, 255, 255];
  };
  const text = (node) => node.nodeType === 3 && node.data.trim();
  return [...document.querySelectorAll("body *")]
    .filter((one) => one.offsetParent && [...one.childNodes].some(text))
    .filter((one) => {
      const [a, b] = [light(colour(getComputedStyle(one).color)), light(ground(one))];
      return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05) < 4.5;
    })
    .map((one) => `${one.tagName}.${one.className}: ${one.textContent.trim().slice(0, 30)}`);
}"""


def test_one_key_answers_the_language(bench: PageBench, page: Page, complaints: list[str]) -> None:
    bench.languages = ("en", "fr", "it")
    scan = replace(
        scan_of(7),
        decision=Decision.REVIEW,
        card=None,
        reasons=("language-unclear",),
        language="it",
        language_confidence=0.7,
    )
    bench.outbox.record(scan, STAMP)
    asked(bench, 1, scan=scan.scan, reasons=scan.reasons)
    page.get_by_role("heading", name="Which language is it in?").wait_for()
    assert page.locator(".task.current").get_by_role("button", name="Italian").is_visible()
    page.wait_for_timeout(700)
    page.keyboard.press("3")
    page.get_by_text("Nothing to answer").wait_for()
    answer = answers_of(bench)[-1]
    assert isinstance(answer, ReviewAnswered)
    assert (answer.card, answer.language) == (CARDS[0], "fr")
    page.locator(".last .language", has_text="French").wait_for()
    assert complaints == []


def test_the_setting_of_the_language_says_what_it_does(bench: PageBench, page: Page) -> None:
    page.get_by_text("Where the print does not tell, you are asked.").wait_for()
    page.get_by_label("Language").select_option("fr")
    page.get_by_text("Expected: counts unless a card clearly shows another.").wait_for()
    assert page.get_by_text("Where the print").is_hidden()
    until(lambda: bench.outbox.defaults.language == "fr")


def test_a_stack_is_begun_by_key(bench: PageBench, server: PageServer, page: Page) -> None:
    bench.picture = preview_jpeg((shot_of(9).frame.repeat(20, axis=0).repeat(20, axis=1), None))
    page.goto(server.url)
    page.get_by_role("button", name="A stack of copies").wait_for()
    page.wait_for_timeout(700)
    page.keyboard.press("k")
    until(lambda: bench.stack)


def test_every_key_on_the_page_is_taken_by_its_script() -> None:
    """A key that a button names, and the page's script does not take, would do nothing."""
    script = files("cardmint_edge.page").joinpath("static/page.js").read_text()
    templates = files("cardmint_edge.page").joinpath("templates")
    named = {
        key
        for template in templates.iterdir()
        for key in re.findall(r'data-key="([^{"])"', template.read_text())
    }
    taken = re.search(r"if \(!/\^\[(.*?)\]\$/", script)
    assert taken is not None
    assert [key for key in sorted(named) if not re.match(f"[{taken[1]}]", key)] == []

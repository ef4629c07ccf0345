"""The page: it shows the station's state, and takes answers only from itself."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from typing import Any
from uuid import UUID

import pytest
from litestar.testing import TestClient
from msgspec.structs import replace
from structlog.testing import capture_logs
from tests.edge.kit.page import PageBench, open_page_bench
from tests.edge.kit.scans import CARDS, NOW, STAMP, image_of, scan_of, shot_of
from tests.edge.kit.tasks import CATALOGUE, ELSEWHERE, task_of

from cardmint_cloud.web.filters import percent as dashboard_percent
from cardmint_contracts.cards import Card, Condition, Decision, Edition, Finish, Money, ScanDefaults
from cardmint_contracts.events import (
    CardScanned,
    RecogniserIdentity,
    ReviewAnswered,
    ReviewUndone,
    ScanWithdrawn,
)
from cardmint_contracts.prices import LastPrice
from cardmint_contracts.tasks import ReviewOutcome, ReviewTask
from cardmint_contracts.upcasters import decode_data
from cardmint_contracts.wire import encode
from cardmint_edge.domain.delivery.drain_estimate import DrainEstimator
from cardmint_edge.errors import Stop
from cardmint_edge.page.languages import NAMES, LanguageChoice, language_choices
from cardmint_edge.page.server import PageServer
from cardmint_edge.page.views import (
    RECENT_SCANS,
    ListedFile,
    PriceSummary,
    duration_text,
    percent,
)
from cardmint_edge.review_tasks import MAX_ANSWERS, ScanAnswer

Asking = TestClient[Any]
BASE = "http://127.0.0.1:8080"


@pytest.fixture
def bench() -> Iterator[PageBench]:
    with open_page_bench() as bench:
        yield bench


@pytest.fixture
def client(bench: PageBench) -> Iterator[Asking]:
    with TestClient(bench.page(), base_url=BASE) as opened:
        opened.follow_redirects = False
        yield opened


@pytest.mark.parametrize(("days", "says"), [(0, "today"), (1, "yesterday"), (12, "12 days ago")])
def test_the_last_card_has_its_last_price(
    bench: PageBench, client: Asking, days: int, says: str
) -> None:
    bench.outbox.record(scan_of(1), STAMP)
    assert "about" not in client.get("/").text
    bench.price = PriceSummary(
        money=Money(minor=123456, currency="EUR"), source="tcgdex", days=days
    )
    page = " ".join(client.get("/").text.split())
    assert f"about 1,234.56 EUR <small>tcgdex, {says}</small>" in page
    bench.price = PriceSummary(
        money=Money(minor=123456, currency="JPY"), source="tcgdex", days=days
    )
    assert "about 123,456 JPY <small>" in client.get("/").text


def test_cards_have_their_printed_names_and_the_last_one_the_finishes_it_exists_in(
    bench: PageBench, client: Asking
) -> None:
    first, last = scan_of(1), replace(scan_of(2), defaults=ScanDefaults(language="fr"))
    assert first.card
    assert last.card
    bench.outbox.record(first, STAMP)
    bench.outbox.record(last, STAMP)
    assert "exists as" not in client.get("/").text
    for card, language, name in ((first.card, None, "Salamèche"), (last.card, "fr", "Dracaufeu")):
        bench.names[card.id, language] = replace(card, name=name, set_name="Set de Base")
    bench.exists_as = (Finish.NORMAL, Finish.REVERSE_HOLO)
    page = " ".join(client.get("/").text.split())
    assert '<p class="name">Dracaufeu</p>' in page
    assert "<p>Set de Base</p>" in page
    assert "<b>Salamèche</b>" in page
    assert "exists as normal, reverse holo" in page


def test_the_last_card_is_named_as_a_person_answered(bench: PageBench, client: Asking) -> None:
    task = task_of(1)
    bench.outbox.record(replace(scan_of(1), scan=task.scan), STAMP)
    bench.tasks.receive_task(task.task, encode(task))
    other = ELSEWHERE
    bench.names[other.id, "fr"] = replace(other, name="Autre carte", number="7")
    bench.exists_as = (Finish.HOLO,)
    bench.tasks.answer(task.task, 1, other.id, "station", language="fr", finish=Finish.HOLO)
    page = " ".join(client.get("/").text.split())
    assert '<p class="name">Autre carte</p>' in page
    assert '<p class="number">7</p>' in page
    assert "holo: exists as holo" in page


@pytest.mark.parametrize("language", ["fr", None])
def test_a_questions_candidates_are_named_in_the_cards_language(
    bench: PageBench, client: Asking, language: str | None
) -> None:
    task = task_of(1)
    scan = replace(scan_of(1), scan=task.scan, defaults=ScanDefaults(language=language))
    bench.outbox.record(scan, STAMP)
    bench.tasks.receive_task(task.task, encode(task))
    first, *others = [one.card for one in task.candidates]
    bench.names[first.id, "fr"] = replace(first, name="Dracaufeu", set_name="Set de Base")
    page = " ".join(client.get("/").text.split())
    shown = ["Dracaufeu" if language else first.name, *(one.name for one in others)]
    assert (
        re.findall(r'<button class="choice" name="card" value="[^"]+".*?<b>(.*?)</b>', page)
        == shown
    )
    assert f'value="{first.id}"' in page


@pytest.mark.parametrize(("days", "says"), [(0, "of today"), (12, "12 days old"), (90, "90 days")])
def test_the_age_of_the_catalogue_is_shown(
    bench: PageBench, client: Asking, days: int, says: str
) -> None:
    assert "newest set" not in client.get("/").text
    bench.catalogue_days = days
    page = " ".join(client.get("/").text.split())
    assert says in page
    assert "newest set Pitch Black" in page
    assert ('<dt>Catalogue</dt><dd class="warn">' in page) == (days > 45)
    assert "came out since" not in page
    bench.sets_since = ("Pitch Black", "Chaos <Rising>")
    page = " ".join(client.get("/").text.split())
    assert "came out since: Pitch Black, Chaos &lt;Rising&gt;" in page


def test_an_empty_station_says_what_to_do(client: Asking) -> None:
    page = client.get("/").text
    assert "Lay one under the camera" in page
    assert "Nothing to answer" in page


def test_what_the_cloud_asks_is_not_known_without_it(bench: PageBench, client: Asking) -> None:
    def answers() -> str:
        page = " ".join(client.get("/").text.split())
        return page.partition("<dt>To answer</dt><dd>")[2].partition("</dd>")[0]

    assert answers() == "0"
    bench.connected = False
    assert answers() == "not known"
    page = client.get("/").text
    assert "Questions come from the cloud, when it answers again" in page
    assert "Nothing to answer" not in page
    task = task_of(1)
    bench.tasks.receive_task(task.task, encode(task))
    assert answers() == "1 or more"
    bench.connected = True
    assert answers() == "1"


@pytest.mark.parametrize(
    ("reason", "says"),
    [
        ("same-picture", "Count it anyway"),
        ("other-form", "Count it anyway"),
        ("unfinished-file", "Count it anyway"),
        ("rewritten", "Try again"),
        ("unreadable-image", "Try again"),
    ],
)
def test_a_parked_file_says_what_its_button_does(
    bench: PageBench, client: Asking, reason: str, says: str
) -> None:
    bench.files = [
        ListedFile(key="k", name="a.jpg", reason=reason, message="why", parked=True),
    ]
    buttons = client.get("/").text.partition("Files that gave no card")[2]
    assert f"<span>{says}</span>" in buttons


def test_the_last_card_is_large_and_the_rest_a_strip(bench: PageBench, client: Asking) -> None:
    for number in range(1, 25):
        bench.outbox.record(scan_of(number, image=image_of(number)), STAMP)
    page = " ".join(client.get("/").text.split())
    assert '<p class="status">Counted</p>' in page
    assert "99.0 %" in page
    assert page.count("<li class=") == RECENT_SCANS
    assert f"/images/{image_of(24).sha256}" in page
    assert f"/images/{image_of(4).sha256}" in page
    assert f"/images/{image_of(3).sha256}" not in page


def test_a_card_that_was_not_found_can_be_named(bench: PageBench, client: Asking) -> None:
    scan = CardScanned(
        scan=UUID(int=1),
        decision=Decision.REJECT,
        recogniser=RecogniserIdentity(method="classical", pack="p"),
        reasons=("no-card-found",),
    )
    bench.outbox.record(scan, STAMP)
    url = f"/scans/{scan.scan}/is-card"
    assert f'action="{url}"' in client.get("/").text
    page = client.post(url, headers={"hx-request": "true"}).text
    assert "The question which card it is comes in a moment." in page
    assert f'action="{url}"' not in page
    assert "Asked about" in page
    assert bench.outbox.counters.scanned == 2
    gone = client.post(f"/scans/{UUID(int=9)}/is-card", headers={"hx-request": "true"}).text
    assert "not one of those without a card" in gone


@pytest.mark.parametrize(
    ("decision", "says"),
    [(Decision.REVIEW, "Asked about"), (Decision.REJECT, "No card: not counted")],
)
def test_a_decision_is_said_in_words(
    bench: PageBench, client: Asking, decision: Decision, says: str
) -> None:
    scan = CardScanned(
        scan=UUID(int=1),
        decision=decision,
        recogniser=RecogniserIdentity(method="classical", pack="p"),
        reasons=("small-margin",),
        candidates=scan_of(1).candidates if decision is Decision.REVIEW else (),
    )
    bench.outbox.record(scan, STAMP)
    bench.outbox.record(scan_of(2), STAMP)
    assert says in client.get("/").text
    bench.outbox.record(
        CardScanned(
            scan=UUID(int=3),
            **{f: getattr(scan, f) for f in ("decision", "recogniser", "reasons", "candidates")},
        ),
        STAMP,
    )
    page = client.get("/").text
    assert says in page
    assert "small margin" in page
    assert ("perhaps" in page) == (decision is Decision.REVIEW)


def test_names_are_text_and_never_markup(bench: PageBench, client: Asking) -> None:
    card = Card(id="x-1", name="<script>alert(1)</script>")
    bench.outbox.record(
        CardScanned(
            scan=UUID(int=1),
            decision=Decision.ACCEPT,
            recogniser=RecogniserIdentity(method="m", pack="p"),
            card=card,
        ),
        STAMP,
    )
    page = client.get("/").text
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page


def test_a_fault_is_on_top(bench: PageBench, client: Asking) -> None:
    bench.fault = "the disk is full"
    bench.connected = False
    page = client.get("/").text
    assert "Not counting: the disk is full" in page
    assert "link warn" in page


def test_the_live_part_comes_only_when_it_changed(bench: PageBench, client: Asking) -> None:
    first = client.get("/live")
    digest = first.text.split("have=")[1].split('"')[0]
    assert client.get("/live", params={"have": digest}).status_code == 204
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(client.get, "/live", params={"have": digest})
        bench.outbox.record(scan_of(1), STAMP)
        changed = waiting.result(60)
    assert changed.status_code == 200
    if "Card 2" not in changed.text:  # it was drawn while the card was recorded, and asks again
        digest = changed.text.split("have=")[1].split('"')[0]
        changed = client.get("/live", params={"have": digest})
    assert "Card 2" in changed.text


def test_a_commit_ends_the_wait_for_one(bench: PageBench) -> None:
    before = bench.outbox.database.wait_for_commits(0, 0.0)
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(bench.outbox.database.wait_for_commits, before, 60.0)
        bench.outbox.record(scan_of(1), STAMP)
        assert waiting.result(90) > before


def test_the_state_for_programs(bench: PageBench, client: Asking) -> None:
    assert client.get("/state").json()["last_scan"] is None
    bench.outbox.record(scan_of(1), STAMP)
    bench.outbox.record(scan_of(2), STAMP)
    bench.outbox.remove_covered(1, None)
    state = client.get("/state").json()
    assert (state["queued"], state["acknowledged"], state["scanned"], state["connected"]) == (
        1,
        1,
        2,
        True,
    )
    assert state["last_scan"] == {
        "position": 2,
        "scan": str(UUID(int=2)),
        "decision": "accept",
        "card": "set1-3",
    }


def test_images_come_by_their_content(bench: PageBench, client: Asking) -> None:
    image = bench.images.put(shot_of(1).frame)
    answer = client.get(f"/images/{image.sha256}")
    assert (answer.headers["content-type"], len(answer.content)) == ("image/jpeg", image.bytes)
    assert client.get(f"/images/{'0' * 64}").status_code == 404
    assert client.get("/images/..%2f..%2fetc%2fpasswd").status_code == 404


@pytest.mark.parametrize("name", ["htmx.js", "page.js", "page.css", "icon.svg"])
def test_its_files_come_from_this_machine(client: Asking, name: str) -> None:
    assert client.get(f"/static/{name}").status_code == 200
    assert name in client.get("/").text


def test_no_other_file_is_served(client: Asking) -> None:
    assert client.get("/static/page.html").status_code == 404


def test_nothing_comes_from_elsewhere_and_nothing_is_inline(client: Asking) -> None:
    answer = client.get("/")
    assert answer.headers["content-security-policy"].startswith("default-src 'self';")
    templates = files("cardmint_edge.page").joinpath("templates")
    for template in templates.iterdir():
        text = template.read_text()
        assert "http:" not in text
        assert "https:" not in text
        assert " style=" not in text
        assert " onclick" not in text


def test_a_question_about_a_finish_says_so(bench: PageBench, client: Asking) -> None:
    for number, reasons in enumerate((("other-finish",), ("other-finish", "small-margin")), 1):
        task = replace(task_of(number), reasons=reasons)
        bench.tasks.receive_task(task.task, encode(task))
    page = client.get("/").text
    assert page.count("<h3>Which finish or edition is it?</h3>") == 1
    assert page.count("<h3>Which card is it?</h3>") == 1


def test_a_task_is_answered_once(bench: PageBench, client: Asking) -> None:
    for number in (1, 2, 3, 4):
        task = task_of(number)
        bench.tasks.receive_task(task.task, encode(task))
    page = client.get("/").text
    assert page.count('data-key="1"') == 3
    assert "1 more after these" in page
    path = f"/tasks/{UUID(int=1)}"
    answer = client.post(
        path, data={"version": "1", "card": "set1-2"}, headers={"hx-request": "true"}
    )
    assert answer.status_code == 200
    assert f"/tasks/{UUID(int=3)}" in answer.text
    again = client.post(path, data={"version": "1", "card": ""}, headers={"hx-request": "true"})
    assert "Somebody else answered this question first" in again.text
    assert bench.outbox.stream_state.last == 1


def test_it_works_without_scripts(bench: PageBench, client: Asking) -> None:
    task = task_of(1)
    bench.tasks.receive_task(task.task, encode(task))
    answer = client.post(f"/tasks/{task.task}", data={"version": "1", "card": ""})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert bench.table.count_open() == 0


def test_a_form_has_a_size_and_can_be_read(bench: PageBench, client: Asking) -> None:
    form = {"content-type": "application/x-www-form-urlencoded"}
    for body, status in (
        (b"bin=" + b"A" * 70_000, 413),
        (b"bin=%ff", 400),
        (b"bin=\xff", 400),
        (b"&".join(b"n%d=1" % number for number in range(200)), 400),
        (b"bin=A+%31&bin=A%202&", 303),
    ):
        assert client.post("/defaults", content=body, headers=form).status_code == status
    assert bench.outbox.defaults == ScanDefaults(bin="A 2")


def test_every_answer_has_the_headers_and_what_is_wrong_is_said(
    bench: PageBench, client: Asking
) -> None:
    def fail() -> bytes:
        raise Stop("the disk is gone")

    for asked, status, says in (
        (client.get("/nothing"), 404, "Not Found"),
        (client.get("/tasks/1/search"), 404, "Not Found"),
        (client.get("/capture"), 405, "Method Not Allowed"),
        (
            client.get(f"/tasks/{UUID(int=1)}/search"),
            400,
            "the version of the task is missing or no number",
        ),
        (
            client.get("/nothing", headers={"host": "evil.example"}),
            403,
            "this page is not served under the name 'evil.example'",
        ),
        (
            client.post("/defaults", data={"finish": "glitter"}),
            400,
            "Invalid enum value 'glitter' - at `$.finish`",
        ),
    ):
        assert (asked.status_code, asked.json()) == (
            status,
            {"status_code": status, "detail": says},
        )
        assert asked.headers["content-security-policy"].startswith("default-src 'self';")
        assert asked.headers["x-content-type-options"] == "nosniff"
    bench.metrics = fail
    with capture_logs() as logs:
        asked = client.get("/metrics")
    assert (asked.status_code, asked.json()["detail"]) == (500, "Internal Server Error")
    assert [(entry["path"], entry["reason"]) for entry in logs] == [
        ("/metrics", "Stop: the disk is gone")
    ]


@pytest.mark.parametrize(
    "form",
    [
        {"version": "one", "card": ""},
        {"version": "1"},
        {"card": "x"},
        {"version": "1", "card": "set1-2:French!"},
    ],
)
def test_an_answer_of_the_wrong_shape_is_refused(client: Asking, form: dict[str, str]) -> None:
    assert client.post(f"/tasks/{UUID(int=1)}", data=form).status_code == 400


def test_a_task_with_an_image_shows_it(bench: PageBench, client: Asking) -> None:
    task = ReviewTask(
        task=UUID(int=1), version=1, scan=UUID(int=2), opened=STAMP.time, image=image_of(1)
    )
    bench.tasks.receive_task(task.task, encode(task))
    assert f"/images/{image_of(1).sha256}" in client.get("/").text


def test_the_batch_applies_from_now_on(bench: PageBench, client: Asking) -> None:
    form = {
        "bin": "A1",
        "lot": "",
        "condition": "near_mint",
        "finish": "holo",
        "edition": "first",
        "language": "en",
    }
    answer = client.post("/defaults", data=form)
    assert (answer.status_code, answer.headers["location"]) == (303, "/?saved=true")
    assert bench.outbox.defaults == ScanDefaults(
        bin="A1",
        condition=Condition.NEAR_MINT,
        finish=Finish.HOLO,
        edition=Edition.FIRST,
        language="en",
    )
    page = client.get("/?saved=true").text
    assert "In use." in page
    assert '<option value="near_mint" selected>near mint</option>' in page
    assert client.post("/defaults", data={"finish": "glitter"}).status_code == 400
    assert bench.outbox.defaults.bin == "A1"


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({}, True),
        ({"sec-fetch-site": "same-origin", "origin": BASE}, True),
        ({"origin": "http://evil.example"}, False),
        ({"origin": "null"}, False),
        ({"origin": "http://127.0.0.1:9999"}, False),
        ({"sec-fetch-site": "cross-site"}, False),
        ({"sec-fetch-site": "same-site"}, False),
        ({"host": "evil.example"}, False),
        ({"host": "192.168.1.5:8080"}, False),
        ({"host": ""}, False),
        ({"host": "localhost:8080"}, True),
        ({"host": "[::1]:8080"}, True),
    ],
)
def test_posts_come_from_the_page_itself(
    client: Asking, headers: dict[str, str], allowed: bool
) -> None:
    assert client.post("/defaults", data={"bin": "A1"}, headers=headers).status_code == (
        303 if allowed else 403
    )


def test_a_name_that_was_pointed_here_reads_nothing(client: Asking) -> None:
    assert client.get("/state", headers={"host": "evil.example"}).status_code == 403
    assert client.get("/", headers={"sec-fetch-site": "cross-site"}).status_code == 200


def test_a_port_that_is_taken_is_named() -> None:
    first = PageServer("127.0.0.1", 0)
    with pytest.raises(Stop, match="page_port"):
        PageServer("127.0.0.1", int(first.url.rstrip("/").rsplit(":", 1)[1]))
    first.stop()
    first.run()
    first.close()
    six = PageServer("::1", 0)
    assert six.url.startswith("http://[::1]:")
    six.close()


PART = {"hx-request": "true"}


def test_the_card_itself_is_asked_for_by_its_place_and_scanned_next(
    bench: PageBench, client: Asking
) -> None:
    task = replace(task_of(1), place="bin A3, slot 12", escalated=True)
    bench.tasks.receive_task(task.task, encode(task))
    page = client.get("/").text
    assert "bin A3, slot 12" in page
    assert "waiting too long" in page
    assert "The next shot is the card" not in page
    shown = client.post(f"/tasks/{task.task}/scan", headers=PART).text
    assert "The next card counts as another scan" in shown
    assert bench.tasks.scan_to_repeat == task.scan
    assert client.post(f"/tasks/{task.task}/forget").status_code == 404


def test_a_possible_duplicate_is_asked_for_as_one(bench: PageBench, client: Asking) -> None:
    first = replace(scan_of(1, image=image_of(1)), defaults=ScanDefaults(bin="A3"))
    second = replace(scan_of(2), possible_duplicate_of=first.scan)
    for scan in (first, second):
        bench.outbox.record(scan, STAMP)
    task = replace(task_of(1), scan=second.scan, reasons=("possible-duplicate",))
    bench.tasks.receive_task(task.task, encode(task))
    page = " ".join(client.get("/").text.split())
    assert "Was this card scanned before?" in page
    assert "Which card is it?" not in page
    assert f"is scan 1, of {STAMP.time.astimezone():%-d %B, %H:%M:%S}, bin A3." in page
    assert f'/images/{image_of(1).sha256}" alt="The card before"' in page
    assert "another copy: count it" in page
    assert "The same card again: do not count it" in page
    assert "None of these" not in page
    bench.outbox.withdraw(first.scan, "station", STAMP)
    assert "bin A3; it was taken back." in " ".join(client.get("/").text.split())


def test_a_possible_duplicate_that_is_not_in_the_history_any_more_is_one_still(
    bench: PageBench, client: Asking
) -> None:
    task = replace(task_of(1), reasons=("possible-duplicate", "small-margin"))
    bench.tasks.receive_task(task.task, encode(task))
    page = " ".join(client.get("/").text.split())
    assert "A card that looks the same was scanned before." in page
    assert "small margin" in page


@pytest.mark.parametrize(("action", "events"), [("dismiss", 1), ("undo", 2)])
def test_an_answer_that_did_not_count_is_told_and_undone_or_left(
    bench: PageBench, client: Asking, action: str, events: int
) -> None:
    task = task_of(1)
    outcome = ReviewOutcome(
        task=task.task, version=2, scan=task.scan, verdict="no_card", by="<ann>", at=task.opened
    )
    bench.tasks.receive_task(task.task, encode(task))
    bench.tasks.answer(task.task, 1, task.candidates[0].card.id, "station")
    bench.tasks.receive_outcome(encode(outcome))
    assert "&lt;ann&gt; answered first: <b>no card</b>" in client.get("/").text
    told = client.post(f"/tasks/{task.task}/{action}", follow_redirects=False)
    assert told.status_code == 303
    assert "answered first" not in client.get("/").text
    assert bench.outbox.stream_state.last == events
    gone = client.post(f"/tasks/{task.task}/undo", headers=PART).text
    assert "Somebody else answered this question first" in gone


def test_a_scan_is_taken_back_once(bench: PageBench, client: Asking) -> None:
    line = bench.outbox.record(scan_of(1), STAMP)
    url = f"/scans/{line.scan.scan}/withdraw"
    live = {"hx-request": "true"}
    assert "Taken back" in client.post(url, headers=live).text
    (_, event) = bench.outbox.events(1, 9)
    assert decode_data(event.type, event.data) == ScanWithdrawn(scan=line.scan.scan, by="station")
    assert "taken back before" in client.post(url, headers=live).text
    assert bench.outbox.stream_state.last == 2
    assert client.post(url).headers["location"] == "/"


def test_a_card_is_scanned_again_in_place_of_its_scan(bench: PageBench, client: Asking) -> None:
    line = bench.outbox.record(scan_of(1), STAMP)
    bench.can_capture = False
    says = client.post(f"/scans/{line.scan.scan}/again", headers={"hx-request": "true"}).text
    assert "no photo on command" in says
    assert not bench.outbox.recent_scans(1)[0].withdrawn
    bench.can_capture = True
    client.post(f"/scans/{line.scan.scan}/again")
    assert (bench.captured, bench.outbox.recent_scans(1)[0].withdrawn) == (1, True)
    client.post("/capture")
    assert bench.captured == 2


def test_a_task_waits_and_another_card_is_found(bench: PageBench, client: Asking) -> None:
    bench.tasks.receive_task(task_of(1).task, encode(task_of(1)))
    client.post(f"/tasks/{task_of(1).task}/skip")
    assert bench.skipped == [task_of(1).task]
    found = client.get(
        f"/tasks/{task_of(1).task}/search", params={"version": 1, "q": "another"}
    ).text
    assert f'value="{ELSEWHERE.id}"' in found
    assert (
        "No card"
        in client.get(
            f"/tasks/{task_of(1).task}/search", params={"version": 1, "q": "nothing"}
        ).text
    )
    client.post(f"/tasks/{task_of(1).task}", data={"version": "1", "card": ELSEWHERE.id})
    assert bench.table.count_open() == 0
    assert CATALOGUE[ELSEWHERE.id] == ELSEWHERE


def test_a_stack_of_copies_is_begun_and_ended(bench: PageBench, client: Asking) -> None:
    assert "stack of copies" not in client.get("/").text, "a camera without a preview"
    bench.picture = b"jpeg"
    assert "A stack of copies of one card" in client.get("/").text
    htmx = {"hx-request": "true"}
    begun = client.post("/stack", data={"stack": "yes"}, headers=htmx).text
    assert "Each card laid on the stack" in begun
    ended = client.post("/stack", data={"stack": "no"}, headers=htmx).text
    assert "A stack of copies of one card" in ended
    assert not bench.stack


def test_what_the_camera_sees_the_box_and_its_figures(bench: PageBench, client: Asking) -> None:
    assert client.get("/camera.jpg").status_code == 404
    bench.picture = b"jpeg"
    assert client.get("/camera.jpg").content == b"jpeg"
    page = client.get("/").text
    assert "5.0 GB free" in page
    assert "not set by the network" in page
    assert "pack-1" in page
    assert client.get("/metrics").text == "cardmint_scanned 1.0\n"
    assert (
        "Continue uploading"
        in client.post("/uploads", data={"paused": "yes"}, headers={"hx-request": "true"}).text
    )
    client.post("/uploads", data={"paused": "no"})
    assert not bench.paused


def test_other_machines_need_the_pin(bench: PageBench) -> None:
    bench.pin = "123456"
    with TestClient(bench.page(), base_url="http://192.168.7.9:8080") as other:
        other.follow_redirects = False
        assert other.get("/").headers["location"] == "/pin"
        assert other.post("/capture").headers["location"] == "/pin"
        assert "PIN" in other.get("/pin").text
        assert other.post("/enter", data={"pin": "654321"}).status_code == 401
        entered = other.post("/enter", data={"pin": "123456"})
        assert (entered.status_code, entered.headers["location"]) == (303, "/")
        cookie = entered.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        assert "Last card" in other.get("/").text
        for name in ("evil.example.com", "[::"):
            assert other.get("/", headers={"host": name}).status_code == 403
        assert other.get("/", headers={"host": "station.local"}).status_code in {200, 303}
        for _ in range(5):
            other.post("/enter", data={"pin": "0"})
        assert other.post("/enter", data={"pin": "123456"}).status_code == 429
    with TestClient(bench.page(), base_url=BASE) as own:
        assert "Last card" in own.get("/").text, "the station's own browser needs none"


def test_without_a_pin_no_other_machine_is_let_in(bench: PageBench) -> None:
    with TestClient(bench.page(), base_url="http://192.168.7.9:8080") as other:
        assert other.get("/").status_code == 403
        assert other.post("/enter", data={"pin": ""}).status_code == 403


@pytest.mark.parametrize(
    ("seconds", "says"),
    [(None, "an unknown time"), (0.2, "1 s"), (42, "42 s"), (150, "2 min"), (9000, "2.5 h")],
)
def test_how_long_something_lasts(seconds: float | None, says: str) -> None:
    assert duration_text(seconds) == says


def test_how_long_a_queue_will_take() -> None:
    pace = DrainEstimator()
    assert pace.estimate(0, 0) == 0
    assert pace.estimate(1, 1000) is None
    pace = DrainEstimator()
    assert pace.estimate(0, 1000) is None
    assert pace.estimate(1, 900) is None, "a second is too short to tell"
    assert pace.estimate(10, 500) == pytest.approx(10)
    assert pace.estimate(65, 500) is None, "for a minute nothing moved"


HX = {"hx-request": "true"}


def test_an_answer_is_taken_back_until_three_more_were_given(
    bench: PageBench, client: Asking
) -> None:
    for number in range(1, 6):
        task = task_of(number)
        bench.tasks.receive_task(task.task, encode(task))
        client.post(f"/tasks/{task.task}", data={"version": "1", "card": "set1-1"})
    assert [answer.task.int for answer in bench.tasks.given] == [5, 4, 3]
    gone = client.post(f"/tasks/{task_of(1).task}/take-back", headers=HX)
    assert "can no longer be taken back here" in " ".join(gone.text.split())
    page = client.post(f"/tasks/{task_of(5).task}/take-back", headers=HX).text
    assert "Which card is it?" in page
    (opened,) = bench.table.oldest_open(9)
    assert (opened.task, opened.version) == (task_of(5).task, 3)
    undone = decode_data(*[(e.type, e.data) for e in bench.outbox.events(1, 99)][-1])
    assert isinstance(undone, ReviewUndone)
    assert (undone.task, undone.task_version, undone.by) == (task_of(5).task, 2, "station")


def test_an_overruled_answer_is_not_taken_back_here(bench: PageBench) -> None:
    task = task_of(1)
    bench.tasks.receive_task(task.task, encode(task))
    bench.tasks.answer(task.task, 1, "set1-1", "station")
    other = task.candidates[2].card
    outcome = ReviewOutcome(
        task=task.task, version=2, scan=task.scan, verdict="card", by="anna", at=NOW, card=other
    )
    bench.tasks.receive_outcome(encode(outcome))
    assert bench.tasks.given == ()
    assert bench.tasks.answers[task.scan] == ScanAnswer(card=other, by="anna")


def test_what_a_person_said_is_what_the_page_says(bench: PageBench, client: Asking) -> None:
    bench.outbox.record(replace(scan_of(1), decision=Decision.REVIEW, card=None), STAMP)
    bench.outbox.record(replace(scan_of(2), possible_duplicate_of=UUID(int=1)), STAMP)
    page = client.get("/").text
    assert page.count("Asked about") == 2
    outcome = ReviewOutcome(
        task=UUID(int=9), version=2, scan=UUID(int=1), verdict="no_card", by="", at=NOW
    )
    bench.tasks.receive_outcome(encode(outcome))
    assert "Not counted: the cloud answered" in client.get("/").text


def test_a_question_that_was_closed_while_the_station_was_away(
    bench: PageBench, client: Asking
) -> None:
    bench.outbox.record(replace(scan_of(1), decision=Decision.REVIEW, card=None), STAMP)
    task = replace(task_of(1), scan=scan_of(1).scan)
    bench.tasks.receive_task(task.task, encode(task))
    assert "Asked about" in client.get("/").text
    bench.tasks.connected(100.0)
    bench.tasks.tick(200.0)
    page = client.get("/").text
    assert "Answered elsewhere" in page
    assert "perhaps" in page
    bench.tasks.receive_task(task.task, encode(task))
    assert "Asked about" in client.get("/").text


def test_the_answers_that_are_known_are_bounded(bench: PageBench) -> None:
    for number in range(MAX_ANSWERS + 5):
        outcome = ReviewOutcome(
            task=UUID(int=1), version=2, scan=UUID(int=number), verdict="no_card", by="x", at=NOW
        )
        bench.tasks.receive_outcome(encode(outcome))
    assert len(bench.tasks.answers) == MAX_ANSWERS
    assert UUID(int=4) not in bench.tasks.answers


def test_all_copies_count_at_once(bench: PageBench, client: Asking) -> None:
    assert "copies are counted" not in client.post("/copies", headers=HX).text
    for number in (1, 2):
        task = replace(task_of(number), reasons=("possible-duplicate",))
        bench.tasks.receive_task(task.task, encode(task))
    other = task_of(3)
    bench.tasks.receive_task(other.task, encode(other))
    assert "2 copies are counted." in client.post("/copies", headers=HX).text
    assert [task.task for task in bench.table.oldest_open(9)] == [other.task]


def test_files_that_gave_no_card_are_listed_tried_and_dismissed(
    bench: PageBench, client: Asking
) -> None:
    bench.files = [
        ListedFile(key="ab", name="a.jpg", reason="broken-file", message="why", parked=True)
    ]
    assert "a.jpg" in client.get("/").text
    assert client.post("/files/ab/retry").headers["location"] == "/"
    assert "no longer there" in client.post("/files/gone/retry", headers=HX).text
    assert "no longer there" in client.post("/files/gone/dismiss", headers=HX).text
    assert bench.tried == [("retry", "ab"), ("retry", "gone"), ("dismiss", "gone")]


def test_a_printing_has_its_picture_or_an_outline(bench: PageBench, client: Asking) -> None:
    bench.pictures["set1-1"] = b"jpeg"
    found = client.get("/cards/set1-1.jpg")
    assert (found.headers["content-type"], found.content) == ("image/jpeg", b"jpeg")
    outline = client.get("/cards/set1-2.jpg")
    assert outline.headers["content-type"] == "image/svg+xml"


def test_defaults_are_stored_as_they_change(bench: PageBench, client: Asking) -> None:
    answer = client.post("/defaults", data={"bin": "7", "lot": "attic"}, headers=HX)
    assert "In use." in answer.text
    assert bench.outbox.defaults == ScanDefaults(bin="7", lot="attic")


def test_the_figures_of_the_lot_are_on_the_page(bench: PageBench, client: Asking) -> None:
    bench.outbox.set_defaults(ScanDefaults(lot="attic"))
    bench.last_price = LastPrice(
        card="x-1", price=Money(minor=250, currency="EUR"), as_of=NOW, source="tcgdex"
    )
    for number in (1, 2):
        bench.outbox.record(replace(scan_of(number), defaults=bench.outbox.defaults), STAMP)
    page = " ".join(client.get("/").text.split())
    assert "Lot attic</dt><dd>2 <small>about 5.00 EUR" in page


@pytest.mark.parametrize(
    ("share", "says"), [(0.9951, "99 %"), (1.0, "100 %"), (0.29, "29 %"), (0.0, "0 %")]
)
def test_a_share_is_said_as_on_the_dashboard(share: float, says: str) -> None:
    assert percent(share) == says == dashboard_percent(share)


def test_advice_is_given_once_and_what_is_no_card_has_one_key(
    bench: PageBench, client: Asking
) -> None:
    task = replace(task_of(1), reasons=("card-back", "looks-like-card-back", "of-tomorrow"))
    bench.tasks.receive_task(task.task, encode(task))
    page = client.get("/").text
    assert page.count("Turn the card over.") == 1
    assert 'data-key="d"' in page
    assert 'data-key="1"' not in page
    assert "of tomorrow" in page


def french(**changes: Any) -> CardScanned:
    return replace(scan_of(1), language="fr", language_confidence=0.62, **changes)


def test_a_question_about_the_language_alone_is_answered_with_one(
    bench: PageBench, client: Asking
) -> None:
    bench.languages = ("en", "fr", "de")
    scan = french(decision=Decision.REVIEW, card=None, reasons=("language-unclear",))
    bench.outbox.record(scan, STAMP)
    task = replace(task_of(1), scan=scan.scan, reasons=scan.reasons)
    bench.tasks.receive_task(task.task, encode(task))
    page = client.get("/").text
    assert "Which language is it in?" in page
    assert "Language not clear, perhaps French, 62 %" in page
    card = task.candidates[0].card
    offered = re.findall(rf'value="{card.id}:([a-z]+)"\s+data-key="(\d)"', page)
    assert offered[:4] == [("fr", "1"), ("en", "2"), ("de", "3"), ("it", "4")]
    assert len(offered) == 9
    client.post(f"/tasks/{task.task}", data={"version": "1", "card": f"{card.id}:de"})
    answer = decode_data(*bench_event(bench))
    assert isinstance(answer, ReviewAnswered)
    assert (answer.card, answer.language) == (card, "de")
    assert '<p class="language">German</p>' in client.get("/").text


def test_a_question_about_the_printing_takes_the_language_along(
    bench: PageBench, client: Asking
) -> None:
    task = replace(task_of(1), reasons=("same-art", "language-unclear"))
    bench.tasks.receive_task(task.task, encode(task))
    page = client.get("/").text
    assert "Which card is it?" in page
    assert f'id="language-{task.task}"' in page
    client.post(f"/tasks/{task.task}", data={"version": "1", "card": "set1-2", "language": "nl"})
    answer = decode_data(*bench_event(bench))
    assert isinstance(answer, ReviewAnswered)
    assert (answer.card, answer.language) == (CARDS[1], "nl")


def test_a_question_about_finish_and_edition_is_answered_with_them(
    bench: PageBench, client: Asking
) -> None:
    task = replace(task_of(1), reasons=("other-finish", "other-edition"))
    bench.tasks.receive_task(task.task, encode(task))
    page = " ".join(client.get("/").text.split())
    assert '<option value="reverse_holo">reverse holo</option>' in page
    assert "Its edition" in page
    bench.variants = {task.scan: {"finish": (Finish.NORMAL, Finish.HOLO)}}
    page = " ".join(client.get("/").text.split())
    assert '<option value="holo">holo</option>' in page.split("Its finish")[1].split("</select>")[0]
    assert "reverse_holo" not in page.split("Its finish")[1].split("</select>")[0]
    form = {"version": "1", "card": "set1-2", "finish": "holo", "edition": "first"}
    for wrong in ({"finish": "shiny"}, {"edition": "third"}):
        assert client.post(f"/tasks/{task.task}", data=form | wrong).status_code == 400
    client.post(f"/tasks/{task.task}", data=form)
    answer = decode_data(*bench_event(bench))
    assert isinstance(answer, ReviewAnswered)
    assert (answer.card, answer.finish, answer.edition) == (CARDS[1], "holo", "first")


def test_a_question_about_something_else_asks_for_no_finish(
    bench: PageBench, client: Asking
) -> None:
    task = replace(task_of(1), reasons=("same-art",))
    bench.tasks.receive_task(task.task, encode(task))
    assert "Its finish" not in client.get("/").text
    client.post(f"/tasks/{task.task}", data={"version": "1", "card": "", "finish": "holo"})
    answer = decode_data(*bench_event(bench))
    assert isinstance(answer, ReviewAnswered)
    assert answer.finish is None


def test_no_card_has_no_language(bench: PageBench) -> None:
    task = task_of(1)
    bench.tasks.receive_task(task.task, encode(task))
    bench.tasks.answer(task.task, 1, None, "station", "fr")
    answer = decode_data(*bench_event(bench))
    assert isinstance(answer, ReviewAnswered)
    assert answer.language is None


@pytest.mark.parametrize(
    ("scan", "says"),
    [
        (french(), "French, 62 % by its print"),
        (french(defaults=ScanDefaults(language="de")), "French, 62 % by its print; German is set"),
        (
            replace(scan_of(1), defaults=ScanDefaults(language="ja")),
            "Japanese, as it is set",
        ),
        (replace(french(), language="xx"), "xx, 62 % by its print"),
    ],
    ids=["read", "another is set", "set", "a code without a name"],
)
def test_the_language_of_the_last_card_is_on_the_page(
    bench: PageBench, client: Asking, scan: CardScanned, says: str
) -> None:
    bench.outbox.record(scan, STAMP)
    assert f'<p class="language">{says}</p>' in client.get("/").text


def test_a_card_without_print_says_nothing_of_its_language(
    bench: PageBench, client: Asking
) -> None:
    bench.outbox.record(scan_of(1), STAMP)
    assert 'class="language"' not in client.get("/").text
    assert language_choices(None, ()) == [LanguageChoice(code=code) for code in [*NAMES][:9]]


def bench_event(bench: PageBench) -> tuple[str, bytes]:
    event = bench.outbox.events(bench.outbox.stream_state.last, 1)[0]
    return event.type, event.data


def test_several_cards_are_outlined_and_numbered(bench: PageBench, client: Asking) -> None:
    left = (0.1, 0.1, 0.4, 0.1, 0.4, 0.9, 0.1, 0.9)
    right = (0.6, 0.1, 0.9, 0.1, 0.9, 0.9, 0.6, 0.9)
    image = replace(image_of(1), width=1000, height=500)
    scan = replace(
        scan_of(1),
        decision=Decision.REVIEW,
        card=None,
        reasons=("several-cards",),
        image=image,
        outlines=(left, right),
    )
    bench.outbox.record(scan, STAMP)
    task = replace(task_of(1), scan=scan.scan, reasons=scan.reasons, image=image)
    bench.tasks.receive_task(task.task, encode(task))
    page = client.get("/").text
    assert page.count('<polygon points="100.0,50.0 400.0,50.0 400.0,450.0 100.0,450.0"/>') == 2
    assert page.count(">2</text>") == 2
    assert page.count("Number 1 may stay") == 2
    assert "More than one card lies there" in page


def test_candidates_that_are_hardly_possible_are_not_offered(
    bench: PageBench, client: Asking
) -> None:
    first, second, third = task_of(1).candidates
    few = (replace(first, confidence=0.005), replace(second, confidence=0.02), third)
    task = replace(task_of(1), candidates=(*few[:2], replace(third, confidence=0.004)))
    bench.tasks.receive_task(task.task, encode(task))
    page = client.get("/").text
    assert [f'value="{one.card.id}"' in page for one in (first, second, third)] == [
        True,
        True,
        False,
    ]

"""One thing that cannot be had keeps nothing else from being fetched, and is said and counted."""

import hashlib
import json
import signal
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
from click.testing import CliRunner
from tests.edge.kit.catalogue import StandIn, fetch, serving, sets_of, write_database
from tests.edge.kit.waiting import until

from cardmint_edge.adapters.catalogue_folder import open_catalogue, read_index
from cardmint_edge.adapters.tcgdex_http import LONGEST_ANSWER_S, TRIES, TcgdexHttp
from cardmint_edge.catalogue import build
from cardmint_edge.catalogue_commands import catalogue
from cardmint_edge.catalogue_fetch import CatalogueFetch, FetchRequest
from cardmint_edge.catalogue_import import ImportRequest, import_folder
from cardmint_edge.catalogue_update import MAX_LINES, FetchSummary, FewLines
from cardmint_edge.errors import Park, Retry, Stop
from cardmint_edge.progress import LineProgress
from cardmint_lab.system import installed_script

pytestmark = pytest.mark.integration

LANTERNS = {"id": "lan1", "name": "Lanterns", "cardCount": {"total": 3, "official": 3}}


def brief(number: int, **more: Any) -> dict[str, Any]:
    return {"id": f"lan1-{number}", "localId": str(number), "name": f"Wick {number}", **more}


class Mirror:
    """Answers by path: JSON, bytes, a response, or 500 for a path that is not there."""

    def __init__(self, cards: int = 3, **of_set: Any) -> None:
        briefs = [brief(number) for number in range(1, cards + 1)]
        counts = {"total": cards, "official": cards}
        self.answers: dict[str, Any] = {
            "en/sets": [LANTERNS],
            "en/sets/lan1": {**LANTERNS, "cardCount": counts, "cards": briefs, **of_set},
            **{f"en/cards/lan1-{n}": brief(n, illustrator="A") for n in range(1, cards + 1)},
        }
        self.calls: Counter[str] = Counter()
        self.said: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/v2/")
        self.calls[path] += 1
        answer = self.answers.get(path)
        if isinstance(answer, httpx.Response):
            return answer
        if answer is None:
            return httpx.Response(500)
        content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        return httpx.Response(200, content=content)

    def fetch(self, out: Path, **changes: Any) -> FetchSummary:
        self.said.clear()
        transport = httpx.MockTransport(self)
        api = TcgdexHttp(
            "http://mirror/v2", connections=1, transport=transport, sleep=lambda _: None
        )
        with closing(api):
            return CatalogueFetch(
                api,
                out,
                FetchRequest(**{"languages": ("en",), "connections": 1, **changes}),
                source=api.url,
                progress=LineProgress(lambda _: None),
                warn=self.said.append,
            ).run()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    with serving(tmp_path_factory.mktemp("catalogue"), cards=12) as one:
        yield one


@pytest.fixture
def stand_in(server: StandIn) -> Iterator[StandIn]:
    yield server
    server.control("fault", "none", 0)
    server.control("break")
    server.control("lose", "lan1", 0)


@pytest.mark.parametrize(
    ("broken", "printings", "pictures", "says"),
    [
        ("v2/en/cards/lan1-005", 17, 3, "card lan1-005 (en): skipped: "),
        ("v2/en/sets/mot2", 12, 3, "set mot2 (en): skipped: "),
        ("assets/en/lan1/002/low.jpg", 18, 2, "lan1-2.jpg: skipped: "),
    ],
    ids=["card", "set", "picture"],
)
def test_what_always_fails_is_skipped_and_comes_when_it_is_mended(
    stand_in: StandIn, tmp_path: Path, broken: str, printings: int, pictures: int, says: str
) -> None:
    stand_in.control("break", *broken.split("/"))
    said: list[str] = []
    summary, _ = fetch(stand_in, tmp_path, said=said, size="low")
    assert (summary.printings, summary.pictures, summary.missing) == (printings, pictures, 1)
    assert any(line.startswith(says) and "answered 500" in line for line in said)
    assert not read_index(tmp_path).complete
    stand_in.control("break")
    summary, _ = fetch(stand_in, tmp_path, size="low")
    assert (summary.printings, summary.missing) == (18, 0)
    assert len(list((tmp_path / "images").iterdir())) == 3
    assert read_index(tmp_path).complete


def test_a_server_that_fails_all_the_time_counts_as_away(tmp_path: Path) -> None:
    mirror = Mirror(40)
    for number in range(5, 41):
        del mirror.answers[f"en/cards/lan1-{number}"]
    with pytest.raises(Retry, match=r"answered 500 .*: what was fetched stays; run the command"):
        mirror.fetch(tmp_path)
    assert sum(calls == TRIES for calls in mirror.calls.values()) >= 10


@pytest.mark.parametrize("address", ["ftp://mirror/a", "http://[bad/a", "/assets/a", "loop"])
def test_an_address_that_leads_nowhere_is_asked_once(tmp_path: Path, address: str) -> None:
    mirror = Mirror(1)
    image = "http://mirror/v2/loop" if address == "loop" else address
    mirror.answers["en/cards/lan1-1"] = brief(1, image=image)
    mirror.answers["loop/low.jpg"] = httpx.Response(
        302, headers={"location": "http://mirror/v2/loop/low.jpg"}
    )
    summary = mirror.fetch(tmp_path, size="low")
    assert (summary.printings, summary.missing) == (1, 1)
    assert len(mirror.said) == 1
    assert "leads nowhere" in mirror.said[0]
    assert mirror.calls["loop/low.jpg"] in {0, 21}, "one try, with its redirections"


def test_what_is_no_picture_is_asked_once_and_junk_is_none(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (90, 70, 3), dtype=np.uint8)
    sound = cv2.imencode(".jpg", noise)[1].tobytes()
    mirror = Mirror(2)
    for number in (1, 2):
        mirror.answers[f"en/cards/lan1-{number}"] = brief(
            number, image=f"http://mirror/v2/{number}"
        )
    mirror.answers["1/low.jpg"] = b"<!doctype html><title>Log in</title>"
    mirror.answers["2/low.jpg"] = sound[:20] + b"junk" * 500 + sound[-20:]
    summary = mirror.fetch(tmp_path, size="low")
    assert (summary.pictures, summary.missing) == (0, 2)
    assert "answered no picture" in mirror.said[0]
    assert "answered a picture that cannot be read" in mirror.said[1]
    assert (mirror.calls["1/low.jpg"], mirror.calls["2/low.jpg"]) == (1, 1)
    mirror.answers |= {"1/low.jpg": sound, "2/low.jpg": sound}
    assert mirror.fetch(tmp_path, size="low").pictures == 2
    assert read_index(tmp_path).complete


ODD_CARDS = [
    ({**brief(9), "name": None}, "card 'lan1-9'"),
    ({**brief(9), "localId": None}, "card 'lan1-9'"),
    ({**brief(9), "id": "../../x"}, "card '../../x'"),
    ("no card", "an entry that is no card"),
]


@pytest.mark.parametrize(("odd", "named"), ODD_CARDS, ids=["name", "number", "id", "text"])
def test_an_odd_card_is_one_line(tmp_path: Path, odd: object, named: str) -> None:
    mirror = Mirror(3)
    mirror.answers["en/sets/lan1"]["cards"].insert(1, odd)
    summary = mirror.fetch(tmp_path)
    assert (summary.printings, summary.missing) == (3, 1)
    assert mirror.said[0].startswith(f"set lan1 (en): skipped {named}: ")


@pytest.mark.parametrize(
    ("fact", "value"),
    [
        ("cardCount", {"official": "three"}),
        ("serie", None),
        ("releaseDate", 2025),
        ("abbreviation", []),
    ],
)
def test_an_odd_fact_of_a_set_is_left_out(tmp_path: Path, fact: str, value: object) -> None:
    mirror = Mirror(3, **{fact: value})
    summary = mirror.fetch(tmp_path)
    assert (summary.printings, summary.missing) == (3, 1)
    assert mirror.said[0].startswith(f"set lan1 (en): {fact} is left out: Expected ")
    assert sets_of(tmp_path)["lan1"].names == {"en": "Lanterns"}


def test_an_odd_set_is_one_line(tmp_path: Path) -> None:
    mirror = Mirror(3)
    mirror.answers["en/sets"] += [
        {"id": "../up", "name": "Up"}, {"name": "None"}, {"id": "odd1"}, {"id": "odd2"},
    ]  # fmt: skip
    mirror.answers |= {"en/sets/odd1": {"id": "odd1", "name": None}, "en/sets/odd2": [1]}
    summary = mirror.fetch(tmp_path)
    assert (summary.sets, summary.printings, summary.missing) == (1, 3, 4)
    assert mirror.said[0].startswith("the list of sets (en): skipped set '../up': ")
    assert [line.split(": ")[0] for line in mirror.said[1:]] == [
        "the list of sets (en)", "set odd1 (en)", "set odd2 (en)",
    ]  # fmt: skip


def test_a_set_with_broken_letters_is_one_line(tmp_path: Path) -> None:
    mirror = Mirror(3)
    mirror.answers["en/sets/lan1"] = b'{"id":"lan1","name":"\xff\xfe","cards":[]}'
    summary = mirror.fetch(tmp_path)
    assert (summary.sets, summary.missing) == (0, 1)
    assert mirror.said[0].startswith("set lan1 (en): skipped: not an answer about a set (")


def test_a_card_that_changed_and_failed_is_asked_for_again(tmp_path: Path) -> None:
    mirror = Mirror(3)
    mirror.fetch(tmp_path)
    changed = brief(2, name="Wick the second")
    mirror.answers["en/sets/lan1"]["cards"][1] = changed
    mirror.answers["en/cards/lan1-2"] = None
    assert mirror.fetch(tmp_path).missing == 1
    assert sets_of(tmp_path)["lan1"].printings[1].artist == "A"
    mirror.answers["en/cards/lan1-2"] = {**changed, "illustrator": "B"}
    assert mirror.fetch(tmp_path).missing == 0
    assert sets_of(tmp_path)["lan1"].printings[1].artist == "B"
    mirror.calls.clear()
    mirror.fetch(tmp_path)
    assert not any(path.startswith("en/cards") for path in mirror.calls)


@pytest.mark.parametrize(
    ("counts", "cards", "says"),
    [
        ({"total": 5, "official": 3}, 3, "the source lists 3 of its 5 cards"),
        ({"official": 4}, 0, "the source lists 0 of its 4 cards"),
        ({"total": 0, "official": 4}, 0, ""),
        ({"official": 4}, 3, ""),
    ],
)
def test_a_set_that_lists_too_few_cards_is_not_complete(
    tmp_path: Path, counts: dict[str, int], cards: int, says: str
) -> None:
    mirror = Mirror(cards, cardCount=counts)
    summary = mirror.fetch(tmp_path)
    assert (summary.sets, summary.missing) == (1, bool(says))
    assert mirror.said == ([f"set lan1 (international): {says}"] if says else [])
    assert read_index(tmp_path).complete is not bool(says)


def test_a_set_whose_cards_were_lost_is_not_complete(stand_in: StandIn, tmp_path: Path) -> None:
    stand_in.control("lose", "lan1", 2)
    said: list[str] = []
    fetch(stand_in, tmp_path, said=said, languages=("en", "fr"))
    assert said == ["set lan1 (international): the source lists 12 of its 14 cards"]
    words = ["fetch", "--out", str(tmp_path), "--url", stand_in.url, "--images", "none"]
    told = CliRunner().invoke(catalogue, words)
    assert "18 cards" in told.stdout
    assert "1 things could not be had: what was fetched stays" in str(told.exception)
    fetch(stand_in, tmp_path, said=said, sets=frozenset({"mot2"}))
    assert not read_index(tmp_path).complete, "one set fetched makes the others no more complete"


def test_lines_about_many_cards_end_in_a_count(tmp_path: Path) -> None:
    mirror = Mirror(40)
    for number in range(1, 41):
        mirror.answers[f"en/cards/lan1-{number}"] = httpx.Response(404)
    summary = mirror.fetch(tmp_path)
    assert summary.missing == 40
    assert len([line for line in mirror.said if line.startswith("card ")]) == MAX_LINES
    assert "30 more lines about cards" in mirror.said


def test_few_lines_are_said_as_they_come() -> None:
    said: list[str] = []
    few = FewLines(said.append)
    few.say("cards", "one")
    few.end()
    assert said == ["one"]


def http(answer: Callable[[httpx.Request], httpx.Response], **more: Any) -> TcgdexHttp:
    transport = httpx.MockTransport(answer)
    url = more.pop("url", "http://mirror/v2")
    return TcgdexHttp(url, connections=1, transport=transport, **{"sleep": lambda _: None, **more})


def test_a_server_that_asks_for_a_day_ends_the_run_and_for_seconds_is_waited_for() -> None:
    calls, said, slept = list[str](), list[str](), list[float]()

    def busy(seconds: int) -> Callable[[httpx.Request], httpx.Response]:
        def answer(request: httpx.Request) -> httpx.Response:
            calls.append(str(request.url))
            return httpx.Response(429, headers={"retry-after": str(seconds)})

        return answer

    with (
        closing(http(busy(86400))) as api,
        pytest.raises(
            Stop, match=r"asks to be left alone for 1 day, 0:00:00: what was fetched stays"
        ),
    ):
        api.json("en/sets", list[str])
    assert len(calls) == 1
    clock = [0.0]

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        clock[0] += seconds

    waiting = http(busy(60), say=said.append, sleep=sleep, clock=lambda: clock[0])
    with closing(waiting) as api, pytest.raises(Retry):
        api.json("en/sets", list[str])
    assert said[0].endswith("answered 429 Too Many Requests: waiting for 60 s, as it asks")
    assert min(slept) >= 60


def test_an_answer_that_drips_ends() -> None:
    clock = [0.0]

    class Drip(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            while True:
                clock[0] += 20
                yield b" "

    api = http(lambda _: httpx.Response(200, stream=Drip()), clock=lambda: clock[0])
    with closing(api), pytest.raises(Retry, match="took more than 120 s"):
        api.json("en/sets", list[str])
    assert clock[0] <= TRIES * (LONGEST_ANSWER_S + 40)


def test_a_password_goes_to_the_server_alone_and_is_neither_stored_nor_said() -> None:
    sent: dict[str, str | None] = {}

    def answer(request: httpx.Request) -> httpx.Response:
        sent[request.url.host] = request.headers.get("authorization")
        return httpx.Response(404)

    api = http(answer, url="http://reader:s3cret@mirror/v2/")
    assert api.url == "http://mirror/v2"
    with closing(api):
        with pytest.raises(Park) as error:
            api.json("en/sets", list[str])
        with pytest.raises(Park):
            api.picture("http://elsewhere/a.jpg")
    assert "s3cret" not in str(error.value)
    assert sent == {"mirror": "Basic cmVhZGVyOnMzY3JldA==", "elsewhere": None}
    for url in (
        "http://reader:s3cret@[bad/",
        "ftp://reader:s3cret@mirror/",
        "http:///v2",
        "mirror/v2",
    ):
        with pytest.raises(Stop, match="--url") as refused:
            http(answer, url=url)
        assert "s3cret" not in str(refused.value)


def test_waiting_ends_when_a_fetch_is_ended() -> None:
    api = TcgdexHttp(
        "http://mirror/v2",
        connections=1,
        transport=httpx.MockTransport(
            lambda _: httpx.Response(429, headers={"retry-after": "299"})
        ),
    )
    threading.Timer(0.05, api.interrupt).start()
    with closing(api), pytest.raises(Stop, match="it was ended"):
        api.json("en/sets", list[str])


def test_ctrl_c_says_how_to_go_on(stand_in: StandIn, tmp_path: Path) -> None:
    before = stand_in.control("fault", "rate-limited", 1)["calls"]
    words = ["cardmint-edge", "catalogue", "fetch", "--url", stand_in.url, "--out", str(tmp_path)]
    with subprocess.Popen(installed_script(words), stderr=subprocess.PIPE, text=True) as process:
        until(lambda: stand_in.control()["calls"] > before)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert said.splitlines()[-1] == (
        "cardmint-edge: ended: what was fetched stays; run the command again to go on"
    )


def test_english_comes_with_every_language(stand_in: StandIn, tmp_path: Path) -> None:
    words = ["fetch", "--out", str(tmp_path), "--url", stand_in.url, "--images", "none"]
    told = CliRunner().invoke(catalogue, [*words, "--language", "FR"])
    assert told.exit_code == 0, told.exception
    assert "English is fetched, too, and first: " in told.stderr
    assert read_index(tmp_path).languages == ("en", "fr")
    wick = sets_of(tmp_path)["lan1"].printings[0]
    assert wick.names == {"en": "Wick 1", "fr": "Mèche Wick 1"}
    assert wick.attacks == ({"en": "Glow 1"},)


def test_an_odd_set_of_a_folder_is_one_line(tmp_path: Path) -> None:
    data = write_database(tmp_path / "data", cards=4)
    sets = json.loads((data / "sets.json").read_text())
    odd = [{**sets[1], "official": "thirty"}, {"region": "asia"}, 7]
    (data / "sets.json").write_text(json.dumps([sets[0], *odd, sets[2]]))
    said: list[str] = []
    summary = import_folder(data, tmp_path / "out", warn=said.append)
    assert (summary.sets, summary.printings, summary.skipped) == (2, 9, 3)
    assert [line.split(": ")[1] for line in said] == [
        "skipped set 'mot2'", "skipped set '?'", "skipped an entry that is no set",
    ]  # fmt: skip
    assert summary.incomplete == "3 entries of its list of sets cannot be read"
    assert not read_index(tmp_path / "out").complete
    built: list[str] = []
    build(data, None, tmp_path / "pack.sqlite", built.append)
    assert built == said
    english = tmp_path / "english"
    (english / "sets").mkdir(parents=True)
    (english / "cards" / "en").mkdir(parents=True)
    (english / "sets/en.json").write_text(json.dumps([{"id": None}, {"id": "old1", "name": "Old"}]))
    (english / "cards/en/old1.json").write_text(
        json.dumps([{"id": "old1-1", "name": "A", "number": "1"}])
    )
    opened = open_catalogue(english)
    assert (len(opened.sets), len(opened.odd)) == (1, 1)


def test_a_catalogue_without_english_says_so_when_it_is_built(tmp_path: Path) -> None:
    data, said = write_database(tmp_path / "data", cards=4), list[str]()
    import_folder(data, tmp_path / "fr", ImportRequest(languages=("fr",)), warn=pytest.fail)
    build(tmp_path / "fr", None, tmp_path / "pack.sqlite", said.append)
    assert len(said) == 1
    assert "no card has an English name, which stations need to read print" in said[0]


def test_a_picture_that_cannot_be_read_is_fetched_again_as_the_build_says(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (337, 245, 3), dtype=np.uint8)
    sound = cv2.imencode(".jpg", noise)[1].tobytes()
    mirror = Mirror(1)
    mirror.answers["en/cards/lan1-1"] = brief(1, image="http://mirror/v2/1")
    mirror.answers["1/low.jpg"] = sound
    mirror.fetch(tmp_path, size="low")
    picture, said = tmp_path / "images" / "lan1-1.jpg", list[str]()
    junk = sound[:20] + b"x" * (len(sound) - 40) + sound[-20:]
    picture.write_bytes(junk)
    records = tmp_path / "answers" / "pictures.jsonl"
    before, after = (hashlib.sha256(one).hexdigest() for one in (sound, junk))
    records.write_text(records.read_text().replace(before, after))
    build(tmp_path, None, tmp_path / "pack.sqlite", said.append)
    assert len(said) == 1
    assert said[0].startswith(f"{picture}: skipped, ")
    assert said[0].count(str(picture)) == 1
    assert said[0].endswith(": `cardmint-edge catalogue fetch --refresh` fetches it again")
    assert mirror.fetch(tmp_path, size="low", refresh=True).pictures == 1
    assert picture.read_bytes() == sound

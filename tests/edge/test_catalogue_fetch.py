"""Fetching a catalogue: all of it, only what changed, whatever goes wrong in between."""

import errno
import json
import os
import random
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
from click.testing import CliRunner
from tests.edge.kit.catalogue import (
    StandIn,
    content,
    fetch,
    sets_of,
    write_database,
    write_pictures,
)

from cardmint_contracts.catalogue import Printing
from cardmint_edge.adapters.catalogue_folder import read_index
from cardmint_edge.adapters.tcgdex_http import (
    NoSense,
    NotThere,
    TcgdexHttp,
    is_picture,
    retry_after,
)
from cardmint_edge.catalogue_commands import catalogue
from cardmint_edge.catalogue_import import import_folder
from cardmint_edge.errors import Park, Retry, Stop
from cardmint_edge.progress import LineProgress, TerminalProgress, progress_for_stderr
from cardmint_lab.system import installed_script

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_database(tmp_path_factory.mktemp("database"))


@pytest.fixture(scope="module")
def server(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    one = StandIn(data, write_pictures(tmp_path_factory.mktemp("pictures")))
    yield one
    one.close()


@pytest.fixture
def stand_in(server: StandIn) -> Iterator[StandIn]:
    yield server
    server.control("fault", "none", 0)
    for set_id in ("lan1", "mot2"):
        server.control("hide", set_id, 0)


def test_everything_comes_and_a_second_run_receives_nothing(
    stand_in: StandIn, tmp_path: Path
) -> None:
    first, _ = fetch(stand_in, tmp_path, size="low")
    assert (first.sets, first.printings, first.changed, first.pictures) == (2, 60, 2, 3)
    lanterns = sets_of(tmp_path)["lan1"]
    assert (lanterns.code, lanterns.official, lanterns.names) == ("LAN", 40, {"en": "Lanterns"})
    one: Printing = lanterns.printings[0]
    assert (one.names, one.attacks, one.ids.tcgdex) == (
        {"en": "Wick 1"}, ({"en": "Glow 1"},), "lan1-001",
    )  # fmt: skip
    assert sorted(path.name for path in (tmp_path / "images").iterdir()) == [
        "lan1-1.jpg", "lan1-2.jpg", "lan1-3.jpg",
    ]  # fmt: skip
    before = content(tmp_path)
    second, api = fetch(stand_in, tmp_path, size="low")
    assert (second.changed, second.pictures, api.received) == (0, 0, 0)
    assert api.calls == 3, "the list and two sets"
    assert content(tmp_path) == before
    assert read_index(tmp_path).complete


def test_other_languages_bring_names_by_set_and_attacks_when_asked(
    stand_in: StandIn, tmp_path: Path
) -> None:
    _, api = fetch(stand_in, tmp_path, languages=("en", "fr", "ja"))
    sets = sets_of(tmp_path)
    assert sets["lan1"].printings[0].names == {"en": "Wick 1", "fr": "Mèche Wick 1"}
    assert sets["lan1"].printings[0].attacks == ({"en": "Glow 1"},)
    assert sets["lan1"].codes == {"fr": "LNT"}
    assert (sets["FAR3"].code, len(sets["FAR3"].printings)) == ("FAR3", 5)
    assert api.calls == 3 + 5 + 60 + 5
    fetch(stand_in, tmp_path, languages=("en", "fr"), every_text=True)
    assert sets_of(tmp_path)["lan1"].printings[0].attacks == ({"en": "Glow 1", "fr": "Lueur 1"},)
    fetch(stand_in, tmp_path, languages=("en",))
    assert sets_of(tmp_path)["lan1"].printings[0].names["fr"] == "Mèche Wick 1"
    assert read_index(tmp_path).languages == ("en", "fr", "ja")


def test_one_set_may_be_fetched_and_a_set_that_grows_costs_its_new_cards(
    stand_in: StandIn, tmp_path: Path
) -> None:
    stand_in.control("hide", "lan1", 5)
    summary, _ = fetch(stand_in, tmp_path, sets=frozenset({"lan1"}))
    assert (summary.sets, summary.printings) == (1, 35)
    stand_in.control("hide", "lan1", 0)
    summary, api = fetch(stand_in, tmp_path, sets=frozenset({"lan1"}))
    assert (summary.changed, summary.printings) == (1, 40)
    assert api.received == 1 + 5, "the set and its new cards"
    summary, api = fetch(stand_in, tmp_path, sets=frozenset({"lan1"}), refresh=True)
    assert (summary.changed, api.received, api.calls) == (0, 0, 2 + 40)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sets": frozenset({"lan2"})}, "set lan2: .* lists no such set; there are lan1"),
        ({"sets": frozenset({"lan1", "xyzzy"})}, r"set xyzzy: .* lists no such set \(a set's"),
        ({"sets": frozenset({"LAN1"})}, r"set LAN1: .*; --set takes lan1 \(a set's identifier"),
        ({"sets": frozenset({"lanterns"})}, "; --set takes lan1"),
        ({"languages": ("xx",)}, "language xx: .* lists no sets in it"),
    ],
)
def test_what_the_server_has_not_is_said_and_nothing_is_written(
    stand_in: StandIn, tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(Stop, match=said):
        fetch(stand_in, tmp_path, **changes)
    assert not (tmp_path / "catalogue.json").exists()


def test_a_set_that_vanished_is_kept_in_one_line(stand_in: StandIn, tmp_path: Path) -> None:
    fetch(stand_in, tmp_path)
    before = content(tmp_path)
    stand_in.control("hide", "mot2", -1)
    said: list[str] = []
    summary, _ = fetch(stand_in, tmp_path, said=said)
    assert said == ["set mot2 (en): no longer in the list: kept as it was"]
    assert (summary.sets, summary.skipped) == (2, 1)
    assert content(tmp_path) == before


@pytest.mark.parametrize("fault", ["rate-limited", "broken", "half-body", "wrong-length", "html"])
def test_what_passes_is_tried_again_and_changes_nothing(
    fault: str, stand_in: StandIn, tmp_path: Path
) -> None:
    fetch(stand_in, tmp_path / "sound")
    stand_in.control("fault", fault, 7)
    sleeps: list[float] = []
    fetch(stand_in, tmp_path / "faulty", sleeps=sleeps)
    assert sleeps
    assert content(tmp_path / "faulty") == content(tmp_path / "sound")
    if fault == "rate-limited":
        assert max(sleeps) >= 1, "Retry-After"


def test_a_card_that_is_gone_or_another_is_one_line_and_comes_with_the_next_run(
    stand_in: StandIn, tmp_path: Path
) -> None:
    fetch(stand_in, tmp_path / "sound")
    for fault, says in (("gone", "answered 404"), ("other-card", "the answer is about")):
        out, said = tmp_path / fault, list[str]()
        # One answer of a set or a card is wrong; the lists, which come first, are sound.
        stand_in.control("fault", fault, stand_in.control()["calls"] + 15)
        fetch(stand_in, out, said=said)
        assert any(says in line for line in said)
        assert all(line.startswith(("card ", "set ")) for line in said)
        stand_in.control("fault", "none", 0)
        fetch(stand_in, out, said=[])
        assert content(out) == content(tmp_path / "sound")


@pytest.mark.parametrize("fault", ["gone", "other-card"])
def test_a_set_without_a_sound_answer_is_left_out_or_kept(
    fault: str, stand_in: StandIn, tmp_path: Path
) -> None:
    said: list[str] = []
    stand_in.control("hide", "lan1", 1)
    fetch(stand_in, tmp_path / "known")
    before = content(tmp_path / "known")
    stand_in.control("hide", "lan1", 0)
    for folder in ("known", "new"):
        state = stand_in.control("fault", "none", 0)
        # The list comes soundly, and all after it do not.
        stand_in.control("fault", fault, state["calls"] + 2)
        fetch(stand_in, tmp_path / folder, said=said, sets=frozenset({"lan1"}))
    assert len([line for line in said if line.startswith("set lan1")]) == 2
    assert (
        content(tmp_path / "known")["sets/international/lan1.json"]
        == (before["sets/international/lan1.json"])
    )
    assert sets_of(tmp_path / "new") == {}


def test_a_server_that_stays_away_ends_the_run_and_the_next_goes_on(
    stand_in: StandIn, tmp_path: Path
) -> None:
    fetch(stand_in, tmp_path, sets=frozenset({"lan1"}))
    stand_in.control("fault", "broken", 1)
    with pytest.raises(Retry, match=r"answered 500 .*run the command again"):
        fetch(stand_in, tmp_path)
    stand_in.control("fault", "none", 0)
    summary, _ = fetch(stand_in, tmp_path)
    assert summary.printings == 60


def test_damaged_files_are_fetched_or_written_again(stand_in: StandIn, tmp_path: Path) -> None:
    fetch(stand_in, tmp_path)
    before = content(tmp_path)
    (tmp_path / "sets/international/lan1.json").write_bytes(b"{")
    (tmp_path / "answers/en/mot2.json").write_bytes(b"{")
    (tmp_path / "answers/en.json").unlink()
    fetch(stand_in, tmp_path)
    assert content(tmp_path) == before


def test_a_full_disk_is_one_line_and_what_is_there_stays(
    stand_in: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch(stand_in, tmp_path, sets=frozenset({"mot2"}))
    before = content(tmp_path)
    room = [3]
    sound = os.fsync

    def full(descriptor: int) -> None:
        room[0] -= 1
        if room[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sound(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Stop, match=r"No space left on device.*the next run goes on"):
        fetch(stand_in, tmp_path)
    monkeypatch.undo()
    assert content(tmp_path) == before
    summary, _ = fetch(stand_in, tmp_path)
    assert summary.printings == 60


def test_it_may_be_killed_at_any_moment(stand_in: StandIn, tmp_path: Path) -> None:
    words = ["catalogue", "fetch", "--url", stand_in.url, "--language", "en,fr"]
    command = installed_script(["cardmint-edge", *words])
    subprocess.run([*command, "--out", str(tmp_path / "whole")], check=True)
    whole, out = content(tmp_path / "whole"), tmp_path / "killed"
    chance, killed = random.Random(7), 0
    for _ in range(20):
        if (out / "catalogue.json").exists() and read_index(out).complete:
            assert content(out) == whole
            shutil.rmtree(out)
        with subprocess.Popen([*command, "--out", str(out)]) as process:
            # From before the first request to after the last.
            time.sleep(chance.uniform(0.25, 0.8))
            process.send_signal(signal.SIGKILL)
        killed += process.returncode == -signal.SIGKILL
        if (out / "catalogue.json").exists():
            sets_of(out)
    assert killed >= 5
    subprocess.run([*command, "--out", str(tmp_path / "killed")], check=True)
    assert content(tmp_path / "killed") == content(tmp_path / "whole")
    assert len(list((tmp_path / "killed" / "images").iterdir())) == 3


def test_a_downloaded_folder_becomes_a_catalogue_without_a_network(
    data: Path, tmp_path: Path
) -> None:
    summary = import_folder(data, tmp_path / "out", warn=pytest.fail)
    assert (summary.sets, summary.printings, summary.changed) == (3, 65, 3)
    again = import_folder(data, tmp_path / "out", warn=pytest.fail)
    assert again.changed == 0
    assert read_index(tmp_path / "out").languages == ("en", "fr", "ja", "th")
    english = tmp_path / "english"
    (english / "sets").mkdir(parents=True)
    (english / "cards" / "en").mkdir(parents=True)
    (english / "sets" / "en.json").write_text(json.dumps([{"id": "old1", "name": "Old"}]))
    (english / "cards/en/old1.json").write_text(
        json.dumps([{"id": "old1-1", "name": "A", "number": "1"}, {"id": "old1-2", "name": "B"}])
    )
    (english / "cards/en/older.json").write_text("{")
    said: list[str] = []
    both = import_folder(english, tmp_path / "out", warn=said.append)
    assert (both.sets, both.skipped, len(said)) == (4, 2, 3)
    assert said[2].endswith("nothing says how old it is: it is taken to be of today")
    assert both.incomplete == "1 sets cannot be read, such as older"
    assert not read_index(tmp_path / "out").complete
    copied = import_folder(tmp_path / "out", tmp_path / "copy", warn=pytest.fail)
    assert (copied.sets, copied.printings) == (4, 66)
    copy = {one.id: one.origin for one in read_index(tmp_path / "copy").sets}
    assert (copy["old1"], copy["lan1"]) == ("pokemon-tcg-data", "tcgdex-database")


def test_the_command_says_what_it_did(stand_in: StandIn, data: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    told = CliRunner().invoke(
        catalogue, ["fetch", "--out", out, "--url", stand_in.url, "--images", "none"]
    )
    assert told.exit_code == 0, told.output
    assert "2 sets, 2 new or changed, 60 cards, 0 new pictures, 0 skipped" in told.stdout
    assert "cards: 60 of 60" in told.stderr
    told = CliRunner().invoke(catalogue, ["fetch", "--out", out, "--from", str(data)])
    assert "2 of these sets, such as lan1, are there from another" in str(told.exception)
    told = CliRunner().invoke(catalogue, ["fetch", "--out", out, "--from", str(data), "--replace"])
    assert "3 sets, 3 new or changed" in told.stdout
    assert told.stdout.endswith(", of 2025-03-28\n")
    for arguments, says in (
        (["--language", "english please"], "not a language"),
        (["--language", ","], "--language is empty"),
        (["--url", "ftp://x"], "does not begin with"),
        (["--url", stand_in.url.removesuffix("/v2")], "404.*--url takes .* up to its version"),
        (["--from", "/none"], "--from /none: No such file or directory: it takes a folder"),
        (["--from", str(data), "--texts"], "--texts does not go with --from"),
        (["--from", str(data), "--images", "high"], "--images does not go with --from"),
        (["--from", str(data), "--language", "klingon!"], "not a language"),
    ):
        told = CliRunner().invoke(catalogue, ["fetch", "--out", out, *arguments])
        assert re.search(says, str(told.exception)), told.exception


def http(answer: Callable[[httpx.Request], httpx.Response]) -> TcgdexHttp:
    return TcgdexHttp(
        "http://mirror/v2/",
        connections=1,
        transport=httpx.MockTransport(answer),
        sleep=lambda _: None,
    )


def test_answers_are_told_apart_by_what_to_do_about_them() -> None:
    def status(code: int, **rest: Any) -> Callable[[httpx.Request], httpx.Response]:
        return lambda request: httpx.Response(code, **rest)

    for answer, error in (
        (status(404), NotThere),
        (status(403), Park),
        (status(408), Retry),
        (status(503, headers={"retry-after": "x"}), Retry),
        (status(200, content=b"[1]"), Park),
        (status(200, content=b"<html>"), NoSense),
        (status(200, content=b" " * (17 << 20)), NoSense),
    ):
        with closing(http(answer)) as api, pytest.raises(error):
            api.json("en/sets", list[str])
    with closing(http(status(200, content=b"[" * 100_000))) as api, pytest.raises(NoSense):
        api.json("en/sets", list[Any])
    with closing(http(status(200, content=b"<html>"))) as api, pytest.raises(Park):
        api.picture("http://mirror/a.jpg")
    agents: list[str] = []

    def tell(request: httpx.Request) -> httpx.Response:
        agents.append(request.headers["user-agent"])
        return httpx.Response(200, content=b"[]", headers={"etag": '"1"'})

    with closing(http(tell)) as api:
        assert api.json("en/sets", list[str]).etag == '"1"'
    assert agents[0].startswith("cardmint-edge/")


def test_a_proxy_that_cannot_be_used_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "nonsense://proxy")
    monkeypatch.delenv("NO_PROXY", raising=False)
    with pytest.raises(Stop, match="the proxy"):
        TcgdexHttp("https://mirror/v2", connections=1)


def test_retry_after_is_seconds_or_a_date() -> None:
    now = datetime(2026, 11, 27, 12, tzinfo=UTC)
    assert retry_after("7", now) == 7
    assert retry_after("Fri, 27 Nov 2026 12:00:30 GMT", now) == 30
    assert retry_after("Fri, 27 Nov 2026 11:00:30 GMT", now) == 0
    assert retry_after("86400", now) == 86400
    assert retry_after("soon", now) == 0


@pytest.mark.parametrize("kind", [".jpg", ".png", ".webp"])
def test_a_picture_is_whole_or_none(kind: str) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (90, 70, 3), dtype=np.uint8)
    content = cv2.imencode(kind, noise)[1].tobytes()
    assert is_picture(content)
    assert is_picture(content + b"\0" * 9), "some programs write a little more"
    assert not is_picture(content[: len(content) // 2])
    assert not is_picture(content[:-2])
    assert not is_picture(b"<!doctype html>" + content[15:])


def test_progress_on_a_terminal_is_a_bar(capsys: pytest.CaptureFixture[str]) -> None:
    progress = TerminalProgress()
    progress.begin("cards", 2)
    progress.advance()
    progress.end()
    progress.begin("pictures", 0)
    progress.advance()
    progress.end()
    assert "cards" in capsys.readouterr().err
    assert isinstance(progress_for_stderr(), LineProgress)


def test_progress_is_a_line_every_ten_seconds() -> None:
    seconds, lines = [0.0], list[str]()
    progress = LineProgress(lines.append, lambda: seconds[0])
    progress.begin("cards", 4)
    for _ in range(4):
        seconds[0] += 6
        progress.advance()
    progress.end()
    progress.begin("pictures", 0)
    progress.end()
    assert lines == ["cards: 2 of 4, 12 s left", "cards: 4 of 4, 0 s left", "cards: 4 of 4"]

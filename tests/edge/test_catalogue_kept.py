"""What stays of a catalogue when its sources shrink, differ, break, or come by halves."""

import fcntl
import json
import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.edge.kit.catalogue import (
    StandIn,
    card,
    content,
    fetch,
    serving,
    sets_of,
    write_database,
)

from cardmint_edge.adapters.catalogue_folder import open_catalogue, read_index
from cardmint_edge.adapters.only_writer import LOCK_FILE
from cardmint_edge.catalogue_import import ImportRequest, import_folder
from cardmint_edge.errors import Retry, Stop

pytestmark = pytest.mark.integration
NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    with serving(tmp_path_factory.mktemp("catalogue"), cards=20) as one:
        yield one


@pytest.fixture
def stand_in(server: StandIn) -> Iterator[StandIn]:
    yield server
    server.control("fault", "none", 0)
    for set_id in ("lan1", "mot2"):
        server.control("hide", set_id, 0)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_database(tmp_path / "data", cards=20)


def take(source: Path, out: Path, said: list[str] | None = None, **request: Any) -> Any:
    warn = pytest.fail if said is None else said.append
    return import_folder(source, out, ImportRequest(**request), warn=warn, now=lambda: NOON)


def change(data: Path, name: str, cards: list[dict[str, Any]]) -> None:
    (data / "cards" / f"{name}.json").write_text(json.dumps(cards))


def test_a_set_that_shrinks_keeps_its_cards_until_told_otherwise(
    stand_in: StandIn, tmp_path: Path
) -> None:
    fetch(stand_in, tmp_path, languages=("en", "fr"))
    before = content(tmp_path)
    stand_in.control("hide", "lan1", 5)
    said: list[str] = []
    summary, _ = fetch(stand_in, tmp_path, languages=("en", "fr"), said=said)
    lost = "5 cards are no longer in the source, such as lan1-16"
    assert said == [f"set lan1 (international): {lost}: kept; --replace takes them out"]
    assert summary.printings == 30
    assert content(tmp_path) == before
    summary, _ = fetch(stand_in, tmp_path, languages=("en", "fr"), said=said)
    assert (summary.changed, len(said)) == (0, 1), "said when it happens"
    summary, _ = fetch(stand_in, tmp_path, languages=("en", "fr"), replace=True)
    assert (summary.changed, summary.printings) == (1, 25)


def test_sets_that_are_gone_are_taken_out_only_by_replacing(
    stand_in: StandIn, tmp_path: Path
) -> None:
    fetch(stand_in, tmp_path, languages=("en", "ja"))
    stand_in.control("hide", "mot2", -1)
    said: list[str] = []
    fetch(stand_in, tmp_path, said=said, sets=frozenset({"lan1"}), replace=True)
    assert set(sets_of(tmp_path)) == {"lan1", "mot2", "FAR3"}
    fetch(stand_in, tmp_path, said=said, replace=True)
    assert set(sets_of(tmp_path)) == {"lan1", "FAR3"}, "Asian sets were not asked about"
    assert said[-1] == "1 sets that the source lacks are taken out, such as mot2"


def test_a_damaged_file_of_a_set_that_shrank_is_said(stand_in: StandIn, tmp_path: Path) -> None:
    fetch(stand_in, tmp_path)
    stand_in.control("hide", "lan1", 5)
    (tmp_path / "sets/international/lan1.json").write_bytes(b"{")
    said: list[str] = []
    fetch(stand_in, tmp_path, said=said)
    assert said == [
        "set lan1 (international): its file was damaged: 5 cards that the source lacks are lost"
    ]


def test_a_source_that_shrinks_keeps_cards_and_names(data: Path, tmp_path: Path) -> None:
    out, said = tmp_path / "out", list[str]()
    take(data, out)
    english = [{**card(n), "name": {"en": f"Wick {n}"}} for n in range(1, 16)]
    change(data, "international/lan1", english)
    sets = json.loads((data / "sets.json").read_text())
    (data / "sets.json").write_text(json.dumps(sets[:2]))
    summary = take(data, out, said)
    assert said[0].startswith("set lan1 (international): 5 cards are no longer in the source")
    assert said[1] == f"1 sets are not in {data}, such as FAR3: kept; --replace takes them out"
    assert len(said) == 2, "no name of lan1 in French: it was not read in French"
    assert (summary.sets, summary.printings) == (3, 35)
    wick = sets_of(out)["lan1"].printings[0]
    assert wick.names == {"en": "Wick 1", "fr": "Mèche Wick 1"}
    some = [{**card(n), "name": {"en": f"Wick {n}"}} for n in range(1, 20)]
    change(data, "international/lan1", [*some, card(20)])
    said.clear()
    take(data, out, said)
    assert said[0] == (
        "names in fr (1 sets) are no longer in the source: kept; --replace takes them out"
    )
    said.clear()
    summary = take(data, out, said, replace=True)
    assert said == [f"1 sets that {data} lacks are taken out, such as FAR3"]
    assert (summary.sets, summary.printings) == (2, 30)
    assert sets_of(out)["lan1"].printings[0].names == {"en": "Wick 1"}


def write_english(folder: Path, **entry: Any) -> Path:
    (folder / "sets").mkdir(parents=True)
    (folder / "cards" / "en").mkdir(parents=True)
    sets = [{"id": "lan1", "name": "Lanterns", "total": 1, **entry}]
    (folder / "sets" / "en.json").write_text(json.dumps(sets))
    (folder / "cards/en/lan1.json").write_text(
        json.dumps([{"id": "lan1-1", "name": "Wick 1", "number": "1"}])
    )
    return folder


def test_another_kind_of_source_takes_no_sets_place_silently(
    stand_in: StandIn, data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    take(data, out)
    before = content(out)
    english = write_english(tmp_path / "english")
    refused = r"nothing written: 1 of these sets, such as lan1, are there.*\(tcgdex-database\)"
    with pytest.raises(Stop, match=refused):
        take(english, out)
    with pytest.raises(Stop, match=r"nothing written: 2 of these sets"):
        fetch(stand_in, out)
    assert content(out) == before
    fetch(stand_in, out, replace=True)
    assert sets_of(out)["lan1"].printings[0].names == {"en": "Wick 1"}
    assert {one.id: one.origin for one in read_index(out).sets} == {
        "lan1": "tcgdex", "mot2": "tcgdex", "FAR3": "tcgdex-database",
    }  # fmt: skip


def test_sets_and_languages_of_a_source_may_be_chosen(data: Path, tmp_path: Path) -> None:
    take(data, tmp_path / "fr", languages=("fr",))
    sets = sets_of(tmp_path / "fr")
    assert set(sets) == {"lan1", "mot2"}
    assert sets["lan1"].names == {"fr": "Lanternes"}
    assert sets["lan1"].printings[0].names == {"fr": "Mèche Wick 1"}
    assert sets["lan1"].printings[0].attacks == ({"fr": "Lueur 1"},)
    assert read_index(tmp_path / "fr").languages == ("fr",)
    take(data, tmp_path / "one", sets=frozenset({"mot2"}))
    assert set(sets_of(tmp_path / "one")) == {"mot2"}
    take(data, tmp_path / "one", sets=frozenset({"FAR3"}), languages=("th",), replace=True)
    assert set(sets_of(tmp_path / "one")) == {"mot2", "FAR3"}
    with pytest.raises(Stop, match=r"--language de: .* no names in it, but in en, fr, ja, th"):
        take(data, tmp_path / "none", languages=("en", "de"))
    with pytest.raises(Stop, match=r"set LNT: .* lists no such set; --set takes lan1 or mot2"):
        take(data, tmp_path / "none", sets=frozenset({"LNT"}))
    assert not (tmp_path / "none" / "catalogue.json").exists()


def test_a_source_downloaded_by_halves_is_said(data: Path, tmp_path: Path) -> None:
    (data / "cards/international/mot2.json").unlink()
    summary = take(data, tmp_path / "out")
    assert summary.incomplete == "its download is not complete: no file of cards for mot2"
    assert not read_index(tmp_path / "out").complete
    assert summary.printings == 25
    english = write_english(tmp_path / "english")
    sets = [{"id": "lan1", "total": 1}, {"id": "gone1", "total": 9}, {"id": "empty1"}]
    (english / "sets/en.json").write_text(json.dumps(sets))
    assert open_catalogue(english).incomplete.endswith("no file of cards for gone1")


def test_a_source_is_as_old_as_it_says(data: Path, tmp_path: Path) -> None:
    summary = take(data, tmp_path / "out")
    assert summary.made_at == datetime(2025, 3, 28, tzinfo=UTC), "the newest set's first day"
    english = write_english(tmp_path / "english", updatedAt="2025/09/25 15:00:00")
    updated = datetime(2025, 9, 25, 15, tzinfo=UTC)
    assert take(english, tmp_path / "english-out").made_at == updated
    newer = write_english(tmp_path / "newer", releaseDate="2026/01/30", updatedAt="2025/09/25")
    assert take(newer, tmp_path / "newer-out").made_at == datetime(2026, 1, 30, tzinfo=UTC)
    copied = take(tmp_path / "english-out", tmp_path / "copy")
    assert copied.made_at == updated
    written = datetime(2025, 2, 1, tzinfo=UTC).timestamp()
    os.utime(data / "sets.json", (written, written))
    summary = take(data, tmp_path / "early")
    assert summary.made_at == datetime(2025, 1, 10, tzinfo=UTC), "one was only announced then"
    os.utime(data / "sets.json", (0, 0))
    said: list[str] = []
    assert take(data, tmp_path / "first", said).made_at == NOON
    assert said == [f"{data}: nothing says how old it is: it is taken to be of today"]


def test_one_set_fetched_makes_the_others_no_younger(stand_in: StandIn, tmp_path: Path) -> None:
    fetch(stand_in, tmp_path)
    asked = read_index(tmp_path).made_at
    fetch(stand_in, tmp_path, sets=frozenset({"lan1"}))
    assert read_index(tmp_path).made_at == asked


def test_one_process_writes_at_a_time(stand_in: StandIn, data: Path, tmp_path: Path) -> None:
    fetch(stand_in, tmp_path)
    with (tmp_path / LOCK_FILE).open("r+") as lock:
        assert lock.read() == f"{os.getpid()}\n"
        fcntl.flock(lock, fcntl.LOCK_EX)
        said = f"another fetch .process {os.getpid()}. writes into it"
        with pytest.raises(Stop, match=said):
            fetch(stand_in, tmp_path)
        with pytest.raises(Stop, match=said):
            take(data, tmp_path)
    fetch(stand_in, tmp_path)


def test_a_broken_index_is_set_aside_and_made_anew(stand_in: StandIn, tmp_path: Path) -> None:
    fetch(stand_in, tmp_path, languages=("en", "fr"))
    before = content(tmp_path)
    stand_in.control("hide", "lan1", 5)
    for broken in (b"{", b"", b"\xff\xfe", b"[]"):
        (tmp_path / "catalogue.json").write_bytes(broken)
        said: list[str] = []
        fetch(stand_in, tmp_path, languages=("en", "fr"), said=said)
        assert re.search("set aside as catalogue.json.broken, and made anew with the 2", said[0])
        assert (tmp_path / "catalogue.json.broken").read_bytes() == broken
        assert content(tmp_path) == before, "cards that the source lacks now are there still"
    (tmp_path / "catalogue.json").write_bytes(b"{")
    (tmp_path / "sets/international/lan1.json").write_bytes(b"{}")
    (tmp_path / "sets/international/lan3.json").write_bytes(
        (tmp_path / "sets/international/mot2.json").read_bytes()
    )
    stand_in.control("fault", "broken", 1)
    with pytest.raises(Retry):
        fetch(stand_in, tmp_path, said=said)
    assert [one.id for one in read_index(tmp_path).sets] == ["mot2"]


def test_an_index_of_a_later_format_is_left_alone(stand_in: StandIn, tmp_path: Path) -> None:
    fetch(stand_in, tmp_path)
    index = json.loads((tmp_path / "catalogue.json").read_text())
    later = json.dumps({**index, "format": 9})
    (tmp_path / "catalogue.json").write_text(later)
    with pytest.raises(Stop, match=r"format 9, .* upgrade it"):
        fetch(stand_in, tmp_path)
    assert (tmp_path / "catalogue.json").read_text() == later

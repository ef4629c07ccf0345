"""Packs of a whole catalogue: all languages, variants, updates set by set, never a worse one."""

import errno
import json
import os
import re
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.edge.kit.catalogue import FAR, LANTERNS, card, write_database, write_pictures

from cardmint_contracts.cards import Card, Finish
from cardmint_contracts.catalogue import INDEX_FILE, Region, finishes_of
from cardmint_edge.adapters.pack import Pack, PackedSet
from cardmint_edge.catalogue import build
from cardmint_edge.catalogue_commands import catalogue
from cardmint_edge.catalogue_import import import_folder
from cardmint_edge.domain.catalogue.search_query import SearchQuery, parse_query
from cardmint_edge.errors import Stop
from cardmint_edge.recogniser import recogniser_of


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_database(tmp_path / "data", cards=20)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    return write_pictures(tmp_path / "pictures")


@pytest.fixture
def whole(data: Path, pictures: Path, tmp_path: Path) -> Path:
    build(data, pictures, tmp_path / "whole.sqlite", pytest.fail)
    return tmp_path / "whole.sqlite"


def cards_file(data: Path, name: str) -> Path:
    return data / "cards" / f"{name}.json"


def test_a_printing_has_its_names_texts_and_variants(whole: Path) -> None:
    with closing(Pack(whole)) as pack:
        assert pack.cards == 35
        facts = pack.facts("lan1-3")
        assert facts is not None
        assert facts.names == {"en": "Wick 3", "fr": "Mèche Wick 3"}
        assert facts.attacks == ({"en": "Glow 3", "fr": "Lueur 3"},)
        assert pack.moves("lan1-3") == [{"en": "Glow 3", "fr": "Lueur 3"}]
        assert pack.moves("none-1") == []
        assert (facts.health, facts.artist, facts.copyright_year) == ("60", "A. Painter", 2025)
        assert finishes_of(pack.variants("lan1-3")) == (Finish.NORMAL, Finish.REVERSE_HOLO)
        assert finishes_of(pack.variants("lan1-4")) == (Finish.HOLO,)
        assert pack.variants("FAR3-1") == pack.variants("none-1") == ()
        assert pack.named("lan1-3", "fr") == Card(
            id="lan1-3", name="Mèche Wick 3", number="3", set_id="lan1", set_name="Lanternes"
        )
        assert pack.named("FAR3-1", "en") == Card(
            id="FAR3-1", name="とおい1", number="1", set_id="FAR3", set_name="とおい"
        )
        assert pack.named("none-1", "fr") is None


def test_sets_say_what_their_cards_print(whole: Path) -> None:
    with closing(Pack(whole)) as pack:
        first, _, asian = pack.sets()
        assert first == PackedSet(
            id="lan1",
            region=Region.INTERNATIONAL,
            names={"en": "Lanterns", "fr": "Lanternes"},
            codes=("LAN", "LNT"),
            official=40,
            released="2025-03-28",
            cards=20,
        )
        assert (asian.id, asian.codes, asian.official) == ("FAR3", ("FAR3",), 20)
        assert pack.made_at is not None


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("3/40", "lan1-3"),
        ("003/040 wick", "lan1-3"),
        ("LAN 7", "lan1-7"),
        ("lnt 007", "lan1-7"),
        ("mèche moth 2", "mot2-2"),
        ("meche phalènes 02", "mot2-2"),
        ("とおい3", "FAR3-3"),
        ("ไกล4", "FAR3-4"),
        ("FAR3 5", "FAR3-5"),
        ("5 / 20", "FAR3-5"),
    ],
)
def test_a_printing_is_found_by_what_is_printed_on_it(whole: Path, text: str, found: str) -> None:
    with closing(Pack(whole)) as pack:
        assert pack.search(text, language="fr")[0].id == found


def test_what_is_found_is_named_in_the_language(whole: Path) -> None:
    with closing(Pack(whole)) as pack:
        assert pack.search("wick 3", language="fr")[0].name == "Mèche Wick 3"
        assert pack.search("wick 3")[0].name == "Wick 3"
        assert pack.search("3/41") == []
        assert len(pack.search("/ wick", limit=5)) == 5


def test_a_query_is_words_and_a_printed_number() -> None:
    assert parse_query("tg05/TG30 bea") == SearchQuery(
        words=("bea",), number="TG05", total=30, exact="TG05"
    )
    assert parse_query("0/12") == SearchQuery(words=(), number="", total=12)
    assert parse_query("!? ...") is None


def test_the_reader_is_given_only_what_stands_on_english_cards(data: Path, tmp_path: Path) -> None:
    french = {**card(90), "name": {"fr": "Seulement"}}
    file = cards_file(data, "international/lan1")
    file.write_text(json.dumps([*json.loads(file.read_text()), french]))
    build(data, tmp_path, tmp_path / "pack.sqlite", pytest.fail)
    with closing(Pack(tmp_path / "pack.sqlite")) as pack:
        prints = {one.card_id: one for one in pack.prints()}
        assert len(prints) == 30
        assert not prints["lan1-1"].promo
        assert pack.search("seulement")[0].id == "lan1-90"


def test_energies_are_known_by_their_category_or_by_their_name(data: Path, tmp_path: Path) -> None:
    file = cards_file(data, "international/lan1")
    energies = {
        91: {"category": "Energy", "name": {"en": "Holon Energy FF"}},
        92: {"category": "Trainer", "name": {"en": "Great Energy"}},
        93: {"category": "", "name": {"en": "Water Energy"}},
    }
    made = [{**card(number), **energy} for number, energy in energies.items()]
    file.write_text(json.dumps([*json.loads(file.read_text()), *made]))
    build(data, tmp_path, tmp_path / "pack.sqlite", pytest.fail)
    with closing(Pack(tmp_path / "pack.sqlite")) as pack:
        found = {one.card_id for one in pack.prints() if one.energy}
    assert found == {"lan1-91", "lan1-93"}


def test_an_update_is_the_same_as_a_new_build_and_touches_only_what_changed(
    data: Path, pictures: Path, tmp_path: Path
) -> None:
    lanterns, sets = cards_file(data, "international/lan1"), data / "sets.json"
    cards, all_sets = json.loads(lanterns.read_text()), json.loads(sets.read_text())
    # Yesterday: no moths, fewer lanterns, another picture.
    lanterns.write_text(json.dumps(cards[:-2]))
    sets.write_text(json.dumps([one for one in all_sets if one["id"] != "mot2"]))
    shutil.copy(pictures / "lan1-1.jpg", tmp_path / "kept.jpg")
    (pictures / "lan1-1.jpg").write_bytes(
        (write_pictures(tmp_path / "x", range(9, 10)) / "lan1-9.jpg").read_bytes()
    )
    out = tmp_path / "pack.sqlite"
    first = build(data, pictures, out, pytest.fail)
    assert (first.cards, first.images) == (23, 3)
    lanterns.write_text(json.dumps(cards))
    sets.write_text(json.dumps(all_sets))
    shutil.copy(tmp_path / "kept.jpg", pictures / "lan1-1.jpg")
    second = build(data, pictures, out, pytest.fail)
    anew = build(data, pictures, tmp_path / "anew.sqlite", pytest.fail)
    assert (second.version, second.cards, second.twinned, second.images) == (
        anew.version, anew.cards, anew.twinned, anew.images,
    )  # fmt: skip
    assert first.version != second.version
    with closing(Pack(out)) as pack, closing(Pack(tmp_path / "anew.sqlite")) as other:
        assert pack.search("moth 2") == other.search("moth 2") != []
        assert pack.sets() == other.sets()
        assert pack.facts("lan1-20") == other.facts("lan1-20")
        assert (pack.hashes == other.hashes).all()
    assert build(data, pictures, out, pytest.fail).version == second.version


def test_some_languages_may_be_chosen(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "pack.sqlite"
    everything = build(data, tmp_path, out, pytest.fail)
    chosen = build(data, tmp_path, out, pytest.fail, languages=["th"])
    assert chosen.version != everything.version
    with closing(Pack(out)) as pack:
        assert pack.named("lan1-3", "fr") == pack.named("lan1-3", None)
        facts, asian = pack.facts("lan1-3"), pack.named("FAR3-1", None)
        assert facts is not None
        assert facts.attacks == ({"en": "Glow 3"},)
        assert asian is not None
        assert asian.name == "ไกล1"


def test_a_worse_pack_replaces_nothing_until_it_is_told_to(
    whole: Path, data: Path, pictures: Path
) -> None:
    before = whole.read_bytes()
    sets = json.loads((data / "sets.json").read_text())
    (data / "sets.json").write_text(json.dumps([one for one in sets if one["id"] != "mot2"]))
    with pytest.raises(Stop, match=r"nothing replaced.*lacks 10 cards, 20 names .*mot2-1:"):
        build(data, pictures, whole, pytest.fail)
    assert whole.read_bytes() == before
    assert build(data, pictures, whole, pytest.fail, replace_worse=True).cards == 25
    lantern = cards_file(data, "international/lan1")
    lantern.write_text(re.sub(r', "fr": "[^"]*"', "", lantern.read_text()))
    with pytest.raises(Stop, match=r"nothing replaced.*lacks \d+ names.* as lan1-\w+ in fr:"):
        build(data, pictures, whole, pytest.fail)
    assert build(data, pictures, whole, pytest.fail, languages=["en", "th"]).cards == 25
    (pictures / "lan1-3.jpg").unlink()
    with pytest.raises(Stop, match=r"lacks 1 pictures.*lan1-3:"):
        build(data, pictures, whole, pytest.fail)
    assert not list(whole.parent.glob(".whole*"))


def test_a_folder_half_downloaded_is_said_and_builds_what_is_there(
    data: Path, pictures: Path, tmp_path: Path
) -> None:
    folder, said = tmp_path / "catalogue", list[str]()
    import_folder(data, folder, warn=pytest.fail)
    shutil.copytree(pictures, folder / "images")
    index = json.loads((folder / INDEX_FILE).read_text())
    (folder / INDEX_FILE).write_text(json.dumps({**index, "complete": False}))
    (folder / "sets/asia/FAR3.json").unlink()
    built = build(folder, None, tmp_path / "pack.sqlite", said.append)
    assert (built.cards, built.images, built.unread_sets) == (30, 3, 1)
    assert len(said) == 2
    assert "its download is not complete" in said[0]
    assert "set skipped" in said[1]


def test_a_torn_set_is_one_line_and_ends_with_1(
    data: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "catalogue"
    import_folder(data, folder, warn=pytest.fail)
    shutil.copytree(pictures, folder / "images")
    torn = folder / "sets/international/lan1.json"
    torn.write_bytes(torn.read_bytes()[:1000])
    monkeypatch.chdir(tmp_path)
    told = CliRunner().invoke(catalogue, ["build"])
    assert isinstance(told.exception, Stop)
    assert "1 sets could not be read: the pack lacks their cards" in str(told.exception)
    assert len([line for line in told.output.splitlines() if "lan1" in line]) == 2
    assert "nor those of 2 other pictures" in told.output
    assert (tmp_path / "pack.sqlite").exists()


def test_a_picture_of_two_cards_is_of_neither(data: Path, pictures: Path, tmp_path: Path) -> None:
    shutil.copy(pictures / "lan1-1.jpg", pictures / "lan1-2.jpg")
    shutil.copy(pictures / "lan1-3.jpg", pictures / "mot2-3.jpg")
    moths, said = cards_file(data, "international/mot2"), list[str]()
    reprint = {**card(3), "localId": "003"}
    moths.write_text(json.dumps([reprint, *json.loads(moths.read_text())[3:]]))
    built = build(data, pictures, tmp_path / "pack.sqlite", said.append)
    assert built.images == 2, "a reprint may have the picture of its original"
    assert [line.partition(": ")[2] for line in said] == [
        "skipped, it is the picture of lan1-2, which has other art",
        "skipped, it is the picture of lan1-1, which has other art",
    ]


def test_a_picture_that_cannot_be_read_is_said_with_its_reason(
    data: Path, pictures: Path, tmp_path: Path
) -> None:
    (pictures / "lan1-4.jpg").mkdir()
    (pictures / "lan1-5.jpg").symlink_to(pictures / "gone.jpg")
    os.mkfifo(pictures / "lan1-6.jpg")
    (pictures / "lan1-7.jpg").symlink_to(pictures / "lan1-7.jpg")
    (pictures / "lan1-8.jpg").write_bytes(b"")
    said: list[str] = []
    assert build(data, pictures, tmp_path / "pack.sqlite", said.append).images == 3
    assert [line.rpartition("/")[2] for line in said] == [
        "lan1-4.jpg: skipped, Is a directory",
        "lan1-5.jpg: skipped, No such file or directory",
        "lan1-6.jpg: skipped, not a file with content, such as a pipe",
        "lan1-7.jpg: skipped, Too many levels of symbolic links",
        "lan1-8.jpg: skipped, the file is empty",
    ]


def test_a_file_that_is_no_pack_is_left_alone(
    data: Path, pictures: Path, whole: Path, tmp_path: Path
) -> None:
    notes, other = tmp_path / "notes.txt", tmp_path / "other.sqlite"
    notes.write_text("my notes")
    with closing(sqlite3.connect(other)) as database:
        database.execute("CREATE TABLE cards (id)")
    broken = tmp_path / "broken.sqlite"
    broken.write_bytes(other.read_bytes()[:600])
    os.mkfifo(tmp_path / "pipe")
    for path in (notes, other, broken, tmp_path / "pipe"):
        for replace_worse in (False, True):
            with pytest.raises(Stop, match="it is there and is no pack: nothing written"):
                build(data, pictures, path, pytest.fail, replace_worse=replace_worse)
    assert notes.read_text() == "my notes"
    empty = tmp_path / "empty.sqlite"
    empty.touch()
    assert build(data, pictures, empty, pytest.fail).cards == 35
    with closing(sqlite3.connect(whole)) as database:
        database.execute("PRAGMA application_id = 0")
    assert build(data, pictures, whole, pytest.fail).cards == 35, "a pack of before"


def test_drafts_of_builds_that_were_killed_go(data: Path, pictures: Path, tmp_path: Path) -> None:
    with subprocess.Popen(["true"]) as ended:
        pass
    left = tmp_path / f".pack.sqlite.{ended.pid}"
    stay = [tmp_path / f".pack.sqlite.{os.getppid()}", tmp_path / ".pack.sqlite.mine"]
    for path in (left, *stay):
        path.touch()
    build(data, pictures, tmp_path / "pack.sqlite", pytest.fail)
    assert not left.exists()
    assert all(path.exists() for path in stay)


def test_a_language_without_any_name_is_refused(data: Path, pictures: Path, tmp_path: Path) -> None:
    fetched = tmp_path / "fetched"
    import_folder(data, fetched, warn=pytest.fail)
    for cards, known in ((data, ""), (fetched, ", but in en, fr, ja, th")):
        with pytest.raises(Stop, match=f"--language de: .* no names in it{known}: fetch them"):
            build(cards, pictures, tmp_path / "pack.sqlite", pytest.fail, languages=["en", "de"])
    assert not (tmp_path / "pack.sqlite").exists()
    told = CliRunner().invoke(catalogue, ["build", "--language", "klingon"])
    assert "--language klingon: not a language such as en, fr" in str(told.exception)


def test_a_set_or_card_that_another_has_already_is_one_line(data: Path, tmp_path: Path) -> None:
    sets = json.loads((data / "sets.json").read_text())
    unseen = {**LANTERNS, "id": "ex10"}, {**LANTERNS, "id": "exu"}
    (data / "sets.json").write_text(
        json.dumps([*sets, {**FAR, "region": "international"}, *unseen])
    )
    shutil.copy(cards_file(data, "asia/FAR3"), cards_file(data, "international/FAR3"))
    for name in ("ex10", "exu"):
        entries = [{"localId": "A", "name": {"en": "Unown"}}]
        cards_file(data, f"international/{name}").write_text(json.dumps(entries))
    said: list[str] = []
    assert build(data, tmp_path, tmp_path / "pack.sqlite", said.append).cards == 36
    assert said == [
        "set FAR3 (international): skipped, another set has this identifier",
        "set exu: skipped 'ex10-A': another set has it",
    ]


def test_a_full_disk_leaves_the_pack_that_is_there(
    whole: Path, data: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = whole.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Stop, match=r"No space left on device.*the pack that is there stays"):
        build(data, pictures, whole, pytest.fail)
    monkeypatch.undo()
    assert whole.read_bytes() == before
    whole.write_bytes(before[: len(before) // 2])
    assert build(data, pictures, whole, pytest.fail).cards == 35, "a damaged pack is built anew"


def test_a_pack_of_the_version_before_goes_on_working(whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "earlier.sqlite"
    shutil.copy(whole, path)
    with closing(sqlite3.connect(path)) as database:
        database.executescript(
            """
            UPDATE meta SET value = '2' WHERE key = 'schema';
            DROP TABLE sets; DROP TABLE moves; DROP TABLE cards_fts;
            CREATE TABLE earlier AS SELECT id, name, number, set_id, set_name, printed_total,
                rarity, released, art, artist, health FROM cards WHERE region = 'international';
            DROP TABLE cards; ALTER TABLE earlier RENAME TO cards;
            UPDATE cards SET name = 'Fire Energy' WHERE id = 'lan1-9';
            CREATE VIRTUAL TABLE cards_fts USING fts5(name, number, set_id, set_name,
                content='cards', tokenize='unicode61 remove_diacritics 2');
            INSERT INTO cards_fts(cards_fts) VALUES ('rebuild');
            """
        )
    with closing(Pack(path)) as pack:
        assert pack.search("wick 003", language="fr")[0].name == "Wick 3"
        assert pack.search("3/40")[0].id == "lan1-3"
        assert pack.variants("lan1-3") == ()
        assert (pack.facts("lan1-3"), pack.sets(), pack.moves("lan1-3")) == (None, (), [])
        prints = list(pack.prints())
        assert len(prints) == 30
        assert {one.card_id for one in prints if one.energy} == {"lan1-9"}
        assert recogniser_of(pack) is not None


def test_a_worse_pack_takes_no_earlier_ones_place(whole: Path, data: Path, pictures: Path) -> None:
    with closing(sqlite3.connect(whole)) as database:
        database.executescript("ALTER TABLE cards DROP COLUMN names; UPDATE meta SET value = '2'")
    (pictures / "lan1-3.jpg").unlink()
    with pytest.raises(Stop, match=r"nothing replaced.*lacks 1 pictures .*lan1-3:"):
        build(data, pictures, whole, pytest.fail)


def test_finishes_are_not_lost_silently(whole: Path, data: Path, pictures: Path) -> None:
    lantern = cards_file(data, "international/lan1")
    lantern.write_text(lantern.read_text().replace("variants", "no_variants"))
    with pytest.raises(Stop, match=r"nothing replaced.*lacks 20 finishes of cards .*lan1-1:"):
        build(data, pictures, whole, pytest.fail)


def test_the_commands_need_no_folders_named(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    runner = CliRunner()
    told = runner.invoke(catalogue, ["fetch", "--from", str(data)])
    assert told.exit_code == 0, told.output
    told = runner.invoke(catalogue, ["build"])
    assert "pack.sqlite: version" in told.stdout
    assert "35 cards" in told.stdout
    told = runner.invoke(
        catalogue, ["bridge", "--cards", "catalogue", "--pokemon-tcg", str(tmp_path)]
    )
    assert isinstance(told.exception, Stop)
    english = tmp_path / "english"
    (english / "sets").mkdir(parents=True)
    (english / "cards" / "en").mkdir(parents=True)
    (english / "sets" / "en.json").write_text("[]")
    entries = [
        {"id": "lan1-1", "name": "Wick 1", "number": "1"},
        {"id": "lan1-2", "name": "Other", "number": "2"},
        {"id": "lan1-99", "name": "Gone", "number": "99"},
    ]
    (english / "cards/en/lan1.json").write_text(json.dumps(entries))
    told = runner.invoke(
        catalogue, ["bridge", "--cards", "catalogue", "--pokemon-tcg", str(english)]
    )
    assert "only in pokemon-tcg-data: lan1-99 Gone" in told.stdout
    assert "other name: lan1-2 'Wick 2', in pokemon-tcg-data 'Other'" in told.stdout
    assert "only here: lan1-3 Wick 3" in told.stdout
    assert "set only here: mot2 Moths, 10 cards" in told.stdout
    assert "1 of pokemon-tcg-data's cards are bridged (33.33%)" in told.stdout

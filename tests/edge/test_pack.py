"""Packs: what is built in comes out, and what is no pack is refused in one line."""

import base64
import io
import json
import shutil
import sqlite3
import zlib
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace as replace_
from PIL import Image

from cardmint_contracts.cards import Edition, Finish, Money, ScanDefaults
from cardmint_contracts.catalogue import Printing, Region
from cardmint_contracts.prices import LastPrice
from cardmint_contracts.wire import encode
from cardmint_edge.adapters.pack import Pack
from cardmint_edge.catalogue import build, reference_of
from cardmint_edge.domain.catalogue.art import art_key, count_twinned
from cardmint_edge.errors import Stop
from cardmint_lab.fictional.printings import printings


def test_every_printing_and_every_look_is_in_it(pack: Pack) -> None:
    assert pack.cards == len(printings()) == len(pack.hashes)
    for card in printings():
        kept = pack.card(card.id)
        assert kept is not None
        assert (kept.name, kept.number, kept.set_id, kept.set_name) == (
            card.name, card.number, card.card_set.id, card.card_set.name,
        )  # fmt: skip
    assert pack.card("none-1") is None


def test_looks_come_back_as_they_were_taken(pack: Pack, fictional: Path) -> None:
    from cardmint_edge.adapters.decode import read_image

    row = 17
    taken = reference_of(
        pack.printing(row).id, read_image(fictional / "images" / f"{pack.printing(row).id}.jpg")
    )
    kept = pack.reference(row)
    assert np.array_equal(pack.hashes[row], taken.bits)
    assert np.array_equal(kept.features.descriptors, taken.reference.features.descriptors)
    assert np.abs(kept.features.points - taken.reference.features.points).max() < 0.02
    assert np.abs(kept.thumb.astype(int) - taken.reference.thumb).mean() < 4


def test_twins_are_the_printings_of_one_art(pack: Pack) -> None:
    by_id = {card.id: card for card in printings()}
    for row in range(len(pack.hashes)):
        card = by_id[pack.printing(row).id]
        same = {other.id for other in printings() if other.art == card.art and other.id != card.id}
        assert {twin.id for twin in pack.twins(row)} == same


def test_search_finds_by_beginnings_of_name_number_and_set(pack: Pack) -> None:
    assert pack.search("ashw")[0].name == "Ashwing"
    assert [card.id for card in pack.search("moth lantern echo")] == ["ech-7"]
    assert {card.set_id for card in pack.search("dark orchard", limit=50)} == {"drk"}
    assert pack.search("PR001")[0].number == "PR001"
    assert len(pack.search("e", limit=3)) == 3
    for odd in ("", "  ", '"', "* (", "'; DROP TABLE cards", "NEAR(", "zzzz", "é" * 500):
        assert pack.search(odd) == []


def test_the_version_follows_the_content(fictional: Path, tmp_path: Path, pack: Pack) -> None:
    again = build(fictional / "cards", fictional / "images", tmp_path / "again.sqlite", pytest.fail)
    assert again.version == pack.version
    fewer = tmp_path / "images"
    fewer.mkdir()
    shutil.copy(fictional / "images" / "emb-1.jpg", fewer)
    assert (
        build(fictional / "cards", fewer, tmp_path / "fewer.sqlite", pytest.fail).version
        != pack.version
    )


def test_last_known_prices_come_along(fictional: Path, tmp_path: Path, pack: Pack) -> None:
    images, file, said = tmp_path / "images", tmp_path / "prices.jsonl", list[str]()
    images.mkdir()
    when = datetime(2026, 11, 20, 12, tzinfo=UTC)
    any_ = LastPrice(
        card="emb-1", price=Money(minor=120, currency="EUR"), as_of=when, source="tcgdex"
    )
    known = [any_, replace_(any_, finish=Finish.HOLO), replace_(any_, finish=Finish.NORMAL)]
    stranger = replace_(known[0], card="gone-1")
    file.write_bytes(b"\n".join([*map(encode, [*known, stranger]), b'{"card":"emb-2"}', b"none"]))
    built = build(fictional / "cards", images, tmp_path / "pack.sqlite", said.append, file)
    assert (built.prices, len(said)) == (3, 2)
    with closing(Pack(tmp_path / "pack.sqlite")) as priced:
        assert priced.price("emb-1", ScanDefaults()) == known[0]
        assert (
            priced.price("emb-1", ScanDefaults(finish=Finish.HOLO, edition=Edition.FIRST))
            == known[1]
        )
        assert priced.price("emb-1", ScanDefaults(finish=Finish.REVERSE_HOLO)) == known[0]
        assert priced.price("emb-2", ScanDefaults()) is None
    said.clear()
    again = build(fictional / "cards", images, tmp_path / "pack.sqlite", said.append)
    assert said == [f"{tmp_path / 'pack.sqlite'}: its 3 prices stay: --prices brings new ones"]
    assert (again.prices, again.version) == (3, built.version)
    bare = build(fictional / "cards", images, tmp_path / "bare.sqlite", pytest.fail)
    assert bare.version != built.version, "a station takes new prices as a new pack"
    old = sqlite3.connect(tmp_path / "bare.sqlite")
    old.execute("DROP TABLE prices")
    old.close()
    with closing(Pack(tmp_path / "bare.sqlite")) as older:
        assert older.price("emb-1", ScanDefaults()) is None
    with pytest.raises(Stop, match="--prices takes"):
        build(fictional / "cards", images, tmp_path / "pack.sqlite", said.append, tmp_path / "none")


def test_what_cannot_be_used_is_skipped_and_said(fictional: Path, tmp_path: Path) -> None:
    cards, images, said = tmp_path / "cards", tmp_path / "images", list[str]()
    shutil.copytree(fictional / "cards", cards)
    images.mkdir()
    shutil.copy(fictional / "images" / "emb-1.jpg", images)
    (images / "emb-2.jpg").write_bytes(b"broken")
    (images / "who-1.jpg").write_bytes((images / "emb-1.jpg").read_bytes())
    (images / "emb-1.png").write_bytes((images / "emb-1.jpg").read_bytes())
    (images / "index.csv").write_text("file\n")
    entries = [
        {"id": "bad id!", "name": "X"},
        {"id": "odd-1"},
        {"id": "odd-2", "name": "Fine", "number": "2", "attacks": None},
    ]
    (cards / "cards" / "en" / "odd.json").write_text(json.dumps(entries))
    built = build(cards, images, tmp_path / "deep" / "pack.sqlite", said.append)
    assert (built.images, built.skipped, built.cards) == (1, 5, len(printings()) + 1)
    assert [line for line in said if "emb-2.jpg" in line and "no image" in line]
    assert [line for line in said if "who-1.jpg" in line]
    assert len(said) == 5
    opened = Pack(tmp_path / "deep" / "pack.sqlite")
    odd = opened.card("odd-2")
    opened.close()
    assert odd is not None
    assert odd.set_name == ""


def test_twins_are_counted_as_the_pack_finds_them(pack: Pack) -> None:
    arts = [(card.art, card.artist) for card in printings()]
    assert count_twinned(arts) == sum(bool(pack.twins(row)) for row in range(len(pack.hashes)))
    assert count_twinned([("a", "One"), ("a", ""), ("a", "Two"), ("b", "one")]) == 3
    assert count_twinned([("a", "One"), ("a", "two")]) == 0
    assert count_twinned([("a", "One"), ("a", "oNE")]) == 2


def test_the_art_key_ignores_what_reprints_change() -> None:
    def key(name: str, *attacks: str, region: Region = Region.INTERNATIONAL) -> str:
        moves = tuple({"fr": "autre", "en": attack} for attack in attacks)
        return art_key(Printing(id="a-1", number="1", names={"en": name}, attacks=moves), region)

    assert key("Kelp", "X", "Y") == key("kelp", "Y", "X") != key("Kelp")
    assert key("Lantérn Judge") == key("Lantorn Judge") != key("Lamp Judge")
    assert key("Kelp", region=Region.ASIA) != key("Kelp")


def test_an_unknown_artist_may_be_any(fictional: Path, tmp_path: Path) -> None:
    path = edited(
        fictional / "pack.sqlite", tmp_path / "pack.sqlite",
        "UPDATE cards SET artist = 'one' WHERE id = 'ech-3'",
        "UPDATE cards SET artist = 'two' WHERE id != 'ech-3'"
        " AND art = (SELECT art FROM cards WHERE id = 'ech-3')",
    )  # fmt: skip
    first = Pack(path)
    row = next(row for row in range(len(first.hashes)) if first.printing(row).id == "ech-3")
    assert first.twins(row) == ()
    first.close()
    second = Pack(
        edited(path, tmp_path / "other.sqlite", "UPDATE cards SET artist = '' WHERE id = 'ech-3'")
    )
    assert len(second.twins(row)) == 1
    second.close()


@pytest.mark.parametrize("missing", ["sets/en.json", "cards/en", "images", "out"])
def test_folders_that_are_not_as_they_should_be(
    fictional: Path, tmp_path: Path, missing: str
) -> None:
    cards, images, out = tmp_path / "cards", fictional / "images", tmp_path / "pack.sqlite"
    shutil.copytree(fictional / "cards", cards)
    if missing == "images":
        images = tmp_path / "nowhere"
    elif missing == "out":
        (tmp_path / "file").touch()
        out = tmp_path / "file" / "pack.sqlite"
    elif missing == "cards/en":
        shutil.rmtree(cards / missing)
    else:
        (cards / missing).unlink()
    with pytest.raises(Stop) as caught:
        build(cards, images, out, pytest.fail)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.glob(".pack*"))


def test_a_catalogue_that_is_not_json(fictional: Path, tmp_path: Path) -> None:
    shutil.copytree(fictional / "cards", tmp_path / "cards")
    (tmp_path / "cards" / "sets" / "en.json").write_text("[{")
    with pytest.raises(Stop, match="not the catalogue's JSON"):
        build(tmp_path / "cards", fictional / "images", tmp_path / "pack.sqlite", pytest.fail)


def edited(source: Path, target: Path, *statements: str) -> Path:
    shutil.copy(source, target)
    with sqlite3.connect(target) as connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()
    return target


def refusal(path: Path) -> str:
    with pytest.raises(Stop) as caught:
        Pack(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_is_no_pack_is_refused_in_one_line(fictional: Path, tmp_path: Path) -> None:
    whole, path = fictional / "pack.sqlite", tmp_path / "pack.sqlite"
    assert "No such file" in refusal(tmp_path / "none.sqlite")
    path.write_bytes(b"")
    assert "not even SQLite" in refusal(path)
    path.write_bytes(b"PK" * 400)
    assert "not even SQLite" in refusal(path)
    path.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    assert "cut short" in refusal(path)
    path.write_bytes(whole.read_bytes()[:4096] + b"\xff" * (whole.stat().st_size - 4096))
    assert "damaged" in refusal(path)
    path.unlink()
    assert "a pack of schema 9" in refusal(
        edited(whole, path, "UPDATE meta SET value = '9' WHERE key = 'schema'")
    )
    assert "damaged" in refusal(edited(whole, path, "DELETE FROM meta WHERE key = 'version'"))
    assert "built in" in refusal(edited(whole, path, "DELETE FROM looks WHERE card_id = 'emb-1'"))
    assert "damaged" in refusal(
        edited(whole, path, "UPDATE looks SET bits = x'00' WHERE card_id = 'emb-1'")
    )
    assert "no such table" in refusal(edited(whole, path, "DROP TABLE meta"))


_NO_MEMORY = (
    "eNrtlD1LA0EQhnduD8WIXBUOsZkygStCrAWjXCGkUdOHzd2YW7yPsLt3YJn/Z+EPsLezstfdS2GwEgQVcg/szM7M7v"
    "DCDnt7PZWG8K5ShTB4yjwGwM4R2QaffcK/xMC+yVF7+ZXBI9TW/SFrn++HYQjrpRGLnBKhUt0a//ImnsxinE0upjG2"
    "KRzINMJSFGRtXSxIRajJzF3W+U1lpWRpKJ2byog8QiWUNA8RZiRyk0UoKlvWEaakEyVXplI2MJltNxzDXtjvw1WrpC"
    "Aj3PK2dLz/gBhdNxzckxXTiLymoXsFH54YvMELPNtNx47Q8/lxIAuxJD064DwM2vkeHXr8JGhIaVmVTQ/sGZ1kVIix"
    "mxT7EXT8Omf/Q0Y3ALvH9nN/AINdk/g="
)
"""A damaged pack, found by fuzzing, for which SQLite runs out of memory: zlib, base64."""


def test_a_pack_for_which_no_memory_is_enough(tmp_path: Path) -> None:
    path = tmp_path / "pack.sqlite"
    path.write_bytes(zlib.decompress(base64.b64decode(_NO_MEMORY)))
    assert "damaged" in refusal(path)


def test_damage_that_opening_does_not_see_is_said_when_it_is_met(
    fictional: Path, tmp_path: Path
) -> None:
    path = edited(
        fictional / "pack.sqlite",
        tmp_path / "pack.sqlite",
        "DELETE FROM cards",
        "UPDATE looks SET thumb = x'00'",
    )
    hollow = Pack(path)
    with pytest.raises(Stop, match="not among the printings"):
        hollow.printing(0)
    with pytest.raises(Stop, match="is damaged"):
        hollow.reference(0)
    hollow.close()


@pytest.mark.parametrize(
    "hostile",
    [
        (
            "DROP TABLE looks; CREATE VIEW looks AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL"
            " SELECT i + 1 FROM n) SELECT i AS card_id, x'' AS bits FROM n"
        ),
        (
            "DROP TABLE meta; CREATE VIEW meta AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL"
            " SELECT i + 1 FROM n) SELECT i AS key, i AS value FROM n"
        ),
        "ALTER TABLE cards ADD COLUMN big AS (zeroblob(900000000))",
        "CREATE TRIGGER t AFTER INSERT ON meta BEGIN SELECT 1; END",
        "CREATE VIRTUAL TABLE other USING fts5(a)",
    ],
)
def test_a_pack_that_computes_is_refused(fictional: Path, tmp_path: Path, hostile: str) -> None:
    path = tmp_path / "pack.sqlite"
    shutil.copy(fictional / "pack.sqlite", path)
    with closing(sqlite3.connect(path)) as database:
        database.executescript(hostile)
    with pytest.raises(Stop, match="no plain table"):
        Pack(path)


def test_a_picture_that_is_larger_than_a_thumbnail_is_not_decoded(
    fictional: Path, tmp_path: Path
) -> None:
    path = tmp_path / "pack.sqlite"
    shutil.copy(fictional / "pack.sqlite", path)
    packed = io.BytesIO()
    Image.new("L", (8000, 7990)).save(packed, "PNG")
    for content in (packed.getvalue(), b"", b"no picture", packed.getvalue()[:40]):
        with closing(sqlite3.connect(path)) as database, database:
            database.execute("UPDATE looks SET thumb = ?", (content,))
        with closing(Pack(path)) as pack, pytest.raises(Stop, match="damaged"):
            pack.reference(0)

"""The commands: catalogue, scan, evaluate, bench."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from cardmint_edge.cli import cli
from cardmint_edge.errors import Stop
from cardmint_lab.cli import cli as lab_cli
from cardmint_lab.recognition.bench import Measured, measure, table
from cardmint_lab.recognition.evaluate import read_index, wilson


def run(*arguments: object) -> Result:
    return CliRunner().invoke(
        cli, [str(argument) for argument in arguments], catch_exceptions=False
    )


def lab(*arguments: object) -> Result:
    return CliRunner().invoke(
        lab_cli, [str(argument) for argument in arguments], catch_exceptions=False
    )


def test_catalogue_fictional_and_build(tmp_path: Path) -> None:
    first = lab("fictional", "--out", tmp_path / "game")
    assert (first.exit_code, "112 cards" in first.stdout) == (0, True)
    (tmp_path / "game" / "images" / "emb-1.jpg").write_bytes(b"broken")
    again = run(
        "catalogue",
        "build",
        "--cards",
        tmp_path / "game" / "cards",
        "--images",
        tmp_path / "game" / "images",
        "--out",
        tmp_path / "pack.sqlite",
    )
    assert again.exit_code == 0
    assert "112 cards (29 with twins), 111 images, 0 prices, 1 skipped" in again.stdout
    assert "emb-1.jpg" in again.stderr


def test_scan_prints_one_object_a_line_and_goes_on_after_bad_files(
    fictional: Path, tmp_path: Path
) -> None:
    good = tmp_path / "good card é.jpg"
    shutil.copy(fictional / "images" / "drk-9.jpg", good)
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(good.read_bytes()[:9000])
    black = tmp_path / "black.png"
    Image.new("RGB", (800, 600)).save(black)
    result = run(
        "scan",
        "--pack",
        fictional / "pack.sqlite",
        "--json",
        broken,
        good,
        tmp_path / "none.jpg",
        black,
    )
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line["image"] for line in lines] == [
        str(path) for path in (broken, good, tmp_path / "none.jpg", black)
    ]
    assert [line["decision"] for line in lines] == ["reject", "accept", "reject", "reject"]
    assert [line["reasons"] for line in lines] == [
        ["unreadable-image"],
        [],
        ["unreadable-image"],
        ["too-dark"],
    ]
    found = lines[1]
    assert list(found) == [
        "image", "card_id", "name", "number", "confidence", "margin", "likeness_gap", "decision",
        "reasons", "language", "language_confidence", "method", "models", "corners", "candidates",
        "ms",
    ]  # fmt: skip
    assert (found["card_id"], found["number"]) == ("drk-9", "9")
    assert np.shape(found["corners"]) == (4, 2)
    assert found["candidates"][0] == {"card_id": "drk-9", "confidence": found["confidence"]}
    assert {"decode", "detect", "hash", "match", "read", "decide", "rectify"} == set(found["ms"])
    assert (lines[0]["card_id"], lines[0]["corners"], lines[0]["candidates"]) == (None, None, [])
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 2


def test_scan_takes_no_word_for_a_language(fictional: Path) -> None:
    pack, image = fictional / "pack.sqlite", fictional / "images" / "drk-9.jpg"
    result = run("scan", "--pack", pack, "--language", "klingon", image)
    assert result.exit_code == 2
    assert "'klingon' is no code of a language such as fr or de" in result.stderr


def test_scan_for_people(fictional: Path) -> None:
    images = fictional / "images"
    result = run(
        "scan", "--pack", fictional / "pack.sqlite", images / "drk-9.jpg", images / "ech-3.jpg"
    )
    assert result.exit_code == 0
    first, second = result.stdout.splitlines()
    assert first.startswith("accept")
    assert "drk-9" in first
    # Its art comes in another set too: the number that is printed on it was read.
    assert second.startswith("accept")
    assert "ech-3" in second


@pytest.fixture
def photos(fictional: Path, tmp_path: Path) -> Path:
    rows = ["file,kind,id,reference_available"]
    for kind, name, known in (
        ("single", "drk-9", "yes"),
        ("single", "ech-3", "yes"),
        ("single", "emb-1", "no"),
    ):
        shutil.copy(fictional / "images" / f"{name}.jpg", tmp_path / f"{name}.jpg")
        rows.append(f"{name}.jpg,{kind},{name},{known}")
    Image.new("RGB", (800, 600), "white").save(tmp_path / "empty.png")
    rows.append("empty.png,nothing,,")
    (tmp_path / "index.csv").write_text("\n".join(rows) + "\n")
    return tmp_path


def test_evaluate_counts_by_kind(fictional: Path, photos: Path, tmp_path: Path) -> None:
    given = ("recognition", "evaluate", "--pack", fictional / "pack.sqlite", "--photos", photos)
    measured = json.loads(lab(*given, "--report", tmp_path / "page.html", "--json").stdout)
    rows = {row["kind"]: row for row in measured["kinds"]}
    assert set(rows) == {"single", "single, no reference", "nothing", "all"}
    assert (rows["single"]["n"], rows["single"]["accepted_wrong"]) == (2, 0)
    assert rows["nothing"]["rejected"] == 1
    assert rows["all"]["n"] == 4
    assert measured["corners"] is None
    assert measured["baselines"] == []
    assert "decode" in measured["steps"]
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "Is it as sure as it is right?" in page
    table = lab(*given)
    assert len(table.stdout.splitlines()) == 6


def test_a_card_whose_set_the_pack_lacks_is_never_accepted_as_another(
    fictional: Path, photos: Path
) -> None:
    told = lab("recognition", "behind", "--pack", fictional / "pack.sqlite", "--photos", photos)
    counts = {line[6:]: int(line[:4]) for line in told.stdout.splitlines()}
    assert sum(counts.values()) == 3
    assert "accept" not in counts
    assert counts["not in this catalogue"] >= 1


def test_an_index_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(Stop, match=r"index\.csv"):
        read_index(tmp_path)
    (tmp_path / "index.csv").write_text("file,kind\na.jpg,single\n")
    with pytest.raises(Stop, match="column"):
        read_index(tmp_path)
    (tmp_path / "index.csv").write_text(
        'file,kind,id,reference_available,corners\na.jpg,single,a-1,yes,"[[1, 2]]"\n'
    )
    with pytest.raises(Stop, match="corners"):
        read_index(tmp_path)


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [(0, 10, 0.0, 0.2775), (5, 10, 0.2366, 0.7634), (10, 10, 0.7225, 1.0), (0, 0, 0, 1)],
)
def test_wilsons_bounds(successes: int, n: int, low: float, high: float) -> None:
    assert wilson(successes, n) == pytest.approx((low, high), abs=1e-4)


def test_bench_measures_the_whole_path(fictional: Path) -> None:
    given = ("--pack", fictional / "pack.sqlite", "--images", fictional / "images", "--frames", 4)
    measured = json.loads(lab("recognition", "bench", *given, "--json").stdout)
    assert (measured["frame"], measured["large"]["frame"]) == ("1920x1280", "6000x4000")
    for one in (measured, measured["large"]):
        assert 0 < one["p50_ms"] <= one["p95_ms"]
        assert {"decode", "detect", "match"} <= set(one["steps"])
        assert one["cards_per_minute"] > 0
        assert one["catalogue_cards"] == 112
        assert one["rss_mb"] > 10
        assert one["cores"] >= 1
        assert one["exact"] >= 2


def test_bench_says_what_it_cannot_use(fictional: Path, tmp_path: Path) -> None:
    alone = lab("recognition", "bench", "--pack", fictional / "pack.sqlite")
    assert (alone.exit_code, "go together" in alone.stderr) == (2, True)
    with pytest.raises(Stop, match="holds no scan"):
        list(measure(fictional / "pack.sqlite", tmp_path, frames=1, cores=1))


def test_the_table_of_a_bench_names_each_frame() -> None:
    one = Measured(
        frame="1920x1280",
        frames=4,
        p50_ms=30.0,
        p95_ms=40.0,
        steps={"decode": 8.0},
        cards_per_minute=1800.0,
        exact=4,
        catalogue_cards=112,
        rss_mb=200.0,
        cores=2,
    )
    assert "1800 cards a minute on 2" in table([one])

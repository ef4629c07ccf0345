"""From nothing but the address of a catalogue to the name of one's own card: fetch, build, scan."""

import csv
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.edge.kit.catalogue import StandIn

from cardmint_lab.system import installed_script

FRENCH = {"sv4-70": "Paume-de-Fer-ex", "sv3-153": "Melmetal-ex", "xy11-51": "Hoopa"}
"""French cards among the photos, and what is printed on them."""


def run(*words: object, folder: Path) -> str:
    done = subprocess.run(
        installed_script(["cardmint-edge", *map(str, words)]),
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def labelled(photos: Path) -> list[dict[str, str]]:
    with (photos / "index.csv").open() as file:
        return [row for row in csv.DictReader(file) if row["kind"] == "single" and row["id"]]


@pytest.mark.data
@pytest.mark.integration
@pytest.mark.timeout(900)
def test_two_commands_and_a_photo_is_named_in_its_language(real_data: Path, tmp_path: Path) -> None:
    stand_in = StandIn(real_data / "tcgdex", real_data / "references")
    try:
        run("catalogue", "fetch", "--url", stand_in.url, "--language", "en,fr", folder=tmp_path)
        run("catalogue", "build", folder=tmp_path)
    finally:
        stand_in.close()
    photos = {row["file"]: row for row in labelled(real_data / "photos")}
    scanned = scan(tmp_path, [real_data / "photos" / name for name in photos])
    exact = [name for name, seen in scanned.items() if seen["card_id"] == photos[name]["id"]]
    wrong = [
        name
        for name, seen in scanned.items()
        if seen["decision"] == "accept" and seen["card_id"] != photos[name]["id"]
    ]
    assert wrong == []
    assert len(exact) >= 0.9 * len(photos)
    french = {
        row["file"]: row["id"]
        for row in labelled(real_data / "photos-2")
        if row["lang"] == "fr" and row["id"] in FRENCH
    }
    named = scan(tmp_path, [real_data / "photos-2" / name for name in french])
    assert {seen["card_id"]: seen["name"] for seen in named.values()} == FRENCH


def scan(folder: Path, files: list[Path]) -> dict[str, dict[str, Any]]:
    printed = run("scan", "--pack", "pack.sqlite", "--json", *files, folder=folder)
    lines = [json.loads(line) for line in printed.splitlines()]
    return {Path(line["image"]).name: line for line in lines}

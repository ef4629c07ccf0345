"""A small catalogue in the layout of TCGdex's database, and the stand-in that serves it."""

import json
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from cardmint_contracts.catalogue import CatalogueSet
from cardmint_edge.adapters.catalogue_folder import open_catalogue
from cardmint_edge.adapters.tcgdex_http import TcgdexHttp
from cardmint_edge.catalogue_fetch import CatalogueFetch, FetchRequest
from cardmint_edge.catalogue_update import FetchSummary
from cardmint_edge.progress import LineProgress
from cardmint_lab.system import installed_script

LANTERNS = {
    "id": "lan1",
    "region": "international",
    "name": {"en": "Lanterns", "fr": "Lanternes"},
    "abbreviations": {"official": "LAN", "fr": "LNT"},
    "official": 40,
    "cards": 42,
    "releaseDate": "2025-03-28",
}
MOTHS = {**LANTERNS, "id": "mot2", "name": {"en": "Moths", "fr": "Phalènes"}, "official": 30}
FAR = {
    "id": "FAR3",
    "region": "asia",
    "name": {"ja": "とおい", "th": "ไกล"},
    "abbreviations": {},
    "official": 20,
    "releaseDate": {"ja": "2025-01-10"},
}


def card(number: int, name: str = "Wick") -> dict[str, Any]:
    return {
        "localId": f"{number:03}",
        "name": {"en": f"{name} {number}", "fr": f"Mèche {name} {number}"},
        "category": "Pokemon",
        "hp": 60,
        "illustrator": "A. Painter",
        "rarity": "Common",
        "attacks": [{"name": {"en": f"Glow {number}", "fr": f"Lueur {number}"}}],
        "variants": [{"type": "normal"}, {"type": "reverse"}] if number % 2 else [{"type": "holo"}],
    }


def write_database(folder: Path, *, cards: int = 40) -> Path:
    """Write three sets, and return the folder."""
    for region in ("international", "asia"):
        (folder / "cards" / region).mkdir(parents=True, exist_ok=True)
    (folder / "sets.json").write_text(json.dumps([LANTERNS, MOTHS, FAR]))
    files = {
        "international/lan1": [card(number) for number in range(1, cards + 1)],
        "international/mot2": [card(number, "Moth") for number in range(1, cards // 2 + 1)],
        "asia/FAR3": [
            {"localId": f"{n:03}", "name": {"ja": f"とおい{n}", "th": f"ไกล{n}"}}
            for n in range(1, 6)
        ],
    }  # fmt: skip
    for name, entries in files.items():
        (folder / "cards" / f"{name}.json").write_text(json.dumps(entries))
    return folder


def write_pictures(folder: Path, numbers: range = range(1, 4)) -> Path:
    """Write pictures of some cards of `lan1`, large ones in `high`, and return the folder."""
    (folder / "high").mkdir(parents=True, exist_ok=True)
    for number in numbers:
        noise = np.random.default_rng(number).integers(0, 255, (12, 9, 3), dtype=np.uint8)
        for place, size in ((folder, (245, 337)), (folder / "high", (600, 825))):
            picture = cv2.resize(noise, size, interpolation=cv2.INTER_CUBIC)
            cv2.imwrite(str(place / f"lan1-{number}.jpg"), picture)
    return folder


class StandIn:
    """The stand-in as a child process."""

    def __init__(self, data: Path, pictures: Path | None = None) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        command = ["cardmint-lab", "catalogue-stand-in", "--data", str(data)]
        command += ["--port", str(self.port)]
        command += [] if pictures is None else ["--pictures", str(pictures)]
        self._process = subprocess.Popen(installed_script(command))
        self._wait()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v2"

    def control(self, *words: object) -> dict[str, Any]:
        """Set a fault or hide cards; return the counts of calls and of bodies sent."""
        path = "/".join(map(str, words)) or "state"
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/control/{path}") as answer:
            state: dict[str, Any] = json.load(answer)
        return state

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(10)

    def _wait(self) -> None:
        for _ in range(600):
            try:
                self.control()
            except OSError:
                time.sleep(0.05)
            else:
                return
        raise TimeoutError("the stand-in does not answer")


def fetch(
    stand_in: StandIn,
    out: Path,
    *,
    said: list[str] | None = None,
    sleeps: list[float] | None = None,
    **changes: Any,
) -> tuple[FetchSummary, TcgdexHttp]:
    def nap(seconds: float) -> None:
        if sleeps is not None:
            sleeps.append(seconds)

    lines: list[str] = []
    api = TcgdexHttp(stand_in.url, connections=4, sleep=nap)
    with closing(api):
        summary = CatalogueFetch(
            api,
            out,
            FetchRequest(**{"languages": ("en",), "connections": 4, **changes}),
            source=stand_in.url,
            progress=LineProgress(lines.append),
            warn=pytest.fail if said is None else said.append,
        ).run()
    return summary, api


def sets_of(folder: Path) -> dict[str, CatalogueSet]:
    read = [source.read(pytest.fail) for source in open_catalogue(folder).sets]
    return {one.id: one for one in read if one is not None}


def content(folder: Path) -> dict[str, object]:
    """What a catalogue says, without the moment when it was asked."""
    files: dict[str, object] = {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted((folder / "sets").rglob("*.json"))
    }
    index = json.loads((folder / "catalogue.json").read_bytes())
    files["index"] = {key: value for key, value in index.items() if key != "made_at"}
    return files


@contextmanager
def serving(folder: Path, cards: int) -> Iterator[StandIn]:
    """Serve a small database, with sets of `cards` cards, and its pictures, below `folder`."""
    for part in ("database", "pictures"):
        (folder / part).mkdir()
    data = write_database(folder / "database", cards=cards)
    one = StandIn(data, write_pictures(folder / "pictures"))
    try:
        yield one
    finally:
        one.close()

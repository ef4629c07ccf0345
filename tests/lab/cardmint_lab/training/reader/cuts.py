"""Cut real lines out of rendered photos of known cards.

The reader sees cards' own letters as cameras show them.

Of a strip's text only the card's facts are known. A place of a clean scan is kept when the current
reader roughly finds one of them in it; its text is then the reading, with that part corrected.
Photos of the scan are then rendered, and the same place is cut from each.

`python -m cardmint_lab.training.reader.cuts --data CARDMINT_DATA --checkpoint FILE --out DIR`
"""

import argparse
import csv
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from cardmint_edge.adapters.decode import read_image
from cardmint_edge.domain.reading.lexicon import codes, number_forms, plain
from cardmint_edge.domain.reading.strips import HEALTH, NAMES, NUMBERS
from cardmint_edge.domain.recognition import Frame
from cardmint_edge.domain.vision.quad import Quad
from cardmint_edge.domain.vision.view import StripPlace, View
from cardmint_lab.scenes import PRESETS, held_out, render
from cardmint_lab.training.files import save
from cardmint_lab.training.reader.lines import Random
from cardmint_lab.training.reader.network import ReaderNetwork, normalised
from cardmint_lab.training.reader.shards import LONGEST
from cardmint_lab.training.reader.train import edits, spelt

READABLE = 450
"""Scans less wide than this many pixels give names alone: their numbers cannot be read."""

SIDE = 1290
"""Photos are rendered just large enough for the largest card of any preset, turned anyhow."""

SHARES = {"copy_stand": 0.15, "table": 0.35, "hard": 0.5}


def put_right(said: str, wanted: str) -> str | None:
    """Return what was read with the wanted text in the place where it was read roughly, or None."""
    best: tuple[int, int, int] | None = None
    for start in range(len(said)):
        for end in range(
            start + max(1, len(wanted) - 2), min(len(said), start + len(wanted) + 2) + 1
        ):
            apart = edits(said[start:end], wanted)
            if best is None or apart < best[0]:
                best = (apart, start, end)
    if best is None or best[0] > max(1, len(wanted) // 3):
        return None
    before, after = said[: best[1]].strip(), said[best[2] :].strip()
    return " ".join(part for part in (before, wanted, after) if part)


def outline(frame: Frame, rng: Random, off: float) -> Quad:
    """Return a scan's corners, found a little wrongly (`off` is a share of its height)."""
    height, width = frame.shape[:2]
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    return Quad(np.asarray(corners + rng.normal(0, off * height, (4, 2)), np.float32))


class Labeller:
    """Finds out what stands in the places of a clean scan."""

    def __init__(self, network: ReaderNetwork) -> None:
        self._network = network

    def places(
        self, scan: Frame, wanted: dict[StripPlace, tuple[str, ...]], rng: Random
    ) -> dict[StripPlace, str]:
        """Return the places with one of the wanted texts, and the whole text of each strip."""
        card = View(scan).at(outline(scan, rng, 0.001))
        strips = np.stack([card.strip(place) for place in wanted])
        with torch.no_grad():
            paths = self._network(normalised(torch.from_numpy(strips))).argmax(dim=2).numpy()
        found = {}
        for (place, texts), path in zip(wanted.items(), paths, strict=True):
            said = spelt(path)
            ways = [text for way in texts if len(way) > 2 and (text := put_right(said, way))]
            label = min(ways, key=lambda text: edits(text, said), default=None)
            if label and len(label) <= LONGEST:
                found[place] = label
        return found


def photographed(
    scan: Frame, places: dict[StripPlace, str], copies: int, rng: Random
) -> Iterator[tuple[NDArray[np.uint8], str]]:
    """Render photos of a scan and cut its places from each, the corners found a little wrongly."""
    for _ in range(copies):
        preset = PRESETS[str(rng.choice(list(SHARES), p=list(SHARES.values())))]
        factor = min(preset.width, preset.height) / SIDE
        low, high = preset.card_height
        tight = replace(preset, width=SIDE, height=SIDE, card_height=(low * factor, high * factor))
        scene = render(scan, tight, rng)
        frame = scene.frame
        if rng.random() < 0.7:
            _, data = cv2.imencode(
                ".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(50, 96))]
            )
            frame = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
        off = abs(rng.normal(0, 0.004)) * scene.quad.height
        corners = np.asarray(scene.quad.corners + rng.normal(0, off, (4, 2)), np.float32)
        card = View(frame).at(Quad(corners))
        for place, text in places.items():
            yield card.strip(place), text


def read_rows(data: Path) -> Iterator[tuple[dict[str, str], dict[StripPlace, tuple[str, ...]]]]:
    """Yield the scans that may be trained on, and what may stand in which places of each."""
    health = {
        entry["id"]: entry.get("hp", "")
        for path in (data / "catalogue" / "cards" / "en").glob("*.json")
        for entry in json.loads(path.read_bytes())
    }
    with (data / "references" / "index.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if not held_out(row["id"])]
    for row in rows:
        total = int(row["printed_total"]) if row["printed_total"].isdigit() else None
        forms = number_forms(row["number"], total, promo=row["rarity"] == "Promo")
        wanted: dict[StripPlace, tuple[str, ...]] = dict.fromkeys(NAMES, (plain(row["name"]),))
        if int(row["width"]) >= READABLE:
            wanted.update(dict.fromkeys(NUMBERS, forms))
        points = str(health.get(row["id"]) or "")
        if points:
            wanted.update(
                dict.fromkeys(
                    HEALTH, (f"{points} HP", f"{points}HP", f"HP {points}", f"HP{points}", points)
                )
            )
        yield row, wanted


def main() -> None:
    """Label, render, cut and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--copies", type=int, default=6, help="photos of each scan")
    parser.add_argument("--scans", type=int, default=10**6, help="so many scans at most")
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()
    os.nice(15)
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    network = ReaderNetwork()
    network.load_state_dict(torch.load(args.checkpoint, weights_only=True)["kept"])
    labeller = Labeller(network.eval())
    rng = np.random.default_rng(args.seed)
    rows = list(read_rows(args.data))[: args.scans]
    for number, part in enumerate(
        np.array_split(rng.permutation(len(rows)), max(1, len(rows) // 150))
    ):
        path = args.out / f"cut-{args.seed:02}{number:02}.npz"
        if path.exists():
            continue
        cut: list[tuple[NDArray[np.uint8], str]] = []
        for chosen in part:
            row, wanted = rows[int(chosen)]
            scan = read_image(args.data / "references" / row["file"])
            cut += photographed(scan, labeller.places(scan, wanted, rng), args.copies, rng)
        if not cut:
            print(
                f"{path.name}: not written; the checkpoint reads none of {len(part)} scans yet",
                flush=True,
            )
            continue
        spelled = np.zeros((len(cut), LONGEST), np.uint8)
        for at, (_, text) in enumerate(cut):
            spelled[at, : len(text)] = codes(text)
        save(path, strips=np.stack([strip for strip, _ in cut]), texts=spelled)
        print(f"{path.name}: {len(cut)} strips of {len(part)} scans", flush=True)


if __name__ == "__main__":
    main()

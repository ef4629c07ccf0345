"""Cut real lines out of rendered photos of known cards.

The reader sees cards' own letters as cameras show them.

A larger reader (RapidOCR's, `cardmint-edge[second-look]`) reads places of a clean scan. What it
reads is corrected by what the catalogue says of the card, and kept where it is sure, or where it
found one of those texts. Photos of the scan are then rendered, and the same places cut from each.

`python -m cardmint_lab.training.reader.cuts --data CARDMINT_DATA --out DIR`
"""

import argparse
import csv
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from cardmint_edge.adapters.decode import read_image
from cardmint_edge.adapters.line_reader import LineReader
from cardmint_edge.domain.reading.ctc import Reading, text_scores
from cardmint_edge.domain.reading.lexicon import ALPHABET, codes, number_forms, plain
from cardmint_edge.domain.reading.strips import HEALTH, NAMES, NUMBERS, coloured_strip
from cardmint_edge.domain.recognition import Frame
from cardmint_edge.domain.vision.quad import Quad
from cardmint_edge.domain.vision.view import StripPlace, View
from cardmint_lab.scenes import PRESETS, held_out, render
from cardmint_lab.training.files import save
from cardmint_lab.training.reader.lines import Random
from cardmint_lab.training.reader.shards import LONGEST
from cardmint_lab.training.reader.spelling import edits

FOLDERS = ("references", "references-2")

SIDE = 1290
"""Photos are rendered just large enough for the largest card of any preset, turned anyhow."""

SHARES = {"copy_stand": 0.15, "table": 0.35, "hard": 0.5}

SURE = 0.93
"""Mean probability of letters from which a line is believed that the catalogue does not have."""

LIKELY = 0.6
"""The same for a line with a text of the catalogue in it."""

WHOLE = 0.88
"""Strips that reach this share of the card's width show its health points and their sign."""

BODY_PLACES = 5
"""How many places between the picture and the lower edge are tried on each scan."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CardTexts:
    """What stands on a card, in the reader's letters; `numbers` are the forms of its number."""

    name: str
    numbers: tuple[str, ...]
    attacks: tuple[str, ...] = ()
    health: str = ""

    @property
    def lines(self) -> tuple[str, ...]:
        """The texts that a line may show: digits alone are found in anything."""
        distinct = [number for number in self.numbers if not number.isdigit()]
        return (self.name, *distinct, *self.attacks)


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


def likeliest(reading: Reading) -> tuple[str, float]:
    """Return the text of a reading's likeliest path, and the mean probability of its letters."""
    path = reading.argmax(axis=1)
    kept = [
        step for step, code in enumerate(path) if code and (step == 0 or path[step - 1] != code)
    ]
    text = "".join(ALPHABET[int(path[step]) - 1] for step in kept)
    sure = float(np.mean([reading[step, path[step]] for step in kept])) if kept else 0.0
    return " ".join(text.split()), sure


def labelled(reading: Reading, place: StripPlace, texts: CardTexts) -> str | None:
    """Return what a place says; None where the larger reader and the catalogue leave it open."""
    said, sure = likeliest(reading)
    if sure < LIKELY:
        return None
    found = [
        text for way in texts.lines if len(way) > 2 and (text := put_right(said, way)) is not None
    ]
    label = min(found, key=lambda text: edits(text, said), default=said if sure >= SURE else None)
    if label is None or len(label) < 2 or len(label) > LONGEST:
        return None
    if not texts.health or place.middle > HEALTH[0].middle * 2:
        return label
    return _with_sign(label, reading, texts.health, whole=place.left + place.width > WHOLE)


def _with_sign(label: str, reading: Reading, points: str, *, whole: bool) -> str | None:
    """Add the health sign that stands beside the points: it is small, and often not read.

    A strip that is not `whole` may end before a sign that follows the points.
    """
    at = label.rfind(points)
    if at < 0:
        return label
    before, after = label[:at], label[at + len(points) :]
    if after[:3].strip().startswith("HP") or before.rstrip().endswith("HP"):
        return label
    before, after = before.rstrip("HP "), after.lstrip("HP ")
    first, last = text_scores([reading], [f"HP{points}", f"{points} HP"], number=True)[0].tolist()
    if first < last and not whole:
        return label
    pair = f"HP {points}" if first >= last else f"{points} HP"
    return " ".join(part for part in (before, pair, after) if part)


def outline(frame: Frame, rng: Random, off: float) -> Quad:
    """Return a scan's corners, found a little wrongly (`off` is a share of its height)."""
    height, width = frame.shape[:2]
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    return Quad(np.asarray(corners + rng.normal(0, off * height, (4, 2)), np.float32))


def places(rng: Random) -> list[StripPlace]:
    """Return where lines are looked for: the station's places, a little moved, and the body."""
    moved = [
        StripPlace(place.left, place.middle + float(rng.normal(0, 0.004)), place.width)
        for place in (*NAMES, *HEALTH, NUMBERS[0], NUMBERS[3])
    ]
    lower = [StripPlace(0.02, float(rng.uniform(0.9, 0.975)), 0.4)]
    body = [
        StripPlace(
            float(rng.uniform(0.02, 0.3)),
            float(rng.uniform(0.48, 0.93)),
            float(rng.uniform(0.4, 0.72)),
        )
        for _ in range(BODY_PLACES)
    ]
    return [*moved, *lower, *body]


def lines_of(
    reader: LineReader, scan: Frame, texts: CardTexts, rng: Random
) -> dict[StripPlace, str]:
    """Return the places of a clean scan whose text is known, and that text."""
    card = View(scan).at(outline(scan, rng, 0.001))
    found = {}
    for place in places(rng):
        if label := labelled(reader(coloured_strip(card, place)), place, texts):
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
        if rng.random() < 0.15:
            frame = _moved(frame, rng)
        if rng.random() < 0.7:
            _, data = cv2.imencode(
                ".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(50, 96))]
            )
            frame = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
        off = abs(rng.normal(0, 0.004)) * scene.quad.height
        corners = np.asarray(scene.quad.corners + rng.normal(0, off, (4, 2)), np.float32)
        card = View(frame).at(Quad(corners))
        for place, text in places.items():
            yield flashed(card.strip(place), rng), text


def flashed(strip: NDArray[np.uint8], rng: Random) -> NDArray[np.uint8]:
    """Lay a streak of light over a strip, sometimes: a flash on foil, a fold of a sleeve."""
    if rng.random() > 0.2:
        return strip
    height, width = strip.shape
    x = np.arange(width, dtype=np.float32)[None, :]
    y = np.arange(height, dtype=np.float32)[:, None]
    slant, wide = rng.uniform(-2, 2), rng.uniform(3, 40)
    light = np.exp(-(((x - rng.uniform(0, width) + slant * y) / wide) ** 2))
    grey = strip.astype(np.float32)
    # Light washes out: it raises the dark more than the bright.
    return np.asarray(grey + (255 - grey) * light * rng.uniform(0.2, 0.85), np.uint8)


def _moved(frame: Frame, rng: Random) -> Frame:
    """Blur a photo along a line, as a hand does that moves."""
    length = int(rng.integers(3, 8))
    kernel = np.zeros((length, length), np.float32)
    angle = rng.uniform(0, np.pi)
    middle = (length - 1) / 2
    reach = middle * np.array([np.cos(angle), np.sin(angle)])
    first, last = (np.rint(middle + sign * reach).astype(int).tolist() for sign in (-1, 1))
    cv2.line(kernel, first, last, 1.0)
    return np.asarray(cv2.filter2D(frame, -1, kernel / kernel.sum()), np.uint8)


def read_rows(data: Path) -> Iterator[tuple[Path, CardTexts]]:
    """Yield the scans that may be trained on, and what stands on each."""
    cards = {
        entry["id"]: entry
        for path in sorted((data / "catalogue" / "cards" / "en").glob("*.json"))
        for entry in json.loads(path.read_bytes())
    }
    for folder in FOLDERS:
        with (data / folder / "index.csv").open(encoding="utf-8", newline="") as file:
            rows = [row for row in csv.DictReader(file) if not held_out(row["id"])]
        for row in rows:
            entry = cards.get(row["id"], {})
            total = int(row["printed_total"]) if row["printed_total"].isdigit() else None
            forms = number_forms(row["number"], total, promo=row["rarity"] == "Promo")
            attacks = [
                plain(one["name"])
                for key in ("attacks", "abilities")
                for one in entry.get(key) or ()
            ]
            yield (
                data / folder / row["file"],
                CardTexts(
                    name=plain(row["name"]),
                    numbers=forms,
                    attacks=tuple(attacks),
                    health=str(entry.get("hp") or ""),
                ),
            )


def main() -> None:
    """Label, render, cut and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--copies", type=int, default=6, help="photos of each scan")
    parser.add_argument("--scans", type=int, default=10**6, help="so many scans at most")
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()
    os.nice(15)
    cv2.setNumThreads(1)
    reader = LineReader()
    rng = np.random.default_rng(args.seed)
    rows = list(read_rows(args.data))[: args.scans]
    for number, part in enumerate(
        np.array_split(rng.permutation(len(rows)), max(1, len(rows) // 60))
    ):
        path = args.out / f"cut-{args.seed:02}{number:02}.npz"
        if path.exists():
            continue
        cut: list[tuple[NDArray[np.uint8], str]] = []
        for chosen in part:
            file, texts = rows[int(chosen)]
            scan = read_image(file)
            cut += photographed(scan, lines_of(reader, scan, texts, rng), args.copies, rng)
        if cut:
            _write(path, cut)
        print(f"{path.name}: {len(cut)} strips of {len(part)} scans", flush=True)


def _write(path: Path, cut: Sequence[tuple[NDArray[np.uint8], str]]) -> None:
    spelled = np.zeros((len(cut), LONGEST), np.uint8)
    for at, (_, text) in enumerate(cut):
        spelled[at, : len(text)] = codes(text)
    save(path, strips=np.stack([strip for strip, _ in cut]), texts=spelled)


if __name__ == "__main__":
    main()

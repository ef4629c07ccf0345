"""Cut real lines from scans of known cards, so that the reader sees the letters of cards and not only fonts'.

What else stands in a strip is not known, only the card's name and number are: a strip is kept when the reader so far
finds one of them in it, roughly; its text is then what was read, the part that was found put right.
`python -m training.reader.cuts --data CARDMINT_DATA --checkpoint FILE --out DIR`
"""

import argparse
import csv
import os
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from cardmint_edge.adapters.decode import read_image
from cardmint_edge.domain.lexicon import codes, number_forms, plain
from cardmint_edge.domain.read import NAMES, NUMBERS, strip_of
from cardmint_edge.domain.recognition import Frame
from cardmint_edge.domain.rectify import pyramid
from cardmint_edge.domain.scene import held_out
from training.reader.draw import spoil
from training.reader.lines import Random
from training.reader.network import ReaderNetwork, normalised
from training.reader.shards import LONGEST, save
from training.reader.train import edits, spelt

READABLE = 450
"""Scans less wide than this many pixels give names alone: their numbers cannot be read."""


def put_right(said: str, wanted: str) -> str | None:
    """Return what was read with the wanted text in the place where it was read roughly, or None."""
    best: tuple[int, int, int] | None = None
    for start in range(len(said)):
        for end in range(start + max(1, len(wanted) - 2), min(len(said), start + len(wanted) + 2) + 1):
            apart = edits(said[start:end], wanted)
            if best is None or apart < best[0]:
                best = (apart, start, end)
    if best is None or best[0] > max(1, len(wanted) // 3):
        return None
    before, after = said[: best[1]].strip(), said[best[2] :].strip()
    return " ".join(part for part in (before, wanted, after) if part)


def cut(frame: Frame, rng: Random) -> tuple[list[NDArray[np.uint8]], list[NDArray[np.uint8]]]:
    """Cut a scan's number strips and name strips, its corners found a little wrongly."""
    height, width = frame.shape[:2]
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    corners += rng.normal(0, 0.004 * height, (4, 2)).astype(np.float32)
    levels = pyramid(frame)
    return [strip_of(levels, corners, place) for place in NUMBERS], [
        strip_of(levels, corners, place) for place in NAMES
    ]


def main() -> None:
    """Cut, read, put right, spoil and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--copies", type=int, default=5)
    args = parser.parse_args()
    os.nice(15)
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    network = ReaderNetwork()
    network.load_state_dict(torch.load(args.checkpoint, weights_only=True)["kept"])
    network.eval()
    rng = np.random.default_rng(7)
    strips: list[NDArray[np.uint8]] = []
    texts: list[list[int]] = []
    with (args.data / "references" / "index.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if not held_out(row["id"])]
    for row in rows:
        numbers, names = cut(read_image(args.data / "references" / row["file"]), rng)
        total = int(row["printed_total"]) if row["printed_total"].isdigit() else None
        forms = number_forms(row["number"], total, promo=row["rarity"] == "Promo")
        wanted = [("number", forms)] * len(numbers) if int(row["width"]) >= READABLE else []
        given = [*(numbers if wanted else []), *names]
        with torch.no_grad():
            best = network(normalised(torch.from_numpy(np.stack(given)))).argmax(dim=2).numpy()
        for strip, path, (_, ways) in zip(given, best, [*wanted, *[("name", (plain(row["name"]),))] * 3], strict=True):
            found = [text for way in ways if len(way) > 2 and (text := put_right(spelt(path), way))]
            label = min(found, key=lambda text: edits(text, spelt(path)), default=None)
            if label and len(label) <= LONGEST:
                strips += [
                    strip,
                    *(spoil(cv2.resize(strip, None, fx=2, fy=2).astype(np.float32), rng) for _ in range(args.copies)),
                ]
                texts += [codes(label)] * (1 + args.copies)
    spelled = np.zeros((len(texts), LONGEST), np.uint8)
    for row_number, spelling in enumerate(texts):
        spelled[row_number, : len(spelling)] = spelling
    order = rng.permutation(len(strips))
    for number, part in enumerate(np.array_split(order, max(1, len(order) // 5000))):
        save(args.out / f"cut-{number:04}.npz", np.stack([strips[i] for i in part]), spelled[part])
    print(f"{len(strips)} strips of {len(rows)} scans")  # noqa: T201


if __name__ == "__main__":
    main()

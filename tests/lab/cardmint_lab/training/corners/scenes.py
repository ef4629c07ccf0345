"""Draw scenes ahead of training, into files of a few hundred.

`python -m cardmint_lab.training.corners.scenes --data CARDMINT_DATA --out DIR`; a file that is
there already is not drawn again.
"""

import argparse
import csv
import os
from pathlib import Path

import cv2
import numpy as np

from cardmint_edge.adapters.decode import read_image
from cardmint_edge.domain.recognition import Frame
from cardmint_lab.scenes import held_out
from cardmint_lab.training.corners.draw import INPUT, OUTPUT, draw
from cardmint_lab.training.files import save

CARD = (200, 280)
"""Width and height of a card as it is laid into scenes."""

HELD_OUT = "held-out"


def read_cards(data: Path, *, apart: bool) -> list[Frame]:
    """Read the scans that no training sees (`apart`), or all others, at the size of CARD."""
    with (data / "references" / "index.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if held_out(row["id"]) == apart]
    scans = (read_image(data / "references" / row["file"]) for row in rows)
    return [
        np.asarray(cv2.resize(scan, CARD, interpolation=cv2.INTER_AREA), np.uint8) for scan in scans
    ]


def write(cards: list[Frame], path: Path, count: int, seed: int) -> None:
    """Draw `count` scenes into one file."""
    rng = np.random.default_rng(seed)
    frames = np.empty((count, INPUT[1], INPUT[0], 3), np.uint8)
    truths = np.empty((count, OUTPUT[1], OUTPUT[0], 4), np.uint8)
    for row in range(count):
        drawn = draw(cards, rng)
        frames[row] = drawn.frame
        truths[row, ..., 0], truths[row, ..., 1], truths[row, ..., 2:] = (
            drawn.inside,
            drawn.outline,
            drawn.up,
        )
    save(path, frames=frames, truths=truths)


def main() -> None:
    """Draw the files that are missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--files", type=int, default=40)
    parser.add_argument("--scenes", type=int, default=400)
    parser.add_argument("--held-out", type=int, default=400)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    os.nice(15)
    args.out.mkdir(parents=True, exist_ok=True)
    if not (path := args.out / f"{HELD_OUT}.npz").exists():
        write(read_cards(args.data, apart=True), path, args.held_out, 10**6)
    cards = read_cards(args.data, apart=False)
    for number in range(args.files):
        if not (path := args.out / f"scenes-{number:04}.npz").exists():
            write(cards, path, args.scenes, number)


if __name__ == "__main__":
    main()

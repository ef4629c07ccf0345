"""Photograph scans that may be trained on, and rectify each photo as the station would.

Into files of a few hundred.

`python -m cardmint_lab.training.embedding.views --data CARDMINT_DATA --out DIR`; a file that is
there already is not made again.
"""

import argparse
import csv
import os
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from cardmint_edge.adapters.decode import read_image
from cardmint_edge.domain.recognition import Frame
from cardmint_edge.domain.vision.hashing import HASH_SIZE
from cardmint_edge.domain.vision.quad import Quad
from cardmint_edge.domain.vision.view import View
from cardmint_lab.scenes import PRESETS, Random, held_out, render
from cardmint_lab.training.files import save

SIDE = 645
"""Photos are rendered at half of the size that a station sees.

A rectified card is smaller still.
"""

LARGE = (240, 336)
"""Width and height at which scans are held."""

SHARES = {"copy_stand": 0.15, "table": 0.35, "hard": 0.5}

HELD_OUT = "held-out"


def read_scans(data: Path, most: int, *, apart: bool) -> list[Frame]:
    """Read at most `most` held-out scans (`apart`), or of all others, at the size of LARGE."""
    with (data / "references" / "index.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if held_out(row["id"]) == apart]
    scans = (read_image(data / "references" / row["file"]) for row in rows[:most])
    return [
        np.asarray(cv2.resize(scan, LARGE, interpolation=cv2.INTER_AREA), np.uint8)
        for scan in scans
    ]


def small(scan: Frame) -> Frame:
    """Return a scan as a catalogue pack's pictures are embedded (134 x 96 x 3, BGR)."""
    return np.asarray(cv2.resize(scan, HASH_SIZE, interpolation=cv2.INTER_AREA), np.uint8)


def view(scan: Frame, rng: Random) -> Frame:
    """Photograph a scan and rectify it by slightly wrong corners (134 x 96 x 3, BGR)."""
    preset = PRESETS[str(rng.choice(list(SHARES), p=list(SHARES.values())))]
    factor = min(preset.width, preset.height) / SIDE / 2
    low, high = preset.card_height
    soft, softer = preset.blur
    half = replace(
        preset,
        width=SIDE,
        height=SIDE,
        card_height=(low * factor, high * factor),
        blur=(soft / 2, softer / 2),
    )
    scene = render(scan, half, rng)
    off = abs(rng.normal(0, 0.012)) * scene.quad.height
    corners = np.asarray(scene.quad.corners + rng.normal(0, off, (4, 2)), np.float32)
    return View(scene.frame).cut(Quad(corners), *HASH_SIZE)


def write(scans: list[Frame], path: Path, count: int, seed: int) -> None:
    """Write `count` views, each with its scan's index, and the scans as a pack has them."""
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(np.resize(rng.permutation(len(scans)), count))
    views = np.stack([view(scans[int(row)], rng) for row in chosen])
    save(
        path,
        views=views,
        scans=np.stack([small(scans[int(row)]) for row in chosen]),
        rows=chosen.astype(np.uint16),
    )


def main() -> None:
    """Make the files that are missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--files", type=int, default=40)
    parser.add_argument("--views", type=int, default=768)
    parser.add_argument("--scans", type=int, default=10**6, help="so many scans at most")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    os.nice(15)
    args.out.mkdir(parents=True, exist_ok=True)
    if not (path := args.out / f"{HELD_OUT}.npz").exists():
        scans = read_scans(args.data, args.scans, apart=True)
        write(scans, path, 3 * len(scans), 10**6)
    scans = read_scans(args.data, args.scans, apart=False)
    for number in range(args.files):
        if not (path := args.out / f"views-{number:04}.npz").exists():
            write(scans, path, args.views, number)


if __name__ == "__main__":
    main()

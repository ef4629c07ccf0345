"""Draw lines ahead of training, into files of a few thousand: drawing is slower than learning.

`python -m cardmint_lab.training.reader.shards --catalogue DIR --out DIR`; a shard that is there
already is not drawn again.
"""

import argparse
import os
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from cardmint_edge.domain.reading.lexicon import codes
from cardmint_lab.training.files import save
from cardmint_lab.training.reader.draw import HEIGHT, WIDTH, draw, installed_fonts
from cardmint_lab.training.reader.lines import LineTexts, read_texts

LONGEST = 48
"""Codes kept of a line; longer ones are drawn again. Zero, CTC's blank, fills the rest."""

HELD_OUT_FONT = 7
"""Every seventh font, and its seed, serve the held-out lines only."""


def draw_shard(
    texts: LineTexts, fonts: list[str], lines: int, seed: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Draw `lines` lines; return strips (n x HEIGHT x WIDTH) and their codes (n x LONGEST)."""
    rng = np.random.default_rng(seed)
    strips = np.empty((lines, HEIGHT, WIDTH), np.uint8)
    spelled = np.zeros((lines, LONGEST), np.uint8)
    drawn = 0
    while drawn < lines:
        line = draw(texts, fonts, rng)
        spelt = codes(line.text)
        if 0 < len(spelt) <= LONGEST:
            strips[drawn] = line.strip
            spelled[drawn, : len(spelt)] = spelt
            drawn += 1
    return strips, spelled


def fonts_for(*, held_out: bool) -> list[str]:
    """Return the fonts of one part: no font of the held-out lines is ever trained on."""
    fonts = installed_fonts()
    apart = set(sorted(set(fonts))[::HELD_OUT_FONT])
    return [font for font in fonts if (font in apart) == held_out]


def main() -> None:
    """Draw the shards that are missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--shards", type=int, default=60)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--lines", type=int, default=5000)
    parser.add_argument("--held-out", type=int, default=2000)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    os.nice(15)
    args.out.mkdir(parents=True, exist_ok=True)
    texts = read_texts(args.data)
    apart = args.out / "held-out.npz"
    if args.first == 0 and not apart.exists():
        strips, spelled = draw_shard(texts, fonts_for(held_out=True), args.held_out, 10**6)
        save(apart, strips=strips, texts=spelled)
    for number in range(args.first, args.first + args.shards):
        path = args.out / f"drawn-{number:04}.npz"
        if not path.exists():
            strips, spelled = draw_shard(texts, fonts_for(held_out=False), args.lines, number)
            save(path, strips=strips, texts=spelled)


if __name__ == "__main__":
    main()

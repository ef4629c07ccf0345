"""Find the few strips that show names, numbers and health points on the most scans.

Only scans that may be trained on are used. The larger reader reads a grid of places on each; the
place that shows the text on the most scans is taken first, then the best for the others, and so on.

`python -m cardmint_lab.training.reader.strip_search --data CARDMINT_DATA`
"""

import argparse
from pathlib import Path

import cv2
import numpy as np

from cardmint_edge.adapters.decode import read_image
from cardmint_edge.adapters.line_reader import LineReader
from cardmint_edge.domain.reading.strips import coloured_strip
from cardmint_edge.domain.vision.view import StripPlace, View
from cardmint_lab.training.reader.cuts import likeliest, outline, put_right, read_rows

GRID = {
    "name": [
        StripPlace(left, middle, 0.72)
        for left in (0.04, 0.14)
        for middle in np.arange(0.04, 0.15, 0.01).round(3).tolist()
    ],
    "number": [
        StripPlace(left, middle, 0.4)
        for left in (0.02, 0.3, 0.58)
        for middle in np.arange(0.91, 0.986, 0.006).round(3).tolist()
    ],
    "health": [
        StripPlace(left, middle, 0.6)
        for left in (0.3, 0.36)
        for middle in np.arange(0.04, 0.13, 0.01).round(3).tolist()
    ],
}


def main() -> None:
    """Print, for each kind of text, the places in the order in which they would be taken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--scans", type=int, default=1000)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    reader = LineReader()
    rng = np.random.default_rng(1)
    shown: dict[str, dict[StripPlace, set[Path]]] = {
        kind: {place: set() for place in places} for kind, places in GRID.items()
    }
    asked: dict[str, set[Path]] = {kind: set() for kind in GRID}
    rows = list(read_rows(args.data))
    for chosen in rng.permutation(len(rows))[: args.scans].tolist():
        file, texts = rows[chosen]
        scan = read_image(file)
        card = View(scan).at(outline(scan, rng, 0.001))
        wanted = {"name": (texts.name,), "number": texts.numbers, "health": (texts.health,)}
        for kind, places in GRID.items():
            ways = [text for text in wanted[kind] if len(text) > 1]
            if not ways:
                continue
            asked[kind].add(file)
            for place in places:
                said, _ = likeliest(reader(coloured_strip(card, place)))
                if any(put_right(said, text) for text in ways):
                    shown[kind][place].add(file)
    for kind, places_of in shown.items():
        left = set(asked[kind])
        while left:
            best = max(places_of, key=lambda place: len(places_of[place] & left))
            gained = len(places_of[best] & left)
            left -= places_of[best]
            of = f"{len(left)} of {len(asked[kind])} left"
            print(f"{kind}: {best} shows it on {len(places_of[best])}, {gained} more, {of}")
            if gained < 4:
                break


if __name__ == "__main__":
    main()

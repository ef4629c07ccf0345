"""Find the few strips that show names, numbers and health points on the most scans.

Only scans that may be trained on are used. The current reader reads a grid of places on each; the
place that shows the text on the most scans is taken first, then the best for the others, and so on.

`python -m cardmint_lab.training.reader.strip_search --data CARDMINT_DATA --checkpoint FILE`
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch

from cardmint_edge.adapters.decode import read_image
from cardmint_edge.domain.vision.view import StripPlace
from cardmint_lab.training.reader.cuts import Labeller, read_rows
from cardmint_lab.training.reader.network import ReaderNetwork

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
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--scans", type=int, default=1000)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    network = ReaderNetwork()
    network.load_state_dict(torch.load(args.checkpoint, weights_only=True)["kept"])
    labeller = Labeller(network.eval())
    rng = np.random.default_rng(1)
    shown: dict[str, dict[StripPlace, set[str]]] = {
        kind: {place: set() for place in places} for kind, places in GRID.items()
    }
    asked: dict[str, set[str]] = {kind: set() for kind in GRID}
    rows = list(read_rows(args.data))
    for chosen in rng.permutation(len(rows))[: args.scans].tolist():
        row, wanted = rows[chosen]
        scan = read_image(args.data / "references" / row["file"])
        kinds = {
            ("name", "number", "health")[(place.middle > 0.5) + 2 * (place.left == 0.36)]: texts
            for place, texts in wanted.items()
        }
        for kind, texts in kinds.items():
            asked[kind].add(row["id"])
            for place in labeller.places(scan, dict.fromkeys(GRID[kind], texts), rng):
                shown[kind][place].add(row["id"])
    for kind, places in shown.items():
        left = set(asked[kind])
        while left:
            best = max(places, key=lambda place: len(places[place] & left))
            gained = len(places[best] & left)
            left -= places[best]
            of = f"{len(left)} of {len(asked[kind])} left"
            print(f"{kind}: {best} shows it on {len(places[best])}, {gained} more, {of}")
            if gained < 4:
                break


if __name__ == "__main__":
    main()

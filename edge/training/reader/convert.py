"""Turn trained weights into the reader that the station carries.

`python -m training.reader.convert --checkpoint FILE --held-out FILE --out cardmint_edge/models`
"""

import argparse
from dataclasses import asdict
from pathlib import Path

import torch

from cardmint_edge.domain.lexicon import ALPHABET
from training.litert import Converted, convert, write
from training.reader.draw import HEIGHT, WIDTH
from training.reader.network import ReaderNetwork
from training.reader.train import score

VERSION = 2


def main() -> None:
    """Convert by the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--held-out", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    state = torch.load(args.checkpoint, weights_only=True)
    network = ReaderNetwork()
    network.load_state_dict(state["kept"])
    model = convert(network, torch.zeros(1, 1, HEIGHT, WIDTH))
    facts = {
        "alphabet": ALPHABET,
        "made": f"edge/training/reader: {state['seen']} lines seen in {state['spent'] / 60:.0f} minutes",
        "scored": {
            "on": "drawn lines in fonts held out from training",
            **asdict(score(Converted(model), args.held_out)),
        },
    }
    write(args.out, "reader", VERSION, model, facts)


if __name__ == "__main__":
    main()

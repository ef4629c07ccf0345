"""Turn trained weights into the finder that the station carries.

`python -m training.corners.convert --checkpoint FILE --held-out FILE --out cardmint_edge/models`
"""

import argparse
from pathlib import Path

import torch

from training.corners.network import CornersNetwork
from training.corners.train import score
from training.litert import Converted, convert, write

VERSION = 1


def main() -> None:
    """Convert by the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--held-out", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    state = torch.load(args.checkpoint, weights_only=True)
    network = CornersNetwork()
    network.load_state_dict(state["kept"])
    model = convert(network, torch.zeros(1, 3, 192, 256))
    facts = {
        "made": f"edge/training/corners: {state['seen']} scenes seen in {state['spent'] / 60:.0f} minutes",
        "scored": {"on": "drawn scenes of cards held out from training", **score(Converted(model), args.held_out)},
    }
    write(args.out, "corners", VERSION, model, facts)


if __name__ == "__main__":
    main()

"""Turn trained weights into the finder that the station carries.

`python -m cardmint_lab.training.corners.convert --checkpoint FILE --held-out FILE --out DIR`
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from cardmint_lab.training.corners.network import CornersNetwork
from cardmint_lab.training.corners.train import score
from cardmint_lab.training.litert import by_command_line

VERSION = 2


def scored(network: nn.Module, held_out: Path) -> Mapping[str, object]:
    """Return how the network scores, for the manifest."""
    return {
        "scored": {
            "on": "drawn scenes of cards held out from cardmint_lab.training",
            **score(network, held_out),
        }
    }


if __name__ == "__main__":
    by_command_line(
        "corners",
        VERSION,
        CornersNetwork(),
        torch.zeros(1, 3, 192, 256),
        seen="scenes",
        score=scored,
    )

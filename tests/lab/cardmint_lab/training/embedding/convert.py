"""Turn trained weights into the embedding that the station carries.

`python -m cardmint_lab.training.embedding.convert --checkpoint FILE --held-out FILE --out DIR`
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from cardmint_lab.training.embedding.network import EmbeddingNetwork
from cardmint_lab.training.embedding.train import score
from cardmint_lab.training.litert import by_command_line

VERSION = 1


def scored(network: nn.Module, held_out: Path) -> Mapping[str, object]:
    """Return how the network finds scans, and how the hash does, for the manifest."""
    return {
        "scored": {
            "on": "rendered photos of cards held out from cardmint_lab.training",
            **score(network, held_out),
        }
    }


if __name__ == "__main__":
    by_command_line(
        "embedding",
        VERSION,
        EmbeddingNetwork(),
        torch.zeros(1, 3, 134, 96),
        seen="photos",
        score=scored,
    )

"""Begin to train from the reader that a station carries.

`python -m cardmint_lab.training.reader.warm_start --model FILE --data DIR --out DIR`
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from cardmint_lab.training.files import load, some
from cardmint_lab.training.reader.network import Deep, ReaderNetwork, normalised
from cardmint_lab.training.unfold import Layer, by_command_line

STRIPS = 512

KNOWN_ALONG = 4
"""Convolutions along the line that the model of version 3 has; later ones have all."""


def added_to(network: ReaderNetwork, layers: list[Layer]) -> set[nn.Module]:
    """Return the parts of the network that a model with these layers lacks."""
    if len(layers) == sum(isinstance(one, nn.Conv2d) for one in network.modules()):
        return set()
    return {one for one in network.front if isinstance(one, Deep)} | {*network.line[KNOWN_ALONG:]}


def strips(data: Path) -> Tensor:
    """Read some drawn strips as the network takes them."""
    [read] = load(some(data, "drawn", 1, np.random.default_rng(1)), ("strips",))
    return normalised(torch.from_numpy(read[:STRIPS]))


if __name__ == "__main__":
    by_command_line(__doc__, ReaderNetwork, strips, added_to)

"""Begin to train from the finder that a station carries.

`python -m cardmint_lab.training.corners.warm_start --model FILE --data DIR --out DIR`
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from cardmint_lab.training.corners.network import CornersNetwork
from cardmint_lab.training.corners.train import taken
from cardmint_lab.training.files import load, some
from cardmint_lab.training.unfold import by_command_line

FRAMES = 200


def frames(data: Path) -> Tensor:
    """Read some drawn scenes as the network takes them."""
    [read] = load(some(data, "scenes", 1, np.random.default_rng(1)), ("frames",))
    return taken(torch.from_numpy(read[:FRAMES]))


if __name__ == "__main__":
    by_command_line(__doc__, CornersNetwork, frames)

"""Turn trained weights into the reader that the station carries.

`python -m cardmint_lab.training.reader.convert --checkpoint FILE --held-out FILE --out DIR`
"""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import torch
from torch import nn

from cardmint_edge.domain.reading.lexicon import ALPHABET
from cardmint_lab.training.litert import by_command_line
from cardmint_lab.training.reader.draw import HEIGHT, WIDTH
from cardmint_lab.training.reader.network import ReaderNetwork
from cardmint_lab.training.reader.train import score

VERSION = 4


def scored(network: nn.Module, held_out: Path) -> Mapping[str, object]:
    """Return the letters that the network says and how it scores, for the manifest."""
    read = asdict(score(network, held_out))
    return {
        "alphabet": ALPHABET,
        "scored": {"on": "drawn lines in fonts held out from cardmint_lab.training", **read},
    }


if __name__ == "__main__":
    by_command_line(
        "reader",
        VERSION,
        ReaderNetwork(),
        torch.zeros(1, 1, HEIGHT, WIDTH),
        seen="lines",
        score=scored,
    )

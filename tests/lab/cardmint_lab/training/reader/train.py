"""Train the reader on shards; a run that is stopped goes on from its last checkpoint.

`python -m cardmint_lab.training.reader.train --data DIR --out DIR --minutes 60`
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from cardmint_edge.domain.reading.lexicon import ALPHABET
from cardmint_lab.training.files import load, some
from cardmint_lab.training.reader.network import STEPS, ReaderNetwork, normalised
from cardmint_lab.training.reader.spelling import edits, spelt
from cardmint_lab.training.run import Run, chosen, options

BATCH = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """How held-out lines were read, by the best path."""

    lines: int
    line_accuracy: float
    cer: float
    """Edits by letters of the truth."""


def augmented(strips: Tensor, generator: torch.Generator) -> Tensor:
    """Vary strips once more, cheaply.

    Contrast, inversion, noise, and a small stretch and shift along the line.
    """
    n = len(strips)
    x = normalised(strips)
    x = x * torch.where(torch.rand(n, 1, 1, 1, generator=generator) < 0.25, -1.0, 1.0)
    scale = 1 + 0.16 * (torch.rand(n, 2, generator=generator) - 0.5)
    shift = torch.rand(n, 2, generator=generator) - 0.5
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, 0], theta[:, 1, 1] = scale[:, 0].clamp(min=1.0), scale[:, 1]
    theta[:, 0, 2], theta[:, 1, 2] = 0.02 * shift[:, 0], 0.25 * shift[:, 1]
    theta[:, 0, 1] = 0.04 * (torch.rand(n, generator=generator) - 0.5)
    grid = functional.affine_grid(theta, list(x.shape), align_corners=False)
    x = functional.grid_sample(x, grid, padding_mode="border", align_corners=False)
    noise = (
        torch.randn(x.shape, generator=generator)
        * 0.12
        * torch.rand(n, 1, 1, 1, generator=generator)
    )
    return x + noise


def loss_of(logits: Tensor, texts: Tensor) -> Tensor:
    """Return the CTC loss of logits (n x STEPS x classes) against codes (n x most, 0-padded)."""
    lengths = (texts > 0).sum(dim=1)
    # A code outside of the classes crashes PyTorch without an exception.
    if int(texts.max()) > len(ALPHABET):
        message = "a text spells letters that the network does not have"
        raise ValueError(message)
    steps = torch.full((len(logits),), STEPS, dtype=torch.long)
    predicted = logits.log_softmax(dim=2).permute(1, 0, 2)
    return functional.ctc_loss(predicted, texts.long(), steps, lengths, blank=0, zero_infinity=True)


@torch.no_grad()
def score(network: nn.Module, path: Path) -> Score:
    """Read the held-out lines."""
    network.eval()
    with np.load(path) as held:
        strips, texts = held["strips"], held["texts"]
    said = []
    for start in range(0, len(strips), 250):
        logits = network(normalised(torch.from_numpy(strips[start : start + 250])))
        said += [spelt(best) for best in logits.argmax(dim=2).numpy()]
    truth = ["".join(ALPHABET[code - 1] for code in row if code) for row in texts]
    wrong = sum(edits(one, other) for one, other in zip(said, truth, strict=True))
    right = sum(" ".join(one.split()) == other for one, other in zip(said, truth, strict=True))
    return Score(
        lines=len(truth),
        line_accuracy=round(right / len(truth), 4),
        cer=round(wrong / sum(map(len, truth)), 4),
    )


def train(
    data: Path, out: Path, *, seconds: float, steps: int, seed: int, until: float = 1.0
) -> Score:
    """Train for `seconds` in all, earlier runs counted, or `steps`.

    Return how the kept weights score.

    The learning rate falls over `seconds`; `until` is the share of them after which this run stops.
    """
    out.mkdir(parents=True, exist_ok=True)
    checkpoint = out / "checkpoint.pt"
    run = Run.start(ReaderNetwork, checkpoint)
    rng = np.random.default_rng(seed + run.seen)
    torch.manual_seed(seed + run.seen)
    generator = torch.Generator().manual_seed(seed + run.seen)

    def rounds() -> Iterator[list[NDArray[np.uint8]]]:
        while True:
            # More cut strips than drawn ones: fonts for breadth, cards for what matters.
            yield load(
                [*some(data, "drawn", 1, rng), *some(data, "cut", 4, rng)], ("strips", "texts")
            )

    def learned(strips: Tensor, texts: Tensor) -> Tensor:
        return loss_of(run.network(augmented(strips, generator)), texts)

    for loss in run.over(rounds(), learned, batch=BATCH, seconds=seconds, until=until, steps=steps):
        run.save(checkpoint)
        now = score(run.kept, data / "held-out.npz")
        line = {"seen": run.seen, "minutes": round(run.spent / 60, 1), "loss": round(loss, 3)}
        print(json.dumps({**line, "line_accuracy": now.line_accuracy, "cer": now.cer}), flush=True)
    return score(run.kept, data / "held-out.npz")


def main() -> None:
    """Train by the command line."""
    parser = options(__doc__)
    parser.add_argument(
        "--until", type=float, default=1.0, help="stop after this share of the minutes"
    )
    args = chosen(parser)
    train(
        args.data, args.out, seconds=args.minutes * 60, steps=args.steps, seed=1, until=args.until
    )


if __name__ == "__main__":
    main()

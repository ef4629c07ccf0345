"""Train the embedding; a run that is stopped goes on from its last checkpoint.

`python -m cardmint_lab.training.embedding.train --data DIR --out DIR --minutes 60`

Each photo of a batch has to be nearer to its own scan than to any other's, and each scan to its own
photo: InfoNCE, after van den Oord et al., "Representation learning with contrastive predictive
coding" (2018).
"""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from cardmint_edge.domain.vision.hashing import card_hash, distances
from cardmint_lab.training.embedding.network import EmbeddingNetwork, normalised
from cardmint_lab.training.files import load, some
from cardmint_lab.training.run import Run, chosen, options

BATCH = 128
TEMPERATURE = 0.06
WITHIN = 8
"""How many rows are looked at closely: being among so many is what counts."""

KEYS = ("views", "scans", "rows")


def augmented(views: Tensor, generator: torch.Generator) -> Tensor:
    """Normalise views, add noise, and cover a part of some by a bright patch like glare."""
    x = normalised(views)
    n, _, height, width = x.shape
    noise = (
        torch.randn(x.shape, generator=generator)
        * 0.25
        * torch.rand(n, 1, 1, 1, generator=generator)
    )
    middle = torch.rand(2, n, 1, 1, generator=generator)
    half = 0.03 + 0.15 * torch.rand(2, n, 1, 1, generator=generator)
    down = (torch.linspace(0, 1, height)[None, :, None] - middle[0]).abs() < half[0]
    across = (torch.linspace(0, 1, width)[None, None, :] - middle[1]).abs() < half[1]
    covered = (down & across & (torch.rand(n, 1, 1, generator=generator) < 0.4))[:, None]
    return torch.where(covered, 1.5, x + noise)


def loss_of(seen: Tensor, known: Tensor, rows: Tensor) -> Tensor:
    """Return the loss of photos' vectors and those of their scans.

    Photos of one scan are no strangers.
    """
    alike = seen @ known.T / TEMPERATURE
    same = rows[:, None] == rows[None, :]
    alike = alike.masked_fill(same & ~torch.eye(len(rows), dtype=torch.bool), -1e4)
    wanted = torch.arange(len(rows))
    return (functional.cross_entropy(alike, wanted) + functional.cross_entropy(alike.T, wanted)) / 2


@torch.no_grad()
def vectors(network: nn.Module, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the vectors of pictures (n x 134 x 96 x 3)."""
    network.eval()
    parts = [
        network(normalised(torch.from_numpy(pictures[at : at + 250])))
        for at in range(0, len(pictures), 250)
    ]
    return np.asarray(torch.cat(parts).numpy(), np.float32)


def score(network: nn.Module, path: Path) -> dict[str, float]:
    """Return how often a held-out photo's own scan comes first, or among the first few.

    The same shares are returned for the hash of the classical method.
    """
    views, scans, rows = load([path], KEYS)
    _, first = np.unique(rows, return_index=True)
    own = np.searchsorted(rows[first], rows)
    by_vector = -vectors(network, views) @ vectors(network, scans[first]).T
    gallery = np.stack([card_hash(scan) for scan in scans[first]])
    by_hash = np.stack([distances(card_hash(view), gallery) for view in views])
    said: dict[str, float] = {"views": len(views), "scans": len(first)}
    for name, apart in (("", by_vector), ("hash_", by_hash.astype(np.float32))):
        place = (apart < np.take_along_axis(apart, own[:, None], axis=1)).sum(axis=1)
        said[f"{name}first"] = round(float((place == 0).mean()), 4)
        said[f"{name}within_{WITHIN}"] = round(float((place < WITHIN).mean()), 4)
    return said


def train(data: Path, out: Path, *, seconds: float, steps: int, seed: int) -> dict[str, float]:
    """Train for `seconds` in all, earlier runs counted, or `steps`.

    Return how the kept weights score.
    """
    out.mkdir(parents=True, exist_ok=True)
    checkpoint = out / "checkpoint.pt"
    run = Run.start(EmbeddingNetwork, checkpoint)
    rng = np.random.default_rng(seed + run.seen)
    torch.manual_seed(seed + run.seen)
    generator = torch.Generator().manual_seed(seed + run.seen)

    def rounds() -> Iterator[list[NDArray[np.uint8]]]:
        while True:
            yield load(some(data, "views", 2, rng), KEYS)

    def learned(views: Tensor, scans: Tensor, rows: Tensor) -> Tensor:
        both = run.network(torch.cat([augmented(views, generator), normalised(scans)]))
        return loss_of(both[: len(views)], both[len(views) :], rows.long())

    for loss in run.over(rounds(), learned, batch=BATCH, seconds=seconds, steps=steps):
        run.save(checkpoint)
        line = {"seen": run.seen, "minutes": round(run.spent / 60, 1), "loss": round(loss, 3)}
        print(json.dumps({**line, **score(run.kept, data / "held-out.npz")}), flush=True)
    return score(run.kept, data / "held-out.npz")


def main() -> None:
    """Train by the command line."""
    args = chosen(options(__doc__))
    train(args.data, args.out, seconds=args.minutes * 60, steps=args.steps, seed=1)


if __name__ == "__main__":
    main()

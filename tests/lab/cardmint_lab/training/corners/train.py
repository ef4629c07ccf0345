"""Train the finder of cards on drawn scenes.

A run that is stopped goes on from its last checkpoint.

`python -m cardmint_lab.training.corners.train --data DIR --out DIR --minutes 20`
"""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from cardmint_lab.training.corners.network import CornersNetwork
from cardmint_lab.training.corners.scenes import HELD_OUT
from cardmint_lab.training.files import load, some
from cardmint_lab.training.run import Run, chosen, options

BATCH = 32
KEYS = ("frames", "truths")


def taken(frames: Tensor) -> Tensor:
    """Bring frames (n x 192 x 256 x 3, 0 to 255) to what the network reads.

    The station does the same in numpy.
    """
    return frames.permute(0, 3, 1, 2).float() / 255


def loss_of(said: Tensor, truths: Tensor) -> Tensor:
    """Return the loss of outputs (n x 4 x 96 x 128) against truths (n x 96 x 128 x 4, bytes)."""
    inside, outline = truths[..., 0].float() / 255, truths[..., 1].float() / 255
    up = truths[..., 2:].float() / 127 - 128 / 127
    covered = functional.binary_cross_entropy_with_logits(said[:, 0], inside)
    # Outlines are thin: their pixels weigh more.
    lined = functional.binary_cross_entropy_with_logits(
        said[:, 1], outline, pos_weight=torch.tensor(3.0)
    )
    mask = (inside > 0.9).float()
    agree = functional.cosine_similarity(said[:, 2:], up.permute(0, 3, 1, 2), dim=1, eps=1e-3)
    turned = ((1 - agree) * mask).sum() / (mask.sum() + 1)
    return covered + 0.5 * lined + 0.3 * turned


def augmented(frames: Tensor) -> Tensor:
    """Vary light, tint and noise once more."""
    n = len(frames)
    x = taken(frames) * (0.7 + 0.6 * torch.rand(n, 1, 1, 1)) * (1 + 0.1 * torch.randn(n, 3, 1, 1))
    return (x + 0.02 * torch.rand(n, 1, 1, 1) * torch.randn(x.shape)).clamp(0, 1)


@torch.no_grad()
def score(network: torch.nn.Module, path: Path) -> dict[str, float]:
    """Return the IoU of pixels in cards over held-out scenes, and the share of right directions."""
    network.eval()
    frames, truths = load([path], KEYS)
    said = np.concatenate(
        [
            network(taken(torch.from_numpy(frames[start : start + 50]))).numpy()
            for start in range(0, len(frames), 50)
        ]
    )
    inside, seen = truths[..., 0] > 127, said[:, 0] > 0
    covered = (inside & seen).sum() / (inside | seen).sum()
    up = truths[..., 2:].astype(np.float32) - 128
    agree = (said[:, 2:].transpose(0, 2, 3, 1) * up).sum(axis=3)[inside] > 0
    return {
        "scenes": len(frames),
        "iou": round(float(covered), 4),
        "up": round(float(agree.mean()), 4),
    }


def train(data: Path, out: Path, *, seconds: float, steps: int, seed: int) -> dict[str, float]:
    """Train for `seconds` in all, earlier runs counted, or `steps`.

    Return how the kept weights score.
    """
    out.mkdir(parents=True, exist_ok=True)
    checkpoint = out / "checkpoint.pt"
    run = Run.start(CornersNetwork, checkpoint)
    torch.manual_seed(seed + run.seen)
    rng = np.random.default_rng(seed + run.seen)

    def rounds() -> Iterator[list[NDArray[np.uint8]]]:
        while True:
            yield load(some(data, "scenes", 5, rng), KEYS)

    def learned(frames: Tensor, truths: Tensor) -> Tensor:
        x, y = augmented(frames), truths
        if torch.rand(()) < 0.5:
            x, y = x.flip(2), y.flip(1)
            y = torch.cat([y[..., :3], (256 - y[..., 3:].int()).clamp(max=255).to(y.dtype)], 3)
        return loss_of(run.network(x.contiguous(memory_format=torch.channels_last)), y)

    for loss in run.over(rounds(), learned, batch=BATCH, seconds=seconds, steps=steps):
        run.save(checkpoint)
        line = {"seen": run.seen, "minutes": round(run.spent / 60, 1), "loss": round(loss, 4)}
        print(json.dumps({**line, **score(run.kept, data / f"{HELD_OUT}.npz")}), flush=True)
    return score(run.kept, data / f"{HELD_OUT}.npz")


def main() -> None:
    """Train by the command line."""
    args = chosen(options(__doc__, minutes=20))
    train(args.data, args.out, seconds=args.minutes * 60, steps=args.steps, seed=1)


if __name__ == "__main__":
    main()

"""A training run that can be stopped.

A network, the slow average of its weights that is kept, and the optimiser.
"""

import argparse
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

PEAK = 2e-3
SMOOTHED = 0.998
"""How slowly the averaged weights, the ones that are kept, follow."""

WARM = 20_000
"""Samples over which the learning rate rises."""

Network = TypeVar("Network", bound=nn.Module)


@dataclass(kw_only=True)
class Run(Generic[Network]):
    """A run's state, as a checkpoint keeps it.

    Weights, their average, samples seen and seconds spent.
    """

    network: Network
    kept: Network
    optimiser: torch.optim.Optimizer
    seen: int = 0
    spent: float = 0.0

    @classmethod
    def start(cls, make: Callable[[], Network], checkpoint: Path) -> "Run[Network]":
        """Go on from a checkpoint, or begin with two networks that `make` makes."""
        network, kept = make(), make()
        network.to(memory_format=torch.channels_last)
        optimiser = torch.optim.AdamW(network.parameters(), lr=PEAK, weight_decay=0.01)
        run = cls(network=network, kept=kept, optimiser=optimiser)
        if checkpoint.exists():
            state = torch.load(checkpoint, weights_only=True)
            network.load_state_dict(state["network"])
            kept.load_state_dict(state["kept"])
            optimiser.load_state_dict(state["optimiser"])
            run.seen, run.spent = state["seen"], state["spent"]
        else:
            kept.load_state_dict(network.state_dict())
        return run

    def save(self, checkpoint: Path) -> None:
        """Write a checkpoint whole or not at all."""
        state = {
            "network": self.network.state_dict(),
            "kept": self.kept.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "seen": self.seen,
            "spent": self.spent,
        }
        draft = checkpoint.with_suffix(".part")
        torch.save(state, draft)
        draft.replace(checkpoint)

    def learn(self, loss: Tensor, samples: int, share: float) -> None:
        """Take one step down a loss.

        The rate rises at first, then falls as `share` of the run's time goes by.
        """
        rate = (
            PEAK
            * min(1.0, (self.seen + samples) / WARM)
            * (0.5 * (1 + np.cos(np.pi * min(1.0, share))) + 0.005)
        )
        for group in self.optimiser.param_groups:
            group["lr"] = float(rate)
        self.optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self.optimiser.step()
        self.seen += samples
        follow = min(SMOOTHED, self.seen / (self.seen + 20 * samples))
        for mine, theirs in zip(
            self.kept.state_dict().values(), self.network.state_dict().values(), strict=True
        ):
            if mine.dtype.is_floating_point:
                mine.lerp_(theirs, 1 - follow)
            else:
                mine.copy_(theirs)

    def over(
        self,
        rounds: Iterator[list[NDArray[np.uint8]]],
        loss_of: Callable[..., Tensor],
        *,
        batch: int,
        seconds: float,
        steps: int,
        until: float = 1.0,
    ) -> Iterator[float]:
        """Learn from rounds of samples and yield each round's mean loss.

        The rate falls over `seconds` in all; this ends after the share `until` of them, or after
        `steps`.
        """
        before, began, done = self.spent, time.monotonic(), 0
        while self.spent < until * seconds and done < steps:
            samples = [torch.from_numpy(part) for part in next(rounds)]
            losses = []
            for chosen in torch.randperm(len(samples[0])).split(batch):
                self.network.train()
                loss = loss_of(*(part[chosen] for part in samples))
                self.learn(loss, len(chosen), self.spent / seconds)
                losses.append(loss.item())
                done += 1
                self.spent = before + time.monotonic() - began
                if done >= steps or self.spent >= until * seconds:
                    break
            yield float(np.mean(losses))


def options(about: str | None, *, minutes: float = 60) -> argparse.ArgumentParser:
    """Return the options that every training has."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=minutes)
    parser.add_argument("--steps", type=int, default=10**9, help="so many steps at most")
    parser.add_argument("--threads", type=int, default=1)
    return parser


def chosen(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Return what the command line says, and make way for whatever else the machine does."""
    args = parser.parse_args()
    os.nice(15)
    torch.set_num_threads(args.threads)
    return args

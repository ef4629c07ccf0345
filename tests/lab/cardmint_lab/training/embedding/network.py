"""The network: four halvings, two convolutions, and a short vector that keeps positions."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from cardmint_lab.training.layers import layer

SIZE = 64
"""How long a vector is."""

DEPTH = 24
"""Channels that are left of each of the 9 x 6 places before they become the vector."""


class EmbeddingNetwork(nn.Module):
    """Maps normalised pictures (n x 3 x 134 x 96) to unit vectors (n x SIZE)."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            layer(3, 24, stride=2),
            layer(24, 40, stride=2),
            layer(40, 72, stride=2),
            layer(72, 112, stride=2),
            _Again(112),
            _Again(112),
            layer(112, DEPTH, size=1),
        )
        self.head = nn.Conv2d(DEPTH, SIZE, (9, 6))

    def forward(self, pictures: Tensor) -> Tensor:
        """Return vectors of length 1."""
        return functional.normalize(self.head(self.body(pictures)).flatten(1), dim=1)


class _Again(nn.Module):
    """A residual convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = layer(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        added: Tensor = x + self.body(x)
        return added


def normalised(pictures: Tensor) -> Tensor:
    """Normalise pictures (n x 134 x 96 x 3, bytes) as the station's `vision.embedding` does."""
    x = pictures.permute(0, 3, 1, 2).float()
    deviation, mean = torch.std_mean(x, dim=(2, 3), keepdim=True, correction=0)
    return (x - mean) / (deviation + 8)

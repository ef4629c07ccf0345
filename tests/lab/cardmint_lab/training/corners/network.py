"""The network: halvings to 12 x 16, dilated convolutions, and back to half the input's size."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from cardmint_lab.training.layers import layer

CHANNELS = 4
"""What it says of a pixel.

In a card, on an outline (logits), and x and y of that card's up (of any length).
"""


class CornersNetwork(nn.Module):
    """Maps frames (n x 3 x 192 x 256, BGR, 0 to 1) to n x CHANNELS x 96 x 128."""

    def __init__(self) -> None:
        super().__init__()
        self.first = layer(3, 12, stride=2)
        self.second = layer(12, 20, stride=2)
        self.third = nn.Sequential(layer(20, 32, stride=2), layer(32, 32))
        self.deep = nn.Sequential(
            layer(32, 48, stride=2), *(_Around(48, dilation) for dilation in (1, 2, 4, 1))
        )
        self.to_eighth = layer(48 + 32, 24, size=1)
        self.at_eighth = layer(24, 24)
        self.to_quarter = layer(24 + 20, 16, size=1)
        self.at_quarter = layer(16, 16)
        self.to_half = layer(16 + 12, 12, size=1)
        self.head = nn.Conv2d(12, CHANNELS, 3, padding=1)

    def forward(self, frames: Tensor) -> Tensor:
        """Return logits and directions, n x CHANNELS x 96 x 128."""
        half = self.first(frames)
        quarter = self.second(half)
        eighth = self.third(quarter)
        seen = _up(self.deep(eighth))
        seen = _up(self.at_eighth(self.to_eighth(torch.cat([seen, eighth], 1))))
        seen = _up(self.at_quarter(self.to_quarter(torch.cat([seen, quarter], 1))))
        said: Tensor = self.head(self.to_half(torch.cat([seen, half], 1)))
        return said


class _Around(nn.Module):
    """A residual convolution with holes."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
        )

    def forward(self, x: Tensor) -> Tensor:
        added: Tensor = x + self.body(x)
        return added


def _up(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2.0, mode="nearest")

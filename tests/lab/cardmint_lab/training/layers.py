"""A layer that several networks are made of."""

from torch import nn


def layer(inside: int, outside: int, *, size: int = 3, stride: int = 1) -> nn.Sequential:
    """Return a padded convolution with batch normalisation and ReLU."""
    return nn.Sequential(
        nn.Conv2d(inside, outside, size, stride=stride, padding=size // 2, bias=False),
        nn.BatchNorm2d(outside),
        nn.ReLU(),
    )

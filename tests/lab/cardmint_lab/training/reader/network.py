"""The network: a dense front that sees strokes, then convolutions along the line.

64 steps of letters or blank.
"""

from torch import Tensor, nn

from cardmint_edge.domain.reading.lexicon import ALPHABET

STEPS = 64
CLASSES = len(ALPHABET) + 1


class Along(nn.Module):
    """A residual convolution along the line."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(
                channels,
                channels,
                (1, 3),
                padding=(0, dilation),
                dilation=(1, dilation),
                bias=False,
            ),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map n x channels x 1 x STEPS to the same shape."""
        return x + self.body(x)


class Deep(nn.Module):
    """A residual convolution over height and line, which begins as no change."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(*_layer(channels, channels, 3, (1, 1)))
        _silence(self.body)

    def forward(self, x: Tensor) -> Tensor:
        """Map n x channels x height x STEPS to the same shape."""
        return x + self.body(x)


class ReaderNetwork(nn.Module):
    """Reads n x 1 x 32 x 256 (strips of mean 0, deviation 1) as n x STEPS x CLASSES logits."""

    def __init__(self) -> None:
        super().__init__()
        self.front = nn.Sequential(
            *_layer(1, 16, 3, (2, 2)),
            *_layer(16, 32, 3, (2, 1)),
            *_layer(32, 64, 3, (1, 2)),
            *_layer(64, 80, 3, (2, 1)),
            Deep(80),
            nn.Conv2d(80, 128, (4, 1), bias=False),
            nn.BatchNorm2d(128),
            nn.ReLU(),
        )
        self.line = nn.Sequential(*(Along(128, dilation) for dilation in (1, 2, 4, 1, 3, 1)))
        for added in list(self.line)[4:]:
            _silence(added.body)
        self.head = nn.Conv2d(128, CLASSES, 1)

    def forward(self, strips: Tensor) -> Tensor:
        """Return logits, n x STEPS x CLASSES."""
        seen = self.head(self.line(self.front(strips)))
        return seen.squeeze(2).permute(0, 2, 1)


def _layer(inside: int, outside: int, size: int, stride: tuple[int, int]) -> list[nn.Module]:
    return [
        nn.Conv2d(inside, outside, size, stride=stride, padding=size // 2, bias=False),
        nn.BatchNorm2d(outside),
        nn.ReLU(),
    ]


def _silence(layers: nn.Sequential) -> None:
    """Make a residual small at first, so that a network can grow from a trained one."""
    for layer in layers:
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.constant_(layer.weight, 0.1)


def normalised(strips: Tensor) -> Tensor:
    """Bring grey strips (n x 32 x 256, 0 to 255) to what the network reads.

    The station does the same in numpy.
    """
    grey = strips.float()
    middle = grey.mean(dim=(1, 2), keepdim=True)
    spread = grey.std(dim=(1, 2), keepdim=True, unbiased=False)
    return ((grey - middle) / (spread + 1)).unsqueeze(1)

"""Where the finder sees cards on hard grounds, in composed photos of cards held out of training."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from cardmint_edge.adapters.decode import read_image
from cardmint_edge.domain.config import FinderConfig
from cardmint_edge.domain.recognition import Frame
from cardmint_edge.domain.vision.finder import FinderNetwork
from cardmint_edge.domain.vision.proposals import propose
from cardmint_edge.domain.vision.quad import CARD_RATIO, Corners, Quad
from cardmint_edge.domain.vision.view import View
from cardmint_edge.errors import Stop
from cardmint_lab.scenes import Random, background, held_out, lay
from cardmint_lab.training.corners.draw import cased, hand, sheen, thing

SIZE = (1600, 1200)
"""Width and height of a composed photo."""

LEAST_OVERLAP = 0.9
"""Intersection over union from which an outline is the card's."""

Canvas = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, slots=True)
class Ground:
    """What a card lies on, how high it is in the frame (as shares), and what is over it."""

    draw: Callable[[Random], Canvas]
    height: tuple[float, float] = (0.4, 0.85)
    held: bool = False
    sleeved: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """How many of `n` cards an outline among the first few shows, and the first one itself.

    `surely` counts the latter where the finder is certain. `corner` is the median of the worst
    corner's distance, as a share of the card's height, where the first one shows the card.
    """

    ground: str
    n: int
    found: int
    first: int
    surely: int
    corner: float


def plain(rng: Random) -> Canvas:
    """Draw a mat, grain or cloth."""
    return background(*SIZE, rng)


def speckle(rng: Random) -> Canvas:
    """Draw stone or terrazzo: grains of several sizes and colours."""
    width, height = SIZE
    ground = np.full((height, width, 3), rng.uniform(60, 220, 3), np.float32)
    for grain in (2, 4, 9, 18)[: int(rng.integers(2, 5))]:
        field = cv2.resize(
            rng.random((height // grain, width // grain), dtype=np.float32),
            SIZE,
            interpolation=cv2.INTER_CUBIC,
        )
        ground[field > rng.uniform(0.7, 0.9)] = rng.uniform(0, 255, 3)
    return ground


def pattern(rng: Random) -> Canvas:
    """Draw tiles, checks or stripes of strong contrast, turned by any angle."""
    width, height = SIZE
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    angle, pitch = rng.uniform(0, np.pi), rng.uniform(30, 260)
    along = x * np.cos(angle) + y * np.sin(angle)
    across = y * np.cos(angle) - x * np.sin(angle)
    kind = int(rng.integers(3))
    if kind == 0:
        chosen = (along // pitch) % 2
    elif kind == 1:
        chosen = ((along // pitch) + (across // (pitch * rng.uniform(0.5, 1.6)))) % 2
    else:
        joints = max(2.0, pitch * 0.06)
        chosen = ((along % pitch < joints) | (across % pitch < joints)).astype(np.float32)
    one, other = rng.uniform(0, 255, (2, 3)).astype(np.float32)
    ground = one + (other - one) * chosen[..., None]
    return np.asarray(ground + rng.normal(0, 3, ground.shape), np.float32)


def clutter(rng: Random) -> Canvas:
    """Draw a table with papers, boxes, pens and print on it."""
    small = background(SIZE[0], SIZE[1], rng)
    for _ in range(int(rng.integers(10, 30))):
        thing(small, rng, SIZE)
    return small


GROUNDS: dict[str, Ground] = {
    "plain": Ground(draw=plain),
    "speckle": Ground(draw=speckle),
    "pattern": Ground(draw=pattern),
    "clutter": Ground(draw=clutter),
    "quarter of the height": Ground(draw=plain, height=(0.22, 0.28)),
    "quarter, on clutter": Ground(draw=clutter, height=(0.22, 0.28)),
    "filling": Ground(draw=plain, height=(0.95, 1.0)),
    "held": Ground(draw=clutter, held=True),
    "sleeve with glare": Ground(draw=plain, sleeved=True),
    "sleeve on speckle": Ground(draw=speckle, sleeved=True),
}


def compose(card: Frame, ground: Ground, rng: Random) -> tuple[Frame, Quad]:
    """Return a photo of a card on a ground, and where the card lies."""
    tall = rng.uniform(*ground.height) * SIZE[1]
    half = np.array([tall * CARD_RATIO, tall]) / 2
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half
    corners += rng.uniform(-0.03, 0.03, (4, 2)) * tall * (ground.height[0] < 0.9)
    angle = np.radians(rng.normal(0, 8 if ground.height[0] < 0.9 else 0.5))
    corners = corners @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    low, high = corners.min(axis=0), corners.max(axis=0)
    room = np.array(SIZE) - (high - low)
    placed: Corners = (corners - low + room * rng.uniform(0.1, 0.9, 2)).astype(np.float32)
    canvas = ground.draw(rng)
    if ground.sleeved:
        canvas = cased(canvas, placed, rng, chance=1.0)
    canvas = lay(canvas, card, placed)
    if ground.sleeved:
        for _ in range(3):
            sheen(canvas, placed, rng, chance=1.0)
    if ground.held:
        hand(canvas, placed, rng)
    soft = cv2.GaussianBlur(canvas * rng.uniform(0.6, 1.2), (0, 0), rng.uniform(0.5, 2.0))
    noisy = soft + rng.normal(0, rng.uniform(1, 6), soft.shape)
    return noisy.clip(0, 255).astype(np.uint8), Quad(placed)


def measure_finder(network: FinderNetwork, images: Path, count: int) -> Iterator[Finding]:
    """Have `count` cards found on each ground. The photos are the same each time.

    Raises:
        Stop: the folder has no scan of a card that is held out from training.
    """
    paths = [path for path in sorted(images.glob("*.jpg")) if held_out(path.stem)]
    if not paths:
        message = f"{images}: no scan of a held-out card, <card id>.jpg"
        raise Stop(message)
    for name, ground in GROUNDS.items():
        rng = np.random.default_rng(5)
        photos = (
            compose(read_image(paths[int(rng.integers(len(paths)))]), ground, rng)
            for _ in range(count)
        )
        yield _finding(name, [_found(network, *photo) for photo in photos])


@dataclass(frozen=True, kw_only=True, slots=True)
class _Found:
    found: bool
    first: bool
    clear: bool
    corner: float


def _found(network: FinderNetwork, frame: Frame, card: Quad) -> _Found:
    config = FinderConfig()
    proposals = propose(View(frame), network, config)
    tried = proposals.quads[: config.outlines]
    first = bool(tried) and tried[0].overlap(card) >= LEAST_OVERLAP
    return _Found(
        found=any(one.overlap(card) >= LEAST_OVERLAP for one in tried),
        first=first,
        clear=first and proposals.clear > 0,
        corner=_worst_corner(tried[0], card) if first else np.nan,
    )


def _worst_corner(found: Quad, card: Quad) -> float:
    """Return the worst corner's distance as a share of the card's height, whichever way up."""
    ways = (found.turned(quarters).corners for quarters in range(4))
    apart = (np.linalg.norm(corners - card.corners, axis=1).max() for corners in ways)
    return float(min(apart)) / card.height


def _finding(name: str, found: Sequence[_Found]) -> Finding:
    corners = [one.corner for one in found if one.first]
    return Finding(
        ground=name,
        n=len(found),
        found=sum(one.found for one in found),
        first=sum(one.first for one in found),
        surely=sum(one.clear for one in found),
        corner=float(np.median(corners)) if corners else 0.0,
    )


def text(findings: Sequence[Finding]) -> list[str]:
    """Return the figures as lines for people."""
    lines = [
        f"{'ground':24} {'n':>4} {'found':>6} {'first':>6} {'surely':>7}  worst corner, median"
    ]
    return lines + [
        f"{one.ground:24} {one.n:4} {one.found:6} {one.first:6} {one.surely:7} {one.corner:9.2%}"
        for one in findings
    ]

"""Two cards in one picture, beside each other or one over the other: none may be accepted."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from cardmint_contracts.cards import Decision
from cardmint_contracts.reasons import Reason
from cardmint_edge.adapters.decode import read_image
from cardmint_edge.domain.recognition import Frame, Recogniser
from cardmint_edge.domain.vision.quad import CARD_RATIO
from cardmint_lab.scenes import Random, background, lay

SIZE = (1280, 960)
GAPS = (0, 8, 30)
"""Pixels of 640 between two cards that lie beside each other."""
HIDDEN = (0.05, 0.8)
"""Share of a card that another one covers."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """A picture of two cards. `visible` is the share of the less visible one, 0 to 1."""

    frame: Frame
    visible: float
    kind: str


def draw_pair(cards: Sequence[Frame], rng: Random) -> Pair:
    """Lay two different cards on a table, from above, and photograph them."""
    width, height = SIZE
    tall = rng.uniform(0.4, 0.68) * height
    wide = tall * CARD_RATIO
    first, second = (cards[index] for index in rng.choice(len(cards), 2, replace=False))
    sideways, beside = bool(rng.integers(2)), bool(rng.integers(2))
    hidden = 0.0 if beside else float(rng.uniform(*HIDDEN))
    gap = float(rng.choice(GAPS)) * width / 640 if beside else 0.0
    slip = float(rng.uniform(-0.1, 0.1)) if beside else 0.0
    along = (wide if sideways else tall) * (1 - hidden) + gap
    across = slip * (tall if sideways else wide)
    shift = np.array([along, across] if sideways else [across, along])
    card = np.array([[0, 0], [wide, 0], [wide, tall], [0, tall]])
    angle = np.radians(rng.uniform(-8, 8))
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    both = np.concatenate([card, card + shift]) @ turn
    span = both.max(axis=0) - both.min(axis=0)
    both *= min(1.0, float((0.96 * np.array(SIZE) / span).min()))
    low, high = both.min(axis=0), both.max(axis=0)
    both += (np.array(SIZE) - (high - low)) * rng.uniform(0.2, 0.8, 2) - low
    frame = background(width, height, rng)
    for corners, shown in ((both[:4], first), (both[4:], second)):
        frame = lay(frame, shown, corners.astype(np.float32))
    soft = cv2.GaussianBlur(frame, (0, 0), float(rng.uniform(0.3, 1)))
    noisy = soft + rng.normal(0, 2, soft.shape)
    kind = "beside" if beside else "overlapping"
    return Pair(frame=noisy.clip(0, 255).astype(np.uint8), visible=1 - hidden, kind=kind)


@dataclass(frozen=True, kw_only=True, slots=True)
class PairFigures:
    """How many pairs were drawn, accepted as one card, and named as several, by kind."""

    drawn: Counter[str]
    accepted: Counter[str]
    named: Counter[str]


def measure_pairs(recogniser: Recogniser, images: Path, count: int) -> PairFigures:
    """Have `count` pairs of a folder's scans recognised. The pairs are the same each time."""
    cards = [read_image(path) for path in sorted(images.glob("*.jpg"))]
    drawn, accepted, named = Counter[str](), Counter[str](), Counter[str]()
    for number in range(count):
        pair = draw_pair(cards, np.random.default_rng(number))
        outcome = recogniser.recognise(pair.frame)
        drawn[pair.kind] += 1
        accepted[pair.kind] += outcome.decision is Decision.ACCEPT
        named[pair.kind] += Reason.SEVERAL_CARDS in outcome.reasons
    return PairFigures(drawn=drawn, accepted=accepted, named=named)


def text(figures: PairFigures) -> str:
    """Return the figures as lines of text."""
    lines = [
        f"{kind}: {figures.drawn[kind]} pairs, {figures.accepted[kind]} accepted,"
        f" {figures.named[kind]} named {Reason.SEVERAL_CARDS}"
        for kind in sorted(figures.drawn)
    ]
    total, named = figures.drawn.total(), figures.named.total()
    share = 100 * named / max(1, total)
    lines.append(f"together: {figures.accepted.total()} of {total} accepted, {share:.1f} % named")
    return "\n".join(lines)

"""What recognition says of one frame."""

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cardmint_contracts.cards import Candidate, Card, Decision

Frame = NDArray[np.uint8]
"""An image, height x width x 3, BGR."""

Corners = NDArray[np.float32]
"""4 x 2, pixels of the frame, clockwise from the card's own top left."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Recognition:
    """One frame's outcome. `card` is set exactly when the decision is accept.

    Candidates are sorted, likeliest first.

    `margin` is the confidence of the first candidate minus that of the second. `likeness_gap` is the
    likeness of the best picture minus that of the best picture of other art; None where no picture
    decided. `rectified` is the card alone, upright, when one was found. `other_language` says of an accepted
    card that a sign was read on it which English cards do not bear. `ms` is the time of each step
    in milliseconds.
    """

    decision: Decision
    reasons: tuple[str, ...] = ()
    card: Card | None = None
    confidence: float = 0.0
    margin: float = 0.0
    likeness_gap: float | None = None
    candidates: tuple[Candidate, ...] = ()
    corners: Corners | None = None
    rectified: Frame | None = None
    other_language: bool = False
    method: str = "classical"
    pack: str = ""
    rules_version: str = ""
    models: dict[str, str] = field(default_factory=dict)
    ms: dict[str, float] = field(default_factory=dict)


class Recogniser(Protocol):
    """Names the printing that a frame shows, or says why it does not.

    Never raises for a bad picture.
    """

    def recognise(self, frame: Frame) -> Recognition:
        """Return the outcome for one frame."""
        ...

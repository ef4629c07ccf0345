"""The outcome of recognition for one frame."""

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cardmint_contracts.cards import Candidate, Card, Decision, Language
from cardmint_edge.domain.vision.quad import Quad

Frame = NDArray[np.uint8]
"""An image, height x width x 3, BGR."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Recognition:
    """The outcome for one frame. `card` is set exactly when the decision is accept.

    `candidates` are sorted, likeliest first. `margin` is the confidence of the first candidate
    minus that of the second; `likeness_gap` is the likeness of the best picture minus that of the
    best one of other art, None where no picture decided. `quad` is where the card lies, in pixels
    of the frame, and `rectified` the card alone, upright. `outlines` are the whole cards, largest
    first, where several lie in the frame. `languages` holds the log-likelihood of
    each language, relative to the best; None where print was not read. `language` with its
    confidence is what `language.recognition_with_language` makes of it. `ms` holds the milliseconds
    of each step.
    """

    decision: Decision
    reasons: tuple[str, ...] = ()
    card: Card | None = None
    confidence: float = 0.0
    margin: float = 0.0
    likeness_gap: float | None = None
    candidates: tuple[Candidate, ...] = ()
    quad: Quad | None = None
    rectified: Frame | None = None
    outlines: tuple[Quad, ...] = ()
    languages: dict[str, float] | None = None
    language: Language | None = None
    language_confidence: float = 0.0
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

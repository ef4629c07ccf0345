"""The page that `evaluate` writes.

Figures, a reliability diagram, what was confused, and a thumbnail of each mistake.

The page holds the photos' thumbnails: it is for those who hold the photos.
"""

from base64 import b64encode
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from cardmint_contracts.cards import Decision
from cardmint_edge.adapters.decode import Unreadable, read_image
from cardmint_lab.recognition.evaluate import Evaluation, Judged

THUMB = 220
BINS = (0.0, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95, 0.98, 1.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Bin:
    """Photos of one span of confidence.

    How sure the recogniser was on average, and how often it was right.
    """

    low: float
    high: float
    n: int
    confidence: float
    right: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Mistake:
    """A photo that was accepted wrongly, or whose first candidate is not its labelled card."""

    file: str
    card_id: str
    taken_for: str
    decision: str
    reasons: str
    confidence: float
    picture: str


def reliability(judged: list[Judged]) -> list[Bin]:
    """Return the bins that are not empty, over photos of one labelled card with a candidate."""
    named = [one for one in judged if one.photo.labelled and one.scanned.recognition.candidates]
    sure = np.array([one.scanned.recognition.confidence for one in named])
    right = np.array([one.exact for one in named], dtype=float)
    places = np.clip(np.digitize(sure, BINS) - 1, 0, len(BINS) - 2)
    return [
        Bin(
            low=BINS[place],
            high=BINS[place + 1],
            n=int((places == place).sum()),
            confidence=float(sure[places == place].mean()),
            right=float(right[places == place].mean()),
        )
        for place in range(len(BINS) - 1)
        if (places == place).any()
    ]


def mistakes(judged: list[Judged]) -> list[Mistake]:
    """Return what went wrong, wrongly accepted ones first."""
    wrong = [one for one in judged if one.wrong or (one.photo.labelled and not one.exact)]
    return [_mistake(one) for one in sorted(wrong, key=lambda one: not one.accepted)]


def write(path: Path, evaluation: Evaluation) -> None:
    """Write the page."""
    pages = Environment(
        loader=PackageLoader("cardmint_lab", "recognition"),
        undefined=StrictUndefined,
        autoescape=select_autoescape(),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found = mistakes(evaluation.judged)
    confused = Counter((one.card_id, one.taken_for) for one in found)
    text = pages.get_template("evaluation.html").render(
        evaluation=evaluation,
        bins=reliability(evaluation.judged),
        confused=confused.most_common(),
        mistakes=found,
    )
    path.write_text(text, encoding="utf-8")


def _mistake(one: Judged) -> Mistake:
    seen = one.scanned.recognition
    return Mistake(
        file=one.photo.path.name,
        card_id=one.photo.card_id or "(no card of the catalogue)",
        taken_for=seen.candidates[0].card.id if seen.candidates else "(none)",
        decision="accepted" if seen.decision is Decision.ACCEPT else seen.decision.value,
        reasons=", ".join(seen.reasons),
        confidence=seen.confidence,
        picture=_thumbnail(one.photo.path),
    )


def _thumbnail(path: Path) -> str:
    try:
        frame = read_image(path)
    except Unreadable:
        return ""
    factor = THUMB / max(frame.shape[:2])
    _, data = cv2.imencode(
        ".jpg", cv2.resize(frame, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    )
    return f"data:image/jpeg;base64,{b64encode(data.tobytes()).decode()}"

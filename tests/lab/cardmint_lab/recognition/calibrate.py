"""Calibration of the confidence on rendered photos of a pack's own scans.

Most photos show a card that was taken out of the gallery, with every printing of the same art: a
stranger, whose picture cannot be found, so only print can name it. For half of the strangers the
printed facts are taken out too: accepting such an unknown card is always wrong. Real photos take no
part in the fit; they are for `evaluate`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cardmint_contracts.cards import Card, Decision
from cardmint_edge.adapters.decode import read_image
from cardmint_edge.adapters.pack import Pack
from cardmint_edge.domain.config import PolicyConfig
from cardmint_edge.domain.decide import print_confidence, print_features, settles
from cardmint_edge.domain.evidence import Evidence, PictureMatch, PrintMatch
from cardmint_edge.domain.recognition import Frame, Recognition
from cardmint_edge.domain.vision.embedding import Vectors
from cardmint_edge.domain.vision.hashing import Bits
from cardmint_edge.domain.vision.matching import Reference
from cardmint_edge.errors import Stop
from cardmint_edge.recogniser import Recognisers
from cardmint_lab.scenes import PRESETS, held_out, render


class ReducedGallery:
    """A pack's gallery with some rows taken out."""

    def __init__(self, pack: Pack, rows: set[int]) -> None:
        self._pack = pack
        self._rows = [row for row in range(len(pack.hashes)) if row not in rows]
        self._left = {row: place for place, row in enumerate(self._rows)}
        self.version = pack.version
        self.hashes: Bits = pack.hashes[self._rows]
        self.vectors: Vectors = pack.vectors[self._rows] if len(pack.vectors) else pack.vectors

    def printing(self, row: int) -> Card:
        """Return the printing of a row of what is left."""
        return self._pack.printing(self._rows[row])

    def reference(self, row: int) -> Reference:
        """Return what to compare a view with."""
        return self._pack.reference(self._rows[row])

    def twins(self, row: int) -> tuple[Card, ...]:
        """Return the other printings of the same art, left or not."""
        return self._pack.twins(self._rows[row])

    def card(self, card_id: str) -> Card | None:
        """Return a printing by its id: the facts know those that were taken out too."""
        return self._pack.card(card_id)

    def row(self, card_id: str) -> int | None:
        """Return the row of a printing's picture in what is left."""
        row = self._pack.row(card_id)
        return self._left.get(row) if row is not None else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One rendered photo, the evidence and the outcome.

    `right` holds the printings of its art, the card's own included.
    """

    preset: str
    stranger: bool
    unknown: bool
    card_id: str
    right: frozenset[str]
    evidence: Evidence
    outcome: Recognition

    @property
    def picture(self) -> PictureMatch | None:
        """The best picture; None without any."""
        return self.evidence.pictures[0] if self.evidence.pictures else None

    @property
    def prints(self) -> tuple[PrintMatch, ...]:
        """The cards that print named, likeliest first."""
        return self.evidence.prints.matches if self.evidence.prints else ()


def sample(
    pack: Pack, images: Path, count: int, seed: int, *, least_width: int = 0
) -> Iterator[Sample]:
    """Render and recognise `count` photos of held-out scans, the presets in turn.

    Scans narrower than `least_width` pixels are left out.

    Raises:
        Stop: no scan is left.
    """
    rng = np.random.default_rng(seed)
    recognisers = Recognisers(pack)
    rows = {pack.printing(row).id: row for row in range(len(pack.hashes))}
    apart = [
        card_id
        for card_id in rows
        if held_out(card_id) and _width(images / f"{card_id}.jpg") >= least_width
    ]
    if not apart:
        message = (
            f"{images}: no scan of a held-out card is {least_width} pixels wide or more;"
            " lower --least-width"
        )
        raise Stop(message)
    for number in range(count):
        preset = list(PRESETS)[number % len(PRESETS)]
        card_id = apart[int(rng.integers(len(apart)))]
        right = frozenset({card_id, *(twin.id for twin in pack.twins(rows[card_id]))})
        unknown = bool(rng.random() < 1 / 3)
        stranger = unknown or bool(rng.random() < 0.5)
        scene = render(read_image(images / f"{card_id}.jpg"), PRESETS[preset], rng)
        hidden = {rows[twin] for twin in right if twin in rows} if stranger else set()
        recogniser = recognisers.over(
            ReducedGallery(pack, hidden), unknown=right if unknown else frozenset()
        )
        outcome, evidence = recogniser.observe(_compressed(scene.frame, int(rng.integers(50, 95))))
        yield Sample(
            preset=preset,
            stranger=stranger,
            unknown=unknown,
            card_id=card_id,
            right=right,
            evidence=evidence,
            outcome=replace(outcome, rectified=None),
        )


def _width(path: Path) -> int:
    with Image.open(path) as scan:
        return scan.width


@dataclass(frozen=True, kw_only=True, slots=True)
class PresetOutcome:
    """Counts over one preset's samples: known cards, strangers and unknown cards."""

    preset: str
    known: int
    right_art: int
    exact: int
    accepted: int
    accepted_wrong: int
    strangers: int
    strangers_exact: int
    strangers_accepted: int
    strangers_accepted_wrong: int
    unknown: int
    unknown_accepted: int
    stranger_likeness_max: float
    known_likeness_p5: float


def outcomes(samples: list[Sample]) -> list[PresetOutcome]:
    """Return the counts of each preset."""
    return [
        _outcome(preset, [one for one in samples if one.preset == preset]) for preset in PRESETS
    ]


def mistakes(samples: list[Sample]) -> list[tuple[str, str, str]]:
    """Return the wrong acceptances: preset, card, and the card it was taken for."""
    return [
        (one.preset, one.card_id, one.outcome.card.id)
        for one in samples
        if one.outcome.card is not None and (one.unknown or one.outcome.card.id != one.card_id)
    ]


def likeliest_strangers(samples: list[Sample], limit: int = 5) -> list[tuple[float, str, str]]:
    """Return the strangers with the highest likeness: likeness, card, and what it resembled."""
    resembling = [
        (round(one.picture.likeness, 3), one.card_id, one.picture.card.id)
        for one in samples
        if one.stranger and one.picture is not None
    ]
    return sorted(resembling, reverse=True)[:limit]


def fit(samples: list[Sample], policy: PolicyConfig) -> PolicyConfig:
    """Fit the policy's weights, for pictures and for print, by logistic regression.

    Pictures: likeness, likeness gap, inliers and a number that was read, against the right art.
    Print: number, name and both leads, against the right card.
    """
    pictures = [_picture_row(one, one.picture, policy) for one in samples if one.picture]
    prints = [_print_row(one, policy) for one in samples if one.prints]
    return replace(
        policy,
        picture_weights=_fitted(pictures),
        print_weights=_fitted(prints) if prints else policy.print_weights,
    )


def most_confident_mistakes(
    samples: list[Sample], policy: PolicyConfig
) -> list[tuple[float, str, str]]:
    """Return the cards that print named wrongly, by confidence, highest first.

    A threshold on acceptance must lie above these confidences.
    """
    wrong = [
        (
            round(print_confidence(one.prints[0], _print_lead(one), policy), 4),
            one.card_id,
            one.prints[0].card.id,
        )
        for one in samples
        if one.prints and (one.unknown or one.prints[0].card.id != one.card_id)
    ]
    return sorted(wrong, reverse=True)[:10]


Weights = tuple[float, float, float, float, float]


def _fitted(rows: list[tuple[float, float, float, float, float]], ridge: float = 0.1) -> Weights:
    """Fit bias and four weights by Newton's method with a ridge; each row ends with its label.

    A negative weight would let more evidence count less: it is set to 0, and the others are
    fitted again.
    """
    x = np.array([[1.0, *row[:4]] for row in rows]).reshape(-1, 5)
    y = np.array([row[4] for row in rows])
    used = [0, 1, 2, 3, 4]
    while True:
        weights = np.zeros(5)
        weights[used] = _newton(x[:, used], y, ridge)
        negative = [column for column in used[1:] if weights[column] < 0]
        if not negative:
            break
        used = [column for column in used if column not in negative]
    bias, one, two, three, four = weights.tolist()
    return bias, one, two, three, four


def _newton(x: NDArray[np.float64], y: NDArray[np.float64], ridge: float) -> NDArray[np.float64]:
    weights = np.zeros(x.shape[1])
    for _ in range(50):
        share = 1 / (1 + np.exp(-x @ weights))
        gradient = x.T @ (y - share) - ridge * weights
        curvature = (x * (share * (1 - share))[:, None]).T @ x + ridge * np.eye(x.shape[1])
        weights += np.linalg.solve(curvature, gradient)
    return weights


def _picture_row(
    one: Sample, best: PictureMatch, policy: PolicyConfig
) -> tuple[float, float, float, float, float]:
    numbers = one.evidence.numbers
    twins = {twin.id for twin in best.twins}
    rival = max(
        (other.likeness for other in one.evidence.pictures[1:] if other.card.id not in twins),
        default=0.0,
    )
    agreement = min(best.inliers, policy.inliers) / policy.inliers
    read = float(numbers is not None and settles(numbers, policy))
    right = float(best.card.id in one.right and not one.stranger)
    return best.likeness, best.likeness - rival, agreement, read, right


def _print_lead(one: Sample) -> float:
    best, *others = one.prints
    return best.total - max((other.total for other in others), default=-np.inf)


def _print_row(one: Sample, policy: PolicyConfig) -> tuple[float, float, float, float, float]:
    best = one.prints[0]
    right = float(best.card.id == one.card_id and not one.unknown)
    return *print_features(best, _print_lead(one), policy), right


def _outcome(preset: str, samples: list[Sample]) -> PresetOutcome:
    known = [one for one in samples if not one.stranger]
    strangers = [one for one in samples if one.stranger and not one.unknown]
    unknown = [one for one in samples if one.unknown]
    return PresetOutcome(
        preset=preset,
        known=len(known),
        right_art=sum(_first(one) in one.right for one in known),
        exact=sum(_first(one) == one.card_id for one in known),
        accepted=sum(one.outcome.decision is Decision.ACCEPT for one in known),
        accepted_wrong=len(mistakes(known)),
        strangers=len(strangers),
        strangers_exact=sum(_first(one) == one.card_id for one in strangers),
        strangers_accepted=sum(one.outcome.decision is Decision.ACCEPT for one in strangers),
        strangers_accepted_wrong=len(mistakes(strangers)),
        unknown=len(unknown),
        unknown_accepted=len(mistakes(unknown)),
        stranger_likeness_max=round(
            max((_likeness(one) for one in strangers + unknown), default=0.0), 3
        ),
        known_likeness_p5=round(
            float(np.percentile([_likeness(one) for one in known] or [0.0], 5)), 3
        ),
    )


def _first(one: Sample) -> str:
    return one.outcome.candidates[0].card.id if one.outcome.candidates else ""


def _likeness(one: Sample) -> float:
    return one.picture.likeness if one.picture else 0.0


def _compressed(frame: Frame, quality: int) -> Frame:
    _, data = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), dtype=np.uint8)

"""Fit how sure the recogniser may be: rendered photos of a pack's own scans, half of them with their card taken out.

A photo whose card (and every printing of the same art) is out of the gallery shows a stranger: whatever is found then
is wrong. Real photos take no part in the fit; they are for `evaluate`.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from cardmint_contracts.cards import Card, Decision
from cardmint_edge.adapters.decode import read_image
from cardmint_edge.adapters.pack import Pack
from cardmint_edge.domain.decide import Circumstances, Policy, Sighting, decide
from cardmint_edge.domain.hashes import Bits
from cardmint_edge.domain.match import Reference
from cardmint_edge.domain.recognise import ClassicalRecogniser
from cardmint_edge.domain.recognition import Frame
from cardmint_edge.domain.scene import PRESETS, render


class Without:
    """A gallery with some rows taken out."""

    def __init__(self, pack: Pack, rows: set[int]) -> None:
        self._pack = pack
        self._rows = [row for row in range(len(pack.hashes)) if row not in rows]
        self.version = pack.version
        self.hashes: Bits = pack.hashes[self._rows]

    def printing(self, row: int) -> Card:
        """Return the printing of a row of what is left."""
        return self._pack.printing(self._rows[row])

    def reference(self, row: int) -> Reference:
        """Return what to compare a view with."""
        return self._pack.reference(self._rows[row])

    def twins(self, row: int) -> tuple[Card, ...]:
        """Return the other printings of the same art, left or not."""
        return self._pack.twins(self._rows[row])


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One rendered photo and the candidates found, likeliest first; `right` holds the printings of its art."""

    preset: str
    stranger: bool
    right: frozenset[str]
    sightings: tuple[Sighting, ...]


def sample(pack: Pack, images: Path, count: int, seed: int) -> Iterator[Sample]:
    """Render `count` photos, the presets in turn, and look at each."""
    rng = np.random.default_rng(seed)
    rows = {pack.printing(row).id: row for row in range(len(pack.hashes))}
    for number in range(count):
        preset = list(PRESETS)[number % len(PRESETS)]
        row = int(rng.integers(len(rows)))
        card = pack.printing(row)
        right = frozenset({card.id, *(twin.id for twin in pack.twins(row))})
        stranger = bool(rng.random() < 0.5)
        scene = render(read_image(images / f"{card.id}.jpg"), PRESETS[preset], rng)
        hidden = {rows[card_id] for card_id in right if card_id in rows} if stranger else set()
        recogniser = ClassicalRecogniser(Without(pack, hidden), clock=time.perf_counter)
        sightings = tuple(recogniser.sightings(_compressed(scene.frame, int(rng.integers(50, 95)))))
        yield Sample(preset=preset, stranger=stranger, right=right, sightings=sightings)


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What the policy makes of one preset's samples. Accepted counts printings whose facts leave no other."""

    preset: str
    known: int
    right_art: int
    accepted: int
    accepted_wrong: int
    strangers: int
    strangers_accepted: int
    stranger_likeness_p99: float
    stranger_likeness_max: float
    known_likeness_p5: float
    known_title_p1: float


def outcomes(samples: list[Sample], policy: Policy) -> list[Outcome]:
    """Judge the samples by a policy, preset by preset."""
    return [_outcome(preset, [one for one in samples if one.preset == preset], policy) for preset in PRESETS]


def likeliest_strangers(samples: list[Sample], limit: int = 5) -> list[tuple[float, str, str]]:
    """Return the worst of the strangers: likeness, who it was (one printing of its art), and who it was taken for."""
    found = [
        (round(one.sightings[0].likeness, 3), min(one.right), one.sightings[0].card.id)
        for one in samples
        if one.stranger and one.sightings
    ]
    return sorted(found, reverse=True)[:limit]


def fit(samples: list[Sample], policy: Policy, ridge: float = 0.1) -> Policy:
    """Fit the policy's weights by logistic regression (Newton's method) with a ridge that keeps them from growing.

    Likeness, margin and inliers are the evidence, the right art is the label. A weight that came out negative would
    make more evidence count less: it is set to nothing, and the others are fitted again.
    """
    rows = [_evidence(one, policy) for one in samples if one.sightings]
    x = np.array([[1.0, *row[:3]] for row in rows])
    y = np.array([row[3] for row in rows])
    used = [0, 1, 2, 3]
    while True:
        weights = np.zeros(4)
        weights[used] = _newton(x[:, used], y, ridge)
        negative = [column for column in used[1:] if weights[column] < 0]
        if not negative:
            break
        used = [column for column in used if column not in negative]
    bias, likeness, margin, inliers = weights.tolist()
    return replace(policy, weights=(bias, likeness, margin, inliers))


def _newton(x: NDArray[np.float64], y: NDArray[np.float64], ridge: float) -> NDArray[np.float64]:
    weights = np.zeros(x.shape[1])
    for _ in range(50):
        share = 1 / (1 + np.exp(-x @ weights))
        gradient = x.T @ (y - share) - ridge * weights
        curvature = (x * (share * (1 - share))[:, None]).T @ x + ridge * np.eye(x.shape[1])
        weights += np.linalg.solve(curvature, gradient)
    return weights


def _evidence(one: Sample, policy: Policy) -> tuple[float, float, float, float]:
    best = one.sightings[0]
    same = {twin.id for twin in best.twins}
    rival = max((other.likeness for other in one.sightings[1:] if other.card.id not in same), default=0.0)
    agreement = min(best.inliers, policy.enough_inliers) / policy.enough_inliers
    return best.likeness, best.likeness - rival, agreement, float(best.card.id in one.right and not one.stranger)


def _outcome(preset: str, samples: list[Sample], policy: Policy) -> Outcome:
    verdicts = [decide(list(one.sightings), Circumstances(), policy) for one in samples]
    accepted = [verdict.decision is Decision.ACCEPT for verdict in verdicts]
    right = [bool(one.sightings) and one.sightings[0].card.id in one.right for one in samples]
    likeness = [one.sightings[0].likeness if one.sightings else 0.0 for one in samples]
    known = [number for number, one in enumerate(samples) if not one.stranger]
    strangers = [number for number, one in enumerate(samples) if one.stranger]
    apart = [likeness[number] for number in strangers] or [0.0]
    return Outcome(
        preset=preset,
        known=len(known),
        right_art=sum(right[number] for number in known),
        accepted=sum(accepted[number] for number in known),
        accepted_wrong=sum(accepted[number] and not right[number] for number in known),
        strangers=len(strangers),
        strangers_accepted=sum(accepted[number] for number in strangers),
        stranger_likeness_p99=round(float(np.percentile(apart, 99)), 3),
        stranger_likeness_max=round(max(apart), 3),
        known_title_p1=round(
            float(np.percentile([samples[number].sightings[0].title for number in known if right[number]] or [0.0], 1)),
            3,
        ),
        known_likeness_p5=round(float(np.percentile([likeness[number] for number in known] or [0.0], 5)), 3),
    )


def _compressed(frame: Frame, quality: int) -> Frame:
    _, data = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), dtype=np.uint8)

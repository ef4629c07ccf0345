"""Fit how sure the recogniser may be.

Rendered photos of a pack's own scans, most of them with their card taken out.

A photo whose card (and every printing of the same art) is out of the gallery shows a stranger:
whatever picture is found then is wrong, and only print can tell the card. In half of those the
facts are taken out too: what is accepted of an unknown card is wrong. Real photos take no part in
the fit; they are for `evaluate`.
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
from cardmint_edge.domain.decide import Policy, print_confidence, print_evidence, settled
from cardmint_edge.domain.recognise import Observed
from cardmint_edge.domain.recognition import Frame, Recognition
from cardmint_edge.domain.vision.embedding import Vectors
from cardmint_edge.domain.vision.hashing import Bits
from cardmint_edge.domain.vision.matching import Reference
from cardmint_edge.errors import Stop
from cardmint_edge.recogniser import Recognisers
from cardmint_lab.scenes import PRESETS, held_out, render


class Without:
    """A gallery with some rows taken out."""

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
    """One rendered photo and what came of it.

    `right` holds the printings of its art, the card's own included.
    """

    preset: str
    stranger: bool
    unknown: bool
    card_id: str
    right: frozenset[str]
    seen: Observed
    outcome: Recognition


def sample(
    pack: Pack, images: Path, count: int, seed: int, *, least_width: int = 0
) -> Iterator[Sample]:
    """Render `count` photos of scans that no training has seen, the presets in turn, and look at each.

    Scans less wide than `least_width` pixels are left out.

    Raises:
        Stop: none is left.
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
        message = f"{images}: no scan of a card that training leaves out is {least_width} pixels wide or more"
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
            Without(pack, hidden), unknown=right if unknown else frozenset()
        )
        outcome, seen = recogniser.observe(_compressed(scene.frame, int(rng.integers(50, 95))))
        yield Sample(
            preset=preset,
            stranger=stranger,
            unknown=unknown,
            card_id=card_id,
            right=right,
            seen=seen,
            outcome=replace(outcome, rectified=None),
        )


def _width(path: Path) -> int:
    with Image.open(path) as scan:
        return scan.width


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What came of one preset's samples.

    Only print can tell strangers (their scan is out), nothing the unknown.
    """

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


def outcomes(samples: list[Sample]) -> list[Outcome]:
    """Sum up preset by preset."""
    return [
        _outcome(preset, [one for one in samples if one.preset == preset]) for preset in PRESETS
    ]


def mistakes(samples: list[Sample]) -> list[tuple[str, str, str]]:
    """Return what was accepted wrongly: preset, the card, and what it was taken for."""
    return [
        (one.preset, one.card_id, one.outcome.card.id)
        for one in samples
        if one.outcome.card is not None and (one.unknown or one.outcome.card.id != one.card_id)
    ]


def likeliest_strangers(samples: list[Sample], limit: int = 5) -> list[tuple[float, str, str]]:
    """Return the worst of the strangers: likeness, who it was, and who it was taken for."""
    found = [
        (round(one.seen.sightings[0].likeness, 3), one.card_id, one.seen.sightings[0].card.id)
        for one in samples
        if one.stranger and one.seen.sightings
    ]
    return sorted(found, reverse=True)[:limit]


def fit(samples: list[Sample], policy: Policy) -> Policy:
    """Fit the policy's weights, for pictures and for print, by logistic regression.

    For pictures likeness, margin, inliers and a number that was read are the evidence, and the
    right art is the label; for print number, name, margin and lead, and the very card.
    """
    pictures = [_evidence(one, policy) for one in samples if one.seen.sightings]
    prints = [_print_evidence(one, policy) for one in samples if one.seen.found]
    return replace(
        policy,
        weights=_fitted(pictures),
        print_weights=_fitted(prints) if prints else policy.print_weights,
    )


def unsurest(samples: list[Sample], policy: Policy) -> list[tuple[float, str, str]]:
    """Return what print named wrongly by how sure it was, surest first.

    What a bound on acceptance must exceed.
    """
    wrong = [
        (
            round(print_confidence(one.seen.found[0], _print_margin(one), policy), 4),
            one.card_id,
            one.seen.found[0].card.id,
        )
        for one in samples
        if one.seen.found and (one.unknown or one.seen.found[0].card.id != one.card_id)
    ]
    return sorted(wrong, reverse=True)[:10]


Weights = tuple[float, float, float, float, float]


def _fitted(rows: list[tuple[float, float, float, float, float]], ridge: float = 0.1) -> Weights:
    """Fit bias and four weights (Newton's method), a ridge keeping them small.

    The fifth value is the label.

    A weight that came out negative would make more evidence count less: it is set to nothing, the
    others fitted again.
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


def _evidence(one: Sample, policy: Policy) -> tuple[float, float, float, float, float]:
    sightings, numbers = one.seen.sightings, one.seen.numbers
    best = sightings[0]
    same = {twin.id for twin in best.twins}
    rival = max(
        (other.likeness for other in sightings[1:] if other.card.id not in same), default=0.0
    )
    agreement = min(best.inliers, policy.enough_inliers) / policy.enough_inliers
    read = float(numbers is not None and settled(numbers, policy))
    right = float(best.card.id in one.right and not one.stranger)
    return best.likeness, best.likeness - rival, agreement, read, right


def _print_margin(one: Sample) -> float:
    best, *others = one.seen.found
    return best.total - max((other.total for other in others), default=-np.inf)


def _print_evidence(one: Sample, policy: Policy) -> tuple[float, float, float, float, float]:
    best = one.seen.found[0]
    right = float(best.card.id == one.card_id and not one.unknown)
    return *print_evidence(best, _print_margin(one), policy), right


def _outcome(preset: str, samples: list[Sample]) -> Outcome:
    known = [one for one in samples if not one.stranger]
    strangers = [one for one in samples if one.stranger and not one.unknown]
    unknown = [one for one in samples if one.unknown]
    return Outcome(
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
    return one.seen.sightings[0].likeness if one.seen.sightings else 0.0


def _compressed(frame: Frame, quality: int) -> Frame:
    _, data = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), dtype=np.uint8)

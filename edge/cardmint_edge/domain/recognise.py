"""The classical recogniser: guess where cards lie, hash each guess, look closely at the best candidates, decide."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np

from cardmint_contracts.cards import Card, Decision
from cardmint_edge.domain.decide import Circumstances, Policy, Sighting, Verdict, decide
from cardmint_edge.domain.detect import looks_like_card, propose
from cardmint_edge.domain.hashes import HASH_SIZE, Bits, card_hash, distances
from cardmint_edge.domain.match import VIEW_SIZE, Evidence, Reference, compare, describe
from cardmint_edge.domain.recognition import Corners, Frame, Recognition
from cardmint_edge.domain.rectify import cut, pyramid, sides, turned

TRIED = 10
"""How many guesses are hashed."""

NEAREST = 8
"""How many candidates a guess brings, and how many in all are looked at closely."""

DARK = 20
"""A frame whose mean is below this many grey levels shows nothing."""

CUT_OFF = 0.06
"""More than this share of the card's height may not lie outside of the frame."""

BLURRED = 5
"""A sharp card's Laplacian deviates by more than this many grey levels."""

BACK = 0.5
"""Above this correlation with its own half turn it is a back; one front in a thousand reaches it."""

RECTIFIED_HEIGHT = 1024
"""The height of the card alone that is handed on, at most; never more than the frame holds."""


class Gallery(Protocol):
    """The pictured printings of a pack, by row: their hashes, what there is to compare with, and who they are."""

    @property
    def version(self) -> str:
        """The pack's version."""
        ...

    @property
    def hashes(self) -> Bits:
        """Rows x WORDS."""
        ...

    def printing(self, row: int) -> Card:
        """Return the printing of a row."""
        ...

    def reference(self, row: int) -> Reference:
        """Return what to compare a view with."""
        ...

    def twins(self, row: int) -> tuple[Card, ...]:
        """Return the other printings, pictured or not, that the facts say carry the same art."""
        ...


@dataclass(frozen=True, slots=True)
class _Hit:
    """A guess (corners as the card would stand upright) whose hash lies near a row's."""

    distance: int
    row: int
    quad: Corners
    guess: int


@dataclass(frozen=True, slots=True)
class _Look:
    """A close look at one row."""

    row: int
    evidence: Evidence


class _Laps:
    """A stopwatch: the milliseconds of each step."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._last = clock()
        self.ms: dict[str, float] = {}

    def lap(self, step: str) -> None:
        now = self._clock()
        self.ms[step] = round((now - self._last) * 1000, 2)
        self._last = now


class ClassicalRecogniser:
    """Contours, homography, perceptual hashes and local features. `clock` returns seconds and only times the steps."""

    def __init__(self, gallery: Gallery, *, clock: Callable[[], float], policy: Policy | None = None) -> None:
        self._gallery = gallery
        self._clock = clock
        self._policy = policy or Policy()

    def recognise(self, frame: Frame) -> Recognition:
        """Return the outcome for one frame (height x width x 3, BGR)."""
        laps = _Laps(self._clock)
        levels = pyramid(frame)
        quads = _guesses(levels)
        laps.lap("detect")
        hits = self._nearest(levels, quads)
        laps.lap("hash")
        looks = self._look(levels, hits)
        laps.lap("match")
        quad = looks[0].evidence.corners if looks else None
        verdict = decide([self._sighting(look) for look in looks], _circumstances(levels, quad, quads), self._policy)
        if not verdict.candidates and "looks-like-card-back" not in verdict.reasons:
            quad = None
        rectified = None if quad is None else _rectified(levels, quad)
        laps.lap("decide")
        return self._recognition(verdict, quad, rectified, laps.ms)

    def sightings(self, frame: Frame) -> list[Sighting]:
        """Return the evidence alone, likeliest first: what calibration is fitted on."""
        levels = pyramid(frame)
        return [self._sighting(look) for look in self._look(levels, self._nearest(levels, _guesses(levels)))]

    def _nearest(self, levels: list[Frame], quads: list[Corners]) -> list[_Hit]:
        """Hash each guess both ways up and return the nearest rows, each once, nearest first."""
        hashes = self._gallery.hashes
        best: dict[int, _Hit] = {}
        if not len(hashes):
            return []
        for guess, quad in enumerate(quads[:TRIED]):
            short, long = sides(quad)
            for quarters in (0, 2) if short < 0.85 * long else (0, 1, 2, 3):
                upright = turned(quad, quarters)
                view = cut(levels, upright, *HASH_SIZE)
                if view.std() < 12:
                    # Next to no contrast: its hash would be noise, and near to that of the palest card.
                    continue
                apart = distances(card_hash(view), hashes)
                for row in np.argpartition(apart, min(NEAREST, len(apart)) - 1)[:NEAREST].tolist():
                    hit = _Hit(int(apart[row]), row, upright, guess * 4 + quarters)
                    if row not in best or hit.distance < best[row].distance:
                        best[row] = hit
        return sorted(best.values(), key=lambda hit: hit.distance)[:NEAREST]

    def _look(self, levels: list[Frame], hits: list[_Hit]) -> list[_Look]:
        views = {hit.guess: hit.quad for hit in hits}
        features = {guess: describe(cut(levels, quad, *VIEW_SIZE)) for guess, quad in views.items()}
        looks = [
            _Look(hit.row, compare(levels, hit.quad, features[hit.guess], self._gallery.reference(hit.row)))
            for hit in hits
        ]
        return sorted(looks, key=lambda look: -look.evidence.likeness)

    def _sighting(self, look: _Look) -> Sighting:
        return Sighting(
            card=self._gallery.printing(look.row),
            likeness=look.evidence.likeness,
            inliers=look.evidence.inliers,
            twins=self._gallery.twins(look.row),
        )

    def _recognition(
        self, verdict: Verdict, quad: Corners | None, rectified: Frame | None, ms: dict[str, float]
    ) -> Recognition:
        return Recognition(
            decision=verdict.decision,
            reasons=verdict.reasons,
            card=verdict.candidates[0].card if verdict.decision is Decision.ACCEPT else None,
            confidence=verdict.confidence,
            margin=verdict.margin,
            candidates=verdict.candidates,
            corners=quad,
            rectified=rectified,
            pack=self._gallery.version,
            ms=ms,
        )


def _guesses(levels: list[Frame]) -> list[Corners]:
    """Detect on a halving of the frame, and return the guesses in pixels of the frame."""
    seen = _near(levels, 1200)
    factor = np.float32(max(levels[0].shape[:2]) / max(seen.shape[:2]))
    return [np.asarray(quad * factor, dtype=np.float32) for quad in propose(seen, limit=60)]


def _near(levels: list[Frame], side: int) -> Frame:
    return next((level for level in levels if max(level.shape[:2]) <= side), levels[-1])


def _rectified(levels: list[Frame], quad: Corners) -> Frame:
    height = int(np.clip(sides(quad)[1], 88, RECTIFIED_HEIGHT))
    return cut(levels, quad, round(height * 63 / 88), height)


def _circumstances(levels: list[Frame], quad: Corners | None, quads: list[Corners]) -> Circumstances:
    frame = levels[0]
    dark = float(levels[-1].mean()) < DARK
    if quad is None:
        return Circumstances(too_dark=dark, card_shaped=False)
    size = np.array(frame.shape[1::-1], dtype=np.float32)
    outside = float(np.maximum(-quad, quad - size).max()) / sides(quad)[1]
    grey = cv2.cvtColor(cut(levels, quad, *VIEW_SIZE), cv2.COLOR_BGR2GRAY)
    shaped = [other for other in quads if looks_like_card(other, frame.shape[1], frame.shape[0])]
    return Circumstances(
        several_cards=_several(quad, quads),
        cut_off=outside > CUT_OFF,
        blurred=float(np.std(cv2.Laplacian(grey, cv2.CV_32F))) < BLURRED,
        too_dark=dark,
        card_back=any(half_turn_likeness(cut(levels, other, *HASH_SIZE)) > BACK for other in shaped[:4]),
        card_shaped=bool(shaped),
    )


def half_turn_likeness(view: Frame) -> float:
    """Return how a card correlates with itself turned by half: the backs of many games do, hardly any front does."""
    grey = cv2.GaussianBlur(cv2.cvtColor(view, cv2.COLOR_BGR2GRAY), (0, 0), 1.2)
    height, width = grey.shape
    inner = grey[height // 12 : -(height // 12), width // 12 : -(width // 12)].astype(np.float32)
    deviation = float(inner.std())
    if deviation < 1:
        return 0.0
    level = (inner - inner.mean()) / deviation
    return float((level * level[::-1, ::-1]).mean())


def _several(quad: Corners, quads: list[Corners]) -> bool:
    """Return whether another thing of a card's shape and about this card's size lies beside it."""
    area = cv2.contourArea(quad)
    for other in quads:
        short, long = sides(other)
        beside = cv2.contourArea(other)
        if 0.6 < short / long < 0.86 and 0.4 < beside / area < 2.5:
            shared, _ = cv2.intersectConvexConvex(quad, other)
            if shared < 0.1 * min(area, beside):
                return True
    return False

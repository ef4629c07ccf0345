"""The recogniser: find where cards lie, hash each place, look closely at the best candidates, read, decide."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from cardmint_contracts.cards import Decision
from cardmint_contracts.reasons import Reason
from cardmint_edge.domain.decide import (
    Found,
    Numbers,
    Policy,
    Sighting,
    Verdict,
    by_picture,
    contenders,
    decide,
    decide_by_print,
    energies_first,
    overrules,
)
from cardmint_edge.domain.gallery import Gallery
from cardmint_edge.domain.reading.print_reader import PrintReader
from cardmint_edge.domain.recognition import Corners, Frame, Recognition
from cardmint_edge.domain.vision.embedding import Embedder, prepared, similarities
from cardmint_edge.domain.vision.finder import Finder, overlap
from cardmint_edge.domain.vision.frame_quality import like_cards, notice
from cardmint_edge.domain.vision.hashing import HASH_SIZE, card_hash, distances
from cardmint_edge.domain.vision.matching import (
    VIEW_SIZE,
    Evidence,
    Features,
    compare,
    describe,
    same_place,
)
from cardmint_edge.domain.vision.proposals import OUTLINES, guessed, to_read
from cardmint_edge.domain.vision.rectify import cut, pyramid, sides, turned

TRIED = 10
"""Clear outlines are hashed first, then so many other guesses at once, and more only when these brought nothing."""

MOST_TRIED = 30

NEAREST = 8
"""How many rows a guess brings, and how many of all the guesses' rows are looked at closely."""

RESEMBLING = 4
"""So many of the rows that the embedding finds most alike are looked at closely, where hashes found nothing."""

RIVALS = 2
"""Of the rows near to a picture that is surely there so many are compared with it.

The nearest of them is the rival.
"""

SETTLED = 0.75
"""A picture as like as this lies where it was found.

No other one is looked for there with corners of its own.
"""

SAME_PLACE = 0.7
"""Outlines that share more than this of what they cover are of one card."""

UNPICTURED = frozenset({Reason.LOW_SIMILARITY, Reason.NO_CARD_FOUND, Reason.LOOKS_LIKE_CARD_BACK})
DOUBTED = frozenset({Reason.OTHER_NUMBER, Reason.OTHER_TITLE, Reason.NUMBER_UNREADABLE})
"""Print is looked for where no picture is known, and where what is read speaks against one that is in doubt too."""

SURE = 0.9
"""A likeness as good as this needs no second look."""

RECTIFIED_HEIGHT = 880
"""The height of the card alone that is handed on, at most: ten pixels a millimetre.

Never more than the frame holds.
"""


@dataclass(frozen=True, slots=True)
class _Hit:
    """A guess (corners as the card would stand upright) whose look is near a row's."""

    distance: float
    row: int
    quad: Corners
    guess: int


@dataclass(frozen=True, slots=True)
class _Look:
    """A close look at one row."""

    row: int
    evidence: Evidence


@dataclass(frozen=True, kw_only=True, slots=True)
class Observed:
    """What was seen of a frame: candidates by picture and by print, likeliest first.

    `numbers` is how those of the first picture's art read.
    """

    sightings: tuple[Sighting, ...]
    numbers: Numbers | None
    found: tuple[Found, ...] = ()


class _Laps:
    """A stopwatch: the milliseconds of each step."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._last = clock()
        self.ms: dict[str, float] = {}

    def lap(self, step: str) -> None:
        now = self._clock()
        self.ms[step] = round(self.ms.get(step, 0.0) + (now - self._last) * 1000, 2)
        self._last = now


class CardRecogniser:
    """Outlines, perceptual hashes and local features.

    And the print, where there is a reader for it.

    Outlines come from `finder`, and from contours when there is none or it finds nothing.
    `embedder` finds pictures that hashes do not, where the gallery has vectors. `clock` returns
    seconds and only times the steps; `models` names the models' versions, or says why there are
    none.
    """

    def __init__(
        self,
        gallery: Gallery,
        *,
        clock: Callable[[], float],
        policy: Policy | None = None,
        finder: Finder | None = None,
        printed: PrintReader | None = None,
        embedder: Embedder | None = None,
        models: dict[str, str] | None = None,
    ) -> None:
        self._gallery = gallery
        self._clock = clock
        self._policy = policy or Policy()
        self._finder = finder
        self._printed = printed
        self._embedder = embedder if len(gallery.vectors) else None
        self._models = models or {}
        used = {"corners": finder, "reader": printed, "embedding": self._embedder}
        parts = [name for name, model in used.items() if model]
        self._method = "-".join(parts) or "classical"

    def recognise(self, frame: Frame) -> Recognition:
        """Return the outcome for one frame (height x width x 3, BGR)."""
        return self.observe(frame)[0]

    def observe(self, frame: Frame) -> tuple[Recognition, Observed]:
        """Return the outcome for one frame, and the evidence that it rests on.

        What calibration is fitted on.
        """
        laps = _Laps(self._clock)
        levels = pyramid(frame)
        guesses, clear = guessed(levels, self._finder)
        laps.lap("detect")
        looks = self._examine(levels, guesses, clear, laps)
        quad = looks[0].evidence.corners if looks else None
        matched = [
            look.evidence
            for look in looks
            if look.evidence.likeness >= self._policy.accept_likeness
        ]
        seen = notice(
            levels,
            quad,
            guesses,
            [evidence.corners for evidence in matched[1:]],
            clear=clear,
            known=bool(matched),
        )
        sightings = [self._sighting(look) for look in looks]
        laps.lap("decide")
        numbers = self._numbers(levels, quad, sightings)
        laps.lap("read")
        verdict = decide(sightings, seen, self._policy, numbers)
        found: list[Found] = []
        laps.lap("decide")
        unknown = not UNPICTURED.isdisjoint(verdict.reasons)
        doubted = Reason.LOW_CONFIDENCE in verdict.reasons and not DOUBTED.isdisjoint(
            verdict.reasons
        )
        if self._printed is not None and (unknown or doubted):
            shaped = verdict.decision is not Decision.REJECT
            places = to_read(levels, guesses, quad, contours=bool(clear))
            found, where = self._read_print(levels, places, sightings, shaped=shaped)
            if where is not None:
                found, likeness = self._compared(levels, where, found, sightings)
                printed = decide_by_print(
                    found, seen, self._policy, likeness=likeness, pictured=not unknown
                )
                if unknown or overrules(printed, verdict, found, self._policy):
                    verdict, quad = printed, where
            laps.lap("read")
        if not verdict.candidates:
            quad = None
        laps.lap("decide")
        other = self._other_language(levels, quad, verdict)
        laps.lap("read")
        rectified = None if quad is None else _rectified(levels, quad)
        laps.lap("rectify")
        recognition = self._recognition(verdict, quad, rectified, laps.ms, other_language=other)
        return recognition, Observed(
            sightings=tuple(sightings), numbers=numbers, found=tuple(found)
        )

    def _numbers(
        self, levels: list[Frame], quad: Corners | None, sightings: list[Sighting]
    ) -> Numbers | None:
        """Read the number where the best candidate lies, unless it is too unlike for its corners to be trusted."""
        if (
            self._printed is None
            or quad is None
            or sightings[0].likeness < self._policy.review_likeness
        ):
            return None
        return self._printed.numbers(levels, quad, [sightings[0].card, *sightings[0].twins])

    def _read_print(
        self,
        levels: list[Frame],
        places: Iterator[Corners],
        sightings: list[Sighting],
        *,
        shaped: bool,
    ) -> tuple[list[Found], Corners | None]:
        """Look for a card by what is printed on it, its picture being unknown.

        Return where, if one was read at all.
        """
        printed = self._printed
        assert printed is not None  # noqa: S101 - only called with a reader
        fits, where = printed.search(levels, places)
        found = [
            Found(
                card=card,
                number=fit.number,
                name=fit.name,
                total=fit.total,
                lead=fit.lead,
                artist=fit.artist,
            )
            for fit in fits[:20]
            if (card := self._gallery.card(fit.card_id)) is not None
        ]
        found = energies_first(found, sightings, self._policy)
        least = self._policy.like_print if shaped else self._policy.clear_print
        return found, where if found and found[0].total >= least else None

    def _compared(
        self, levels: list[Frame], where: Corners, found: list[Found], sightings: list[Sighting]
    ) -> tuple[list[Found], float | None]:
        """Order what print leaves open by pictures too.

        Return how like that of the first is, if it has one.
        """
        ids = [one.card.id for one in contenders(found, self._policy)]
        pictured = {
            card_id: row for card_id in ids if (row := self._gallery.row(card_id)) is not None
        }
        if not pictured:
            return found, None
        features = describe(cut(levels, where, *VIEW_SIZE))
        seen = {sighting.card.id: sighting.likeness for sighting in sightings}
        alike: dict[str, float] = {}
        for card_id, row in pictured.items():
            here = compare(levels, where, features, self._gallery.reference(row)).likeness
            alike[card_id] = max(here, seen.get(card_id, 0.0))
        found = by_picture(found, alike, self._policy)
        return found, alike.get(found[0].card.id)

    def _examine(
        self, levels: list[Frame], guesses: list[Corners], clear: int, laps: _Laps
    ) -> list[_Look]:
        """Try the best guesses, and more of them only when nothing was found.

        Likeliest first, each row once.
        """
        looks: dict[int, _Look] = {}
        for hits in self._hits(levels, guesses, clear):
            laps.lap("hash")
            for look in self._look(levels, hits):
                if (
                    look.row not in looks
                    or look.evidence.likeness > looks[look.row].evidence.likeness
                ):
                    looks[look.row] = look
            laps.lap("match")
            if any(
                look.evidence.likeness >= self._policy.accept_likeness for look in looks.values()
            ):
                break
        ranked = sorted(looks.values(), key=lambda look: -look.evidence.likeness)
        ranked[:1] = [self._again(levels, look) for look in ranked[:1]]
        laps.lap("match")
        return ranked

    def _hits(
        self, levels: list[Frame], guesses: list[Corners], clear: int
    ) -> Iterator[list[_Hit]]:
        """Yield what to look at closely, each time further afield.

        The clear outlines first, then other guesses.
        """
        yield self._nearest(levels, guesses[:clear])
        if self._embedder is not None:
            yield self._resembling(levels, like_cards(guesses[:clear])[:OUTLINES], self._embedder)
        later = guesses[clear : clear + MOST_TRIED]
        for start in range(0, len(later), TRIED):
            yield self._nearest(levels, later[start : start + TRIED])

    def _again(self, levels: list[Frame], look: _Look) -> _Look:
        """Look once more from where the first look found the card.

        Better corners, and so a better likeness.
        """
        if look.evidence.likeness >= SURE and look.evidence.inliers:
            return look
        corners = look.evidence.corners
        features = describe(cut(levels, corners, *VIEW_SIZE))
        evidence = compare(levels, corners, features, self._gallery.reference(look.row))
        better = evidence.likeness > look.evidence.likeness or not look.evidence.inliers
        return _Look(look.row, evidence) if better else look

    def _nearest(self, levels: list[Frame], guesses: list[Corners]) -> list[_Hit]:
        """Hash each guess both ways up and return the nearest rows, each once, nearest first."""
        hashes = self._gallery.hashes
        best: dict[int, _Hit] = {}
        if not len(hashes):
            return []
        for guess, quad in enumerate(guesses):
            short, long = sides(quad)
            for quarters in (0, 2) if short < 0.85 * long else (0, 1, 2, 3):
                upright = turned(quad, quarters)
                view = cut(levels, upright, *HASH_SIZE)
                if view.std() < 12:
                    # Next to no contrast: its hash would be noise, and near to that of the palest
                    # card.
                    continue
                apart = distances(card_hash(view), hashes)
                for row in np.argpartition(apart, min(NEAREST, len(apart)) - 1)[:NEAREST].tolist():
                    hit = _Hit(int(apart[row]), row, upright, guess * 4 + quarters)
                    if row not in best or hit.distance < best[row].distance:
                        best[row] = hit
        return sorted(best.values(), key=lambda hit: hit.distance)[:NEAREST]

    def _resembling(
        self, levels: list[Frame], guesses: list[Corners], embedder: Embedder
    ) -> list[_Hit]:
        """Embed each guess both ways up and return the rows most alike, each once, likeliest first."""
        best: dict[int, _Hit] = {}
        for guess, quad in enumerate(guesses):
            for quarters in (0, 2):
                upright = turned(quad, quarters)
                alike = similarities(
                    embedder(prepared(cut(levels, upright, *HASH_SIZE))), self._gallery.vectors
                )
                for row in np.argpartition(-alike, min(RESEMBLING, len(alike)) - 1)[
                    :RESEMBLING
                ].tolist():
                    hit = _Hit(-float(alike[row]), row, upright, guess * 4 + quarters)
                    if row not in best or hit.distance < best[row].distance:
                        best[row] = hit
        return sorted(best.values(), key=lambda hit: hit.distance)[:RESEMBLING]

    def _look(self, levels: list[Frame], hits: list[_Hit]) -> list[_Look]:
        """Compare each hit; once one is surely there, the others of its place are compared just where it lies."""
        features: dict[int, Features] = {}
        settled: dict[int, Corners] = {}
        rivals: Counter[int] = Counter()
        looks = []
        for hit in hits:
            there = next(
                (
                    row
                    for row, corners in settled.items()
                    if overlap(corners, hit.quad) > SAME_PLACE
                ),
                None,
            )
            if there is not None:
                rivals[there] += 1
                if rivals[there] <= RIVALS:
                    looks.append(
                        _Look(
                            hit.row,
                            same_place(levels, settled[there], self._gallery.reference(hit.row)),
                        )
                    )
                continue
            if hit.guess not in features:
                features[hit.guess] = describe(cut(levels, hit.quad, *VIEW_SIZE))
            evidence = compare(
                levels, hit.quad, features[hit.guess], self._gallery.reference(hit.row)
            )
            looks.append(_Look(hit.row, evidence))
            if evidence.likeness >= SETTLED:
                settled[hit.row] = evidence.corners
        return looks

    def _sighting(self, look: _Look) -> Sighting:
        return Sighting(
            card=self._gallery.printing(look.row),
            likeness=look.evidence.likeness,
            title=look.evidence.title,
            inliers=look.evidence.inliers,
            twins=self._gallery.twins(look.row),
        )

    def _other_language(self, levels: list[Frame], quad: Corners | None, verdict: Verdict) -> bool:
        """Look for another language's signs on a card that is accepted.

        Of others a person is asked anyway.
        """
        if self._printed is None or quad is None or verdict.decision is not Decision.ACCEPT:
            return False
        return self._printed.other_language(levels, quad, verdict.candidates[0].card.id)

    def _recognition(
        self,
        verdict: Verdict,
        quad: Corners | None,
        rectified: Frame | None,
        ms: dict[str, float],
        *,
        other_language: bool,
    ) -> Recognition:
        return Recognition(
            decision=verdict.decision,
            reasons=verdict.reasons,
            card=verdict.candidates[0].card if verdict.decision is Decision.ACCEPT else None,
            confidence=verdict.confidence,
            margin=verdict.margin,
            likeness_gap=verdict.likeness_gap,
            candidates=verdict.candidates,
            corners=quad,
            rectified=rectified,
            other_language=other_language,
            method=self._method,
            pack=self._gallery.version,
            models=self._models,
            ms=ms,
        )


def _rectified(levels: list[Frame], quad: Corners) -> Frame:
    height = int(np.clip(sides(quad)[1], 88, RECTIFIED_HEIGHT))
    return cut(levels, quad, round(height * 63 / 88), height)

"""The recogniser: propose quads, search pictures, read print, judge."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import islice

import numpy as np

from cardmint_contracts.cards import Decision
from cardmint_edge.domain.config import RecognitionConfig
from cardmint_edge.domain.decide import (
    Verdict,
    judge,
    needs_print,
    order_by_picture,
    outside_catalogue,
    raise_energies,
    worth_comparing,
)
from cardmint_edge.domain.evidence import (
    Evidence,
    PictureMatch,
    PrintEvidence,
    PrintMatch,
)
from cardmint_edge.domain.gallery import Gallery
from cardmint_edge.domain.picture_search import PictureSearch
from cardmint_edge.domain.reading.print_reader import PrintReader
from cardmint_edge.domain.recognition import Frame, Recognition
from cardmint_edge.domain.vision.embedding import Embedder
from cardmint_edge.domain.vision.finder import FinderNetwork
from cardmint_edge.domain.vision.frame_quality import assess, shows_several
from cardmint_edge.domain.vision.proposals import Proposals, propose, reading_places
from cardmint_edge.domain.vision.quad import CARD_RATIO, Quad
from cardmint_edge.domain.vision.view import CardView, View

RECTIFIED_HEIGHT = 880
"""Greatest height of the rectified card, in pixels: ten a millimetre."""

PRINT_MATCHES = 20
"""How many cards found by print are judged."""

NUMBER_PLACES = 6
"""At how many places a number that the catalogue lacks is looked for."""


class Stopwatch:
    """The milliseconds of each step. `clock` returns seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._last = clock()
        self.ms: dict[str, float] = {}

    def lap(self, step: str) -> None:
        """Add the time since the last lap to a step."""
        now = self._clock()
        self.ms[step] = round(self.ms.get(step, 0.0) + (now - self._last) * 1000, 2)
        self._last = now


class CardRecogniser:
    """Recognises the card in a frame by outlines, hashes, local features and print.

    Without `finder` outlines come from contours alone, without `print_reader` no print is read, and
    `embedder` is used only where the gallery has vectors. `clock` returns seconds and only times
    the steps. `models` names the models' versions, or why there are none.
    """

    def __init__(
        self,
        gallery: Gallery,
        *,
        clock: Callable[[], float],
        config: RecognitionConfig | None = None,
        finder: FinderNetwork | None = None,
        print_reader: PrintReader | None = None,
        embedder: Embedder | None = None,
        models: dict[str, str] | None = None,
    ) -> None:
        self._gallery = gallery
        self._clock = clock
        self._config = config or RecognitionConfig()
        self._rules_version = self._config.rules_version
        self._finder = finder
        self._print_reader = print_reader
        self._search = PictureSearch(gallery, embedder, self._config)
        self._models = models or {}
        used = {"corners": finder, "reader": print_reader, "embedding": self._search.embeds}
        self._method = "-".join(name for name, model in used.items() if model) or "classical"

    def recognise(self, frame: Frame) -> Recognition:
        """Return the outcome for one frame (height x width x 3, BGR)."""
        return self.observe(frame)[0]

    def observe(self, frame: Frame) -> tuple[Recognition, Evidence]:
        """Return the outcome for one frame, and the evidence it rests on, for calibration."""
        watch = Stopwatch(self._clock)
        view = View(frame)
        proposals = propose(view, self._finder, self._config.finder)
        watch.lap("detect")
        evidence, quad = self._gather_pictures(view, proposals, watch)
        watch.lap("decide")
        evidence = self._with_numbers(view, quad, evidence)
        watch.lap("read")
        evidence, print_quad = self._with_prints(view, proposals, quad, evidence)
        watch.lap("read")
        verdict = judge(evidence, self._config.policy)
        if not verdict.candidates:
            quad = None
        elif verdict.by_print:
            quad = print_quad
        watch.lap("decide")
        if self._has_unknown_number(view, proposals, quad, verdict):
            verdict = outside_catalogue(verdict)
        foreign = self._has_foreign_sign(view, quad, verdict)
        watch.lap("read")
        rectified = None if quad is None else _rectified(view, quad)
        watch.lap("rectify")
        recognition = Recognition(
            decision=verdict.decision,
            reasons=verdict.reasons,
            card=verdict.candidates[0].card if verdict.decision is Decision.ACCEPT else None,
            confidence=verdict.confidence,
            margin=verdict.margin,
            likeness_gap=verdict.likeness_gap,
            candidates=verdict.candidates,
            quad=quad,
            rectified=rectified,
            other_language=foreign,
            method=self._method,
            pack=self._gallery.version,
            models=self._models,
            rules_version=self._rules_version,
            ms=watch.ms,
        )
        return recognition, evidence

    def _gather_pictures(
        self, view: View, proposals: Proposals, watch: Stopwatch
    ) -> tuple[Evidence, Quad | None]:
        """Return the matching pictures and the frame's quality, and where the best picture lies."""
        compared = self._search.search(view, proposals, watch.lap)
        quad = compared[0].comparison.quad if compared else None
        least = self._config.policy.accept_likeness
        alike = [one.comparison for one in compared if one.comparison.likeness >= least]
        quality = assess(
            view,
            quad,
            proposals,
            [comparison.quad for comparison in alike[1:]],
            self._config.quality,
            known=bool(alike),
            network=self._finder,
        )
        pictures = tuple(self._search.match(one) for one in compared)
        return Evidence(pictures=pictures, quality=quality), quad

    def _with_numbers(self, view: View, quad: Quad | None, evidence: Evidence) -> Evidence:
        """Add the scores of numbers; a picture that is too unlike has no reliable quad."""
        if self._print_reader is None or quad is None:
            return evidence
        best = evidence.pictures[0]
        if best.likeness < self._config.policy.review_likeness:
            return evidence
        numbers = self._print_reader.numbers(view.at(quad), [best.card, *best.twins])
        return replace(evidence, numbers=numbers)

    def _with_prints(
        self, view: View, proposals: Proposals, quad: Quad | None, evidence: Evidence
    ) -> tuple[Evidence, Quad | None]:
        """Add the cards that print names, where pictures leave the card open; return their quad."""
        policy = self._config.policy
        if self._print_reader is None or not needs_print(evidence, policy):
            return evidence, None
        places = reading_places(view, proposals, quad, self._config.finder)
        scores, where = self._print_reader.search(places)
        matches = [
            PrintMatch(
                card=card,
                number=score.number,
                name=score.name,
                total=score.total,
                name_lead=score.name_lead,
                artist=score.artist,
            )
            for score in scores[:PRINT_MATCHES]
            if (card := self._gallery.card(score.card_id)) is not None
        ]
        matches = raise_energies(matches, evidence.pictures, policy)
        if where is None or not matches:
            return evidence, None
        if matches[0].total < self._least_print(evidence):
            prints = PrintEvidence(matches=tuple(matches), legible=False)
            return replace(evidence, prints=prints), None
        prints = self._compared_with_pictures(view, where.quad, matches, evidence.pictures)
        several = evidence.quality.several_cards or shows_several(
            view, where.quad, proposals, self._config.quality, self._finder
        )
        quality = replace(evidence.quality, several_cards=several)
        return replace(evidence, prints=prints, quality=quality), where.quad

    def _least_print(self, evidence: Evidence) -> float:
        """Return the least total (log) that counts as print: less on what looks like a card."""
        policy = self._config.policy
        shaped = bool(evidence.pictures) and (
            evidence.pictures[0].likeness >= policy.review_likeness
            or (evidence.quality.card_shaped and not evidence.quality.card_back)
        )
        return policy.shaped_print if shaped else policy.shapeless_print

    def _compared_with_pictures(
        self,
        view: View,
        quad: Quad,
        matches: list[PrintMatch],
        pictures: tuple[PictureMatch, ...],
    ) -> PrintEvidence:
        """Order what print leaves open by the cards' own pictures, too."""
        policy = self._config.policy
        ids = [match.card.id for match in worth_comparing(matches, policy)]
        known = {picture.card.id: picture.likeness for picture in pictures}
        likenesses = {
            card_id: max(likeness, known.get(card_id, 0.0))
            for card_id, likeness in self._search.likenesses(view, quad, ids).items()
        }
        ordered = order_by_picture(matches, likenesses, policy)
        return PrintEvidence(matches=tuple(ordered), likeness=likenesses.get(ordered[0].card.id))

    def _has_unknown_number(
        self, view: View, proposals: Proposals, quad: Quad | None, verdict: Verdict
    ) -> bool:
        """Return whether a recognised card bears a number that no printing has.

        An accepted card lies at `quad`; any other may lie elsewhere.
        """
        if self._print_reader is None or quad is None or verdict.decision is Decision.REJECT:
            return False
        places: Iterable[CardView] = [view.at(quad)]
        if verdict.decision is not Decision.ACCEPT:
            places = reading_places(view, proposals, quad, self._config.finder)
        reader = self._print_reader
        return any(reader.unknown_number(place) for place in islice(places, NUMBER_PLACES))

    def _has_foreign_sign(self, view: View, quad: Quad | None, verdict: Verdict) -> bool:
        """Return whether an accepted card bears another language's sign; others are asked about."""
        if self._print_reader is None or quad is None or verdict.decision is not Decision.ACCEPT:
            return False
        card_id = verdict.candidates[0].card.id
        return self._print_reader.has_foreign_sign(view.at(quad), card_id)


def _rectified(view: View, quad: Quad) -> Frame:
    height = int(np.clip(quad.height, 88, RECTIFIED_HEIGHT))
    return view.cut(quad, round(height * CARD_RATIO), height)

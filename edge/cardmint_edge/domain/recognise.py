"""The recogniser: propose quads, search pictures, read print, judge."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np

from cardmint_contracts.cards import Decision
from cardmint_contracts.reasons import Reason
from cardmint_edge.domain.config import PolicyConfig, RecognitionConfig
from cardmint_edge.domain.decide import Ranked, judge, rank
from cardmint_edge.domain.evidence import Candidate, Evidence, PictureScores, PrintScores
from cardmint_edge.domain.gallery import Gallery
from cardmint_edge.domain.language import tell_language
from cardmint_edge.domain.picture_search import PictureSearch
from cardmint_edge.domain.reading.clear_numbers import ReadNumber
from cardmint_edge.domain.reading.close_up import CloseUp
from cardmint_edge.domain.reading.print_reader import Examined, PrintReader
from cardmint_edge.domain.reading.trigrams import TrigramTable
from cardmint_edge.domain.recognition import Frame, Recognition
from cardmint_edge.domain.vision.embedding import Embedder
from cardmint_edge.domain.vision.finder import FinderNetwork
from cardmint_edge.domain.vision.frame_quality import assess, shows_several
from cardmint_edge.domain.vision.neighbours import spans_two, whole_cards
from cardmint_edge.domain.vision.proposals import (
    Proposals,
    card_shaped,
    propose,
    reading_places,
)
from cardmint_edge.domain.vision.quad import CARD_RATIO, Quad
from cardmint_edge.domain.vision.view import CardView, View

RECTIFIED_HEIGHT = 880
"""Greatest height of the rectified card, in pixels: ten a millimetre."""

SECOND_PLACES = 2
"""At how many places the larger reader looks: at the likeliest, both ways up."""


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
    `embedder` is used only where the gallery has vectors. `second_look`, a larger reader, reads
    cards that all of these leave uncertain. `back` says how much a cut-out is like a card's back.
    `trigrams` tell the language of running text. `clock` returns seconds and only times the steps.
    `models` names the models' versions, or why there are none.
    """

    def __init__(
        self,
        gallery: Gallery,
        *,
        clock: Callable[[], float],
        config: RecognitionConfig | None = None,
        finder: FinderNetwork | None = None,
        print_reader: PrintReader | None = None,
        second_look: PrintReader | None = None,
        embedder: Embedder | None = None,
        back: Callable[[Frame], float] | None = None,
        trigrams: TrigramTable | None = None,
        models: dict[str, str] | None = None,
    ) -> None:
        self._gallery = gallery
        self._clock = clock
        self._config = config or RecognitionConfig()
        self._rules_version = self._config.rules_version
        self._finder = finder
        self._print_reader = print_reader
        self._second_look = second_look
        self._trigrams = trigrams
        self._search = PictureSearch(gallery, embedder, self._config)
        self._back = back
        self._models = models or {}
        used = {"corners": finder, "reader": print_reader, "embedding": self._search.embeds}
        self._method = "-".join(name for name, model in used.items() if model) or "classical"

    def recognise(self, frame: Frame) -> Recognition:
        """Return the outcome for one frame (height x width x 3, BGR)."""
        return self.observe(frame)[0]

    def read_close_up(self, frame: Frame) -> CloseUp | None:
        """Return what a photo of a card's lower edge alone shows."""
        return None if self._print_reader is None else self._print_reader.close_up(View(frame))

    def observe(
        self, frame: Frame, *, thorough: bool = False
    ) -> tuple[Recognition, tuple[Evidence, ...]]:
        """Return the outcome for one frame, and the evidence as it grew, for fitting.

        Print is searched while the posterior is not settled; always if `thorough`. The outcome
        rests on the last evidence.
        """
        watch = Stopwatch(self._clock)
        view = View(frame)
        proposals = propose(view, self._finder, self._config.finder)
        watch.lap("detect")
        seen = self._seen(view, proposals, watch)
        watch.lap("decide")
        seen = self._examined(view, seen)
        watch.lap("read")
        grew = [seen.evidence]
        policy = self._config.policy
        if thorough or not seen.is_settled(policy.settled):
            seen = self._searched(view, proposals, seen)
            grew.append(seen.evidence)
        if thorough or not seen.is_settled(policy.accept):
            told = self._with_attacks(view, seen)
            if told is not seen:
                seen = told
                grew.append(seen.evidence)
        watch.lap("read")
        if thorough or not seen.is_settled(policy.accept):
            again = self._looked_again(view, proposals, seen)
            if again is not seen:
                seen = again
                grew.append(seen.evidence)
            watch.lap("second_look")
        seen = self._checked_alone(view, proposals, seen)
        seen = self._with_language(view, seen)
        grew[-1] = seen.evidence
        watch.lap("read")
        verdict = judge(seen.evidence, policy)
        quad = seen.quad_of(verdict.candidates[0].card.id) if verdict.candidates else None
        watch.lap("decide")
        rectified = None if quad is None else _rectified(view, quad)
        watch.lap("rectify")
        several = Reason.SEVERAL_CARDS in verdict.reasons
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
            outlines=self._whole_cards(view, proposals, quad) if several else (),
            languages=seen.evidence.languages,
            method=self._method,
            pack=self._gallery.version,
            models=self._models,
            rules_version=self._rules_version,
            ms=watch.ms,
        )
        return recognition, tuple(grew)

    def _whole_cards(self, view: View, proposals: Proposals, quad: Quad | None) -> tuple[Quad, ...]:
        """Return where whole cards lie: that of the likeliest printing, and the outlines."""
        found = [*([] if quad is None else [quad]), *proposals.outlines]
        found += card_shaped(proposals.quads[proposals.clear :])[: self._config.quality.outlined]
        whole = Quad.of_frame(view.width, view.height)
        parts = [one for one in found if one.overlap(whole) < self._config.finder.same_outline]
        return tuple(whole_cards(parts, (view.width, view.height), self._config.quality))

    def _seen(self, view: View, proposals: Proposals, watch: Stopwatch) -> "_Seen":
        """Return the printings whose pictures match, and the frame's quality."""
        compared = self._search.search(view, proposals, watch.lap)
        quad = compared[0].comparison.quad if compared else None
        least = self._config.policy.likeness
        alike = [one.comparison for one in compared if one.comparison.likeness >= least]
        quality = assess(
            view,
            quad,
            proposals,
            [comparison.quad for comparison in alike[1:]],
            self._config.quality,
            known=bool(alike),
            network=self._finder,
            back=self._back,
        )
        candidates = tuple(self._search.candidates(compared))
        return _Seen(
            policy=self._config.policy,
            evidence=Evidence(candidates=candidates, quality=quality),
            picture_quad=quad,
            pictured=bool(alike),
        )

    def _examined(self, view: View, seen: "_Seen") -> "_Seen":
        """Add the print of the candidates; a picture that is too unlike has no reliable quad."""
        alike = [
            one.card
            for one in seen.evidence.candidates
            if one.picture is not None and one.picture.likeness >= self._config.policy.unlike
        ]
        if self._print_reader is None or seen.picture_quad is None or not alike:
            return seen
        examined = self._print_reader.examine(view.at(seen.picture_quad), alike)
        if examined is None:
            return seen
        seen = self._with_numbers(replace(seen, examined=True), examined.clear)
        return seen.with_evidence(
            candidates=tuple(
                replace(one, prints=examined.scores.get(one.card.id))
                for one in seen.evidence.candidates
            ),
            languages=examined.languages,
        )

    def _with_language(self, view: View, seen: "_Seen") -> "_Seen":
        """Add what running text tells of the language, where the name leaves it open."""
        languages, reader = seen.evidence.languages, self._print_reader
        best = seen.ranked.likeliest
        quad = None if best is None else seen.quad_of(best.card.id)
        if reader is None or self._trigrams is None or best is None or quad is None:
            return seen
        if not languages or self._is_clear(languages):
            return seen
        known = reader.names_of_moves(best.card.id)
        total, trigrams = languages, frozenset[int]()
        for more in reader.running_text(view.at(quad)):
            trigrams |= more
            found = self._trigrams.language_scores(trigrams, known)
            total = {one: score + found[one] for one, score in languages.items()}
            if self._is_clear(total):
                break
        most = max(total.values())
        return seen.with_evidence(languages={one: score - most for one, score in total.items()})

    def _is_clear(self, languages: Mapping[str, float]) -> bool:
        config = self._config.language
        return tell_language(languages, None, config).confidence >= config.clear

    def _searched(self, view: View, proposals: Proposals, seen: "_Seen") -> "_Seen":
        """Add the printings that print names, compared with their own pictures."""
        if self._print_reader is None:
            return seen
        places = reading_places(view, proposals, seen.picture_quad, self._config.finder)
        searched = self._print_reader.search(places)
        seen = self._with_numbers(seen, searched.clear)
        found, where = searched.examined.scores, searched.where
        if where is None:
            return seen.with_evidence(searched=True)
        candidates = {one.card.id: one for one in seen.evidence.candidates}
        ids = list(found)[: self._config.policy.compared_prints]
        pictures = self._search.compare_own(view, where.quad, ids)
        for card_id, prints in found.items():
            known = candidates.get(card_id)
            if known is None:
                card = self._gallery.card(card_id)
                if card is None:
                    continue
                known = Candidate(card=card, art=card_id)
            candidates[card_id] = replace(
                known,
                prints=_better(known.prints, prints),
                picture=_more_alike(known.picture, pictures.get(card_id)),
            )
        seen = replace(seen, print_quad=where.quad).with_evidence(
            candidates=tuple(candidates.values()), searched=True
        )
        best = seen.ranked.likeliest
        pictured = best is not None and seen.quad_of(best.card.id) is seen.picture_quad
        if (pictured and seen.examined) or where.height < self._config.reader.min_height:
            return seen
        return seen.with_evidence(languages=searched.examined.languages)

    def _with_numbers(self, seen: "_Seen", clear: frozenset[ReadNumber]) -> "_Seen":
        """Add numbers that stand clearly on the card: is the one on it the catalogue's?"""
        if self._print_reader is None:
            return seen
        seen = replace(seen, clear=seen.clear | clear)
        return seen.with_evidence(unknown_number=self._print_reader.unknown_number(seen.clear))

    def _checked_alone(self, view: View, proposals: Proposals, seen: "_Seen") -> "_Seen":
        """Look for another card around one that would be accepted where `_seen` has not looked."""
        policy, config = self._config.policy, self._config.quality
        best = seen.ranked.likeliest
        quad = seen.print_quad or seen.picture_quad
        if (
            best is None
            or quad is None
            or (seen.print_quad is None and seen.pictured)
            or not seen.is_settled(policy.accept)
        ):
            return seen
        unlike = best.picture is None or best.picture.likeness < policy.likeness
        several = (unlike and spans_two(quad, config)) or shows_several(
            view, quad, proposals, config, self._finder
        )
        quality = seen.evidence.quality
        return seen.with_evidence(
            quality=replace(quality, several_cards=quality.several_cards or several)
        )

    def _with_attacks(self, view: View, seen: "_Seen") -> "_Seen":
        """Add what attacks and abilities say of the likeliest candidates, where the first lies."""
        ranked = seen.ranked.candidates
        quad = seen.quad_of(ranked[0][0].card.id) if ranked else None
        if self._print_reader is None or quad is None:
            return seen
        likely = [
            one.card.id
            for one, _ in ranked[: self._config.reader.attacked]
            if one.prints is not None
        ]
        leads = self._print_reader.attacks(view.at(quad), likely)
        if not any(leads.values()):
            return seen
        return seen.with_evidence(
            candidates=tuple(
                replace(one, prints=replace(one.prints, attack=leads[one.card.id]))
                if one.prints is not None and one.card.id in leads
                else one
                for one in seen.evidence.candidates
            )
        )

    def _looked_again(self, view: View, proposals: Proposals, seen: "_Seen") -> "_Seen":
        """Add what the larger reader reads, first where the likeliest candidate lies.

        It reads on while the card is open, and some printing is likely.
        """
        if self._second_look is None:
            return seen
        policy, before = self._config.policy, seen
        best = seen.ranked.likeliest
        quad = None if best is None else seen.quad_of(best.card.id)
        places = reading_places(view, proposals, quad, self._config.finder)
        asked = [one.card for one in seen.evidence.candidates]
        looks = self._second_look.look_again(
            islice(places, SECOND_PLACES), asked, self._gallery.card
        )
        for examined, where in looks:
            seen = self._with_examined(view, before, examined, where)
            confidence = seen.ranked.confidence
            if not policy.worth_reading <= confidence < policy.accept:
                break
        return seen

    def _with_examined(
        self, view: View, seen: "_Seen", examined: Examined, where: CardView
    ) -> "_Seen":
        """Add what was examined at a place, and the printings that are not yet candidates."""
        known = {one.card.id: one for one in seen.evidence.candidates}
        named = [one for one in examined.scores if one not in known]
        pictures = self._search.compare_own(
            view, where.quad, named[: self._config.policy.compared_prints]
        )
        for card in filter(None, map(self._gallery.card, named)):
            known[card.id] = Candidate(card=card, art=card.id, picture=pictures.get(card.id))
        seen = self._with_numbers(seen, examined.clear)
        if where.quad not in {seen.picture_quad, seen.print_quad}:
            seen = replace(seen, print_quad=where.quad)
        return seen.with_evidence(
            candidates=tuple(
                replace(one, prints=_better(one.prints, examined.scores[one.card.id]))
                for one in known.values()
            ),
            languages=examined.languages,
        )


@dataclass(frozen=True, kw_only=True)
class _Seen:
    """Evidence, and where the best picture and the best print lie.

    `pictured` says whether a picture proves the card there, `examined` whether the print there was
    read. `clear` are the numbers that stand clearly at any place.
    """

    policy: PolicyConfig
    evidence: Evidence
    picture_quad: Quad | None = None
    print_quad: Quad | None = None
    pictured: bool = False
    examined: bool = False
    clear: frozenset[ReadNumber] = frozenset()

    @cached_property
    def ranked(self) -> Ranked:
        """The candidates by their posterior."""
        return rank(self.evidence, self.policy)

    def is_settled(self, least: float) -> bool:
        """Return whether the likeliest candidate's posterior is at least `least` (0 to 1)."""
        return self.ranked.confidence >= least

    def with_evidence(self, **changes: Any) -> "_Seen":
        """Return the same with some parts of the evidence changed."""
        return replace(self, evidence=replace(self.evidence, **changes))

    def quad_of(self, card_id: str) -> Quad | None:
        """Return where a candidate lies: at the best picture, if that is of its art."""
        first = self.evidence.candidates[0]
        art = next(one.art for one in self.evidence.candidates if one.card.id == card_id)
        if self.print_quad is None or (self.picture_quad is not None and art == first.art):
            return self.picture_quad
        return self.print_quad


def _better(known: PrintScores | None, found: PrintScores) -> PrintScores:
    """Return for each text what the reader told that read it better."""
    if known is None:
        return found
    number = max(known, found, key=lambda one: (one.number, one.number_lead))
    name = max(known, found, key=lambda one: (one.name, one.name_lead))
    health = max(known, found, key=lambda one: one.health or 0.0)
    return PrintScores(
        number=number.number,
        number_lead=number.number_lead,
        name=name.name,
        name_lead=name.name_lead,
        health=health.health,
        health_lead=health.health_lead,
        artist=max(known.artist, found.artist, key=abs),
        attack=max(known.attack, found.attack, key=abs),
    )


def _more_alike(known: PictureScores | None, found: PictureScores | None) -> PictureScores | None:
    if known is None or found is None:
        return known or found
    return max(known, found, key=lambda one: one.likeness)


def _rectified(view: View, quad: Quad) -> Frame:
    height = int(np.clip(quad.height, 88, RECTIFIED_HEIGHT))
    return view.cut(quad, round(height * CARD_RATIO), height)

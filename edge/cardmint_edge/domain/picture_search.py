"""Search for the reference pictures that a card resembles, and close comparison of the best."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from cardmint_edge.domain.config import RecognitionConfig
from cardmint_edge.domain.evidence import Candidate, PictureScores
from cardmint_edge.domain.gallery import Gallery
from cardmint_edge.domain.vision.embedding import Embedder, normalised, similarities
from cardmint_edge.domain.vision.hashing import HASH_SIZE, card_hash, distances
from cardmint_edge.domain.vision.matching import (
    VIEW_SIZE,
    Features,
    PictureComparison,
    compare,
    compare_in_place,
    describe,
)
from cardmint_edge.domain.vision.proposals import Proposals, card_shaped
from cardmint_edge.domain.vision.quad import Quad
from cardmint_edge.domain.vision.view import View


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A reference (a row of the gallery) that is near to the card at a quad.

    `quad` is upright; `pose` numbers quad and turn.
    """

    distance: float
    row: int
    quad: Quad
    pose: int


@dataclass(frozen=True, slots=True)
class ComparedRow:
    """A reference (a row of the gallery), and how well the card shows it."""

    row: int
    comparison: PictureComparison


class PictureSearch:
    """Finds references by hashes, else by the embedding, and compares them closely."""

    def __init__(
        self, gallery: Gallery, embedder: Embedder | None, config: RecognitionConfig
    ) -> None:
        self._gallery = gallery
        self._embedder = embedder if len(gallery.vectors) else None
        self._config = config
        self._matcher = config.matcher

    @property
    def embeds(self) -> bool:
        """Whether the embedding is used."""
        return self._embedder is not None

    def search(
        self, view: View, proposals: Proposals, lap: Callable[[str], None]
    ) -> list[ComparedRow]:
        """Return the compared references, best first, each once.

        More quads are tried only while nothing was found. `lap` times the steps.
        """
        best: dict[int, ComparedRow] = {}
        for neighbours in self._neighbours(view, proposals):
            lap("hash")
            for one in self._compare(view, neighbours):
                known = best.get(one.row)
                if known is None or one.comparison.likeness > known.comparison.likeness:
                    best[one.row] = one
            lap("match")
            if any(self._is_like(one) for one in best.values()):
                break
        ranked = sorted(best.values(), key=lambda one: -one.comparison.likeness)
        ranked[:1] = [self._compared_again(view, one) for one in ranked[:1]]
        lap("match")
        return ranked

    def candidates(self, compared: list[ComparedRow]) -> list[Candidate]:
        """Return the printings of the compared references and their twins, each once."""
        found: dict[str, Candidate] = {}
        for one in compared:
            card = self._gallery.printing(one.row)
            art = found[card.id].art if card.id in found else card.id
            found[card.id] = Candidate(card=card, art=art, picture=_scores(one.comparison))
            for twin in self._gallery.twins(one.row):
                found.setdefault(
                    twin.id,
                    Candidate(card=twin, art=art, picture=_scores(one.comparison)),
                )
        return list(found.values())

    def compare_own(self, view: View, quad: Quad, card_ids: list[str]) -> dict[str, PictureScores]:
        """Compare the card at a quad with printings' own pictures, where the pack has them."""
        rows = {
            card_id: row for card_id in card_ids if (row := self._gallery.row(card_id)) is not None
        }
        if not rows:
            return {}
        card = view.at(quad)
        features = describe(card.cut(*VIEW_SIZE))
        return {
            card_id: _scores(compare(card, features, self._gallery.reference(row), self._matcher))
            for card_id, row in rows.items()
        }

    def _is_like(self, one: ComparedRow) -> bool:
        return one.comparison.likeness >= self._config.policy.likeness

    def _neighbours(self, view: View, proposals: Proposals) -> Iterator[list[Neighbour]]:
        """Yield what to compare, the clear outlines' neighbours first, then other quads'."""
        config = self._matcher
        yield self._by_hash(view, proposals.outlines)
        if self._embedder is not None:
            outlines = card_shaped(proposals.outlines)[: self._config.finder.outlines]
            yield self._by_embedding(view, outlines, self._embedder)
        later = proposals.quads[proposals.clear : proposals.clear + config.most_tried]
        for start in range(0, len(later), config.tried):
            yield self._by_hash(view, later[start : start + config.tried])

    def _by_hash(self, view: View, quads: list[Quad]) -> list[Neighbour]:
        """Hash each quad both ways up (square ones all four) and return the nearest references."""
        config, hashes = self._matcher, self._gallery.hashes
        best: dict[int, Neighbour] = {}
        if not len(hashes):
            return []
        for number, quad in enumerate(quads):
            for quarters in (0, 2) if quad.ratio < 0.85 else (0, 1, 2, 3):
                upright = quad.turned(quarters)
                card = view.cut(upright, *HASH_SIZE)
                if card.std() < config.min_contrast:
                    continue
                apart = distances(card_hash(card), hashes)
                nearest = np.argpartition(apart, min(config.nearest, len(apart)) - 1)
                for row in nearest[: config.nearest].tolist():
                    one = Neighbour(int(apart[row]), row, upright, number * 4 + quarters)
                    if row not in best or one.distance < best[row].distance:
                        best[row] = one
        return sorted(best.values(), key=lambda one: one.distance)[: config.nearest]

    def _by_embedding(self, view: View, quads: list[Quad], embedder: Embedder) -> list[Neighbour]:
        """Embed each quad both ways up and return the most similar references."""
        count = self._matcher.resembling
        best: dict[int, Neighbour] = {}
        for number, quad in enumerate(quads):
            for quarters in (0, 2):
                upright = quad.turned(quarters)
                vector = embedder(normalised(view.cut(upright, *HASH_SIZE)))
                similar = similarities(vector, self._gallery.vectors)
                nearest = np.argpartition(-similar, min(count, len(similar)) - 1)[:count]
                for row in nearest.tolist():
                    one = Neighbour(-float(similar[row]), row, upright, number * 4 + quarters)
                    if row not in best or one.distance < best[row].distance:
                        best[row] = one
        return sorted(best.values(), key=lambda one: one.distance)[:count]

    def _compare(self, view: View, neighbours: list[Neighbour]) -> list[ComparedRow]:
        """Compare each neighbour; where one has settled a place, only some rivals are, in place."""
        config = self._matcher
        features: dict[int, Features] = {}
        settled: dict[int, Quad] = {}
        rivals: Counter[int] = Counter()
        compared = []
        for one in neighbours:
            reference = self._gallery.reference
            there = next(
                (
                    row
                    for row, quad in settled.items()
                    if quad.overlap(one.quad) > config.same_place
                ),
                None,
            )
            if there is not None:
                rivals[there] += 1
                if rivals[there] <= config.rivals:
                    in_place = compare_in_place(view.at(settled[there]), reference(one.row))
                    compared.append(ComparedRow(one.row, in_place))
                continue
            card = view.at(one.quad)
            if one.pose not in features:
                features[one.pose] = describe(card.cut(*VIEW_SIZE))
            comparison = compare(card, features[one.pose], reference(one.row), config)
            compared.append(ComparedRow(one.row, comparison))
            if comparison.likeness >= config.settled:
                settled[one.row] = comparison.quad
        return compared

    def _compared_again(self, view: View, one: ComparedRow) -> ComparedRow:
        """Compare once more from the corrected quad, unless the likeness is high already."""
        first = one.comparison
        if first.likeness >= self._matcher.sure and first.inliers:
            return one
        card = view.at(first.quad)
        features = describe(card.cut(*VIEW_SIZE))
        second = compare(card, features, self._gallery.reference(one.row), self._matcher)
        better = second.likeness > first.likeness or not first.inliers
        return ComparedRow(one.row, second) if better else one


def _scores(comparison: PictureComparison) -> PictureScores:
    return PictureScores(likeness=comparison.likeness, inliers=comparison.inliers)

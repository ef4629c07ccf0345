"""The posterior: the probability of each candidate, and that the card is none of them.

A conditional logit (McFadden 1974) over the candidates and one outside option. Each candidate's
utility is a weighted sum of its evidence; what is not known adds nothing.
"""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from cardmint_edge.domain.config import EvidenceWeights, PolicyConfig
from cardmint_edge.domain.evidence import Candidate, Evidence, PrintScores

KINDS = tuple(one.name for one in fields(EvidenceWeights) if one.name != "sharpness")
"""The kinds of evidence, in the order of the columns of `evidence_rows`."""

FREE = frozenset({"pictured", "printed", "no_health", "outside", "outside_searched"})
"""Kinds whose weight may be negative: they say what was looked for, not what was found."""

_COLUMN = {kind: column for column, kind in enumerate(KINDS)}


@dataclass(frozen=True, kw_only=True, slots=True)
class Posterior:
    """Probabilities (0 to 1) of the candidates, in their order, and of none of them."""

    shares: tuple[float, ...]
    outside: float


def posterior(evidence: Evidence, policy: PolicyConfig) -> Posterior:
    """Return the probabilities that evidence gives."""
    weights = np.array([getattr(policy.weights, kind) for kind in KINDS])
    utilities = evidence_rows(evidence, policy) @ weights * policy.weights.sharpness
    odds = np.exp(utilities - utilities.max())
    shares = (odds / odds.sum()).tolist()
    return Posterior(shares=tuple(shares[:-1]), outside=shares[-1])


def evidence_rows(evidence: Evidence, policy: PolicyConfig) -> NDArray[np.float64]:
    """Return a row of evidence for each candidate, and a last one for none of them."""
    rows = np.zeros((len(evidence.candidates) + 1, len(KINDS)))
    numbers: dict[str, set[float]] = defaultdict(set)
    for candidate in evidence.candidates:
        if candidate.prints is not None:
            numbers[candidate.card.name].add(candidate.prints.number)
    for row, candidate in zip(rows, evidence.candidates, strict=False):
        for kind, value in _values(candidate, numbers[candidate.card.name], policy).items():
            row[_COLUMN[kind]] = value
    rows[-1, _COLUMN["outside"]] = 1
    rows[-1, _COLUMN["outside_searched"]] = evidence.searched
    rows[-1, _COLUMN["unknown_number"]] = bool(evidence.unknown_number)
    return rows


def _values(
    candidate: Candidate, numbers: Collection[float], policy: PolicyConfig
) -> dict[str, float]:
    """Return a candidate's evidence; `numbers` are the scores of all numbers of its name."""
    values: dict[str, float] = {}
    if (picture := candidate.picture) is not None:
        values |= {
            "pictured": 1.0,
            "likeness": picture.likeness,
            "alike": max(0.0, picture.likeness - policy.alike),
            "inliers": min(1.0, picture.inliers / policy.saturated_inliers),
        }
    if (prints := candidate.prints) is not None:
        values |= {"printed": 1.0, **_print_values(prints, numbers, policy)}
    return values


def _print_values(
    prints: PrintScores, numbers: Collection[float], policy: PolicyConfig
) -> dict[str, float]:
    least, most, clear = -policy.saturated_lead, policy.saturated_lead, policy.clear_lead
    # A number that is hardly there leads, too, where no other one is like it.
    unclear = policy.unclear * min(0.0, prints.number)
    number = prints.number_lead + unclear
    # Number and name agree on one of several printings of the name by the number alone. Printings
    # with the same number have the same score.
    others = (other for other in numbers if other != prints.number)
    agreeing = min(number, prints.number - max(others, default=-np.inf) + unclear)
    name = prints.name_lead
    return {
        "number": _within(prints.number, policy.unread, 0.0),
        "number_lead": _within(number, least, most),
        "name": _within(prints.name, policy.unread, 0.0),
        "name_lead": _within(name, least, most),
        "number_and_name": _within(min(agreeing, name), 0.0, clear),
        "number_and_health": _within(min(agreeing, prints.health_lead), 0.0, clear),
        "health": 0.0
        if prints.health is None
        else _within(prints.health, policy.unread_health, 0.0),
        "no_health": float(prints.health is None),
        "artist": _within(prints.artist, least, most),
        "attack": _within(prints.attack, least, most),
    }


def _within(score: float, least: float, most: float) -> float:
    return max(least, min(score, most))

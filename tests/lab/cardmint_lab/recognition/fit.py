"""Fitting the posterior's weights, and cross-validation by source and card.

Weights are the maximum likelihood of a conditional logit (McFadden 1974) with a ridge, by Newton's
method. Samples are labelled evidence (`samples`): a card that is none of the candidates makes the
outside option right. Calibration then fits two numbers on real photos alone: a factor of all log
odds, and the outside option's bias.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from cardmint_contracts.cards import Decision, Language
from cardmint_edge.domain.config import EvidenceWeights, LanguageConfig, PolicyConfig
from cardmint_edge.domain.decide import Verdict, is_settled, judge
from cardmint_edge.domain.evidence import Evidence
from cardmint_edge.domain.language import ToldLanguage, tell_language
from cardmint_edge.domain.posterior import FREE, KINDS, evidence_rows
from cardmint_lab.recognition.samples import SEVERAL, Known, Sample

NOT_FITTED = (SEVERAL, "number_corner")
"""How kinds of photos begin that do not show one whole card."""

AGREEMENT = ("number_and_name", "number_and_health")

ABLATED: dict[str, tuple[str, ...]] = {
    "nothing": (),
    "likeness": ("likeness", "alike", "pictured"),
    "inliers": ("inliers",),
    "number": ("number", "number_lead", "unknown_number", *AGREEMENT),
    "name": ("name", "name_lead", "number_and_name"),
    "health": ("health", "no_health", "number_and_health"),
    "artist": ("artist",),
    "attack": ("attack",),
    "agreement": AGREEMENT,
}
"""Kinds of evidence that are left out together."""

FOLDS = 5
RIDGE = 0.3
REAL_WEIGHT = 2.0
"""How much a real photo counts in the fit, relative to a rendered one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Choices:
    """The choices of all samples: rows of evidence, where each choice begins, and what is right.

    `rows` has a row for each option of each choice, `right` the right one's row.
    """

    rows: NDArray[np.float64]
    starts: NDArray[np.intp]
    right: NDArray[np.intp]
    weights: NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """A sample with the verdict on it, and the language, told without any setting."""

    sample: Sample
    verdict: Verdict
    told: ToldLanguage

    def in_batch(self, language: Language) -> "Judged":
        """Return the same in a batch whose language is set."""
        told = tell_language(self.sample.evidence[-1].languages, language, LanguageConfig())
        return replace(self, told=told)

    @property
    def exact(self) -> bool:
        """Whether the first candidate is the card."""
        candidates = self.verdict.candidates
        return bool(candidates) and candidates[0].card.id == self.sample.card_id

    @property
    def accepted(self) -> bool:
        """Whether it is accepted: an unclear language is asked about."""
        unclear = self.told.is_unclear(LanguageConfig())
        return self.verdict.decision is Decision.ACCEPT and not unclear

    @property
    def wrong(self) -> bool:
        """Whether it is accepted as another printing, or in another language, than its own."""
        return self.accepted and not (self.exact and self.right_language)

    @property
    def right_language(self) -> bool:
        """Whether its language is told rightly; true where either is not known."""
        return self.told.language in {self.sample.language, None} or not self.sample.language


def usable(samples: Sequence[Sample]) -> list[Sample]:
    """Return the samples of one whole card, or of none: a rule decides about several."""
    return [one for one in samples if not one.kind.startswith(NOT_FITTED)]


def fit(
    samples: Sequence[Sample], policy: PolicyConfig, without: frozenset[str] = frozenset()
) -> PolicyConfig:
    """Return the policy with weights fitted; kinds in `without` weigh nothing."""
    used = np.array([kind not in without for kind in KINDS])
    free = np.array([kind in FREE for kind in KINDS])
    choices = _choices(usable(samples), policy)
    while True:
        weights = np.zeros(len(KINDS))
        weights[used] = _newton(choices, used)
        negative = used & ~free & (weights < 0)
        if not negative.any():
            break
        used &= ~negative
    fitted = replace(
        policy,
        weights=EvidenceWeights(**dict(zip(KINDS, weights.tolist(), strict=True)), sharpness=1.0),
    )
    real = [one for one in usable(samples) if one.real]
    return _calibrated(fitted, _choices(real, policy)) if real else fitted


def folds(samples: Sequence[Sample], count: int = FOLDS) -> list[tuple[list[Sample], list[Sample]]]:
    """Return pairs of samples to fit on and to judge: no source and no card is in both."""
    sources = sorted({one.source for one in samples if one.real})
    sizes = {name: sum(one.source == name for one in samples) for name in sources}
    fold_of, filled = dict[str, int](), [0] * count
    for name in sorted(sources, key=lambda one: -sizes[one]):
        fold = filled.index(min(filled))
        fold_of[name], filled[fold] = fold, filled[fold] + sizes[name]
    placed = [
        (one, fold_of[one.source] if one.real else crc32(one.group.encode()) % count)
        for one in samples
    ]
    pairs = []
    for fold in range(count):
        judged = [one for one, place in placed if place == fold]
        cards = {one.group for one in judged}
        kept = [one for one, place in placed if place != fold and one.group not in cards]
        pairs.append((kept, judged))
    return pairs


def cross_validated(
    samples: Sequence[Sample], policy: PolicyConfig, without: frozenset[str] = frozenset()
) -> list[Judged]:
    """Return the verdict on each sample by weights that were fitted without its source and card."""
    return [
        judged
        for kept, apart in folds(samples)
        for judged in judged_by(apart, fit(kept, policy, without))
    ]


def judged_by(samples: Sequence[Sample], policy: PolicyConfig) -> list[Judged]:
    """Return the verdicts that a policy gives, as the recogniser would."""
    judged = []
    for one in samples:
        evidence = _deciding(one.evidence, policy)
        told = tell_language(one.evidence[-1].languages, None, LanguageConfig())
        judged.append(Judged(sample=one, verdict=judge(evidence, policy), told=told))
    return judged


def parts(judged: Sequence[Judged]) -> dict[str, list[Judged]]:
    """Return real photos by the whole pack, by packs that lack their scan, and rendered photos."""
    one_card = [one for one in judged if not one.sample.kind.startswith(NOT_FITTED)]
    return {
        "real photos": [
            one for one in one_card if one.sample.real and one.sample.known is Known.WHOLE
        ],
        "real photos, less in the pack": [
            one for one in one_card if one.sample.real and one.sample.known is not Known.WHOLE
        ],
        "rendered photos": [one for one in one_card if not one.sample.real],
    }


def mistakes(judged: Sequence[Judged]) -> list[str]:
    """Return a line for each sample that is accepted wrongly."""
    return [
        f"wrong: {one.sample.photo} ({one.sample.kind}, {one.sample.known.value})"
        f" {one.sample.group} taken for {one.verdict.candidates[0].card.id},"
        f" {one.verdict.confidence:.4f}"
        for one in judged
        if one.wrong
    ]


def ablation(samples: Sequence[Sample], policy: PolicyConfig) -> list[str]:
    """Return a line for each group of kinds: exact, accepted and wrong when fitted without it."""
    lines = [f"{'without':14} {'exact':>6} {'accepted':>9} {'wrong':>6}   (of the pack's cards)"]
    for name, kinds in ABLATED.items():
        judged = cross_validated(samples, policy, frozenset(kinds))
        for title, part in parts(judged).items():
            cards = [one for one in part if one.sample.card_id]
            lines.append(
                f"{name:14} {sum(one.exact for one in cards):6}"
                f" {sum(one.accepted and one.exact for one in cards):9}"
                f" {sum(one.wrong for one in part):6}   of {len(cards)}, {title}"
            )
    return lines


def _deciding(grew: tuple[Evidence, ...], policy: PolicyConfig) -> Evidence:
    return next((one for one in grew if is_settled(one, policy, policy.settled)), grew[-1])


def _choices(samples: Sequence[Sample], policy: PolicyConfig) -> Choices:
    rows, starts, right, weights = [], [0], [], []
    for one in samples:
        for evidence in (*_pictures_alone(one.evidence[0]), *one.evidence):
            ids = [candidate.card.id for candidate in evidence.candidates]
            place = ids.index(one.card_id) if one.card_id in ids else len(ids)
            right.append(starts[-1] + place)
            rows.append(evidence_rows(evidence, policy))
            starts.append(starts[-1] + len(rows[-1]))
            weights.append(REAL_WEIGHT if one.real else 1.0)
    return Choices(
        rows=np.concatenate([*rows, np.zeros((0, len(KINDS)))]),
        starts=np.array(starts[:-1], np.intp),
        right=np.array(right, np.intp),
        weights=np.array(weights),
    )


def _pictures_alone(evidence: Evidence) -> list[Evidence]:
    """Return the evidence that a station without a reader has, where that is less."""
    if all(one.prints is None for one in evidence.candidates):
        return []
    candidates = tuple(replace(one, prints=None) for one in evidence.candidates)
    return [replace(evidence, candidates=candidates, unknown_number="")]


def _shares(choices: Choices, utilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the probability of each option of each choice."""
    sizes = np.diff(np.append(choices.starts, len(utilities)))
    most = np.repeat(np.maximum.reduceat(utilities, choices.starts), sizes)
    odds = np.exp(utilities - most)
    return np.asarray(odds / np.repeat(np.add.reduceat(odds, choices.starts), sizes))


def _newton(choices: Choices, used: NDArray[np.bool_]) -> NDArray[np.float64]:
    x = choices.rows[:, used]
    sizes = np.diff(np.append(choices.starts, len(x)))
    each = np.repeat(choices.weights, sizes)
    weights = np.zeros(x.shape[1])

    def loss(given: NDArray[np.float64]) -> float:
        shares = _shares(choices, x @ given)
        likelihood = np.log(np.maximum(shares[choices.right], 1e-300)) @ choices.weights
        return float(-likelihood + RIDGE / 2 * given @ given)

    least = loss(weights)
    for _ in range(100):
        shares = _shares(choices, x @ weights)
        mean = np.add.reduceat(x * shares[:, None], choices.starts)
        gradient = choices.weights @ (x[choices.right] - mean) - RIDGE * weights
        curvature = (x * (shares * each)[:, None]).T @ x
        curvature -= (mean * choices.weights[:, None]).T @ mean
        step = np.linalg.solve(curvature + RIDGE * np.eye(len(weights)), gradient)
        length = 1.0
        while length > 1e-4 and loss(weights + length * step) > least:
            length /= 2
        weights = weights + length * step
        before, least = least, loss(weights)
        if before - least < 1e-6:
            break
    return weights


def _calibrated(policy: PolicyConfig, real: Choices) -> PolicyConfig:
    """Fit the factor of all log odds, and the outside option's bias."""
    vector = np.array([getattr(policy.weights, kind) for kind in KINDS])
    utilities = real.rows @ vector
    two = replace(real, rows=np.stack([utilities, real.rows[:, KINDS.index("outside")]], axis=1))
    sharpness, bias = _newton(two, np.array([True, True])).tolist()
    weights = replace(
        policy.weights,
        sharpness=sharpness,
        outside=policy.weights.outside + bias / sharpness,
    )
    return replace(policy, weights=weights)

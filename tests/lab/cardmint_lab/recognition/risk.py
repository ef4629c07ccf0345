"""Risk against coverage, and reliability, of verdicts on labelled samples."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from cardmint_contracts.cards import Decision
from cardmint_edge.domain.config import LanguageConfig, PolicyConfig
from cardmint_lab.recognition.evaluate import wilson
from cardmint_lab.recognition.fit import Judged
from cardmint_lab.recognition.samples import Known

THRESHOLDS = (0.5, 0.7, 0.8, 0.85, 0.9, 0.93, 0.95, 0.97, 0.98, 0.99)
BINS = 10
"""Bins of equal width for the expected calibration error."""

ERAS = (
    ("base", "1999 to 2003"),
    ("gym", "1999 to 2003"),
    ("neo", "1999 to 2003"),
    ("ecard", "1999 to 2003"),
    ("ex", "2003 to 2007"),
    ("dp", "2007 to 2011"),
    ("pl", "2007 to 2011"),
    ("hgss", "2007 to 2011"),
    ("col", "2007 to 2011"),
    ("bw", "2011 to 2014"),
    ("xy", "2014 to 2017"),
    ("g1", "2014 to 2017"),
    ("sm", "2017 to 2020"),
    ("swsh", "2020 to 2023"),
    ("sv", "2023 on"),
    ("me", "2023 on"),
)
"""Eras by how identifiers of their sets begin."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    """Counts over some samples. `low` and `high` are Wilson's 95 % bounds of the wrong share."""

    name: str
    n: int
    exact: int
    accepted: int
    wrong: int
    low: float
    high: float


@dataclass(frozen=True, kw_only=True, slots=True)
class AtThreshold:
    """What a threshold accepts of cards that the pack has, and what of all is accepted wrongly."""

    threshold: float
    cards: int
    accepted: int
    wrong: int
    high: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Bin:
    """Verdicts of like confidence: its mean, and the share that is right with Wilson's bounds."""

    least: float
    n: int
    predicted: float
    measured: float
    low: float
    high: float


def figures(name: str, judged: Sequence[Judged]) -> Figures:
    """Return the counts over some samples."""
    wrong = sum(one.wrong for one in judged)
    low, high = wilson(wrong, len(judged))
    return Figures(
        name=name,
        n=len(judged),
        exact=sum(one.exact for one in judged),
        accepted=sum(one.accepted for one in judged),
        wrong=wrong,
        low=round(low, 4),
        high=round(high, 4),
    )


def breakdown(judged: Sequence[Judged]) -> list[Figures]:
    """Return the counts by language, era, finish, scan in the pack or not, and pose or preset."""
    cards = [one for one in judged if one.sample.card_id]
    others = [one for one in judged if not one.sample.card_id]
    ways: dict[str, Callable[[Judged], str]] = {
        "language": lambda one: one.sample.language or "not labelled",
        "era": lambda one: era(one.sample.card_id),
        "finish": lambda one: one.sample.finish or "not known",
        "scan": lambda one: "in the pack" if one.sample.pictured else "out of the pack",
        "pose": lambda one: one.sample.kind if not one.sample.real else pose(one),
    }
    rows = []
    for way, key in ways.items():
        rows += [
            figures(f"{way}: {value}", [one for one in cards if key(one) == value])
            for value in sorted({key(one) for one in cards})
        ]
    rows += [
        figures(f"no card of the pack: {kind}", [one for one in others if _why(one) == kind])
        for kind in sorted({_why(one) for one in others})
    ]
    return rows


def era(card_id: str) -> str:
    """Return the years of a card's set."""
    return next((years for start, years in ERAS if card_id.startswith(start)), "other sets")


def pose(judged: Judged) -> str:
    """Return what the recogniser saw wrong with a real photo's frame; "clear" for nothing."""
    quality = judged.sample.evidence[-1].quality
    if quality.cut_off:
        return "cut off"
    return "glare" if quality.glare else "blurred" if quality.blurred else "clear"


def risk(judged: Sequence[Judged]) -> list[AtThreshold]:
    """Return coverage and risk at each threshold on the confidence; rules count at each.

    An unclear language is not accepted at any.
    """
    cards = sum(bool(one.sample.card_id) for one in judged)
    rows = []
    for threshold in THRESHOLDS:
        taken = [one for one in judged if _ruled_in(one) and one.verdict.confidence >= threshold]
        wrong = sum(not (one.exact and one.right_language) for one in taken)
        rows.append(
            AtThreshold(
                threshold=threshold,
                cards=cards,
                accepted=len(taken) - wrong,
                wrong=wrong,
                high=round(wilson(wrong, len(judged))[1], 4),
            )
        )
    return rows


def reliability(judged: Sequence[Judged]) -> list[Bin]:
    """Return what was predicted beside what was measured, in bins of the confidence."""
    named = [one for one in judged if one.verdict.candidates]
    confidence = np.array([one.verdict.confidence for one in named])
    right = np.array([one.exact for one in named], dtype=float)
    places = np.minimum((confidence * BINS).astype(int), BINS - 1)
    found = []
    for place in np.unique(places).tolist():
        inside = places == place
        low, high = wilson(int(right[inside].sum()), int(inside.sum()))
        found.append(
            Bin(
                least=place / BINS,
                n=int(inside.sum()),
                predicted=float(confidence[inside].mean()),
                measured=float(right[inside].mean()),
                low=low,
                high=high,
            )
        )
    return found


def calibration_error(judged: Sequence[Judged]) -> float:
    """Return the expected calibration error (Naeini et al. 2015): confidence against exactness."""
    bins = reliability(judged)
    apart = sum(one.n * abs(one.predicted - one.measured) for one in bins)
    return apart / max(1, sum(one.n for one in bins))


def cost(judged: Sequence[Judged]) -> dict[str, int]:
    """Return how many right cards a person is asked about all the same, by what asks."""
    asked = [one for one in judged if one.sample.card_id and one.exact and not one.accepted]
    below = sum(one.verdict.confidence < PolicyConfig().accept for one in asked)
    unclear = sum(one.verdict.decision is Decision.ACCEPT for one in asked)
    return {
        "the threshold": below,
        "an unclear language": unclear,
        "a rule": len(asked) - below - unclear,
    }


def _ruled_in(one: Judged) -> bool:
    quality = one.sample.evidence[-1].quality
    ruled_out = quality.several_cards or quality.cut_off or one.told.is_unclear(LanguageConfig())
    return bool(one.verdict.candidates) and not ruled_out


def _why(one: Judged) -> str:
    known = one.sample.known
    taken_out = {Known.NOTHING: "it is taken out", Known.TWINS: "it is taken out, not its twins"}
    return taken_out.get(known, one.sample.kind)


def text(title: str, judged: Sequence[Judged]) -> list[str]:
    """Return the figures as lines for people."""
    lines = [f"{title}: {'':30} {'n':>4} {'exact':>6} {'accepted':>9} {'wrong':>6} {'up to':>7}"]
    lines += [
        f"  {row.name:42} {row.n:4} {row.exact:6} {row.accepted:9} {row.wrong:6} {row.high:7.1%}"
        for row in [*breakdown(judged), figures("all", judged)]
    ]
    lines.append("  threshold  accepted right (of the pack's cards)  wrong (of all)  up to")
    lines += [
        f"  {row.threshold:9.2f}  {row.accepted:5} of {row.cards:4}"
        f" ({row.accepted / max(1, row.cards):6.1%}) {row.wrong:20} {row.high:15.1%}"
        for row in risk(judged)
    ]
    asked = ", ".join(f"{count} by {what}" for what, count in cost(judged).items())
    lines.append(f"  chosen: {PolicyConfig().accept}. Asked about although first is right: {asked}")
    lines.append("  confidence from     n  predicted  measured  95 % bounds")
    lines += [
        f"  {row.least:15.1f} {row.n:5} {row.predicted:10.1%} {row.measured:9.1%}"
        f"  {row.low:.1%} to {row.high:.1%}"
        for row in reliability(judged)
    ]
    lines.append(f"  expected calibration error {calibration_error(judged):.3f}")
    return lines

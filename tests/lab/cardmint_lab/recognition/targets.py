"""The targets of recognition beside what cross-validation measures."""

from collections.abc import Sequence
from dataclasses import dataclass

from cardmint_contracts.catalogue import ENGLISH
from cardmint_lab.recognition.fit import Judged
from cardmint_lab.recognition.risk import calibration_error
from cardmint_lab.recognition.samples import Known
from cardmint_lab.scenes import PRESETS


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """A figure, what is asked for, and what was measured."""

    what: str
    target: str
    measured: str


def targets(judged: Sequence[Judged]) -> list[Target]:
    """Return the targets beside the figures of cross-validated verdicts."""
    real = [one for one in judged if one.sample.real and one.sample.known is Known.WHOLE]
    cards = [one for one in real if one.sample.card_id]
    english = [one for one in cards if one.sample.language in {ENGLISH, ""}]
    others = [one for one in cards if one.sample.language not in {ENGLISH, ""}]
    out = [one for one in judged if not one.sample.real and one.sample.known is Known.FACTS]
    nothing = [one for one in judged if not one.sample.card_id]
    wrong_rendered = sum(one.wrong for one in judged if not one.sample.real)
    rendered = sum(not one.sample.real for one in judged)
    told = [one for one in others if one.told.language is not None]
    right = sum(one.told.language == one.sample.language for one in told)
    return [
        *_singles("English singles", english, ("97 %", "90 %")),
        *_singles("other Latin languages", others, ("92 %", "75 %")),
        *_in_batches(english, others),
        Target(
            what="other Latin languages: language right",
            target="97 %",
            measured=_share(right, len(told)),
        ),
        *(
            Target(
                what=f"rendered, scan out of the pack, {preset}: exact, accepted",
                target=f"{exact}, {accepted} %",
                measured=_two([one for one in out if one.sample.kind == preset]),
            )
            for preset, exact, accepted in zip(
                PRESETS, ("99.5", "98", "80"), (95, 88, 50), strict=True
            )
        ),
        Target(
            what="rendered, accepted wrong",
            target="2 of 3,000",
            measured=f"{wrong_rendered} of {rendered}",
        ),
        Target(
            what="no card of the pack: accepted",
            target="0",
            measured=f"{sum(one.accepted for one in nothing)} of {len(nothing)}",
        ),
        Target(
            what="expected calibration error on real photos",
            target="0.03",
            measured=f"{calibration_error(real):.3f}",
        ),
    ]


def text(rows: Sequence[Target]) -> list[str]:
    """Return the table as lines."""
    wide = max(len(row.what) for row in rows)
    lines = [f"{'what':{wide}}  {'target':>12}  measured (cross-validated by source and card)"]
    return lines + [f"{row.what:{wide}}  {row.target:>12}  {row.measured}" for row in rows]


def _singles(what: str, judged: Sequence[Judged], asked: tuple[str, str]) -> list[Target]:
    count = len(judged)
    exact, accepted = sum(one.exact for one in judged), sum(one.accepted for one in judged)
    wrong = sum(one.wrong for one in judged)
    return [
        Target(what=f"{what}: exact", target=asked[0], measured=_share(exact, count)),
        Target(what=f"{what}: accepted", target=asked[1], measured=_share(accepted, count)),
        Target(what=f"{what}: accepted wrong", target="0", measured=f"{wrong} of {count}"),
    ]


def _in_batches(english: Sequence[Judged], others: Sequence[Judged]) -> list[Target]:
    """Return what is accepted where the operator set the batch's language, rightly or not."""
    batches = {
        "English singles: accepted, English set": [one.in_batch(ENGLISH) for one in english],
        "other Latin languages: accepted, their own set": [
            one.in_batch(one.sample.language) for one in others
        ],
        "other Latin languages: accepted, English set": [one.in_batch(ENGLISH) for one in others],
    }
    return [
        Target(
            what=what,
            target="none wrong",
            measured=f"{_share(sum(one.accepted for one in batch), len(batch))},"
            f" wrong {sum(one.wrong for one in batch)}",
        )
        for what, batch in batches.items()
    ]


def _share(some: int, of: int) -> str:
    return f"{some} of {of} ({some / max(1, of):.1%})"


def _two(judged: Sequence[Judged]) -> str:
    exact, accepted = sum(one.exact for one in judged), sum(one.accepted for one in judged)
    count = max(1, len(judged))
    return f"{exact / count:.1%}, {accepted / count:.1%} of {len(judged)}"

"""The posterior is fitted and judged by commands of the laboratory, on labelled samples."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from cardmint_contracts.cards import Card
from cardmint_edge.adapters.pack import Pack
from cardmint_edge.domain.config import PolicyConfig
from cardmint_edge.domain.evidence import (
    Candidate,
    Evidence,
    FrameQuality,
    PictureScores,
    PrintScores,
)
from cardmint_edge.domain.posterior import FREE, KINDS
from cardmint_edge.errors import Stop
from cardmint_lab.cli import cli
from cardmint_lab.recognition.evaluate import Photo
from cardmint_lab.recognition.fit import ablation, cross_validated, fit, folds, mistakes, parts
from cardmint_lab.recognition.risk import (
    breakdown,
    calibration_error,
    cost,
    era,
    reliability,
    risk,
    text,
)
from cardmint_lab.recognition.samples import (
    Known,
    Sample,
    photo_samples,
    read,
    rendered_samples,
    write,
)

POLICY = PolicyConfig()


def lab(*given: object) -> Result:
    return CliRunner().invoke(cli, [str(one) for one in given], catch_exceptions=False)


def drawn(rng: np.random.Generator, number: int, *, known: bool, source: str) -> Sample:
    """Draw the evidence of a card: of three printings one is much likelier, if it is known."""

    def candidate(name: str, *, right: bool) -> Candidate:
        return Candidate(
            card=Card(id=name, name=name),
            art=name,
            picture=PictureScores(
                likeness=float(rng.uniform(0.55, 1) if right else rng.uniform(0, 0.6)),
                # More inliers on wrong cards: a weight of that sign must not be learned.
                inliers=0 if right else 60,
            ),
            prints=PrintScores(
                number=float(rng.uniform(-1, 0) if right else rng.uniform(-12, 0)),
                number_lead=float(rng.normal(2 if right else -4)),
                name=-0.5,
                name_lead=float(rng.normal(2 if right else -2)),
                health=None if number % 3 else -0.5,
            ),
        )

    evidence = Evidence(
        candidates=tuple(
            candidate(f"sv1-{number * 3 + one}", right=known and one == 0) for one in range(3)
        ),
        quality=FrameQuality(glare=number % 7 == 0, blurred=number % 5 == 0),
        searched=True,
    )
    return Sample(
        photo=f"{number}.jpg",
        kind="single" if source else "table",
        source=source,
        group=f"sv1-{number * 3}",
        language="en",
        known=Known.WHOLE if known else Known.NOTHING,
        pictured=known,
        card_id=f"sv1-{number * 3}" if known else "",
        evidence=(evidence,),
        finish="several" if number % 2 else "",
    )


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    rng = np.random.default_rng(2)
    made = [
        drawn(rng, number, known=number % 3 > 0, source=("", "a", "b", "c")[number % 4])
        for number in range(240)
    ]
    several = replace(made[1], kind="multi", photo="several.jpg")
    return [*made, several]


def test_the_fit_learns_what_tells_right_from_wrong_and_stays_monotone(
    samples: list[Sample],
) -> None:
    weights = fit(samples, POLICY).weights
    assert weights.likeness > 1
    assert weights.number_lead > 0.1
    assert weights.inliers == 0
    assert weights.outside > 0
    assert weights.sharpness > 0
    assert all(getattr(weights, kind) >= 0 for kind in set(KINDS) - FREE)
    rendered = [one for one in samples if not one.real]
    assert fit(rendered, POLICY).weights.sharpness == 1
    without = fit(samples, POLICY, frozenset({"likeness"})).weights
    assert without.likeness == 0


def test_no_source_and_no_card_is_both_fitted_on_and_judged(samples: list[Sample]) -> None:
    pairs = folds(samples)
    assert sum(len(judged) for _, judged in pairs) == len(samples)
    for kept, judged in pairs:
        assert not {one.group for one in kept} & {one.group for one in judged}
        assert not {one.source for one in kept if one.real} & {
            one.source for one in judged if one.real
        }


def test_risk_falls_with_the_threshold_and_is_told_by_kind(samples: list[Sample]) -> None:
    judged = cross_validated(samples, POLICY)
    by_part = parts(judged)
    real = by_part["real photos"]
    assert "several.jpg" not in {one.sample.photo for one in real}
    rows = risk(real)
    assert [one.accepted for one in rows] == sorted((one.accepted for one in rows), reverse=True)
    assert [one.wrong for one in rows] == sorted((one.wrong for one in rows), reverse=True)
    assert rows[0].accepted > rows[0].cards / 2
    assert 0 <= calibration_error(real) < 0.2
    assert calibration_error([]) == 0
    named = {one.name: one for one in breakdown(real)}
    assert named["era: 2023 on"].n == named["language: en"].n == rows[0].cards
    assert {"pose: glare", "pose: blurred", "pose: clear"} <= set(named)
    assert named["finish: several"].n + named["finish: not known"].n == rows[0].cards
    assert (era("swsh7-1"), era("zz-1")) == ("2020 to 2023", "other sets")
    assert "expected calibration error" in text("real photos", real)[-1]
    for one in reliability(real):
        assert one.low - 1e-9 <= one.measured <= one.high + 1e-9
        assert one.least <= one.predicted <= one.least + 0.1
    assert sum(one.n for one in reliability(real)) == sum(
        bool(one.verdict.candidates) for one in real
    )
    asked = [one for one in real if one.sample.card_id and one.exact and not one.accepted]
    assert cost(real) == {"the threshold": len(asked), "an unclear language": 0, "a rule": 0}
    assert len(mistakes(judged)) == sum(one.wrong for one in judged)


def test_what_each_kind_of_evidence_is_worth(samples: list[Sample]) -> None:
    lines = ablation(samples, POLICY)
    exact = {line[:14].strip(): int(line[14:21]) for line in lines[1:] if "real photos" in line}
    assert exact["number"] <= exact["nothing"]


def test_samples_are_written_and_read_again(samples: list[Sample], tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"
    assert write(path, samples[:2]) == 2
    assert write(path, samples[2:3]) == 1
    assert read(path) == samples[:3]
    with pytest.raises(Stop, match="recognition collect"):
        read(tmp_path / "none.jsonl")
    path.write_text('{"photo": 1}\n')
    with pytest.raises(Stop, match="another version"):
        read(path)


def test_collect_fit_and_ablate(fictional: Path, tmp_path: Path) -> None:
    out = tmp_path / "samples.jsonl"
    made = ("--pack", fictional / "pack.sqlite", "--images", fictional / "images")
    told = lab("recognition", "collect", *made, "--count", 6, "--out", out)
    assert told.stdout == f"{out}: 6 samples\n"
    fitted = lab("recognition", "fit", "--samples", out).stdout
    assert "    likeness: float = " in fitted
    assert "rendered photos" not in fitted
    beside = lab("recognition", "targets", "--samples", out).stdout
    assert "rendered, scan out of the pack, copy_stand" in beside
    assert "expected calibration error" in beside
    assert "finish: not known" in beside
    assert "Asked about although first is right" in beside
    worth = lab("recognition", "ablate", "--samples", out).stdout
    assert worth.splitlines()[1].startswith("nothing")
    with pytest.raises(Stop, match="9999 pixels wide"):
        lab("recognition", "collect", *made, "--least-width", 9999, "--out", out)


def test_a_card_is_seen_by_packs_that_know_less_and_less(
    fictional: Path, pack: Pack, tmp_path: Path
) -> None:
    images = fictional / "images"
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    photos = [
        Photo(path=images / "drk-9.jpg", kind="single", card_id="drk-9", source="a"),
        Photo(path=images / "emb-1.jpg", kind="card_back", card_id="", source="a"),
        Photo(path=tmp_path / "broken.jpg", kind="single", card_id="drk-9", source="a"),
    ]
    whole, facts, nothing, back = photo_samples(pack, photos)
    assert (whole.card_id, facts.card_id, nothing.card_id, back.card_id) == (
        "drk-9", "drk-9", "", "",
    )  # fmt: skip
    assert (whole.pictured, facts.pictured) == (True, False)
    found = [{one.card.id for one in sample.evidence[-1].candidates} for sample in
             (whole, facts, nothing)]  # fmt: skip
    assert ["drk-9" in ids for ids in found] == [True, True, False]
    for one in rendered_samples(pack, images, 6, seed=4):
        pictured = {c.card.id for c in one.evidence[0].candidates if c.picture is not None}
        assert one.known is Known.WHOLE or one.group not in pictured

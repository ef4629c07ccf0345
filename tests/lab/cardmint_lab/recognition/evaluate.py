"""Measure recognition on labelled photos.

A folder with index.csv (file, kind, id, reference_available, maybe name).
"""

import csv
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from math import sqrt
from pathlib import Path

import numpy as np

from cardmint_contracts.cards import Decision
from cardmint_edge.domain.reading.lexicon import plain
from cardmint_edge.domain.recognition import Recogniser
from cardmint_edge.domain.vision.quad import Quad
from cardmint_edge.errors import Stop
from cardmint_edge.scan import ScannedImage, scan
from cardmint_lab.recognition.baselines import Named


@dataclass(frozen=True, kw_only=True, slots=True)
class Photo:
    """A labelled photo. `kind` splits single cards by whether the gallery could know them."""

    path: Path
    kind: str
    card_id: str
    name: str = ""
    quad: Quad | None = None
    """Where the card lies, as a person marked it."""
    language: str = ""
    source: str = ""
    """Photos of one source share camera, light and seller."""

    @property
    def labelled(self) -> bool:
        """Whether it shows one card, and which is known."""
        return bool(self.card_id) and self.kind.startswith("single")


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """A photo and what was made of it."""

    photo: Photo
    scanned: ScannedImage

    @property
    def exact(self) -> bool:
        """Whether the best candidate, accepted or not, is the card."""
        candidates = self.scanned.recognition.candidates
        return (
            bool(self.photo.card_id)
            and bool(candidates)
            and candidates[0].card.id == self.photo.card_id
        )

    @property
    def named(self) -> bool:
        """Whether the best candidate, accepted or not, is at least a card of this name."""
        candidates = self.scanned.recognition.candidates
        return (
            bool(self.photo.card_id)
            and bool(candidates)
            and plain(candidates[0].card.name) == plain(self.photo.name)
        )

    @property
    def accepted(self) -> bool:
        """Whether it was accepted without a person."""
        return self.scanned.recognition.decision is Decision.ACCEPT

    @property
    def wrong(self) -> bool:
        """Whether it was accepted as another printing, or in another language, than its own."""
        told, labelled = self.scanned.recognition.language, self.photo.language
        other_language = bool(labelled) and told is not None and told != labelled
        return self.accepted and (not self.exact or other_language)


Baseline = Callable[[Judged], Named]


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """Figures of one kind of photo.

    The bounds are Wilson's, for 95 %, of the share of photos that were accepted wrongly.
    """

    kind: str
    n: int
    exact: int
    named: int
    accepted: int
    accepted_wrong: int
    wrong_low: float
    wrong_high: float
    rejected: int
    p50_ms: float
    p95_ms: float


def read_index(folder: Path) -> list[Photo]:
    """Read a folder's index.csv.

    Raises:
        Stop: it is missing or lacks a column.
    """
    path = folder / "index.csv"
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return [
                Photo(
                    path=folder / row["file"],
                    kind=_kind(row),
                    card_id=row["id"],
                    name=row.get("name") or "",
                    quad=_quad(row.get("corners") or ""),
                    language=row.get("lang") or "",
                    source=row.get("source") or row.get("source_repo") or "",
                )
                for row in csv.DictReader(file)
            ]
    except OSError as error:
        message = f"{path}: {error.strerror}: --photos takes a folder of photos with an index.csv"
        raise Stop(message) from None
    except KeyError as error:
        message = (
            f"{path}: the column {error} is missing:"
            " it takes file, kind, id and reference_available"
        )
        raise Stop(message) from None
    except ValueError as error:
        message = f"{path}: a photo's corners are not four points as JSON, [[x, y], ...]: {error}"
        raise Stop(message) from None


def judge(photos: list[Photo], recogniser: Recogniser) -> Iterator[Judged]:
    """Recognise each photo."""
    for photo, scanned in zip(
        photos, scan((photo.path for photo in photos), recogniser), strict=True
    ):
        yield Judged(photo=photo, scanned=scanned)


def tally(judged: list[Judged]) -> list[Row]:
    """Sum up by kind, and over all."""
    kinds = sorted({one.photo.kind for one in judged})
    return [_row(kind, [one for one in judged if one.photo.kind == kind]) for kind in kinds] + [
        _row("all", judged)
    ]


@dataclass(frozen=True, kw_only=True, slots=True)
class CornerRow:
    """How well corners were found where a person marked them.

    Errors are of the worst corner, by the card's height.
    """

    n: int
    above: int
    """Photos whose intersection over union with the marked card is above 0.9."""
    iou_p50: float
    error_p50: float
    error_p95: float


@dataclass(frozen=True, kw_only=True, slots=True)
class BaselineRow:
    """What another method makes of the same photos.

    Exact among the labelled single cards, wrong among all.
    """

    method: str
    n: int
    exact: int
    accepted: int
    accepted_wrong: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """All that is measured of a folder of photos. `steps` holds p50 and p95 in milliseconds."""

    pack: str
    models: dict[str, str]
    judged: list[Judged]
    rows: list[Row]
    corners: CornerRow | None
    steps: dict[str, tuple[float, float]]
    baselines: list[BaselineRow]

    def as_json(self) -> dict[str, object]:
        """Return the figures, without the photos."""
        return {
            "pack": self.pack,
            "models": self.models,
            "kinds": [asdict(row) for row in self.rows],
            "corners": None if self.corners is None else asdict(self.corners),
            "steps": {
                step: {"p50_ms": times[0], "p95_ms": times[1]} for step, times in self.steps.items()
            },
            "baselines": [asdict(row) for row in self.baselines],
        }


def evaluate(
    photos: list[Photo], recogniser: Recogniser, baselines: dict[str, Baseline] | None = None
) -> Evaluation:
    """Recognise each photo, have each baseline name it too, and sum up."""
    judged = list(judge(photos, recogniser))
    seen = [one.scanned.recognition for one in judged if one.scanned.recognition.pack]
    return Evaluation(
        pack=seen[0].pack if seen else "",
        models=seen[0].models if seen else {},
        judged=judged,
        rows=tally(judged),
        corners=_corner_row(judged),
        steps=_steps(judged),
        baselines=[
            _baseline_row(method, baseline, judged)
            for method, baseline in (baselines or {}).items()
        ],
    )


def _corner_row(judged: list[Judged]) -> CornerRow | None:
    marked = [
        (true, one.scanned.recognition.quad)
        for one in judged
        if (true := one.photo.quad) is not None
    ]
    if not marked:
        return None
    shared = [0.0 if found is None else found.overlap(true) for true, found in marked]
    errors = [
        1.0
        if found is None
        else float(np.linalg.norm(found.corners - true.corners, axis=1).max()) / true.height
        for true, found in marked
    ]
    return CornerRow(
        n=len(marked),
        above=sum(one > 0.9 for one in shared),
        iou_p50=round(float(np.median(shared)), 4),
        error_p50=round(float(np.median(errors)), 4),
        error_p95=round(float(np.percentile(errors, 95)), 4),
    )


def _steps(judged: list[Judged]) -> dict[str, tuple[float, float]]:
    times: dict[str, list[float]] = {}
    for one in judged:
        for step, ms in one.scanned.recognition.ms.items():
            times.setdefault(step, []).append(ms)
    return {
        step: (round(float(np.percentile(ms, 50)), 1), round(float(np.percentile(ms, 95)), 1))
        for step, ms in sorted(times.items())
    }


def _baseline_row(method: str, baseline: Baseline, judged: list[Judged]) -> BaselineRow:
    said = [(one.photo, baseline(one)) for one in judged]
    labelled = [(photo, named) for photo, named in said if photo.labelled]
    return BaselineRow(
        method=method,
        n=len(labelled),
        exact=sum(named.card_id == photo.card_id for photo, named in labelled),
        accepted=sum(named.accepted for _, named in labelled),
        accepted_wrong=sum(
            named.accepted and named.card_id != photo.card_id for photo, named in said
        ),
    )


def _quad(text: str) -> Quad | None:
    if not text:
        return None
    return Quad.of(np.array(json.loads(text), dtype=np.float32))


def table(measured: Evaluation) -> str:
    """Return the figures as a table for people."""
    heading = (
        f"{'kind':26} {'n':>4} {'exact':>6} {'name':>5} {'accepted':>9} {'wrong':>6}"
        f" {'95 % bounds':>17} {'rejected':>9} {'p50 ms':>6} {'p95 ms':>7}"
    )
    lines = [heading]
    for row in measured.rows:
        bounds = f"{row.wrong_low:.1%} to {row.wrong_high:.1%}"
        lines.append(
            f"{row.kind:26} {row.n:4} {row.exact:6} {row.named:5} {row.accepted:9}"
            f" {row.accepted_wrong:6} {bounds:>17} {row.rejected:9}"
            f" {row.p50_ms:6.0f} {row.p95_ms:7.0f}"
        )
    lines += [
        f"{other.method:26} {other.n:4} {other.exact:6} {'':5} {other.accepted:9}"
        f" {other.accepted_wrong:6} {'(wrong: of all)':>17}"
        for other in measured.baselines
    ]
    if (corners := measured.corners) is not None:
        lines.append(
            f"corners: IoU above 0.9 on {corners.above} of {corners.n},"
            f" median {corners.iou_p50:.3f}; worst corner p50 {corners.error_p50:.2%},"
            f" p95 {corners.error_p95:.2%} of the card's height"
        )
    steps = ", ".join(f"{step} {p50:.1f}/{p95:.1f}" for step, (p50, p95) in measured.steps.items())
    return "\n".join([*lines, f"ms p50/p95: {steps}"])


def wilson(successes: int, n: int) -> tuple[float, float]:
    """Return Wilson's 95 % bounds of a share (Wilson 1927); (0, 1) when nothing was seen."""
    if n == 0:
        return 0.0, 1.0
    z = 1.959964
    share = successes / n
    middle = share + z * z / (2 * n)
    spread = z * sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale)


def _kind(row: dict[str, str]) -> str:
    if row["kind"] == "single":
        return "single" if row["reference_available"] == "yes" else "single, no reference"
    return row["kind"]


def _row(kind: str, judged: list[Judged]) -> Row:
    wrong = sum(one.wrong for one in judged)
    low, high = wilson(wrong, len(judged))
    times = [sum(one.scanned.recognition.ms.values()) for one in judged] or [0.0]
    return Row(
        kind=kind,
        n=len(judged),
        exact=sum(one.exact for one in judged),
        named=sum(one.named for one in judged),
        accepted=sum(one.accepted for one in judged),
        accepted_wrong=wrong,
        wrong_low=round(low, 4),
        wrong_high=round(high, 4),
        rejected=sum(one.scanned.recognition.decision is Decision.REJECT for one in judged),
        p50_ms=round(float(np.percentile(times, 50)), 1),
        p95_ms=round(float(np.percentile(times, 95)), 1),
    )

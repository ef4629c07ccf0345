"""Measure recognition on labelled photos: a folder with index.csv (file, kind, id, reference_available, maybe name)."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from math import sqrt
from pathlib import Path

import numpy as np

from cardmint_contracts.cards import Decision
from cardmint_edge.domain.lexicon import plain
from cardmint_edge.domain.recognition import Recogniser
from cardmint_edge.errors import Stop
from cardmint_edge.scan import Scanned, scan


@dataclass(frozen=True, kw_only=True, slots=True)
class Photo:
    """A labelled photo. `kind` splits single cards by whether the gallery could know them."""

    path: Path
    kind: str
    card_id: str
    name: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """A photo and what was made of it."""

    photo: Photo
    scanned: Scanned

    @property
    def exact(self) -> bool:
        """Whether the best candidate, accepted or not, is the card."""
        candidates = self.scanned.recognition.candidates
        return bool(self.photo.card_id) and bool(candidates) and candidates[0].card.id == self.photo.card_id

    @property
    def named(self) -> bool:
        """Whether the best candidate, accepted or not, is at least a card of this name."""
        candidates = self.scanned.recognition.candidates
        return (
            bool(self.photo.card_id) and bool(candidates) and plain(candidates[0].card.name) == plain(self.photo.name)
        )

    @property
    def accepted(self) -> bool:
        """Whether it was accepted without a person."""
        return self.scanned.recognition.decision is Decision.ACCEPT


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One kind's figures. The bounds are Wilson's, for 95 %, of the share accepted wrong among all of the kind."""

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
                Photo(path=folder / row["file"], kind=_kind(row), card_id=row["id"], name=row.get("name") or "")
                for row in csv.DictReader(file)
            ]
    except OSError as error:
        message = f"{path}: {error.strerror}: --photos takes a folder of photos with an index.csv"
        raise Stop(message) from None
    except KeyError as error:
        message = f"{path}: the column {error} is missing: it takes file, kind, id and reference_available"
        raise Stop(message) from None


def judge(photos: list[Photo], recogniser: Recogniser) -> Iterator[Judged]:
    """Recognise each photo."""
    for photo, scanned in zip(photos, scan((photo.path for photo in photos), recogniser), strict=True):
        yield Judged(photo=photo, scanned=scanned)


def tally(judged: list[Judged]) -> list[Row]:
    """Sum up by kind, and over all."""
    kinds = sorted({one.photo.kind for one in judged})
    return [_row(kind, [one for one in judged if one.photo.kind == kind]) for kind in kinds] + [_row("all", judged)]


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
    wrong = sum(one.accepted and not one.exact for one in judged)
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

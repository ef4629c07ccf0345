"""Processor time of recognition for a rendered photo, where the card's picture is known and not.

Frames are decoded already; the clock counts one thread's processor time, so that other work on the
machine counts little.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cardmint_contracts.cards import Decision
from cardmint_edge.adapters.decode import read_image
from cardmint_edge.adapters.pack import Pack
from cardmint_edge.domain.recognition import Recognition
from cardmint_lab.recognition.samples import Known, ReducedPacks, compressed, scans_apart
from cardmint_lab.scenes import PRESETS, render

PHOTOS = ("copy_stand", "table")

PICTURE = {Known.WHOLE: "known", Known.FACTS: "unknown"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Timed:
    """A photo's milliseconds by step, and its outcome."""

    preset: str
    known: Known
    card_id: str
    recognition: Recognition

    @property
    def ms(self) -> float:
        """All steps together, up to the decision."""
        return sum(time for step, time in self.recognition.ms.items() if step != "rectify")

    @property
    def exact(self) -> bool:
        """Whether the first candidate is the card."""
        candidates = self.recognition.candidates
        return bool(candidates) and candidates[0].card.id == self.card_id

    @property
    def accepted(self) -> bool:
        """Whether it is accepted, whatever its language."""
        return self.recognition.decision is Decision.ACCEPT


def time_photos(pack: Pack, images: Path, count: int, seed: int) -> Iterator[Timed]:
    """Recognise `count` photos of each preset by the whole pack, and by one that lacks the scan.

    Raises:
        Stop: no scan of a held-out card is there.
    """
    packs = ReducedPacks(pack, clock=time.process_time)
    apart = scans_apart(pack, images, least_width=450)
    for preset in PHOTOS:
        rng = np.random.default_rng(seed)
        for _ in range(count):
            card_id = apart[int(rng.integers(len(apart)))]
            scene = render(read_image(images / f"{card_id}.jpg"), PRESETS[preset], rng)
            frame = compressed(scene.frame, int(rng.integers(50, 95)))
            for known in PICTURE:
                recognition = packs.recogniser(card_id, known).recognise(frame)
                yield Timed(preset=preset, known=known, card_id=card_id, recognition=recognition)


def text(timed: Sequence[Timed]) -> list[str]:
    """Return p50 and p95 by preset and by whether the picture is known, and the steps' shares."""
    lines = [f"{'picture':8} {'photos':11} {'n':>4} {'p50':>5} {'p95':>5} exact accepted wrong"]
    for known, name in PICTURE.items():
        for preset in PHOTOS:
            part = [one for one in timed if one.known is known and one.preset == preset]
            p50, p95 = np.percentile([one.ms for one in part], (50, 95))
            wrong = sum(one.accepted and not one.exact for one in part)
            exact, accepted = sum(one.exact for one in part), sum(one.accepted for one in part)
            lines.append(
                f"{name:8} {preset:11} {len(part):4} {p50:5.0f} {p95:5.0f}"
                f" {exact:5} {accepted:8} {wrong:5}   {_steps(part)}"
            )
    return lines


def _steps(part: Sequence[Timed]) -> str:
    """Return each step's mean, and that of the slowest tenth."""
    slowest = sorted(part, key=lambda one: -one.ms)[: max(1, len(part) // 10)]
    means: tuple[dict[str, float], ...] = ({}, {})
    for mean, some in zip(means, (part, slowest), strict=True):
        for one in some:
            for step, ms in one.recognition.ms.items():
                mean[step] = mean.get(step, 0.0) + ms / len(some)
    every, tenth = means
    steps = [step for step in every if step != "rectify"]
    return ", ".join(f"{step} {every[step]:.0f}/{tenth.get(step, 0.0):.0f}" for step in steps)

"""Measure the station's whole path on this machine.

Decode, find, match, read, decide, keep the image, commit.

Frames are rendered from a pack's scans (or the fictional set's) as photos of a copy stand and of a
table. Steps are timed one card after another on one core; cards a minute are all cores together,
each card's image synced to the disk and its event committed to a real outbox before it counts.
"""

import os
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from uuid import uuid4

import cv2
import numpy as np
from msgspec.structs import replace as with_fields

from cardmint_contracts.events import CardScanned
from cardmint_contracts.wire import decode, encode
from cardmint_edge.adapters.clock import StationClock
from cardmint_edge.adapters.decode import read_image, read_reduced
from cardmint_edge.adapters.image_store import ImageStore
from cardmint_edge.adapters.pack import Pack
from cardmint_edge.adapters.sqlite.outbox import Outbox
from cardmint_edge.domain.recognition import Recogniser
from cardmint_edge.errors import Stop
from cardmint_edge.recogniser import recogniser_of
from cardmint_edge.scan import scan
from cardmint_edge.scan_event import event_of
from cardmint_lab.scenes import PRESETS, render

USED = ("copy_stand", "table")
SIZES = {"1920x1280": 1, "6000x4000": 3.125}
"""Frames by name, and how much larger than the scenes' own size they are: 2.5 and 24 megapixels."""

QUALITY = 92
SEED = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """One frame size's figures.

    `steps` holds each step's p50 in ms; `p50_ms` and `p95_ms` are decode to decision.

    To rectify the card for keeping comes after the decision; the cards a minute pay for it.
    """

    frame: str
    frames: int
    p50_ms: float
    p95_ms: float
    steps: dict[str, float]
    cards_per_minute: float
    exact: int
    catalogue_cards: int
    rss_mb: float
    cores: int


def measure(pack: Path, images: Path, *, frames: int, cores: int) -> Iterator[Measured]:
    """Measure each frame size over `frames` rendered photos.

    Raises:
        Stop: `images` holds no scan of a card of the pack.
    """
    cv2.setNumThreads(1)
    for frame in SIZES:
        with tempfile.TemporaryDirectory(prefix="cardmint-bench-") as folder:
            photos = _rendered(pack, images, Path(folder), frame, frames)
            yield _measured(pack, photos, Path(folder), frame, cores)


def _rendered(
    pack: Path, images: Path, folder: Path, frame: str, count: int
) -> list[tuple[Path, str]]:
    known = Pack(pack)
    ids = [
        card_id
        for row in range(len(known.hashes))
        if (images / f"{(card_id := known.printing(row).id)}.jpg").exists()
    ]
    known.close()
    if not ids:
        message = (
            f"{images}: holds no scan <card id>.jpg of a card of {pack}:"
            " name the folder that the pack was built of"
        )
        raise Stop(message)
    rng = np.random.default_rng(SEED)
    photos = []
    for number in range(count):
        card_id = ids[int(rng.integers(len(ids)))]
        seen = render(
            read_image(images / f"{card_id}.jpg"), PRESETS[USED[number % len(USED)]], rng
        ).frame
        large = cv2.resize(
            seen, None, fx=SIZES[frame], fy=SIZES[frame], interpolation=cv2.INTER_CUBIC
        )
        path = folder / f"{number:04}.jpg"
        cv2.imwrite(str(path), large, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        photos.append((path, card_id))
    return photos


def _measured(
    pack: Path, photos: list[tuple[Path, str]], folder: Path, frame: str, cores: int
) -> Measured:
    opened = Pack(pack)
    recogniser = recogniser_of(opened)
    paths = [path for path, _ in photos]
    # The first card pays for what is loaded once.
    list(scan(paths[:1], recogniser))
    seen = [one.recognition for one in scan(paths, recogniser)]
    totals = [sum(ms for step, ms in one.ms.items() if step != "rectify") for one in seen]
    steps = {
        step: round(float(np.percentile([one.ms[step] for one in seen], 50)), 2)
        for step in seen[0].ms
    }
    exact = sum(
        bool(one.candidates) and one.candidates[0].card.id == card_id
        for one, (_, card_id) in zip(seen, photos, strict=True)
    )
    per_minute, rss = _cards_per_minute(pack, paths, folder, cores)
    cards = opened.cards
    opened.close()
    return Measured(
        frame=frame,
        frames=len(photos),
        p50_ms=round(float(np.percentile(totals, 50)), 1),
        p95_ms=round(float(np.percentile(totals, 95)), 1),
        steps=steps,
        cards_per_minute=round(per_minute, 1),
        exact=exact,
        catalogue_cards=cards,
        rss_mb=round(rss, 1),
        cores=cores,
    )


def _cards_per_minute(
    pack: Path, paths: list[Path], folder: Path, cores: int
) -> tuple[float, float]:
    """Count the photos through processes that recognise, one a core, and the outbox's one writer.

    Returns the cards a minute, and the resident megabytes of a process with pack and models.
    """
    outbox, clock = Outbox.open(folder / "outbox.sqlite"), StationClock()
    with ProcessPoolExecutor(
        cores, get_context("spawn"), _Worker.start, (pack, folder / "images")
    ) as pool:
        # Each process starts, loads its models and sees a card before the clock does.
        list(pool.map(_Worker.whole, paths[:1] * 2 * cores))
        began = time.perf_counter()
        for path, event in zip(paths, pool.map(_Worker.whole, paths), strict=True):
            outbox.record(decode(event, CardScanned), clock(), path.name)
        seconds = time.perf_counter() - began
        rss = pool.submit(_Worker.resident).result()
    counted = outbox.counters.scanned
    outbox.close()
    return 60 * counted / seconds, rss


class _Worker:
    """What one process of the pool holds."""

    recogniser: Recogniser
    images: ImageStore

    @classmethod
    def start(cls, pack: Path, images: Path) -> None:
        cv2.setNumThreads(1)
        cls.recogniser = recogniser_of(Pack(pack))
        # An image store has one writer, as the station has one counter.
        cls.images = ImageStore(images / str(os.getpid()))

    @classmethod
    def whole(cls, path: Path) -> bytes:
        frame, _ = read_reduced(path)
        found = cls.recogniser.recognise(frame)
        image = cls.images.put(frame if found.rectified is None else found.rectified)
        return encode(with_fields(event_of(uuid4(), found), image=image))

    @staticmethod
    def resident() -> float:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def table(measured: list[Measured]) -> str:
    """Return the figures as a table for people."""
    lines = []
    for one in measured:
        steps = ", ".join(f"{step} {ms}" for step, ms in one.steps.items())
        alone = f"{one.frame}: p50 {one.p50_ms} ms, p95 {one.p95_ms} ms a card on one core"
        together = (
            f"{one.cards_per_minute:.0f} cards a minute on {one.cores},"
            f" {one.exact} of {one.frames} exact"
        )
        lines += [
            f"{alone}; {together}; {one.rss_mb:.0f} MB, {one.catalogue_cards} cards",
            f"  ms p50: {steps}",
        ]
    return "\n".join(lines)


def all_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0))

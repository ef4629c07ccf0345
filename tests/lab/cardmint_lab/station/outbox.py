"""Durable cards a second, beside the disk's own syncs, and bytes written for each card."""

import os
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID, uuid4

import numpy as np
from msgspec import Struct

from cardmint_contracts.cards import Candidate, Card, Decision, Image
from cardmint_contracts.events import CardScanned, RecogniserIdentity
from cardmint_edge.adapters.image_store import ImageStore
from cardmint_edge.adapters.sqlite.outbox import Outbox
from cardmint_edge.domain.delivery.batches import Timestamp

ROUND = 50
"""Cards, then syncs, measured alternately: a disk's speed changes with time."""

PAGE = 4096
CARD_PAGES = 4
"""Pages that a commit of one card appends to the write-ahead log, about."""

_IO = Path("/proc/self/io")


class OutboxFigures(Struct, frozen=True, kw_only=True):
    """Rates a second. `ratio` is the outbox's rate to the disk's.

    Bytes are of one card, without its image.
    """

    cards: int
    syncs_per_s: float
    durable_cards_per_s: float
    ratio: float
    bytes_beyond_image: int
    image_bytes: int
    seconds_per_receipt: float


def measure_outbox(folder: Path, cards: int) -> OutboxFigures:
    """Count `cards` cards in a new outbox on the disk of `folder`, and remove it.

    Raises:
        Stop: the disk cannot be written.
    """
    with TemporaryDirectory(dir=folder, prefix="cardmint-measure-") as temporary:
        outbox = Outbox.open(Path(temporary) / "outbox.db")
        with closing(outbox), (Path(temporary) / "beside").open("wb", buffering=0) as beside:
            disk = facts = 0.0
            for first in range(0, cards, ROUND):
                scans = list(scans_of(first, min(ROUND, cards - first)))
                disk += sync(beside.fileno(), len(scans))
                began = time.perf_counter()
                for scan in scans:
                    outbox.record(scan, stamp_of())
                facts += time.perf_counter() - began
            began = time.perf_counter()
            outbox.remove_covered(outbox.stream_state.last, None)
            receipt = time.perf_counter() - began
        beyond, image = _bytes(Path(temporary), cards)
    return OutboxFigures(
        cards=cards,
        syncs_per_s=round(cards / disk, 1),
        durable_cards_per_s=round(cards / facts, 1),
        ratio=round(disk / facts, 3),
        bytes_beyond_image=beyond,
        image_bytes=image,
        seconds_per_receipt=round(receipt, 4),
    )


def scans_of(first: int, count: int, image: Image | None = None) -> Iterator[CardScanned]:
    """Yield accepted scans like those of the recogniser: eight candidates, all fields filled."""
    for number in range(first, first + count):
        card = Card(
            id=f"base1-{number % 102}", name="A card", number=f"{number % 102}/102", set_id="base1"
        )
        yield CardScanned(
            scan=uuid4(),
            decision=Decision.ACCEPT,
            recogniser=RecogniserIdentity(
                method="print", pack="0123456789ab", models={"reader": "1 0123456789ab"}
            ),
            card=card,
            confidence=0.99,
            margin=0.9,
            candidates=(Candidate(card=card, confidence=0.99),) * 8,
            image=image or Image(sha256=f"{number:064x}", bytes=150_000, width=731, height=1024),
        )


def stamp_of() -> Timestamp:
    """Return a timestamp of now."""
    return Timestamp(
        time=datetime.now(UTC),
        bootid=UUID(int=1),
        monotonic_ms=time.monotonic_ns() // 1_000_000,
        clock_synced=True,
    )


def sync(file: int, count: int) -> float:
    """Write and sync as many pages as `count` commits of a card, and return the seconds."""
    page = os.urandom(PAGE * CARD_PAGES)
    began = time.perf_counter()
    for _ in range(count):
        os.write(file, page)
        os.fdatasync(file)
    return time.perf_counter() - began


def _bytes(folder: Path, cards: int) -> tuple[int, int]:
    """Return the bytes that a card writes beyond its image, and its image's bytes.

    They are what the kernel counts as written to the disk.
    """
    store, draw = ImageStore(folder / "images"), np.random.default_rng(1)
    outbox = Outbox.open(folder / "counted.db")
    with closing(outbox):
        before, images = _written(), 0
        for number in range(cards):
            noise = draw.integers(0, 255, (64, 48, 3), dtype=np.uint8)
            image = store.put(noise.repeat(8, axis=0).repeat(8, axis=1))
            images += -(-image.bytes // PAGE) * PAGE
            for scan in scans_of(number, 1, image):
                outbox.record(scan, stamp_of())
            outbox.remove_covered(outbox.stream_state.last, None)
    return (_written() - before - images) // cards, images // cards


def _written() -> int:
    for line in _IO.read_text().splitlines():
        name, _, value = line.partition(": ")
        if name == "write_bytes":
            return int(value)
    return 0

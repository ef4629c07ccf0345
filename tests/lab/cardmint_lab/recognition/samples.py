"""Labelled evidence: what the recogniser gathers about photos, real and rendered.

Each card is also seen by packs that lack its scan, so that print must name it, and by packs that
lack its facts too: then it is none of the catalogue's. Its twins go with it, or stay: then a card
of the same art is left that it is not.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import cv2
import msgspec
import numpy as np
from PIL import Image

from cardmint_contracts.cards import Card
from cardmint_contracts.catalogue import finishes_of
from cardmint_edge.adapters.decode import Unreadable, read_image, read_reduced
from cardmint_edge.adapters.pack import Pack
from cardmint_edge.domain.evidence import Evidence
from cardmint_edge.domain.recognise import CardRecogniser
from cardmint_edge.domain.recognition import Frame
from cardmint_edge.domain.vision.embedding import Vectors
from cardmint_edge.domain.vision.hashing import Bits
from cardmint_edge.domain.vision.matching import Reference
from cardmint_edge.errors import Stop
from cardmint_edge.recogniser import Recognisers
from cardmint_lab.recognition.evaluate import Photo
from cardmint_lab.scenes import PRESETS, held_out, render

SEVERAL = "multi"
"""How kinds of photos begin that show several cards: a rule decides about them."""


class Known(StrEnum):
    """What the pack has of a card."""

    WHOLE = "whole"
    FACTS = "facts"
    TWINS = "twins"
    NOTHING = "nothing"

    @property
    def has_card(self) -> bool:
        """Whether the pack has the card's facts."""
        return self in {Known.WHOLE, Known.FACTS}


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """The evidence of one photo, and what is right.

    `card_id` is empty where the photo shows nothing that the pack has. `kind` is a photo's kind or
    a rendered one's preset, `source` where a photo comes from (empty for rendered ones), `pictured`
    whether the pack has the card's own scan, `finish` the one in which its printing exists,
    "several" or empty. `evidence` is kept as it grew: without the search by print, and with it.
    """

    photo: str
    kind: str
    source: str
    group: str
    language: str
    known: Known
    pictured: bool
    card_id: str
    evidence: tuple[Evidence, ...]
    finish: str = ""

    @property
    def real(self) -> bool:
        """Whether it is a real photo."""
        return bool(self.source)


class ReducedGallery:
    """A pack's gallery with some rows taken out."""

    def __init__(self, pack: Pack, rows: set[int]) -> None:
        self._pack = pack
        self._rows = [row for row in range(len(pack.hashes)) if row not in rows]
        self._left = {row: place for place, row in enumerate(self._rows)}
        self.version = pack.version
        self.hashes: Bits = pack.hashes[self._rows]
        self.vectors: Vectors = pack.vectors[self._rows] if len(pack.vectors) else pack.vectors

    def printing(self, row: int) -> Card:
        """Return the printing of a row of what is left."""
        return self._pack.printing(self._rows[row])

    def reference(self, row: int) -> Reference:
        """Return what to compare a view with."""
        return self._pack.reference(self._rows[row])

    def twins(self, row: int) -> tuple[Card, ...]:
        """Return the other printings of the same art, left or not."""
        return self._pack.twins(self._rows[row])

    def card(self, card_id: str) -> Card | None:
        """Return a printing by its id: the facts know those that were taken out too."""
        return self._pack.card(card_id)

    def row(self, card_id: str) -> int | None:
        """Return the row of a printing's picture in what is left."""
        row = self._pack.row(card_id)
        return self._left.get(row) if row is not None else None


class ReducedPacks:
    """Recognisers over a pack that lacks a card's scan, or its facts too."""

    def __init__(self, pack: Pack, *, clock: Callable[[], float] = time.perf_counter) -> None:
        self.pack = pack
        self._recognisers = Recognisers(pack, clock=clock)
        self._whole = self._recognisers.over(pack)

    def art(self, card_id: str) -> frozenset[str]:
        """Return a card and its twins."""
        row = self.pack.row(card_id)
        twins = self.pack.twins(row) if row is not None else ()
        return frozenset({card_id, *(twin.id for twin in twins)})

    def recogniser(self, card_id: str, known: Known) -> CardRecogniser:
        """Return a recogniser over what is left of the pack."""
        if known is Known.WHOLE:
            return self._whole
        hidden = frozenset({card_id}) if known is Known.TWINS else self.art(card_id)
        rows = {row for one in hidden if (row := self.pack.row(one)) is not None}
        gone = frozenset[str]() if known is Known.FACTS else hidden
        return self._recognisers.over(ReducedGallery(self.pack, rows), gone)

    def ways(self, card_id: str) -> list[Known]:
        """Return what packs may have of a card; twins only where one of them has a scan."""
        twins = self.art(card_id) - {card_id}
        pictured = any(self.pack.row(one) is not None for one in twins)
        return [known for known in Known if known is not Known.TWINS or pictured]


def photo_samples(pack: Pack, photos: Iterable[Photo]) -> Iterator[Sample]:
    """Gather the evidence of real photos, of a single card's by all packs."""
    packs = ReducedPacks(pack)
    for photo in photos:
        try:
            frame, _ = read_reduced(photo.path)
        except Unreadable:
            continue
        labelled = photo.labelled and pack.card(photo.card_id) is not None
        for known in packs.ways(photo.card_id) if labelled else (Known.WHOLE,):
            _, evidence = packs.recogniser(photo.card_id, known).observe(frame, thorough=True)
            yield Sample(
                photo=photo.path.name,
                kind=photo.kind,
                source=photo.source,
                group=photo.card_id or photo.path.name,
                language=photo.language,
                known=known,
                pictured=known is Known.WHOLE and pack.row(photo.card_id) is not None,
                card_id=photo.card_id if labelled and known.has_card else "",
                evidence=evidence,
                finish=finish_of(pack, photo.card_id),
            )


def finish_of(pack: Pack, card_id: str) -> str:
    """Return the finish in which a printing exists; "several", or empty where none is known."""
    finishes = finishes_of(pack.variants(card_id))
    return "several" if len(finishes) > 1 else "".join(finishes)


def rendered_samples(
    pack: Pack, images: Path, count: int, seed: int, *, least_width: int = 0
) -> Iterator[Sample]:
    """Render `count` photos of scans that no training saw, the presets in turn; all packs alike.

    Scans narrower than `least_width` pixels are left out.

    Raises:
        Stop: no scan is left.
    """
    rng = np.random.default_rng(seed)
    packs = ReducedPacks(pack)
    apart = scans_apart(pack, images, least_width)
    for number in range(count):
        preset = list(PRESETS)[number % len(PRESETS)]
        card_id = apart[int(rng.integers(len(apart)))]
        ways = packs.ways(card_id)
        known = ways[int(rng.integers(len(ways)))]
        scene = render(read_image(images / f"{card_id}.jpg"), PRESETS[preset], rng)
        frame = compressed(scene.frame, int(rng.integers(50, 95)))
        _, evidence = packs.recogniser(card_id, known).observe(frame, thorough=True)
        yield Sample(
            photo=f"{seed}-{number}",
            kind=preset,
            source="",
            group=card_id,
            language="en",
            known=known,
            pictured=known is Known.WHOLE,
            card_id=card_id if known.has_card else "",
            evidence=evidence,
            finish=finish_of(pack, card_id),
        )


def scans_apart(pack: Pack, images: Path, least_width: int) -> list[str]:
    """Return the pack's cards whose scan no training saw and that are `least_width` pixels wide.

    Raises:
        Stop: there is none.
    """
    ids = [pack.printing(row).id for row in range(len(pack.hashes))]
    apart = [
        card_id
        for card_id in ids
        if held_out(card_id) and _width(images / f"{card_id}.jpg") >= least_width
    ]
    if not apart:
        message = (
            f"{images}: no scan of a held-out card is {least_width} pixels wide or more;"
            " lower --least-width"
        )
        raise Stop(message)
    return apart


def write(path: Path, samples: Iterable[Sample]) -> int:
    """Append samples to a file, a line each as they come; return how many."""
    count = 0
    with path.open("ab") as file:
        for one in samples:
            file.write(msgspec.json.encode(one) + b"\n")
            file.flush()
            count += 1
    return count


def read(path: Path) -> list[Sample]:
    """Return the samples of a file.

    Raises:
        Stop: it cannot be read, or holds something else.
    """
    try:
        lines = path.read_bytes().splitlines()
        return [msgspec.json.decode(line, type=Sample) for line in lines]
    except OSError as error:
        message = f"{path}: {error.strerror}: write it with `recognition collect`"
        raise Stop(message) from None
    except msgspec.DecodeError as error:
        message = f"{path}: no file of `recognition collect`, or of another version: {error}"
        raise Stop(message) from None


def _width(path: Path) -> int:
    with Image.open(path) as scan:
        return scan.width


def compressed(frame: Frame, quality: int) -> Frame:
    """Return a frame as a JPEG of a quality (1 to 100) keeps it."""
    _, data = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), dtype=np.uint8)

"""Builds a pack from a catalogue's JSON and a folder of scans."""

import os
import time
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np

from cardmint_contracts.cards import Card
from cardmint_contracts.errors import ContractError
from cardmint_contracts.prices import LastPrice
from cardmint_contracts.wire import convert, decode
from cardmint_edge.adapters.decode import Unreadable, read_image
from cardmint_edge.adapters.models import ModelUnusable, PictureEmbedder
from cardmint_edge.adapters.pack_writer import PackReference, PrintingFacts, write_pack
from cardmint_edge.domain.recognition import Frame
from cardmint_edge.domain.vision.embedding import Vectors, normalised, quantised
from cardmint_edge.domain.vision.hashing import HASH_SIZE, card_hash
from cardmint_edge.domain.vision.matching import make_reference
from cardmint_edge.errors import Stop

WORKERS = 2
_LAYOUT = "--cards takes a folder with sets/en.json and cards/en/<set>.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class PackSummary:
    """The figures of a pack that was built."""

    version: str
    cards: int
    twinned: int
    """Cards that have a twin. They are never accepted by picture alone."""
    images: int
    prices: int
    skipped: int
    seconds: float
    bytes: int


def build(
    cards: Path, images: Path, out: Path, warn: Callable[[str], None], prices: Path | None = None
) -> PackSummary:
    """Build `out` from `cards` (sets/en.json and cards/en/<set>.json) and `images` (<card id>.jpg).

    `prices` is a file of last known prices, one JSON object a line: the output of `cardmint-cloud
    prices export`. `warn` takes a line for each entry that is skipped. The pack gets its name only
    when it is complete.

    Raises:
        Stop: the folders have another layout, or the pack cannot be written.
    """
    started = time.perf_counter()
    skipped = 0

    def skip(line: str) -> None:
        nonlocal skipped
        skipped += 1
        warn(line)

    printings = read_facts(cards, skip)
    known = {printing.card.id for printing in printings}
    files = _scans(images)
    usable: dict[str, Path] = {}
    for path in files:
        if path.stem not in known:
            skip(f"{path}: skipped, the catalogue has no card {path.stem!r}")
        elif path.stem in usable:
            skip(f"{path}: skipped, {usable[path.stem].name} is taken")
        else:
            usable[path.stem] = path
    known_prices = (
        []
        if prices is None
        else [price for price in read_prices(prices, skip) if price.card in known]
    )
    draft = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        embedder = _embedder(warn)
        references = _references(list(usable.values()), skip, embedder)
        built_at = datetime.now(UTC).isoformat(timespec="seconds")
        version, image_count = write_pack(
            draft,
            printings,
            references,
            built_at,
            known_prices,
            embedded_by=embedder.version if embedder else "",
        )
        size = draft.stat().st_size
        draft.replace(out)
    except OSError as error:
        message = (
            f"{out}: the pack cannot be written ({error.strerror}): choose another place with --out"
        )
        raise Stop(message) from None
    finally:
        with suppress(OSError):
            draft.unlink()
    seconds = time.perf_counter() - started
    return PackSummary(
        version=version,
        cards=len(printings),
        twinned=count_twinned(printings),
        images=image_count,
        prices=len(known_prices),
        skipped=skipped,
        seconds=round(seconds, 1),
        bytes=size,
    )


def count_twinned(printings: list[PrintingFacts]) -> int:
    """Return the number of printings with a twin: same art key, and no two different artists."""
    artists: dict[str, Counter[str]] = {}
    for printing in printings:
        artists.setdefault(printing.art, Counter())[printing.artist.casefold()] += 1
    count = 0
    for printing in printings:
        same = artists[printing.art]
        artist = printing.artist.casefold()
        others = same[artist] + same[""] if artist else same.total()
        count += others > 1
    return count


def reference_of(card_id: str, scan: Frame) -> PackReference:
    """Make the reference of a printing's scan."""
    small = cv2.resize(scan, HASH_SIZE, interpolation=cv2.INTER_AREA)
    return PackReference(
        card_id=card_id,
        bits=card_hash(np.asarray(small, dtype=np.uint8)),
        reference=make_reference(scan),
    )


def read_facts(cards: Path, skip: Callable[[str], None]) -> list[PrintingFacts]:
    """Read the catalogue's printings. `skip` takes a line for each card that cannot be used.

    Raises:
        Stop: `cards` has another layout, or no card.
    """
    sets = {entry.get("id"): entry for entry in _json(cards / "sets" / "en.json")}
    facts: dict[str, PrintingFacts] = {}
    for path in sorted((cards / "cards" / "en").glob("*.json")):
        printed_in = sets.get(path.stem, {})
        for entry in _json(path):
            try:
                fact = _fact(entry, path.stem, printed_in)
            except msgspec.ValidationError as error:
                skip(f"{path}: skipped {entry.get('id')!r}: {error}")
                continue
            facts[fact.card.id] = fact
    if not facts:
        message = f"{cards}: no cards: {_LAYOUT}"
        raise Stop(message)
    return list(facts.values())


def read_prices(file: Path, skip: Callable[[str], None]) -> Iterator[LastPrice]:
    """Read last known prices. `skip` takes a message for each line that is not a price.

    Raises:
        Stop: the file cannot be read.
    """
    try:
        lines = file.read_bytes().splitlines()
    except OSError as error:
        raise Stop(
            f"{file}: {error.strerror}: --prices takes the output of `cardmint-cloud prices export`"
        ) from None
    for number, line in enumerate(lines, 1):
        try:
            yield decode(line, LastPrice)
        except ContractError as error:
            skip(f"{file}, line {number}: skipped, not a price: {error}")


def _fact(entry: dict[str, Any], set_id: str, printed_in: dict[str, Any]) -> PrintingFacts:
    card = convert(
        {
            "id": entry.get("id"),
            "name": entry.get("name"),
            "number": entry.get("number", ""),
            "set_id": set_id,
            "set_name": printed_in.get("name", ""),
        },
        Card,
    )
    total = printed_in.get("printedTotal")
    return PrintingFacts(
        card=card,
        printed_total=total if isinstance(total, int) else None,
        rarity=str(entry.get("rarity", "")),
        released=str(printed_in.get("releaseDate", "")),
        art=art_key(entry),
        artist=str(entry.get("artist") or ""),
        health=str(entry.get("hp") or ""),
    )


def art_key(entry: dict[str, Any]) -> str:
    """Return the key that printings with the same art share: their name and their attacks' names.

    Of each name only the consonants count, because catalogues differ in vowels and accents.
    """
    attacks = sorted(_consonants(attack.get("name")) for attack in entry.get("attacks") or [])
    return "|".join([_consonants(entry.get("name")), *attacks])


def _consonants(name: object) -> str:
    plain = unicodedata.normalize("NFKD", str(name)).casefold()
    return "".join(letter for letter in plain if letter.isalnum() and letter not in "aeiou")


def _json(path: Path) -> list[dict[str, Any]]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[dict[str, Any]])
    except OSError as error:
        message = f"{path}: {error.strerror}: {_LAYOUT}"
        raise Stop(message) from None
    except msgspec.DecodeError as error:
        message = f"{path}: not the catalogue's JSON ({error}): fetch it again"
        raise Stop(message) from None


def _scans(images: Path) -> list[Path]:
    try:
        return sorted(
            path
            for path in images.iterdir()
            if path.suffix.lower() in {".jpg", ".jpeg", ".png", ".webp"}
        )
    except OSError as error:
        message = f"{images}: {error.strerror}: --images takes a folder of <card id>.jpg"
        raise Stop(message) from None


def _embedder(warn: Callable[[str], None]) -> PictureEmbedder | None:
    try:
        return PictureEmbedder()
    except ModelUnusable as error:
        warn(f"the pack has no vectors: {error}")
        return None


def _references(
    files: list[Path], skip: Callable[[str], None], embedder: PictureEmbedder | None
) -> Iterator[PackReference]:
    # OpenCV releases the interpreter's lock, so these threads use all cores; its own threads would
    # only compete with them.
    cv2.setNumThreads(1)
    with ThreadPoolExecutor(WORKERS) as pool:
        for path, result in zip(files, pool.map(_reference, files), strict=True):
            if isinstance(result, PackReference):
                yield (
                    result
                    if embedder is None
                    else replace(result, vector=_vector(result, embedder))
                )
            else:
                skip(f"{path}: skipped, {result}")


def _vector(reference: PackReference, embedder: PictureEmbedder) -> Vectors:
    return quantised(embedder(normalised(reference.reference.thumb)))


def _reference(path: Path) -> PackReference | str:
    try:
        return reference_of(path.stem, read_image(path))
    except Unreadable as error:
        return str(error)

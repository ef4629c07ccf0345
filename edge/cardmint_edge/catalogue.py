"""Build a pack from a catalogue's JSON and a folder of scans."""

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
    """What a build came to."""

    version: str
    cards: int
    twinned: int
    """Cards that share their art with another printing by the facts, and so are never accepted by picture alone."""
    images: int
    prices: int
    skipped: int
    seconds: float
    bytes: int


def build(
    cards: Path, images: Path, out: Path, warn: Callable[[str], None], prices: Path | None = None
) -> PackSummary:
    """Build `out` from `cards` (sets/en.json and cards/en/<set>.json) and `images` (<card id>.jpg).

    `prices` is a file of last known prices, one JSON object a line, as `cardmint-cloud prices
    export` writes it.

    The pack appears under its name only when it is whole. What cannot be used is passed to `warn`,
    a line each.

    Raises:
        Stop: the folders are not as they should be, or the pack cannot be written.
    """
    started = time.perf_counter()
    skipped = 0

    def skip(line: str) -> None:
        nonlocal skipped
        skipped += 1
        warn(line)

    facts = read_facts(cards, skip)
    known = {fact.card.id for fact in facts}
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
        looks = _looks(list(usable.values()), skip, embedder)
        built_at = datetime.now(UTC).isoformat(timespec="seconds")
        version, images_kept = write_pack(
            draft,
            facts,
            looks,
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
        cards=len(facts),
        twinned=twinned(facts),
        images=images_kept,
        prices=len(known_prices),
        skipped=skipped,
        seconds=round(seconds, 1),
        bytes=size,
    )


def twinned(facts: list[PrintingFacts]) -> int:
    """Return how many printings have a twin: same art key, and no two different artists."""
    artists: dict[str, Counter[str]] = {}
    for fact in facts:
        artists.setdefault(fact.art, Counter())[fact.artist.casefold()] += 1
    count = 0
    for fact in facts:
        same = artists[fact.art]
        others = same.total() if fact.artist == "" else same[fact.artist.casefold()] + same[""]
        count += others > 1
    return count


def look_of(card_id: str, scan: Frame) -> PackReference:
    """Make what a pack keeps of a scan."""
    small = cv2.resize(scan, HASH_SIZE, interpolation=cv2.INTER_AREA)
    return PackReference(
        card_id=card_id,
        bits=card_hash(np.asarray(small, dtype=np.uint8)),
        reference=make_reference(scan),
    )


def read_facts(cards: Path, skip: Callable[[str], None]) -> list[PrintingFacts]:
    """Read the catalogue's facts; a card that cannot be used is passed to `skip`, a line each.

    Raises:
        Stop: `cards` is not laid out as a catalogue, or holds no card.
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
        message = f"{cards}: holds no cards: {_LAYOUT}"
        raise Stop(message)
    return list(facts.values())


def read_prices(file: Path, skip: Callable[[str], None]) -> Iterator[LastPrice]:
    """Read last known prices; a line that is none is passed to `skip`.

    Raises:
        Stop: the file cannot be read.
    """
    try:
        lines = file.read_bytes().splitlines()
    except OSError as error:
        message = (
            f"{file}: {error.strerror}: --prices takes what `cardmint-cloud prices export` wrote"
        )
        raise Stop(message) from None
    for number, line in enumerate(lines, 1):
        try:
            yield decode(line, LastPrice)
        except ContractError as error:
            skip(f"{file}, line {number}: skipped, no price: {error}")


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
    """Return what printings of one picture have in common beside the artist.

    The name, and those of the attacks.

    Of each only the consonants count: catalogues spell one name with different vowels and accents.
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


def _looks(
    files: list[Path], skip: Callable[[str], None], embedder: PictureEmbedder | None
) -> Iterator[PackReference]:
    # OpenCV lets go of the interpreter while it works, so threads use both cores; its own would
    # only add to them.
    cv2.setNumThreads(1)
    with ThreadPoolExecutor(WORKERS) as pool:
        for path, look in zip(files, pool.map(_look, files), strict=True):
            if isinstance(look, PackReference):
                yield look if embedder is None else replace(look, vector=_vector(look, embedder))
            else:
                skip(f"{path}: skipped, {look}")


def _vector(look: PackReference, embedder: PictureEmbedder) -> Vectors:
    return quantised(embedder(normalised(look.reference.thumb)))


def _look(path: Path) -> PackReference | str:
    try:
        return look_of(path.stem, read_image(path))
    except Unreadable as error:
        return str(error)

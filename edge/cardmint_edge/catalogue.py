"""Builds a pack from a catalogue and a folder of pictures."""

import glob
import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import cv2
import msgspec
import numpy as np

from cardmint_contracts.catalogue import ENGLISH, CatalogueSet, Names
from cardmint_contracts.errors import ContractError
from cardmint_contracts.prices import LastPrice
from cardmint_contracts.wire import decode
from cardmint_edge.adapters.catalogue_folder import (
    IMAGES,
    LAYOUTS,
    OpenCatalogue,
    open_catalogue,
)
from cardmint_edge.adapters.decode import Unreadable, read_image
from cardmint_edge.adapters.durable_files import sync_file
from cardmint_edge.adapters.models import ModelUnusable, PictureEmbedder
from cardmint_edge.adapters.pack_writer import (
    Contents,
    PackReference,
    PackWriter,
    contents,
    may_be_pack,
    meta_of,
    prices_in,
)
from cardmint_edge.adapters.regular_files import read_regular
from cardmint_edge.domain.catalogue.assembly import Warn
from cardmint_edge.domain.recognition import Frame
from cardmint_edge.domain.vision.embedding import Vectors, normalised, quantised
from cardmint_edge.domain.vision.hashing import HASH_SIZE, card_hash
from cardmint_edge.domain.vision.matching import make_reference
from cardmint_edge.errors import Stop

WORKERS = 2
FETCH_AGAIN = ": `cardmint-edge catalogue fetch --refresh` fetches it again"


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
    unread_sets: int
    """Sets of the catalogue that could not be read: all of their cards are missing."""
    seconds: float
    bytes: int


def build(
    cards: Path,
    images: Path | None,
    out: Path,
    warn: Callable[[str], None],
    prices: Path | None = None,
    *,
    languages: Iterable[str] = (),
    replace_worse: bool = False,
) -> PackSummary:
    """Build `out` from the catalogue in `cards` and the pictures in `images` (<card id>.jpg).

    `cards` has any of the layouts that `catalogue_folder` reads. Without `images`, the pictures are
    those in the catalogue's own folder. `prices` is a file of last known prices, one JSON object a
    line: the output of `cardmint-cloud prices export`; without it, the prices of the pack that is
    there stay. `warn` takes a line for each entry that is skipped. With `languages`, names in
    others are left out; English stays.

    Of a pack that `out` is already, what has not changed is taken over. The pack gets its name only
    when it is complete, and takes the place of one with cards or pictures that it lacks only with
    `replace_worse`.

    Raises:
        Stop: the folders have another layout, the catalogue has no name in one of the languages,
            `out` is a file that is no pack, the pack cannot be written, or it would be worse.
    """
    started = time.perf_counter()
    skipped = 0

    def skip(line: str) -> None:
        nonlocal skipped
        skipped += 1
        warn(line)

    catalogue = open_catalogue(cards)
    if catalogue.incomplete:
        warn(f"{cards}: {catalogue.incomplete}")
    files = _scans(cards / IMAGES if images is None else images, optional=images is None)
    chosen = frozenset(languages)
    embedder = _embedder(warn)
    embedded_by = embedder.version if embedder else ""
    choice = {"languages": ",".join(sorted(chosen)), "embedding": embedded_by}
    draft = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        _refuse_other_file(out)
        _remove_drafts(out)
        kept = meta_of(out)
        copied = kept is not None and all(kept.get(key, "") == choice[key] for key in choice)
        if copied:
            shutil.copyfile(out, draft)
        with closing(PackWriter(draft, copied=copied)) as writer:
            unread_sets = _put_sets(writer, catalogue, chosen, skip)
            known = writer.card_ids()
            if not known:
                raise Stop(f"{cards}: no cards: {LAYOUTS}")
            advice = FETCH_AGAIN if images is None and catalogue.languages else ""
            _put_pictures(writer, _usable(files, known, skip), skip, embedder, advice)
            known_prices = _known_prices(prices, out, known, skip, warn)
            writer.put_prices(known_prices)
            meta = {**_dates(catalogue), "languages": choice["languages"]}
            written = writer.finish(meta, embedded_by=embedded_by)
        after = contents(draft)
        there = {language for _, language in after.names}
        _check_languages(chosen, there, cards, catalogue, warn)
        if not replace_worse:
            _refuse_worse(out, contents(out), after, chosen)
        size = draft.stat().st_size
        sync_file(draft)
        draft.replace(out)
    except (OSError, sqlite3.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise Stop(
            f"{out}: the pack cannot be written ({reason}): free space, or choose another place"
            " with --out; the pack that is there stays"
        ) from None
    finally:
        with suppress(OSError):
            draft.unlink()
    return PackSummary(
        version=written.version,
        cards=written.cards,
        twinned=written.twinned,
        images=written.images,
        prices=len(known_prices),
        skipped=skipped,
        unread_sets=unread_sets,
        seconds=round(time.perf_counter() - started, 1),
        bytes=size,
    )


def _put_sets(
    writer: PackWriter, catalogue: OpenCatalogue, languages: frozenset[str], skip: Warn
) -> int:
    """Put in the sets that are new or changed, and take out those that are gone.

    Return how many could not be read.
    """
    for line in catalogue.odd:
        skip(line)
    before, unchanged = writer.sets(), set[str]()
    by_digest = {digest: set_id for set_id, digest in before.items()}
    changed, unread = [], 0
    for source in catalogue.sets:
        if (set_id := by_digest.get(source.digest)) is not None:
            unchanged.add(set_id)
            continue
        read = source.read(skip)
        if read is None:
            unread += 1
        else:
            changed.append((read, source.digest))
    for set_id in before.keys() - unchanged:
        writer.drop_set(set_id)
    known = set(unchanged)
    for read, digest in changed:
        if read.id in known:
            skip(f"set {read.id} ({read.region}): skipped, another set has this identifier")
            continue
        known.add(read.id)
        taken = writer.put_set(_in_languages(read, languages), digest)
        for card_id in taken:
            skip(f"set {read.id}: skipped {card_id!r}: another set has it")
    return unread


def _in_languages(of_set: CatalogueSet, languages: frozenset[str]) -> CatalogueSet:
    """Return a set with its names in these languages, English, or the one that there is."""
    if not languages:
        return of_set

    def chosen(names: Names) -> Names:
        kept = {one: name for one, name in names.items() if one in languages or one == ENGLISH}
        return kept or dict(list(names.items())[:1])

    return msgspec.structs.replace(
        of_set,
        names=chosen(of_set.names),
        printings=tuple(
            msgspec.structs.replace(
                printing,
                names=chosen(printing.names),
                attacks=tuple(map(chosen, printing.attacks)),
                abilities=tuple(map(chosen, printing.abilities)),
            )
            for printing in of_set.printings
        ),
    )


def _usable(files: list[Path], known: set[str], skip: Warn) -> dict[str, Path]:
    """Return the file of each printing's picture."""
    usable: dict[str, Path] = {}
    strange = [path for path in files if path.stem not in known]
    for path in strange[:1]:
        more = f", nor those of {len(strange) - 1} other pictures" if len(strange) > 1 else ""
        skip(f"{path}: skipped, the catalogue has no card {path.stem!r}{more}")
    for path in (path for path in files if path.stem in known):
        if path.stem in usable:
            skip(f"{path}: skipped, {usable[path.stem].name} is taken")
        else:
            usable[path.stem] = path
    return usable


def _put_pictures(
    writer: PackWriter,
    usable: dict[str, Path],
    skip: Warn,
    embedder: PictureEmbedder | None,
    advice: str,
) -> None:
    """Put in the references of pictures that are new or changed, and take out those gone.

    `advice` follows the reason why a picture cannot be read.
    """
    before, digests = writer.pictures(), dict[str, str]()
    for card_id, path in usable.items():
        try:
            digests[card_id] = sha256(read_regular(path)).hexdigest()
        except OSError as error:
            skip(f"{path}: skipped, {error.strerror}")
    wrong = _of_other_cards(digests, writer.arts(digests))
    for card_id, other in wrong.items():
        skip(f"{usable[card_id]}: skipped, it is the picture of {other}, which has other art")
    for card_id in wrong:
        del digests[card_id]
    writer.drop_references(before.keys() - digests.keys())
    changed = {
        card_id: digest for card_id, digest in digests.items() if before.get(card_id) != digest
    }
    writer.drop_references(changed.keys() & before.keys())
    writer.put_references(
        _references(
            {usable[card_id]: digest for card_id, digest in changed.items()},
            lambda line: skip(f"{line}{advice}"),
            embedder,
        )
    )


def _of_other_cards(digests: dict[str, str], arts: dict[str, str]) -> dict[str, str]:
    """Return the cards whose picture is also that of a card with other art, each with that card.

    Of such a pair nothing says which card the picture is of.
    """
    by_digest: dict[str, list[str]] = {}
    for card_id, digest in digests.items():
        by_digest.setdefault(digest, []).append(card_id)
    return {
        card_id: next(other for other in same if arts[other] != arts[card_id])
        for same in by_digest.values()
        if len({arts[card_id] for card_id in same}) > 1
        for card_id in same
    }


def _refuse_other_file(out: Path) -> None:
    """Raise Stop when a file is there that is neither a pack nor a damaged one."""
    if out.exists() and not may_be_pack(out):
        raise Stop(
            f"{out}: it is there and is no pack: nothing written; choose another name with --out,"
            " or move it away"
        )


def _remove_drafts(out: Path) -> None:
    """Remove the drafts of builds that were killed: those of processes that are no more."""
    for draft in out.parent.glob(f".{glob.escape(out.name)}.*"):
        process = draft.name.rpartition(".")[2]
        if process.isdecimal() and not Path("/proc", process).exists():
            draft.unlink(missing_ok=True)


def _dates(catalogue: OpenCatalogue) -> dict[str, str]:
    """Return when the pack is built, and when the catalogue's source was last asked."""
    return {
        "built_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "made_at": "" if catalogue.made_at is None else catalogue.made_at.isoformat(),
    }


def _check_languages(
    chosen: frozenset[str], there: set[str], cards: Path, catalogue: OpenCatalogue, warn: Warn
) -> None:
    """Warn of a catalogue without English names.

    Raises:
        Stop: a language is chosen in which the catalogue has no name.
    """
    for language in sorted(chosen - there):
        known = f", but in {', '.join(catalogue.languages)}" if catalogue.languages else ""
        raise Stop(
            f"--language {language}: {cards} has no names in it{known}: fetch them first, or choose"
            " another"
        )
    if ENGLISH not in there:
        warn(
            f"{cards}: no card has an English name, which stations need to read print: they will"
            " know cards by their pictures alone; fetch with --language en, too"
        )


def _known_prices(
    prices: Path | None, out: Path, known: set[str], skip: Warn, warn: Warn
) -> list[LastPrice]:
    """Return the prices of known cards: the file's, or those of the pack there without a file.

    Raises:
        Stop: the file cannot be read.
    """
    priced = prices_in(out) if prices is None else read_prices(prices, skip)
    found = [price for price in priced if price.card in known]
    if found and prices is None:
        warn(f"{out}: its {len(found)} prices stay: --prices brings new ones")
    return found


def _refuse_worse(out: Path, before: Contents, after: Contents, chosen: frozenset[str]) -> None:
    """Raise Stop when a pack lacks cards, pictures, finishes or names that the one there has.

    Names in languages that were not `chosen`, where any are, are not missed.
    """
    missed = (one for one in before.names - after.names if not chosen or one[1] in chosen)
    lacks = {
        "cards": sorted(before.cards - after.cards),
        "pictures": sorted(before.pictures - after.pictures),
        "finishes of cards": sorted((before.variants & after.cards) - after.variants),
        "names": [f"{card} in {language}" for card, language in sorted(missed)],
    }
    lost = {what: found for what, found in lacks.items() if found}
    if lost:
        counts = ", ".join(f"{len(found)} {what}" for what, found in lost.items())
        raise Stop(
            f"{out}: nothing replaced: the new pack lacks {counts} of the one there, such as"
            f" {next(iter(lost.values()))[0]}: fetch all languages, complete --cards and --images,"
            " or take it all the same with --replace"
        )


def reference_of(card_id: str, scan: Frame) -> PackReference:
    """Make the reference of a printing's scan."""
    small = cv2.resize(scan, HASH_SIZE, interpolation=cv2.INTER_AREA)
    return PackReference(
        card_id=card_id,
        bits=card_hash(np.asarray(small, dtype=np.uint8)),
        reference=make_reference(scan),
    )


def read_prices(file: Path, skip: Callable[[str], None]) -> Iterator[LastPrice]:
    """Read last known prices. `skip` takes a message for each line that is not a price.

    Raises:
        Stop: the file cannot be read.
    """
    try:
        lines = read_regular(file).splitlines()
    except OSError as error:
        raise Stop(
            f"{file}: {error.strerror}: --prices takes the output of `cardmint-cloud prices export`"
        ) from None
    for number, line in enumerate(lines, 1):
        try:
            yield decode(line, LastPrice)
        except ContractError as error:
            skip(f"{file}, line {number}: skipped, not a price: {error}")


def _scans(images: Path, *, optional: bool) -> list[Path]:
    if optional and not images.exists():
        return []
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
    files: dict[Path, str], skip: Warn, embedder: PictureEmbedder | None
) -> Iterator[PackReference]:
    """Make the references of pictures, each with the digest of its file."""
    # OpenCV releases the interpreter's lock, so these threads use all cores; its own threads would
    # only compete with them.
    cv2.setNumThreads(1)
    with ThreadPoolExecutor(WORKERS) as pool:
        for (path, digest), result in zip(files.items(), pool.map(_reference, files), strict=True):
            if isinstance(result, PackReference):
                made = replace(result, source=digest)
                yield made if embedder is None else replace(made, vector=_vector(made, embedder))
            else:
                skip(f"{path}: skipped, {result}")


def _vector(reference: PackReference, embedder: PictureEmbedder) -> Vectors:
    return quantised(embedder(normalised(reference.reference.thumb)))


def _reference(path: Path) -> PackReference | str:
    try:
        return reference_of(path.stem, read_image(path))
    except Unreadable as error:
        return str(error).removeprefix(f"{path}: ")

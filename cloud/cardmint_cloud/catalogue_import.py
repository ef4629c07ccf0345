"""Imports a catalogue's folder: what is new or changed, whole or not at all."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from cardmint_cloud.adapters import catalogue_files
from cardmint_cloud.adapters.postgres import across, catalogue
from cardmint_cloud.adapters.postgres.catalogue import CatalogueImport, ImportedSet
from cardmint_cloud.adapters.postgres.connection import PostgresConnection
from cardmint_cloud.adapters.postgres.ingest.event_log import notify_all
from cardmint_cloud.errors import ParkItem, StopService
from cardmint_contracts.catalogue import CatalogueSet
from cardmint_contracts.catalogue_merge import with_known
from cardmint_contracts.notifications import Subject

TAKE_OUT = "--replace takes them out"


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportSummary:
    """What an import did, and the catalogue as it is now."""

    now: CatalogueImport
    changed: int
    skipped: int


async def import_catalogue(
    connection: PostgresConnection,
    folder: Path,
    *,
    now: datetime,
    warn: Callable[[str], None],
    replace_worse: bool = False,
) -> ImportSummary:
    """Import a folder, as the tables' owner. `warn` takes a line for each thing that is skipped.

    Sets, printings and names that the folder lacks stay, because cards may be recorded against
    them, unless `replace_worse` takes them out. One line says how many printings stay.

    The catalogue is as old as the newest folder that had all of its sets: an older folder makes it
    no older, and one with some of the sets no newer.

    Raises:
        StopService: the folder has no index, or no set, that can be used.
    """
    index = catalogue_files.read_index(folder)
    skipped = 0

    def skip(line: str) -> None:
        nonlocal skipped
        skipped += 1
        warn(line)

    if not index.complete:
        warn(f"{folder}: its download is not complete: run `cardmint-edge catalogue fetch` again")
    async with connection.transaction():
        await catalogue.lock(connection)
        before = await catalogue.imported_sets(connection)
        changed = 0
        merged = _Merged()
        for entry in index.sets:
            known = before.get(entry.id)
            if known is not None and known.digest == entry.sha256 and not replace_worse:
                merged.extra += max(0, known.printings - entry.printings)
                continue
            try:
                of_set = catalogue_files.read_set(folder, entry)
            except ParkItem as error:
                skip(str(error))
                continue
            if known is not None and not replace_worse:
                of_set = merged.with_known(of_set, await catalogue.known_set(connection, entry.id))
            ids = [printing.id for printing in of_set.printings]
            taken = {
                card_id: owner
                for card_id, owner in (await catalogue.owners(connection, ids)).items()
                if owner != of_set.id
            }
            for card_id, owner in sorted(taken.items()):
                skip(f"set {of_set.id}: skipped {card_id!r}: set {owner} has it")
            await catalogue.put_set(connection, of_set, entry.sha256, frozenset(taken))
            changed += known is None or known != ImportedSet(
                digest=entry.sha256, printings=len(ids) - len(taken)
            )
        for line in merged.lines(folder):
            warn(line)
        gone = sorted(before.keys() - {entry.id for entry in index.sets})
        if replace_worse:
            changed += len(gone)
            await catalogue.drop_sets(connection, gone)
        elif gone:
            warn(f"{len(gone)} sets are not in {folder}, such as {gone[0]}: kept; {TAKE_OUT}")
        dated = None if replace_worse else await catalogue.last_made_at(connection)
        made_at = _dated(index.made_at, dated, is_part=bool(gone), warn=warn)
        now_there = await catalogue.imported_sets(connection)
        done = await catalogue.record_import(
            connection,
            now=now,
            made_at=made_at,
            source=index.source,
            version=version_of(now_there),
        )
        if not done.printings:
            raise StopService(f"{folder}: no set of it can be used: fetch the catalogue again")
        # Workers tell all stations which sets came out.
        tenants = await across.list_tenants(connection)
        await notify_all(connection, [(tenant, Subject.FLEET) for tenant in tenants])
    return ImportSummary(now=done, changed=changed, skipped=skipped)


def _dated(
    folder: datetime, before: datetime | None, *, is_part: bool, warn: Callable[[str], None]
) -> datetime:
    """Return how old the catalogue is after an import of a folder of this date."""
    if before is None or (before <= folder and not is_part):
        return folder
    if before != folder:
        why = "has not all of its sets" if is_part else "is older"
        warn(f"the catalogue stays of {before:%Y-%m-%d}: the folder {why}")
    return before


@dataclass(slots=True)
class _Merged:
    """What is kept of sets that the folder has, and that it lacks."""

    kept: list[str] = field(default_factory=list)
    extra: int = 0
    """Printings of sets that have not changed since they were kept."""
    names: Counter[str] = field(default_factory=Counter)
    """Sets by language in which names are kept."""

    def with_known(self, later: CatalogueSet, known: CatalogueSet) -> CatalogueSet:
        merged = with_known(later, known)
        self.kept += merged.kept
        self.names.update(merged.languages)
        return merged.of_set

    def lines(self, folder: Path) -> Iterator[str]:
        """Yield a line for printings, and one for names."""
        if count := len(self.kept) + self.extra:
            such = f", such as {self.kept[0]}" if self.kept else ""
            yield f"{count} printings are no longer in {folder}{such}: kept; {TAKE_OUT}"
        if self.names:
            languages = ", ".join(
                f"{one} ({sets} sets)" for one, sets in sorted(self.names.items())
            )
            yield f"names in {languages} are not in {folder}: kept; --replace takes them out"


def version_of(sets: Mapping[str, ImportedSet]) -> str:
    """Return the version of the sets that are imported."""
    digest = hashlib.sha256()
    for set_id, one in sorted(sets.items()):
        digest.update(f"{set_id} {one.digest}\n".encode())
    return digest.hexdigest()[:12]

"""Imports a catalogue's folder: what is new or changed, whole or not at all."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cardmint_cloud.adapters import catalogue_files
from cardmint_cloud.adapters.postgres import across, catalogue
from cardmint_cloud.adapters.postgres.catalogue import CatalogueImport
from cardmint_cloud.adapters.postgres.connection import PostgresConnection
from cardmint_cloud.adapters.postgres.ingest.event_log import notify_all
from cardmint_cloud.errors import ParkItem, StopService
from cardmint_contracts.catalogue import CatalogueIndex
from cardmint_contracts.notifications import Subject


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

    Sets that the folder lacks stay, unless `replace_worse` takes them out.

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
        before = await catalogue.set_digests(connection)
        changed = 0
        for entry in index.sets:
            if before.get(entry.id) == entry.sha256:
                continue
            try:
                of_set = catalogue_files.read_set(folder, entry)
            except ParkItem as error:
                skip(str(error))
                continue
            ids = [printing.id for printing in of_set.printings]
            taken = {
                card_id: owner
                for card_id, owner in (await catalogue.owners(connection, ids)).items()
                if owner != of_set.id
            }
            for card_id, owner in sorted(taken.items()):
                skip(f"set {of_set.id}: skipped {card_id!r}: set {owner} has it")
            await catalogue.put_set(connection, of_set, entry.sha256, frozenset(taken))
            changed += 1
        gone = sorted(before.keys() - {entry.id for entry in index.sets})
        for set_id in gone:
            if replace_worse:
                await catalogue.drop_set(connection, set_id)
                changed += 1
            else:
                skip(f"set {set_id}: not in {folder}: kept; --replace takes it out")
        done = await catalogue.record_import(
            connection,
            now=now,
            made_at=index.made_at,
            source=index.source,
            version=version_of(index),
        )
        if not done.printings:
            raise StopService(f"{folder}: no set of it can be used: fetch the catalogue again")
        # Workers tell all stations which sets came out.
        tenants = await across.list_tenants(connection)
        await notify_all(connection, [(tenant, Subject.FLEET) for tenant in tenants])
    return ImportSummary(now=done, changed=changed, skipped=skipped)


def version_of(index: CatalogueIndex) -> str:
    """Return the version of a folder's content."""
    digest = hashlib.sha256()
    for entry in sorted(index.sets, key=lambda entry: entry.id):
        digest.update(f"{entry.id} {entry.sha256}\n".encode())
    return digest.hexdigest()[:12]

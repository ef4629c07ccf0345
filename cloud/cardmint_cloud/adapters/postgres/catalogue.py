"""The catalogue's tables: written by the import, read for prices."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from cardmint_cloud.adapters.postgres.connection import Executor, Pool, PostgresConnection
from cardmint_cloud.domain.catalogue_words import searched_text
from cardmint_contracts.catalogue import (
    CatalogueSet,
    Names,
    Printing,
    Region,
    SourceIds,
    finishes_of,
    name_in,
)
from cardmint_contracts.control import NewestSets, ReleasedSet

_PRINTING_COLUMNS = (
    *("card_id", "set_id", "place", "number", "name"),
    *("words", "finishes", "facts"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class CatalogueImport:
    """One import of a catalogue."""

    imported_at: datetime
    made_at: datetime
    source: str
    version: str
    sets: int
    printings: int


async def lock(connection: PostgresConnection) -> None:
    """Let no other import write until this transaction ends."""
    await connection.execute("LOCK TABLE catalogue_sets IN SHARE ROW EXCLUSIVE MODE")


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportedSet:
    """A set that is imported: the digest of its file, and how many printings it has."""

    digest: str
    printings: int


async def imported_sets(connection: PostgresConnection) -> dict[str, ImportedSet]:
    """Return the sets that are imported, by identifier."""
    found = await connection.fetch("SELECT set_id, digest, printings FROM catalogue_sets")
    return {
        row["set_id"]: ImportedSet(digest=row["digest"], printings=row["printings"])
        for row in found
    }


async def known_set(connection: PostgresConnection, set_id: str) -> CatalogueSet:
    """Return a set that is imported; the codes of its languages are not kept."""
    row = await connection.fetchrow("SELECT * FROM catalogue_sets WHERE set_id = $1", set_id)
    found = await connection.fetch(
        "SELECT facts FROM catalogue_printings WHERE set_id = $1 ORDER BY place", set_id
    )
    of_set = dict(row or {})
    return CatalogueSet(
        id=set_id,
        region=Region(of_set["region"]),
        names=msgspec.json.decode(of_set["names"], type=Names),
        printings=tuple(msgspec.json.decode(row["facts"], type=Printing) for row in found),
        code=of_set["code"],
        official=of_set["official"],
        released=of_set["released"],
        series=of_set["series"],
        ids=SourceIds(
            tcgdex=of_set["tcgdex"],
            tcgplayer=of_set["tcgplayer"],
            cardmarket=of_set["cardmarket"],
        ),
    )


async def owners(connection: PostgresConnection, card_ids: Iterable[str]) -> dict[str, str]:
    """Return the sets that have these printings."""
    found = await connection.fetch(
        "SELECT card_id, set_id FROM catalogue_printings WHERE card_id = ANY($1::text[])",
        list(card_ids),
    )
    return {row["card_id"]: row["set_id"] for row in found}


async def drop_sets(connection: PostgresConnection, set_ids: Sequence[str]) -> None:
    """Take sets out."""
    for table in ("catalogue_printings", "catalogue_sets"):
        await connection.execute(
            f"DELETE FROM {table} WHERE set_id = ANY($1::text[])",  # noqa: S608 - constants
            list(set_ids),
        )


async def put_set(
    connection: PostgresConnection, of_set: CatalogueSet, digest: str, left_out: frozenset[str]
) -> None:
    """Put a set in, in place of an earlier one; without the printings that are left out."""
    await drop_sets(connection, [of_set.id])
    printings = [one for one in of_set.printings if one.id not in left_out]
    await connection.execute(
        "INSERT INTO catalogue_sets (set_id, region, name, names, code, official, released, series,"
        " tcgdex, tcgplayer, cardmarket, printings, digest)"
        " VALUES ($1, $2, $3, $4::jsonb, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
        of_set.id,
        of_set.region.value,
        name_in(of_set.names, None),
        msgspec.json.encode(of_set.names).decode(),
        of_set.code,
        of_set.official,
        of_set.released,
        of_set.series,
        of_set.ids.tcgdex,
        of_set.ids.tcgplayer,
        of_set.ids.cardmarket,
        len(printings),
        digest,
    )
    await connection.copy_records_to_table(
        "catalogue_printings",
        columns=list(_PRINTING_COLUMNS),
        records=[
            (
                printing.id,
                of_set.id,
                place,
                printing.number,
                name_in(printing.names, None),
                searched_text(printing, of_set),
                [finish.value for finish in finishes_of(printing.variants)],
                msgspec.json.encode(printing).decode(),
            )
            for place, printing in enumerate(printings)
        ],
    )


async def record_import(
    connection: PostgresConnection, *, now: datetime, made_at: datetime, source: str, version: str
) -> CatalogueImport:
    """Record that an import is complete, and return it."""
    row = await connection.fetchrow(
        "INSERT INTO catalogue_imports (imported_at, made_at, source, version, sets, printings)"
        " SELECT $1, $2, $3, $4, count(*), coalesce(sum(printings), 0) FROM catalogue_sets"
        " RETURNING imported_at, made_at, source, version, sets, printings",
        now,
        made_at,
        source,
        version,
    )
    return CatalogueImport(**dict(row or {}))


async def last_made_at(connection: PostgresConnection) -> datetime | None:
    """Return how old the last import said the catalogue is; None before the first."""
    found: datetime | None = await connection.fetchval(
        "SELECT made_at FROM catalogue_imports ORDER BY id DESC LIMIT 1"
    )
    return found


async def newest_sets(executor: Executor) -> NewestSets:
    """Return the international sets that came out last, the newest first."""
    found = await executor.fetch(
        "SELECT set_id, name, released FROM catalogue_sets"
        " WHERE region = $1 AND released <> '' ORDER BY released DESC, set_id LIMIT 40",
        Region.INTERNATIONAL.value,
    )
    return NewestSets(
        sets=tuple(
            ReleasedSet(id=row["set_id"], name=row["name"], released=row["released"])
            for row in found
        )
    )


async def tcgplayer_groups(pool: Pool) -> dict[str, int]:
    """Return TCGplayer's group of each set whose group the catalogue has."""
    found = await pool.fetch(
        "SELECT set_id, tcgplayer FROM catalogue_sets WHERE tcgplayer IS NOT NULL"
    )
    return {row["set_id"]: row["tcgplayer"] for row in found}

"""What became of each card that a box beeped for."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias
from uuid import UUID

import asyncpg

from cardmint_cloud import rebuild
from cardmint_contracts.events import NAMES, CardScanned, EventData, StreamOpened
from cardmint_contracts.upcasters import decode_data
from cardmint_lab.copies.box import Box

_SCANS = """
SELECT (data::json->>'scan')::uuid AS scan, stream, sequence FROM events
 WHERE tenant = $1 AND type = $2"""
_OPENED = "SELECT data FROM events WHERE tenant = $1 AND type = $2"


Place: TypeAlias = tuple[UUID, int]
"""Stream and sequence of an event."""

Places: TypeAlias = dict[UUID, set[Place]]
"""Where scans are in a log: more than once if an event was sent again in another stream."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """How many cards were beeped, and are counted once, lost with their disk, or in the ledger.

    `twice` are cards whose event is in the log twice; they count once. `ledger` is how many events
    the ledger says that the database misses. `wrong` are the faults; empty if there are none.
    """

    beeped: int
    counted: int
    lost_with_disk: int
    in_ledger: int
    ledger: int
    forged: int
    twice: int
    opened: int
    wrong: tuple[str, ...]


async def database_id(address: str) -> UUID:
    """Return the identity of a database."""
    connection = await asyncpg.connect(address)
    try:
        found: UUID = await connection.fetchval("SELECT id FROM database_identity")
        return found
    finally:
        await connection.close()


async def places_in_log(
    address: str, tenant: str, *, then: Callable[[], object] | None = None
) -> Places:
    """Return the scans of a tenant's log, each with its places; nothing is added until `then`."""
    connection = await asyncpg.connect(address, command_timeout=60)
    try:
        await connection.execute("BEGIN; LOCK TABLE events IN SHARE MODE")
        places: Places = {}
        for row in await connection.fetch(_SCANS, tenant, NAMES[CardScanned]):
            places.setdefault(row["scan"], set()).add((row["stream"], row["sequence"]))
        if then is not None:
            then()
        return places
    finally:
        connection.terminate()


async def verdict(
    address: str,
    tenant: str,
    boxes: Sequence[Box],
    *,
    forged: Collection[UUID],
    dropped: Mapping[UUID, Collection[Place]],
) -> Verdict:
    """Compare log, inventory and ledger with the boxes' journals and disks, which must not run.

    `dropped` are the cards that a restored database did not have any more, each with the places
    where it was: the ledger must name one of them.
    """
    connection = await asyncpg.connect(address, command_timeout=60)
    try:
        logged = [row["scan"] for row in await connection.fetch(_SCANS, tenant, NAMES[CardScanned])]
        items = await connection.fetch("SELECT item FROM items WHERE tenant = $1", tenant)
        opened = [
            decode_data(NAMES[StreamOpened], data.encode())
            for (data,) in await connection.fetch(_OPENED, tenant, NAMES[StreamOpened])
        ]
        watermarks: dict[UUID, int] = {
            row["stream"]: row["sequence"]
            for row in await connection.fetch(
                "SELECT stream, sequence FROM watermarks WHERE tenant = $1", tenant
            )
        }
    finally:
        await connection.close()
    begun = set().union(*(box.journal()[0] for box in boxes))
    beeped = set().union(*(box.beeped() for box in boxes))
    on_disk = set().union(*(box.cards_on_disk() for box in boxes))
    counted = {row[0] for row in items}
    missing = beeped - counted
    unsent = set().union(*(box.lost_unsent for box in boxes))
    receipted = set().union(*(box.lost_receipted for box in boxes)) & set(dropped)
    with_disk = missing & (unsent | receipted) - on_disk
    rest = missing - with_disk
    ledger = _missing_by_ledger(opened, watermarks)
    wrong: list[str] = []
    if still := rest & on_disk:
        wrong.append(f"{len(still)} cards are on a disk and not counted: {sorted(still)[:3]}")
    if silent := rest - on_disk - set(dropped):
        wrong.append(f"{len(silent)} cards are lost without a restored disk or database")
    if unnamed := {card for card in rest if ledger.isdisjoint(dropped.get(card, ()))}:
        wrong.append(f"{len(unnamed)} missing cards are not in the ledger: {sorted(unnamed)[:3]}")
    if strange := counted - begun - set(forged):
        wrong.append(f"{len(strange)} cards are counted that nobody scanned")
    if len(items) != len(counted) or counted != set(logged):
        wrong.append(f"{len(items)} items, {len(set(logged))} cards in the log")
    comparison = await rebuild.compare_with_log(address)
    if not comparison.equal:
        wrong += rebuild.comparison_lines(comparison)
    return Verdict(
        beeped=len(beeped),
        counted=len(beeped & counted),
        lost_with_disk=len(with_disk),
        in_ledger=len(rest),
        ledger=len(ledger),
        forged=len(counted & set(forged)),
        twice=len(logged) - len(set(logged)),
        opened=len(opened),
        wrong=tuple(wrong),
    )


def _missing_by_ledger(opened: Sequence[EventData], watermarks: Mapping[UUID, int]) -> set[Place]:
    """Return the events, by stream and sequence, of which the ledger says that they are missing.

    A line names those that the station no longer had when it learned of the restored database, and
    how far the stream before was receipted: a database with less of it was restored afterwards.
    """
    missing: set[Place] = set()
    for line in opened:
        if isinstance(line, StreamOpened):
            ranges = [range(watermarks.get(line.previous, 0) + 1, line.acknowledged + 1)]
            if line.missing:
                ranges.append(range(line.missing_first, line.missing_last + 1))
            missing |= {(line.previous, number) for one in ranges for number in one}
    return missing

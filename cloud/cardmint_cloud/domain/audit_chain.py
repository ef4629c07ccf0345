"""The chain of the audit log: each entry's hash covers the one before it.

An entry is canonical JSON. Whoever changes, removes or inserts one must write every later hash
again, which an anchor kept elsewhere shows.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

FIRST = bytes(32)
"""The hash before the first entry."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ChainEntry:
    """An entry as it is stored."""

    number: int
    entry: str
    hash: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Anchor:
    """The head of a tenant's chain at a moment, as kept elsewhere."""

    tenant: str
    number: int
    hash: str
    at: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ChainReport:
    """What a check of a chain found."""

    entries: int
    head: str
    anchors: int
    problems: tuple[str, ...]


def canonical(values: Mapping[str, Any]) -> str:
    """Return values as JSON in the one form that is hashed."""
    return json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def link(before: bytes, entry: str) -> bytes:
    """Return the hash of an entry that follows `before`."""
    return sha256(before + entry.encode()).digest()


def check_chain(
    tenant: str, entries: Iterable[ChainEntry], anchors: Iterable[Anchor]
) -> ChainReport:
    """Check a tenant's entries, in their order, and that each of its anchors is among them."""
    problems: list[str] = []
    before, last = FIRST, 0
    hashes: dict[int, str] = {}
    for one in entries:
        last += 1
        if one.number != last:
            problems.append(f"entry {last} is missing; the next one is {one.number}")
            last = one.number
        elif link(before, one.entry) != one.hash:
            problems.append(f"entry {one.number} was changed, or one before it")
        if not _is_of(one, tenant):
            problems.append(f"entry {one.number} does not say that it is number {one.number} here")
        before = one.hash
        hashes[one.number] = one.hash.hex()
    own = [anchor for anchor in anchors if anchor.tenant == tenant]
    for anchor in own:
        found = FIRST.hex() if anchor.number == 0 else hashes.get(anchor.number)
        if found is None:
            problems.append(
                f"the log ended at entry {anchor.number} on {anchor.at}, and it is gone"
            )
        elif found != anchor.hash:
            problems.append(
                f"entry {anchor.number} is not the one that was anchored on {anchor.at}"
            )
    return ChainReport(
        entries=len(hashes), head=before.hex(), anchors=len(own), problems=tuple(problems)
    )


def _is_of(one: ChainEntry, tenant: str) -> bool:
    try:
        said = json.loads(one.entry)
    except ValueError:
        return False
    return isinstance(said, dict) and (said.get("tenant"), said.get("number")) == (
        tenant,
        one.number,
    )

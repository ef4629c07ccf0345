"""The chain of the audit log: each entry's hash covers the one before it.

An entry is canonical JSON. Whoever changes, removes or inserts one must write every later hash
again, which an anchor kept elsewhere shows.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
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
    at: datetime | None = None
    """The time in the entry's column, which must be the one in the entry; None to not compare."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Anchor:
    """The head of a tenant's chain at a moment, as kept elsewhere."""

    tenant: str
    number: int
    hash: str
    at: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ChainReport:
    """What a check of a chain found. `anchored` is the last anchored entry; 0 for none."""

    entries: int
    head: str
    anchors: int
    anchored: int
    problems: tuple[str, ...]

    @property
    def holds(self) -> str:
        """Where there are no problems: how far it is certain that no entry was removed."""
        if not self.anchored:
            return (
                "the chain holds; no entry is anchored, so whether later ones were removed is open"
            )
        after = self.entries - self.anchored
        more = f"; {after} later ones are not anchored yet" if after else ""
        return f"the chain and its anchors hold, up to entry {self.anchored}{more}"


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
        said = _said(one.entry)
        if (said.get("tenant"), said.get("number")) != (tenant, one.number):
            problems.append(f"entry {one.number} does not say that it is number {one.number} here")
        elif one.at is not None and _time(said.get("at")) != one.at:
            problems.append(f"entry {one.number} stands at another time than it says")
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
        entries=len(hashes),
        head=before.hex(),
        anchors=len(own),
        anchored=max((anchor.number for anchor in own), default=0),
        problems=tuple(problems),
    )


def _said(entry: str) -> dict[str, Any]:
    try:
        said = json.loads(entry)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _time(said: object) -> datetime | None:
    try:
        return datetime.fromisoformat(str(said))
    except ValueError:
        return None

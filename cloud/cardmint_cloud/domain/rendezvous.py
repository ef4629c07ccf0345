"""Division of stations among workers: all workers agree on the owner of each slot."""

import hashlib
from collections.abc import Collection
from uuid import UUID

SLOTS = 64


def slot_of(tenant: str, station: str) -> int:
    """Return a station's slot. Postgres computes the same (`leases.SLOT`)."""
    return hashlib.md5(f"{tenant}/{station}".encode(), usedforsecurity=False).digest()[0] % SLOTS


def owner_of(number: int, workers: Collection[UUID]) -> UUID:
    """Return the worker that should hold a slot: the one with the highest hash.

    Few slots move when workers come or go (rendezvous hashing).
    """
    return max(
        workers,
        key=lambda worker: (hashlib.sha256(worker.bytes + bytes([number])).digest(), worker),
    )


def share_of(worker: UUID, workers: Collection[UUID]) -> frozenset[int]:
    """Return the slots that `worker` should hold among `workers`."""
    return frozenset(number for number in range(SLOTS) if owner_of(number, workers) == worker)

"""Which worker serves which stations: slots of stations, each with the worker that all agree on."""

import hashlib
from collections.abc import Collection
from uuid import UUID

SLOTS = 64


def slot_of(tenant: str, station: str) -> int:
    """Return the slot of a station. Postgres computes the same (`leases.SLOT`)."""
    return hashlib.md5(f"{tenant}/{station}".encode(), usedforsecurity=False).digest()[0] % SLOTS


def owner_of(number: int, workers: Collection[UUID]) -> UUID:
    """Return the worker that should serve a slot.

    The highest hash wins, so that few slots move when workers change.
    """
    return max(
        workers,
        key=lambda worker: (hashlib.sha256(worker.bytes + bytes([number])).digest(), worker),
    )


def share_of(worker: UUID, workers: Collection[UUID]) -> frozenset[int]:
    """Return the slots that `worker` should serve among `workers`."""
    return frozenset(number for number in range(SLOTS) if owner_of(number, workers) == worker)

"""What a receipt means for the outbox: it is compared, never believed.

Disks are copied and restored, databases too, and anybody may publish a receipt. Events are removed
only where the digest of the receipt is the outbox's own (docs/decisions/0064).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias
from uuid import UUID

from cardmint_contracts.events import StreamReason
from cardmint_contracts.receipts import ANOTHERS_STREAM, Receipt
from cardmint_edge.domain.delivery.window import StreamState


@dataclass(frozen=True, kw_only=True, slots=True)
class Covered:
    """The events up to `sequence` are committed: they may be removed."""

    sequence: int


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamLost:
    """The stream cannot go on: a new one has to be opened, for `reason`."""

    reason: StreamReason


@dataclass(frozen=True, kw_only=True, slots=True)
class CloudBehind:
    """The cloud has less than an earlier receipt covered, or the receipt is old."""

    sequence: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Ignored:
    """The receipt changes nothing. `problem` tells the operator why; empty where all is well."""

    problem: str = ""


ReceiptFinding: TypeAlias = Covered | StreamLost | CloudBehind | Ignored


def check(
    receipt: Receipt, state: StreamState, digest_at: Callable[[int], bytes | None]
) -> ReceiptFinding:
    """Return what `receipt` means for an outbox in `state`.

    `digest_at` returns the outbox's digest at a sequence between `acknowledged` and `last`.
    """
    if receipt.stream != state.stream:
        return Ignored()
    if state.database is not None and receipt.database != state.database:
        return _from_another(receipt, state.database)
    if receipt.reason == ANOTHERS_STREAM:
        return StreamLost(reason=StreamReason.STREAM_OF_ANOTHER)
    if receipt.sequence > state.last:
        return StreamLost(reason=StreamReason.OUTBOX_RESTORED)
    return _compare(receipt, state, digest_at)


def _compare(
    receipt: Receipt, state: StreamState, digest_at: Callable[[int], bytes | None]
) -> ReceiptFinding:
    if receipt.digest is None:
        return Ignored(
            problem="its receipts prove nothing; upgrade the cloud, nothing is removed until then"
        )
    if receipt.sequence < state.acknowledged:
        return CloudBehind(sequence=receipt.sequence)
    if digest_at(receipt.sequence) != bytes.fromhex(receipt.digest):
        return StreamLost(reason=StreamReason.OTHER_CONTENT)
    return Covered(sequence=receipt.sequence)


def _from_another(receipt: Receipt, database: UUID) -> ReceiptFinding:
    """Return what a receipt of another database than the station's means."""
    if receipt.database is None:
        return Ignored(
            problem="a receipt names no database and is ignored: it is forged, or of an older cloud"
        )
    if database in receipt.replaces:
        return StreamLost(reason=StreamReason.DATABASE_REPLACED)
    return Ignored(
        problem=f"another cloud answers, with database {receipt.database}; this station belongs to"
        f" {database}. If that one is gone, run `cardmint-cloud identity --replaces {database}`"
        " on the new one"
    )

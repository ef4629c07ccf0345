"""Objections: the operator says that a scan which was rejected shows a card after all."""

from collections.abc import Callable, Iterable
from typing import Protocol
from uuid import UUID, uuid5

from msgspec.structs import replace

from cardmint_contracts.cards import Decision
from cardmint_contracts.events import CardScanned
from cardmint_contracts.reasons import Reason
from cardmint_edge.domain.delivery.batches import Timestamp
from cardmint_edge.domain.scan_record import ScanRecord


class ObjectionOutbox(Protocol):
    """The outbox, as objections need it. Every method may raise `Stop`."""

    def scan(self, scan: UUID) -> ScanRecord | None:
        """Return a scan of the history; None for one that is not in it any more."""
        ...

    def record(
        self, scan: CardScanned, stamp: Timestamp, origin: str, fingerprint: bytes
    ) -> ScanRecord:
        """Count one scan durably. The same scan twice counts once."""
        ...


def objection_to(scan: UUID) -> UUID:
    """Return the scan of an objection: always the same, so that one made twice counts once."""
    return uuid5(scan, "objection")


def record_objection(
    outbox: ObjectionOutbox, has_image: Callable[[str], bool], scan: UUID, stamp: Timestamp
) -> bool:
    """Record a rejected scan once more, as one that a person is asked about.

    The first scan stays rejected, so that the card counts once. `has_image` returns whether an
    image (SHA-256) is still there. False: the scan is not rejected, or not in the history any more.
    """
    record = outbox.scan(scan)
    if record is None or not _is_open_to_it(record):
        return False
    image = record.scan.image
    asked = replace(
        record.scan,
        scan=objection_to(scan),
        decision=Decision.REVIEW,
        reasons=(Reason.SAID_TO_BE_A_CARD,),
        possible_duplicate_of=None,
        rescan_of=None,
        image=image if image is not None and has_image(image.sha256) else None,
    )
    outbox.record(asked, stamp, "", record.fingerprint)
    return True


def open_to_objection(outbox: ObjectionOutbox, records: Iterable[ScanRecord]) -> frozenset[UUID]:
    """Return the scans of which a person may say that they show a card."""
    return frozenset(
        record.scan.scan
        for record in records
        if _is_open_to_it(record) and outbox.scan(objection_to(record.scan.scan)) is None
    )


def _is_open_to_it(record: ScanRecord) -> bool:
    rejected = record.scan.decision is Decision.REJECT and not record.withdrawn
    return rejected and Reason.SEVERAL_CARDS not in record.scan.reasons

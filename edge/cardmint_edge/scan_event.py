"""The event of a recognised shot, and the recent scans of which it may be a duplicate."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

import numpy as np
from msgspec.structs import replace

from cardmint_contracts.cards import Card, Decision, Outline
from cardmint_contracts.events import CardScanned, RecogniserIdentity
from cardmint_contracts.reasons import Reason
from cardmint_contracts.wire import decode, encode
from cardmint_edge.domain.recognition import Frame, Recognition
from cardmint_edge.domain.scan_record import ScanRecord
from cardmint_edge.domain.vision.fingerprint import alike
from cardmint_edge.domain.vision.quad import Quad

MAX_CANDIDATES = 8
RECENT_SCANS = 100
"""Scans among which a picture that comes again is marked as a possible duplicate."""


def event_of(scan: UUID, recognition: Recognition, frame: Frame | None = None) -> CardScanned:
    """Return a recognition as an event that every reader accepts; `frame` is what was recognised.

    Raises:
        ContractError, ValueError: the recognition makes no valid event.
    """
    event = CardScanned(
        scan=scan,
        decision=recognition.decision,
        recogniser=RecogniserIdentity(
            method=recognition.method,
            pack=recognition.pack,
            models=recognition.models,
            rules=recognition.rules_version,
        ),
        card=recognition.card,
        confidence=recognition.confidence,
        margin=recognition.margin,
        likeness_gap=recognition.likeness_gap,
        reasons=recognition.reasons,
        candidates=recognition.candidates[:MAX_CANDIDATES],
        outlines=()
        if frame is None
        else tuple(outline_of(quad, frame) for quad in recognition.outlines),
    )
    return decode(encode(event), CardScanned)


def outline_of(quad: Quad, frame: Frame) -> Outline:
    """Return a quad (pixels) as shares of the frame's width and height."""
    size = np.array([frame.shape[1], frame.shape[0]])
    return tuple((quad.corners / size).clip(0, 1).round(4).ravel().tolist())


def failed_event(scan: UUID) -> CardScanned:
    """Return the event of a shot on which recognition failed: a person must look."""
    return event_of(
        scan,
        Recognition(decision=Decision.REVIEW, reasons=(Reason.RECOGNITION_FAILED,), method="none"),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _RecentScan:
    """What a scan is compared by."""

    scan: UUID
    printing: str
    fingerprint: bytes
    image: str


class RecentScans:
    """Printing, fingerprint and image of the last scans."""

    def __init__(self, records: Iterable[ScanRecord]) -> None:
        """Take the recorded scans, the oldest first."""
        self._scans: deque[_RecentScan] = deque(maxlen=RECENT_SCANS)
        for record in records:
            self.add(record)

    def add(self, record: ScanRecord) -> None:
        """Add a recorded scan; the oldest one drops out."""
        card, image = _likeliest_card(record.scan), record.scan.image
        self._scans.append(
            _RecentScan(
                scan=record.scan.scan,
                printing=card.id if card else "",
                fingerprint=record.fingerprint,
                image=image.sha256 if image else "",
            )
        )

    def mark_repeat(
        self, event: CardScanned, fingerprint: bytes, *, same_place: bool
    ) -> CardScanned:
        """Return the event with the recent scan of which it is a possible duplicate, if any.

        It is one if the picture is the same to the last bit, or if the place was not empty since
        the last scan (`same_place`) and the card looks the same. Other copies of a card count.
        """
        card = _likeliest_card(event)
        if card is None or not self._scans:
            return event
        if event.image is not None:
            for known in reversed(self._scans):
                if known.image == event.image.sha256:
                    return replace(event, possible_duplicate_of=known.scan)
        last = self._scans[-1]
        if same_place and last.printing == card.id and alike(fingerprint, last.fingerprint):
            return replace(event, possible_duplicate_of=last.scan)
        return event


def _likeliest_card(event: CardScanned) -> Card | None:
    return event.card or (event.candidates[0].card if event.candidates else None)

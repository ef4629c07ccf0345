"""What became of the files of the camera's folder and of the photos from phones, for the page."""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from math import inf
from typing import Protocol
from uuid import UUID

from cardmint_edge.adapters.photo_inbox import PhotoInbox, PhotoPlace, shown_name
from cardmint_edge.capture import SourceFile, SourceFiles
from cardmint_edge.domain.scan_record import ScanRecord
from cardmint_edge.page.photos import PhotoOutcome
from cardmint_edge.page.views import ListedFile, scan_kind, scan_outcome
from cardmint_edge.review_tasks import ScanAnswer

MOST_LISTED = 20
LISTED_FOR_S = 1.0
"""Seconds for which the list is kept: the page asks many times a second."""

_SHA256 = re.compile(r"[0-9a-f]{64}")


class CountedPictures(Protocol):
    """The scans by their pictures."""

    def scan_of_picture(self, picture: str) -> UUID | None:
        """Return the scan that counted a file (SHA-256, hex); None if it is not counted."""
        ...

    def scan(self, scan: UUID) -> ScanRecord | None:
        """Return a scan of the history; None for one that is not in it any more."""
        ...


class FileDesk:
    """Lists files that gave no card, tries them again, and says what became of photos.

    `sources` returns the files of the camera and those of the photos.
    """

    def __init__(
        self,
        sources: Callable[[], Sequence[SourceFiles]],
        inbox: PhotoInbox,
        pictures: CountedPictures,
        answers: Callable[[], Mapping[UUID, ScanAnswer]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sources = sources
        self._inbox = inbox
        self._pictures = pictures
        self._answers = answers
        self._clock = clock
        self._listed: list[ListedFile] = []
        self._listed_until = -inf

    def listed(self) -> list[ListedFile]:
        """Return files that gave no card: those set aside first, then those not usable now."""
        if self._clock() < self._listed_until:
            return self._listed
        parked, waiting = [], []
        for source in self._sources():
            parked += [_listed(file, parked=True) for file in source.parked(MOST_LISTED)]
            waiting += [_listed(file, parked=False) for file in source.waiting(MOST_LISTED)]
        self._listed = [*parked, *waiting][:MOST_LISTED]
        self._listed_until = self._clock() + LISTED_FOR_S
        return self._listed

    def retry(self, key: str) -> bool:
        """Try a file that was set aside once more; False if it is gone."""
        self._listed_until = -inf
        return any(source.retry(key) for source in self._sources())

    def dismiss(self, key: str) -> bool:
        """List a file no more; False if it is gone."""
        self._listed_until = -inf
        return any(source.dismiss(key) for source in self._sources())

    def outcomes(self, photos: Sequence[str]) -> dict[str, PhotoOutcome]:
        """Return what became of photos, by their SHA-256."""
        # Where the photos lie is read first: one that is counted meanwhile is found below.
        places, problems = self._inbox.places(), self._problems()
        return {name: self._outcome(name, places.get(name), problems) for name in photos}

    def _outcome(
        self, photo: str, place: PhotoPlace | None, problems: Mapping[str, str]
    ) -> PhotoOutcome:
        scan = self._pictures.scan_of_picture(photo)
        if scan is not None:
            return self._counted(scan)
        if photo in problems:
            return PhotoOutcome(state="parked", text=problems[photo])
        if place is not None:
            return PhotoOutcome(state=place.value, text="set aside" if place == "parked" else "")
        offset = self._inbox.offset(photo)
        return PhotoOutcome(state="part" if offset else "unknown", offset=offset)

    def _counted(self, scan: UUID) -> PhotoOutcome:
        record = self._pictures.scan(scan)
        if record is None:
            return PhotoOutcome(state="counted", text="Counted")
        answers = self._answers()
        answer = answers.get(scan)
        card = (answer.card if answer else None) or record.scan.card
        text = scan_outcome(record, answers)
        return PhotoOutcome(
            state=scan_kind(record, answers),
            text=f"{text}: {card.name} {card.number}".strip() if card else text,
        )

    def _problems(self) -> dict[str, str]:
        """Return why photos gave no card, by their SHA-256."""
        found = {}
        for source in self._sources():
            for file in (*source.waiting(), *source.parked()):
                digest = _SHA256.search(file.name)
                if digest is not None:
                    found[digest.group()] = file.message
        return found


def _listed(file: SourceFile, *, parked: bool) -> ListedFile:
    return ListedFile(
        key=file.key,
        name=shown_name(file.name),
        reason=file.reason,
        message=file.message,
        parked=parked,
    )
